//! `QuantileTransformer(output_distribution="normal")`, on all training rows.

use super::affine::{percentile, sorted};
use super::normal::inverse_normal;
use serde::{Deserialize, Serialize};

/// Quantiles kept of a column at most.
const MOST_QUANTILES: usize = 1000;
/// Values this near to the ends, in either sense, are taken for the ends.
const NEAR_END: f64 = 1e-7;

/// The quantiles of each column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuantileNormal {
    columns: usize,
    /// Quantiles of a column.
    count: usize,
    /// `[columns, count]`, ascending within a column; kept with the tensors.
    #[serde(skip)]
    pub(super) quantiles: Vec<f64>,
}

impl QuantileNormal {
    pub(super) fn fit(training: &[Vec<f64>]) -> Self {
        let rows = training.first().map_or(0, Vec::len);
        let count = rows.clamp(1, MOST_QUANTILES);
        let mut quantiles = Vec::with_capacity(training.len() * count);
        for column in training {
            let sorted = sorted(column);
            // Through per cent and back, as numpy goes: where values are tied, the last bit decides on which side of
            // a value its quantile lies.
            quantiles.extend((0..count).map(|at| percentile(&sorted, reference(at, count) * 100.0 / 100.0)));
        }
        Self { columns: training.len(), count, quantiles }
    }

    pub(super) fn apply(&self, column: usize, values: &mut [f64]) {
        let quantiles = &self.quantiles[column * self.count..(column + 1) * self.count];
        values.iter_mut().for_each(|value| *value = self.transform(quantiles, *value));
    }

    pub(super) fn is_whole(&self, columns: usize) -> bool {
        self.columns == columns
            && self.count >= 1
            && self.columns.checked_mul(self.count) == Some(self.quantiles.len())
            && self.quantiles.iter().all(|quantile| quantile.is_finite())
    }

    fn transform(&self, quantiles: &[f64], value: f64) -> f64 {
        let (first, last) = (quantiles[0], quantiles[self.count - 1]);
        let share = if value - NEAR_END < first {
            0.0
        } else if value + NEAR_END > last {
            1.0
        } else {
            // Where a quantile is repeated, the mean of its first and its last place.
            f64::midpoint(
                self.interpolated(quantiles, value, Side::Last),
                self.interpolated(quantiles, value, Side::First),
            )
        };
        let (least, greatest) = (NEAR_END - f64::EPSILON, 1.0 - (NEAR_END - f64::EPSILON));
        inverse_normal(share.clamp(least, greatest))
    }

    /// The share of training values below; of equal quantiles the first or the last counts.
    fn interpolated(&self, quantiles: &[f64], value: f64, side: Side) -> f64 {
        let after = match side {
            Side::Last => quantiles.partition_point(|quantile| *quantile <= value),
            Side::First => quantiles.partition_point(|quantile| *quantile < value),
        };
        match (side, after) {
            (_, 0) => 0.0,
            (_, after) if after == self.count => 1.0,
            (Side::First, after) if quantiles[after] == value => reference(after, self.count),
            (_, after) => {
                let (low, high) = (quantiles[after - 1], quantiles[after]);
                let (from, to) = (reference(after - 1, self.count), reference(after, self.count));
                from + (to - from) / (high - low) * (value - low)
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    First,
    Last,
}

/// The share of rows below a quantile, as `numpy.linspace` computes it.
fn reference(at: usize, count: usize) -> f64 {
    match count - 1 {
        0 => 0.0,
        last if at == last => 1.0,
        last => at as f64 * (1.0 / last as f64),
    }
}
