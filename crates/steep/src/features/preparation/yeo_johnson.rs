//! `PowerTransformer(method="yeo-johnson", standardize=True)`: the power that makes a column most normal.
//!
//! Yeo & Johnson (2000), "A new family of power transformations to improve normality or symmetry".

use super::affine::{Affine, moments};
use serde::{Deserialize, Serialize};

/// The power of each column, and the scaler after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct YeoJohnson {
    lambdas: Vec<f64>,
    standard: Affine,
}

impl YeoJohnson {
    pub(super) fn fit(training: &[Vec<f64>]) -> Self {
        let lambdas: Vec<f64> = training.iter().map(|column| best_lambda(column)).collect();
        let power = |(column, &lambda): (&Vec<f64>, &f64)| {
            column.iter().map(|&value| transformed(value, lambda)).collect()
        };
        let changed: Vec<Vec<f64>> = training.iter().zip(&lambdas).map(power).collect();
        Self { lambdas, standard: Affine::standard(&changed) }
    }

    pub(super) fn apply(&self, column: usize, values: &mut [f64]) {
        let lambda = self.lambdas[column];
        values.iter_mut().for_each(|value| *value = transformed(*value, lambda));
        self.standard.apply(column, values);
    }

    pub(super) fn is_whole(&self, columns: usize) -> bool {
        self.lambdas.len() == columns
            && self.lambdas.iter().all(|lambda| lambda.is_finite())
            && self.standard.is_whole(columns)
    }
}

fn transformed(value: f64, lambda: f64) -> f64 {
    if value >= 0.0 {
        if lambda.abs() < f64::EPSILON { value.ln_1p() } else { (lambda * value.ln_1p()).exp_m1() / lambda }
    } else if (lambda - 2.0).abs() > f64::EPSILON {
        -((2.0 - lambda) * (-value).ln_1p()).exp_m1() / (2.0 - lambda)
    } else {
        -(-value).ln_1p()
    }
}

/// The power with the greatest likelihood; 1, which changes nothing, for a constant column.
fn best_lambda(values: &[f64]) -> f64 {
    let (mean, variance) = moments(values);
    let rows = values.len() as f64;
    if variance <= rows * f64::EPSILON * variance + (rows * mean * f64::EPSILON).powi(2) {
        return 1.0;
    }
    let logs: f64 = values.iter().map(|value| value.signum() * value.abs().ln_1p()).sum();
    let mut changed = vec![0.0; values.len()];
    let mut loss = |lambda: f64| {
        changed.iter_mut().zip(values).for_each(|(changed, value)| *changed = transformed(*value, lambda));
        let (_, variance) = moments(&changed);
        let loss = rows / 2.0 * variance.ln() - (lambda - 1.0) * logs;
        if loss.is_finite() { loss } else { f64::INFINITY }
    };
    minimum(&mut loss)
}

/// The minimum of a function of one valley: a bracket grown from 1, then golden sections.
fn minimum(loss: &mut dyn FnMut(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut middle, mut high) = (0.0, 1.0, 2.0);
    let mut at_middle = loss(middle);
    for direction in [-1.0, 1.0] {
        let mut step: f64 = direction;
        while step.abs() < 1e4 {
            let next = middle + step;
            let at_next = loss(next);
            if at_next >= at_middle {
                *(if direction < 0.0 { &mut low } else { &mut high }) = next;
                break;
            }
            *(if direction < 0.0 { &mut high } else { &mut low }) = middle;
            (middle, at_middle) = (next, at_next);
            step *= 2.0;
        }
    }
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    while high - low > 1e-9 * (1.0 + middle.abs()) {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = loss(right);
        }
    }
    f64::midpoint(low, high)
}
