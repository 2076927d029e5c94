//! How is a tile of a few rows and 64 columns computed?
//!
//! The sums stay in registers over the whole inner dimension. Nothing is cut there, so an output is one chain of
//! multiply-adds in the order of the inner dimension, and its bits do not depend on how many rows a tile has.

use super::TILE_COLUMNS;
use super::packed::LINE;
use super::step::{PlainBf16, PlainF32, PlainInt8, Step};

/// Rows in the tallest tile of any instruction set.
pub(super) const MAX_ROWS: usize = 6;

/// Words along the inner dimension after which a cache line of the next panel is fetched.
const FETCH_EVERY: usize = 4;

/// Tiles that fetch a whole panel between them.
pub(super) const AHEAD_TILES: usize = FETCH_EVERY * TILE_COLUMNS / LINE;

/// How much memory a tile of `depth` words along the inner dimension fetches ahead.
pub(super) fn fetched_words(depth: usize) -> usize {
    depth / FETCH_EVERY * LINE
}

/// Brings a cache line into the second-level cache. Any address is allowed.
#[inline(always)]
fn fetch_line(line: *const u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is part of the baseline and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(line.cast());
    }
    let _ = line;
}

/// Brings what will be read or written soon into the caches, where the architecture can: for
/// [`Epilogue::prepare`](super::Epilogue::prepare). Does not change any value.
#[inline(always)]
pub fn fetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for offset in (0..size_of_val(values)).step_by(64) {
            // SAFETY: the instruction is part of the baseline and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast::<i8>().wrapping_add(offset)) };
        }
    }
    let _ = values;
}

/// Some rows of the left operand, where they lie in memory.
#[derive(Clone, Copy)]
pub(super) struct LeftRows {
    /// The first row.
    pub(super) first: *const u8,
    /// Bytes from row to row.
    pub(super) stride: usize,
    /// Number of rows.
    pub(super) count: usize,
    /// Whole words of a row.
    pub(super) words: usize,
    /// Whether half a word follows them.
    pub(super) half: bool,
}

impl LeftRows {
    /// `count` rows from `first` on.
    ///
    /// # Safety
    /// `first + count` must not exceed the number of rows.
    #[inline(always)]
    pub(super) unsafe fn part(self, first: usize, count: usize) -> Self {
        debug_assert!(first + count <= self.count);
        // SAFETY: the caller's promise.
        Self { first: unsafe { self.first.add(first * self.stride) }, count, ..self }
    }
}

/// The sums of a tile, row after row.
#[repr(C, align(64))]
pub(super) struct Sums<T>(pub(super) [[T; TILE_COLUMNS]; MAX_ROWS]);

/// A way to compute tiles.
pub(super) trait Kernel: Step {
    /// Rows of a full tile, at most [`MAX_ROWS`].
    const ROWS: usize;

    /// Computes `left · panel`; `ahead` is where the memory begins that is wanted next.
    ///
    /// # Safety
    /// `left` must be at most `ROWS` readable rows, `panel` 64 readable words for each (also each half) word of
    /// a row, and the processor must have the kernel's instructions.
    unsafe fn tile(left: LeftRows, panel: *const u32, ahead: *const u32, sums: &mut Sums<Self::Scalar>);
}

/// Calls [`tile`] for the number of rows at hand, so that their sums are in registers.
macro_rules! tile_of_rows {
    ($step:ty, $width:literal, [$($rows:literal)*], $left:expr, $panel:expr, $ahead:expr, $sums:expr) => {
        match $left.count {
            $($rows => $crate::gemm::tile::tile::<$step, $rows, $width>($left, $panel, $ahead, $sums),)*
            _ => {}
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use tile_of_rows;

/// The step of `R` rows and `C` registers of columns.
///
/// # Safety
/// A word is readable in every row `position` bytes after its start, and `C` registers from `right` on.
#[inline(always)]
unsafe fn step<S: Step, const R: usize, const C: usize>(
    rows: &[*const u8; R],
    position: usize,
    right: *const u32,
    sums: &mut [[S::Sums; C]; R],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut columns = [S::load(right); C];
        for c in 1..C {
            columns[c] = S::load(right.add(c * S::LANES));
        }
        for r in 0..R {
            let left = S::splat(rows[r].add(position).cast::<u32>().read_unaligned());
            for c in 0..C {
                sums[r][c] = S::multiply_add(left, columns[c], sums[r][c]);
            }
        }
    }
}

/// `R` rows, in strips of `C` registers of columns.
///
/// # Safety
/// See [`Kernel::tile`]; `left.count` is `R`.
#[inline(always)]
pub(super) unsafe fn tile<S: Step, const R: usize, const C: usize>(
    left: LeftRows,
    panel: *const u32,
    ahead: *const u32,
    sums: &mut Sums<S::Scalar>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [left.first; R];
        for r in 1..R {
            rows[r] = left.first.add(r * left.stride);
        }
        for column in (0..TILE_COLUMNS).step_by(C * S::LANES) {
            let panel = panel.add(column);
            let mut totals = [[S::zero(); C]; R];
            let mut ahead = ahead;
            let mut word = 0;
            while word + FETCH_EVERY <= left.words {
                fetch_line(ahead);
                ahead = ahead.wrapping_add(LINE);
                step::<S, R, C>(&rows, 4 * word, panel.add(word * TILE_COLUMNS), &mut totals);
                step::<S, R, C>(&rows, 4 * word + 4, panel.add((word + 1) * TILE_COLUMNS), &mut totals);
                step::<S, R, C>(&rows, 4 * word + 8, panel.add((word + 2) * TILE_COLUMNS), &mut totals);
                step::<S, R, C>(&rows, 4 * word + 12, panel.add((word + 3) * TILE_COLUMNS), &mut totals);
                word += FETCH_EVERY;
            }
            while word < left.words {
                step::<S, R, C>(&rows, 4 * word, panel.add(word * TILE_COLUMNS), &mut totals);
                word += 1;
            }
            if left.half {
                let halves =
                    rows.map(|row| u32::from(row.add(4 * left.words).cast::<u16>().read_unaligned()));
                let rows: [*const u8; R] = std::array::from_fn(|r| (&raw const halves[r]).cast());
                step::<S, R, C>(&rows, 0, panel.add(left.words * TILE_COLUMNS), &mut totals);
            }
            for r in 0..R {
                for c in 0..C {
                    S::store(totals[r][c], sums.0[r].as_mut_ptr().add(column + c * S::LANES));
                }
            }
        }
    }
}

/// Implements [`Kernel`] for the baseline: as many sums as there are registers for.
macro_rules! plain_kernel {
    ($step:ty) => {
        impl Kernel for $step {
            const ROWS: usize = if cfg!(target_arch = "aarch64") { 6 } else { 4 };

            unsafe fn tile(
                left: LeftRows,
                panel: *const u32,
                ahead: *const u32,
                sums: &mut Sums<Self::Scalar>,
            ) {
                // SAFETY: the trait's contract.
                unsafe {
                    if cfg!(target_arch = "aarch64") {
                        tile_of_rows!($step, 4, [1 2 3 4 5 6], left, panel, ahead, sums);
                    } else {
                        tile_of_rows!($step, 2, [1 2 3 4], left, panel, ahead, sums);
                    }
                }
            }
        }
    };
}

plain_kernel!(PlainF32);
plain_kernel!(PlainBf16);
plain_kernel!(PlainInt8);
