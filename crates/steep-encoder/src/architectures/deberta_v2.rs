//! DeBERTa v2 and v3 (He et al. 2021, 2023): BERT's layers with disentangled attention, in which content listens to
//! content, content to relative positions, and relative positions to content.

use super::{Architecture, decoder};
use crate::batch::PackedBatch;
use crate::config::{Config, Family, Fields};
use crate::error::Result;
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, HeadKind, TokenHead, TokenTransform,
};
use crate::layers::{Embeddings, Encoder, EncoderLayer, Linear, Norm, TextEncoder};
use crate::ops::{self, Activation, Visibility};
use crate::parameters::{Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::{Int, TensorData, activation};
use serde_json::{Value, json};
use std::sync::Arc;

/// What only DeBERTa's `config.json` has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    content_to_position: bool,
    position_to_content: bool,
    /// Positions use the layers' own projections.
    share_att_key: bool,
    /// 0: one for each distance.
    position_buckets: usize,
    max_relative_positions: usize,
    norm_rel_ebd: bool,
    position_biased_input: bool,
    legacy: bool,
    pooler_dropout: f32,
    pooler_hidden_act: Activation,
}

impl Settings {
    pub(crate) fn read(fields: &Fields, hidden_size: usize, max_positions: usize) -> Result<Self> {
        if !fields.flag("relative_attention", false)? {
            let problem = "relative_attention = false is not supported (only true)".to_owned();
            return Err(fields.error(problem, "choose a checkpoint of DeBERTa v2 or v3"));
        }
        fields.refuse("conv_kernel_size", &json!(0))?;
        fields.refuse("embedding_size", &json!(hidden_size))?;
        fields.refuse("pooler_hidden_size", &json!(hidden_size))?;
        let kinds = position_kinds(fields)?;
        Ok(Self {
            content_to_position: kinds.iter().any(|kind| kind == "c2p"),
            position_to_content: kinds.iter().any(|kind| kind == "p2c"),
            share_att_key: fields.flag("share_att_key", false)?,
            position_buckets: positive_or(fields, "position_buckets", 0)?,
            max_relative_positions: positive_or(fields, "max_relative_positions", max_positions)?,
            norm_rel_ebd: norms_positions(fields)?,
            position_biased_input: fields.flag("position_biased_input", true)?,
            legacy: fields.flag("legacy", true)?,
            pooler_dropout: fields.number("pooler_dropout", 0.0, 0.0..=0.99)?,
            pooler_hidden_act: fields.activation("pooler_hidden_act", "gelu")?,
        })
    }

    /// Half of the relative embeddings.
    fn span(&self) -> usize {
        if self.position_buckets > 0 { self.position_buckets } else { self.max_relative_positions }
    }

    /// Row of the relative embeddings for query position minus key position: each small distance has its own, larger
    /// ones share one by their logarithm.
    fn row(&self, distance: i64) -> usize {
        let span = self.span() as i64;
        let bucket = if self.position_buckets > 0 {
            log_bucket(distance, self.position_buckets, self.max_relative_positions)
        } else {
            distance
        };
        (bucket + span).clamp(0, 2 * span - 1) as usize
    }
}

/// transformers' `make_log_bucket_position`.
fn log_bucket(distance: i64, buckets: usize, max_position: usize) -> i64 {
    let (size, middle) = (distance.abs(), (buckets / 2) as i64);
    if size <= middle {
        return distance;
    }
    let middle_width = middle as f32;
    let ratio = (size as f32 / middle_width).ln() / ((max_position as f32 - 1.0) / middle_width).ln();
    let bucket = (ratio * (middle_width - 1.0)).ceil() + middle_width;
    bucket as i64 * distance.signum()
}

/// A list, or words with bars between them.
fn position_kinds(fields: &Fields) -> Result<Vec<String>> {
    let kinds: Vec<String> = match fields.get("pos_att_type") {
        None => Vec::new(),
        Some(Value::String(text)) => text.split('|').map(|kind| kind.trim().to_lowercase()).collect(),
        Some(Value::Array(list)) => {
            list.iter().map(|kind| kind.as_str().unwrap_or_default().to_owned()).collect()
        }
        Some(other) => vec![other.to_string()],
    };
    match kinds.iter().find(|kind| !["c2p", "p2c"].contains(&kind.as_str())) {
        None => Ok(kinds),
        Some(kind) => {
            Err(fields.error(format!("pos_att_type '{kind}' is not supported"), "supported: c2p, p2c"))
        }
    }
}

