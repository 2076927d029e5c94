//! MPNet: BERT with a bias by relative position, shared by all layers, and without token types.

use super::{
    Architecture, layers,
    roberta::{classifier, lm_head},
};
use crate::config::Config;
use crate::heads::{ClassificationHead, HeadKind, TokenHead};
use crate::layers::{Buckets, Embeddings, Encoder, EncoderLayer, Linear, RelativePositionBias, TextEncoder};
use crate::ops::{Activation, Visibility};
use crate::parameters::{Declaration, MatrixId};
use std::sync::Arc;

pub(super) struct Mpnet;

impl Architecture for Mpnet {
    fn prefix(&self) -> &'static str {
        "mpnet"
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
            first_position: config.first_position(),
            dropout: config.hidden_dropout_prob,
        });
        let num_buckets = config.relative_attention_num_buckets;
        let shape = [num_buckets, config.num_attention_heads];
        let relative_bias = RelativePositionBias {
            weight: declare.bias_matrix("encoder.relative_attention_bias.weight", shape),
            num_buckets,
            max_distance: 128,
            buckets: Buckets::BothWays,
        };
        Arc::new(Encoder {
            embeddings,
            layers: layers(config, "encoder.layer", declare, layer),
            relative_bias: Some(relative_bias),
            num_attention_heads: config.num_attention_heads,
            head_dim: width / config.num_attention_heads,
            activation: config.hidden_act,
            attention_dropout: config.attention_probs_dropout_prob,
            attention_output_dropout: config.hidden_dropout_prob,
            activation_dropout: 0.0,
            output_dropout: config.hidden_dropout_prob,
            visibility: Visibility::Bidirectional,
        })
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
        // MPNetClassificationHead reads hidden_dropout_prob, not classifier_dropout.
        let config = Config { classifier_dropout: config.hidden_dropout_prob, ..config.clone() };
        classifier(&config, num_labels, Activation::Tanh, declare)
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("lm_head.decoder.weight", "mpnet.embeddings.word_embeddings.weight"),
            ("lm_head.decoder.bias", "lm_head.bias"),
        ]
    }
}

fn layer(config: &Config, declare: &mut Declaration) -> EncoderLayer {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let square = [hidden, hidden];
    EncoderLayer {
        query: declare.linear("attention.attn.q", square),
        key: declare.linear("attention.attn.k", square),
        value: declare.linear("attention.attn.v", square),
        attention_output: declare.linear("attention.attn.o", square),
        attention_norm: declare.norm("attention.LayerNorm", hidden, config.layer_norm_eps),
        intermediate: declare.linear("intermediate.dense", [hidden, inner]),
        output: declare.linear("output.dense", [inner, hidden]),
        output_norm: declare.norm("output.LayerNorm", hidden, config.layer_norm_eps),
    }
}
