//! Sums of the rows' lanes for each bin, and the best place to split them.

use super::bins::{BINS, BLOCK_COLUMNS, BinnedColumns, MISSING};
use rayon::prelude::*;

/// The whole numbers of a row that histograms add up: gradients, and in the last two lanes the weight and a 1. The
/// weight is the second derivative where there is one output, and 1 where there are more.
pub(super) type Lanes<const L: usize> = [i32; L];

/// For each block of columns `[BLOCK_COLUMNS][BINS]` sums.
pub(super) struct Histogram<const L: usize> {
    blocks: Vec<Vec<Lanes<L>>>,
}

/// A place to split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    pub(super) gain: f64,
    pub(super) column: usize,
    /// Rows up to this bin go left.
    pub(super) bin: u8,
    /// Rows without a value go left.
    pub(super) missing_left: bool,
}

/// What a split must leave, and how sums become gains.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<const L: usize> {
    pub(super) min_child_samples: usize,
    pub(super) reg_lambda: f64,
    /// What one unit of each lane stands for.
    pub(super) units: [f64; L],
}

impl<const L: usize> Histogram<L> {
    /// Adds up the lanes of some rows; `lanes[row]` belongs to row `row` of the columns.
    pub(super) fn of_rows(columns: &BinnedColumns, rows: &[u32], lanes: &[Lanes<L>]) -> Self {
        let of_block = |bins: &Vec<u8>| {
            let mut sums = vec![[0; L]; BLOCK_COLUMNS * BINS];
            for &row in rows {
                let bins = &bins[row as usize * BLOCK_COLUMNS..][..BLOCK_COLUMNS];
                let lanes = &lanes[row as usize];
                for (of_column, &bin) in sums.as_chunks_mut::<BINS>().0.iter_mut().zip(bins) {
                    let sum = &mut of_column[(bin & MISSING) as usize];
                    for lane in 0..L {
                        sum[lane] += lanes[lane];
                    }
                }
            }
            sums
        };
        Self { blocks: columns.blocks().par_iter().map(of_block).collect() }
    }

    /// Takes the rows of another histogram out.
    pub(super) fn without(mut self, other: &Self) -> Self {
        self.blocks.par_iter_mut().zip(&other.blocks).for_each(|(sums, others)| {
            for (sum, other) in sums.iter_mut().zip(others) {
                for lane in 0..L {
                    sum[lane] -= other[lane];
                }
            }
        });
        self
    }

    /// The split with the largest gain, the first among equals; none if no split gains.
    pub(super) fn best_split(&self, columns: &BinnedColumns, rules: &Rules<L>) -> Option<Split> {
        let of_block = |(block, sums): (usize, &Vec<Lanes<L>>)| {
            let first = block * BLOCK_COLUMNS;
            let of_columns =
                (first..columns.columns().min(first + BLOCK_COLUMNS)).zip(sums.chunks_exact(BINS));
            of_columns
                .filter_map(|(column, sums)| best_of_column(column, sums, columns.bin_count(column), rules))
                .reduce(better)
        };
        let best: Vec<Option<Split>> = self.blocks.par_iter().enumerate().map(of_block).collect();
        best.into_iter().flatten().reduce(better)
    }
}

/// The one with the larger gain, the first of equals.
fn better(best: Split, split: Split) -> Split {
    if split.gain > best.gain { split } else { best }
}

fn best_of_column<const L: usize>(
    column: usize,
    sums: &[Lanes<L>],
    bin_count: usize,
    rules: &Rules<L>,
) -> Option<Split> {
    let missing = wide(&sums[MISSING as usize]);
    let mut total = missing;
    sums[..bin_count].iter().for_each(|sum| add(&mut total, sum));
    let whole = rules.score(&total);
    let (mut below, mut best) = ([0; L], None);
    for (bin, sum) in sums[..bin_count].iter().enumerate() {
        add(&mut below, sum);
        let sides: &[bool] = if missing[L - 1] == 0 { &[false] } else { &[false, true] };
        for &missing_left in sides {
            // The last bound parts values from missing ones only.
            if bin + 1 == bin_count && (missing_left || missing[L - 1] == 0) {
                continue;
            }
            let mut left = below;
            if missing_left {
                (0..L).for_each(|lane| left[lane] += missing[lane]);
            }
            let right: [i64; L] = std::array::from_fn(|lane| total[lane] - left[lane]);
            let least = rules.min_child_samples as i64;
            if left[L - 1] < least || right[L - 1] < least {
                continue;
            }
            let gain = rules.score(&left) + rules.score(&right) - whole;
            if gain > 1e-10 * whole.abs().max(1e-10) {
                let split = Split { gain, column, bin: bin as u8, missing_left };
                best = Some(best.map_or(split, |best| better(best, split)));
            }
        }
    }
    best
}

fn wide<const L: usize>(sum: &Lanes<L>) -> [i64; L] {
    sum.map(i64::from)
}

fn add<const L: usize>(total: &mut [i64; L], sum: &Lanes<L>) {
    (0..L).for_each(|lane| total[lane] += i64::from(sum[lane]));
}

impl<const L: usize> Rules<L> {
    /// Twice what Newton's values take off the loss: squared gradients over weight and penalty.
    fn score(&self, sums: &[i64; L]) -> f64 {
        let squares: f64 = (0..L - 2).map(|lane| (sums[lane] as f64 * self.units[lane]).powi(2)).sum();
        squares / (sums[L - 2] as f64 * self.units[L - 2] + self.reg_lambda)
    }
}
