//! `y = x · Wᵀ + b`: a linear layer and its three gradients.

use crate::dispatch::{Path, per_path};
use crate::gemm::{
    Epilogue, Packed, Precision, TILE_COLUMNS, convert_rows, fetch, product_rows, rows,
    transposed_product_on, with_scratch,
};
use half::bf16;
use rayon::prelude::*;
use std::cell::Cell;

/// Tokens whose gradients are added up before they meet those of other tokens; fixed, so that the order of additions
/// does not depend on the number of threads.
const TOKENS_PER_SUM: usize = 128;

/// The sizes of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Number of rows of the input.
    pub tokens: usize,
    /// Features of an input row.
    pub in_features: usize,
    /// Features of an output row.
    pub out_features: usize,
}

impl LinearShape {
    fn check_input(&self, x: &[f32]) {
        assert_eq!(x.len(), self.tokens * self.in_features, "the input must be [tokens, in_features]");
    }

    fn check_output(&self, y: &[f32]) {
        assert_eq!(y.len(), self.tokens * self.out_features, "the output must be [tokens, out_features]");
    }

    fn check_weight(&self, weight: &[f32]) {
        let expected = self.out_features * self.in_features;
        assert_eq!(weight.len(), expected, "the weight must be [out_features, in_features]");
    }
}

/// `y = x · weightᵀ + bias`, all in f32.
///
/// # Shapes
/// `x` `[tokens, in]`, `weight` `[out, in]`, `bias` `[out]`, `y` `[tokens, out]`.
pub fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32], shape: LinearShape) {
    forward_with(Precision::F32, x, weight, bias, y, shape);
}

/// [`forward`] with `x` and `weight` rounded to a precision; sums are in f32.
pub fn forward_with(
    precision: Precision,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
    shape: LinearShape,
) {
    shape.check_input(x);
    shape.check_weight(weight);
    shape.check_output(y);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.out_features, "the bias must be [out_features]");
    }
    with_scratch(1, |packed| {
        let packed = &mut packed[0];
        packed.pack_transposed(weight, shape.out_features, shape.in_features, precision);
        product(x, packed, bias, y, shape.tokens);
    });
}

/// `dx = dy · weight`, all in f32.
///
/// # Shapes
/// `dy` `[tokens, out]`, `weight` `[out, in]`, `dx` `[tokens, in]`.
pub fn backward_input(dy: &[f32], weight: &[f32], dx: &mut [f32], shape: LinearShape) {
    backward_input_with(Precision::F32, dy, weight, dx, shape);
}

/// [`backward_input`] with `dy` and `weight` rounded to a precision; sums are in f32.
pub fn backward_input_with(
    precision: Precision,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    shape: LinearShape,
) {
    shape.check_output(dy);
    shape.check_weight(weight);
    shape.check_input(dx);
    with_scratch(1, |packed| {
        let packed = &mut packed[0];
        packed.pack(weight, shape.out_features, shape.in_features, precision);
        product(dy, packed, None, dx, shape.tokens);
    });
}

/// `dweight = dyᵀ · x`, all in f32.
///
/// # Shapes
/// `dy` `[tokens, out]`, `x` `[tokens, in]`, `dweight` `[out, in]`.
pub fn backward_weight(dy: &[f32], x: &[f32], dweight: &mut [f32], shape: LinearShape) {
    backward_weight_with(Precision::F32, dy, x, dweight, shape);
}

/// [`backward_weight`] with `dy` and `x` rounded to a precision; sums are in f32.
pub fn backward_weight_with(
    precision: Precision,
    dy: &[f32],
    x: &[f32],
    dweight: &mut [f32],
    shape: LinearShape,
) {
    let LinearShape { tokens, in_features, out_features } = shape;
    shape.check_output(dy);
    shape.check_input(x);
    shape.check_weight(dweight);
    let dy = rows(dy, out_features, out_features, tokens);
    let x = rows(x, in_features, in_features, tokens);
    transposed_product_on(Path::best(), &dy, out_features, &x, in_features, precision, dweight, false);
}

/// `out = left · right + bias`, in parallel over chunks of rows; `left` is rounded to the precision of `right`.
fn product(left: &[f32], right: &Packed, bias: Option<&[f32]>, out: &mut [f32], rows: usize) {
    let (inner, columns) = (right.inner(), right.columns());
    if out.is_empty() {
        return;
    }
    let chunk = rows_per_chunk(rows);
    out.par_chunks_mut(chunk * columns).enumerate().for_each(|(index, out)| {
        let rows = out.len() / columns;
        let left = &left[index * chunk * inner..][..rows * inner];
        let mut write = Write { out, columns, bias };
        match right.precision() {
            Precision::F32 => product_rows(left, inner, rows, right, &mut write),
            Precision::Bf16 => {
                let mut rounded = ROUNDED.take();
                rounded.resize(left.len(), bf16::ZERO);
                convert_rows(left, &mut rounded);
                product_rows(&rounded, inner, rows, right, &mut write);
                ROUNDED.set(rounded);
            }
        }
    });
}

