//! Decisions of learners that know no probabilities, made into some; equal to scikit-learn's
//! `CalibratedClassifierCV(ensemble=False)`.
//!
//! A curve is fitted for each output on decisions of rows that the learner has not seen, which cross-validation
//! leaves over: Platt's sigmoid, or the isotonic regression. The curves of several classes are divided by their sum.

use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::learners::labels::Labels;
use serde::{Deserialize, Serialize};

/// Steps of Newton's method; a handful is usual.
const MAX_NEWTON_STEPS: usize = 100;

/// Which curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMethod {
    /// `1 / (1 + exp(a f + b))`: two numbers, for any number of rows.
    Sigmoid,
    /// The rising steps closest to the labels: for a thousand rows or more.
    Isotonic,
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// Platt's sigmoid.
    Sigmoid {
        /// The slope, negative where larger decisions speak for the class.
        a: f64,
        /// The offset.
        b: f64,
    },
    /// Straight lines between points, flat outside.
    Isotonic {
        /// Decisions, ascending.
        decisions: Vec<f64>,
        /// The probabilities there, not descending.
        probabilities: Vec<f64>,
    },
}

/// What is calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// One decision, for the second of two classes.
    Binary,
    /// One for each of three or more classes.
    Classes,
    /// One for each label, on its own.
    Labels,
}

/// A curve for each output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calibration {
    /// In the order of outputs.
    pub curves: Vec<Curve>,
}

impl Calibration {
    /// Fits the curves on decisions `[rows, outputs]` of rows that were not trained on.
    pub fn fit(method: CalibrationMethod, decisions: &DenseMatrix, labels: &Labels) -> Self {
        let outputs = decisions.columns();
        let curve = |output: usize| {
            let values: Vec<f64> = decisions
                .values()
                .iter()
                .skip(output)
                .step_by(outputs)
                .map(|&value| f64::from(value))
                .collect();
            let positives: Vec<bool> = match labels {
                Labels::SingleLabel { indices, .. } if outputs == 1 => {
                    indices.iter().map(|&index| index == 1).collect()
                }
                Labels::SingleLabel { indices, .. } => {
                    indices.iter().map(|&index| index as usize == output).collect()
                }
                Labels::MultiLabel { members, label_count } => {
                    members.iter().skip(output).step_by(*label_count).copied().collect()
                }
            };
            match method {
                CalibrationMethod::Sigmoid => sigmoid_curve(&values, &positives),
                CalibrationMethod::Isotonic => isotonic_curve(&values, &positives),
            }
        };
        Self { curves: (0..outputs).map(curve).collect() }
    }

    /// Probabilities `[rows, classes]` or `[rows, labels]`.
    pub fn probabilities(&self, decisions: &DenseMatrix, outputs: Outputs) -> Result<DenseMatrix> {
        let (rows, width) = (decisions.rows(), decisions.columns());
        let mut values = Vec::with_capacity(rows * width.max(2));
        for row in 0..rows {
            let calibrated =
                self.curves.iter().zip(decisions.row(row)).map(|(curve, value)| curve.at(f64::from(*value)));
            match outputs {
                Outputs::Binary => {
                    values.extend(calibrated.flat_map(|value| [(1.0 - value) as f32, value as f32]));
                }
                Outputs::Labels => values.extend(calibrated.map(|value| value as f32)),
                Outputs::Classes => {
                    let calibrated: Vec<f64> = calibrated.collect();
                    let sum: f64 = calibrated.iter().sum();
                    let share = |value: f64| if sum > 0.0 { value / sum } else { 1.0 / width as f64 };
                    values.extend(calibrated.into_iter().map(|value| share(value) as f32));
                }
            }
        }
        let columns = if outputs == Outputs::Binary { 2 } else { width };
        DenseMatrix::new(rows, columns, values)
    }
}

impl Curve {
    /// The probability at a decision.
    pub fn at(&self, decision: f64) -> f64 {
        match self {
            Self::Sigmoid { a, b } => 1.0 / (1.0 + (a * decision + b).exp()),
            Self::Isotonic { decisions, probabilities } => interpolated(decisions, probabilities, decision),
        }
    }

    /// Whether its numbers can be what a fit gives.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Sigmoid { a, b } => a.is_finite() && b.is_finite(),
            Self::Isotonic { decisions, probabilities } => {
                let ascending = decisions.windows(2).all(|pair| pair[0] < pair[1]);
                let inside = probabilities.iter().all(|value| (0.0..=1.0).contains(value));
                let finite = decisions.iter().all(|decision| decision.is_finite());
                !decisions.is_empty()
                    && decisions.len() == probabilities.len()
                    && ascending
                    && inside
                    && finite
            }
        }
    }
}

