//! Which columns are kept: `VarianceThreshold`, and `SelectKBest` by `f_classif` or `f_regression`.

use super::affine::moments;
use super::target::Target;
use rayon::prelude::*;

/// What is asked of a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) variance_threshold: Option<f64>,
    pub(super) k_best: Option<usize>,
}

/// The columns that are kept, ascending; `column` gives the training values of one.
pub(super) fn kept(
    wanted: Wanted,
    count: usize,
    column: impl Fn(usize) -> Vec<f64> + Sync,
    target: Option<&Target>,
) -> Vec<u32> {
    let varies =
        |at: &u32| wanted.variance_threshold.is_none_or(|least| moments(&column(*at as usize)).1 > least);
    let kept: Vec<u32> = (0..count as u32).into_par_iter().filter(varies).collect();
    let (Some(k), Some(target)) = (wanted.k_best, target) else { return kept };
    let scores: Vec<f64> = kept.par_iter().map(|&at| f_score(&column(at as usize), target)).collect();
    best(&kept, &scores, k)
}

/// Of equal scores the later column is kept, as in scikit-learn.
fn best(columns: &[u32], scores: &[f64], k: usize) -> Vec<u32> {
    let score = |at: usize| if scores[at].is_nan() { f64::NEG_INFINITY } else { scores[at] };
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by(|&left, &right| score(left).total_cmp(&score(right)).then(left.cmp(&right)));
    let mut best: Vec<u32> = order.iter().rev().take(k).map(|&at| columns[at]).collect();
    best.sort_unstable();
    best
}

/// The F statistic of a column; of several labels the greatest. Not a number for a constant column.
pub(super) fn f_score(values: &[f64], target: &Target) -> f64 {
    match target {
        Target::Classes { ids, names } => f_of_classes(values, ids, names.len()),
        Target::Members { columns, .. } => {
            let of = |column: &Vec<f64>| {
                let ids: Vec<u32> = column.iter().map(|member| *member as u32).collect();
                f_of_classes(values, &ids, 2)
            };
            columns.iter().map(of).fold(f64::NAN, f64::max)
        }
        Target::Numbers(numbers) => f_of_numbers(values, numbers),
    }
}

/// One-way analysis of variance: variance between classes over variance within, each by its degrees of freedom.
fn f_of_classes(values: &[f64], ids: &[u32], classes: usize) -> f64 {
    let (mean, _) = moments(values);
    let (mut counts, mut sums) = (vec![0.0; classes], vec![0.0; classes]);
    for (value, &id) in values.iter().zip(ids) {
        counts[id as usize] += 1.0;
        sums[id as usize] += value - mean;
    }
    let present = counts.iter().filter(|count| **count > 0.0).count() as f64;
    let means: Vec<f64> =
        sums.iter().zip(&counts).map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 }).collect();
    let between: f64 = means.iter().zip(&counts).map(|(mean, count)| count * mean * mean).sum();
    let within: f64 =
        values.iter().zip(ids).map(|(value, &id)| (value - mean - means[id as usize]).powi(2)).sum();
    (between / (present - 1.0)) / (within / (values.len() as f64 - present))
}

/// The F statistic of a linear regression on the column alone.
fn f_of_numbers(values: &[f64], numbers: &[f64]) -> f64 {
    let ((mean, variance), (target_mean, target_variance)) = (moments(values), moments(numbers));
    let covariance: f64 =
        values.iter().zip(numbers).map(|(value, number)| (value - mean) * (number - target_mean)).sum();
    let count = values.len() as f64;
    let squared = (covariance / count).powi(2) / (variance * target_variance);
    squared / (1.0 - squared) * (count - 2.0)
}