thread_local! {
    /// Memory of a chunk of rounded rows, kept from chunk to chunk.
    static ROUNDED: Cell<Vec<bf16>> = const { Cell::new(Vec::new()) };
}

/// Four chunks per thread, so that a thread which is held up does not hold up all; a multiple of a tile's rows; no
/// more than the caches hold, no fewer than repay reading the whole right operand.
fn rows_per_chunk(rows: usize) -> usize {
    let share = rows.div_ceil(4 * rayon::current_num_threads());
    share.clamp(24, 264).next_multiple_of(12)
}

/// Writes sums, with a bias or without.
struct Write<'a> {
    out: &'a mut [f32],
    columns: usize,
    bias: Option<&'a [f32]>,
}

impl Epilogue for Write<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, values: &mut [f32]) {
        let out = &mut self.out[row * self.columns + column..][..values.len()];
        match self.bias {
            Some(bias) => {
                let bias = &bias[column..][..values.len()];
                for ((out, value), bias) in out.iter_mut().zip(values).zip(bias) {
                    *out = *value + bias;
                }
            }
            None => out.copy_from_slice(values),
        }
    }

    #[inline(always)]
    fn prepare(&mut self, row: usize, column: usize) {
        fetch(&self.out[row * self.columns + column..][..TILE_COLUMNS.min(self.columns - column)]);
    }
}

/// `dbias = Σ over tokens of dy`, in a fixed order.
///
/// # Shapes
/// `dy` `[tokens, out]`, `dbias` `[out]`.
pub fn backward_bias(dy: &[f32], dbias: &mut [f32], shape: LinearShape) {
    shape.check_output(dy);
    assert_eq!(dbias.len(), shape.out_features, "the bias must be [out_features]");
    dbias.fill(0.0);
    if dbias.is_empty() {
        return;
    }
    let path = Path::best();
    let features = shape.out_features;
    let mut sums = vec![0.0; shape.tokens.div_ceil(TOKENS_PER_SUM) * features];
    sums.par_chunks_mut(features)
        .zip(dy.par_chunks(TOKENS_PER_SUM * features))
        .for_each(|(sum, rows)| add_rows(path, rows, sum));
    add_rows(path, &sums, dbias);
}

per_path!(fn add_rows_per_path(rows: &[f32], sum: &mut [f32]) = add_rows_body);

/// Adds the rows of `rows` `[n, features]` to `sum` `[features]`, one after the other.
pub(crate) fn add_rows(path: Path, rows: &[f32], sum: &mut [f32]) {
    add_rows_per_path(path, rows, sum);
}

