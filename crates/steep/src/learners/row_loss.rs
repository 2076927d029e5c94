//! The loss of every row as a function of its logits, and its derivative.
//!
//! Losses are taken along a line of logits `z + step · d`, so that a line search never repeats a matrix product.
//! Sums run in 64 bits over fixed chunks of rows, in order.

use crate::features::sums::dot;
use rayon::prelude::*;

/// Rows handled by one task.
const CHUNK_ROWS: usize = 256;

/// Which loss, with the labels and weights of the rows.
pub(crate) enum RowLoss {
    /// Cross-entropy of the softmax over all classes.
    Softmax {
        /// The class of each row.
        classes: Vec<u32>,
        /// The factor of each row, its class weight included.
        weights: Vec<f64>,
    },
    /// Binary cross-entropy of each output on its own.
    Logistic {
        /// Whether a row is positive: `[rows, outputs]`.
        positives: Vec<bool>,
        /// The factor of each row.
        weights: Vec<f64>,
        /// The factors of negative and positive rows, for each output.
        factors: Vec<[f64; 2]>,
    },
    /// Squared hinge of each output on its own: `max(0, 1 − margin)²`.
    SquaredHinge {
        /// Whether a row is positive: `[rows, outputs]`.
        positives: Vec<bool>,
        /// The factor of each row.
        weights: Vec<f64>,
        /// The factors of negative and positive rows, for each output.
        factors: Vec<[f64; 2]>,
    },
}

/// A line in the space of logits, all `[rows, outputs]`.
///
/// Logits are sums of many steps and are kept in 64 bits, so that the differences that small steps make are not
/// rounded away; directions come from 32-bit products.
#[derive(Clone, Copy)]
pub(crate) struct LogitLine<'a> {
    pub(crate) logits: &'a [f64],
    pub(crate) direction: &'a [f32],
    pub(crate) step: f64,
}

/// The weighted sum of losses at a point of a line, and its derivative by the step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct LineLoss {
    pub(crate) loss: f64,
    pub(crate) slope: f64,
}

impl RowLoss {
    /// The loss at `line.step`; `residuals[rows, outputs]` receive the derivative by each logit. Loss, slope and
    /// residuals are multiplied by `scale`.
    pub(crate) fn evaluate(&self, line: LogitLine<'_>, scale: f64, residuals: &mut [f32]) -> LineLoss {
        let outputs = self.outputs(residuals.len());
        let size = CHUNK_ROWS * outputs;
        let parts: Vec<LineLoss> = residuals
            .par_chunks_mut(size)
            .zip(line.logits.par_chunks(size).zip(line.direction.par_chunks(size)))
            .enumerate()
            .map(|(chunk, (residuals, (logits, direction)))| {
                let line = LogitLine { logits, direction, step: line.step };
                let loss = self.chunk_loss([chunk * CHUNK_ROWS, outputs], line, scale, residuals);
                LineLoss { loss, slope: dot(residuals, direction) }
            })
            .collect();
        parts.iter().fold(LineLoss::default(), |sum, part| LineLoss {
            loss: sum.loss + part.loss,
            slope: sum.slope + part.slope,
        })
    }

    /// For each output the weights of its negative and of its positive rows, added up.
    pub(crate) fn positive_weights(&self, outputs: usize) -> Vec<[f64; 2]> {
        let mut sums = vec![[0.0; 2]; outputs];
        match self {
            Self::Softmax { classes, weights } => {
                let total: f64 = weights.iter().sum();
                for (&class, weight) in classes.iter().zip(weights) {
                    sums[class as usize][1] += weight;
                }
                sums.iter_mut().for_each(|sums| sums[0] = total - sums[1]);
            }
            Self::Logistic { positives, weights, factors }
            | Self::SquaredHinge { positives, weights, factors } => {
                for (row, weight) in positives.chunks_exact(outputs).zip(weights) {
                    for ((sums, factors), &positive) in sums.iter_mut().zip(factors).zip(row) {
                        sums[usize::from(positive)] += weight * factors[usize::from(positive)];
                    }
                }
            }
        }
        sums
    }

