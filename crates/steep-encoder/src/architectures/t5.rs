//! T5 (Raffel et al. 2020): RMSNorm before each part, no biases, and a learned bias by distance that the first layer
//! has for all. Features are the encoder's states; a text is classified by what the decoder makes of it after reading
//! it again.

use super::Architecture;
use crate::batch::PackedBatch;
use crate::config::{Config, Family, Fields};
use crate::error::Result;
use crate::heads::{ClassificationHead, HeadKind, TokenHead};
use crate::layers::{AttentionHeads, Buckets, Linear, RelativePositionBias, RmsNorm, TextEncoder};
use crate::ops::{self, Activation, Visibility};
use crate::parameters::{Bias, Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

/// What only T5's `config.json` has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    head_dim: usize,
    num_decoder_layers: usize,
    relative_attention_max_distance: usize,
    activation: Activation,
    gate: Gate,
    decoder_start_token_id: u32,
    eos_token_id: u32,
}

/// Whether the feed-forward part has a gate (T5 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    None,
    Linear,
}

impl Settings {
    /// `num_layers` are the encoder's.
    pub(crate) fn read(fields: &Fields, num_layers: usize) -> Result<Self> {
        let (activation, gate) = match fields.word("feed_forward_proj", "relu")? {
            "relu" => (Activation::Relu, Gate::None),
            "gelu" => (Activation::Gelu, Gate::None),
            "gelu_new" => (Activation::GeluTanh, Gate::None),
            "gated-gelu" | "gated-gelu_new" => (Activation::GeluTanh, Gate::Linear),
            "gated-silu" => (Activation::Silu, Gate::Linear),
            other => {
                let problem = format!("feed_forward_proj '{other}' is not supported");
                return Err(fields.error(problem, "supported: relu, gelu, gated-gelu, gated-silu"));
            }
        };
        Ok(Self {
            head_dim: fields.size("d_kv", 64, 4096)?,
            num_decoder_layers: fields.size("num_decoder_layers", num_layers, 256)?,
            relative_attention_max_distance: fields.size("relative_attention_max_distance", 128, 1 << 20)?,
            activation,
            gate,
            decoder_start_token_id: fields
                .token_id("decoder_start_token_id")?
                .or(fields.token_id("pad_token_id")?)
                .unwrap_or(0),
            eos_token_id: fields.token_id("eos_token_id")?.unwrap_or(1),
        })
    }
}

pub(super) struct T5;

fn settings(config: &Config) -> &Settings {
    match &config.family {
        Family::T5(settings) => settings,
        _ => unreachable!("the family was read with the model type"),
    }
}

impl Architecture for T5 {
    fn prefix(&self) -> &'static str {
        "transformer"
    }

    fn encoder(
        &self,
        config: &Config,
        head_kind: HeadKind,
        declare: &mut Declaration,
    ) -> Arc<dyn TextEncoder> {
        let word = declare.matrix("shared.weight", [config.vocab_size, config.hidden_size]);
        let encoder = declare.scope("encoder", |declare| stack(config, Side::Encoder, word, declare));
        if !head_kind.reads_twice() {
            return Arc::new(encoder);
        }
        Arc::new(EncoderDecoder {
            encoder,
            decoder: declare.scope("decoder", |declare| stack(config, Side::Decoder, word, declare)),
            decoder_start_token_id: settings(config).decoder_start_token_id,
        })
    }

    fn predicts(&self) -> HeadKind {
        HeadKind::None
    }

    fn has_decoder(&self) -> bool {
        true
    }

    fn token_head(&self, _: &Config, _: MatrixId, _: &mut Declaration) -> TokenHead {
        unreachable!("a head that a family lacks is refused before it is declared")
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        super::classification_head(config, settings(config).eos_token_id, num_labels, declare)
    }

    fn head_scopes(&self) -> &'static [&'static str] {
        &["classification_head.", "lm_head.", "qa_outputs."]
    }

    /// The decoder, where only the encoder is wanted.
    fn leaves_out(&self, name: &str) -> bool {
        name.starts_with("transformer.decoder.")
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("transformer.encoder.embed_tokens.weight", "transformer.shared.weight"),
            ("transformer.decoder.embed_tokens.weight", "transformer.shared.weight"),
        ]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Encoder,
    Decoder,
}

fn stack(config: &Config, side: Side, word: MatrixId, declare: &mut Declaration) -> Stack {
    let (settings, width) = (settings(config), config.hidden_size);
    let (count, below) = match side {
        Side::Encoder => (config.num_hidden_layers, 0),
        Side::Decoder => (settings.num_decoder_layers, config.num_hidden_layers),
    };
    declare.set_depth(below + 1);
    let shape = [config.relative_attention_num_buckets, config.num_attention_heads];
    let relative_bias = RelativePositionBias {
        weight: declare.bias_matrix("block.0.layer.0.SelfAttention.relative_attention_bias.weight", shape),
        num_buckets: config.relative_attention_num_buckets,
        max_distance: settings.relative_attention_max_distance,
        buckets: if side == Side::Encoder { Buckets::BothWays } else { Buckets::Backwards },
    };
    let mut layers = Vec::with_capacity(count);
    for index in 0..count {
        declare.set_depth(below + index + 1);
        layers.push(declare.scope(&format!("block.{index}"), |declare| layer(config, side, declare)));
    }
    declare.set_depth(below + count + 1);
    Stack {
        word,
        relative_bias,
        layers,
        final_norm: declare.rms_norm("final_layer_norm", width, config.layer_norm_eps),
        // T5 does not scale its scores.
        heads: AttentionHeads {
            num_heads: config.num_attention_heads,
            scale: 1.0,
            dropout: config.attention_probs_dropout_prob,
        },
        visibility: if side == Side::Encoder { Visibility::Bidirectional } else { Visibility::Causal },
        activation: settings.activation,
        dropout: config.hidden_dropout_prob,
    }
}

