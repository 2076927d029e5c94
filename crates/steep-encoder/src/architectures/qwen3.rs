//! Qwen3 (Yang et al. 2025): a decoder, here as a text encoder whose tokens listen to those before them. RMSNorm
//! before each part and over each head of queries and keys, rotary positions, fewer heads of keys than of queries,
//! gated feed-forward parts. Llama (Touvron et al. 2023) is the same without the norms of the heads.

use super::{Architecture, decoder, score};
use crate::batch::PackedBatch;
use crate::config::{Config, Family, Fields, ModelType, Sizes};
use crate::error::Result;
use crate::heads::{ClassificationHead, HeadKind, TokenHead};
use crate::layers::{AttentionHeads, Linear, RmsNorm, Rotary, RotaryTables, TextEncoder};
use crate::ops::{Activation, Visibility};
use crate::parameters::{Bias, Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use serde_json::json;
use std::sync::Arc;

/// What only the `config.json` of Qwen3 and Llama has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    num_key_value_heads: usize,
    head_dim: usize,
    rope_theta: f32,
    attention_bias: Bias,
    /// Of the feed-forward part.
    mlp_bias: Bias,
    /// Whether each head of queries and keys is normalised.
    head_norms: bool,
    pad_token_id: Option<u32>,
}

impl Settings {
    pub(crate) fn read(fields: &Fields, model_type: ModelType, sizes: &Sizes) -> Result<Self> {
        let (is_qwen, num_heads) = (model_type == ModelType::Qwen3, sizes.num_attention_heads);
        fields.refuse("use_sliding_window", &json!(false))?;
        let kinds = fields.get("layer_types").and_then(|kinds| kinds.as_array()).into_iter().flatten();
        if let Some(kind) = kinds.into_iter().find(|kind| *kind != &json!("full_attention")) {
            let problem = format!("layer_types has {kind}, which is not supported");
            return Err(fields.error(problem, "choose a checkpoint of full_attention layers"));
        }
        let num_key_value_heads = fields.size("num_key_value_heads", num_heads, num_heads)?;
        if !num_heads.is_multiple_of(num_key_value_heads) {
            let problem = format!(
                "num_attention_heads {num_heads} is not a multiple of num_key_value_heads {num_key_value_heads}"
            );
            return Err(fields.error(problem, "the file may be damaged; download the model again"));
        }
        let usual = if is_qwen { 128 } else { (sizes.hidden_size / num_heads).max(1) };
        let head_dim = fields.size("head_dim", usual, 4096)?;
        if !head_dim.is_multiple_of(2) {
            return Err(fields.error(format!("head_dim {head_dim} is odd"), "rotary positions need halves"));
        }
        Ok(Self {
            num_key_value_heads,
            head_dim,
            rope_theta: rope_theta(fields)?,
            attention_bias: fields.flag("attention_bias", false)?.into(),
            mlp_bias: (!is_qwen && fields.flag("mlp_bias", false)?).into(),
            head_norms: is_qwen,
            pad_token_id: fields.token_id("pad_token_id")?,
        })
    }
}

/// In `rope_parameters`, or beside `rope_scaling` in older files.
fn rope_theta(fields: &Fields) -> Result<f32> {
    let range = 1.0..=1e12;
    if let Some(scaling) = fields.object("rope_scaling") {
        scaling.refuse("rope_type", &json!("default"))?;
        scaling.refuse("type", &json!("default"))?;
    }
    match fields.object("rope_parameters") {
        Some(parameters) => {
            parameters.refuse("rope_type", &json!("default"))?;
            parameters.number("rope_theta", 10_000.0, range)
        }
        None => fields.number("rope_theta", 10_000.0, range),
    }
}

pub(super) struct Qwen3;

fn settings(config: &Config) -> &Settings {
    match &config.family {
        Family::Qwen3(settings) => settings,
        _ => unreachable!("the family was read with the model type"),
    }
}

impl Architecture for Qwen3 {
    fn prefix(&self) -> &'static str {
        "model"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let (settings, width) = (settings(config), config.hidden_size);
        let head_dim = settings.head_dim;
        let word = declare.matrix("embed_tokens.weight", [config.vocab_size, width]);
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            declare.set_depth(index + 1);
            layers.push(declare.scope(&format!("layers.{index}"), |declare| layer(config, declare)));
        }
        declare.set_depth(config.num_hidden_layers + 1);
        Arc::new(Qwen3Encoder {
            word,
            layers,
            final_norm: declare.rms_norm("norm", width, config.layer_norm_eps),
            heads: AttentionHeads::scaled(
                config.num_attention_heads,
                head_dim,
                config.attention_probs_dropout_prob,
            ),
            num_key_value_heads: settings.num_key_value_heads,
            rotary: Rotary { theta: settings.rope_theta, head_dim },
            activation: config.hidden_act,
        })
    }

    fn predicts(&self) -> HeadKind {
        HeadKind::CausalLm
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let decoder = decoder(config, word_embeddings, "lm_head.weight", declare);
        TokenHead { transform: None, decoder, bias: None }
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        score(config, settings(config).pad_token_id, num_labels, declare)
    }

    fn head_scopes(&self) -> &'static [&'static str] {
        &["lm_head.", "score.", "qa_outputs."]
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[("lm_head.weight", "model.embed_tokens.weight")]
    }
}

