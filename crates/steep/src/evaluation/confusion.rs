//! Which class is taken for which.

use crate::error::Result;
use crate::evaluation::class_counts::{ClassCounts, check_classes};
use serde::{Deserialize, Serialize};

/// Rows counted by actual class (row) and predicted class (column).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// The number of classes.
    pub class_count: usize,
    /// `[actual, predicted]`, row-major.
    pub counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts rows; an error if lengths differ or a class is not below `class_count`.
    pub fn from_predictions(actual: &[u32], predicted: &[u32], class_count: usize) -> Result<Self> {
        check_classes(actual, predicted, class_count)?;
        let mut counts = vec![0; class_count * class_count];
        for (&actual, &predicted) in actual.iter().zip(predicted) {
            counts[actual as usize * class_count + predicted as usize] += 1;
        }
        Ok(Self { class_count, counts })
    }

    /// How many rows of one class are given another.
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        self.counts[actual * self.class_count + predicted]
    }

    /// What the metrics need.
    pub fn class_counts(&self) -> ClassCounts {
        let classes = 0..self.class_count;
        ClassCounts {
            correct: classes.clone().map(|class| self.count(class, class)).collect(),
            predicted: classes
                .clone()
                .map(|column| classes.clone().map(|row| self.count(row, column)).sum())
                .collect(),
            actual: classes
                .clone()
                .map(|row| classes.clone().map(|column| self.count(row, column)).sum())
                .collect(),
        }
    }

    /// The most frequent mistakes `(actual, predicted, rows)`, most rows first.
    pub fn most_confused(&self, limit: usize) -> Vec<(usize, usize, u64)> {
        let mut pairs: Vec<(usize, usize, u64)> = self
            .counts
            .iter()
            .enumerate()
            .map(|(at, &rows)| (at / self.class_count, at % self.class_count, rows))
            .filter(|&(actual, predicted, rows)| actual != predicted && rows > 0)
            .collect();
        pairs.sort_by_key(|&(actual, predicted, rows)| (std::cmp::Reverse(rows), actual, predicted));
        pairs.truncate(limit);
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_the_class_counts() {
        let (actual, predicted) = ([0, 0, 1, 2, 2, 2], [0, 1, 1, 0, 0, 2]);
        let matrix = ConfusionMatrix::from_predictions(&actual, &predicted, 4).unwrap();
        let counts = ClassCounts::from_predictions(&actual, &predicted, 4).unwrap();
        assert_eq!(matrix.class_counts(), counts);
        assert_eq!(matrix.most_confused(5), [(2, 0, 2), (0, 1, 1)]);
    }
}
