//! In which order are the tiles of a product computed?

use super::packed::Packed;
use super::step::{PlainBf16, PlainF32};
use super::tile::{AHEAD_TILES, Kernel, LeftRows, Sums, fetched_words};
#[cfg(target_arch = "x86_64")]
use super::x86::{Bf16On512, F32On256, F32On512, WidenedOn256, WidenedOn512};
use super::{Element, Precision, TILE_COLUMNS};
#[cfg(target_arch = "x86_64")]
use crate::dispatch::Level;
use crate::dispatch::Path;

/// Bytes of left rows that are multiplied with one panel after the other: a quarter of a second-level cache of 1 MiB,
/// which also holds a panel and the next one. From 128 KiB to 1 MiB no difference was measured.
const LEFT_BYTES: usize = 256 << 10;

/// What happens with finished sums.
///
/// Implementations are `#[inline(always)]` plain loops: they are compiled into the function that enables the
/// instruction set, where runs of [`TILE_COLUMNS`] have a constant length.
pub trait Epilogue {
    /// Takes the sums of output row `row`, counted from the first row of the chunk, from `column` on:
    /// [`TILE_COLUMNS`] of them, fewer at the right edge. Called once for each run, on the calling thread.
    fn store(&mut self, row: usize, column: usize, values: &mut [f32]);

    /// Announces [`store`](Self::store), some microseconds before: a chance to fetch what it will read.
    #[inline(always)]
    fn prepare(&mut self, row: usize, column: usize) {
        let _ = (row, column);
    }
}

/// `epilogue(left · right)` for a chunk of rows, on the calling thread.
///
/// # Shapes
/// `left` `[rows, left_stride]`, of which the first `right.inner()` columns are multiplied; the last row may end there.
/// Its elements have the precision `right` was packed in.
pub fn product_rows<E: Element>(
    left: &[E],
    left_stride: usize,
    rows: usize,
    right: &Packed,
    epilogue: &mut impl Epilogue,
) {
    product_rows_on(Path::best(), left, left_stride, rows, right, epilogue);
}

pub(super) fn product_rows_on<E: Element>(
    path: Path,
    left: &[E],
    left_stride: usize,
    rows: usize,
    right: &Packed,
    epilogue: &mut impl Epilogue,
) {
    let inner = right.inner();
    assert_eq!(right.precision(), E::PRECISION, "both operands of a product need one precision");
    assert!(left_stride >= inner || rows <= 1, "the rows of the left operand overlap");
    assert!(rows == 0 || (rows - 1) * left_stride + inner <= left.len(), "the left operand is too short");
    let size = size_of::<E>();
    let left = LeftRows {
        first: left.as_ptr().cast(),
        stride: left_stride * size,
        count: rows,
        words: inner * size / 4,
        half: !(inner * size).is_multiple_of(4),
    };
    let panels = Panels { words: right.words(), columns: right.columns() };
    let sink = &mut Direct(epilogue);
    // SAFETY: the rows were checked, and `right` has as many words as its inner dimension needs.
    unsafe { multiply_on(path, E::PRECISION, left, panels, sink) }
}

/// `epilogue(left · right)` for rows of `words` words each, `stride` words apart.
pub(super) fn product_of_words(
    path: Path,
    left: &[u32],
    stride: usize,
    words: usize,
    rows: usize,
    right: &Packed,
    epilogue: &mut impl Epilogue,
) {
    assert_eq!(words, right.precision().words(right.inner()), "inner dimensions of the product differ");
    assert!(rows == 0 || (rows - 1) * stride + words <= left.len(), "the left operand is too short");
    let left = LeftRows { first: left.as_ptr().cast(), stride: 4 * stride, count: rows, words, half: false };
    let panels = Panels { words: right.words(), columns: right.columns() };
    // SAFETY: the rows were checked, and `right` has as many words as its inner dimension needs.
    unsafe { multiply_on(path, right.precision(), left, panels, &mut Direct(epilogue)) }
}