/// Platt's targets, which keep away from 0 and 1 by as much as there are few rows, and the sigmoid that is closest to
/// them in cross-entropy, by Newton's method with halved steps.
fn sigmoid_curve(values: &[f64], positives: &[bool]) -> Curve {
    let count = positives.iter().filter(|positive| **positive).count() as f64;
    let others = values.len() as f64 - count;
    let targets = [1.0 / (others + 2.0), (count + 1.0) / (count + 2.0)];
    let scale = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let rows =
        || values.iter().map(|value| value / scale).zip(positives.iter().map(|&p| targets[usize::from(p)]));
    // The loss of logit `z = −(a f + b)` with target `t` is `ln(1 + exp(z)) − t z`.
    let loss = |[a, b]: [f64; 2]| -> f64 {
        let of_row = |(value, target): (f64, f64)| {
            let z = -(a * value + b);
            softplus(z) - target * z
        };
        rows().map(of_row).sum()
    };
    let mut at = [0.0, ((others + 1.0) / (count + 1.0)).ln()];
    let mut lowest = loss(at);
    for _ in 0..MAX_NEWTON_STEPS {
        let (mut slope, mut bend) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for (value, target) in rows() {
            let probability = 1.0 / (1.0 + (at[0] * value + at[1]).exp());
            let (error, weight) = (target - probability, probability * (1.0 - probability));
            slope = [slope[0] + error * value, slope[1] + error];
            bend = [bend[0] + weight * value * value, bend[1] + weight * value, bend[2] + weight];
        }
        let determinant = bend[0] * bend[2] - bend[1] * bend[1];
        if slope.iter().all(|slope| slope.abs() < 1e-9 * values.len() as f64) || determinant <= 0.0 {
            break;
        }
        let step = [
            (bend[2] * slope[0] - bend[1] * slope[1]) / determinant,
            (bend[0] * slope[1] - bend[1] * slope[0]) / determinant,
        ];
        let Some((next, value)) = (0..40)
            .map(|halvings| 0.5f64.powi(halvings))
            .map(|length| [at[0] - length * step[0], at[1] - length * step[1]])
            .map(|next| (next, loss(next)))
            .find(|(_, value)| *value < lowest)
        else {
            break;
        };
        (at, lowest) = (next, value);
    }
    Curve::Sigmoid { a: at[0] / scale, b: at[1] }
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Pool-adjacent-violators over rows in the order of their decisions; equal decisions are one.
fn isotonic_curve(values: &[f64], positives: &[bool]) -> Curve {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    // The decisions of each distinct value, and blocks of `[mean, weight, points]`.
    let mut points: Vec<[f64; 3]> = Vec::new();
    for row in order {
        let target = f64::from(u8::from(positives[row]));
        match points.last_mut() {
            Some(last) if last[0] == values[row] => *last = [last[0], last[1] + target, last[2] + 1.0],
            _ => points.push([values[row], target, 1.0]),
        }
    }
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for [_, sum, weight] in &points {
        let mut block = (*sum, *weight, 1);
        while let Some(last) = blocks.last() {
            if last.0 / last.1 < block.0 / block.1 {
                break;
            }
            block = (block.0 + last.0, block.1 + last.1, block.2 + last.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    let (mut decisions, mut probabilities, mut first) = (Vec::new(), Vec::new(), 0);
    for (sum, weight, count) in blocks {
        let ends = if count == 1 { vec![first] } else { vec![first, first + count - 1] };
        for end in ends {
            decisions.push(points[end][0]);
            probabilities.push(sum / weight);
        }
        first += count;
    }
    Curve::Isotonic { decisions, probabilities }
}

fn interpolated(decisions: &[f64], probabilities: &[f64], decision: f64) -> f64 {
    let after = decisions.partition_point(|point| *point <= decision);
    if after == 0 {
        return probabilities[0];
    }
    if after == decisions.len() {
        return probabilities[after - 1];
    }
    let share = (decision - decisions[after - 1]) / (decisions[after] - decisions[after - 1]);
    probabilities[after - 1] + share * (probabilities[after] - probabilities[after - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_curves_rise_and_pool_violators() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 5.0];
        let positives = [false, true, false, false, true, true];
        let curve = isotonic_curve(&values, &positives);
        assert!(curve.is_sound());
        let expected = [(0.0, 0.0), (1.0, 0.0), (3.0, 1.0 / 3.0), (4.5, 2.0 / 3.0), (9.0, 1.0)];
        for (decision, probability) in expected {
            assert!((curve.at(decision) - probability).abs() < 1e-12, "{decision}: {}", curve.at(decision));
        }
    }

    #[test]
    fn separable_rows_give_a_finite_sigmoid() {
        let values: Vec<f64> = (0..40).map(|at| f64::from(at) - 19.5).collect();
        let positives: Vec<bool> = values.iter().map(|value| *value > 0.0).collect();
        let curve = sigmoid_curve(&values, &positives);
        assert!(curve.is_sound() && curve.at(20.0) > 0.95 && curve.at(-20.0) < 0.05);
        assert!(sigmoid_curve(&[0.0; 5], &[true, false, true, false, false]).is_sound());
    }
}
