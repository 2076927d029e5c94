//! Columns as bin numbers, sixteen columns side by side, so that one row's bins lie in one piece of memory.

use crate::features::matrix::DenseMatrix;
use rayon::prelude::*;

/// Columns that lie side by side.
pub(super) const BLOCK_COLUMNS: usize = 16;
/// Bins of a column, the one of missing values included.
pub(super) const BINS: usize = 64;
/// The bin of missing values.
pub(super) const MISSING: u8 = 63;

/// All rows in bins.
pub(super) struct BinnedColumns {
    rows: usize,
    /// For each block of columns `[rows, BLOCK_COLUMNS]`.
    blocks: Vec<Vec<u8>>,
    /// For each column the ascending upper bounds of its bins but the last: a value is in the first bin whose bound
    /// is not below it.
    bounds: Vec<Vec<f32>>,
}

impl BinnedColumns {
    pub(super) fn new(features: &DenseMatrix) -> Self {
        let (rows, columns) = (features.rows(), features.columns());
        let bounds: Vec<Vec<f32>> = (0..columns)
            .into_par_iter()
            .map(|column| bounds((0..rows).map(|row| features.row(row)[column]).collect()))
            .collect();
        let blocks = (0..columns.div_ceil(BLOCK_COLUMNS)).into_par_iter().map(|block| {
            let first = block * BLOCK_COLUMNS;
            let last = columns.min(first + BLOCK_COLUMNS);
            let mut bins = vec![0; rows * BLOCK_COLUMNS];
            for (row, bins) in bins.chunks_exact_mut(BLOCK_COLUMNS).enumerate() {
                let values = &features.row(row)[first..last];
                for ((bin, value), bounds) in bins.iter_mut().zip(values).zip(&bounds[first..last]) {
                    *bin = bin_of(bounds, *value);
                }
            }
            bins
        });
        let blocks = blocks.collect();
        Self { rows, blocks, bounds }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.bounds.len()
    }

    /// The blocks of columns, each `[rows, BLOCK_COLUMNS]`.
    pub(super) fn blocks(&self) -> &[Vec<u8>] {
        &self.blocks
    }

    /// The bin of a row's value.
    pub(super) fn bin(&self, row: u32, column: usize) -> u8 {
        self.blocks[column / BLOCK_COLUMNS][row as usize * BLOCK_COLUMNS + column % BLOCK_COLUMNS]
    }

    /// The largest value of a bin.
    pub(super) fn upper_bound(&self, column: usize, bin: u8) -> f32 {
        self.bounds[column][bin as usize]
    }

    /// How many bins a column has, missing values not counted.
    pub(super) fn bin_count(&self, column: usize) -> usize {
        self.bounds[column].len() + 1
    }
}

fn bin_of(bounds: &[f32], value: f32) -> u8 {
    if value.is_nan() { MISSING } else { bounds.partition_point(|bound| *bound < value) as u8 }
}

/// Bounds between distinct values where they are few, else between equally many rows.
fn bounds(mut values: Vec<f32>) -> Vec<f32> {
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f32::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    let most = BINS - 1;
    if distinct.len() <= most {
        return distinct.windows(2).map(|pair| between(pair[0], pair[1])).collect();
    }
    let mut bounds: Vec<f32> = Vec::with_capacity(most - 1);
    for cut in 1..most {
        let low = values[cut * values.len() / most - 1];
        let next = distinct.partition_point(|value| *value <= low);
        if next < distinct.len() && bounds.last().is_none_or(|last| *last < low) {
            bounds.push(between(low, distinct[next]));
        }
    }
    bounds
}

/// A number from `low` on and below `high`, in the middle if there is one.
fn between(low: f32, high: f32) -> f32 {
    let middle = low + (high - low) / 2.0;
    if middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bin_that_reaches_it() {
        let values: Vec<f32> = (0..1000).map(|at| (at * 37 % 1000) as f32 / 10.0).chain([f32::NAN]).collect();
        let matrix = DenseMatrix::new(1001, 1, values.clone()).unwrap();
        let binned = BinnedColumns::new(&matrix);
        assert_eq!(binned.bin_count(0), 63);
        assert_eq!(binned.bin(1000, 0), MISSING);
        for (row, value) in values.iter().enumerate().take(1000) {
            for bin in 0..62 {
                assert_eq!(*value <= binned.upper_bound(0, bin), binned.bin(row as u32, 0) <= bin);
            }
        }
        let mut counts = [0; 63];
        (0..1000).for_each(|row| counts[binned.bin(row, 0) as usize] += 1);
        assert!(counts.iter().all(|count| (10..=20).contains(count)), "{counts:?}");
    }

    #[test]
    fn few_values_have_a_bin_each_and_constants_one() {
        assert_eq!(bounds(vec![1.0, 3.0, 1.0, 2.0]), [1.5, 2.5]);
        assert!(bounds(vec![5.0; 9]).is_empty());
        let next = f32::from_bits(1.0f32.to_bits() + 1);
        assert_eq!(bounds(vec![1.0, next]), [1.0]);
    }
}
