//! Scalers that shift and divide: `StandardScaler`, `RobustScaler`, `MinMaxScaler`.

use crate::features::scaling::scale_of;
use serde::{Deserialize, Serialize};

/// `(value - center) / scale` for each column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Affine {
    pub(super) center: Vec<f64>,
    pub(super) scale: Vec<f64>,
}

impl Affine {
    fn of_columns(training: &[Vec<f64>], center_and_scale: impl Fn(&[f64]) -> (f64, f64)) -> Self {
        let (center, scale) = training.iter().map(|column| center_and_scale(column)).unzip();
        Self { center, scale }
    }

    /// Mean 0 and variance 1.
    pub(super) fn standard(training: &[Vec<f64>]) -> Self {
        Self::of_columns(training, |values| {
            let (mean, variance) = moments(values);
            (mean, scale_of(variance, mean, values.len() as f64))
        })
    }

    /// Median 0 and interquartile range 1.
    pub(super) fn robust(training: &[Vec<f64>]) -> Self {
        Self::of_columns(training, |values| {
            let sorted = sorted(values);
            let range = percentile(&sorted, 0.75) - percentile(&sorted, 0.25);
            (percentile(&sorted, 0.5), nonzero(range))
        })
    }

    /// Training values from 0 to 1.
    pub(super) fn min_max(training: &[Vec<f64>]) -> Self {
        Self::of_columns(training, |values| {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if values.is_empty() { (0.0, 1.0) } else { (least, nonzero(greatest - least)) }
        })
    }

    pub(super) fn apply(&self, column: usize, values: &mut [f64]) {
        let (center, scale) = (self.center[column], self.scale[column]);
        values.iter_mut().for_each(|value| *value = (*value - center) / scale);
    }

    pub(super) fn is_whole(&self, columns: usize) -> bool {
        self.center.len() == columns
            && self.scale.len() == columns
            && self.center.iter().all(|center| center.is_finite())
            && self.scale.iter().all(|scale| scale.is_finite() && *scale != 0.0)
    }
}

/// scikit-learn's `_handle_zeros_in_scale`.
fn nonzero(scale: f64) -> f64 {
    if scale < 10.0 * f64::EPSILON { 1.0 } else { scale }
}

/// Mean and population variance, in two passes.
pub(super) fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let (mut linear, mut squared) = (0.0, 0.0);
    for value in values {
        linear += value - mean;
        squared += (value - mean) * (value - mean);
    }
    (mean, ((squared - linear * linear / count) / count).max(0.0))
}

pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// A percentile of sorted values, interpolated linearly between its neighbours as numpy does; 0 without values.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    let part = place - below as f64;
    // numpy takes the form that is exact at the nearer end.
    if part >= 0.5 { high - (high - low) * (1.0 - part) } else { low + (high - low) * part }
}
