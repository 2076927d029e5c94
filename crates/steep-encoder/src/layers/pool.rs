//! Pooling that gradients flow through; [`crate::pooling`] has the same for finished vectors.

use crate::batch::PackedBatch;
use crate::ops;
use crate::pooling::PoolingMode;
use burn::Tensor;
use burn::tensor::{IndexingUpdateOp, Int, TensorData};
use std::sync::Arc;

/// Whether a network can be trained through this mode.
pub fn is_trainable(mode: PoolingMode) -> bool {
    mode != PoolingMode::Max
}

/// One vector a sequence, `[B, H · modes]`, the modes in their order.
///
/// # Panics
/// On a mode that is not [`is_trainable`]; on a sequence without tokens.
pub fn pool_states(hidden: &Tensor<2>, batch: &PackedBatch, modes: &[PoolingMode]) -> Tensor<2> {
    let pooled = modes.iter().map(|&mode| match mode {
        PoolingMode::Cls => ops::embedding(hidden.clone(), batch.first_tokens()),
        PoolingMode::LastToken => ops::embedding(hidden.clone(), last_tokens(batch)),
        PoolingMode::Mean => weighted(hidden, batch, |_, length| 1.0 / length as f32),
        PoolingMode::MeanSqrtLen => weighted(hidden, batch, |_, length| 1.0 / (length as f32).sqrt()),
        PoolingMode::WeightedMean => weighted(hidden, batch, |position, length| {
            (position + 1) as f32 / (length * (length + 1) / 2) as f32
        }),
        PoolingMode::Max => panic!("the mode is checked where settings are"),
    });
    Tensor::cat(pooled.collect(), 1)
}

fn last_tokens(batch: &PackedBatch) -> Arc<[u32]> {
    batch.offsets[1..].iter().map(|end| end - 1).collect()
}

/// The sum of each sequence's states, each times its weight. Tokens are added in their order, so that a text gives the
/// same bits alone or in any batch.
fn weighted(hidden: &Tensor<2>, batch: &PackedBatch, weight: impl Fn(usize, usize) -> f32) -> Tensor<2> {
    let [tokens, width] = hidden.dims();
    let (mut weights, mut sequences) = (Vec::with_capacity(tokens), Vec::with_capacity(tokens));
    for (sequence, span) in batch.offsets.windows(2).enumerate() {
        let length = (span[1] - span[0]) as usize;
        weights.extend((0..length).map(|position| weight(position, length)));
        sequences.extend(std::iter::repeat_n(sequence as i64, length));
    }
    let device = hidden.device();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [tokens, 1]), &device);
    let sequences = Tensor::<1, Int>::from_data(TensorData::new(sequences, [tokens]), &device);
    let zeros = Tensor::<2>::zeros([batch.len(), width], &device);
    zeros.select_assign(0, sequences, hidden.clone() * weights, IndexingUpdateOp::Add)
}
