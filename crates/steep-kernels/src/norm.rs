//! `y = LayerNorm(dropout(x) + residual)`: the step after each half of an encoder layer, in one pass per token.

use crate::dispatch::{Path, per_path};
use crate::dropout::{Dropout, Mask};
use crate::linear::add_rows;
use crate::math::{LANES, sum, sum_of};
use crate::parallel::rows_per_task;
use rayon::prelude::*;

/// Tokens whose parameter gradients are added up before they meet those of other tokens; fixed, so that the order of
/// additions does not depend on the number of threads.
const TOKENS_PER_SUM: usize = 64;

/// The sizes of a layer normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormShape {
    /// Number of rows.
    pub tokens: usize,
    /// Length of a row.
    pub features: usize,
}

impl NormShape {
    fn check_rows(&self, name: &str, values: &[f32]) {
        assert_eq!(values.len(), self.tokens * self.features, "{name} must be [tokens, features]");
    }

    fn check_optional_rows(&self, name: &str, values: Option<&[f32]>) {
        if let Some(values) = values {
            self.check_rows(name, values);
        }
    }

    fn check_features(&self, name: &str, values: &[f32]) {
        assert_eq!(values.len(), self.features, "{name} must be [features]");
    }

    fn check_statistics(&self, mean: &[f32], inverse_deviation: &[f32]) {
        assert_eq!(mean.len(), self.tokens, "the mean must be [tokens]");
        assert_eq!(inverse_deviation.len(), self.tokens, "the inverse deviation must be [tokens]");
    }
}

/// `y = (h - mean(h)) / √(variance(h) + epsilon) · gamma + beta` with `h = dropout(x) + residual`, per token.
///
/// The dropout index of an element is its position in `x`. Variance is the mean squared deviation, as in torch.
///
/// # Shapes
/// `x`, `residual`, `y` `[tokens, features]`; `gamma`, `beta` `[features]`; `mean`, `inverse_deviation` `[tokens]` are
/// outputs for [`add_norm_backward`].
pub fn add_norm_forward(
    x: &[f32],
    residual: Option<&[f32]>,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    dropout: Dropout,
    y: &mut [f32],
    mean: &mut [f32],
    inverse_deviation: &mut [f32],
    shape: NormShape,
) {
    shape.check_rows("x", x);
    shape.check_optional_rows("the residual", residual);
    shape.check_features("gamma", gamma);
    shape.check_features("beta", beta);
    shape.check_rows("y", y);
    shape.check_statistics(mean, inverse_deviation);
    if x.is_empty() {
        return;
    }
    let mask = dropout.flat_mask(x.len());
    let path = Path::best();
    let rows = rows_per_task(shape.features);
    let elements = rows * shape.features;
    y.par_chunks_mut(elements)
        .zip(mean.par_chunks_mut(rows).zip(inverse_deviation.par_chunks_mut(rows)))
        .enumerate()
        .for_each(|(chunk, (y, (mean, inverse_deviation)))| {
            let input = Input::part(x, residual, mask, chunk * elements, y.len());
            forward_on(path, input, gamma, beta, epsilon, y, mean, inverse_deviation);
        });
}