    /// The second derivative of the mean loss by each output's logit: for cross-entropies where the logits say no
    /// more than the frequencies, for the squared hinge where every row is inside its margin.
    pub(crate) fn bends(&self, outputs: usize) -> Vec<f64> {
        let bend = |[negative, positive]: [f64; 2]| match self {
            Self::SquaredHinge { .. } => 2.0,
            Self::Softmax { .. } | Self::Logistic { .. } => {
                let share = (positive + 0.5) / (positive + negative + 1.0);
                share * (1.0 - share)
            }
        };
        self.positive_weights(outputs).into_iter().map(bend).collect()
    }

    fn outputs(&self, residual_count: usize) -> usize {
        match self {
            Self::Softmax { classes, .. } => residual_count / classes.len().max(1),
            Self::Logistic { factors, .. } | Self::SquaredHinge { factors, .. } => factors.len(),
        }
    }

    /// The sum of losses of some rows, the first of which is row `first`.
    fn chunk_loss(
        &self,
        [first, outputs]: [usize; 2],
        line: LogitLine<'_>,
        scale: f64,
        residuals: &mut [f32],
    ) -> f64 {
        let (mut sum, mut logits) = (0.0, vec![0.0; outputs]);
        let lines = line.logits.chunks_exact(outputs).zip(line.direction.chunks_exact(outputs));
        for (row, (residuals, (start, direction))) in
            (first..).zip(residuals.chunks_exact_mut(outputs).zip(lines))
        {
            move_along(start, direction, line.step, &mut logits);
            sum += match self {
                Self::Softmax { classes, weights } => {
                    softmax_row(&logits, classes[row] as usize, weights[row] * scale, residuals)
                }
                Self::Logistic { positives, weights, factors } => {
                    let positives = &positives[row * outputs..][..outputs];
                    logistic_row(&logits, positives, factors, weights[row] * scale, residuals)
                }
                Self::SquaredHinge { positives, weights, factors } => {
                    let positives = &positives[row * outputs..][..outputs];
                    squared_hinge_row(&logits, positives, factors, weights[row] * scale, residuals)
                }
            };
        }
        sum
    }
}

fn move_along(logits: &[f64], direction: &[f32], step: f64, moved: &mut [f64]) {
    for ((moved, logit), direction) in moved.iter_mut().zip(logits).zip(direction) {
        *moved = logit + step * f64::from(*direction);
    }
}

/// Cross-entropy of one row; `residuals` become `weight · (softmax − one_hot)`.
///
/// The largest term of the softmax is 1 before division; the sum of the others is kept apart, so that the loss of
/// a confident row is not lost beside the 1.
fn softmax_row(logits: &[f64], class: usize, weight: f64, residuals: &mut [f32]) -> f64 {
    let (top, largest) = arg_max(logits);
    for (residual, logit) in residuals.iter_mut().zip(logits) {
        *residual = exp_of_negative((*logit - largest) as f32);
    }
    residuals[top] = 0.0;
    let others = f64::from(sum(residuals));
    residuals[top] = 1.0;
    let factor = (weight / (1.0 + others)) as f32;
    for residual in residuals.iter_mut() {
        *residual *= factor;
    }
    residuals[class] = if class == top {
        (-weight * others / (1.0 + others)) as f32
    } else {
        residuals[class] - weight as f32
    };
    weight * (others.ln_1p() + (largest - logits[class]))
}

/// Binary cross-entropies of one row; `residuals` become the derivatives by its logits.
fn logistic_row(
    logits: &[f64],
    positives: &[bool],
    factors: &[[f64; 2]],
    weight: f64,
    residuals: &mut [f32],
) -> f64 {
    let mut sum = 0.0;
    let labels = positives.iter().zip(factors);
    for ((residual, logit), (&positive, factors)) in residuals.iter_mut().zip(logits).zip(labels) {
        let weight = weight * factors[usize::from(positive)];
        // The margin: how far the logit lies on the right side.
        let margin = if positive { *logit } else { -*logit };
        let small = (-margin.abs()).exp();
        sum += weight * ((-margin).max(0.0) + small.ln_1p());
        let error = if margin >= 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) };
        *residual = (if positive { -weight * error } else { weight * error }) as f32;
    }
    sum
}