/// [`multiply`] with the tiles of an instruction set and a precision.
///
/// # Safety
/// As for [`multiply`].
unsafe fn multiply_on<S: Sink<f32>>(
    path: Path,
    precision: Precision,
    left: LeftRows,
    panels: Panels,
    sink: &mut S,
) {
    // SAFETY: the caller's promise; a `Path` says that the processor has the instructions.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        match (path.level(), precision) {
            (Level::Avx512, Precision::F32) => return on_avx512::<F32On512, S>(left, panels, sink),
            (Level::Avx512, Precision::Bf16) if path.has_bf16() => {
                return on_avx512_bf16::<Bf16On512, S>(left, panels, sink);
            }
            (Level::Avx512, Precision::Bf16) => return on_avx512::<WidenedOn512, S>(left, panels, sink),
            (Level::Avx2, Precision::F32) => return on_avx2::<F32On256, S>(left, panels, sink),
            (Level::Avx2, Precision::Bf16) => return on_avx2::<WidenedOn256, S>(left, panels, sink),
            (Level::Baseline, _) => {}
        }
        let _ = path;
        match precision {
            Precision::F32 => multiply::<PlainF32, S>(left, panels, sink),
            Precision::Bf16 => multiply::<PlainBf16, S>(left, panels, sink),
        }
    }
}

/// Makes [`multiply`] compiled for an instruction set, with the sink inlined into it.
#[cfg(target_arch = "x86_64")]
macro_rules! multiply_compiled {
    ($name:ident, $features:literal) => {
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name<K: Kernel, S: Sink<K::Scalar>>(
            left: LeftRows,
            panels: Panels,
            sink: &mut S,
        ) {
            // SAFETY: the caller's promise.
            unsafe { multiply::<K, S>(left, panels, sink) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
multiply_compiled!(on_avx512_bf16, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16");
#[cfg(target_arch = "x86_64")]
multiply_compiled!(on_avx512_vnni, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
#[cfg(target_arch = "x86_64")]
multiply_compiled!(on_avx512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
multiply_compiled!(on_avx2, "avx2,fma");

/// The right operand: panels of 64 columns, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) words: &'a [u32],
    pub(super) columns: usize,
}

/// Takes the sums of a row of a tile, in whatever kind of number they are.
pub(super) trait Sink<T> {
    fn take(&mut self, row: usize, column: usize, sums: &mut [T]);
    fn prepare(&mut self, row: usize, column: usize);
}

/// Sums that are the output as they are.
struct Direct<'a, P>(&'a mut P);

impl<P: Epilogue> Sink<f32> for Direct<'_, P> {
    #[inline(always)]
    fn take(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        self.0.store(row, column, sums);
    }
    #[inline(always)]
    fn prepare(&mut self, row: usize, column: usize) {
        self.0.prepare(row, column);
    }
}

/// All tiles of `left · panels`: as many rows as the cache holds, then panel after panel.
///
/// # Safety
/// `left` are readable rows, the panels have words for each (also each half) word of a row, and the processor has the
/// kernel's instructions.
#[inline(always)]
pub(super) unsafe fn multiply<K: Kernel, S: Sink<K::Scalar>>(left: LeftRows, panels: Panels, sink: &mut S) {
    let depth = left.words + usize::from(left.half);
    let count = panels.columns.div_ceil(TILE_COLUMNS);
    assert_eq!(panels.words.len(), count * depth * TILE_COLUMNS, "panels of another product");
    let mut sums = Sums([[K::Scalar::default(); TILE_COLUMNS]; _]);
    let block = (LEFT_BYTES / (4 * depth).max(1)).max(1).next_multiple_of(K::ROWS);
    for first in (0..left.count).step_by(block) {
        let end = left.count.min(first + block);
        for panel in 0..count {
            let column = panel * TILE_COLUMNS;
            let width = TILE_COLUMNS.min(panels.columns - column);
            let next = (panel + 1) % count * depth * TILE_COLUMNS;
            for (index, row) in (first..end).step_by(K::ROWS).enumerate() {
                let rows = K::ROWS.min(end - row);
                for row in row..row + rows {
                    sink.prepare(row, column);
                }
                // SAFETY: the rows and the panel are parts of those the caller promised.
                unsafe {
                    let words = panels.words.as_ptr();
                    let ahead = words.wrapping_add(next + index % AHEAD_TILES * fetched_words(depth));
                    K::tile(left.part(row, rows), words.add(column * depth), ahead, &mut sums);
                }
                for (offset, sums) in sums.0[..rows].iter_mut().enumerate() {
                    if width == TILE_COLUMNS {
                        sink.take(row + offset, column, sums);
                    } else {
                        sink.take(row + offset, column, &mut sums[..width]);
                    }
                }
            }
        }
    }
}