/// The gradients of [`add_norm_forward`], which leaves `mean` and `inverse_deviation`; the sum of `x` and the residual
/// is computed again.
///
/// `dx` is the gradient before dropout (it includes mask and scale), `dresidual` the one after it. Every output is
/// overwritten; `dgamma` and `dbeta` are summed over the tokens in a fixed order.
///
/// # Shapes
/// As in [`add_norm_forward`]; `dy`, `dx`, `dresidual` `[tokens, features]`; `dgamma`, `dbeta` `[features]`.
pub fn add_norm_backward(
    x: &[f32],
    residual: Option<&[f32]>,
    gamma: &[f32],
    mean: &[f32],
    inverse_deviation: &[f32],
    dropout: Dropout,
    dy: &[f32],
    dx: &mut [f32],
    dresidual: Option<&mut [f32]>,
    dgamma: &mut [f32],
    dbeta: &mut [f32],
    shape: NormShape,
) {
    shape.check_rows("x", x);
    shape.check_optional_rows("the residual", residual);
    shape.check_features("gamma", gamma);
    shape.check_statistics(mean, inverse_deviation);
    shape.check_rows("dy", dy);
    shape.check_rows("dx", dx);
    shape.check_optional_rows("dresidual", dresidual.as_deref());
    shape.check_features("dgamma", dgamma);
    shape.check_features("dbeta", dbeta);
    dgamma.fill(0.0);
    dbeta.fill(0.0);
    if x.is_empty() {
        return;
    }
    let mask = dropout.flat_mask(x.len());
    let path = Path::best();
    let features = shape.features;
    let elements = TOKENS_PER_SUM * features;
    let mut sums = vec![0.0; shape.tokens.div_ceil(TOKENS_PER_SUM) * 2 * features];
    let task = |chunk: usize, dx: &mut [f32], dresidual: Option<&mut [f32]>, sums: &mut [f32]| {
        let input = Input::part(x, residual, mask, chunk * elements, dx.len());
        let first = chunk * TOKENS_PER_SUM;
        let statistics = (&mean[first..], &inverse_deviation[first..]);
        let (dgamma, dbeta) = sums.split_at_mut(features);
        let gradients = Gradients { dx, dresidual, dgamma, dbeta };
        backward_on(path, input, gamma, statistics, &dy[chunk * elements..], gradients);
    };
    let outputs = dx.par_chunks_mut(elements).zip(sums.par_chunks_mut(2 * features));
    match dresidual {
        Some(dresidual) => outputs
            .zip(dresidual.par_chunks_mut(elements))
            .enumerate()
            .for_each(|(chunk, ((dx, sums), dresidual))| task(chunk, dx, Some(dresidual), sums)),
        None => outputs.enumerate().for_each(|(chunk, (dx, sums))| task(chunk, dx, None, sums)),
    }
    for sums in sums.chunks_exact(2 * features) {
        add_rows(path, &sums[..features], dgamma);
        add_rows(path, &sums[features..], dbeta);
    }
}

/// Some rows of what is normalised.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    mask: Option<Mask>,
    /// Dropout index of the first element.
    first: u32,
}

impl<'a> Input<'a> {
    fn part(
        x: &'a [f32],
        residual: Option<&'a [f32]>,
        mask: Option<Mask>,
        start: usize,
        length: usize,
    ) -> Self {
        Self {
            x: &x[start..][..length],
            residual: residual.map(|residual| &residual[start..][..length]),
            mask,
            first: start as u32,
        }
    }

    /// `dropout(x) + residual` for the elements from `start`.
    #[inline(always)]
    fn sum_into(&self, start: usize, out: &mut [f32]) {
        let x = &self.x[start..][..out.len()];
        match self.mask {
            Some(mask) => {
                let first = self.first.wrapping_add(start as u32);
                for (index, (out, x)) in out.iter_mut().zip(x).enumerate() {
                    *out = mask.apply(first.wrapping_add(index as u32), *x);
                }
            }
            None => out.copy_from_slice(x),
        }
        if let Some(residual) = self.residual {
            for (out, residual) in out.iter_mut().zip(&residual[start..]) {
                *out += residual;
            }
        }
    }
}

per_path!(
    fn forward_on(
        input: Input,
        gamma: &[f32],
        beta: &[f32],
        epsilon: f32,
        y: &mut [f32],
        mean: &mut [f32],
        inverse_deviation: &mut [f32],
    ) = forward_body
);

#[inline(always)]
fn forward_body(
    input: Input,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    y: &mut [f32],
    mean: &mut [f32],
    inverse_deviation: &mut [f32],
) {
    let features = gamma.len();
    for (token, y) in y.chunks_exact_mut(features).enumerate() {
        input.sum_into(token * features, y);
        let center = sum::<LANES>(y) / features as f32;
        let squares = sum_of::<LANES>(y, y, |h, _| (h - center) * (h - center));
        let inverse = 1.0 / (squares / features as f32 + epsilon).sqrt();
        for ((y, gamma), beta) in y.iter_mut().zip(gamma).zip(beta) {
            *y = (*y - center) * inverse * gamma + beta;
        }
        mean[token] = center;
        inverse_deviation[token] = inverse;
    }
}

