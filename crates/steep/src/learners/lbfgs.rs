//! The direction of the limited-memory BFGS method (Nocedal & Wright, 2nd ed., algorithm 7.4).
//!
//! The two loops of the method run over inner products instead of vectors, as in Chen, Wang & Zhou (2014),
//! "Large-scale L-BFGS using MapReduce": the vectors of a large vocabulary are longer than any cache, and so they are
//! read three times a step and not forty.

use crate::features::sums::dot;
use rayon::prelude::*;
use std::collections::VecDeque;

/// Steps remembered; scikit-learn's number.
const HISTORY: usize = 10;
/// Values handled by one task: they stay in a core's cache while they meet every remembered vector.
const CHUNK: usize = 1 << 14;

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
    /// `stepᵢ · change` and `changeᵢ · change` with the pairs `i` before this one, oldest first.
    earlier: VecDeque<[f64; 2]>,
    /// `step · change`.
    curvature: f64,
    /// `change · change`.
    length: f64,
}

impl History {
    /// Remembers a step and its gradient change, unless rounding has spoilt their curvature.
    pub(crate) fn remember(&mut self, step: Vec<f32>, change: Vec<f32>) {
        let mut columns: Vec<[&[f32]; 2]> = vec![[&step, &change], [&change, &change]];
        for pair in &self.pairs {
            columns.extend([[&pair.step[..], &change], [&pair.change[..], &change]]);
        }
        let products = inner_products(&columns);
        let (curvature, length) = (products[0], products[1]);
        if curvature <= f64::EPSILON * length || !curvature.is_finite() {
            return;
        }
        let mut earlier: VecDeque<[f64; 2]> = products[2..].as_chunks::<2>().0.iter().copied().collect();
        if self.pairs.len() == HISTORY {
            self.pairs.pop_front();
            earlier.pop_front();
            for pair in &mut self.pairs {
                pair.earlier.pop_front();
            }
        }
        self.pairs.push_back(Pair { step, change, earlier, curvature, length });
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
        let columns: Vec<[&[f32]; 2]> =
            self.pairs.iter().map(|pair| [&pair.step[..], &pair.change[..]]).collect();
        let along = gradient_products(gradient, &columns);
        let (scale, shares) = self.coefficients(&along);
        let mut direction = vec![0.0; gradient.len()];
        direction.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).enumerate().for_each(
            |(chunk, (direction, gradient))| {
                direction.iter_mut().zip(gradient).for_each(|(value, slope)| *value = -scale * slope);
                let span = chunk * CHUNK..chunk * CHUNK + direction.len();
                for ([step, change], [of_step, of_change]) in columns.iter().zip(&shares) {
                    let pairs = step[span.clone()].iter().zip(&change[span.clone()]);
                    for (value, (step, change)) in direction.iter_mut().zip(pairs) {
                        *value += of_step * f64::from(*step) + of_change * f64::from(*change);
                    }
                }
            },
        );
        direction
    }

    /// The factor of minus the gradient, and of each step and change, oldest first. `along` holds the inner products
    /// of the gradient with them.
    fn coefficients(&self, along: &[[f64; 2]]) -> (f64, Vec<[f64; 2]>) {
        let count = self.pairs.len();
        let scale = self.pairs.back().map_or(1.0, |last| last.curvature / last.length);
        let mut first = vec![0.0; count];
        for i in (0..count).rev() {
            let later: f64 = (i + 1..count).map(|j| first[j] * self.pairs[j].earlier[i][0]).sum();
            first[i] = (-along[i][0] - later) / self.pairs[i].curvature;
        }
        let mut second = vec![0.0; count];
        for i in 0..count {
            let changes: f64 = (0..count).map(|j| first[j] * self.change_product(i, j)).sum();
            let steps: f64 = (0..i).map(|j| second[j] * self.step_change(j, i)).sum();
            let product = scale * (-along[i][1] - changes) + steps;
            second[i] = first[i] - product / self.pairs[i].curvature;
        }
        (scale, first.iter().zip(second).map(|(first, second)| [second, -scale * first]).collect())
    }

    /// `changeᵢ · changeⱼ`.
    fn change_product(&self, i: usize, j: usize) -> f64 {
        match i.cmp(&j) {
            std::cmp::Ordering::Less => self.pairs[j].earlier[i][1],
            std::cmp::Ordering::Equal => self.pairs[i].length,
            std::cmp::Ordering::Greater => self.pairs[i].earlier[j][1],
        }
    }

    /// `stepᵢ · changeⱼ` of an earlier step `i`.
    fn step_change(&self, i: usize, j: usize) -> f64 {
        self.pairs[j].earlier[i][0]
    }
}

