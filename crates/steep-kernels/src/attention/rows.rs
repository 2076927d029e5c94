//! The row-wise halves of attention, between the matrix products: softmax and its derivative.

use super::{HeadBias, LANES, Visibility};
use crate::dispatch::{Path, per_path};
use crate::dropout::Mask;
use crate::math::{exp, larger, ln, maximum, sum, sum_of};

/// What turns raw scores into probabilities.
#[derive(Clone, Copy)]
pub(super) struct Scoring<'a> {
    /// Number of keys.
    pub(super) length: usize,
    /// Row distance of the scores, a multiple of [`LANES`].
    pub(super) stride: usize,
    pub(super) scale: f32,
    pub(super) bias: Option<HeadBias<'a>>,
    pub(super) mask: Option<Mask>,
    pub(super) visibility: Visibility,
}

impl Scoring<'_> {
    /// `row · scale + bias`, in place; the padding becomes -∞, so that whole vectors can be worked on. Returns the
    /// largest score.
    #[inline(always)]
    fn finish(&self, query: usize, row: &mut [f32]) -> f32 {
        row[self.length..].fill(f32::NEG_INFINITY);
        if self.visibility != Visibility::Bidirectional {
            for (key, score) in row[..self.length].iter_mut().enumerate() {
                *score = if self.visibility.sees(query, key) { *score } else { f32::NEG_INFINITY };
            }
        }
        if let Some(bias) = self.bias {
            for (score, bias) in row.iter_mut().zip(bias.row(query, self.length)) {
                *score = *score * self.scale + bias;
            }
            return maximum::<LANES>(row);
        }
        let mut largest = [f32::NEG_INFINITY; LANES];
        for chunk in row.as_chunks_mut::<LANES>().0 {
            for lane in 0..LANES {
                chunk[lane] *= self.scale;
                largest[lane] = larger(largest[lane], chunk[lane]);
            }
        }
        maximum::<LANES>(&largest)
    }

    /// Dropout index, within the task, of the first key.
    #[inline(always)]
    fn first_index(&self, query: usize) -> u32 {
        (query * self.length) as u32
    }
}

/// Per query of a block: the log-sum-exp of its scores, and one over the sum of what [`softmax`] leaves.
pub(super) struct Normalisers<'a> {
    pub(super) log_sum_exp: &'a mut [f32],
    pub(super) inverse_sum: &'a mut [f32],
}

/// Turns the scores of the queries from `first_query` on into exponentials (not yet divided by their sum), with
/// dropout.
pub(super) fn softmax(
    path: Path,
    scoring: Scoring,
    first_query: usize,
    scores: &mut [f32],
    out: Normalisers,
) {
    softmax_on(path, scoring, first_query, scores, out);
}

per_path!(fn softmax_on(scoring: Scoring, first_query: usize, scores: &mut [f32], out: Normalisers) = softmax_body);

#[inline(always)]
fn softmax_body(scoring: Scoring, first_query: usize, scores: &mut [f32], out: Normalisers) {
    for (index, row) in scores.chunks_exact_mut(scoring.stride).enumerate() {
        let query = first_query + index;
        let largest = scoring.finish(query, row).max(f32::MIN);
        let mut sums = [0.0; LANES];
        for chunk in row.as_chunks_mut::<LANES>().0 {
            for lane in 0..LANES {
                chunk[lane] = exp(chunk[lane] - largest);
                sums[lane] += chunk[lane];
            }
        }
        out.log_sum_exp[index] = largest;
        out.inverse_sum[index] = sum::<LANES>(&sums);
        if let Some(mask) = scoring.mask {
            let first = scoring.first_index(query);
            for (key, score) in row.iter_mut().enumerate() {
                *score = mask.apply(first.wrapping_add(key as u32), *score);
            }
        }
    }
    // Over all rows at once, which vectorises.
    for (normaliser, total) in out.log_sum_exp.iter_mut().zip(out.inverse_sum) {
        *normaliser += ln(*total);
        if *total == 0.0 {
            *normaliser = f32::NEG_INFINITY;
        }
        *total = if *total == 0.0 { 0.0 } else { 1.0 / *total };
    }
}

/// A block of query rows in the backward pass.
pub(super) struct BackwardRows<'a> {
    /// In: raw scores. Out: probabilities after dropout.
    pub(super) scores: &'a mut [f32],
    /// In: gradients of the probabilities after dropout. Out: gradients of the raw scores.
    pub(super) gradients: &'a mut [f32],
    pub(super) log_sum_exp: &'a [f32],
    /// Per query, the product of the output and its gradient.
    pub(super) output_dot: &'a [f32],
    /// Gradient by distance, `[queries + keys - 1]`; it is added to.
    pub(super) dbias: Option<&'a mut [f32]>,
    /// All queries of the sequence.
    pub(super) queries: usize,
}

/// `ds = p · (dp · keep - dot)`: the derivative of softmax; `dot` is the row's Σ p · keep · dp, which equals the
/// product of the output and its gradient.
pub(super) fn softmax_backward(path: Path, scoring: Scoring, first_query: usize, rows: BackwardRows) {
    softmax_backward_on(path, scoring, first_query, rows);
}

per_path!(fn softmax_backward_on(scoring: Scoring, first_query: usize, rows: BackwardRows) = softmax_backward_body);

#[inline(always)]
fn softmax_backward_body(scoring: Scoring, first_query: usize, rows: BackwardRows) {
    let BackwardRows { scores, gradients, log_sum_exp, output_dot, mut dbias, queries } = rows;
    let lines = scores.chunks_exact_mut(scoring.stride).zip(gradients.chunks_exact_mut(scoring.stride));
    for (index, (scores, gradients)) in lines.enumerate() {
        let query = first_query + index;
        scoring.finish(query, scores);
        let (normaliser, dot) = (log_sum_exp[index].max(f32::MIN), output_dot[index]);
        match scoring.mask {
            Some(mask) => {
                let first = scoring.first_index(query);
                for (key, (score, gradient)) in scores.iter_mut().zip(gradients.iter_mut()).enumerate() {
                    let probability = exp(*score - normaliser);
                    let keep = mask.factor(first.wrapping_add(key as u32));
                    *score = probability * keep;
                    *gradient = probability * (*gradient * keep - dot);
                }
            }
            None => {
                for (score, gradient) in scores.iter_mut().zip(gradients.iter_mut()) {
                    *score = exp(*score - normaliser);
                    *gradient = *score * (*gradient - dot);
                }
            }
        }
        if let Some(dbias) = &mut dbias {
            for (dbias, gradient) in
                dbias[queries - 1 - query..][..scoring.length].iter_mut().zip(gradients.iter())
            {
                *dbias += gradient;
            }
        }
        for gradient in gradients.iter_mut() {
            *gradient *= scoring.scale;
        }
    }
}

/// The products of the output rows with their gradients, both `[rows, head_dim]`.
pub(super) fn output_dots(path: Path, context: &[f32], dcontext: &[f32], head_dim: usize, dots: &mut [f32]) {
    output_dots_on(path, context, dcontext, head_dim, dots);
}

per_path!(
    fn output_dots_on(context: &[f32], dcontext: &[f32], head_dim: usize, dots: &mut [f32]) = output_dots_body
);

#[inline(always)]
fn output_dots_body(context: &[f32], dcontext: &[f32], head_dim: usize, dots: &mut [f32]) {
    let rows = context.chunks_exact(head_dim).zip(dcontext.chunks_exact(head_dim));
    for (dot, (context, dcontext)) in dots.iter_mut().zip(rows) {
        *dot = sum_of::<LANES>(context, dcontext, |a, b| a * b);
    }
}