/// As [`add_norm_forward`] for rows that are summed already, on the calling thread.
pub(crate) fn forward_rows(
    path: Path,
    sum: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    y: &mut [f32],
    mean: &mut [f32],
    inverse_deviation: &mut [f32],
) {
    let input = Input { x: sum, residual: None, mask: None, first: 0 };
    forward_on(path, input, gamma, beta, epsilon, y, mean, inverse_deviation);
}

/// The gradients of [`forward_rows`]; those of the parameters are added.
pub(crate) fn backward_rows(
    path: Path,
    sum: &[f32],
    gamma: &[f32],
    statistics: (&[f32], &[f32]),
    dy: &[f32],
    dsum: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let input = Input { x: sum, residual: None, mask: None, first: 0 };
    backward_on(path, input, gamma, statistics, dy, Gradients { dx: dsum, dresidual: None, dgamma, dbeta });
}

/// The outputs of some rows.
struct Gradients<'a> {
    dx: &'a mut [f32],
    dresidual: Option<&'a mut [f32]>,
    dgamma: &'a mut [f32],
    dbeta: &'a mut [f32],
}

per_path!(
    fn backward_on(
        input: Input,
        gamma: &[f32],
        statistics: (&[f32], &[f32]),
        dy: &[f32],
        gradients: Gradients,
    ) = backward_body
);

/// With `n = (h - mean) / deviation` and `g = dy · gamma`: `dh = (g - mean(g) - n · mean(g · n)) / deviation`.
#[inline(always)]
fn backward_body(
    input: Input,
    gamma: &[f32],
    statistics: (&[f32], &[f32]),
    dy: &[f32],
    gradients: Gradients,
) {
    let features = gamma.len();
    let Gradients { dx, mut dresidual, dgamma, dbeta } = gradients;
    for (token, (dx, dy)) in dx.chunks_exact_mut(features).zip(dy.chunks_exact(features)).enumerate() {
        let start = token * features;
        let (center, inverse) = (statistics.0[token], statistics.1[token]);
        input.sum_into(start, dx);
        for value in dx.iter_mut() {
            *value = (*value - center) * inverse;
        }
        add_parameter_gradients(dx, dy, dgamma, dbeta);
        let average = sum_of::<LANES>(dy, gamma, |dy, gamma| dy * gamma) / features as f32;
        let projection = weighted_sum(dy, gamma, dx) / features as f32;
        for ((dx, dy), gamma) in dx.iter_mut().zip(dy).zip(gamma) {
            *dx = inverse * ((dy * gamma - average) - *dx * projection);
        }
        if let Some(dresidual) = &mut dresidual {
            dresidual[start..][..features].copy_from_slice(dx);
        }
        if let Some(mask) = input.mask {
            let first = input.first.wrapping_add(start as u32);
            for (index, dx) in dx.iter_mut().enumerate() {
                *dx = mask.apply(first.wrapping_add(index as u32), *dx);
            }
        }
    }
}

#[inline(always)]
fn add_parameter_gradients(normal: &[f32], dy: &[f32], dgamma: &mut [f32], dbeta: &mut [f32]) {
    for (((normal, dy), dgamma), dbeta) in normal.iter().zip(dy).zip(dgamma).zip(dbeta) {
        *dgamma += dy * normal;
        *dbeta += dy;
    }
}

/// `Σ a · b · c` in the order of [`sum_of`].
#[inline(always)]
fn weighted_sum(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest), (c, c_rest)) =
        (a.as_chunks::<LANES>(), b.as_chunks::<LANES>(), c.as_chunks::<LANES>());
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane] * c[lane];
        }
    }
    for (((lane, a), b), c) in lanes.iter_mut().zip(a_rest).zip(b_rest).zip(c_rest) {
        *lane += a * b * c;
    }
    sum::<LANES>(&lanes)
}

#[cfg(test)]
mod tests;