/// -1 and nothing mean `otherwise`.
fn positive_or(fields: &Fields, name: &str, otherwise: usize) -> Result<usize> {
    match fields.get(name).and_then(Value::as_i64) {
        Some(value) if value < 1 => Ok(otherwise),
        _ => Ok(fields.size(name, otherwise.max(1), 1 << 16).map(|size| match fields.get(name) {
            Some(_) => size,
            None => otherwise,
        })?),
    }
}

fn norms_positions(fields: &Fields) -> Result<bool> {
    match fields.word("norm_rel_ebd", "none")? {
        "none" => Ok(false),
        "layer_norm" => Ok(true),
        other => {
            Err(fields
                .error(format!("norm_rel_ebd '{other}' is not supported"), "supported: none, layer_norm"))
        }
    }
}

pub(super) struct DebertaV2;

fn settings(config: &Config) -> &Settings {
    match &config.family {
        Family::DebertaV2(settings) => settings,
        _ => unreachable!("the family was read with the model type"),
    }
}

impl Architecture for DebertaV2 {
    fn prefix(&self) -> &'static str {
        "deberta"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let (settings, width) = (settings(config), config.hidden_size);
        let embeddings = embeddings(config, declare);
        let shape = [2 * settings.span(), width];
        let relative = declare.matrix("encoder.rel_embeddings.weight", shape);
        let relative_norm =
            settings.norm_rel_ebd.then(|| declare.norm("encoder.LayerNorm", width, config.layer_norm_eps));
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        let mut projections = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            declare.set_depth(index + 1);
            declare.scope(&format!("encoder.layer.{index}"), |declare| {
                let layer = layer(config, declare);
                projections.push(position_projections(config, &layer, declare));
                layers.push(layer);
            });
        }
        declare.set_depth(config.num_hidden_layers + 1);
        Arc::new(DebertaEncoder {
            stack: Encoder {
                embeddings,
                layers,
                relative_bias: None,
                num_attention_heads: config.num_attention_heads,
                head_dim: width / config.num_attention_heads,
                activation: config.hidden_act,
                attention_dropout: config.attention_probs_dropout_prob,
                attention_output_dropout: config.hidden_dropout_prob,
                activation_dropout: 0.0,
                output_dropout: config.hidden_dropout_prob,
                visibility: Visibility::Bidirectional,
            },
            projections,
            relative,
            relative_norm,
            settings: settings.clone(),
        })
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let hidden = config.hidden_size;
        let (scope, dense, norm) = if settings(config).legacy {
            ("cls.predictions", "transform.dense", "transform.LayerNorm")
        } else {
            ("lm_predictions.lm_head", "dense", "LayerNorm")
        };
        declare.scope(scope, |declare| TokenHead {
            transform: Some(TokenTransform {
                dense: declare.linear(dense, [hidden, hidden]),
                activation: config.hidden_act,
                norm: declare.norm(norm, hidden, config.layer_norm_eps),
            }),
            decoder: decoder(config, word_embeddings, "decoder.weight", declare),
            bias: Some(declare.bias("bias", config.vocab_size)),
        })
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        let settings = settings(config);
        ClassificationHead {
            state: ClassifiedState::First,
            input_dropout: settings.pooler_dropout,
            dense: Some(ClassificationDense {
                linear: declare.linear("pooler.dense", [config.hidden_size; 2]),
                activation: settings.pooler_hidden_act,
                norm: None,
            }),
            dropout: config.classifier_dropout,
            output: declare.linear("classifier", [config.hidden_size, num_labels]),
        }
    }

    fn head_scopes(&self) -> &'static [&'static str] {
        &["cls.", "lm_predictions.", "mask_predictions.", "pooler.", "classifier.", "qa_outputs."]
    }

    /// Absolute positions that the config does not ask for.
    fn leaves_out(&self, name: &str) -> bool {
        name == "deberta.embeddings.position_embeddings.weight"
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("cls.predictions.decoder.weight", "deberta.embeddings.word_embeddings.weight"),
            ("cls.predictions.decoder.bias", "cls.predictions.bias"),
        ]
    }
}

