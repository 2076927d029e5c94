//! Fits the weights of a linear model with an L2 penalty by L-BFGS.
//!
//! Minimised is scikit-learn's mean form, `Σ wᵢ lossᵢ / Σ wᵢ + ‖W‖² / (2 C Σ wᵢ)`, intercepts not penalised. Its
//! minimum is that of `C Σ wᵢ lossᵢ + ‖W‖² / 2`; `tolerance` is compared with its largest absolute derivative.
//! One step costs two matrix products: the direction's logits and the gradient. Trials of the line search only move
//! along the logits. Steps are scaled by how much the loss is expected to bend along each parameter.

use crate::error::Result;
use crate::features::matrix::Features;
use crate::features::sums::inner_product;
use crate::learners::conditioning::{Conditioned, Intercepts};
use crate::learners::lbfgs::History;
use crate::learners::line_search::{Point, search};
use crate::learners::row_loss::{LogitLine, RowLoss};
use crate::progress::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// So many steps without a new lowest value or gradient end the fit.
const MAX_IDLE_STEPS: usize = 20;
/// A relative decrease below this is none; scipy's `ftol` as scikit-learn sets it.
const FUNCTION_TOLERANCE: f64 = 64.0 * f64::EPSILON;

/// Rows or values handled by one task.
const CHUNK: usize = 1 << 12;

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The gradient is within the tolerance.
    Converged,
    /// Rounding hides any further decrease: as good as converged.
    PrecisionReached,
    /// `max_iterations` was reached first.
    IterationLimit,
}

/// How a fit went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// L-BFGS steps taken.
    pub iterations: usize,
    /// `C Σ wᵢ lossᵢ + ‖W‖² / 2`.
    pub objective: f64,
    /// The largest absolute derivative of the mean form.
    pub largest_gradient: f64,
    /// Why the fit ended.
    pub stop: Stop,
}

/// What is to be minimised, and how well.
pub(crate) struct PenalizedFit<'a> {
    pub(crate) rows: &'a Conditioned<'a>,
    pub(crate) loss: &'a RowLoss,
    /// The second derivative of the mean loss by each output's logit, roughly; it only scales steps.
    pub(crate) bends: Vec<f64>,
    pub(crate) intercepts: Intercepts,
    /// `Σ wᵢ`.
    pub(crate) total_weight: f64,
    /// The inverse strength of the penalty.
    pub(crate) c: f64,
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
}

/// Where a fit stands. Parameters are `[columns, outputs]` weights, then `[outputs]` intercepts.
struct State {
    parameters: Vec<f64>,
    /// `[rows, outputs]`, as are `residuals`.
    logits: Vec<f64>,
    residuals: Vec<f32>,
    value: f64,
    gradient: Vec<f64>,
    /// The largest absolute derivative in the coordinates that were given.
    slope: f64,
}

