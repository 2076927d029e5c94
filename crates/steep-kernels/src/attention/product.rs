//! How are the small matrices of one attention head multiplied?
//!
//! A sum is one chain of multiply-adds in the order of the inner dimension, whatever tile it is computed in: so the
//! numbers of a query depend on nothing but its own sequence.

use super::kernel::Kernel;
use super::vector::Vector;
use super::view::RowsMut;
use crate::gemm::Element;

/// Words of the left operand: `start[row · row_stride + inner · inner_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) start: *const f32,
    pub(super) row_stride: usize,
    pub(super) inner_stride: usize,
}

/// Words of the right operand: `start[inner · stride + column]`.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub(super) start: *const f32,
    pub(super) stride: usize,
}

/// Rows are computed in groups of this many at least; the left operand must be readable so far.
pub(super) const ROW_GROUP: usize = 4;

/// `R` rows of `C` registers, held over the whole inner dimension.
///
/// # Safety
/// The operands have `steps` words along the inner dimension, `R` rows and `C` registers of columns, and the processor
/// has the instructions of `K`.
#[inline(always)]
unsafe fn tile<K: Kernel, const R: usize, const C: usize>(
    a: Left,
    b: Right,
    steps: usize,
) -> [[K::Vector; C]; R] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[K::Vector::splat(0.0); C]; R];
        for step in 0..steps {
            let mut right = [K::Vector::splat(0.0); C];
            for c in 0..C {
                right[c] = K::Vector::load(b.start.add(step * b.stride + c * K::Vector::LANES));
            }
            for r in 0..R {
                let left = K::Vector::splat(*a.start.add(r * a.row_stride + step * a.inner_stride));
                for c in 0..C {
                    sums[r][c] = K::multiply_add(left, right[c], sums[r][c]);
                }
            }
        }
        sums
    }
}

/// Takes the sums of a tile.
pub(super) trait Sink<K: Kernel> {
    /// # Safety
    /// The rows from `row` on and the columns from `column` on lie in what was promised for the whole product, rows
    /// beyond the last excepted; the processor has the instructions of `K`.
    unsafe fn put<const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        sums: [[K::Vector; C]; R],
    );
}

/// `rows` rows, computed in groups of [`ROW_GROUP`], and at least `columns` columns, computed in whole registers.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) steps: usize,
    pub(super) columns: usize,
}

/// Gives `a · b` to the sink.
///
/// # Safety
/// The operands are as large as `size` says, rounded up; so is what the sink writes; the processor has the instructions
/// of `K`.
#[inline(always)]
pub(super) unsafe fn product<K: Kernel, S: Sink<K>>(a: Left, b: Right, size: Size, sink: &S) {
    let lanes = K::Vector::LANES;
    let mut column = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while column < size.columns {
            let right = Right { start: b.start.add(column), stride: b.stride };
            let registers = (size.columns - column).div_ceil(lanes);
            if K::Vector::REGISTERS >= 32 && registers >= 4 {
                strip::<K, S, 4, 4>(a, right, size, column, sink);
                column += 4 * lanes;
            } else if registers >= 2 {
                if K::Vector::REGISTERS >= 32 {
                    strip::<K, S, 8, 2>(a, right, size, column, sink);
                } else {
                    strip::<K, S, 4, 2>(a, right, size, column, sink);
                }
                column += 2 * lanes;
            } else {
                strip::<K, S, 8, 1>(a, right, size, column, sink);
                column += lanes;
            }
        }
    }
}

/// `C` registers of columns.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn strip<K: Kernel, S: Sink<K>, const TALL: usize, const C: usize>(
    a: Left,
    b: Right,
    size: Size,
    column: usize,
    sink: &S,
) {
    let left = |row: usize| {
        // SAFETY: a row of the operand, by the caller's promise.
        Left { start: unsafe { a.start.add(row * a.row_stride) }, ..a }
    };
    let mut row = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while row + TALL <= size.rows {
            sink.put(row, column, tile::<K, TALL, C>(left(row), b, size.steps));
            row += TALL;
        }
        while row < size.rows {
            sink.put(row, column, tile::<K, ROW_GROUP, C>(left(row), b, size.steps));
            row += ROW_GROUP;
        }
    }
}

/// Sums to rows of scratch memory, which has room for the last group of rows.
pub(super) struct ToScratch {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
}

impl<K: Kernel> Sink<K> for ToScratch {
    #[inline(always)]
    unsafe fn put<const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        sums: [[K::Vector; C]; R],
    ) {
        for r in 0..R {
            for c in 0..C {
                // SAFETY: the trait's contract.
                unsafe {
                    let position = (row + r) * self.stride + column + c * K::Vector::LANES;
                    sums[r][c].store(self.start.add(position));
                }
            }
        }
    }
}

/// Writes sums to rows of an output, each multiplied by the factor of its row, except for rows beyond the last.
///
/// # Safety
/// Nobody else touches these elements meanwhile; the processor has the instructions of `K`.
#[inline(always)]
pub(super) unsafe fn write<K: Kernel, const R: usize, const C: usize>(
    target: &RowsMut<K::Element>,
    row: usize,
    column: usize,
    sums: [[K::Vector; C]; R],
    factor: impl Fn(usize) -> f32,
) {
    for r in 0..R {
        if row + r >= target.rows {
            return;
        }
        // SAFETY: the caller's promise; the row exists, and no column beyond the last is written.
        unsafe {
            let start = target.row(row + r);
            let factor = K::Vector::splat(factor(row + r));
            for c in 0..C {
                let column = column + c * K::Vector::LANES;
                let count = target.width.saturating_sub(column).min(K::Vector::LANES);
                if count > 0 {
                    K::store(sums[r][c].times(factor), start.add(column), count);
                }
            }
        }
    }
}

/// Sums to an output, each row multiplied by its factor.
pub(super) struct ScaledRows<'a, E> {
    pub(super) rows: RowsMut<E>,
    pub(super) factors: &'a [f32],
}

impl<E: Element, K: Kernel<Element = E>> Sink<K> for ScaledRows<'_, E> {
    #[inline(always)]
    unsafe fn put<const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        sums: [[K::Vector; C]; R],
    ) {
        // SAFETY: the trait's contract.
        unsafe { write::<K, R, C>(&self.rows, row, column, sums, |row| self.factors[row]) }
    }
}

/// Sums over several products: collected in scratch memory, and with the last one written, multiplied by a factor.
pub(super) struct Collected<E> {
    pub(super) sums: ToScratch,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    pub(super) rows: RowsMut<E>,
    pub(super) factor: f32,
}

impl<E: Element, K: Kernel<Element = E>> Sink<K> for Collected<E> {
    #[inline(always)]
    unsafe fn put<const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        mut sums: [[K::Vector; C]; R],
    ) {
        // SAFETY: the trait's contract; a sum that is not the first was stored at the same place.
        unsafe {
            if !self.is_first {
                for r in 0..R {
                    for c in 0..C {
                        let position = (row + r) * self.sums.stride + column + c * K::Vector::LANES;
                        sums[r][c] = K::Vector::load(self.sums.start.add(position)).plus(sums[r][c]);
                    }
                }
            }
            if self.is_last {
                write::<K, R, C>(&self.rows, row, column, sums, |_| self.factor);
            } else {
                Sink::<K>::put(&self.sums, row, column, sums);
            }
        }
    }
}
