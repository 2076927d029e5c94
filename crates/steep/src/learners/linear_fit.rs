//! Fits the weights of a linear model with an L2 penalty by L-BFGS.
//!
//! Minimised is scikit-learn's mean form, `Σ wᵢ lossᵢ / Σ wᵢ + ‖W‖² / (2 C Σ wᵢ)`, intercepts not penalised. Its
//! minimum is that of `C Σ wᵢ lossᵢ + ‖W‖² / 2`; `tolerance` is compared with its largest absolute derivative.
//! One step costs two matrix products: the direction's logits and the gradient. Trials of the line search only move
//! along the logits.

use crate::error::Result;
use crate::features::matrix::Features;
use crate::learners::lbfgs::History;
use crate::learners::line_search::{Point, search};
use crate::learners::row_loss::{LogitLine, RowLoss};
use crate::learners::sums::inner_product;
use crate::progress::Context;
use serde::{Deserialize, Serialize};

/// So many steps without a new lowest value or gradient end the fit.
const MAX_IDLE_STEPS: usize = 20;
/// A relative decrease below this is none; scipy's `ftol` as scikit-learn sets it.
const FUNCTION_TOLERANCE: f64 = 64.0 * f64::EPSILON;

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
    pub(crate) features: &'a Features,
    pub(crate) loss: &'a RowLoss,
    pub(crate) outputs: usize,
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
}

impl PenalizedFit<'_> {
    /// Runs from `parameters` until a stop and returns the best parameters.
    pub(crate) fn run(&self, parameters: Vec<f64>, context: &Context<'_>) -> Result<(Vec<f64>, FitReport)> {
        let (mut state, mut history) = (self.evaluate(parameters), History::default());
        let (mut iterations, mut idle_steps) = (0, 0);
        let mut lowest = (state.value, largest(&state.gradient));
        let stop = loop {
            context.cancel.check()?;
            if largest(&state.gradient) <= self.tolerance {
                break Stop::Converged;
            }
            if idle_steps >= MAX_IDLE_STEPS {
                break Stop::PrecisionReached;
            }
            if iterations >= self.max_iterations {
                break Stop::IterationLimit;
            }
            if !self.advance(&mut state, &mut history) {
                break Stop::PrecisionReached;
            }
            iterations += 1;
            let slope = largest(&state.gradient);
            let decreased = lowest.0 - state.value > FUNCTION_TOLERANCE * lowest.0.abs().max(1.0);
            idle_steps = if decreased || slope < lowest.1 { 0 } else { idle_steps + 1 };
            lowest = (lowest.0.min(state.value), lowest.1.min(slope));
            context.progress.advance(1);
        };
        let report = FitReport {
            iterations,
            objective: state.value * self.c * self.total_weight,
            largest_gradient: largest(&state.gradient),
            stop,
        };
        Ok((state.parameters, report))
    }

    fn penalty(&self) -> f64 {
        1.0 / (self.c * self.total_weight)
    }

    fn weight_count(&self) -> usize {
        self.features.columns() * self.outputs
    }

    fn evaluate(&self, parameters: Vec<f64>) -> State {
        let first_logits = self.logits(&parameters);
        let logits: Vec<f64> = first_logits.iter().map(|&logit| f64::from(logit)).collect();
        let mut residuals = vec![0.0; logits.len()];
        let line = LogitLine { logits: &logits, direction: &first_logits, step: 0.0 };
        let loss = self.loss.evaluate(line, 1.0 / self.total_weight, &mut residuals).loss;
        let weights = &parameters[..self.weight_count()];
        let value = loss + 0.5 * self.penalty() * inner_product(weights, weights);
        let gradient = self.gradient(&parameters, &residuals);
        State { parameters, logits, residuals, value, gradient }
    }

    /// `X · weights + intercepts`, `[rows, outputs]`.
    fn logits(&self, parameters: &[f64]) -> Vec<f32> {
        let parameters: Vec<f32> = parameters.iter().map(|&value| value as f32).collect();
        let (weights, intercepts) = parameters.split_at(self.weight_count());
        let mut logits = vec![0.0; self.features.rows() * self.outputs];
        self.features.multiply(weights, self.outputs, &mut logits);
        for row in logits.chunks_exact_mut(self.outputs) {
            row.iter_mut().zip(intercepts).for_each(|(logit, intercept)| *logit += intercept);
        }
        logits
    }

    fn gradient(&self, parameters: &[f64], residuals: &[f32]) -> Vec<f64> {
        let mut gradient = vec![0.0; parameters.len()];
        let (weights, intercepts) = gradient.split_at_mut(self.weight_count());
        self.features.multiply_transposed(residuals, self.outputs, weights);
        weights.iter_mut().zip(parameters).for_each(|(value, weight)| *value += self.penalty() * weight);
        for row in residuals.chunks_exact(self.outputs) {
            intercepts.iter_mut().zip(row).for_each(|(sum, residual)| *sum += f64::from(*residual));
        }
        gradient
    }

    /// Takes one step; false if no step decreases the value.
    fn advance(&self, state: &mut State, history: &mut History) -> bool {
        if self.step_along(state, history) {
            return true;
        }
        // A history spoilt by rounding may point uphill: steepest descent gets the last word.
        let retry = !history.is_empty();
        history.clear();
        retry && self.step_along(state, history)
    }

    fn step_along(&self, state: &mut State, history: &mut History) -> bool {
        let direction = history.direction(&state.gradient);
        let first_step =
            if history.is_empty() { 1.0 / inner_product(&direction, &direction).sqrt() } else { 1.0 };
        let Some((step, value, direction_logits)) = self.search_line(state, &direction, first_step) else {
            return false;
        };
        for (logit, change) in state.logits.iter_mut().zip(&direction_logits) {
            *logit += step * f64::from(*change);
        }
        for (parameter, change) in state.parameters.iter_mut().zip(&direction) {
            *parameter += step * change;
        }
        let gradient = self.gradient(&state.parameters, &state.residuals);
        let change = gradient.iter().zip(&state.gradient).map(|(new, old)| (new - old) as f32).collect();
        history.remember(direction.iter().map(|value| (step * value) as f32).collect(), change);
        (state.value, state.gradient) = (value, gradient);
        true
    }

    /// The accepted step, its value, and the direction's logits; `state.residuals` are left at that step.
    fn search_line(
        &self,
        state: &mut State,
        direction: &[f64],
        first_step: f64,
    ) -> Option<(f64, f64, Vec<f32>)> {
        let slope = inner_product(&state.gradient, direction);
        if !slope.is_finite() || slope >= 0.0 {
            return None;
        }
        let direction_logits = self.logits(direction);
        let (weights, moves) = (&state.parameters[..self.weight_count()], &direction[..self.weight_count()]);
        // The penalty along the line is a parabola with these coefficients.
        let [constant, linear, quadratic] = [(weights, weights), (weights, moves), (moves, moves)]
            .map(|(left, right)| self.penalty() * inner_product(left, right));
        let start = Point { step: 0.0, value: state.value, slope };
        let point = search(start, first_step, |step| {
            let line = LogitLine { logits: &state.logits, direction: &direction_logits, step };
            let data = self.loss.evaluate(line, 1.0 / self.total_weight, &mut state.residuals);
            let penalty = 0.5 * constant + step * linear + 0.5 * step * step * quadratic;
            Point { step, value: data.loss + penalty, slope: data.slope + linear + step * quadratic }
        })?;
        Some((point.step, point.value, direction_logits))
    }
}

fn largest(gradient: &[f64]) -> f64 {
    gradient.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}
