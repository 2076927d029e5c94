//! How are two matrices multiplied along their rows: the gradient of a weight?

use super::driver::product_rows_on;
use super::{Element, Epilogue, Packed, Precision};
use crate::dispatch::Path;
use rayon::prelude::*;

/// Tokens whose products are added up in one chain; the sums of the chains are added in order. Fixed, so that the bits
/// do not depend on the number of threads, and short enough for a panel of the right operand to stay in the cache.
const TOKENS: usize = 1024;

/// Output rows of one task.
const ROWS: usize = 96;

/// `out[m][n] = Σ_t a[t][m] · b[t][n]`, or `+=` with `add`: the gradient of a weight from the output's gradient `a` and
/// the input `b`. In parallel over output rows.
///
/// # Shapes
/// `a` `[tokens, a_stride]`, of which the first `m` columns count, `b` `[tokens, b_stride]`, of which the first `n` do;
/// the last rows may end there. `out` `[m, n]`.
pub fn transposed_product<E: Element>(
    a: &[E],
    a_stride: usize,
    m: usize,
    b: &[E],
    b_stride: usize,
    n: usize,
    tokens: usize,
    out: &mut [f32],
    add: bool,
) {
    let a = rows(a, a_stride, m, tokens);
    let b = rows(b, b_stride, n, tokens);
    transposed_product_on(Path::best(), &a, m, &b, n, E::PRECISION, out, add);
}

fn rows<E>(values: &[E], stride: usize, length: usize, count: usize) -> Vec<&[E]> {
    assert!(stride >= length || count <= 1, "the rows of an operand overlap");
    (0..count).map(|row| &values[row * stride..][..length]).collect()
}

pub(super) fn transposed_product_on<E: Element>(
    path: Path,
    a: &[&[E]],
    m: usize,
    b: &[&[E]],
    n: usize,
    precision: Precision,
    out: &mut [f32],
    add: bool,
) {
    assert_eq!(out.len(), m * n, "the output must be [m, n]");
    if !add {
        out.fill(0.0);
    }
    if out.is_empty() {
        return;
    }
    let mut packed = Packed::default();
    for (a, b) in a.chunks(TOKENS).zip(b.chunks(TOKENS)) {
        packed.pack_rows(b, n, precision);
        out.par_chunks_mut(ROWS * n).enumerate().for_each(|(block, out)| {
            let (first, count) = (block * ROWS, out.len() / n);
            let left: Vec<E> =
                (first..first + count).flat_map(|column| a.iter().map(move |row| row[column])).collect();
            product_rows_on(path, &left, a.len(), count, &packed, &mut AddRows { out, stride: n });
        });
    }
}

/// Adds the sums to an output.
struct AddRows<'a> {
    out: &'a mut [f32],
    stride: usize,
}

impl Epilogue for AddRows<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, values: &mut [f32]) {
        let out = &mut self.out[row * self.stride + column..][..values.len()];
        for (out, value) in out.iter_mut().zip(values) {
            *out += *value;
        }
    }
}
