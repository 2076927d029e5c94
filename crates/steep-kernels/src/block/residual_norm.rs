//! What both halves share: the sum with the residual is normalised, and the gradient goes back through both.

use super::chunks::Rows;
use super::epilogues::BiasResidual;
use crate::dispatch::{Path, per_path};
use crate::dropout::Mask;
use crate::gemm::{Element, convert_rows};
use crate::norm;
use crate::parallel::zeros;
use half::bf16;
use std::ops::Range;

/// The LayerNorm after a block, with the bias before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResidualNorm<'a> {
    /// Of the projection that comes before.
    pub(super) bias: &'a [f32],
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) epsilon: f32,
}

/// What the norm leaves for the backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct NormSaved {
    /// `dropout(projection) + residual`, `[T, H]`.
    sum: Vec<f32>,
    /// `[T]`
    mean: Vec<f32>,
    /// `[T]`
    inverse_deviation: Vec<f32>,
}

impl NormSaved {
    pub(super) fn new(tokens: usize, hidden: usize) -> Self {
        Self { sum: zeros(tokens * hidden), mean: vec![0.0; tokens], inverse_deviation: vec![0.0; tokens] }
    }

    pub(super) fn rows(&mut self, hidden: usize) -> NormDealer<'_> {
        NormDealer {
            sum: Rows::new(&mut self.sum, hidden),
            mean: Rows::new(&mut self.mean, 1),
            inverse_deviation: Rows::new(&mut self.inverse_deviation, 1),
        }
    }

    pub(super) fn part(&self, tokens: &Range<usize>, hidden: usize) -> KeptNorm<'_> {
        KeptNorm {
            sum: &self.sum[tokens.start * hidden..tokens.end * hidden],
            mean: &self.mean[tokens.clone()],
            inverse_deviation: &self.inverse_deviation[tokens.clone()],
        }
    }
}

/// Deals the rows of a [`NormSaved`] out to chunks.
pub(super) struct NormDealer<'a> {
    sum: Rows<'a, f32>,
    mean: Rows<'a, f32>,
    inverse_deviation: Rows<'a, f32>,
}

impl<'a> NormDealer<'a> {
    pub(super) fn take(&mut self, count: usize) -> NormRows<'a> {
        NormRows {
            sum: self.sum.take(count),
            mean: self.mean.take(count),
            inverse_deviation: self.inverse_deviation.take(count),
        }
    }
}

/// What the norm left, for the rows of one chunk.
pub(super) struct KeptNorm<'a> {
    sum: &'a [f32],
    mean: &'a [f32],
    inverse_deviation: &'a [f32],
}

/// Where the norm leaves it, for the rows of one chunk.
pub(super) struct NormRows<'a> {
    /// `dropout(projection) + residual`, `[rows, H]`.
    pub(super) sum: &'a mut [f32],
    pub(super) mean: &'a mut [f32],
    pub(super) inverse_deviation: &'a mut [f32],
}

impl<'a> NormRows<'a> {
    /// These rows, or scratch when nothing is kept.
    pub(super) fn or_scratch(self, scratch: &'a mut NormSaved, rows: usize, hidden: usize) -> Self {
        Self {
            sum: or_scratch(self.sum, &mut scratch.sum, rows * hidden),
            mean: or_scratch(self.mean, &mut scratch.mean, rows),
            inverse_deviation: or_scratch(self.inverse_deviation, &mut scratch.inverse_deviation, rows),
        }
    }
}

/// The kept elements, or as many of the scratch when nothing is kept.
pub(super) fn or_scratch<'a, T: Copy + Default>(
    kept: &'a mut [T],
    scratch: &'a mut Vec<T>,
    length: usize,
) -> &'a mut [T] {
    if kept.len() == length {
        return kept;
    }
    scratch.resize(length, T::default());
    scratch
}

/// The sum of `[chunks, width]` over the chunks, in their order.
pub(super) fn add_up(sums: &[f32], width: usize) -> Vec<f32> {
    let mut totals = vec![0.0; width];
    for sums in sums.chunks_exact(width) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    totals
}

