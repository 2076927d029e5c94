//! Attention of layers that are no half-layer blocks: pre-norm encoders, decoders, cross-attention.

use crate::batch::PackedBatch;
use crate::ops::{self, AttentionGeometry, Visibility};
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

/// What the attention of a layer is made of, beside its projections.
#[derive(Debug, Clone, Copy)]
pub struct AttentionHeads {
    /// Heads of the queries.
    pub(crate) num_heads: usize,
    /// Multiplies the scores.
    pub(crate) scale: f32,
    /// Dropout on the probabilities.
    pub(crate) dropout: f32,
}

impl AttentionHeads {
    /// Heads whose scores are divided by the root of their width, as Vaswani et al. 2017.
    pub(crate) fn scaled(num_heads: usize, head_dim: usize, dropout: f32) -> Self {
        Self { num_heads, scale: 1.0 / (head_dim as f32).sqrt(), dropout }
    }

    /// Attention of each sequence to itself.
    ///
    /// # Shapes
    /// - query, key, value, output: `[T, num_heads * head_dim]`
    /// - `position_bias`: `[num_heads, 2 D + 1]` by distance
    pub(crate) fn attend(
        &self,
        pass: &Pass,
        batch: &PackedBatch,
        [query, key, value]: [Tensor<2>; 3],
        position_bias: Option<Tensor<2>>,
        visibility: Visibility,
    ) -> Tensor<2> {
        let geometry = self.geometry(pass, &batch.offsets, None, visibility);
        ops::attention(query, key, value, position_bias, geometry)
    }

    /// Attention of each sequence to all of the one of the same number.
    ///
    /// # Shapes
    /// - query, output: `[T, num_heads * head_dim]`, of sequences at `offsets`
    /// - key, value: `[K, num_heads * head_dim]`, of sequences at `key_offsets`
    pub(crate) fn attend_to(
        &self,
        pass: &Pass,
        offsets: &Arc<[u32]>,
        [query, key, value]: [Tensor<2>; 3],
        key_offsets: &Arc<[u32]>,
    ) -> Tensor<2> {
        let geometry = self.geometry(pass, offsets, Some(key_offsets.clone()), Visibility::Bidirectional);
        ops::attention(query, key, value, None, geometry)
    }

    fn geometry(
        &self,
        pass: &Pass,
        offsets: &Arc<[u32]>,
        key_offsets: Option<Arc<[u32]>>,
        visibility: Visibility,
    ) -> AttentionGeometry {
        AttentionGeometry {
            offsets: offsets.clone(),
            key_offsets,
            visibility,
            num_heads: self.num_heads,
            scale: self.scale,
            dropout: pass.dropout(self.dropout),
        }
    }
}
