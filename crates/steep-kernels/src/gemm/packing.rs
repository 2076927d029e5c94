//! How do numbers get into the order in which the tiles read them?
//!
//! These are plain loops, which the compiler vectorises where that needs no shuffling; AVX-512 has its own
//! (`packing_x86.rs`). All of them give the same words.

#[cfg(target_arch = "x86_64")]
use super::packing_x86;
use super::{Element, Precision, TILE_COLUMNS};
#[cfg(target_arch = "x86_64")]
use crate::dispatch::Level;
use crate::dispatch::{Path, per_path};
use std::ops::Range;

/// Rows and columns of the blocks in which words are transposed.
pub(super) const SIDE: usize = 16;

impl Precision {
    /// Numbers in a word of 32 bits.
    pub(super) fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }

    /// Words that hold `count` numbers.
    pub(super) fn words(self, count: usize) -> usize {
        count.div_ceil(self.per_word())
    }
}

/// The bf16 nearest to `low` below the one nearest to `high`.
#[inline(always)]
fn pair<E: Element>(low: E, high: E) -> u32 {
    low.upper() >> 16 | high.upper()
}

/// The words of one or two rows, column by column: one number of each row makes a word.
#[inline(always)]
fn words_of_columns<E: Element>(
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    words: &mut [u32],
) {
    let low = &rows[0][columns.clone()];
    match (precision, rows.get(1)) {
        (Precision::F32, _) => {
            for (word, low) in words.iter_mut().zip(low) {
                *word = low.to_f32().to_bits();
            }
        }
        (Precision::Bf16, Some(high)) => {
            for ((word, low), high) in words.iter_mut().zip(low).zip(&high[columns]) {
                *word = pair(*low, *high);
            }
        }
        (Precision::Bf16, None) => {
            for (word, low) in words.iter_mut().zip(low) {
                *word = pair(*low, E::default());
            }
        }
    }
}

/// The words of one row: numbers that lie side by side make a word.
#[inline(always)]
fn words_of_row(row: &[f32], precision: Precision, words: &mut [u32]) {
    match precision {
        Precision::F32 => {
            for (word, value) in words.iter_mut().zip(row) {
                *word = value.to_bits();
            }
        }
        Precision::Bf16 => {
            let pairs = row.chunks_exact(2);
            let odd = pairs.remainder();
            for (word, numbers) in words.iter_mut().zip(pairs) {
                *word = pair(numbers[0], numbers[1]);
            }
            if let [last] = odd {
                words[row.len() / 2] = pair(*last, 0.0);
            }
        }
    }
}

/// One panel from rows of the operand: the numbers in `columns` of every row.
pub(super) fn interleave<E: Element>(
    path: Path,
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    panel: &mut [u32],
) {
    assert!(rows.iter().all(|row| columns.end <= row.len()), "a row to pack is too short");
    #[cfg(target_arch = "x86_64")]
    if path.level() == Level::Avx512 {
        return packing_x86::interleave(path, rows, columns, precision, panel);
    }
    interleave_per_path(path, rows, columns, precision, panel);
}

per_path!(fn interleave_per_path<E: Element>(
    rows: &[&[E]], columns: Range<usize>, precision: Precision, panel: &mut [u32],
) = interleave_body);

#[inline(always)]
fn interleave_body<E: Element>(
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    panel: &mut [u32],
) {
    let width = columns.len();
    for (words, rows) in panel.chunks_exact_mut(TILE_COLUMNS).zip(rows.chunks(precision.per_word())) {
        if width == TILE_COLUMNS {
            words_of_columns(rows, columns.start..columns.start + TILE_COLUMNS, precision, words);
        } else {
            words_of_columns(rows, columns.clone(), precision, words);
            words[width..].fill(0);
        }
    }
}

/// One panel from columns of the operand, `columns[i]` being column `i`, at most 64 of one length.
pub(super) fn transpose(path: Path, columns: &[&[f32]], precision: Precision, panel: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if path.level() == Level::Avx512 {
        return packing_x86::transpose(path, columns, precision, panel);
    }
    transpose_per_path(path, columns, precision, panel);
}

per_path!(fn transpose_per_path(columns: &[&[f32]], precision: Precision, panel: &mut [u32]) = transpose_body);

#[inline(always)]
fn transpose_body(columns: &[&[f32]], precision: Precision, panel: &mut [u32]) {
    let numbers = SIDE * precision.per_word();
    for lane in (0..TILE_COLUMNS).step_by(SIDE) {
        let columns = &columns[lane.min(columns.len())..columns.len().min(lane + SIDE)];
        for (index, words) in panel.chunks_mut(SIDE * TILE_COLUMNS).enumerate() {
            let mut block = [[0; SIDE]; SIDE];
            for (row, column) in block.iter_mut().zip(columns) {
                let rest = &column[index * numbers..];
                words_of_row(&rest[..numbers.min(rest.len())], precision, row);
            }
            for (position, words) in words.chunks_exact_mut(TILE_COLUMNS).enumerate() {
                for (word, row) in words[lane..lane + SIDE].iter_mut().zip(&block) {
                    *word = row[position];
                }
            }
        }
    }
}

/// Left rows from columns of `rows`: row `i` of the result, `stride` words long, has the numbers of column
/// `columns.start + i`, and zeros to the next multiple of 16 words.
pub(super) fn columns_to_rows<E: Element>(
    path: Path,
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    left: &mut [u32],
    stride: usize,
) {
    assert!(rows.iter().all(|row| columns.end <= row.len()), "a row to transpose is too short");
    assert!(columns.len() * stride <= left.len(), "no room for the transposed rows");
    assert!(precision.words(rows.len()).next_multiple_of(SIDE) <= stride, "transposed rows overlap");
    #[cfg(target_arch = "x86_64")]
    if path.level() == Level::Avx512 {
        return packing_x86::columns_to_rows(path, rows, columns, precision, left, stride);
    }
    columns_per_path(path, rows, columns, precision, left, stride);
}

per_path!(fn columns_per_path<E: Element>(
    rows: &[&[E]], columns: Range<usize>, precision: Precision, left: &mut [u32], stride: usize,
) = columns_body);

#[inline(always)]
fn columns_body<E: Element>(
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    left: &mut [u32],
    stride: usize,
) {
    let per_word = precision.per_word();
    for (index, rows) in rows.chunks(SIDE * per_word).enumerate() {
        for (group, first) in columns.clone().step_by(SIDE).enumerate() {
            let count = SIDE.min(columns.end - first);
            let mut block = [[0; SIDE]; SIDE];
            for (words, rows) in block.iter_mut().zip(rows.chunks(per_word)) {
                words_of_columns(rows, first..first + count, precision, words);
            }
            for (column, row) in left[group * SIDE * stride..].chunks_mut(stride).take(count).enumerate() {
                for (word, words) in row[index * SIDE..][..SIDE].iter_mut().zip(&block) {
                    *word = words[column];
                }
            }
        }
    }
}