impl PenalizedFit<'_> {
    /// Runs from `parameters` until a stop and returns the best parameters.
    pub(crate) fn run(&self, parameters: Vec<f64>, context: &Context<'_>) -> Result<(Vec<f64>, FitReport)> {
        let parameters = self.rows.turn(parameters, self.outputs());
        let (mut state, mut history) = (self.evaluate(parameters), History::default());
        let scale = self.step_scale();
        let (mut iterations, mut idle_steps) = (0, 0);
        let mut lowest = (state.value, state.slope);
        let stop = loop {
            context.cancel.check()?;
            if state.slope <= self.tolerance {
                break Stop::Converged;
            }
            if idle_steps >= MAX_IDLE_STEPS {
                break Stop::PrecisionReached;
            }
            if iterations >= self.max_iterations {
                break Stop::IterationLimit;
            }
            if !self.advance(&mut state, &mut history, &scale) {
                break Stop::PrecisionReached;
            }
            iterations += 1;
            let decreased = lowest.0 - state.value > FUNCTION_TOLERANCE * lowest.0.abs().max(1.0);
            idle_steps = if decreased || state.slope < lowest.1 { 0 } else { idle_steps + 1 };
            lowest = (lowest.0.min(state.value), lowest.1.min(state.slope));
            context.progress.advance(1);
        };
        let report = FitReport {
            iterations,
            objective: state.value * self.c * self.total_weight,
            largest_gradient: state.slope,
            stop,
        };
        Ok((self.rows.turn_back(state.parameters, self.outputs()), report))
    }

    fn features(&self) -> &Features {
        self.rows.features()
    }

    fn outputs(&self) -> usize {
        self.bends.len()
    }

    fn penalty(&self) -> f64 {
        1.0 / (self.c * self.total_weight)
    }

    fn weight_count(&self) -> usize {
        self.features().columns() * self.outputs()
    }

    /// How many parameters, from the first on, the penalty falls on.
    fn penalized_count(&self) -> usize {
        match self.intercepts {
            Intercepts::Free => self.weight_count(),
            Intercepts::Penalized => self.weight_count() + self.outputs(),
        }
    }

    /// `1 / √(expected second derivative)` of each parameter.
    fn step_scale(&self) -> Vec<f32> {
        let scale = |moment: f64, penalty: f64| {
            self.bends.iter().map(move |bend| (bend * moment + penalty).sqrt().recip() as f32)
        };
        let of_intercepts = if self.intercepts == Intercepts::Free { 0.0 } else { self.penalty() };
        let weights = self.rows.moments().iter().flat_map(|&moment| scale(moment, self.penalty()));
        weights.chain(scale(1.0, of_intercepts)).collect()
    }

    fn evaluate(&self, parameters: Vec<f64>) -> State {
        let first_logits = self.logits(&parameters);
        let logits: Vec<f64> = first_logits.par_iter().map(|&logit| f64::from(logit)).collect();
        let mut residuals = vec![0.0; logits.len()];
        let line = LogitLine { logits: &logits, direction: &first_logits, step: 0.0 };
        let loss = self.loss.evaluate(line, 1.0 / self.total_weight, &mut residuals).loss;
        let penalized = &parameters[..self.penalized_count()];
        let value = loss + 0.5 * self.penalty() * inner_product(penalized, penalized);
        let gradient = self.gradient(&parameters, &residuals);
        let slope = self.rows.largest_derivative(&gradient, self.outputs());
        State { parameters, logits, residuals, value, gradient, slope }
    }

    /// `X · weights + intercepts`, `[rows, outputs]`.
    fn logits(&self, parameters: &[f64]) -> Vec<f32> {
        logits(self.features(), parameters, self.outputs())
    }

    fn gradient(&self, parameters: &[f64], residuals: &[f32]) -> Vec<f64> {
        let mut gradient = loss_gradient(self.features(), residuals, self.outputs());
        let penalized =
            gradient[..self.penalized_count()].par_chunks_mut(CHUNK).zip(parameters.par_chunks(CHUNK));
        penalized.for_each(|(values, parameters)| {
            values.iter_mut().zip(parameters).for_each(|(value, weight)| *value += self.penalty() * weight);
        });
        gradient
    }

    /// Takes one step; false if no step decreases the value.
    fn advance(&self, state: &mut State, history: &mut History, scale: &[f32]) -> bool {
        if self.step_along(state, history, scale) {
            return true;
        }
        // A history spoilt by rounding may point uphill: steepest descent gets the last word.
        let retry = !history.is_empty();
        history.clear();
        retry && self.step_along(state, history, scale)
    }

    fn step_along(&self, state: &mut State, history: &mut History, scale: &[f32]) -> bool {
        let mut direction = history.direction(&scaled(&state.gradient, scale));
        direction.par_iter_mut().zip(scale).with_min_len(CHUNK).for_each(|(value, scale)| {
            *value *= f64::from(*scale);
        });
        let Some((step, value, direction_logits)) = self.search_line(state, &direction) else {
            return false;
        };
        move_by(&mut state.logits, step, &direction_logits);
        move_by(&mut state.parameters, step, &direction);
        let gradient = self.gradient(&state.parameters, &state.residuals);
        let slopes = gradient.par_iter().zip(&state.gradient).zip(scale).with_min_len(CHUNK);
        let change = slopes.map(|((new, old), scale)| (new - old) as f32 * scale).collect();
        let moves = direction.par_iter().zip(scale).with_min_len(CHUNK);
        history.remember(moves.map(|(value, scale)| (step * value) as f32 / scale).collect(), change);
        state.slope = self.rows.largest_derivative(&gradient, self.outputs());
        (state.value, state.gradient) = (value, gradient);
        true
    }

    /// The accepted step, its value, and the direction's logits; `state.residuals` are left at that step.
    fn search_line(&self, state: &mut State, direction: &[f64]) -> Option<(f64, f64, Vec<f32>)> {
        let slope = inner_product(&state.gradient, direction);
        if !slope.is_finite() || slope >= 0.0 {
            return None;
        }
        let direction_logits = self.logits(direction);
        let (weights, moves) =
            (&state.parameters[..self.penalized_count()], &direction[..self.penalized_count()]);
        // The penalty along the line is a parabola with these coefficients.
        let [constant, linear, quadratic] = [(weights, weights), (weights, moves), (moves, moves)]
            .map(|(left, right)| self.penalty() * inner_product(left, right));
        let start = Point { step: 0.0, value: state.value, slope };
        let point = search(start, 1.0, |step| {
            let line = LogitLine { logits: &state.logits, direction: &direction_logits, step };
            let data = self.loss.evaluate(line, 1.0 / self.total_weight, &mut state.residuals);
            let penalty = 0.5 * constant + step * linear + 0.5 * step * step * quadratic;
            Point { step, value: data.loss + penalty, slope: data.slope + linear + step * quadratic }
        })?;
        Some((point.step, point.value, direction_logits))
    }
}