/// Squared hinge losses of one row; `residuals` become the derivatives by its logits.
fn squared_hinge_row(
    logits: &[f64],
    positives: &[bool],
    factors: &[[f64; 2]],
    weight: f64,
    residuals: &mut [f32],
) -> f64 {
    let mut sum = 0.0;
    let labels = positives.iter().zip(factors);
    for ((residual, logit), (&positive, factors)) in residuals.iter_mut().zip(logits).zip(labels) {
        let weight = weight * factors[usize::from(positive)];
        let sign = if positive { 1.0 } else { -1.0 };
        let short = (1.0 - sign * logit).max(0.0);
        sum += weight * short * short;
        *residual = (-2.0 * weight * sign * short) as f32;
    }
    sum
}

fn arg_max(values: &[f64]) -> (usize, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    for (at, &value) in values.iter().enumerate() {
        if value > best.1 {
            best = (at, value);
        }
    }
    best
}

fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for lane in 0..8 {
            lanes[lane] += chunk[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// `exp(x)` for `x <= 0` with a relative error under 2e-7; below −87 it stays at `exp(−87)`, about 1.6e-38.
///
/// Cephes' `expf` without branches, so that the compiler turns loops over it into vector instructions.
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding this constant rounds to an integer, and leaves that integer plus the exponent bias in the lowest bits.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        polynomial = polynomial * rest + coefficient;
    }
    (polynomial * rest * rest + rest + 1.0) * f32::from_bits(shifted.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_is_exact_to_two_ulp() {
        let largest = (0..200_000)
            .map(|i| -86.9 * i as f32 / 200_000.0)
            .map(|x| (f64::from(exp_of_negative(x)) / f64::from(x).exp() - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(largest < 2.4e-7, "{largest:e}");
        assert!(exp_of_negative(-1e30) < 2e-38);
        assert_eq!(exp_of_negative(0.0), 1.0);
    }

    fn check_derivatives(loss: &RowLoss, logits: &[f64]) {
        let direction: Vec<f32> = (0..logits.len()).map(|i| ((i * 7 % 5) as f32 - 2.0) * 0.3).collect();
        let mut residuals = vec![0.0; logits.len()];
        let mut at =
            |step| loss.evaluate(LogitLine { logits, direction: &direction, step }, 0.5, &mut residuals);
        let (before, here, after) = (at(-1e-2), at(0.0), at(1e-2));
        let slope = (after.loss - before.loss) / 2e-2;
        assert!((here.slope - slope).abs() < 1e-3, "{} against {slope}", here.slope);
    }

    #[test]
    fn slopes_are_the_derivatives_of_losses() {
        let logits: Vec<f64> = (0..12).map(|i| f64::from(i * 5 % 7) - 3.0).collect();
        check_derivatives(
            &RowLoss::Softmax { classes: vec![0, 2, 1, 2], weights: vec![1.0, 2.0, 0.5, 1.0] },
            &logits,
        );
        let positives: Vec<bool> = (0..12).map(|i| i % 3 == 0).collect();
        let factors = vec![[1.0, 2.0], [0.5, 1.0], [1.0, 1.0]];
        let weights = vec![1.0; 4];
        let hinge = RowLoss::SquaredHinge {
            positives: positives.clone(),
            weights: weights.clone(),
            factors: factors.clone(),
        };
        check_derivatives(&hinge, &logits);
        check_derivatives(&RowLoss::Logistic { positives, weights, factors }, &logits);
    }

    #[test]
    fn confident_rows_keep_their_small_losses() {
        let mut residuals = [0.0; 3];
        let loss = softmax_row(&[30.0, 0.0, 0.0], 0, 1.0, &mut residuals);
        let expected = (2.0 * (-30.0f64).exp()).ln_1p();
        assert!((loss / expected - 1.0).abs() < 1e-6);
        assert!((f64::from(residuals[0]) / -expected - 1.0).abs() < 1e-6);
    }
}
