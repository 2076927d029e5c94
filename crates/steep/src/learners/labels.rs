//! What a classifier is to predict for each row, and how much each row counts.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The labels of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// Exactly one class a row.
    SingleLabel {
        /// The class index of each row, below `class_count`.
        indices: Vec<u32>,
        /// The number of classes, at least 2.
        class_count: usize,
    },
    /// Any number of labels a row.
    MultiLabel {
        /// Whether a row has a label: `[rows, label_count]`, row-major.
        members: Vec<bool>,
        /// The number of labels, at least 1.
        label_count: usize,
    },
}

impl Labels {
    /// Class indices, checked.
    pub fn single_label(indices: Vec<u32>, class_count: usize) -> Result<Self> {
        if class_count < 2 {
            return Err(labels_error(
                format!("{class_count} class is too few"),
                "a classifier needs at least 2 classes",
            ));
        }
        if let Some(row) = indices.iter().position(|&index| index as usize >= class_count) {
            let problem = format!("row {}: class {} of {class_count}", row + 1, indices[row]);
            return Err(labels_error(
                problem,
                "class indices start at 0 and end below the number of classes",
            ));
        }
        Ok(Self::SingleLabel { indices, class_count })
    }

    /// Label memberships `[rows, label_count]`, checked.
    pub fn multi_label(members: Vec<bool>, label_count: usize) -> Result<Self> {
        if label_count == 0 || !members.len().is_multiple_of(label_count) {
            let problem = format!("{} memberships do not fill rows of {label_count} labels", members.len());
            return Err(labels_error(problem, "give one membership for each row and label"));
        }
        Ok(Self::MultiLabel { members, label_count })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::SingleLabel { indices, .. } => indices.len(),
            Self::MultiLabel { members, label_count } => members.len() / label_count,
        }
    }

    /// The number of classes or labels.
    pub fn class_count(&self) -> usize {
        match self {
            Self::SingleLabel { class_count, .. } => *class_count,
            Self::MultiLabel { label_count, .. } => *label_count,
        }
    }

    /// A copy of the given rows, in the given order. The caller gives rows that exist.
    #[must_use]
    pub fn select_rows(&self, rows: &[u32]) -> Self {
        match self {
            Self::SingleLabel { indices, class_count } => Self::SingleLabel {
                indices: rows.iter().map(|&row| indices[row as usize]).collect(),
                class_count: *class_count,
            },
            Self::MultiLabel { members, label_count } => Self::MultiLabel {
                members: rows
                    .iter()
                    .flat_map(|&row| &members[row as usize * label_count..][..*label_count])
                    .copied()
                    .collect(),
                label_count: *label_count,
            },
        }
    }
}

/// How much each class counts; scikit-learn's `class_weight`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    /// Every row counts the same.
    None,
    /// Each class counts the same in total: `rows / (classes present · rows of the class)`. With several labels a
    /// row, each label's members and non-members are balanced on their own.
    Balanced,
    /// One factor for each class or label; with several labels a row, for the members of the label.
    Given(Vec<f64>),
}

/// How much each row counts.
#[derive(Debug, Clone, Copy)]
pub enum SampleWeights<'a> {
    /// All rows the same.
    Equal,
    /// One factor for each row, not negative.
    Given(&'a [f64]),
}

impl SampleWeights<'_> {
    /// One factor for each row, checked.
    pub(crate) fn of_rows(self, rows: usize) -> Result<Vec<f64>> {
        let Self::Given(weights) = self else { return Ok(vec![1.0; rows]) };
        let valid = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        if weights.len() == rows && valid {
            return Ok(weights.to_vec());
        }
        let problem = format!("{} sample weights for {rows} rows, or one that is negative", weights.len());
        Err(labels_error(problem, "give each row a finite weight that is not negative"))
    }
}

/// The factors of negative and positive rows, or of each class.
pub(crate) fn class_factors(
    class_weight: &ClassWeight,
    indices: impl Iterator<Item = usize>,
    row_weights: &[f64],
    class_count: usize,
) -> Result<Vec<f64>> {
    match class_weight {
        ClassWeight::None => Ok(vec![1.0; class_count]),
        ClassWeight::Balanced => Ok(balanced_factors(indices, row_weights, class_count)),
        ClassWeight::Given(factors) => given_factors(factors, class_count),
    }
}

fn balanced_factors(
    indices: impl Iterator<Item = usize>,
    row_weights: &[f64],
    class_count: usize,
) -> Vec<f64> {
    let mut sums = vec![0.0; class_count];
    indices.zip(row_weights).for_each(|(index, weight)| sums[index] += weight);
    let present = sums.iter().filter(|sum| **sum > 0.0).count() as f64;
    let total: f64 = sums.iter().sum();
    sums.iter().map(|&sum| if sum > 0.0 { total / (present * sum) } else { 1.0 }).collect()
}

pub(crate) fn given_factors(factors: &[f64], class_count: usize) -> Result<Vec<f64>> {
    let valid = factors.iter().all(|factor| factor.is_finite() && *factor > 0.0);
    if factors.len() == class_count && valid {
        return Ok(factors.to_vec());
    }
    let problem = format!("{} factors for {class_count} classes, or one that is not positive", factors.len());
    Err(Error::config("class_weight", problem, "give one positive number for each class"))
}

pub(crate) fn labels_error(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::config("labels", problem, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_factors_give_each_class_the_same_total() {
        let indices = [0, 0, 0, 1, 2, 2];
        let factors = class_factors(&ClassWeight::Balanced, indices.into_iter(), &[1.0; 6], 4).unwrap();
        assert_eq!(factors, [6.0 / 9.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn labels_out_of_range_are_named_by_row() {
        let error = Labels::single_label(vec![0, 3], 3).unwrap_err().to_string();
        assert!(error.contains("row 2: class 3 of 3"), "{error}");
        assert!(Labels::multi_label(vec![true; 5], 2).is_err());
    }

    #[test]
    fn weights_are_checked() {
        assert!(SampleWeights::Given(&[1.0, -1.0]).of_rows(2).is_err());
        assert!(SampleWeights::Given(&[1.0]).of_rows(2).is_err());
        assert!(given_factors(&[1.0, 0.0], 2).is_err());
    }
}
