//! How do numbers get into the order in which the tiles read them?

use super::element::rounded;
use super::{Element, Precision, TILE_COLUMNS};
use std::ops::Range;

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
    rounded(low.to_f32()) >> 16 | rounded(high.to_f32()) & 0xFFFF_0000
}

/// One panel from rows of the operand: the numbers in `columns` of every row.
pub(super) fn interleave<E: Element>(
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    panel: &mut [u32],
) {
    let per_word = precision.per_word();
    panel.fill(0);
    for (words, rows) in panel.chunks_exact_mut(TILE_COLUMNS).zip(rows.chunks(per_word)) {
        for (word, column) in words.iter_mut().zip(columns.clone()) {
            *word = match precision {
                Precision::F32 => rows[0][column].to_f32().to_bits(),
                Precision::Bf16 => pair(rows[0][column], rows.get(1).map_or(E::default(), |row| row[column])),
            };
        }
    }
}

/// One panel from columns of the operand, `columns[i]` being column `i`, at most 64 of one length.
pub(super) fn transpose(columns: &[&[f32]], precision: Precision, panel: &mut [u32]) {
    panel.fill(0);
    for (lane, column) in columns.iter().enumerate() {
        for (words, numbers) in panel.chunks_exact_mut(TILE_COLUMNS).zip(column.chunks(precision.per_word()))
        {
            words[lane] = match precision {
                Precision::F32 => numbers[0].to_bits(),
                Precision::Bf16 => pair(numbers[0], numbers.get(1).copied().unwrap_or(0.0)),
            };
        }
    }
}