impl<'a> ResidualNorm<'a> {
    /// The epilogue that leaves the sum with the residual; `first_row` counts within the batch.
    pub(super) fn epilogue<'b>(
        &self,
        sum: &'b mut [f32],
        residual: &'b [f32],
        mask: Option<Mask>,
        first_row: usize,
    ) -> BiasResidual<'b>
    where
        'a: 'b,
    {
        let stride = self.gamma.len();
        BiasResidual { out: sum, residual, stride, bias: self.bias, mask, first: (first_row * stride) as u32 }
    }

    /// Normalises the rows of the sum.
    pub(super) fn normalise(&self, path: Path, rows: &mut NormRows, y: &mut [f32]) {
        norm::forward_rows(
            path,
            rows.sum,
            self.gamma,
            self.beta,
            self.epsilon,
            y,
            rows.mean,
            rows.inverse_deviation,
        );
    }
}

/// Gradients of the norm's parameters and of the bias before it, for one chunk: `[3, H]` as gamma, beta, bias.
pub(super) struct NormSums<'a> {
    pub(super) gamma: &'a mut [f32],
    pub(super) beta: &'a mut [f32],
    pub(super) bias: &'a mut [f32],
}

/// From the gradient of the output to that of the residual (`dsum`) and of the projection before dropout
/// (`dprojection`).
pub(super) fn backward_rows<E: Element>(
    path: Path,
    rows: &KeptNorm,
    gamma: &[f32],
    mask: Option<Mask>,
    first_row: usize,
    dy: &[f32],
    dsum: &mut [f32],
    dprojection: &mut [E],
    sums: &mut NormSums,
) {
    norm::backward_rows(
        path,
        rows.sum,
        gamma,
        (rows.mean, rows.inverse_deviation),
        dy,
        dsum,
        sums.gamma,
        sums.beta,
    );
    let first = (first_row * gamma.len()) as u32;
    undrop(path, mask, first, dsum, dprojection, sums.bias);
}

per_path!(
    fn undrop<E: Element>(mask: Option<Mask>, first: u32, dsum: &[f32], out: &mut [E], dbias: &mut [f32])
        = undrop_body
);

/// The gradient before dropout as an operand, and its sum over the rows.
#[inline(always)]
fn undrop_body<E: Element>(mask: Option<Mask>, first: u32, dsum: &[f32], out: &mut [E], dbias: &mut [f32]) {
    let width = dbias.len();
    for (row, (dsum, out)) in dsum.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let first = first.wrapping_add((row * width) as u32);
        for (index, ((dsum, out), dbias)) in dsum.iter().zip(out).zip(dbias.iter_mut()).enumerate() {
            let value = mask.map_or(*dsum, |mask| mask.apply(first.wrapping_add(index as u32), *dsum));
            *out = E::from_f32(value);
            *dbias += value;
        }
    }
}

per_path!(fn add_columns_on<E: Element>(rows: &[E], sums: &mut [f32]) = add_columns_body);

/// Adds every row to the sums.
pub(super) fn add_columns<E: Element>(path: Path, rows: &[E], sums: &mut [f32]) {
    add_columns_on(path, rows, sums);
}

#[inline(always)]
fn add_columns_body<E: Element>(rows: &[E], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value.to_f32();
        }
    }
}

/// A kind of operand that products take.
pub trait Operand: Element {
    /// The rows as operands: themselves, or converted into `converted`.
    fn rows<'a>(x: &'a [f32], converted: &'a mut [Self]) -> &'a [Self];

    /// The same rows in the backward pass, where the conversion was kept.
    fn kept<'a>(x: &'a [f32], converted: &'a [Self]) -> &'a [Self];

    /// Elements to keep of a conversion of `length` elements.
    fn kept_length(length: usize) -> usize;
}

impl Operand for f32 {
    fn rows<'a>(x: &'a [f32], _: &'a mut [Self]) -> &'a [Self] {
        x
    }

    fn kept<'a>(x: &'a [f32], _: &'a [Self]) -> &'a [Self] {
        x
    }

    fn kept_length(_: usize) -> usize {
        0
    }
}

impl Operand for bf16 {
    fn rows<'a>(x: &'a [f32], converted: &'a mut [Self]) -> &'a [Self] {
        convert_rows(x, converted);
        converted
    }

    fn kept<'a>(_: &'a [f32], converted: &'a [Self]) -> &'a [Self] {
        converted
    }

    fn kept_length(length: usize) -> usize {
        length
    }
}
