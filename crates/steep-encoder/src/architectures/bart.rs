//! BART (Lewis et al. 2020): an encoder, and a decoder that listens to it. Features are the encoder's states; a text is
//! classified by what the decoder makes of it after reading it again. mBART (Liu et al. 2020) normalises before each part
//! of a layer, and its decoder begins with the last token, the language.

use super::Architecture;
use crate::config::{Config, Family, Fields, ModelType};
use crate::error::Result;
use crate::heads::{ClassificationHead, HeadKind, TokenHead};
use crate::layers::{
    AttentionHeads, CrossAttention, DecoderStart, Embeddings, Encoder, EncoderDecoder, EncoderLayer, Linear,
    Stack, States, TextEncoder,
};
use crate::ops::Visibility;
use crate::parameters::{Declaration, MatrixId};
use serde_json::json;
use std::sync::Arc;

/// What only the `config.json` of BART and mBART has.
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
        let is_read = head_kind.reads_twice() || head_kind == HeadKind::Seq2Seq;
        if !is_read {
            // Kept, so that what is saved is whole.
            declare.unused(declare_decoder);
            return Arc::new(encoder);
        }
        Arc::new(EncoderDecoder {
            encoder,
            decoder: declare_decoder(declare),
            start: match config.model_type {
                ModelType::Mbart => DecoderStart::LastToken,
                _ => DecoderStart::Token(settings(config).decoder_start_token_id),
            },
            states: if head_kind.reads_twice() { States::Decoder } else { States::Encoder },
        })
    }

    fn predicts(&self) -> HeadKind {
        HeadKind::Seq2Seq
    }

    fn has_decoder(&self) -> bool {
        true
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        TokenHead {
            transform: None,
            decoder: word_embeddings,
            bias: Some(declare.constant_row("final_logits_bias", config.vocab_size)),
        }
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
            ("lm_head.weight", "model.shared.weight"),
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

/// Sizes of a side.
struct Side {
    num_layers: usize,
    num_attention_heads: usize,
    ffn_dim: usize,
    /// Layers below its first.
    below: usize,
}

/// A stack without what makes it a decoder; `each_layer` declares what a layer has more.
fn stack(
    config: &Config,
    word: MatrixId,
    side: &Side,
    declare: &mut Declaration,
    mut each_layer: impl FnMut(&mut Declaration),
) -> Stack {
    let embeddings = embeddings(config, word, declare);
    let mut layers = Vec::with_capacity(side.num_layers);
    for index in 0..side.num_layers {
        declare.set_depth(side.below + index + 1);
        declare.scope(&format!("layers.{index}"), |declare| {
            layers.push(layer(config, side.ffn_dim, declare));
            each_layer(declare);
        });
    }
    declare.set_depth(side.below + side.num_layers + 1);
    let is_pre_norm = config.model_type == ModelType::Mbart;
    let head_dim = config.hidden_size / side.num_attention_heads;
    let parts = Encoder {
        embeddings,
        layers,
        relative_bias: None,
        num_attention_heads: side.num_attention_heads,
        head_dim,
        activation: config.hidden_act,
        attention_dropout: config.attention_probs_dropout_prob,
        attention_output_dropout: config.hidden_dropout_prob,
        activation_dropout: settings(config).activation_dropout,
        output_dropout: config.hidden_dropout_prob,
        visibility: Visibility::Bidirectional,
    };
    Stack {
        parts,
        cross: Vec::new(),
        heads: AttentionHeads::scaled(
            side.num_attention_heads,
            head_dim,
            config.attention_probs_dropout_prob,
        ),
        final_norm: is_pre_norm
            .then(|| declare.norm("layer_norm", config.hidden_size, config.layer_norm_eps)),
    }
}

fn encoder(config: &Config, word: MatrixId, declare: &mut Declaration) -> Stack {
    let side = Side {
        num_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        ffn_dim: config.intermediate_size,
        below: 0,
    };
    stack(config, word, &side, declare, |_| ())
}

fn decoder(config: &Config, word: MatrixId, declare: &mut Declaration) -> Stack {
    let settings = settings(config);
    let side = Side {
        num_layers: settings.decoder_layers,
        num_attention_heads: settings.decoder_attention_heads,
        ffn_dim: settings.decoder_ffn_dim,
        below: config.num_hidden_layers,
    };
    let mut cross = Vec::new();
    let stack = stack(config, word, &side, declare, |declare| cross.push(cross_attention(config, declare)));
    let parts = Encoder { visibility: Visibility::Causal, ..stack.parts };
    Stack { parts, cross, ..stack }
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
