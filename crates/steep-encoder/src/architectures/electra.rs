//! ELECTRA: BERT's encoder with its own embedding size; the masked-LM head is the generator's.

use super::{Architecture, bert::bert_encoder, decoder, roberta::classifier};
use crate::config::Config;
use crate::heads::{ClassificationHead, HeadKind, TokenHead, TokenTransform};
use crate::layers::{Linear, TextEncoder};
use crate::ops::Activation;
use crate::parameters::{Declaration, MatrixId};
use std::sync::Arc;

pub(super) struct Electra;

impl Architecture for Electra {
    fn prefix(&self) -> &'static str {
        "electra"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let sizes = [config.embedding_size, config.hidden_size];
        Arc::new(bert_encoder(config, declare, |declare| {
            (sizes[0] != sizes[1]).then(|| declare.linear("embeddings_project", sizes))
        }))
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let (hidden, width) = (config.hidden_size, config.embedding_size);
        let (dense, norm) = declare.scope("generator_predictions", |declare| {
            let norm = declare.norm("LayerNorm", width, config.layer_norm_eps);
            (declare.linear("dense", [hidden, width]), norm)
        });
        declare.scope("generator_lm_head", |declare| TokenHead {
            transform: Some(TokenTransform { dense, activation: Activation::Gelu, norm }),
            decoder: decoder(config, word_embeddings, "weight", declare),
            bias: Some(declare.bias("bias", config.vocab_size)),
        })
    }

    fn classification(
        &self,
        config: &Config,
        num_labels: usize,
        _: Option<Linear>,
        declare: &mut Declaration,
    ) -> ClassificationHead {
        classifier(config, num_labels, Activation::Gelu, declare)
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[("generator_lm_head.weight", "electra.embeddings.word_embeddings.weight")]
    }
}