#[inline(always)]
fn add_rows_body(rows: &[f32], sum: &mut [f32]) {
    for row in rows.chunks_exact(sum.len()) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, bits, dot, finite_differences, numbers, same_for_any_thread_count, wide,
    };

    fn reference(x: &[f64], weight: &[f64], bias: &[f64], shape: LinearShape) -> Vec<f64> {
        let LinearShape { tokens, in_features, out_features } = shape;
        (0..tokens * out_features)
            .map(|i| {
                let (t, o) = (i / out_features, i % out_features);
                let row = &x[t * in_features..][..in_features];
                let column = &weight[o * in_features..][..in_features];
                bias[o] + row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>()
            })
            .collect()
    }

    #[test]
    fn forward_matches_the_definition() {
        for (tokens, in_features, out_features) in
            [(0, 3, 4), (1, 5, 1), (1, 384, 130), (7, 513, 17), (130, 33, 65)]
        {
            let shape = LinearShape { tokens, in_features, out_features };
            let x = numbers(tokens * in_features, 1);
            let weight = numbers(out_features * in_features, 2);
            let bias = numbers(out_features, 3);
            let mut y = vec![f32::NAN; tokens * out_features];
            forward(&x, &weight, Some(&bias), &mut y, shape);
            assert_close(&y, &reference(&wide(&x), &wide(&weight), &wide(&bias), shape), 1e-5);
            forward(&x, &weight, None, &mut y, shape);
            let zero = vec![0.0; out_features];
            assert_close(&y, &reference(&wide(&x), &wide(&weight), &zero, shape), 1e-5);
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        let shape = LinearShape { tokens: 5, in_features: 7, out_features: 3 };
        let (x, weight, bias) = (numbers(35, 1), numbers(21, 2), numbers(3, 3));
        let dy = numbers(15, 4);
        let (mut dx, mut dweight, mut dbias) = (vec![9.0; 35], vec![9.0; 21], vec![9.0; 3]);
        backward_input(&dy, &weight, &mut dx, shape);
        backward_weight(&dy, &x, &mut dweight, shape);
        backward_bias(&dy, &mut dbias, shape);
        let (x, weight, bias) = (wide(&x), wide(&weight), wide(&bias));
        assert_close(&dx, &finite_differences(&x, |x| dot(&reference(x, &weight, &bias, shape), &dy)), 1e-5);
        assert_close(
            &dweight,
            &finite_differences(&weight, |w| dot(&reference(&x, w, &bias, shape), &dy)),
            1e-5,
        );
        assert_close(
            &dbias,
            &finite_differences(&bias, |b| dot(&reference(&x, &weight, b, shape), &dy)),
            1e-5,
        );
    }

    /// What rounding the operands leaves of them.
    fn rounded(values: &[f32]) -> Vec<f32> {
        values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect()
    }

    #[test]
    fn in_bf16_only_the_operands_are_rounded() {
        let shape = LinearShape { tokens: 131, in_features: 67, out_features: 35 };
        let x = numbers(shape.tokens * shape.in_features, 1);
        let dy = numbers(shape.tokens * shape.out_features, 2);
        let weight = numbers(shape.out_features * shape.in_features, 3);
        let bias = numbers(shape.out_features, 4);
        let both = |precision, x: &[f32], dy: &[f32], weight: &[f32]| {
            let (mut y, mut dx, mut dweight) = (dy.to_vec(), x.to_vec(), weight.to_vec());
            forward_with(precision, x, weight, Some(&bias), &mut y, shape);
            backward_input_with(precision, dy, weight, &mut dx, shape);
            backward_weight_with(precision, dy, x, &mut dweight, shape);
            [y, dx, dweight]
        };
        let in_bf16 = both(Precision::Bf16, &x, &dy, &weight);
        let expected = both(Precision::F32, &rounded(&x), &rounded(&dy), &rounded(&weight));
        for (values, expected) in in_bf16.iter().zip(&expected) {
            assert_close(values, &wide(expected), 2e-6);
        }
        let unrounded = both(Precision::F32, &x, &dy, &weight);
        assert!(in_bf16.iter().zip(&unrounded).all(|(values, other)| values != other));
    }

    #[test]
    fn a_row_does_not_know_its_neighbours() {
        let (in_features, out_features) = (65, 131);
        let weight = numbers(in_features * out_features, 1);
        let x = numbers(517 * in_features, 2);
        for precision in [Precision::F32, Precision::Bf16] {
            let rows = |first: usize, tokens: usize| {
                let mut y = vec![0.0; tokens * out_features];
                let shape = LinearShape { tokens, in_features, out_features };
                forward_with(
                    precision,
                    &x[first * in_features..][..tokens * in_features],
                    &weight,
                    None,
                    &mut y,
                    shape,
                );
                bits(&y)
            };
            let all = rows(0, 517);
            for (first, count) in [(0, 1), (516, 1), (23, 2), (100, 300)] {
                assert_eq!(rows(first, count), all[first * out_features..][..count * out_features]);
            }
        }
    }

    #[test]
    fn no_tokens_give_zero_gradients() {
        let shape = LinearShape { tokens: 0, in_features: 4, out_features: 3 };
        let (mut dweight, mut dbias) = (vec![9.0; 12], vec![9.0; 3]);
        backward_weight(&[], &[], &mut dweight, shape);
        backward_bias(&[], &mut dbias, shape);
        assert_eq!(dweight, vec![0.0; 12]);
        assert_eq!(dbias, vec![0.0; 3]);
    }

    #[test]
    fn threads_and_paths_do_not_change_the_bits() {
        let shape = LinearShape { tokens: 517, in_features: 65, out_features: 131 };
        let dy = numbers(shape.tokens * shape.out_features, 4);
        let x = numbers(shape.tokens * shape.in_features, 5);
        same_for_any_thread_count(|| {
            let mut dbias = vec![0.0; shape.out_features];
            backward_bias(&dy, &mut dbias, shape);
            dbias
        });
        same_for_any_thread_count(|| {
            let mut dweight = vec![0.0; shape.out_features * shape.in_features];
            backward_weight(&dy, &x, &mut dweight, shape);
            dweight
        });
        let weight = numbers(shape.out_features * shape.in_features, 6);
        for precision in [Precision::F32, Precision::Bf16] {
            same_for_any_thread_count(|| {
                let mut y = vec![0.0; shape.tokens * shape.out_features];
                forward_with(precision, &x, &weight, None, &mut y, shape);
                y
            });
            same_for_any_thread_count(|| {
                let mut dx = vec![0.0; shape.tokens * shape.in_features];
                backward_input_with(precision, &dy, &weight, &mut dx, shape);
                dx
            });
        }
        let sums: Vec<_> = Path::available()
            .into_iter()
            .map(|path| {
                let mut sum = vec![0.0; shape.out_features];
                add_rows(path, &dy, &mut sum);
                bits(&sum)
            })
            .collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]));
    }
}