/// `X · weights + intercepts`, `[rows, outputs]`.
pub(crate) fn logits(features: &Features, parameters: &[f64], outputs: usize) -> Vec<f32> {
    let parameters: Vec<f32> = parameters.par_iter().with_min_len(CHUNK).map(|&value| value as f32).collect();
    let (weights, intercepts) = parameters.split_at(features.columns() * outputs);
    let mut logits = vec![0.0; features.rows() * outputs];
    features.multiply(weights, outputs, &mut logits);
    logits.par_chunks_mut(CHUNK * outputs).for_each(|rows| {
        for row in rows.chunks_exact_mut(outputs) {
            row.iter_mut().zip(intercepts).for_each(|(logit, intercept)| *logit += intercept);
        }
    });
    logits
}

/// The derivatives of the loss by weights and intercepts.
pub(crate) fn loss_gradient(features: &Features, residuals: &[f32], outputs: usize) -> Vec<f64> {
    let weight_count = features.columns() * outputs;
    let mut gradient = vec![0.0; weight_count + outputs];
    let (weights, intercepts) = gradient.split_at_mut(weight_count);
    features.multiply_transposed(residuals, outputs, weights);
    let sums: Vec<Vec<f64>> = residuals
        .par_chunks(CHUNK * outputs)
        .map(|rows| {
            let mut sums = vec![0.0; outputs];
            for row in rows.chunks_exact(outputs) {
                sums.iter_mut().zip(row).for_each(|(sum, residual)| *sum += f64::from(*residual));
            }
            sums
        })
        .collect();
    for part in sums {
        intercepts.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    gradient
}

/// Each value times its scale.
pub(crate) fn scaled(values: &[f64], scale: &[f32]) -> Vec<f64> {
    let pairs = values.par_iter().zip(scale).with_min_len(CHUNK);
    pairs.map(|(value, scale)| value * f64::from(*scale)).collect()
}

fn move_by<T: Copy + Into<f64> + Sync>(values: &mut [f64], step: f64, direction: &[T]) {
    let pairs = values.par_chunks_mut(CHUNK).zip(direction.par_chunks(CHUNK));
    pairs.for_each(|(values, moves)| {
        values.iter_mut().zip(moves).for_each(|(value, &change)| *value += step * change.into());
    });
}
