//! ELECTRA (Clark et al. 2020): BERT's encoder with its own embedding size; the masked-LM head is the generator's.

use super::bert::{bert_encoder, bert_layers};
use super::{Architecture, decoder, roberta::classifier};
use crate::config::Config;
use crate::heads::{
    ClassificationHead, Generator, GeneratorShape, HeadKind, ReplacedTokenHead, TokenHead, TokenTransform,
};
use crate::layers::{Embeddings, Linear, TextEncoder};
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
        token_head(config, word_embeddings, declare)
    }

    fn finds_replaced_tokens(&self) -> bool {
        true
    }

    fn replaced_tokens(
        &self,
        config: &Config,
        generator: Option<GeneratorShape>,
        declare: &mut Declaration,
    ) -> Option<ReplacedTokenHead> {
        let hidden = config.hidden_size;
        let (dense, prediction) = declare.scope("discriminator_predictions", |declare| {
            (declare.linear("dense", [hidden, hidden]), declare.linear("dense_prediction", [hidden, 1]))
        });
        let generator = generator.map(|shape| declare_generator(config, shape, declare));
        Some(ReplacedTokenHead { dense, activation: config.hidden_act, prediction, generator })
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

/// The generator under names of its own; words, positions and token types are the discriminator's.
fn declare_generator(config: &Config, shape: GeneratorShape, declare: &mut Declaration) -> Generator {
    let config = Config {
        hidden_size: shape.hidden_size,
        num_hidden_layers: shape.num_hidden_layers,
        num_attention_heads: shape.num_attention_heads,
        intermediate_size: shape.intermediate_size,
        ..config.clone()
    };
    let shared = |table: &str, declare: &Declaration| {
        declare.declared(&format!("electra.embeddings.{table}_embeddings.weight"))
    };
    let word = shared("word", declare).expect("the encoder is declared before its heads");
    let (position, token_type) = (shared("position", declare), shared("token_type", declare));
    let sizes = [config.embedding_size, config.hidden_size];
    declare.scope("generator", |declare| {
        let norm = declare.norm("embeddings.LayerNorm", config.embedding_size, config.layer_norm_eps);
        let projection = (sizes[0] != sizes[1]).then(|| declare.linear("embeddings_project", sizes));
        let embeddings = Embeddings {
            word,
            word_scale: 1.0,
            position,
            token_type,
            norm,
            projection,
            first_position: config.first_position(),
            dropout: config.hidden_dropout_prob,
        };
        let encoder = bert_layers(&config, embeddings, declare);
        Generator { encoder, token_head: token_head(&config, word, declare) }
    })
}

fn token_head(config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
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
