//! Which tensors does each architecture have, and under which names?
//!
//! One file per architecture declares its parameters under the names that transformers uses and
//! returns the layers that hold them. Adding an architecture is adding a file and its lines here.

pub(crate) mod albert;
pub(crate) mod bart;
mod bert;
pub(crate) mod deberta_v2;
mod distilbert;
mod electra;
pub(crate) mod gpt2;
pub(crate) mod modernbert;
mod mpnet;
pub(crate) mod qwen3;
mod roberta;
pub(crate) mod t5;

use crate::config::{Config, ModelType};
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, GeneratorShape, HeadKind, ReplacedTokenHead,
    TokenHead,
};
use crate::layers::{EncoderLayer, Linear, TextEncoder};
use crate::ops::Activation;
use crate::parameters::{Bias, Declaration, MatrixId};
use std::sync::Arc;

/// Beginnings of the heads' names in BERT and its nearest relatives.
const BERT_HEAD_SCOPES: [&str; 12] = [
    "cls.",
    "lm_head.",
    "classifier.",
    "pre_classifier.",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "generator_predictions.",
    "generator_lm_head.",
    "discriminator_predictions.",
    "qa_outputs.",
    "generator.",
];

/// What an architecture declares.
pub(crate) trait Architecture {
    /// Prefix of the encoder's names when a head is beside it, such as `bert`.
    fn prefix(&self) -> &'static str;

    /// Embeddings and layers; `head_kind` says what the states are for.
    fn encoder(
        &self,
        config: &Config,
        head_kind: HeadKind,
        declare: &mut Declaration,
    ) -> Arc<dyn TextEncoder>;

    /// The dense layer over the first token that some architectures have inside the encoder.
    fn pooler(&self, _: &Config, _: &mut Declaration) -> Option<Linear> {
        None
    }

    /// Whether the classification head stands on the pooler.
    fn classifies_pooled(&self) -> bool {
        false
    }

    /// Which tokens the family predicts: [`HeadKind::MaskedLm`], [`HeadKind::CausalLm`],
    /// [`HeadKind::Seq2Seq`], or [`HeadKind::None`].
    fn predicts(&self) -> HeadKind {
        HeadKind::MaskedLm
    }

    /// Whether a second half reads the text again after the encoder.
    fn has_decoder(&self) -> bool {
        false
    }

    /// The head that predicts tokens.
    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead;

    /// The sequence-classification head.
    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        pooler: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead;

    /// The head that finds replaced tokens, where the family has one.
    fn replaced_tokens(
        &self,
        _: &Config,
        _: Option<GeneratorShape>,
        _: &mut Declaration,
    ) -> Option<ReplacedTokenHead> {
        None
    }

    /// Whether the family has such a head.
    fn finds_replaced_tokens(&self) -> bool {
        false
    }

    /// Beginnings of names that stand beside the encoder in files that have a head.
    fn head_scopes(&self) -> &'static [&'static str] {
        &BERT_HEAD_SCOPES
    }

    /// Whether a tensor that belongs to the whole model is none of what is loaded here.
    fn leaves_out(&self, _name: &str) -> bool {
        false
    }

    /// Pairs (alias, original) of tensors that a file may hold twice or only under the alias.
    fn tied_names(&self) -> &'static [(&'static str, &'static str)];
}

/// The architecture of a model type.
pub(crate) fn of(model_type: ModelType) -> &'static dyn Architecture {
    match model_type {
        ModelType::Bert => &bert::Bert,
        ModelType::DistilBert => &distilbert::DistilBert,
        ModelType::Roberta | ModelType::XlmRoberta | ModelType::Camembert => &roberta::Roberta,
        ModelType::Mpnet => &mpnet::Mpnet,
        ModelType::Electra => &electra::Electra,
        ModelType::ModernBert => &modernbert::ModernBert,
        ModelType::Gpt2 => &gpt2::Gpt2,
        ModelType::Qwen3 | ModelType::Llama => &qwen3::Qwen3,
        ModelType::Albert => &albert::Albert,
        ModelType::Bart | ModelType::Mbart => &bart::Bart,
        ModelType::T5 => &t5::T5,
        ModelType::DebertaV2 => &deberta_v2::DebertaV2,
    }
}

/// The decoder of a masked-LM head: the word embedding itself, or its own matrix when untied.
fn decoder(config: &Config, word_embeddings: MatrixId, name: &str, declare: &mut Declaration) -> MatrixId {
    if config.tie_word_embeddings {
        return word_embeddings;
    }
    declare.matrix(name, [config.vocab_size, config.embedding_size])
}

/// The classification head of decoders: one linear layer over the last token that does not pad.
fn score(
    config: &Config,
    pad_token_id: Option<u32>,
    num_labels: usize,
    declare: &mut Declaration,
) -> ClassificationHead {
    ClassificationHead {
        state: ClassifiedState::LastBut(pad_token_id),
        input_dropout: 0.0,
        dense: None,
        dropout: 0.0,
        output: declare.linear_with(Bias::None, "score", [config.hidden_size, num_labels]),
    }
}

/// The `classification_head` of encoder-decoders, over the decoder's state where the text ends.
fn classification_head(
    config: &Config,
    eos_token_id: u32,
    num_labels: usize,
    declare: &mut Declaration,
) -> ClassificationHead {
    let hidden = config.hidden_size;
    declare.scope("classification_head", |declare| ClassificationHead {
        state: ClassifiedState::LastOf(eos_token_id),
        input_dropout: config.classifier_dropout,
        dense: Some(ClassificationDense {
            linear: declare.linear("dense", [hidden, hidden]),
            activation: Activation::Tanh,
            norm: None,
        }),
        dropout: config.classifier_dropout,
        output: declare.linear("out_proj", [hidden, num_labels]),
    })
}

/// BERT's names of one layer, which RoBERTa, ELECTRA and partly MPNet share.
fn bert_layer(config: &Config, declare: &mut Declaration) -> EncoderLayer {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let square = [hidden, hidden];
    EncoderLayer {
        query: declare.linear("attention.self.query", square),
        key: declare.linear("attention.self.key", square),
        value: declare.linear("attention.self.value", square),
        attention_output: declare.linear("attention.output.dense", square),
        attention_norm: declare.norm("attention.output.LayerNorm", hidden, config.layer_norm_eps),
        intermediate: declare.linear("intermediate.dense", [hidden, inner]),
        output: declare.linear("output.dense", [inner, hidden]),
        output_norm: declare.norm("output.LayerNorm", hidden, config.layer_norm_eps),
    }
}

/// Layers `scope.0`, `scope.1`, … with their depths.
fn layers(
    config: &Config,
    scope: &str,
    declare: &mut Declaration,
    layer: impl Fn(&Config, &mut Declaration) -> EncoderLayer,
) -> Vec<EncoderLayer> {
    let mut layers = Vec::with_capacity(config.num_hidden_layers);
    for index in 0..config.num_hidden_layers {
        declare.set_depth(index + 1);
        layers.push(declare.scope(&format!("{scope}.{index}"), |declare| layer(config, declare)));
    }
    declare.set_depth(config.num_hidden_layers + 1);
    layers
}
