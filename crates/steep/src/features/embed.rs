//! Texts to vectors: the encoder's states, pooled.

use crate::config::Dtype;
use crate::error::{Error, Result};
use crate::features::distinct::DistinctRows;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::training::Sequences;
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use steep_encoder::pooling::{PoolingMode, normalize, pool};
use steep_encoder::sentence_transformer::Dense;
use steep_encoder::{Config, HeadKind, Model, PackedBatch, Pass, Precision, Value};

/// Which half of an encoder-decoder embeddings are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeaturesFrom {
    /// The encoder's states.
    #[default]
    Encoder,
    /// The last states of the decoder, which reads the text again: what sequence classification stands on.
    DecoderLast,
}

impl FeaturesFrom {
    /// Their names.
    pub const ALL: [(&'static str, Self); 2] =
        [("encoder", Self::Encoder), ("decoder_last", Self::DecoderLast)];

    /// With which the model is loaded.
    pub fn head_kind(self) -> HeadKind {
        match self {
            Self::Encoder => HeadKind::None,
            Self::DecoderLast => HeadKind::DecoderFeatures,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_encoder(&self) -> bool {
        *self == Self::Encoder
    }
}

/// How embeddings are made, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbedSettings {
    /// Which half of an encoder-decoder.
    #[serde(default, skip_serializing_if = "FeaturesFrom::is_encoder")]
    pub features_from: FeaturesFrom,
    /// Concatenated in the order of [`PoolingMode::ALL`].
    pub pooling: Vec<PoolingMode>,
    /// Layers whose states are averaged: 0 is the embeddings' output, -1 the last layer.
    pub layers: Vec<i64>,
    /// Whether each vector is brought to length one.
    pub normalize: bool,
    /// Only so many leading dimensions are kept.
    pub truncate_dim: Option<usize>,
    /// Whether a prompt's tokens are pooled too.
    pub include_prompt: bool,
    /// Numbers in which the encoder computes.
    #[serde(default = "Dtype::before_there_was_a_choice")]
    pub dtype: Dtype,
    /// Tokens that a thread computes at once; bounds the memory, changes no bit of the result.
    pub max_tokens: usize,
}

impl EmbedSettings {
    /// Enough to stream the weights seldom, little enough for the caches and for a thread each.
    pub const DEFAULT_MAX_TOKENS: usize = 2048;
}

/// What the settings mean for a model of this shape.
struct Shape {
    /// Layers whose states are averaged, counted from the embeddings.
    layers: Vec<usize>,
    /// Dimensions before the dense layers.
    pooled: usize,
    /// Dimensions of an embedding.
    width: usize,
}

impl EmbedSettings {
    /// Dimensions of an embedding of a model with this configuration; an error where the settings do not fit it.
    pub fn width(&self, config: &Config, dense: &[Dense]) -> Result<usize> {
        Ok(self.shape(config, dense)?.width)
    }

    fn shape(&self, config: &Config, dense: &[Dense]) -> Result<Shape> {
        if self.features_from == FeaturesFrom::DecoderLast && self.layers != [-1] {
            let problem = "are those of the encoder, and decoder_last is the decoder's last";
            return Err(Error::config("layers", problem, "leave layers out, or features_from"));
        }
        let count = config.num_hidden_layers as i64 + 1;
        let mut layers = Vec::new();
        for &layer in &self.layers {
            let index = if layer < 0 { count + layer } else { layer };
            if !(0..count).contains(&index) {
                let range = format!("choose from {} to {}", -count, count - 1);
                return Err(Error::config("layers", format!("there is no layer {layer}"), range));
            }
            layers.push(index as usize);
        }
        let modes: BTreeSet<PoolingMode> = self.pooling.iter().copied().collect();
        if layers.is_empty() || modes.is_empty() {
            return Err(Error::config("pooling", "nothing is chosen", "choose a layer and a pooling mode"));
        }
        let pooled = config.hidden_size * modes.len();
        Ok(Shape { layers, pooled, width: self.checked_width(pooled, dense)? })
    }

    fn checked_width(&self, pooled: usize, dense: &[Dense]) -> Result<usize> {
        let mut width = pooled;
        for dense in dense {
            if dense.in_features != width {
                return Err(Error::config(
                    "pooling",
                    format!("gives {width} dimensions, the model's dense layer takes {}", dense.in_features),
                    "leave pooling to the model",
                ));
            }
            width = dense.out_features;
        }
        match self.truncate_dim {
            Some(dim) if dim == 0 || dim > width => Err(Error::config(
                "truncate_dim",
                format!("{dim} is not possible"),
                format!("choose from 1 to {width}"),
            )),
            Some(dim) => Ok(dim),
            None => Ok(width),
        }
    }
}

/// A model with its way of making embeddings.
pub struct Embedder<'a> {
    model: &'a Model,
    pass: Pass,
    dense: &'a [Dense],
    settings: EmbedSettings,
    shape: Shape,
}

impl<'a> Embedder<'a> {
    /// Checks the settings against the model.
    pub fn new(model: &'a Model, dense: &'a [Dense], mut settings: EmbedSettings) -> Result<Self> {
        let shape = settings.shape(&model.config, dense)?;
        settings.pooling.sort();
        settings.pooling.dedup();
        Ok(Self { model, pass: Pass::evaluate(&model.parameters), dense, settings, shape })
    }

    /// Dimensions of an embedding.
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// Embeds rows, in their order: [rows, width]. `prompt_tokens` is how many leading tokens of
    /// every row are a prompt's. Rows of the same tokens are computed once.
    pub fn embed(
        &self,
        sequences: &dyn Sequences,
        rows: &[u32],
        prompt_tokens: usize,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let plan = DistinctRows::new(sequences, rows, self.settings.max_tokens);
        self.embed_planned(sequences, &plan, prompt_tokens, ctx)
    }

    /// The same for rows whose batches were planned before.
    pub fn embed_planned(
        &self,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        prompt_tokens: usize,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let values = plan.compute(|rows| self.vectors(&sequences.pack(rows), prompt_tokens), ctx)?;
        plan.spread(&values, self.width())
    }

    /// States of every token of a batch, averaged over the chosen layers: [T, H].
    pub fn token_states(&self, batch: &PackedBatch) -> Vec<f32> {
        let last = self.model.config.num_hidden_layers;
        let state = if self.shape.layers == [last] {
            self.model.last_hidden_state(&self.pass, batch)
        } else {
            let states = self.model.hidden_states(&self.pass, batch);
            let mut chosen = self.shape.layers.iter().map(|&layer| states[layer].clone());
            let first = chosen.next().expect("at least one layer is chosen");
            chosen.fold(first, |sum, state| sum + state) / self.shape.layers.len() as f32
        };
        Value::Matrix(state).to_vec()
    }

    /// One vector a sequence, one after the other.
    fn vectors(&self, batch: &PackedBatch, prompt_tokens: usize) -> Vec<f32> {
        let hidden = self.model.config.hidden_size;
        let states = self.token_states(batch);
        let skip = if self.settings.include_prompt { 0 } else { prompt_tokens };
        let mut pooled = vec![0.0; batch.len() * self.shape.pooled];
        let parts = pooled.chunks_exact_mut(self.shape.pooled);
        for (span, out) in batch.offsets.windows(2).zip(parts) {
            let states = &states[span[0] as usize * hidden..span[1] as usize * hidden];
            for (&mode, out) in self.settings.pooling.iter().zip(out.chunks_exact_mut(hidden)) {
                pool(mode, states, hidden, skip, out);
            }
        }
        self.finish(pooled, batch.len())
    }

    /// Dense layers, truncation and unit length.
    fn finish(&self, pooled: Vec<f32>, rows: usize) -> Vec<f32> {
        let (mut values, mut width) = (pooled, self.shape.pooled);
        for dense in self.dense {
            values = apply_dense(dense, values, rows);
            width = dense.out_features;
        }
        let kept = self.width();
        let mut vectors = Vec::with_capacity(rows * kept);
        for vector in values.chunks_exact(width) {
            vectors.extend_from_slice(&vector[..kept]);
        }
        if self.settings.normalize {
            vectors.chunks_exact_mut(kept).for_each(normalize);
        }
        vectors
    }
}

fn apply_dense(dense: &Dense, values: Vec<f32>, rows: usize) -> Vec<f32> {
    let matrix = |values: Vec<f32>, shape: [usize; 2]| -> Tensor<2> {
        match Value::new(values, &shape) {
            Value::Matrix(tensor) => tensor,
            Value::Vector(_) => unreachable!("two sizes make a matrix"),
        }
    };
    let bias = match Value::new(dense.bias.clone(), &[dense.out_features]) {
        Value::Vector(tensor) => tensor,
        Value::Matrix(_) => unreachable!("one size makes a vector"),
    };
    let x = matrix(values, [rows, dense.in_features]);
    let weight = matrix(dense.weight.clone(), [dense.out_features, dense.in_features]);
    let y = match dense.activation {
        Some(activation) => {
            steep_encoder::ops::linear_activation(x, weight, bias, activation, Precision::F32)
        }
        None => steep_encoder::ops::linear(x, weight, bias, Precision::F32),
    };
    Value::Matrix(y).to_vec()
}
