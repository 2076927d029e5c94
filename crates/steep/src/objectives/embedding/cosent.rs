//! CoSENT (Huang et al. 2024), as sentence-transformers' `CoSENTLoss`: `log(1 + Σ exp((cos_k - cos_i) / temperature))` over
//! pairs i that belong together more than pairs k.

use super::{constant, normalised};
use burn::Tensor;

/// Of vectors `[2 n, d]` and how much each of the n pairs belongs together.
pub(super) fn loss(vectors: Tensor<2>, likeness: &[f32], temperature: f64) -> Option<Tensor<1>> {
    let count = likeness.len();
    let counts: Vec<f32> = (0..count * count)
        .map(|at| f32::from(u8::from(likeness[at / count] < likeness[at % count])))
        .collect();
    if counts.iter().all(|counts| *counts == 0.0) {
        return None;
    }
    let [rows, partners] = [0, count].map(|from| normalised(vectors.clone().narrow(0, from, count)));
    let scores = (rows * partners).sum_dim(1) / temperature as f32;
    // [lower pair, higher pair]
    let differences = scores.clone() - scores.transpose();
    let counts = constant(counts, [count, count], &differences);
    // The largest exponent is taken out, so that nothing overflows.
    let exponents = (differences.clone() * counts.clone()).into_data();
    let largest = exponents.iter::<f32>().fold(0.0, f32::max);
    let sum = ((differences - largest) * counts.clone()).exp() * counts;
    Some((sum.sum() + (-largest).exp()).log() + largest)
}
