//! BART (Lewis et al. 2020): an encoder, and a decoder that listens to it. Features are the encoder's states; a text is
//! classified by what the decoder makes of it after reading it again.

use super::Architecture;
use crate::batch::PackedBatch;
use crate::config::{Config, Family, Fields};
use crate::error::Result;
use crate::heads::{ClassificationHead, HeadKind, TokenHead};
use crate::layers::{AttentionHeads, Embeddings, Encoder, EncoderLayer, Linear, Norm, TextEncoder};
use crate::ops::Visibility;
use crate::parameters::{Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use serde_json::json;
use std::sync::Arc;

/// What only BART's `config.json` has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    decoder_layers: usize,
    decoder_attention_heads: usize,
    decoder_ffn_dim: usize,
    activation_dropout: f32,
    scale_embedding: bool,
    decoder_start_token_id: u32,
    eos_token_id: u32,
}

impl Settings {
    /// `hidden_size` is that of encoder and decoder.
    pub(crate) fn read(fields: &Fields, hidden_size: usize) -> Result<Self> {
        fields.refuse("tie_word_embeddings", &json!(true))?;
        let eos_token_id = fields.token_id("eos_token_id")?.unwrap_or(2);
        let decoder_attention_heads = fields.size("decoder_attention_heads", 16, 1024)?;
        if !hidden_size.is_multiple_of(decoder_attention_heads) {
            let problem = format!(
                "d_model {hidden_size} is not a multiple of decoder_attention_heads {decoder_attention_heads}"
            );
            return Err(fields.error(problem, "the file may be damaged; download the model again"));
        }
        Ok(Self {
            decoder_layers: fields.size("decoder_layers", 12, 256)?,
            decoder_attention_heads,
            decoder_ffn_dim: fields.size("decoder_ffn_dim", 4096, 131_072)?,
            activation_dropout: fields.number("activation_dropout", 0.0, 0.0..=0.99)?,
            scale_embedding: fields.flag("scale_embedding", false)?,
            decoder_start_token_id: fields.token_id("decoder_start_token_id")?.unwrap_or(eos_token_id),
            eos_token_id,
        })
    }
}

/// Positions are counted from here, so that the first rows of their table are never used.
const FIRST_POSITION: u32 = 2;

pub(super) struct Bart;

fn settings(config: &Config) -> &Settings {
    match &config.family {
        Family::Bart(settings) => settings,
        _ => unreachable!("the family was read with the model type"),
    }
}

impl Architecture for Bart {
    fn prefix(&self) -> &'static str {
        "model"
    }

    fn encoder(
        &self,
        config: &Config,
        head_kind: HeadKind,
        declare: &mut Declaration,
    ) -> Arc<dyn TextEncoder> {
        let word = declare.matrix("shared.weight", [config.vocab_size, config.hidden_size]);
        let encoder = declare.scope("encoder", |declare| encoder(config, word, declare));
        let declare_decoder =
            |declare: &mut Declaration| declare.scope("decoder", |declare| decoder(config, word, declare));
        if !matches!(head_kind, HeadKind::SequenceClassification { .. }) {
            // Kept, so that what is saved is whole.
            declare.unused(declare_decoder);
            return Arc::new(encoder);
        }
        Arc::new(EncoderDecoder {
            encoder,
            decoder: declare_decoder(declare),
            decoder_start_token_id: settings(config).decoder_start_token_id,
        })
    }

    fn predicts(&self) -> HeadKind {
        HeadKind::None
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
        &["classification_head.", "lm_head.", "final_logits_bias", "qa_outputs."]
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("model.encoder.embed_tokens.weight", "model.shared.weight"),
            ("model.decoder.embed_tokens.weight", "model.shared.weight"),
        ]
    }
}

fn embeddings(config: &Config, word: MatrixId, declare: &mut Declaration) -> Embeddings {
    let width = config.hidden_size;
    let rows = config.max_position_embeddings + FIRST_POSITION as usize;
    let position = declare.matrix("embed_positions.weight", [rows, width]);
    Embeddings {
        word,
        word_scale: if settings(config).scale_embedding { (width as f32).sqrt() } else { 1.0 },
        position: Some(position),
        token_type: None,
        norm: declare.norm("layernorm_embedding", width, config.layer_norm_eps),
        projection: None,
        first_position: FIRST_POSITION,
        dropout: config.hidden_dropout_prob,
    }
}

/// Embeddings and layers of either side; `declare_layers` declares the latter.
fn stack<L>(
    config: &Config,
    word: MatrixId,
    num_attention_heads: usize,
    declare: &mut Declaration,
    declare_layers: impl FnOnce(&mut Declaration) -> (Vec<EncoderLayer>, L),
) -> (Encoder, L) {
    let embeddings = embeddings(config, word, declare);
    let (layers, more) = declare_layers(declare);
    let stack = Encoder {
        embeddings,
        layers,
        relative_bias: None,
        num_attention_heads,
        head_dim: config.hidden_size / num_attention_heads,
        activation: config.hidden_act,
        attention_dropout: config.attention_probs_dropout_prob,
        attention_output_dropout: config.hidden_dropout_prob,
        activation_dropout: settings(config).activation_dropout,
        output_dropout: config.hidden_dropout_prob,
        visibility: Visibility::Bidirectional,
    };
    (stack, more)
}

