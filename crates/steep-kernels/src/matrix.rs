//! How are two matrices multiplied?
//!
//! The products run on the `gemm` crate, which picks its algorithm from the sizes: a dot-product kernel for small
//! outputs, matrix-vector kernels for one row or column, blocking of the inner dimension by cache size. Each of these
//! would make the bits of a row depend on how many rows there are. Here every element is one chain of (fused)
//! multiply-adds over at most `INNER_BLOCK` inner positions, and the chains are added in order, whatever the sizes:
//! * the inner dimension is cut here, never inside `gemm`;
//! * a single row or column is computed as two equal ones;
//! * where the dot-product kernel would be chosen, the right operand is copied row-major first.
//!
//! Parallelism is over tiles of the output, each a single-threaded product: which tile an element falls into does not
//! change it.

use crate::disjoint::Disjoint;
use rayon::prelude::*;

/// The longest chain of additions. Below the inner block `gemm` takes itself for any cache size (512), so that it
/// never cuts a block again; 384 was the fastest of 256, 384 and 512.
const INNER_BLOCK: usize = 384;

/// Output columns per tile; wider tiles pay where `gemm` copies the left operand once for each of them.
const COLUMN_BLOCK: usize = 192;
const WIDE_COLUMN_BLOCK: usize = 384;

/// Multiply-adds below which another task does not pay (about 20 µs).
const TASK_WORK: usize = 1 << 22;

/// The largest output for which `gemm` may take its dot-product kernel.
const DOT_KERNEL_OUTPUTS: usize = 256;

/// A read-only view of a matrix with any strides.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The slice the elements lie in; the first one is the element (0, 0).
    pub values: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Distance between vertical neighbours.
    pub row_stride: usize,
    /// Distance between horizontal neighbours.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A contiguous `[rows, columns]` matrix.
    pub fn row_major(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a {rows} x {columns} matrix needs that many values");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The part of `rows` x `columns` that starts at (`row`, `column`).
    fn part(self, row: usize, column: usize, rows: usize, columns: usize) -> Self {
        let start = row * self.row_stride + column * self.column_stride;
        Self { values: &self.values[start.min(self.values.len())..], rows, columns, ..self }
    }

    fn check(&self) {
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
            assert!(last < self.values.len(), "the strides of the matrix lead outside its values");
        }
    }
}

/// What happens to the values already in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    /// They are replaced.
    Overwrite,
    /// The product is added to them.
    Add,
}

/// What the product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    Output,
    /// The same `[columns]` values in every row: a bias.
    EveryRow(&'a [f32]),
}

/// `out = a · b`, or `out += a · b`; `out` is contiguous `[a.rows, b.columns]`.
///
/// The bits of an output row depend only on that row of `a`, on `b` and on what was in the row.
pub fn multiply(out: &mut [f32], a: Matrix, b: Matrix, accumulate: Accumulate) {
    let start = match accumulate {
        Accumulate::Overwrite => Start::Zero,
        Accumulate::Add => Start::Output,
    };
    multiply_from(out, a, b, start);
}

/// [`multiply`] with a choice of what the product is added to.
pub(crate) fn multiply_from(out: &mut [f32], a: Matrix, b: Matrix, start: Start) {
    check(out, a, b, start);
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    let grid = Grid::new(a, b, rayon::current_num_threads());
    let out = Disjoint::new(out);
    if grid.tasks() == 1 {
        tile(&out, a, b, start, grid.area(0));
    } else {
        (0..grid.tasks()).into_par_iter().for_each(|task| tile(&out, a, b, start, grid.area(task)));
    }
}

fn check(out: &[f32], a: Matrix, b: Matrix, start: Start) {
    a.check();
    b.check();
    assert_eq!(a.columns, b.rows, "inner dimensions of the product differ");
    assert_eq!(out.len(), a.rows * b.columns, "the output must be [a.rows, b.columns]");
    if let Start::EveryRow(bias) = start {
        assert_eq!(bias.len(), b.columns, "the bias must have one value per output column");
    }
}

/// A rectangle of the output.
#[derive(Clone, Copy)]
struct Area {
    row: usize,
    column: usize,
    rows: usize,
    columns: usize,
}

/// How the output is cut into tasks.
struct Grid {
    rows: usize,
    columns: usize,
    row_block: usize,
    column_block: usize,
}

impl Grid {
    /// Two tiles per thread, as large as possible: a tile copies its part of `b`.
    fn new(a: Matrix, b: Matrix, threads: usize) -> Self {
        let (rows, columns) = (a.rows, b.columns);
        let most = rows.saturating_mul(columns).saturating_mul(a.columns) / TASK_WORK;
        if most < 2 || threads == 1 {
            return Self { rows, columns, row_block: rows, column_block: columns };
        }
        let widest = if a.column_stride == 1 { COLUMN_BLOCK } else { WIDE_COLUMN_BLOCK };
        let column_blocks = columns.div_ceil(widest).min(most);
        let column_block = columns.div_ceil(column_blocks).next_multiple_of(16);
        let row_blocks = (2 * threads).min(most).div_ceil(column_blocks);
        let row_block = rows.div_ceil(row_blocks).next_multiple_of(6);
        Self { rows, columns, row_block, column_block }
    }

