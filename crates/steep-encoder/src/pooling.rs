//! From token states to one vector a text, with sentence-transformers' modes and names.

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