fn embeddings(config: &Config, declare: &mut Declaration) -> Embeddings {
    let width = config.hidden_size;
    declare.scope("embeddings", |declare| Embeddings {
        word: declare.matrix("word_embeddings.weight", [config.vocab_size, width]),
        word_scale: 1.0,
        position: settings(config)
            .position_biased_input
            .then(|| declare.matrix("position_embeddings.weight", [config.max_position_embeddings, width])),
        token_type: (config.type_vocab_size > 0)
            .then(|| declare.matrix("token_type_embeddings.weight", [config.type_vocab_size, width])),
        norm: declare.norm("LayerNorm", width, config.layer_norm_eps),
        projection: None,
        first_position: 0,
        dropout: config.hidden_dropout_prob,
    })
}

fn layer(config: &Config, declare: &mut Declaration) -> EncoderLayer {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let square = [hidden, hidden];
    EncoderLayer {
        query: declare.linear("attention.self.query_proj", square),
        key: declare.linear("attention.self.key_proj", square),
        value: declare.linear("attention.self.value_proj", square),
        attention_output: declare.linear("attention.output.dense", square),
        attention_norm: declare.norm("attention.output.LayerNorm", hidden, config.layer_norm_eps),
        intermediate: declare.linear("intermediate.dense", [hidden, inner]),
        output: declare.linear("output.dense", [inner, hidden]),
        output_norm: declare.norm("output.LayerNorm", hidden, config.layer_norm_eps),
    }
}

/// What makes keys and queries of relative positions in a layer.
#[derive(Debug)]
struct PositionProjections {
    /// For content that listens to positions.
    key: Option<Linear>,
    /// For positions that listen to content.
    query: Option<Linear>,
}

fn position_projections(
    config: &Config,
    layer: &EncoderLayer,
    declare: &mut Declaration,
) -> PositionProjections {
    let settings = settings(config);
    let square = [config.hidden_size; 2];
    let mut own = |shared: Linear, name: &str| {
        if settings.share_att_key { shared } else { declare.linear(name, square) }
    };
    PositionProjections {
        key: settings.content_to_position.then(|| own(layer.key, "attention.self.pos_key_proj")),
        query: settings.position_to_content.then(|| own(layer.query, "attention.self.pos_query_proj")),
    }
}

#[derive(Debug)]
struct DebertaEncoder {
    stack: Encoder,
    /// Of each layer.
    projections: Vec<PositionProjections>,
    /// Relative embeddings, shared by all layers: `[2 span, H]`
    relative: MatrixId,
    relative_norm: Option<Norm>,
    settings: Settings,
}

impl TextEncoder for DebertaEncoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let relative = self.relative_embeddings(pass, batch.longest());
        let mut state = self.stack.embeddings.forward(pass, batch);
        for (layer, projections) in self.stack.layers.iter().zip(&self.projections) {
            visit(&state);
            state = self.attention(layer, projections, pass, batch, state, &relative);
            state = self.stack.feed_forward(layer, pass, state);
        }
        state
    }

    fn word_embeddings(&self) -> MatrixId {
        self.stack.embeddings.word
    }
}

impl DebertaEncoder {
    /// One row for each distance, query position minus key position, from `1 - longest` to `longest - 1`.
    fn relative_embeddings(&self, pass: &Pass, longest: usize) -> Tensor<2> {
        let reach = longest.max(1) as i64 - 1;
        let rows: Vec<u32> = (-reach..=reach).map(|distance| self.settings.row(distance) as u32).collect();
        let table = pass.matrix(self.relative);
        let table = self.relative_norm.map_or(table.clone(), |norm| norm.forward(pass, table));
        ops::embedding(table, rows.into())
    }