/// The inner product of each pair of columns, in one pass over them.
fn inner_products(columns: &[[&[f32]; 2]]) -> Vec<f64> {
    let length = columns[0][0].len();
    summed(length, columns.len(), |span| {
        columns.iter().map(|[left, right]| dot(&left[span.clone()], &right[span.clone()])).collect()
    })
}

/// The inner products of the gradient with both columns of each pair.
fn gradient_products(gradient: &[f64], columns: &[[&[f32]; 2]]) -> Vec<[f64; 2]> {
    let flat = summed(gradient.len(), 2 * columns.len(), |span| {
        let gradient = &gradient[span.clone()];
        columns.iter().flatten().map(|column| dot(gradient, &column[span.clone()])).collect()
    });
    flat.as_chunks::<2>().0.to_vec()
}

/// Adds up what each chunk gives, in the order of chunks.
fn summed(
    length: usize,
    count: usize,
    of_chunk: impl Fn(std::ops::Range<usize>) -> Vec<f64> + Sync,
) -> Vec<f64> {
    let chunks = (0..length.div_ceil(CHUNK)).into_par_iter();
    let parts: Vec<Vec<f64>> =
        chunks.map(|chunk| of_chunk(chunk * CHUNK..length.min((chunk + 1) * CHUNK))).collect();
    let mut sums = vec![0.0; count];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums
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
            let step = -dot(&gradient, &direction) / bend;
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let change = gradient_at(&next).iter().zip(&gradient).map(|(a, b)| (a - b) as f32).collect();
            history.remember(next.iter().zip(&x).map(|(a, b)| (a - b) as f32).collect(), change);
            x = next;
        }
        assert!(x.iter().all(|x| x.abs() < 1e-5), "{x:?}");
    }

    /// The two loops as the book writes them, over vectors.
    fn two_loops(pairs: &[(Vec<f32>, Vec<f32>)], gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|value| -value).collect();
        let add = |sum: &mut [f64], factor: f64, values: &[f32]| {
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * f64::from(*value));
        };
        let mut shares = Vec::new();
        for (step, change) in pairs.iter().rev() {
            let share = dot(&direction, step) / dot(step, change);
            add(&mut direction, -share, change);
            shares.push(share);
        }
        let (step, change) = pairs.last().unwrap();
        let scale = dot(step, change) / dot(change, change);
        direction.iter_mut().for_each(|value| *value *= scale);
        for ((step, change), share) in pairs.iter().zip(shares.into_iter().rev()) {
            let correction = dot(&direction, change) / dot(step, change);
            add(&mut direction, share - correction, step);
        }
        direction
    }

    #[test]
    fn inner_products_give_the_direction_of_the_two_loops() {
        let size = CHUNK + 77;
        let mut stream = crate::random::Stream::new(3, &[]);
        let mut history = History::default();
        let mut pairs = Vec::new();
        for _ in 0..HISTORY + 3 {
            let step: Vec<f32> = (0..size).map(|_| stream.normal() as f32).collect();
            let bend =
                |(at, value): (usize, &f32)| value * (0.5 + (at % 9) as f32) + 0.1 * stream.normal() as f32;
            let change: Vec<f32> = step.iter().enumerate().map(bend).collect();
            history.remember(step.clone(), change.clone());
            pairs.push((step, change));
        }
        let gradient: Vec<f64> = (0..size).map(|_| stream.normal()).collect();
        let expected = two_loops(&pairs[3..], &gradient);
        let direction = history.direction(&gradient);
        let largest = direction.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest < 1e-9, "{largest:e}");
    }

    #[test]
    fn a_pair_without_curvature_is_not_remembered() {
        let mut history = History::default();
        history.remember(vec![1.0, 0.0], vec![-1.0, 0.0]);
        assert!(history.is_empty());
    }
}
