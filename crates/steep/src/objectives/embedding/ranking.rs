//! Multiple negatives ranking (Henderson et al. 2017), as sentence-transformers' `MultipleNegativesRankingLoss`, but that
//! partners of the row's own class are no negatives.

use super::{NOWHERE, constant, cosines};
use burn::Tensor;
use steep_encoder::ops;

/// Mean cross-entropy of each row's partner among the partners: of vectors `[2 n, d]` and their classes.
pub(super) fn loss(vectors: Tensor<2>, classes: &[u32], temperature: f64) -> Option<Tensor<1>> {
    let count = classes.len() / 2;
    let (own, partners) = classes.split_at(count);
    // With a single class there is nothing to be told from.
    if own.iter().all(|class| partners.iter().all(|other| other == class)) {
        return None;
    }
    let rows = vectors.clone().narrow(0, 0, count);
    let logits = cosines(rows, vectors.narrow(0, count, count)) / temperature as f32;
    let no_negative = |row: usize, other: usize| row != other && own[row] == partners[other];
    let mask = (0..count * count).map(|at| match no_negative(at / count, at % count) {
        true => NOWHERE,
        false => 0.0,
    });
    let mask = constant(mask.collect(), [count, count], &logits);
    let losses = ops::cross_entropy(logits + mask, (0..count as u32).collect(), 0.0);
    Some(losses.sum() / count as f32)
}
