//! ModernBERT (Warner et al. 2024): pre-norm layers with rotary positions, gated feed-forward parts, and attention that
//! is local in most layers.

use super::{Architecture, decoder};
use crate::batch::PackedBatch;
use crate::config::{Config, Family, Fields};
use crate::error::Result;
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, HeadKind, TokenHead, TokenTransform,
};
use crate::layers::{AttentionHeads, Linear, Norm, Rotary, RotaryTables, TextEncoder};
use crate::ops::{self, Activation, Visibility};
use crate::parameters::{Bias, Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use serde_json::json;
use std::sync::Arc;

/// What only ModernBERT's `config.json` has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Of each layer, whether it is local.
    layers: Vec<Reach>,
    /// A local layer's tokens listen so far to either side.
    local_reach: usize,
    global_theta: f32,
    local_theta: f32,
    norm_bias: Bias,
    attention_bias: Bias,
    mlp_bias: Bias,
    decoder_bias: Bias,
    classifier_bias: Bias,
    classifier_activation: Activation,
    classified: ClassifiedState,
    embedding_dropout: f32,
}

/// How far the attention of a layer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Global,
    Local,
}

impl Settings {
    pub(crate) fn read(fields: &Fields, num_hidden_layers: usize) -> Result<Self> {
        let classified = match fields.word("classifier_pooling", "cls")? {
            "cls" => ClassifiedState::First,
            "mean" => ClassifiedState::Mean,
            other => {
                let problem = format!("classifier_pooling '{other}' is not supported");
                return Err(fields.error(problem, "supported: cls, mean"));
            }
        };
        Ok(Self {
            layers: reaches(fields, num_hidden_layers)?,
            local_reach: fields.size("local_attention", 128, 1 << 20)? / 2,
            global_theta: theta(fields, "full_attention", "global_rope_theta", 160_000.0)?,
            local_theta: theta(fields, "sliding_attention", "local_rope_theta", 10_000.0)?,
            norm_bias: fields.flag("norm_bias", false)?.into(),
            attention_bias: fields.flag("attention_bias", false)?.into(),
            mlp_bias: fields.flag("mlp_bias", false)?.into(),
            decoder_bias: fields.flag("decoder_bias", true)?.into(),
            classifier_bias: fields.flag("classifier_bias", false)?.into(),
            classifier_activation: fields.activation("classifier_activation", "gelu")?,
            classified,
            embedding_dropout: fields.number("embedding_dropout", 0.0, 0.0..=0.99)?,
        })
    }
}

/// Kinds of layers by name, or every so many-th one global.
fn reaches(fields: &Fields, count: usize) -> Result<Vec<Reach>> {
    let Some(types) = fields.get("layer_types") else {
        let every = fields.size("global_attn_every_n_layers", 3, 256)?;
        let reach = |index: usize| if index.is_multiple_of(every) { Reach::Global } else { Reach::Local };
        return Ok((0..count).map(reach).collect());
    };
    let names = types.as_array().into_iter().flatten();
    let reach = |name: &serde_json::Value| match name.as_str() {
        Some("full_attention") => Some(Reach::Global),
        Some("sliding_attention") => Some(Reach::Local),
        _ => None,
    };
    let layers: Option<Vec<Reach>> = names.map(reach).collect();
    layers.filter(|layers| layers.len() == count).ok_or_else(|| {
        let problem = format!("layer_types {types} does not name {count} layers");
        fields.error(problem, "supported: full_attention, sliding_attention, one for each layer")
    })
}

/// The base of a kind's rotary angles: in `rope_parameters`, or under its older name.
fn theta(fields: &Fields, kind: &str, older: &str, default: f32) -> Result<f32> {
    let range = 1.0..=1e12;
    let parameters = fields.object("rope_parameters");
    let Some(parameters) = parameters.as_ref().and_then(|parameters| parameters.object(kind)) else {
        return fields.number(older, default, range);
    };
    parameters.refuse("rope_type", &json!("default"))?;
    parameters.number("rope_theta", default, range)
}

pub(super) struct ModernBert;

fn settings(config: &Config) -> &Settings {
    match &config.family {
        Family::ModernBert(settings) => settings,
        _ => unreachable!("the family was read with the model type"),
    }
}