fn layer(config: &Config, side: Side, declare: &mut Declaration) -> Layer {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let gate = settings(config).gate;
    let own = declare.scope("layer.0", |declare| attention(config, "SelfAttention", declare));
    let cross = (side == Side::Decoder)
        .then(|| declare.scope("layer.1", |declare| attention(config, "EncDecAttention", declare)));
    let place = if side == Side::Encoder { "layer.1" } else { "layer.2" };
    declare.scope(place, |declare| {
        let input = if gate == Gate::None { "DenseReluDense.wi" } else { "DenseReluDense.wi_0" };
        Layer {
            attention: own,
            cross,
            input: declare.linear_with(Bias::None, input, [width, inner]),
            gate: (gate == Gate::Linear)
                .then(|| declare.linear_with(Bias::None, "DenseReluDense.wi_1", [width, inner])),
            output: declare.linear_with(Bias::None, "DenseReluDense.wo", [inner, width]),
            norm: declare.rms_norm("layer_norm", width, config.layer_norm_eps),
        }
    })
}

fn attention(config: &Config, name: &str, declare: &mut Declaration) -> Attention {
    let (width, inner) = (config.hidden_size, config.num_attention_heads * settings(config).head_dim);
    let mut linear =
        |part: &str, sizes: [usize; 2]| declare.linear_with(Bias::None, &format!("{name}.{part}"), sizes);
    let (query, key, value) =
        (linear("q", [width, inner]), linear("k", [width, inner]), linear("v", [width, inner]));
    let output = linear("o", [inner, width]);
    Attention {
        query,
        key,
        value,
        output,
        norm: declare.rms_norm("layer_norm", width, config.layer_norm_eps),
    }
}

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: RmsNorm,
}

#[derive(Debug)]
struct Layer {
    attention: Attention,
    /// To the encoder's states, in a decoder.
    cross: Option<Attention>,
    input: Linear,
    gate: Option<Linear>,
    output: Linear,
    norm: RmsNorm,
}

/// The layers of one side.
#[derive(Debug)]
struct Stack {
    word: MatrixId,
    relative_bias: RelativePositionBias,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
    heads: AttentionHeads,
    visibility: Visibility,
    activation: Activation,
    dropout: f32,
}

impl Stack {
    /// The last states `[T, H]`; those of a decoder listen to `encoded` `[T, H]`, sequence by sequence.
    fn states(
        &self,
        pass: &Pass,
        batch: &PackedBatch,
        encoded: Option<&Tensor<2>>,
        visit: &mut dyn FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let bias = self.relative_bias.forward(pass, batch.longest());
        let words = pass.lookup(self.word, batch.input_ids.clone());
        let mut state = self.dropped(pass, words);
        for layer in &self.layers {
            visit(&state);
            state = self.attention(&layer.attention, pass, batch, state, &bias);
            if let (Some(cross), Some(encoded)) = (&layer.cross, encoded) {
                state = self.listen(cross, pass, batch, state, encoded);
            }
            state = self.feed_forward(layer, pass, state);
        }
        self.dropped(pass, self.final_norm.forward(pass, state))
    }

    fn dropped(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        ops::dropout(x, pass.dropout(self.dropout))
    }

    fn attention(
        &self,
        layer: &Attention,
        pass: &Pass,
        batch: &PackedBatch,
        x: Tensor<2>,
        bias: &Tensor<2>,
    ) -> Tensor<2> {
        let normal = layer.norm.forward(pass, x.clone());
        let parts = [&layer.query, &layer.key, &layer.value].map(|part| part.forward(pass, normal.clone()));
        let context = self.heads.attend(pass, batch, parts, Some(bias.clone()), self.visibility);
        x + self.dropped(pass, layer.output.forward(pass, context))
    }

    fn listen(
        &self,
        layer: &Attention,
        pass: &Pass,
        batch: &PackedBatch,
        x: Tensor<2>,
        encoded: &Tensor<2>,
    ) -> Tensor<2> {
        let query = layer.query.forward(pass, layer.norm.forward(pass, x.clone()));
        let [key, value] = [&layer.key, &layer.value].map(|part| part.forward(pass, encoded.clone()));
        let context = self.heads.attend_to(pass, &batch.offsets, [query, key, value], &batch.offsets);
        x + self.dropped(pass, layer.output.forward(pass, context))
    }

    fn feed_forward(&self, layer: &Layer, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let normal = layer.norm.forward(pass, x.clone());
        let mut inner = layer.input.forward_activation(pass, normal.clone(), self.activation);
        if let Some(gate) = layer.gate {
            inner = inner * gate.forward(pass, normal);
        }
        let output = layer.output.forward(pass, self.dropped(pass, inner));
        x + self.dropped(pass, output)
    }
}

impl TextEncoder for Stack {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        self.states(pass, batch, None, visit)
    }

    fn word_embeddings(&self) -> MatrixId {
        self.word
    }
}

/// A text is read by the encoder, and again, a token late, by the decoder.
#[derive(Debug)]
struct EncoderDecoder {
    encoder: Stack,
    decoder: Stack,
    decoder_start_token_id: u32,
}

impl TextEncoder for EncoderDecoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let encoded = self.encoder.forward(pass, batch, visit);
        visit(&encoded);
        let shifted = batch.shifted_right(|_| self.decoder_start_token_id);
        self.decoder.states(pass, &shifted, Some(&encoded), &mut |_| {})
    }

    fn word_embeddings(&self) -> MatrixId {
        self.encoder.word
    }
}