    fn attention(
        &self,
        layer: &EncoderLayer,
        projections: &PositionProjections,
        pass: &Pass,
        batch: &PackedBatch,
        x: Tensor<2>,
        relative: &Tensor<2>,
    ) -> Tensor<2> {
        let relative = ops::dropout(relative.clone(), pass.dropout(self.stack.attention_output_dropout));
        let project = |projection: &Linear| projection.forward(pass, relative.clone());
        let kinds = 1 + usize::from(projections.key.is_some()) + usize::from(projections.query.is_some());
        let parts = Parts {
            query: layer.query.forward(pass, x.clone()),
            key: layer.key.forward(pass, x.clone()),
            value: layer.value.forward(pass, x.clone()),
            position_key: projections.key.as_ref().map(project),
            position_query: projections.query.as_ref().map(project),
            num_heads: self.stack.num_attention_heads,
            scale: 1.0 / ((self.stack.head_dim * kinds) as f32).sqrt(),
        };
        let spans = batch.offsets.windows(2).map(|pair| [pair[0] as usize, pair[1] as usize]);
        let spans = spans.filter(|[start, end]| start < end);
        let contexts = spans.map(|span| parts.context(span, pass, self.stack.attention_dropout));
        let context = Tensor::cat(contexts.collect(), 0);
        let output = layer.attention_output.forward(pass, context);
        let dropout = pass.dropout(self.stack.attention_output_dropout);
        layer.attention_norm.forward_sum(pass, output, x, dropout)
    }
}

/// Projections of a batch: contents `[T, H]`, positions by distance `[2 D + 1, H]`.
struct Parts {
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    position_key: Option<Tensor<2>>,
    position_query: Option<Tensor<2>>,
    num_heads: usize,
    scale: f32,
}

impl Parts {
    /// What the tokens of one sequence of n make of each other: `[n, H]`.
    fn context(&self, span: [usize; 2], pass: &Pass, dropout: f32) -> Tensor<2> {
        let length = span[1] - span[0];
        let query = self.heads(&self.query, span[0], length);
        let key = self.heads(&self.key, span[0], length);
        let value = self.heads(&self.value, span[0], length);
        let mut scores = query.clone().matmul(key.clone().swap_dims(1, 2));
        if let Some(position_key) = &self.position_key {
            let by_distance = self.by_distance(query, position_key, length);
            // The query is the row: distance query - key lies at column query - key + n - 1.
            scores = scores + spread(by_distance, length, |query, key| (query, query + length - 1 - key));
        }
        if let Some(position_query) = &self.position_query {
            let by_distance = self.by_distance(key, position_query, length);
            // The key is the row.
            scores = scores + spread(by_distance, length, |query, key| (key, query + length - 1 - key));
        }
        let probabilities = activation::softmax(scores * self.scale, 2);
        let flat = probabilities.reshape([self.num_heads * length, length]);
        let kept = ops::dropout(flat, pass.dropout(dropout)).reshape([self.num_heads, length, length]);
        let width = self.query.dims()[1];
        kept.matmul(value).swap_dims(0, 1).reshape([length, width])
    }

    /// `[heads, n, d]` of `n` rows from `first` on.
    fn heads(&self, x: &Tensor<2>, first: usize, length: usize) -> Tensor<3> {
        let width = x.dims()[1];
        let rows = x.clone().narrow(0, first, length);
        rows.reshape([length, self.num_heads, width / self.num_heads]).swap_dims(0, 1)
    }

    /// Products of contents `[heads, n, d]` and the positions of the distances in a sequence of n: `[heads, n, 2 n - 1]`.
    fn by_distance(&self, content: Tensor<3>, positions: &Tensor<2>, length: usize) -> Tensor<3> {
        let longest = positions.dims()[0].div_ceil(2);
        let positions = self.heads(positions, longest - length, 2 * length - 1);
        content.matmul(positions.swap_dims(1, 2))
    }
}

/// From products by distance `[heads, n, 2 n - 1]` to scores `[heads, n, n]`; `place` has row and column of a pair.
fn spread(
    by_distance: Tensor<3>,
    length: usize,
    place: impl Fn(usize, usize) -> (usize, usize),
) -> Tensor<3> {
    let [heads, _, columns] = by_distance.dims();
    let pairs = (0..length).flat_map(|query| (0..length).map(move |key| (query, key)));
    let places: Vec<i64> = pairs
        .map(|(query, key)| {
            let (row, column) = place(query, key);
            (row * columns + column) as i64
        })
        .collect();
    let device = by_distance.device();
    let places: Tensor<1, Int> = Tensor::from_data(TensorData::new(places, [length * length]), &device);
    by_distance.reshape([heads, length * columns]).select(1, places).reshape([heads, length, length])
}
