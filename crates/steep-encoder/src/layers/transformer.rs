//! The post-LayerNorm transformer encoder (Vaswani et al. 2017; Devlin et al. 2018).

use super::{Embeddings, Linear, Norm, TextEncoder};
use crate::batch::PackedBatch;
use crate::ops::block::{AttentionBlock, AttentionWeights, FeedForwardBlock, FeedForwardWeights};
use crate::ops::{self, Activation, AttentionGeometry, Dropout, Visibility};
use crate::parameters::MatrixId;
use crate::pass::Pass;
use burn::Tensor;

/// One layer: attention, then feed-forward, each added to its input and normalised.
#[derive(Debug, Clone)]
pub struct EncoderLayer {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) attention_output: Linear,
    pub(crate) attention_norm: Norm,
    pub(crate) intermediate: Linear,
    pub(crate) output: Linear,
    pub(crate) output_norm: Norm,
}

/// Embeddings and layers with what all layers share.
#[derive(Debug, Clone)]
pub struct Encoder {
    pub(crate) embeddings: Embeddings,
    pub(crate) layers: Vec<EncoderLayer>,
    pub(crate) relative_bias: Option<RelativePositionBias>,
    pub(crate) num_attention_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) activation: Activation,
    pub(crate) attention_dropout: f32,
    /// Dropout after the attention's output; DistilBERT has none there.
    pub(crate) attention_output_dropout: f32,
    /// Dropout between activation and output of the feed-forward part; BART has some there.
    pub(crate) activation_dropout: f32,
    pub(crate) output_dropout: f32,
    /// Which tokens a token listens to.
    pub(crate) visibility: Visibility,
}

impl TextEncoder for Encoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let bias = self.position_bias(pass, batch);
        let mut state = self.embeddings.forward(pass, batch);
        for layer in &self.layers {
            visit(&state);
            state = self.layer(layer, pass, state, bias.clone(), batch);
        }
        state
    }

    fn word_embeddings(&self) -> MatrixId {
        self.embeddings.word
    }
}

impl Encoder {
    fn position_bias(&self, pass: &Pass, batch: &PackedBatch) -> Option<Tensor<2>> {
        self.relative_bias.as_ref().map(|bias| bias.forward(pass, batch.longest()))
    }

    fn layer(
        &self,
        layer: &EncoderLayer,
        pass: &Pass,
        x: Tensor<2>,
        position_bias: Option<Tensor<2>>,
        batch: &PackedBatch,
    ) -> Tensor<2> {
        let x = self.attention(layer, pass, x, position_bias, batch);
        self.feed_forward(layer, pass, x)
    }

    /// The second half of a layer: `[T, H]` → `[T, H]`.
    pub(crate) fn feed_forward(&self, layer: &EncoderLayer, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        if self.activation_dropout > 0.0 {
            let dropout = pass.dropout(self.activation_dropout);
            if dropout != Dropout::NONE {
                return self.feed_forward_by_steps(dropout, layer, pass, x);
            }
        }
        if pass.adapts_inputs() {
            return self.feed_forward_by_steps(Dropout::NONE, layer, pass, x);
        }
        let weights = FeedForwardWeights {
            intermediate: layer.intermediate.tensors(pass),
            output: layer.output.tensors(pass),
            norm: layer.output_norm.tensors(pass),
        };
        let block = FeedForwardBlock {
            activation: self.activation,
            epsilon: layer.output_norm.epsilon,
            dropout: pass.dropout(self.output_dropout),
            mode: pass.block_mode(layer.intermediate.weight),
        };
        ops::feed_forward_block(x, weights, block)
    }

    /// The same with dropout after the activation, or adapters with dropout before them, which the block does not have.
    fn feed_forward_by_steps(
        &self,
        activation_dropout: Dropout,
        layer: &EncoderLayer,
        pass: &Pass,
        x: Tensor<2>,
    ) -> Tensor<2> {
        let inner = layer.intermediate.forward_activation(pass, x.clone(), self.activation);
        let output = layer.output.forward(pass, ops::dropout(inner, activation_dropout));
        layer.output_norm.forward_sum(pass, output, x, pass.dropout(self.output_dropout))
    }