    fn across(&self) -> usize {
        self.columns.div_ceil(self.column_block)
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.row_block) * self.across()
    }

    fn area(&self, task: usize) -> Area {
        let row = task / self.across() * self.row_block;
        let column = task % self.across() * self.column_block;
        Area {
            row,
            column,
            rows: self.row_block.min(self.rows - row),
            columns: self.column_block.min(self.columns - column),
        }
    }
}

/// Computes one rectangle of the output; `a`, `b` and `start` are the whole product's.
fn tile(out: &Disjoint, a: Matrix, b: Matrix, start: Start, area: Area) {
    let stride = b.columns;
    let a = a.part(area.row, 0, area.rows, a.columns);
    let b = b.part(0, area.column, b.rows, area.columns);
    if let Start::EveryRow(bias) = start {
        for_each_row(out, stride, area, |row| row.copy_from_slice(&bias[area.column..][..area.columns]));
    }
    let keep = !matches!(start, Start::Zero);
    if area.rows == 1 || area.columns == 1 {
        doubled_tile(out, stride, a, b, keep, area);
    } else {
        let first = out.pointer(area.row * stride + area.column);
        // SAFETY: the areas of a grid do not overlap, lie inside the output, and have at least two rows and columns.
        unsafe { blocks(first, stride, a, b, keep) };
    }
}

fn for_each_row(out: &Disjoint, stride: usize, area: Area, mut act: impl FnMut(&mut [f32])) {
    for row in area.row..area.row + area.rows {
        let first = row * stride + area.column;
        // SAFETY: the areas of a grid do not overlap.
        act(unsafe { out.range(first..first + area.columns) });
    }
}

/// A tile of one row or one column: that row or column is computed twice, on the side.
fn doubled_tile(out: &Disjoint, stride: usize, a: Matrix, b: Matrix, keep: bool, area: Area) {
    let a = if a.rows == 1 { Matrix { rows: 2, row_stride: 0, ..a } } else { a };
    let b = if b.columns == 1 { Matrix { columns: 2, column_stride: 0, ..b } } else { b };
    let mut side = vec![0.0; a.rows * b.columns];
    let mut lines = side.chunks_exact_mut(b.columns);
    for_each_row(out, stride, area, |row| {
        lines.next().expect("as many lines as rows")[..row.len()].copy_from_slice(row);
    });
    // SAFETY: `side` is [a.rows, b.columns], both at least 2.
    unsafe { blocks(side.as_mut_ptr(), b.columns, a, b, keep) };
    let mut lines = side.chunks_exact(b.columns);
    for_each_row(out, stride, area, |row| {
        row.copy_from_slice(&lines.next().expect("as many lines as rows")[..row.len()]);
    });
}

/// Adds up the inner blocks.
///
/// # Safety
/// `out` points to `a.rows >= 2` rows of `b.columns >= 2` elements at distance `stride`, which nobody else uses.
unsafe fn blocks(out: *mut f32, stride: usize, a: Matrix, b: Matrix, keep: bool) {
    let inner = a.columns;
    let count = inner.div_ceil(INNER_BLOCK).max(1);
    let block = inner.div_ceil(count);
    for index in 0..count {
        let first = (index * block).min(inner);
        let depth = block.min(inner - first);
        let a = a.part(0, first, a.rows, depth);
        let b = b.part(first, 0, depth, b.columns);
        // SAFETY: the caller's promise.
        unsafe { block_product(out, stride, a, b, keep || index > 0) };
    }
}

