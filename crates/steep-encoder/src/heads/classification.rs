//! The sequence-classification head over one state a sequence.

use crate::batch::PackedBatch;
use crate::layers::{Linear, Norm, pool_states};
use crate::ops::{self, Activation};
use crate::pass::Pass;
use crate::pooling::PoolingMode;
use burn::Tensor;
use std::sync::Arc;

/// What of a sequence is classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassifiedState {
    /// The first token's state.
    First,
    /// The mean of all tokens' states.
    Mean,
    /// The state of the last token that has this id, or of the last token at all where none has.
    LastOf(u32),
    /// The state of the last token that has another id than this, which pads elsewhere.
    LastBut(Option<u32>),
}

/// Dense and activation before the output, and a LayerNorm where the architecture has one.
#[derive(Debug, Clone)]
pub struct ClassificationDense {
    pub(crate) linear: Linear,
    pub(crate) activation: Activation,
    pub(crate) norm: Option<Norm>,
}

/// Dropout, dense, activation, dropout, output: every supported architecture has this form or a part of it, with its
/// own sizes, names and activation.
#[derive(Debug, Clone)]
pub struct ClassificationHead {
    pub(crate) state: ClassifiedState,
    pub(crate) input_dropout: f32,
    pub(crate) dense: Option<ClassificationDense>,
    pub(crate) dropout: f32,
    pub(crate) output: Linear,
}

impl ClassificationHead {
    /// # Shapes
    /// - `hidden`: `[T, H]`
    /// - output: `[B, labels]`
    pub fn forward(&self, pass: &Pass, hidden: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let features = self.features(pass, hidden, batch);
        self.output.forward(pass, ops::dropout(features, pass.dropout(self.dropout)))
    }

    /// What the output takes, before its dropout.
    ///
    /// # Shapes
    /// - `hidden`: `[T, H]`
    /// - output: `[B, features]`
    pub fn features(&self, pass: &Pass, hidden: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let state = self.state.of(hidden, batch);
        let mut x = ops::dropout(state, pass.dropout(self.input_dropout));
        if let Some(dense) = &self.dense {
            x = dense.linear.forward_activation(pass, x, dense.activation);
            if let Some(norm) = dense.norm {
                x = norm.forward(pass, x);
            }
        }
        x
    }
}

impl ClassifiedState {
    /// `[T, H]` → `[B, H]`
    fn of(self, hidden: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let last = |wanted: &dyn Fn(u32) -> bool| ops::embedding(hidden.clone(), last_tokens(batch, wanted));
        match self {
            Self::First => ops::embedding(hidden, batch.first_tokens()),
            Self::Mean => pool_states(&hidden, batch, &[PoolingMode::Mean]),
            Self::LastOf(wanted) => last(&|id| id == wanted),
            Self::LastBut(padding) => last(&|id| Some(id) != padding),
        }
    }
}

/// For each sequence the position in the batch of its last wanted token; its last one if it has none.
fn last_tokens(batch: &PackedBatch, wanted: &dyn Fn(u32) -> bool) -> Arc<[u32]> {
    let spans = batch.offsets.windows(2).map(|pair| [pair[0] as usize, pair[1] as usize]);
    let last = spans.map(|[start, end]| {
        let ids = &batch.input_ids[start..end];
        let found = ids.iter().rposition(|&id| wanted(id));
        (start + found.unwrap_or(ids.len().saturating_sub(1))) as u32
    });
    last.collect()
}
