//! Fits the weights of a linear model with an L1 penalty, or a mix of L1 and L2, by the orthant-wise L-BFGS method.
//!
//! Minimised is the mean form of scikit-learn's objective,
//! `Σ wᵢ lossᵢ / Σ wᵢ + (r ‖W‖₁ + (1 − r) ‖W‖² / 2) / (C Σ wᵢ)`, `r` being the L1 ratio, intercepts not penalised.
//! The method (Andrew & Gao, 2007, "Scalable training of L1-regularized log-linear models") is L-BFGS on the orthant
//! into which the steepest descent points: there the L1 norm is linear. A step is cut off at the orthant's walls, and
//! so weights become exactly zero. `tolerance` is compared with the largest absolute derivative towards descent.

use crate::error::Result;
use crate::features::matrix::Features;
use crate::features::sums::inner_product;
use crate::learners::conditioning::Conditioned;
use crate::learners::lbfgs::History;
use crate::learners::linear_fit::{FitReport, Stop, logits, loss_gradient, scaled};
use crate::learners::row_loss::{LogitLine, RowLoss};
use crate::progress::Context;
use rayon::prelude::*;

/// Halvings of a step before rounding is taken to hide any decrease.
const MAX_HALVINGS: usize = 25;
/// The share of the promised decrease that must be reached (Armijo's condition).
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Values are trusted to this relative accuracy: logits are computed in 32 bits.
const VALUE_NOISE: f64 = 1e-9;
/// So many steps without a new lowest value or slope end the fit.
const MAX_IDLE_STEPS: usize = 20;
/// Values handled by one task.
const CHUNK: usize = 1 << 12;

/// What is to be minimised, and how well.
pub(crate) struct ElasticNetFit<'a> {
    pub(crate) rows: &'a Conditioned<'a>,
    pub(crate) loss: &'a RowLoss,
    /// The second derivative of the mean loss by each output's logit, roughly; it only scales steps.
    pub(crate) bends: Vec<f64>,
    /// `Σ wᵢ`.
    pub(crate) total_weight: f64,
    /// The inverse strength of the penalty.
    pub(crate) c: f64,
    /// The share of the L1 norm in the penalty, above 0 and at most 1.
    pub(crate) l1_ratio: f64,
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
}

/// Where a fit stands. Parameters are `[columns, outputs]` weights, then `[outputs]` intercepts.
struct State {
    parameters: Vec<f64>,
    /// Of the whole objective.
    value: f64,
    /// Of its smooth part.
    gradient: Vec<f64>,
}

