//! What single-label metrics need to know: for each class, how many rows have it, are given it, and both.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A metric that follows from [`ClassCounts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassMetric {
    /// The share of rows given their class.
    Accuracy,
    /// The mean recall of the classes that rows have.
    BalancedAccuracy,
    /// The mean F1 of the classes that rows have or are given.
    MacroF1,
    /// F1 of all decisions together; with one class a row it equals the accuracy.
    MicroF1,
    /// The mean F1 weighted by the rows that have the class.
    WeightedF1,
    /// Matthews' correlation coefficient (Gorodkin 2004 for more than two classes).
    Mcc,
}

/// Rows counted by class, `[class_count]` each. Any weight may be counted, such as how often a row was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Rows that have the class and are given it.
    pub correct: Vec<u64>,
    /// Rows that are given the class.
    pub predicted: Vec<u64>,
    /// Rows that have the class: the support.
    pub actual: Vec<u64>,
}

/// Precision, recall and F1 of a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The share of rows given the class that have it; 0 if none is.
    pub precision: f64,
    /// The share of rows with the class that are given it; 0 if none has it.
    pub recall: f64,
    /// The harmonic mean of both; 0 if both are.
    pub f1: f64,
    /// Rows with the class.
    pub support: u64,
}

impl ClassCounts {
    /// No rows yet.
    pub fn zeros(class_count: usize) -> Self {
        let zeros = vec![0; class_count];
        Self { correct: zeros.clone(), predicted: zeros.clone(), actual: zeros }
    }

    /// Counts rows; an error if lengths differ or a class is not below `class_count`.
    pub fn from_predictions(actual: &[u32], predicted: &[u32], class_count: usize) -> Result<Self> {
        check_classes(actual, predicted, class_count)?;
        let mut counts = Self::zeros(class_count);
        for (&actual, &predicted) in actual.iter().zip(predicted) {
            counts.add(actual, predicted);
        }
        Ok(counts)
    }

    fn add(&mut self, actual: u32, predicted: u32) {
        self.actual[actual as usize] += 1;
        self.predicted[predicted as usize] += 1;
        self.correct[actual as usize] += u64::from(actual == predicted);
    }

    /// Counts memberships `[rows, label_count]` label by label.
    pub fn from_memberships(actual: &[bool], predicted: &[bool], label_count: usize) -> Result<Self> {
        if actual.len() != predicted.len() || label_count == 0 || !actual.len().is_multiple_of(label_count) {
            let problem =
                format!("{} and {} memberships of {label_count} labels", actual.len(), predicted.len());
            let hint = "give one actual and one predicted membership for each row and label";
            return Err(Error::config("predictions", problem, hint));
        }
        let mut counts = Self::zeros(label_count);
        for (at, (&actual, &predicted)) in actual.iter().zip(predicted).enumerate() {
            counts.actual[at % label_count] += u64::from(actual);
            counts.predicted[at % label_count] += u64::from(predicted);
            counts.correct[at % label_count] += u64::from(actual && predicted);
        }
        Ok(counts)
    }

    /// A metric's value; 0 where its denominator is 0, as scikit-learn's `zero_division=0`.
    pub fn metric(&self, metric: ClassMetric) -> f64 {
        match metric {
            ClassMetric::Accuracy => ratio(self.correct.iter().sum(), self.actual.iter().sum()),
            ClassMetric::BalancedAccuracy => self.balanced_accuracy(),
            ClassMetric::MacroF1 => self.macro_f1(),
            ClassMetric::MicroF1 => self.micro_f1(),
            ClassMetric::WeightedF1 => self.weighted_f1(),
            ClassMetric::Mcc => self.mcc(),
        }
    }

    /// Precision, recall, F1 and support of each class.
    pub fn per_class(&self) -> Vec<ClassScore> {
        (0..self.actual.len())
            .map(|class| ClassScore {
                precision: ratio(self.correct[class], self.predicted[class]),
                recall: ratio(self.correct[class], self.actual[class]),
                f1: self.f1(class),
                support: self.actual[class],
            })
            .collect()
    }

    fn f1(&self, class: usize) -> f64 {
        ratio(2 * self.correct[class], self.predicted[class] + self.actual[class])
    }

    fn balanced_accuracy(&self) -> f64 {
        let present = (0..self.actual.len()).filter(|&class| self.actual[class] > 0);
        mean(present.map(|class| ratio(self.correct[class], self.actual[class])))
    }

