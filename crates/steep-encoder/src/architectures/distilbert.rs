//! DistilBERT: BERT's mathematics under other names, without token types and pooler, and without
//! dropout on the attention's output.

use super::{Architecture, decoder, layers};
use crate::config::Config;
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, HeadKind, TokenHead, TokenTransform,
};
use crate::layers::{Embeddings, Encoder, EncoderLayer, Linear, TextEncoder};
use crate::ops::{Activation, Visibility};
use crate::parameters::{Declaration, MatrixId};
use std::sync::Arc;

pub(super) struct DistilBert;

impl Architecture for DistilBert {
    fn prefix(&self) -> &'static str {
        "distilbert"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let width = config.hidden_size;
        let embeddings = declare.scope("embeddings", |declare| Embeddings {
            word: declare.matrix("word_embeddings.weight", [config.vocab_size, width]),
            word_scale: 1.0,
            position: Some(
                declare.matrix("position_embeddings.weight", [config.max_position_embeddings, width]),
            ),
            token_type: None,
            norm: declare.norm("LayerNorm", width, config.layer_norm_eps),
            projection: None,
            first_position: 0,
            dropout: config.hidden_dropout_prob,
        });
        Arc::new(Encoder {
            embeddings,
            layers: layers(config, "transformer.layer", declare, layer),
            relative_bias: None,
            num_attention_heads: config.num_attention_heads,
            head_dim: width / config.num_attention_heads,
            activation: config.hidden_act,
            attention_dropout: config.attention_probs_dropout_prob,
            attention_output_dropout: 0.0,
            activation_dropout: 0.0,
            output_dropout: config.hidden_dropout_prob,
            visibility: Visibility::Bidirectional,
        })
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let hidden = config.hidden_size;
        TokenHead {
            transform: Some(TokenTransform {
                dense: declare.linear("vocab_transform", [hidden, hidden]),
                activation: config.hidden_act,
                norm: declare.norm("vocab_layer_norm", hidden, config.layer_norm_eps),
            }),
            decoder: decoder(config, word_embeddings, "vocab_projector.weight", declare),
            bias: Some(declare.bias("vocab_projector.bias", config.vocab_size)),
        }
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        let hidden = config.hidden_size;
        ClassificationHead {
            state: ClassifiedState::First,
            input_dropout: 0.0,
            dense: Some(ClassificationDense {
                linear: declare.linear("pre_classifier", [hidden, hidden]),
                activation: Activation::Relu,
                norm: None,
            }),
            dropout: config.classifier_dropout,
            output: declare.linear("classifier", [hidden, num_labels]),
        }
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[("vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight")]
    }
}

fn layer(config: &Config, declare: &mut Declaration) -> EncoderLayer {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let square = [hidden, hidden];
    EncoderLayer {
        query: declare.linear("attention.q_lin", square),
        key: declare.linear("attention.k_lin", square),
        value: declare.linear("attention.v_lin", square),
        attention_output: declare.linear("attention.out_lin", square),
        attention_norm: declare.norm("sa_layer_norm", hidden, config.layer_norm_eps),
        intermediate: declare.linear("ffn.lin1", [hidden, inner]),
        output: declare.linear("ffn.lin2", [inner, hidden]),
        output_norm: declare.norm("output_layer_norm", hidden, config.layer_norm_eps),
    }
}
