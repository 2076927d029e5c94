//! ALBERT (Lan et al. 2020): BERT's layers, one set of weights for all of a group, and narrower embeddings.

use super::{Architecture, decoder};
use crate::config::{Config, Family, Fields};
use crate::error::Result;
use crate::heads::{
    ClassificationDense, ClassificationHead, ClassifiedState, HeadKind, TokenHead, TokenTransform,
};
use crate::layers::{Encoder, EncoderLayer, Linear, TextEncoder};
use crate::ops::{Activation, Visibility};
use crate::parameters::{Declaration, MatrixId};
use serde_json::json;
use std::sync::Arc;

/// What only ALBERT's `config.json` has.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Sets of weights.
    num_hidden_groups: usize,
}

impl Settings {
    /// `num_hidden_layers` are those that a text passes through.
    pub(crate) fn read(fields: &Fields, num_hidden_layers: usize) -> Result<Self> {
        fields.refuse("inner_group_num", &json!(1))?;
        Ok(Self { num_hidden_groups: fields.size("num_hidden_groups", 1, num_hidden_layers)? })
    }
}

pub(super) struct Albert;

impl Architecture for Albert {
    fn prefix(&self) -> &'static str {
        "albert"
    }

    fn encoder(&self, config: &Config, _: HeadKind, declare: &mut Declaration) -> Arc<dyn TextEncoder> {
        let Family::Albert(settings) = &config.family else {
            unreachable!("the family was read with the model type")
        };
        let (groups, count) = (settings.num_hidden_groups, config.num_hidden_layers);
        let sizes = [config.embedding_size, config.hidden_size];
        let embeddings = super::bert::embeddings(config, declare, |declare| {
            Some(declare.linear("encoder.embedding_hidden_mapping_in", sizes))
        });
        let mut group_layers = Vec::with_capacity(groups);
        for group in 0..groups {
            // A group learns with the depth of its first layer.
            declare.set_depth(group * count / groups + 1);
            let scope = format!("encoder.albert_layer_groups.{group}.albert_layers.0");
            group_layers.push(declare.scope(&scope, |declare| layer(config, declare)));
        }
        declare.set_depth(count + 1);
        Arc::new(Encoder {
            embeddings,
            layers: (0..count).map(|index| group_layers[index * groups / count].clone()).collect(),
            relative_bias: None,
            num_attention_heads: config.num_attention_heads,
            head_dim: config.hidden_size / config.num_attention_heads,
            activation: config.hidden_act,
            attention_dropout: config.attention_probs_dropout_prob,
            attention_output_dropout: config.hidden_dropout_prob,
            activation_dropout: 0.0,
            output_dropout: 0.0,
            visibility: Visibility::Bidirectional,
        })
    }

    fn pooler(&self, config: &Config, declare: &mut Declaration) -> Option<Linear> {
        Some(declare.linear("pooler", [config.hidden_size; 2]))
    }

    fn classifies_pooled(&self) -> bool {
        true
    }

    fn token_head(&self, config: &Config, word_embeddings: MatrixId, declare: &mut Declaration) -> TokenHead {
        let (hidden, width) = (config.hidden_size, config.embedding_size);
        declare.scope("predictions", |declare| TokenHead {
            transform: Some(TokenTransform {
                dense: declare.linear("dense", [hidden, width]),
                activation: config.hidden_act,
                norm: declare.norm("LayerNorm", width, config.layer_norm_eps),
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
                linear: pooler.expect("ALBERT declares its pooler before a classification head"),
                activation: Activation::Tanh,
                norm: None,
            }),
            dropout: config.classifier_dropout,
            output: declare.linear("classifier", [config.hidden_size, num_labels]),
        }
    }

    fn head_scopes(&self) -> &'static [&'static str] {
        &["predictions.", "sop_classifier.", "classifier.", "qa_outputs."]
    }

    fn tied_names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("predictions.decoder.weight", "albert.embeddings.word_embeddings.weight"),
            ("predictions.decoder.bias", "predictions.bias"),
        ]
    }
}

fn layer(config: &Config, declare: &mut Declaration) -> EncoderLayer {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let square = [hidden, hidden];
    EncoderLayer {
        query: declare.linear("attention.query", square),
        key: declare.linear("attention.key", square),
        value: declare.linear("attention.value", square),
        attention_output: declare.linear("attention.dense", square),
        attention_norm: declare.norm("attention.LayerNorm", hidden, config.layer_norm_eps),
        intermediate: declare.linear("ffn", [hidden, inner]),
        output: declare.linear("ffn_output", [inner, hidden]),
        output_norm: declare.norm("full_layer_layer_norm", hidden, config.layer_norm_eps),
    }
}
