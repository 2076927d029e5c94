//! How are two matrices multiplied along their rows: the gradient of a weight?

use super::driver::product_of_words;
use super::packed::{LINE, Words, with_scratch};
use super::packing::columns_to_rows;
use super::tile::fetch;
use super::{Element, Epilogue, Packed, Precision, TILE_COLUMNS};
use crate::dispatch::Path;
use crate::parallel::zeros;
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Words of tokens whose products are added up in one chain; the sums of the chains are added in order. Fixed, so that
/// the bits do not depend on the number of threads, and few enough for the second-level cache to hold two panels of the
/// right operand (128 KiB each) and a block of left rows.
const WORDS: usize = 512;

/// Slices of tokens that are packed before any of them is multiplied: each time the threads wait for each other costs.
const SLICES: usize = 4;

/// Output rows of one task: at most, and at least where there are fewer than that for each thread.
const ROWS: usize = 96;
const FEWEST_ROWS: usize = 24;

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

/// The gradient `[m, n]` of a weight from the output's gradient `dy` `[tokens, m]` and the input `x` `[tokens, n]`.
pub(crate) fn weight_gradient<E: Element>(dy: &[E], m: usize, x: &[E], n: usize, tokens: usize) -> Vec<f32> {
    let mut gradient = zeros(m * n);
    transposed_product(dy, m, m, x, n, n, tokens, &mut gradient, false);
    gradient
}

/// The first `length` numbers of each of `count` rows.
pub(crate) fn rows<E>(values: &[E], stride: usize, length: usize, count: usize) -> Vec<&[E]> {
    assert!(stride >= length || count <= 1, "the rows of an operand overlap");
    (0..count).map(|row| &values[row * stride..][..length]).collect()
}

/// [`transposed_product`] at a precision other than that of the operands, which are given row by row.
pub(crate) fn transposed_product_on<E: Element>(
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
    if a.is_empty() && !add {
        out.fill(0.0);
    }
    if out.is_empty() {
        return;
    }
    let task = rows_per_task(m);
    let tokens = WORDS * precision.per_word();
    let group = SLICES * tokens;
    for (index, (a, b)) in a.chunks(group).zip(b.chunks(group)).enumerate() {
        let add = add || index > 0;
        with_scratch(b.len().div_ceil(tokens), |packed| {
            packed
                .par_iter_mut()
                .zip(b.par_chunks(tokens))
                .for_each(|(packed, b)| packed.pack_rows(path, b, n, precision));
            out.par_chunks_mut(task * n).enumerate().for_each(|(block, out)| {
                let first = block * task;
                let columns = first..first + out.len() / n;
                for (slice, (a, packed)) in a.chunks(tokens).zip(&*packed).enumerate() {
                    let sums = Sums { out, stride: n, add: add || slice > 0 };
                    block_of_rows(path, a, columns.clone(), precision, packed, sums);
                }
            });
        });
    }
}

/// As many tasks as threads, or twice as many and so on until none is too large: so they end together.
fn rows_per_task(m: usize) -> usize {
    let threads = rayon::current_num_threads();
    let tasks = threads * m.div_ceil(threads * ROWS);
    m.div_ceil(tasks.max(1)).next_multiple_of(6).max(FEWEST_ROWS)
}

thread_local! {
    /// Memory of a block of left rows, kept from block to block.
    static LEFT: Cell<Words> = Cell::default();
}

/// Adds the products of some columns of `a` with `packed`.
fn block_of_rows<E: Element>(
    path: Path,
    a: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    packed: &Packed,
    mut sums: Sums,
) {
    let mut left = LEFT.take();
    let words = precision.words(a.len());
    let stride = words.next_multiple_of(LINE) + LINE;
    let count = columns.len();
    left.resize(count * stride);
    columns_to_rows(path, a, columns, precision, left.as_mut_slice(), stride);
    product_of_words(path, left.as_slice(), stride, words, count, packed, &mut sums);
    LEFT.set(left);
}

/// Adds the sums to an output, or writes the first of them.
struct Sums<'a> {
    out: &'a mut [f32],
    stride: usize,
    add: bool,
}

impl Epilogue for Sums<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, values: &mut [f32]) {
        let out = &mut self.out[row * self.stride + column..][..values.len()];
        if self.add {
            for (out, value) in out.iter_mut().zip(values) {
                *out += *value;
            }
        } else {
            out.copy_from_slice(values);
        }
    }
    #[inline(always)]
    fn prepare(&mut self, row: usize, column: usize) {
        let first = row * self.stride + column;
        fetch(&self.out[first..self.out.len().min(first + TILE_COLUMNS)]);
    }
}