/// One inner block. See [`blocks`] for the safety contract.
unsafe fn block_product(out: *mut f32, stride: usize, a: Matrix, b: Matrix, keep: bool) {
    let dot_kernel = a.column_stride == 1 && b.row_stride == 1 && a.rows * b.columns <= DOT_KERNEL_OUTPUTS;
    if dot_kernel {
        let copy: Vec<f32> = (0..b.rows * b.columns)
            .map(|index| b.values[index / b.columns * b.row_stride + index % b.columns * b.column_stride])
            .collect();
        // SAFETY: the caller's promise.
        unsafe { call(out, stride, a, Matrix::row_major(&copy, b.rows, b.columns), keep) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { call(out, stride, a, b, keep) };
    }
}

/// See [`blocks`] for the safety contract.
unsafe fn call(out: *mut f32, stride: usize, a: Matrix, b: Matrix, keep: bool) {
    debug_assert!(a.rows >= 2 && b.columns >= 2 && stride >= 2);
    // SAFETY: `out` by the caller's promise; `a` and `b` are parts of matrices whose strides were checked.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            stride as isize,
            keep,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, bits, numbers, same_for_any_thread_count};
    use proptest::prelude::*;

    fn reference(a: Matrix, b: Matrix) -> Vec<f64> {
        let at = |m: Matrix, r: usize, c: usize| f64::from(m.values[r * m.row_stride + c * m.column_stride]);
        (0..a.rows * b.columns)
            .map(|i| (0..a.columns).map(|k| at(a, i / b.columns, k) * at(b, k, i % b.columns)).sum())
            .collect()
    }

    /// One of the two layouts of a `[rows, columns]` matrix.
    fn laid_out(values: &[f32], rows: usize, columns: usize, transposed: bool) -> Matrix<'_> {
        if transposed {
            Matrix::row_major(values, columns, rows).transposed()
        } else {
            Matrix::row_major(values, rows, columns)
        }
    }

    /// Every row of the product must equal that row computed alone, among two, and in a shifted company.
    fn check_rows(rows: usize, inner: usize, columns: usize, weight_transposed: bool) {
        let a = numbers(rows * inner, 1);
        let b = numbers(inner * columns, 2);
        let b = laid_out(&b, inner, columns, weight_transposed);
        let mut all = vec![0.0; rows * columns];
        multiply(&mut all, Matrix::row_major(&a, rows, inner), b, Accumulate::Overwrite);
        for count in [1, 2, 5, rows / 2 + 1] {
            let count = count.min(rows);
            for first in [0, (rows - count) / 2, rows - count] {
                let part = Matrix::row_major(&a[first * inner..][..count * inner], count, inner);
                let mut out = vec![0.0; count * columns];
                multiply(&mut out, part, b, Accumulate::Overwrite);
                assert_eq!(
                    bits(&out),
                    bits(&all[first * columns..][..count * columns]),
                    "{count} rows from {first} of {rows} x {inner} x {columns}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_row_does_not_know_its_neighbours(
            rows in 1usize..40, inner in 1usize..70, columns in 1usize..70, transposed in any::<bool>(),
        ) {
            check_rows(rows, inner, columns, transposed);
        }

        #[test]
        fn products_match_the_reference(
            rows in 0usize..20, inner in 0usize..40, columns in 0usize..20,
            a_transposed in any::<bool>(), b_transposed in any::<bool>(), add in any::<bool>(),
        ) {
            let a = numbers(rows * inner, 3);
            let b = numbers(inner * columns, 4);
            let a = laid_out(&a, rows, inner, a_transposed);
            let b = laid_out(&b, inner, columns, b_transposed);
            let before = if add { 0.5 } else { 0.0 };
            let mut out = vec![if add { 0.5 } else { f32::NAN }; rows * columns];
            multiply(&mut out, a, b, if add { Accumulate::Add } else { Accumulate::Overwrite });
            let expected: Vec<f64> = reference(a, b).into_iter().map(|v| v + before).collect();
            assert_close(&out, &expected, 1e-5);
        }
    }

    #[test]
    fn a_row_does_not_know_its_neighbours_at_model_sizes() {
        for rows in [1, 2, 3, 7, 39, 300] {
            for (inner, columns) in
                [(384, 1536), (1536, 384), (384, 384), (384, 7), (384, 1), (1537, 2), (1, 384), (2, 70)]
            {
                check_rows(rows, inner, columns, true);
            }
        }
        check_rows(300, 384, 1536, false);
        check_rows(40, 1536, 3, false);
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        let (rows, inner, columns) = (301, 1025, 577);
        let a = numbers(rows * inner, 5);
        let b = numbers(inner * columns, 6);
        same_for_any_thread_count(|| {
            let mut out = vec![0.0; rows * columns];
            let b = Matrix::row_major(&b, columns, inner).transposed();
            multiply(&mut out, Matrix::row_major(&a, rows, inner), b, Accumulate::Overwrite);
            out
        });
        same_for_any_thread_count(|| {
            let mut out = vec![0.25; inner * columns];
            let right = numbers(rows * columns, 7);
            let left = Matrix::row_major(&a, rows, inner).transposed();
            multiply(&mut out, left, Matrix::row_major(&right, rows, columns), Accumulate::Add);
            out
        });
    }

    #[test]
    fn the_grid_covers_the_output_once() {
        for (rows, columns, inner, threads) in
            [(2048, 1536, 384, 2), (1, 30522, 384, 3), (4097, 33, 999, 5), (7, 7, 7, 2)]
        {
            let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
            let a = Matrix::row_major(&a, rows, inner);
            let grid = Grid::new(a, Matrix::row_major(&b, inner, columns), threads);
            let mut seen = vec![0u8; rows * columns];
            for area in (0..grid.tasks()).map(|task| grid.area(task)) {
                for row in area.row..area.row + area.rows {
                    seen[row * columns + area.column..][..area.columns].iter_mut().for_each(|s| *s += 1);
                }
            }
            assert!(seen.iter().all(|count| *count == 1));
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn unequal_inner_dimensions_are_refused() {
        multiply(
            &mut [0.0; 4],
            Matrix::row_major(&[0.0; 6], 2, 3),
            Matrix::row_major(&[0.0; 4], 2, 2),
            Accumulate::Add,
        );
    }
}
