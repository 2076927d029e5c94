//! The non-linearities between linear layers.

use crate::dispatch::{Path, per_path};
use crate::math::{exp, normal, sigmoid, tanh};
use crate::parallel::ELEMENTS;
use rayon::prelude::*;

const INVERSE_SQRT_2_PI: f32 = 0.398_942_3;
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

/// An element-wise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` with the exact normal distribution (`"gelu"` in a configuration).
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` (`"gelu_new"`, `"gelu_pytorch_tanh"`).
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x / (1 + e^-x)`.
    Silu,
}

/// `y = activation(x)`, element by element.
pub fn forward(activation: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "input and output of an activation must be equally long");
    let path = Path::best();
    y.par_chunks_mut(ELEMENTS)
        .zip(x.par_chunks(ELEMENTS))
        .for_each(|(y, x)| forward_on(path, activation, x, y));
}

/// `dx = activation'(x) · dy`; `x` is the input of [`forward`].
pub fn backward(activation: Activation, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_eq!(x.len(), dy.len(), "input and output gradient of an activation must be equally long");
    assert_eq!(x.len(), dx.len(), "input and input gradient of an activation must be equally long");
    let path = Path::best();
    dx.par_chunks_mut(ELEMENTS)
        .zip(x.par_chunks(ELEMENTS).zip(dy.par_chunks(ELEMENTS)))
        .for_each(|(dx, (x, dy))| backward_on(path, activation, x, dy, dx));
}

per_path!(fn forward_on(activation: Activation, x: &[f32], y: &mut [f32]) = forward_body);
per_path!(fn backward_on(activation: Activation, x: &[f32], dy: &[f32], dx: &mut [f32]) = backward_body);

#[inline(always)]
fn forward_body(activation: Activation, x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
    values(activation, y);
}

#[inline(always)]
fn backward_body(activation: Activation, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    value_and_slope(activation, x.len(), |index| x[index], |index, _, slope| dx[index] = slope * dy[index]);
}

/// `x = activation(x)`, for loops that are compiled for an instruction set.
#[inline(always)]
pub(crate) fn values(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Gelu => map(x, |x| x * normal(x).0),
        Activation::GeluTanh => map(x, |x| x * sigmoid(2.0 * gelu_tanh_argument(x))),
        Activation::Relu => map(x, relu),
        Activation::Tanh => map(x, tanh),
        Activation::Silu => map(x, |x| x * sigmoid(x)),
    }
}

/// Gives `put` the activation's value and slope at each of `length` inputs, for loops that are compiled for an
/// instruction set.
#[inline(always)]
pub(crate) fn value_and_slope(
    activation: Activation,
    length: usize,
    input: impl Fn(usize) -> f32,
    put: impl FnMut(usize, f32, f32),
) {
    match activation {
        Activation::Gelu => each(length, input, put, gelu),
        Activation::GeluTanh => each(length, input, put, gelu_tanh),
        Activation::Relu => {
            each(length, input, put, |x| (relu(x), if x > 0.0 { 1.0 } else { 0.0 * relu(x) }));
        }
        Activation::Tanh => each(length, input, put, |x| {
            let y = tanh(x);
            (y, 1.0 - y * y)
        }),
        Activation::Silu => each(length, input, put, |x| {
            let s = sigmoid(x);
            (x * s, s * (1.0 + x * (1.0 - s)))
        }),
    }
}

#[inline(always)]
fn each(
    length: usize,
    input: impl Fn(usize) -> f32,
    mut put: impl FnMut(usize, f32, f32),
    both: impl Fn(f32) -> (f32, f32),
) {
    for index in 0..length {
        let (value, slope) = both(input(index));
        put(index, value, slope);
    }
}

#[inline(always)]
fn map(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

/// `max(x, 0)` through which NaN passes.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `x · Φ(x)` and `Φ(x) + x · φ(x)`.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let (distribution, bell) = normal(x);
    (x * distribution, distribution + x * (bell * INVERSE_SQRT_2_PI))
}

