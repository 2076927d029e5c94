//! BERT: `BertModel`, `BertForMaskedLM`, `BertForSequenceClassification`.

use super::{Architecture, bert_layer, decoder, layers};
use crate::config::Config;
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, HeadKind, TokenHead, TokenTransform,
};
use crate::layers::{Embeddings, Encoder, Linear, TextEncoder};
use crate::ops::{Activation, Visibility};
use crate::parameters::{Declaration, MatrixId};
use std::sync::Arc;

pub(super) struct Bert;

impl Architecture for Bert {
    fn prefix(&self) -> &'static str {
        "bert"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        Arc::new(bert_encoder(config, declare, |_| None))
    }

    fn pooler(&self, config: &Config, declare: &mut Declaration) -> Option<Linear> {
        Some(declare.linear("pooler.dense", [config.hidden_size; 2]))
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let hidden = config.hidden_size;
        declare.scope("cls.predictions", |declare| TokenHead {
            transform: Some(TokenTransform {
                dense: declare.linear("transform.dense", [hidden, hidden]),
                activation: config.hidden_act,
                norm: declare.norm("transform.LayerNorm", hidden, config.layer_norm_eps),
            }),
            decoder: decoder(config, word_embeddings, "decoder.weight", declare),
            bias: Some(declare.bias("bias", config.vocab_size)),
        })
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        pooler: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        ClassificationHead {
            state: ClassifiedState::First,
            input_dropout: 0.0,
            dense: Some(ClassificationDense {
                linear: pooler.expect("BERT declares its pooler before a classification head"),
                activation: Activation::Tanh,
                norm: None,
            }),
            dropout: config.classifier_dropout,
            output: declare.linear("classifier", [config.hidden_size, num_labels]),
        }
    }

    fn classifies_pooled(&self) -> bool {
        true
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
            ("cls.predictions.decoder.bias", "cls.predictions.bias"),
        ]
    }
}

/// The encoder that BERT, RoBERTa and ELECTRA share; `projection` is declared after the
/// embeddings where an architecture has one.
pub(super) fn bert_encoder(
    config: &Config,
    declare: &mut Declaration,
    projection: impl Fn(&mut Declaration) -> Option<Linear>,
) -> Encoder {
    let embeddings = embeddings(config, declare, projection);
    bert_layers(config, embeddings, declare)
}

/// The same after embeddings that are there already.
pub(super) fn bert_layers(config: &Config, embeddings: Embeddings, declare: &mut Declaration) -> Encoder {
    Encoder {
        embeddings,
        layers: layers(config, "encoder.layer", declare, bert_layer),
        relative_bias: None,
        num_attention_heads: config.num_attention_heads,
        head_dim: config.hidden_size / config.num_attention_heads,
        activation: config.hidden_act,
        attention_dropout: config.attention_probs_dropout_prob,
        attention_output_dropout: config.hidden_dropout_prob,
        activation_dropout: 0.0,
        output_dropout: config.hidden_dropout_prob,
        visibility: Visibility::Bidirectional,
    }
}

/// BERT's embeddings with their projection, if any, which has a name of its own.
pub(super) fn embeddings(
    config: &Config,
    declare: &mut Declaration,
    projection: impl Fn(&mut Declaration) -> Option<Linear>,
) -> Embeddings {
    let width = config.embedding_size;
    let embeddings = declare.scope("embeddings", |declare| Embeddings {
        word: declare.matrix("word_embeddings.weight", [config.vocab_size, width]),
        word_scale: 1.0,
        position: Some(declare.matrix("position_embeddings.weight", [config.max_position_embeddings, width])),
        token_type: (config.type_vocab_size > 0)
            .then(|| declare.matrix("token_type_embeddings.weight", [config.type_vocab_size, width])),
        norm: declare.norm("LayerNorm", width, config.layer_norm_eps),
        projection: None,
        first_position: config.first_position(),
        dropout: config.hidden_dropout_prob,
    });
    Embeddings { projection: projection(declare), ..embeddings }
}