impl ElasticNetFit<'_> {
    /// Runs from `parameters` until a stop.
    pub(crate) fn run(&self, parameters: Vec<f64>, context: &Context<'_>) -> Result<(Vec<f64>, FitReport)> {
        let (mut state, mut history) = (self.evaluate(parameters), History::default());
        let scale = self.step_scale();
        let (mut iterations, mut idle_steps) = (0, 0);
        let mut descent = self.descent(&state);
        let mut lowest = (state.value, largest(&descent));
        let stop = loop {
            context.cancel.check()?;
            if largest(&descent) <= self.tolerance {
                break Stop::Converged;
            }
            if iterations >= self.max_iterations {
                break Stop::IterationLimit;
            }
            if idle_steps >= MAX_IDLE_STEPS || !self.advance(&mut state, &descent, &mut history, &scale) {
                break Stop::PrecisionReached;
            }
            iterations += 1;
            descent = self.descent(&state);
            let slope = largest(&descent);
            let improved = state.value < lowest.0 - VALUE_NOISE * lowest.0.abs() || slope < lowest.1;
            idle_steps = if improved { 0 } else { idle_steps + 1 };
            lowest = (lowest.0.min(state.value), lowest.1.min(slope));
            context.progress.advance(1);
        };
        let report = FitReport {
            iterations,
            objective: state.value * self.c * self.total_weight,
            largest_gradient: largest(&descent),
            stop,
        };
        Ok((state.parameters, report))
    }

    fn features(&self) -> &Features {
        self.rows.features()
    }

    fn outputs(&self) -> usize {
        self.bends.len()
    }

    fn weight_count(&self) -> usize {
        self.features().columns() * self.outputs()
    }

    /// The factors of the L1 norm and of half the squared L2 norm.
    fn penalties(&self) -> [f64; 2] {
        let penalty = 1.0 / (self.c * self.total_weight);
        [self.l1_ratio * penalty, (1.0 - self.l1_ratio) * penalty]
    }

    fn step_scale(&self) -> Vec<f32> {
        let [_, square] = self.penalties();
        // Columns that are nearly constant zero must not make steps endless.
        let floor = 1e-6 * self.rows.moments().iter().copied().fold(1e-12, f64::max);
        let scale = |moment: f64, penalty: f64| {
            self.bends.iter().map(move |bend| (bend * moment.max(floor) + penalty).sqrt().recip() as f32)
        };
        let weights = self.rows.moments().iter().flat_map(|&moment| scale(moment, square));
        weights.chain(scale(1.0, 0.0)).collect()
    }

    fn evaluate(&self, parameters: Vec<f64>) -> State {
        let direction = logits(self.features(), &parameters, self.outputs());
        let start: Vec<f64> = direction.par_iter().map(|&logit| f64::from(logit)).collect();
        let mut residuals = vec![0.0; start.len()];
        let line = LogitLine { logits: &start, direction: &direction, step: 0.0 };
        let loss = self.loss.evaluate(line, 1.0 / self.total_weight, &mut residuals).loss;
        let weights = &parameters[..self.weight_count()];
        let [absolute, square] = self.penalties();
        let norm: f64 = weights.iter().map(|weight| weight.abs()).sum();
        let value = loss + absolute * norm + 0.5 * square * inner_product(weights, weights);
        let mut gradient = loss_gradient(self.features(), &residuals, self.outputs());
        gradient.iter_mut().zip(weights).for_each(|(slope, weight)| *slope += square * weight);
        State { parameters, value, gradient }
    }

    /// Minus the direction of steepest descent: the derivative where there is one, else that of the side that
    /// descends, else 0.
    fn descent(&self, state: &State) -> Vec<f64> {
        let [absolute, _] = self.penalties();
        let of_weight = |(slope, weight): (&f64, &f64)| {
            if *weight != 0.0 {
                slope + absolute * weight.signum()
            } else if slope.abs() > absolute {
                slope - absolute * slope.signum()
            } else {
                0.0
            }
        };
        let (weights, intercepts) = state.gradient.split_at(self.weight_count());
        let mut descent: Vec<f64> =
            weights.par_iter().zip(&state.parameters[..weights.len()]).map(of_weight).collect();
        descent.extend(intercepts);
        descent
    }

    /// Takes one step; false if none decreases the value.
    fn advance(&self, state: &mut State, descent: &[f64], history: &mut History, scale: &[f32]) -> bool {
        if self.step(state, descent, history, scale) {
            return true;
        }
        let retry = !history.is_empty();
        history.clear();
        retry && self.step(state, descent, history, scale)
    }

    fn step(&self, state: &mut State, descent: &[f64], history: &mut History, scale: &[f32]) -> bool {
        let mut direction = history.direction(&scaled(descent, scale));
        let parts =
            direction.par_chunks_mut(CHUNK).zip(descent.par_chunks(CHUNK)).zip(scale.par_chunks(CHUNK));
        parts.for_each(|((direction, descent), scale)| {
            for ((move_by, slope), scale) in direction.iter_mut().zip(descent).zip(scale) {
                // What the curvature bends uphill is left out.
                *move_by = if *move_by * slope < 0.0 { *move_by * f64::from(*scale) } else { 0.0 };
            }
        });
        let mut length = 1.0;
        for _ in 0..MAX_HALVINGS {
            let parameters = self.moved(state, descent, &direction, length);
            let moves: Vec<f64> =
                parameters.iter().zip(&state.parameters).map(|(new, old)| new - old).collect();
            let promised = inner_product(descent, &moves);
            if promised >= 0.0 {
                return false;
            }
            let next = self.evaluate(parameters);
            let allowed = state.value + SUFFICIENT_DECREASE * promised + VALUE_NOISE * state.value.abs();
            if next.value.is_finite() && next.value <= allowed {
                let change = next.gradient.iter().zip(&state.gradient).zip(scale);
                let change = change.map(|((new, old), scale)| (new - old) as f32 * scale).collect();
                let step = moves.iter().zip(scale).map(|(value, scale)| *value as f32 / scale).collect();
                history.remember(step, change);
                *state = next;
                return true;
            }
            length *= 0.5;
        }
        false
    }

    /// A step, cut off at the walls of the orthant.
    fn moved(&self, state: &State, descent: &[f64], direction: &[f64], length: f64) -> Vec<f64> {
        let weight_count = self.weight_count();
        let of_parameter = |(at, old): (usize, &f64)| {
            let new = old + length * direction[at];
            if at >= weight_count {
                return new;
            }
            let side = if *old == 0.0 { -descent[at] } else { *old };
            if new * side > 0.0 { new } else { 0.0 }
        };
        state.parameters.par_iter().enumerate().with_min_len(CHUNK).map(of_parameter).collect()
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}
