//! The same products by the `gemm` crate, with as many threads as the pool has.

#![allow(unsafe_code, reason = "the crate takes pointers")]

/// A matrix whose rows or columns are contiguous.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `length` numbers.
    pub(crate) fn rows(values: &'a [f32], length: usize) -> Self {
        Self { values, row_stride: length, column_stride: 1 }
    }

    /// Columns of `length` numbers.
    pub(crate) fn columns(values: &'a [f32], length: usize) -> Self {
        Self { values, row_stride: 1, column_stride: length }
    }

    fn holds(self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// `out[m][n] = left · right`, `shape` being `[m, k, n]`.
pub(crate) fn product(out: &mut [f32], left: Matrix, right: Matrix, [m, k, n]: [usize; 3]) {
    assert!(out.len() == m * n && left.holds(m, k) && right.holds(k, n), "operands fit the shape");
    let threads = rayon::current_num_threads();
    let parallelism = if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
    // SAFETY: the assertion makes every index reached by shape and strides lie inside its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