    /// The first half of a layer: `[T, H]` → `[T, H]`.
    pub(crate) fn attention(
        &self,
        layer: &EncoderLayer,
        pass: &Pass,
        x: Tensor<2>,
        position_bias: Option<Tensor<2>>,
        batch: &PackedBatch,
    ) -> Tensor<2> {
        let geometry = AttentionGeometry {
            offsets: batch.offsets.clone(),
            key_offsets: None,
            visibility: self.visibility,
            num_heads: self.num_attention_heads,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
            dropout: pass.dropout(self.attention_dropout),
        };
        if pass.adapts_inputs() {
            return self.attention_by_steps(layer, pass, x, position_bias, geometry);
        }
        let weights = AttentionWeights {
            query: layer.query.tensors(pass),
            key: layer.key.tensors(pass),
            value: layer.value.tensors(pass),
            output: layer.attention_output.tensors(pass),
            norm: layer.attention_norm.tensors(pass),
        };
        let block = AttentionBlock {
            geometry,
            epsilon: layer.attention_norm.epsilon,
            dropout: pass.dropout(self.attention_output_dropout),
            mode: pass.block_mode(layer.query.weight),
        };
        ops::attention_block(x, weights, position_bias, block)
    }

    /// The same with adapters that have dropout before them, which the block does not have.
    fn attention_by_steps(
        &self,
        layer: &EncoderLayer,
        pass: &Pass,
        x: Tensor<2>,
        position_bias: Option<Tensor<2>>,
        geometry: AttentionGeometry,
    ) -> Tensor<2> {
        let [query, key, value] =
            [layer.query, layer.key, layer.value].map(|part| part.forward(pass, x.clone()));
        let context = ops::attention(query, key, value, position_bias, geometry);
        let output = layer.attention_output.forward(pass, context);
        layer.attention_norm.forward_sum(pass, output, x, pass.dropout(self.attention_output_dropout))
    }
}

/// A learned bias by bucketed distance, shared by all layers (T5, MPNet).
#[derive(Debug, Clone)]
pub struct RelativePositionBias {
    /// `[buckets, num_heads]`
    pub(crate) weight: MatrixId,
    pub(crate) num_buckets: usize,
    /// Distances from here on share the last bucket.
    pub(crate) max_distance: usize,
    pub(crate) buckets: Buckets,
}

/// How buckets are dealt to the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// Half of them for keys after the query.
    BothWays,
    /// All of them for keys before the query; those after it are not seen.
    Backwards,
}

impl RelativePositionBias {
    /// The bias by distance for sequences of up to `longest` tokens: [num_heads, 2 longest - 1].
    pub fn forward(&self, pass: &Pass, longest: usize) -> Tensor<2> {
        let reach = longest.max(1) as i64 - 1;
        let buckets: Vec<u32> = (-reach..=reach).map(|distance| self.bucket(distance)).collect();
        ops::embedding(pass.matrix(self.weight), buckets.into()).transpose()
    }

    /// Small distances exactly and larger ones by their logarithm.
    fn bucket(&self, distance: i64) -> u32 {
        let (first, size, buckets) = match self.buckets {
            Buckets::BothWays => {
                let half = self.num_buckets / 2;
                (if distance > 0 { half } else { 0 }, distance.unsigned_abs() as usize, half)
            }
            Buckets::Backwards => (0, (-distance.min(0)) as usize, self.num_buckets),
        };
        let exact = buckets / 2;
        if size < exact {
            return (first + size) as u32;
        }
        let ratio = (size as f32 / exact as f32).ln() / (self.max_distance as f32 / exact as f32).ln();
        let bucket = exact + (ratio * (buckets - exact) as f32) as usize;
        (first + bucket.min(buckets - 1)) as u32
    }
}
