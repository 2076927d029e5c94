//! How do the rows of a head become operands?
//!
//! At their distance in the batch rows of a power of two features compete for the same cache sets, and a product wants
//! its words side by side: so every operand is copied once.

use super::View;
use super::kernel::Kernel;
use super::vector::Vector;
use std::marker::PhantomData;

/// The sizes of operands made of rows of `head_dim` elements.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) head_dim: usize,
    /// Inner words of a row.
    pub(super) steps: usize,
    /// Distance of rows with words along them.
    pub(super) along: usize,
    /// Distance of rows with words across them.
    pub(super) across: usize,
}

impl Layout {
    #[inline(always)]
    pub(super) fn new<K: Kernel>(head_dim: usize) -> Self {
        let registers = head_dim.div_ceil(K::Vector::LANES * K::STEP);
        Self {
            head_dim,
            steps: head_dim.div_ceil(K::STEP),
            along: registers * K::Vector::LANES,
            across: registers * K::Vector::LANES * K::STEP,
        }
    }
}

/// One head of some rows of a view.
pub(super) struct Rows<'a, E> {
    start: *const E,
    stride: usize,
    pub(super) count: usize,
    view: PhantomData<&'a [E]>,
}

impl<'a, E> Rows<'a, E> {
    /// The columns `column..column + width` of the rows from `first` on.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a slice and a number")]
    pub(super) fn new(view: View<'a, E>, first: usize, count: usize, column: usize, width: usize) -> Self {
        let start = first * view.stride + column;
        assert!(
            count == 0 || start + (count - 1) * view.stride + width <= view.values.len(),
            "rows outside the view"
        );
        Self {
            start: view.values.as_ptr().wrapping_add(start),
            stride: view.stride,
            count,
            view: PhantomData,
        }
    }

    /// The rows from `first` on, at most `count`.
    #[inline(always)]
    pub(super) fn part(&self, first: usize, count: usize) -> Self {
        Self {
            start: self.start.wrapping_add(first * self.stride),
            stride: self.stride,
            count: count.min(self.count.saturating_sub(first)),
            view: PhantomData,
        }
    }

    /// Null beyond the last.
    #[inline(always)]
    fn row(&self, row: usize) -> *const E {
        if row < self.count { self.start.wrapping_add(row * self.stride) } else { std::ptr::null() }
    }
}

/// The words along each row: `[rows, layout.along]`.
///
/// # Safety
/// There is room, and the processor has the instructions of `K`.
#[inline(always)]
pub(super) unsafe fn along<K: Kernel>(rows: &Rows<K::Element>, layout: Layout, target: *mut f32) {
    let width = K::Vector::LANES * K::STEP;
    for row in 0..rows.count {
        let source = rows.row(row);
        for (register, first) in (0..layout.head_dim).step_by(width).enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let words = K::load(source.add(first), (layout.head_dim - first).min(width));
                words.store(target.add(row * layout.along + register * K::Vector::LANES));
            }
        }
    }
}

/// The words across the rows: `[rows / STEP, layout.across]`; a missing last row counts as zeros.
///
/// # Safety
/// As [`along`]; there is room for an even number of rows.
#[inline(always)]
pub(super) unsafe fn across<K: Kernel>(rows: &Rows<K::Element>, layout: Layout, target: *mut f32) {
    let width = K::Vector::LANES * K::STEP;
    for row in (0..rows.count).step_by(2) {
        let pair = [rows.row(row), rows.row(row + 1)];
        for first in (0..layout.head_dim).step_by(width) {
            let count = (layout.head_dim - first).min(width);
            // SAFETY: the caller's promise.
            unsafe {
                let pair = pair.map(|row| if row.is_null() { row } else { row.add(first) });
                let target = target.add(row / K::STEP * layout.across + first);
                K::pack_rows(pair, count, target, layout.across);
            }
        }
    }
}

/// The words along the rows, transposed: `[layout.steps, width]`, `width` being a multiple of the lanes that is not less
/// than the number of rows; missing rows count as zeros.
///
/// # Safety
/// As [`along`]; there is room for `layout.along` lines.
#[inline(always)]
pub(super) unsafe fn transposed<K: Kernel>(
    rows: &Rows<K::Element>,
    layout: Layout,
    width: usize,
    target: *mut f32,
) {
    let lanes = K::Vector::LANES;
    for first_row in (0..width).step_by(lanes) {
        for (register, first) in (0..layout.head_dim).step_by(lanes * K::STEP).enumerate() {
            let count = (layout.head_dim - first).min(lanes * K::STEP);
            // SAFETY: the caller's promise.
            unsafe {
                let mut square = K::Vector::square();
                for lane in 0..lanes {
                    let row = rows.row(first_row + lane);
                    if !row.is_null() {
                        square.as_mut()[lane] = K::load(row.add(first), count);
                    }
                }
                let square = K::Vector::transpose(square);
                for lane in 0..lanes {
                    let line = register * lanes + lane;
                    square.as_ref()[lane].store(target.add(line * width + first_row));
                }
            }
        }
    }
}

/// The products of rows with each other, for `LANES` rows from `first` on; missing rows give 0.
///
/// # Safety
/// As [`along`].
#[inline(always)]
pub(super) unsafe fn row_products<K: Kernel>(
    a: &Rows<K::Element>,
    b: &Rows<K::Element>,
    layout: Layout,
    first: usize,
) -> K::Vector {
    let width = K::Vector::LANES * K::STEP;
    // SAFETY: the caller's promise.
    unsafe {
        let mut square = K::Vector::square();
        for lane in 0..K::Vector::LANES {
            let (a, b) = (a.row(first + lane), b.row(first + lane));
            if a.is_null() {
                continue;
            }
            let mut sum = K::Vector::splat(0.0);
            for first in (0..layout.head_dim).step_by(width) {
                let count = (layout.head_dim - first).min(width);
                sum = K::multiply_add(K::load(a.add(first), count), K::load(b.add(first), count), sum);
            }
            square.as_mut()[lane] = sum;
        }
        K::Vector::sums(square)
    }
}
