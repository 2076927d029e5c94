//! Missing numbers, filled as `SimpleImputer` does, with flags as of `MissingIndicator`.

use serde::{Deserialize, Serialize};

/// What takes the place of missing numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imputation {
    /// The mean of the training rows.
    Mean,
    /// Their median.
    Median,
    /// Their most frequent value, the smallest of several.
    MostFrequent,
    /// The same number everywhere.
    Constant(f64),
}

impl Imputation {
    /// What fills a column, learned from its training values; 0 where all of them are missing.
    pub(super) fn fill(self, training: &[f64]) -> f64 {
        let mut known: Vec<f64> = training.iter().copied().filter(|value| !value.is_nan()).collect();
        if let Self::Constant(value) = self {
            return value;
        }
        if known.is_empty() {
            return 0.0;
        }
        match self {
            Self::Mean => known.iter().sum::<f64>() / known.len() as f64,
            Self::Median => {
                known.sort_unstable_by(f64::total_cmp);
                let middle = known.len() / 2;
                if known.len().is_multiple_of(2) {
                    f64::midpoint(known[middle - 1], known[middle])
                } else {
                    known[middle]
                }
            }
            Self::MostFrequent | Self::Constant(_) => most_frequent(known),
        }
    }
}

fn most_frequent(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (mut best, mut best_count) = (values[0], 0);
    for run in values.chunk_by(|left, right| left == right) {
        if run.len() > best_count {
            (best, best_count) = (run[0], run.len());
        }
    }
    best
}

/// What fills each column, and which columns get a flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Imputer {
    /// What fills each column.
    fill: Vec<f64>,
    /// The columns with a value missing in a training row, each of which gets a column of flags.
    flagged: Vec<usize>,
}

impl Imputer {
    /// Learns from training columns; only columns that `may_flag` get flags.
    pub(super) fn fit(strategy: Imputation, training: &[Vec<f64>], may_flag: impl Fn(usize) -> bool) -> Self {
        let missing = |column: &usize| training[*column].iter().any(|value| value.is_nan());
        Self {
            fill: training.iter().map(|column| strategy.fill(column)).collect(),
            flagged: (0..training.len()).filter(|column| may_flag(*column) && missing(column)).collect(),
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.fill.len()
    }

    pub(super) fn flagged(&self) -> &[usize] {
        &self.flagged
    }

    /// Whether the numbers fit together.
    pub(super) fn is_whole(&self) -> bool {
        self.fill.iter().all(|value| value.is_finite())
            && self.flagged.iter().all(|column| *column < self.fill.len())
    }

    /// Fills columns in place and gives the columns of flags: 1 where a value was missing.
    pub(super) fn apply(&self, columns: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
        let flag = |column: &usize| {
            columns[*column].iter().map(|value| f64::from(u8::from(value.is_nan()))).collect()
        };
        let flags = self.flagged.iter().map(flag).collect();
        for (column, fill) in columns.iter_mut().zip(&self.fill) {
            column.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = *fill);
        }
        flags
    }
}
