//! The right operand of a product, in the order in which the tiles read it.

use super::packing::{interleave, transpose};
use super::{Element, Precision, TILE_COLUMNS};
use crate::dispatch::Path;
use crate::parallel::zeros;
use rayon::prelude::*;
use std::cell::Cell;

/// Numbers in a cache line.
pub(super) const LINE: usize = 16;

/// A cache line of words, so that a buffer begins at one.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line([u32; LINE]);

/// Words in memory that begins at a cache line and is used again.
#[derive(Clone, Default)]
pub(super) struct Words {
    lines: Vec<Line>,
}

impl Words {
    /// Makes room for `count` words (a multiple of a cache line's), whose values are left as they are.
    pub(super) fn resize(&mut self, count: usize) {
        debug_assert_eq!(count % LINE, 0);
        if self.lines.is_empty() {
            self.lines = zeros(count / LINE);
        } else {
            self.lines.resize(count / LINE, Line::default());
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        // SAFETY: a `Line` is 16 words without padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE) }
    }

    pub(super) fn as_mut_bytes(&mut self) -> &mut [u8] {
        // SAFETY: as above, a word being 4 bytes.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), 4 * self.lines.len() * LINE) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u32] {
        // SAFETY: as above; borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LINE) }
    }
}

/// The right operand B `[inner, columns]` of a product, in the order in which the tiles read it: panels of 64 columns
/// (the last one filled up with zeros), in a panel one row of 64 words for every word of the inner dimension, a word
/// being one f32 or two bf16. Packing again uses the same memory.
#[derive(Clone, Default)]
pub struct Packed {
    words: Words,
    inner: usize,
    columns: usize,
    precision: Option<Precision>,
}

impl Packed {
    /// Length of the dimension that is summed over.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Columns of the product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The precision of the operand; f32 before anything was packed.
    pub fn precision(&self) -> Precision {
        self.precision.unwrap_or(Precision::F32)
    }

    /// Bytes that hold the operand.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }

    pub(super) fn words(&self) -> &[u32] {
        self.words.as_slice()
    }

    /// Packs B = `source`ᵀ: a weight `[out, in]` as the forward pass uses it. In parallel over panels.
    ///
    /// # Shapes
    /// `source` `[columns, inner]`, row-major.
    pub fn pack_transposed(&mut self, source: &[f32], columns: usize, inner: usize, precision: Precision) {
        self.pack_transposed_stacked(&[source], &[columns], inner, precision);
    }

    /// Packs B = `source`: a weight `[out, in]` as the gradient of the input uses it. In parallel over panels.
    ///
    /// # Shapes
    /// `source` `[inner, columns]`, row-major.
    pub fn pack(&mut self, source: &[f32], inner: usize, columns: usize, precision: Precision) {
        self.pack_stacked(&[source], &[inner], columns, precision);
    }

    /// [`pack_transposed`](Self::pack_transposed) of several weights (query, key, value), whose columns follow each
    /// other.
    ///
    /// # Shapes
    /// `sources[i]` `[columns_each[i], inner]`, row-major.
    pub fn pack_transposed_stacked(
        &mut self,
        sources: &[&[f32]],
        columns_each: &[usize],
        inner: usize,
        precision: Precision,
    ) {
        let rows = stacked_rows(sources, columns_each, inner);
        self.pack_columns(Path::best(), &rows, inner, precision);
    }

    /// [`pack`](Self::pack) of several weights, whose inner dimensions follow each other.
    ///
    /// # Shapes
    /// `sources[i]` `[inner_each[i], columns]`, row-major.
    pub fn pack_stacked(
        &mut self,
        sources: &[&[f32]],
        inner_each: &[usize],
        columns: usize,
        precision: Precision,
    ) {
        let rows = stacked_rows(sources, inner_each, columns);
        self.pack_rows(Path::best(), &rows, columns, precision);
    }

    /// Packs the operand whose columns are `rows`, each of `inner` numbers.
    pub(super) fn pack_columns(&mut self, path: Path, rows: &[&[f32]], inner: usize, precision: Precision) {
        let depth = self.reshape(inner, rows.len(), precision);
        self.words.as_mut_slice().par_chunks_mut((depth * TILE_COLUMNS).max(1)).enumerate().for_each(
            |(panel, words)| {
                let first = panel * TILE_COLUMNS;
                let rows = &rows[first..rows.len().min(first + TILE_COLUMNS)];
                transpose(path, rows, precision, words);
            },
        );
    }

    /// Packs the operand whose rows are `rows`, each of at least `columns` numbers.
    pub(super) fn pack_rows<E: Element>(
        &mut self,
        path: Path,
        rows: &[&[E]],
        columns: usize,
        precision: Precision,
    ) {
        let depth = self.reshape(rows.len(), columns, precision);
        self.words.as_mut_slice().par_chunks_mut((depth * TILE_COLUMNS).max(1)).enumerate().for_each(
            |(panel, words)| {
                let first = panel * TILE_COLUMNS;
                interleave(path, rows, first..columns.min(first + TILE_COLUMNS), precision, words);
            },
        );
    }

    /// Takes over new sizes and returns the number of words along the inner dimension.
    fn reshape(&mut self, inner: usize, columns: usize, precision: Precision) -> usize {
        let depth = precision.words(inner);
        (self.inner, self.columns, self.precision) = (inner, columns, Some(precision));
        self.words.resize(columns.div_ceil(TILE_COLUMNS) * depth * TILE_COLUMNS);
        depth
    }
}

/// The rows of several `[rows_each[i], length]` matrices.
fn stacked_rows<'a>(sources: &[&'a [f32]], rows_each: &[usize], length: usize) -> Vec<&'a [f32]> {
    assert_eq!(sources.len(), rows_each.len(), "every stacked weight needs its size");
    let mut all = Vec::with_capacity(rows_each.iter().sum());
    for (source, rows) in sources.iter().zip(rows_each) {
        assert_eq!(source.len(), rows * length, "a weight to pack must be [{rows}, {length}]");
        all.extend((0..*rows).map(|row| &source[row * length..][..length]));
    }
    all
}

/// The most memory that a thread keeps for its next operands.
const KEPT_BYTES: usize = 32 << 20;

/// Runs `work` with `count` operands to pack, whose memory the thread keeps: pages that are fresh at every call cost
/// several per cent of a product.
pub(crate) fn with_scratch<R>(count: usize, work: impl FnOnce(&mut [Packed]) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Vec<Packed>> = const { Cell::new(Vec::new()) };
    }
    // Taken, not borrowed: while `work` waits for other threads, this one may begin another product.
    let mut packed = SCRATCH.take();
    packed.resize_with(count.max(packed.len()), Packed::default);
    let result = work(&mut packed[..count]);
    if packed.iter().map(Packed::bytes).sum::<usize>() <= KEPT_BYTES {
        SCRATCH.set(packed);
    }
    result
}