impl Architecture for ModernBert {
    fn prefix(&self) -> &'static str {
        "model"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let (settings, width) = (settings(config), config.hidden_size);
        let norm = |declare: &mut Declaration, name: &str| {
            declare.norm_with(settings.norm_bias, name, width, config.layer_norm_eps)
        };
        let word = declare.matrix("embeddings.tok_embeddings.weight", [config.vocab_size, width]);
        let embedding_norm = norm(declare, "embeddings.norm");
        let mut layers = Vec::with_capacity(settings.layers.len());
        for (index, &reach) in settings.layers.iter().enumerate() {
            declare.set_depth(index + 1);
            layers.push(declare.scope(&format!("layers.{index}"), |declare| Layer {
                reach,
                // The embeddings are normalised already.
                attention_norm: (index > 0).then(|| norm(declare, "attn_norm")),
                query_key_value: declare.linear_with(
                    settings.attention_bias,
                    "attn.Wqkv",
                    [width, 3 * width],
                ),
                attention_output: declare.linear_with(settings.attention_bias, "attn.Wo", [width, width]),
                feed_forward_norm: norm(declare, "mlp_norm"),
                input_and_gate: declare.linear_with(
                    settings.mlp_bias,
                    "mlp.Wi",
                    [width, 2 * config.intermediate_size],
                ),
                output: declare.linear_with(settings.mlp_bias, "mlp.Wo", [config.intermediate_size, width]),
            }));
        }
        declare.set_depth(config.num_hidden_layers + 1);
        let final_norm = norm(declare, "final_norm");
        let head_dim = width / config.num_attention_heads;
        let dropout = config.attention_probs_dropout_prob;
        Arc::new(ModernBertEncoder {
            word,
            embedding_norm,
            layers,
            final_norm,
            heads: AttentionHeads::scaled(config.num_attention_heads, head_dim, dropout),
            global: Rotary { theta: settings.global_theta, head_dim },
            local: Rotary { theta: settings.local_theta, head_dim },
            local_reach: settings.local_reach,
            activation: config.hidden_act,
            embedding_dropout: settings.embedding_dropout,
            attention_output_dropout: dropout,
            feed_forward_dropout: config.hidden_dropout_prob,
        })
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let settings = settings(config);
        let transform = head(config, declare);
        TokenHead {
            transform: Some(TokenTransform {
                dense: transform.linear,
                activation: transform.activation,
                norm: transform.norm.expect("ModernBERT's head has a norm"),
            }),
            decoder: decoder(config, word_embeddings, "decoder.weight", declare),
            bias: (settings.decoder_bias == Bias::Learned)
                .then(|| declare.bias("decoder.bias", config.vocab_size)),
        }
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        ClassificationHead {
            state: settings(config).classified,
            input_dropout: 0.0,
            dense: Some(head(config, declare)),
            dropout: config.classifier_dropout,
            output: declare.linear("classifier", [config.hidden_size, num_labels]),
        }
    }

    fn head_scopes(&self) -> &'static [&'static str] {
        &["head.", "decoder.", "classifier.", "qa_outputs."]
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[("decoder.weight", "model.embeddings.tok_embeddings.weight")]
    }
}

/// Dense, activation and norm, which both heads begin with.
fn head(config: &Config, declare: &mut Declaration) -> ClassificationDense {
    let (settings, width) = (settings(config), config.hidden_size);
    declare.scope("head", |declare| ClassificationDense {
        linear: declare.linear_with(settings.classifier_bias, "dense", [width, width]),
        activation: settings.classifier_activation,
        norm: Some(declare.norm_with(settings.norm_bias, "norm", width, config.layer_norm_eps)),
    })
}

#[derive(Debug)]
struct Layer {
    reach: Reach,
    attention_norm: Option<Norm>,
    query_key_value: Linear,
    attention_output: Linear,
    feed_forward_norm: Norm,
    input_and_gate: Linear,
    output: Linear,
}

#[derive(Debug)]
struct ModernBertEncoder {
    word: MatrixId,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    final_norm: Norm,
    heads: AttentionHeads,
    global: Rotary,
    local: Rotary,
    local_reach: usize,
    activation: Activation,
    embedding_dropout: f32,
    attention_output_dropout: f32,
    feed_forward_dropout: f32,
}

impl TextEncoder for ModernBertEncoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let (global, local) = (self.global.tables(pass, batch), self.local.tables(pass, batch));
        let words = pass.lookup(self.word, batch.input_ids.clone());
        let normal = self.embedding_norm.forward(pass, words);
        let mut state = ops::dropout(normal, pass.dropout(self.embedding_dropout));
        for layer in &self.layers {
            visit(&state);
            let (rotary, visibility) = match layer.reach {
                Reach::Global => (&global, Visibility::Bidirectional),
                Reach::Local => (&local, Visibility::SlidingWindow { reach: self.local_reach }),
            };
            state = self.attention(layer, pass, batch, state, rotary, visibility);
            state = self.feed_forward(layer, pass, state);
        }
        self.final_norm.forward(pass, state)
    }

    fn word_embeddings(&self) -> MatrixId {
        self.word
    }
}

impl ModernBertEncoder {
    fn attention(
        &self,
        layer: &Layer,
        pass: &Pass,
        batch: &PackedBatch,
        x: Tensor<2>,
        rotary: &RotaryTables,
        visibility: Visibility,
    ) -> Tensor<2> {
        let normal = layer.attention_norm.map_or_else(|| x.clone(), |norm| norm.forward(pass, x.clone()));
        let projected = layer.query_key_value.forward(pass, normal);
        let width = projected.dims()[1] / 3;
        let part = |index: usize| projected.clone().narrow(1, index * width, width);
        let parts = [rotary.rotate(part(0)), rotary.rotate(part(1)), part(2)];
        let context = self.heads.attend(pass, batch, parts, None, visibility);
        let output = layer.attention_output.forward(pass, context);
        x + ops::dropout(output, pass.dropout(self.attention_output_dropout))
    }

    fn feed_forward(&self, layer: &Layer, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let both = layer.input_and_gate.forward(pass, layer.feed_forward_norm.forward(pass, x.clone()));
        let inner = both.dims()[1] / 2;
        let input = ops::activation(both.clone().narrow(1, 0, inner), self.activation);
        let gated = input * both.narrow(1, inner, inner);
        x + layer.output.forward(pass, ops::dropout(gated, pass.dropout(self.feed_forward_dropout)))
    }
}
