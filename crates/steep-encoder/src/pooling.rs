//! From token states to one vector a text, with sentence-transformers' modes and names.

use crate::batch::PackedBatch;
use burn::Tensor;
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};

/// One way of pooling. Special tokens are included in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolingMode {
    /// The first token.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum divided by the square root of the length.
    #[serde(rename = "mean_sqrt_len", alias = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    /// The mean weighted by 1-based position.
    WeightedMean,
    /// The last token.
    LastToken,
}

impl PoolingMode {
    /// In the order in which several modes are concatenated, with the names used on the command
    /// line and the boolean of the legacy sentence-transformers config.
    pub const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Cls, "cls", "pooling_mode_cls_token"),
        (Self::Max, "max", "pooling_mode_max_tokens"),
        (Self::Mean, "mean", "pooling_mode_mean_tokens"),
        (Self::MeanSqrtLen, "mean_sqrt_len", "pooling_mode_mean_sqrt_len_tokens"),
        (Self::WeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"),
        (Self::LastToken, "lasttoken", "pooling_mode_lasttoken"),
    ];

    /// The mode of this name; sentence-transformers' own `mean_sqrt_len_tokens` is accepted.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("_tokens").unwrap_or(name);
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(mode, _, _)| *mode)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(mode, _, _)| *mode == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// Pools the tokens of one sequence.
///
/// # Shapes
/// - `states`: `[n, width]`
/// - `out`: `[width]`; overwritten
///
/// `skip` leading tokens (a prompt's) are left out, as `include_prompt = false` asks; weighted
/// positions still count from the sequence's start. The vector of no tokens is zero.
pub fn pool(mode: PoolingMode, states: &[f32], width: usize, skip: usize, out: &mut [f32]) {
    assert_eq!(out.len(), width, "one value a dimension");
    let kept = || states.chunks_exact(width).enumerate().skip(skip);
    out.fill(0.0);
    if kept().next().is_none() {
        return;
    }
    match mode {
        PoolingMode::Cls => copy(kept().next(), out),
        PoolingMode::LastToken => copy(kept().last(), out),
        PoolingMode::Max => {
            out.fill(f32::NEG_INFINITY);
            for (_, row) in kept() {
                out.iter_mut().zip(row).for_each(|(out, x)| *out = out.max(*x));
            }
        }
        PoolingMode::Mean => weighted(kept(), |_| 1.0, |sum, _| sum, out),
        PoolingMode::MeanSqrtLen => weighted(kept(), |_| 1.0, |sum, _| f32::sqrt(sum), out),
        PoolingMode::WeightedMean => {
            weighted(kept(), |position| (position + 1) as f32, |sum, _| sum, out);
        }
    }
}

/// Pools the tokens of every sequence, with gradients.
///
/// # Shapes
/// - `hidden`: `[T, H]`
/// - output: `[B, H]`
///
/// # Panics
/// If a sequence has no tokens.
pub fn pool_states(mode: PoolingMode, hidden: &Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
    let spans = batch.offsets.windows(2).map(|pair| [pair[0] as usize, pair[1] as usize]);
    let pooled = spans.map(|[start, end]| {
        assert!(start < end, "a sequence that is pooled has tokens");
        let count = end - start;
        let rows = hidden.clone().narrow(0, start, count);
        match mode {
            PoolingMode::Cls => rows.narrow(0, 0, 1),
            PoolingMode::LastToken => rows.narrow(0, count - 1, 1),
            PoolingMode::Max => rows.max_dim(0),
            PoolingMode::Mean => rows.mean_dim(0),
            PoolingMode::MeanSqrtLen => rows.sum_dim(0) / (count as f32).sqrt(),
            PoolingMode::WeightedMean => {
                let weights: Vec<f32> = (1..=count).map(|position| position as f32).collect();
                let total = weights.iter().sum::<f32>();
                let weights = Tensor::from_data(TensorData::new(weights, [count, 1]), &hidden.device());
                (rows * weights).sum_dim(0) / total
            }
        }
    });
    Tensor::cat(pooled.collect(), 0)
}

fn copy(row: Option<(usize, &[f32])>, out: &mut [f32]) {
    if let Some((_, row)) = row {
        out.copy_from_slice(row);
    }
}

/// Σ w·x divided by `divisor(Σ w, count)`.
fn weighted<'a>(
    rows: impl Iterator<Item = (usize, &'a [f32])>,
    weight: impl Fn(usize) -> f32,
    divisor: impl Fn(f32, usize) -> f32,
    out: &mut [f32],
) {
    let (mut sum, mut count) = (0.0, 0);
    for (position, row) in rows {
        let weight = weight(position);
        sum += weight;
        count += 1;
        out.iter_mut().zip(row).for_each(|(out, x)| *out += weight * x);
    }
    let divisor = divisor(sum, count).max(1e-9);
    out.iter_mut().for_each(|out| *out /= divisor);
}

/// Divides a vector by its Euclidean norm (at least 1e-12, as torch's `normalize`).
pub fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x /= norm);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Value;

    #[test]
    fn pooling_with_gradients_gives_the_same_vectors() {
        let batch = PackedBatch::new([&[1, 2, 3][..], &[4], &[5, 6, 7, 8, 9]]);
        let states: Vec<f32> = (0..9 * 4).map(|index| ((index * 37) % 23) as f32 / 7.0 - 1.5).collect();
        let Value::Matrix(hidden) = Value::new(states.clone(), &[9, 4]) else { unreachable!() };
        for (mode, name, _) in PoolingMode::ALL {
            let found = Value::Matrix(pool_states(mode, &hidden, &batch)).to_vec();
            for (row, pair) in batch.offsets.windows(2).enumerate() {
                let mut expected = [0.0; 4];
                pool(mode, &states[pair[0] as usize * 4..pair[1] as usize * 4], 4, 0, &mut expected);
                for (found, expected) in found[row * 4..row * 4 + 4].iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-6, "{name}: {found} against {expected}");
                }
            }
        }
    }
}