    fn macro_f1(&self) -> f64 {
        let occurs = |class: &usize| self.actual[*class] + self.predicted[*class] > 0;
        mean((0..self.actual.len()).filter(occurs).map(|class| self.f1(class)))
    }

    /// The mean F1 of all labels, those that no row has or is given included: scikit-learn's macro F1 of
    /// multi-label memberships.
    pub fn macro_f1_of_all_labels(&self) -> f64 {
        mean((0..self.actual.len()).map(|class| self.f1(class)))
    }

    fn micro_f1(&self) -> f64 {
        let (predicted, actual): (u64, u64) = (self.predicted.iter().sum(), self.actual.iter().sum());
        ratio(2 * self.correct.iter().sum::<u64>(), predicted + actual)
    }

    fn weighted_f1(&self) -> f64 {
        let total: u64 = self.actual.iter().sum();
        let sum: f64 = (0..self.actual.len()).map(|class| self.actual[class] as f64 * self.f1(class)).sum();
        if total == 0 { 0.0 } else { sum / total as f64 }
    }

    fn mcc(&self) -> f64 {
        let rows = self.actual.iter().sum::<u64>() as f64;
        let correct = self.correct.iter().sum::<u64>() as f64;
        let products = |left: &[u64], right: &[u64]| -> f64 {
            left.iter().zip(right).map(|(a, b)| *a as f64 * *b as f64).sum()
        };
        let covariance = correct * rows - products(&self.actual, &self.predicted);
        let actual_variance = rows * rows - products(&self.actual, &self.actual);
        let predicted_variance = rows * rows - products(&self.predicted, &self.predicted);
        let scale = (actual_variance * predicted_variance).sqrt();
        if scale == 0.0 { 0.0 } else { covariance / scale }
    }
}

fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

pub(crate) fn check_classes(actual: &[u32], predicted: &[u32], class_count: usize) -> Result<()> {
    if actual.len() != predicted.len() {
        let problem = format!("{} rows but {} predictions", actual.len(), predicted.len());
        return Err(Error::config("predictions", problem, "give one prediction for each row"));
    }
    let largest = actual.iter().chain(predicted).max();
    if largest.is_none_or(|&largest| (largest as usize) < class_count) {
        return Ok(());
    }
    let problem = format!("class {} of {class_count}", largest.copied().unwrap_or_default());
    Err(Error::config("predictions", problem, "class indices end below the number of classes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<(u32, u32)>> {
        proptest::collection::vec((0..6u32, 0..6u32), 1..80)
    }

    fn counts(rows: &[(u32, u32)]) -> ClassCounts {
        let (actual, predicted): (Vec<u32>, Vec<u32>) = rows.iter().copied().unzip();
        ClassCounts::from_predictions(&actual, &predicted, 6).unwrap()
    }

    const ALL: [ClassMetric; 6] = [
        ClassMetric::Accuracy,
        ClassMetric::BalancedAccuracy,
        ClassMetric::MacroF1,
        ClassMetric::MicroF1,
        ClassMetric::WeightedF1,
        ClassMetric::Mcc,
    ];

    proptest! {
        #[test]
        fn micro_f1_equals_accuracy_with_one_class_a_row(rows in rows()) {
            let counts = counts(&rows);
            prop_assert_eq!(counts.metric(ClassMetric::MicroF1), counts.metric(ClassMetric::Accuracy));
        }

        #[test]
        fn renaming_classes_or_reordering_rows_changes_no_metric(rows in rows(), shift in 1..6u32) {
            let renamed: Vec<(u32, u32)> =
                rows.iter().rev().map(|(a, b)| ((a + shift) % 6, (b + shift) % 6)).collect();
            for metric in ALL {
                let (one, two) = (counts(&rows).metric(metric), counts(&renamed).metric(metric));
                prop_assert!((one - two).abs() < 1e-12);
            }
        }

        #[test]
        fn metrics_lie_within_their_bounds(rows in rows()) {
            for metric in ALL {
                let lowest = if metric == ClassMetric::Mcc { -1.0 } else { 0.0 };
                prop_assert!((lowest - 1e-12..=1.0 + 1e-12).contains(&counts(&rows).metric(metric)));
            }
        }
    }

    #[test]
    fn no_rows_give_zero_and_wrong_classes_an_error() {
        assert!(ALL.iter().all(|metric| ClassCounts::zeros(3).metric(*metric) == 0.0));
        assert!(ClassCounts::from_predictions(&[0, 3], &[0, 1], 3).is_err());
        assert!(ClassCounts::from_predictions(&[0], &[0, 1], 3).is_err());
    }
}