fn encoder(config: &Config, word: MatrixId, declare: &mut Declaration) -> Encoder {
    let inner = config.intermediate_size;
    let declare_layers = |declare: &mut Declaration| {
        (super::layers(config, "layers", declare, |config, declare| layer(config, inner, declare)), ())
    };
    stack(config, word, config.num_attention_heads, declare, declare_layers).0
}

fn decoder(config: &Config, word: MatrixId, declare: &mut Declaration) -> Decoder {
    let settings = settings(config);
    let below = config.num_hidden_layers;
    let declare_layers = |declare: &mut Declaration| {
        let (mut layers, mut cross) = (Vec::new(), Vec::new());
        for index in 0..settings.decoder_layers {
            declare.set_depth(below + index + 1);
            declare.scope(&format!("layers.{index}"), |declare| {
                layers.push(layer(config, settings.decoder_ffn_dim, declare));
                cross.push(cross_attention(config, declare));
            });
        }
        declare.set_depth(below + settings.decoder_layers + 1);
        (layers, cross)
    };
    let (stack, cross) = stack(config, word, settings.decoder_attention_heads, declare, declare_layers);
    let heads = AttentionHeads::scaled(
        settings.decoder_attention_heads,
        stack.head_dim,
        config.attention_probs_dropout_prob,
    );
    Decoder { stack: Encoder { visibility: Visibility::Causal, ..stack }, cross, heads }
}

fn layer(config: &Config, inner: usize, declare: &mut Declaration) -> EncoderLayer {
    let hidden = config.hidden_size;
    let square = [hidden, hidden];
    EncoderLayer {
        query: declare.linear("self_attn.q_proj", square),
        key: declare.linear("self_attn.k_proj", square),
        value: declare.linear("self_attn.v_proj", square),
        attention_output: declare.linear("self_attn.out_proj", square),
        attention_norm: declare.norm("self_attn_layer_norm", hidden, config.layer_norm_eps),
        intermediate: declare.linear("fc1", [hidden, inner]),
        output: declare.linear("fc2", [inner, hidden]),
        output_norm: declare.norm("final_layer_norm", hidden, config.layer_norm_eps),
    }
}

fn cross_attention(config: &Config, declare: &mut Declaration) -> CrossAttention {
    let hidden = config.hidden_size;
    let square = [hidden, hidden];
    CrossAttention {
        query: declare.linear("encoder_attn.q_proj", square),
        key: declare.linear("encoder_attn.k_proj", square),
        value: declare.linear("encoder_attn.v_proj", square),
        output: declare.linear("encoder_attn.out_proj", square),
        norm: declare.norm("encoder_attn_layer_norm", hidden, config.layer_norm_eps),
    }
}

/// What a decoder layer hears of the encoder, between its two halves.
#[derive(Debug)]
struct CrossAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
}

#[derive(Debug)]
struct Decoder {
    stack: Encoder,
    /// Of each layer.
    cross: Vec<CrossAttention>,
    heads: AttentionHeads,
}

impl Decoder {
    /// The last states `[T, H]` of a batch whose sequences listen to `encoded` `[T, H]`, sequence by sequence.
    fn forward(&self, pass: &Pass, batch: &PackedBatch, encoded: &Tensor<2>) -> Tensor<2> {
        let mut state = self.stack.embeddings.forward(pass, batch);
        for (layer, cross) in self.stack.layers.iter().zip(&self.cross) {
            state = self.stack.attention(layer, pass, state, None, batch);
            state = self.listen(cross, pass, state, batch, encoded);
            state = self.stack.feed_forward(layer, pass, state);
        }
        state
    }

    fn listen(
        &self,
        cross: &CrossAttention,
        pass: &Pass,
        x: Tensor<2>,
        batch: &PackedBatch,
        encoded: &Tensor<2>,
    ) -> Tensor<2> {
        let query = cross.query.forward(pass, x.clone());
        let key = cross.key.forward(pass, encoded.clone());
        let value = cross.value.forward(pass, encoded.clone());
        let context = self.heads.attend_to(pass, batch, [query, key, value], &batch.offsets);
        let output = cross.output.forward(pass, context);
        let dropout = pass.dropout(self.stack.attention_output_dropout);
        cross.norm.forward_sum(pass, output, x, dropout)
    }
}

/// A text is read by the encoder, and again, a token late, by the decoder.
#[derive(Debug)]
struct EncoderDecoder {
    encoder: Encoder,
    decoder: Decoder,
    decoder_start_token_id: u32,
}

impl TextEncoder for EncoderDecoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let encoded = self.encoder.forward(pass, batch, visit);
        visit(&encoded);
        self.decoder.forward(pass, &batch.shifted_right(self.decoder_start_token_id), &encoded)
    }

    fn word_embeddings(&self) -> MatrixId {
        self.encoder.word_embeddings()
    }
}