/// What the tanh form of gelu takes the tanh of; `(1 + tanh u) / 2` is `sigmoid(2u)`, which does not cancel.
#[inline(always)]
fn gelu_tanh_argument(x: f32) -> f32 {
    SQRT_2_OVER_PI * x * (1.0 + GELU_CUBE * (x * x))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let value = x * sigmoid(2.0 * gelu_tanh_argument(x));
    // Beyond 16 the slope is 0 or 1, but the cube overflows against it.
    let x = if x > 16.0 { 16.0 } else { x };
    let x = if x < -16.0 { -16.0 } else { x };
    // With e = exp(-|2u|), sigmoid(2u) = 1 / (1 + e) or e / (1 + e) and its slope e / (1 + e)²: nothing cancels.
    let argument = 2.0 * gelu_tanh_argument(x);
    let e = exp(-argument.abs());
    let inverse = 1.0 / (1.0 + e);
    let s = if argument < 0.0 { e * inverse } else { inverse };
    let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBE * (x * x));
    (value, s + x * (e * inverse * inverse) * (2.0 * inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, numbers, same_for_any_thread_count};
    use std::f64::consts::{FRAC_2_PI, FRAC_2_SQRT_PI, PI, SQRT_2};

    const ALL: [Activation; 5] =
        [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Tanh, Activation::Silu];

    fn erf(x: f64) -> f64 {
        if x.abs() > 5.9 {
            return x.signum();
        }
        if x.abs() > 2.5 {
            let a = x.abs();
            let below = (1..200).rev().fold(a, |below, n| a + f64::from(n) / 2.0 / below);
            return x.signum() * (1.0 - (-a * a).exp() / PI.sqrt() / below);
        }
        let (mut term, mut total) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            total += term / f64::from(2 * n + 1);
        }
        total * FRAC_2_SQRT_PI
    }

    /// The value and the slope by their definitions.
    fn reference(activation: Activation, x: f64) -> (f64, f64) {
        match activation {
            Activation::Gelu => {
                let distribution = 0.5 * (1.0 + erf(x / SQRT_2));
                (x * distribution, distribution + x * (-x * x / 2.0).exp() / (2.0 * PI).sqrt())
            }
            Activation::GeluTanh => {
                let t = (FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x)).tanh();
                let inner = FRAC_2_PI.sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
                (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
            }
            Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh() * x.tanh()),
            Activation::Silu => {
                let s = 1.0 / (1.0 + (-x).exp());
                (x * s, s * (1.0 + x * (1.0 - s)))
            }
        }
    }

    #[test]
    fn values_and_slopes_are_within_a_millionth() {
        let x: Vec<f32> = (0..=40_000).map(|i| -10.0 + i as f32 / 2000.0).collect();
        let ones = vec![1.0; x.len()];
        for activation in ALL {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            forward(activation, &x, &mut y);
            backward(activation, &x, &ones, &mut dx);
            for ((x, y), dx) in x.iter().zip(y).zip(dx) {
                let (value, slope) = reference(activation, f64::from(*x));
                let allowed = if activation == Activation::Gelu { 1e-6 } else { 5e-7 * value.abs().max(2.0) };
                assert!(
                    (f64::from(y) - value).abs() <= allowed,
                    "{activation:?}({x}) = {y} instead of {value}"
                );
                assert!(
                    (f64::from(dx) - slope).abs() <= 1e-6,
                    "{activation:?}'({x}) = {dx} instead of {slope}"
                );
            }
        }
    }

    #[test]
    fn large_inputs_are_finite_and_nan_passes() {
        for activation in ALL {
            let x = [1e30, -1e30, 100.0, -100.0, f32::NAN];
            let (mut y, mut dx) = ([0.0; 5], [0.0; 5]);
            forward(activation, &x, &mut y);
            backward(activation, &x, &[1.0; 5], &mut dx);
            assert!(y[..4].iter().chain(&dx[..4]).all(|v| v.is_finite()), "{activation:?} {y:?} {dx:?}");
            assert!(y[4].is_nan() && dx[4].is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn threads_and_paths_do_not_change_the_bits() {
        let x: Vec<f32> = numbers(100_001, 1).into_iter().map(|x| 8.0 * x).collect();
        let dy = numbers(x.len(), 2);
        for activation in ALL {
            same_for_any_thread_count(|| {
                let mut y = vec![0.0; x.len()];
                forward(activation, &x, &mut y);
                y
            });
            let results: Vec<_> = Path::available()
                .into_iter()
                .map(|path| {
                    let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                    forward_on(path, activation, &x, &mut y);
                    backward_on(path, activation, &x, &dy, &mut dx);
                    (bits(&y), bits(&dx))
                })
                .collect();
            assert!(results.iter().all(|result| *result == results[0]), "{activation:?}");
        }
    }
}
