//! The direction of the limited-memory BFGS method (Nocedal & Wright, 2nd ed., algorithm 7.4).

use crate::learners::sums::inner_product;
use rayon::prelude::*;
use std::collections::VecDeque;

/// Steps remembered; scikit-learn's number.
const HISTORY: usize = 10;
/// Values handled by one task.
const CHUNK: usize = 1 << 15;

/// The last steps and the changes of the gradient they brought.
///
/// They are kept in 32 bits: they only shape the direction, and on large vocabularies they are most of the memory.
#[derive(Debug, Default)]
pub(crate) struct History {
    pairs: VecDeque<Pair>,
}

#[derive(Debug)]
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    /// `1 / (step · change)`.
    inverse_curvature: f64,
    /// `(step · change) / (change · change)`, the scale of the inverse Hessian.
    scale: f64,
}

impl History {
    /// Remembers a step and its gradient change, unless rounding has spoilt their curvature.
    pub(crate) fn remember(&mut self, step: Vec<f32>, change: Vec<f32>) {
        let curvature = inner_product(&step, &change);
        let length = inner_product(&change, &change);
        if curvature <= f64::EPSILON * length || !curvature.is_finite() {
            return;
        }
        if self.pairs.len() == HISTORY {
            self.pairs.pop_front();
        }
        let (inverse_curvature, scale) = (1.0 / curvature, curvature / length);
        self.pairs.push_back(Pair { step, change, inverse_curvature, scale });
    }

    /// Forgets everything: the next direction is steepest descent.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Minus the inverse Hessian's estimate times the gradient.
    pub(crate) fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|value| -value).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = pair.inverse_curvature * inner_product(&direction, &pair.step);
            add(&mut direction, -share, &pair.change);
            shares.push(share);
        }
        if let Some(last) = self.pairs.back() {
            direction.par_iter_mut().with_min_len(CHUNK).for_each(|value| *value *= last.scale);
        }
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let correction = pair.inverse_curvature * inner_product(&direction, &pair.change);
            add(&mut direction, share - correction, &pair.step);
        }
        direction
    }
}

fn add(sum: &mut [f64], factor: f64, values: &[f32]) {
    sum.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(sum, values)| {
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * f64::from(*value));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_solved_in_as_many_steps_as_dimensions() {
        let curvatures = [1.0, 10.0, 100.0];
        let gradient_at = |x: &[f64]| -> Vec<f64> { x.iter().zip(curvatures).map(|(x, c)| c * x).collect() };
        let (mut x, mut history) = (vec![1.0, -2.0, 3.0], History::default());
        for _ in 0..4 {
            let gradient = gradient_at(&x);
            let direction = history.direction(&gradient);
            let bend: f64 = direction.iter().zip(curvatures).map(|(d, c)| c * d * d).sum();
            let step = -inner_product(&gradient, &direction) / bend;
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let change = gradient_at(&next).iter().zip(&gradient).map(|(a, b)| (a - b) as f32).collect();
            history.remember(next.iter().zip(&x).map(|(a, b)| (a - b) as f32).collect(), change);
            x = next;
        }
        assert!(x.iter().all(|x| x.abs() < 1e-5), "{x:?}");
    }

    #[test]
    fn a_pair_without_curvature_is_not_remembered() {
        let mut history = History::default();
        history.remember(vec![1.0, 0.0], vec![-1.0, 0.0]);
        assert!(history.is_empty());
    }
}