fn layer(config: &Config, declare: &mut Declaration) -> Layer {
    let (settings, width, inner) = (settings(config), config.hidden_size, config.intermediate_size);
    let (head_dim, epsilon, bias) = (settings.head_dim, config.layer_norm_eps, settings.attention_bias);
    let queries = config.num_attention_heads * head_dim;
    let keys = settings.num_key_value_heads * head_dim;
    let head_norm = |name: &str, declare: &mut Declaration| {
        settings.head_norms.then(|| declare.rms_norm(name, head_dim, epsilon))
    };
    Layer {
        attention_norm: declare.rms_norm("input_layernorm", width, epsilon),
        query: declare.linear_with(bias, "self_attn.q_proj", [width, queries]),
        key: declare.linear_with(bias, "self_attn.k_proj", [width, keys]),
        value: declare.linear_with(bias, "self_attn.v_proj", [width, keys]),
        attention_output: declare.linear_with(bias, "self_attn.o_proj", [queries, width]),
        query_norm: head_norm("self_attn.q_norm", declare),
        key_norm: head_norm("self_attn.k_norm", declare),
        feed_forward_norm: declare.rms_norm("post_attention_layernorm", width, epsilon),
        gate: declare.linear_with(settings.mlp_bias, "mlp.gate_proj", [width, inner]),
        up: declare.linear_with(settings.mlp_bias, "mlp.up_proj", [width, inner]),
        down: declare.linear_with(settings.mlp_bias, "mlp.down_proj", [inner, width]),
    }
}

#[derive(Debug)]
struct Layer {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    query_norm: Option<RmsNorm>,
    key_norm: Option<RmsNorm>,
    feed_forward_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

#[derive(Debug)]
struct Qwen3Encoder {
    word: MatrixId,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
    heads: AttentionHeads,
    num_key_value_heads: usize,
    rotary: Rotary,
    activation: Activation,
}

impl TextEncoder for Qwen3Encoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let rotary = self.rotary.tables(pass, batch);
        let mut state = pass.lookup(self.word, batch.input_ids.clone());
        for layer in &self.layers {
            visit(&state);
            state = self.attention(layer, pass, batch, state, &rotary);
            state = self.feed_forward(layer, pass, state);
        }
        self.final_norm.forward(pass, state)
    }

    fn word_embeddings(&self) -> MatrixId {
        self.word
    }
}

impl Qwen3Encoder {
    fn attention(
        &self,
        layer: &Layer,
        pass: &Pass,
        batch: &PackedBatch,
        x: Tensor<2>,
        rotary: &RotaryTables,
    ) -> Tensor<2> {
        let head_dim = self.rotary.head_dim;
        let normal = layer.attention_norm.forward(pass, x.clone());
        let query = layer.query.forward(pass, normal.clone());
        let normalised = |norm: &Option<RmsNorm>, x: Tensor<2>| match norm {
            Some(norm) => norm.forward_heads(pass, x, head_dim),
            None => x,
        };
        let query = rotary.rotate(normalised(&layer.query_norm, query));
        let key = layer.key.forward(pass, normal.clone());
        let key = rotary.rotate(normalised(&layer.key_norm, key));
        let value = layer.value.forward(pass, normal);
        let parts = [query, self.repeat(key), self.repeat(value)];
        let context = self.heads.attend(pass, batch, parts, None, Visibility::Causal);
        x + layer.attention_output.forward(pass, context)
    }

    /// Each head of keys or values as often as queries share it.
    ///
    /// # Shapes
    /// - `x`: `[T, num_key_value_heads * head_dim]`
    /// - output: `[T, num_heads * head_dim]`
    fn repeat(&self, x: Tensor<2>) -> Tensor<2> {
        let (heads, head_dim) = (self.num_key_value_heads, self.rotary.head_dim);
        let copies = self.heads.num_heads / heads;
        if copies == 1 {
            return x;
        }
        let tokens = x.dims()[0];
        let apart: Tensor<4> = x.reshape([tokens, heads, 1, head_dim]);
        apart.repeat_dim(2, copies).reshape([tokens, heads * copies * head_dim])
    }

    fn feed_forward(&self, layer: &Layer, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let normal = layer.feed_forward_norm.forward(pass, x.clone());
        let gate = layer.gate.forward_activation(pass, normal.clone(), self.activation);
        x + layer.down.forward(pass, gate * layer.up.forward(pass, normal))
    }
}
