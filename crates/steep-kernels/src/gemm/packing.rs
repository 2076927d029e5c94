//! How do numbers get into the order in which the tiles read them?
//!
//! A block of 16 x 16 words is the unit: its rows are made by plain loops, and exchanging its rows and columns is the
//! one thing for which an instruction set has a method of its own.

use super::{Element, Precision, TILE_COLUMNS};
use crate::dispatch::{Path, per_path};
use std::ops::Range;

/// Rows and columns of a block.
const SIDE: usize = 16;

/// Words of a block, row after row.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Block(pub(super) [[u32; SIDE]; SIDE]);

impl Block {
    const ZERO: Self = Self([[0; SIDE]; SIDE]);
}

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
    transpose_per_path(path, path, columns, precision, panel);
}

per_path!(fn transpose_per_path(
    own: Path, columns: &[&[f32]], precision: Precision, panel: &mut [u32],
) = transpose_body);

#[inline(always)]
fn transpose_body(path: Path, columns: &[&[f32]], precision: Precision, panel: &mut [u32]) {
    let numbers = SIDE * precision.per_word();
    for lane in (0..TILE_COLUMNS).step_by(SIDE) {
        let columns = &columns[lane.min(columns.len())..columns.len().min(lane + SIDE)];
        for (index, words) in panel.chunks_mut(SIDE * TILE_COLUMNS).enumerate() {
            let mut block = Block::ZERO;
            for (row, column) in block.0.iter_mut().zip(columns) {
                let rest = &column[index * numbers..];
                if rest.len() >= numbers {
                    words_of_row(&rest[..numbers], precision, row);
                } else {
                    words_of_row(rest, precision, row);
                }
            }
            exchange(path, &mut block);
            for (words, row) in words.chunks_exact_mut(TILE_COLUMNS).zip(&block.0) {
                words[lane..lane + SIDE].copy_from_slice(row);
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
    columns_per_path(path, path, rows, columns, precision, left, stride);
}

per_path!(fn columns_per_path<E: Element>(
    own: Path, rows: &[&[E]], columns: Range<usize>, precision: Precision, left: &mut [u32], stride: usize,
) = columns_body);

#[inline(always)]
fn columns_body<E: Element>(
    path: Path,
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    left: &mut [u32],
    stride: usize,
) {
    let per_word = precision.per_word();
    for (index, rows) in rows.chunks(SIDE * per_word).enumerate() {
        for (group, first) in columns.clone().step_by(SIDE).enumerate() {
            let mut block = Block::ZERO;
            for (words, rows) in block.0.iter_mut().zip(rows.chunks(per_word)) {
                if columns.end - first >= SIDE {
                    words_of_columns(rows, first..first + SIDE, precision, words);
                } else {
                    words_of_columns(rows, first..columns.end, precision, words);
                }
            }
            exchange(path, &mut block);
            let left = &mut left[group * SIDE * stride..];
            for (row, words) in left.chunks_mut(stride).zip(&block.0).take(columns.end - first) {
                row[index * SIDE..][..SIDE].copy_from_slice(words);
            }
        }
    }
}

/// Exchanges rows and columns.
#[inline(always)]
fn exchange(path: Path, block: &mut Block) {
    #[cfg(target_arch = "x86_64")]
    if path.level() == crate::dispatch::Level::Avx512 {
        // SAFETY: the path says that the processor has AVX-512.
        unsafe { super::x86::exchange(block) };
        return;
    }
    let _ = path;
    for row in 0..SIDE {
        for column in 0..row {
            let word = block.0[row][column];
            block.0[row][column] = block.0[column][row];
            block.0[column][row] = word;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanging_rows_and_columns_is_the_same_on_every_path() {
        for path in Path::available() {
            let mut block =
                Block(std::array::from_fn(|row| std::array::from_fn(|column| (row * 100 + column) as u32)));
            exchange(path, &mut block);
            for row in 0..SIDE {
                for column in 0..SIDE {
                    assert_eq!(block.0[row][column], (column * 100 + row) as u32, "{path:?}");
                }
            }
        }
    }
}
