//! RoBERTa, XLM-RoBERTa and CamemBERT: one code, three vocabularies.

use super::{Architecture, bert::bert_encoder, decoder};
use crate::config::Config;
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, HeadKind, TokenHead, TokenTransform,
};
use crate::layers::{Linear, TextEncoder};
use crate::ops::Activation;
use crate::parameters::{Declaration, MatrixId};
use std::sync::Arc;

pub(super) struct Roberta;

impl Architecture for Roberta {
    fn prefix(&self) -> &'static str {
        "roberta"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        Arc::new(bert_encoder(config, declare, |_| None))
    }

    fn pooler(&self, config: &Config, declare: &mut Declaration) -> Option<Linear> {
        Some(declare.linear("pooler.dense", [config.hidden_size; 2]))
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        lm_head(config, word_embeddings, declare)
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        classifier(config, num_labels, Activation::Tanh, declare)
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
            ("lm_head.decoder.bias", "lm_head.bias"),
        ]
    }
}

/// The `lm_head` that RoBERTa and MPNet share; its activation is GELU whatever the config says.
pub(super) fn lm_head(config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
    let hidden = config.hidden_size;
    declare.scope("lm_head", |declare| TokenHead {
        transform: Some(TokenTransform {
            dense: declare.linear("dense", [hidden, hidden]),
            activation: Activation::Gelu,
            norm: declare.norm("layer_norm", hidden, config.layer_norm_eps),
        }),
        decoder: decoder(config, word_embeddings, "decoder.weight", declare),
        bias: Some(declare.bias("bias", config.vocab_size)),
    })
}

/// The `classifier` that RoBERTa, MPNet and (with another activation) ELECTRA share.
pub(super) fn classifier(
    config: &Config,
    num_labels: usize,
    activation: Activation,
    declare: &mut Declaration,
) -> ClassificationHead {
    let hidden = config.hidden_size;
    declare.scope("classifier", |declare| ClassificationHead {
        state: ClassifiedState::First,
        input_dropout: config.classifier_dropout,
        dense: Some(ClassificationDense {
            linear: declare.linear("dense", [hidden, hidden]),
            activation,
            norm: None,
        }),
        dropout: config.classifier_dropout,
        output: declare.linear("out_proj", [hidden, num_labels]),
    })
}
