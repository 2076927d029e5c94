//! What any learner must beat: the most frequent class, or the mean.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::labels::{Labels, labels_error};
use serde::{Deserialize, Serialize};

/// Predicts the training frequencies for every row; scikit-learn's `DummyClassifier(strategy="prior")`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MajorityClassifier {
    /// The share of training rows of each class or label.
    pub frequencies: Vec<f64>,
}

impl MajorityClassifier {
    /// Counts the training labels; an error if there are none.
    pub fn fit(labels: &Labels) -> Result<Self> {
        if labels.rows() == 0 {
            return Err(labels_error("there are no training rows", "check filters and splits"));
        }
        let mut counts = vec![0u64; labels.class_count()];
        match labels {
            Labels::SingleLabel { indices, .. } => {
                for &index in indices {
                    counts[index as usize] += 1;
                }
            }
            Labels::MultiLabel { members, label_count } => {
                for row in members.chunks_exact(*label_count) {
                    counts.iter_mut().zip(row).for_each(|(count, member)| *count += u64::from(*member));
                }
            }
        }
        let rows = labels.rows() as f64;
        Ok(Self { frequencies: counts.into_iter().map(|count| count as f64 / rows).collect() })
    }

    /// The most frequent class, the first among ties.
    pub fn class(&self) -> u32 {
        let mut best = 0;
        for (at, frequency) in self.frequencies.iter().enumerate() {
            if *frequency > self.frequencies[best] {
                best = at;
            }
        }
        best as u32
    }

    /// The frequencies, once for each row: `[rows, classes]`.
    pub fn predict_proba(&self, rows: usize) -> Result<DenseMatrix> {
        let row: Vec<f32> = self.frequencies.iter().map(|&frequency| frequency as f32).collect();
        DenseMatrix::new(rows, row.len(), row.repeat(rows))
    }
}

/// Predicts the training mean for every row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanRegression {
    /// The mean of the training values.
    pub mean: f64,
}

impl MeanRegression {
    /// Averages the training values; an error if there are none or one is not finite.
    pub fn fit(values: &[f64]) -> Result<Self> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        if mean.is_finite() {
            return Ok(Self { mean });
        }
        Err(Error::config(
            "values",
            "there is no value, or one is not finite",
            "check filters and the column",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_is_the_first_of_the_most_frequent() {
        let labels = Labels::single_label(vec![2, 1, 1, 2, 0], 4).unwrap();
        let majority = MajorityClassifier::fit(&labels).unwrap();
        assert_eq!(majority.class(), 1);
        assert_eq!(majority.frequencies, [0.2, 0.4, 0.4, 0.0]);
        assert_eq!(majority.predict_proba(2).unwrap().row(1), [0.2, 0.4, 0.4, 0.0]);
        let members = Labels::multi_label(vec![true, false, true, true], 2).unwrap();
        assert_eq!(MajorityClassifier::fit(&members).unwrap().frequencies, [1.0, 0.5]);
    }

    #[test]
    fn no_rows_have_no_majority() {
        assert!(MajorityClassifier::fit(&Labels::single_label(vec![], 2).unwrap()).is_err());
        assert!(MeanRegression::fit(&[]).is_err());
        assert_eq!(MeanRegression::fit(&[1.0, 2.0]).unwrap().mean, 1.5);
    }
}
