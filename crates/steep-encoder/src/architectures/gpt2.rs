//! GPT-2 (Radford et al. 2019): a decoder, here as a text encoder whose tokens listen to those before them.

use super::{Architecture, decoder, score};
use crate::batch::PackedBatch;
use crate::config::{Config, Family, Fields};
use crate::error::Result;
use crate::heads::{ClassificationHead, HeadKind, TokenHead};
use crate::layers::{AttentionHeads, Linear, Norm, TextEncoder};
use crate::ops::{self, Activation, Visibility};
use crate::parameters::{Declaration, MatrixId, Orientation, VectorId};
use crate::pass::Pass;
use burn::Tensor;
use serde_json::json;
use std::sync::Arc;

/// What only GPT-2's `config.json` has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    embedding_dropout: f32,
    pad_token_id: Option<u32>,
}

impl Settings {
    pub(crate) fn read(fields: &Fields) -> Result<Self> {
        fields.refuse("scale_attn_weights", &json!(true))?;
        fields.refuse("scale_attn_by_inverse_layer_idx", &json!(false))?;
        Ok(Self {
            embedding_dropout: fields.number("embd_pdrop", 0.1, 0.0..=0.99)?,
            pad_token_id: fields.token_id("pad_token_id")?,
        })
    }
}

pub(super) struct Gpt2;

fn settings(config: &Config) -> &Settings {
    match &config.family {
        Family::Gpt2(settings) => settings,
        _ => unreachable!("the family was read with the model type"),
    }
}

impl Architecture for Gpt2 {
    fn prefix(&self) -> &'static str {
        "transformer"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let word = declare.matrix("wte.weight", [config.vocab_size, width]);
        let position = declare.matrix("wpe.weight", [config.max_position_embeddings, width]);
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            declare.set_depth(index + 1);
            layers.push(declare.scope(&format!("h.{index}"), |declare| Layer {
                attention_norm: declare.norm("ln_1", width, epsilon),
                query_key_value: Conv1d::declare(declare, "attn.c_attn", [width, 3 * width]),
                attention_output: Conv1d::declare(declare, "attn.c_proj", [width, width]),
                feed_forward_norm: declare.norm("ln_2", width, epsilon),
                intermediate: Conv1d::declare(declare, "mlp.c_fc", [width, inner]),
                output: Conv1d::declare(declare, "mlp.c_proj", [inner, width]),
            }));
        }
        declare.set_depth(config.num_hidden_layers + 1);
        let heads = AttentionHeads::scaled(
            config.num_attention_heads,
            width / config.num_attention_heads,
            config.attention_probs_dropout_prob,
        );
        Arc::new(Gpt2Encoder {
            word,
            position,
            layers,
            final_norm: declare.norm("ln_f", width, epsilon),
            heads,
            activation: config.hidden_act,
            embedding_dropout: settings(config).embedding_dropout,
            residual_dropout: config.hidden_dropout_prob,
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
        &["lm_head.", "score.", "multiple_choice_head."]
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[("lm_head.weight", "transformer.wte.weight")]
    }
}

/// A linear layer whose weight is stored as `[in, out]`.
#[derive(Debug, Clone, Copy)]
struct Conv1d {
    weight: MatrixId,
    bias: VectorId,
}

impl Conv1d {
    fn declare(declare: &mut Declaration, name: &str, [in_features, out_features]: [usize; 2]) -> Self {
        Self {
            weight: declare.linear_weight(Orientation::InOut, name, [in_features, out_features]),
            bias: declare.bias(&format!("{name}.bias"), out_features),
        }
    }

    fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let beside = pass.beside(self.weight, &x);
        let weight = pass.matrix(self.weight).transpose();
        let y = ops::linear(x, weight, pass.vector(self.bias), pass.precision());
        match beside {
            Some(beside) => y + beside,
            None => y,
        }
    }
}

#[derive(Debug)]
struct Layer {
    attention_norm: Norm,
    query_key_value: Conv1d,
    attention_output: Conv1d,
    feed_forward_norm: Norm,
    intermediate: Conv1d,
    output: Conv1d,
}

#[derive(Debug)]
struct Gpt2Encoder {
    word: MatrixId,
    position: MatrixId,
    layers: Vec<Layer>,
    final_norm: Norm,
    heads: AttentionHeads,
    activation: Activation,
    embedding_dropout: f32,
    /// After the attention's output and after the feed-forward part.
    residual_dropout: f32,
}

impl TextEncoder for Gpt2Encoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let words = pass.lookup(self.word, batch.input_ids.clone());
        let positions = pass.lookup(self.position, batch.position_ids(0));
        let mut state = ops::dropout(words + positions, pass.dropout(self.embedding_dropout));
        for layer in &self.layers {
            visit(&state);
            state = self.attention(layer, pass, batch, state);
            state = self.feed_forward(layer, pass, state);
        }
        self.final_norm.forward(pass, state)
    }

    fn word_embeddings(&self) -> MatrixId {
        self.word
    }
}

impl Gpt2Encoder {
    fn attention(&self, layer: &Layer, pass: &Pass, batch: &PackedBatch, x: Tensor<2>) -> Tensor<2> {
        let normal = layer.attention_norm.forward(pass, x.clone());
        let projected = layer.query_key_value.forward(pass, normal);
        let width = projected.dims()[1] / 3;
        let parts = [0, 1, 2].map(|index| projected.clone().narrow(1, index * width, width));
        let context = self.heads.attend(pass, batch, parts, None, Visibility::Causal);
        let output = layer.attention_output.forward(pass, context);
        x + ops::dropout(output, pass.dropout(self.residual_dropout))
    }

    fn feed_forward(&self, layer: &Layer, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let normal = layer.feed_forward_norm.forward(pass, x.clone());
        let inner = ops::activation(layer.intermediate.forward(pass, normal), self.activation);
        let output = layer.output.forward(pass, inner);
        x + ops::dropout(output, pass.dropout(self.residual_dropout))
    }
}
