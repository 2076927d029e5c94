//! The step of AdamW, and the norm that gradients are clipped by.

use crate::dispatch::{Path, per_path};
use crate::parallel::ELEMENTS;
use rayon::prelude::*;

/// One step for one parameter tensor, with the meaning of `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Step size of this step (after the schedule).
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment, after bias correction.
    pub epsilon: f32,
    /// Decoupled weight decay; 0 for biases and norms by custom.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub step: u32,
    /// What every gradient is multiplied by first, such as the factor of a norm clipping; else 1.
    pub gradient_scale: f32,
}

/// The factors of the inner loop, computed once in `f64`.
#[derive(Clone, Copy)]
struct Factors {
    gradient_scale: f32,
    keep: f32,
    first: f32,
    beta2: f32,
    second: f32,
    step_size: f32,
    root_correction: f32,
    epsilon: f32,
}

impl Factors {
    fn new(step: &AdamWStep) -> Self {
        let (rate, beta1, beta2) =
            (f64::from(step.learning_rate), f64::from(step.beta1), f64::from(step.beta2));
        let correction = |beta: f64| 1.0 - beta.powi(step.step as i32);
        Self {
            gradient_scale: step.gradient_scale,
            keep: (1.0 - rate * f64::from(step.weight_decay)) as f32,
            first: (1.0 - beta1) as f32,
            beta2: step.beta2,
            second: (1.0 - beta2) as f32,
            step_size: (rate / correction(beta1)) as f32,
            root_correction: correction(beta2).sqrt() as f32,
            epsilon: step.epsilon,
        }
    }
}

/// One AdamW step (Loshchilov & Hutter, 2019): `p ← p · (1 - rate · decay)`, the two moments, then
/// `p ← p - rate / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε)`.
///
/// All slices have the length of the parameter; the moments are zero before the first step.
pub fn adamw(
    parameter: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
    step: &AdamWStep,
) {
    assert!(step.step >= 1, "optimizer steps are counted from 1");
    assert_eq!(parameter.len(), gradient.len(), "parameter and gradient must be equally long");
    assert_eq!(parameter.len(), first_moment.len(), "parameter and first moment must be equally long");
    assert_eq!(parameter.len(), second_moment.len(), "parameter and second moment must be equally long");
    let path = Path::best();
    let factors = Factors::new(step);
    (
        parameter.par_chunks_mut(ELEMENTS),
        gradient.par_chunks(ELEMENTS),
        first_moment.par_chunks_mut(ELEMENTS),
        second_moment.par_chunks_mut(ELEMENTS),
    )
        .into_par_iter()
        .for_each(|(parameter, gradient, first, second)| {
            adamw_on(path, factors, parameter, gradient, first, second);
        });
}

per_path!(
    fn adamw_on(
        factors: Factors,
        parameter: &mut [f32],
        gradient: &[f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
    ) = adamw_body
);

#[inline(always)]
fn adamw_body(
    factors: Factors,
    parameter: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    let moments = first_moment.iter_mut().zip(second_moment);
    for ((parameter, gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * factors.gradient_scale;
        *first += factors.first * (gradient - *first);
        *second = factors.beta2 * *second + factors.second * gradient * gradient;
        let denominator = second.sqrt() / factors.root_correction + factors.epsilon;
        *parameter = *parameter * factors.keep - factors.step_size * (*first / denominator);
    }
}

/// `Σ values²` in `f64`, in an order that does not depend on threads: the square of a gradient's norm.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let path = Path::best();
    let parts: Vec<f64> = values.par_chunks(ELEMENTS).map(|part| squares_on(path, part)).collect();
    parts.into_iter().sum()
}

per_path!(fn squares_on(values: &[f32]) -> f64 = squares_body);

#[inline(always)]
fn squares_body(values: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0f64; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += f64::from(chunk[lane]) * f64::from(chunk[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*value) * f64::from(*value);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, bits, numbers, same_for_any_thread_count, wide};

    const STEP: AdamWStep = AdamWStep {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step: 1,
        gradient_scale: 0.5,
    };

    /// The published algorithm in f64, step after step.
    fn reference(parameter: &mut [f64], gradients: &[Vec<f32>], step: &AdamWStep) {
        let (rate, b1, b2) = (f64::from(step.learning_rate), f64::from(step.beta1), f64::from(step.beta2));
        let (mut m, mut v) = (vec![0.0; parameter.len()], vec![0.0; parameter.len()]);
        for (t, gradient) in (1..).zip(gradients) {
            for (i, p) in parameter.iter_mut().enumerate() {
                let g = f64::from(gradient[i]) * f64::from(step.gradient_scale);
                *p *= 1.0 - rate * f64::from(step.weight_decay);
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                let (m, v) = (m[i] / (1.0 - b1.powi(t)), v[i] / (1.0 - b2.powi(t)));
                *p -= rate * m / (v.sqrt() + f64::from(step.epsilon));
            }
        }
    }

    fn run(length: usize, gradients: &[Vec<f32>]) -> Vec<f32> {
        let mut parameter = numbers(length, 1);
        let (mut first, mut second) = (vec![0.0; length], vec![0.0; length]);
        for (step, gradient) in (1..).zip(gradients) {
            adamw(&mut parameter, gradient, &mut first, &mut second, &AdamWStep { step, ..STEP });
        }
        parameter
    }

    #[test]
    fn ten_steps_match_the_algorithm() {
        for length in [0, 1, 33, 40_000] {
            let gradients: Vec<_> = (0..10).map(|t| numbers(length, 10 + t)).collect();
            let mut expected = wide(&numbers(length, 1));
            reference(&mut expected, &gradients, &STEP);
            assert_close(&run(length, &gradients), &expected, 1e-6);
        }
    }

    #[test]
    fn a_zero_gradient_only_decays() {
        let mut parameter = [2.0];
        adamw(&mut parameter, &[0.0], &mut [0.0], &mut [0.0], &STEP);
        assert_eq!(parameter, [2.0 * 0.999]);
    }

    #[test]
    fn squares_are_added_in_full_precision() {
        let values = numbers(100_003, 1);
        let expected: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        assert!((sum_of_squares(&values) / expected - 1.0).abs() < 1e-12);
        assert_eq!(sum_of_squares(&[]), 0.0);
        assert_eq!(sum_of_squares(&[3e30, 4e30]), f64::from(3e30f32).powi(2) + f64::from(4e30f32).powi(2));
    }

    #[test]
    fn threads_and_paths_do_not_change_the_bits() {
        let gradients = [numbers(100_003, 2), numbers(100_003, 3)];
        same_for_any_thread_count(|| {
            let mut out = run(100_003, &gradients);
            let squares = sum_of_squares(&gradients[0]).to_bits();
            out.extend([f32::from_bits(squares as u32), f32::from_bits((squares >> 32) as u32)]);
            out
        });
        let factors = Factors::new(&AdamWStep { step: 3, ..STEP });
        let results: Vec<_> = Path::available()
            .into_iter()
            .map(|path| {
                let mut parameter = numbers(1001, 1);
                let (mut first, mut second) = (numbers(1001, 4), vec![0.3; 1001]);
                adamw_on(path, factors, &mut parameter, &gradients[0][..1001], &mut first, &mut second);
                let squares = squares_on(path, &gradients[1]).to_bits();
                (bits(&parameter), bits(&first), bits(&second), squares)
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
