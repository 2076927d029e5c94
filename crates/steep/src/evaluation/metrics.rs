//! The metrics by name: which way is better, and their value for predictions.

use crate::error::{Error, Result};
use crate::evaluation::class_counts::{ClassCounts, ClassMetric};
use crate::evaluation::multi_label::{hamming_loss, subset_accuracy};
use crate::evaluation::probabilities::{
    brier_score, expected_calibration_error, label_log_loss, log_loss, predicted_classes,
};
use crate::evaluation::ranking::{
    against_the_rest, average_precision, average_precision_one_vs_rest, label_ranking_average_precision,
    roc_auc, roc_auc_one_vs_rest,
};
use crate::evaluation::regression::{mean_absolute_error, mean_squared_error, pearson, r_squared, spearman};
use crate::features::matrix::DenseMatrix;
use serde::{Deserialize, Serialize};

/// A metric. Values are fractions, not percentages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// See [`ClassMetric::Accuracy`].
    Accuracy,
    /// See [`ClassMetric::BalancedAccuracy`].
    BalancedAccuracy,
    /// See [`ClassMetric::MacroF1`].
    MacroF1,
    /// See [`ClassMetric::MicroF1`].
    MicroF1,
    /// See [`ClassMetric::WeightedF1`].
    WeightedF1,
    /// See [`ClassMetric::Mcc`].
    Mcc,
    /// See [`log_loss`].
    LogLoss,
    /// See [`brier_score`].
    BrierScore,
    /// See [`expected_calibration_error`].
    CalibrationError,
    /// See [`roc_auc`] for two classes and [`roc_auc_one_vs_rest`] for more.
    RocAuc,
    /// See [`average_precision`] for two classes and [`average_precision_one_vs_rest`] for more.
    PrAuc,
    /// See [`subset_accuracy`].
    SubsetAccuracy,
    /// See [`hamming_loss`].
    HammingLoss,
    /// See [`label_ranking_average_precision`].
    LabelRankingAveragePrecision,
    /// See [`mean_squared_error`].
    MeanSquaredError,
    /// See [`mean_absolute_error`].
    MeanAbsoluteError,
    /// See [`r_squared`].
    RSquared,
    /// See [`pearson`].
    Pearson,
    /// See [`spearman`].
    Spearman,
}

impl Metric {
    /// Whether a greater value is a better one.
    pub fn is_greater_better(self) -> bool {
        !matches!(
            self,
            Self::LogLoss
                | Self::BrierScore
                | Self::CalibrationError
                | Self::HammingLoss
                | Self::MeanSquaredError
                | Self::MeanAbsoluteError
        )
    }

    /// The metric as one of [`ClassCounts`], where it is one.
    pub fn class_metric(self) -> Option<ClassMetric> {
        match self {
            Self::Accuracy => Some(ClassMetric::Accuracy),
            Self::BalancedAccuracy => Some(ClassMetric::BalancedAccuracy),
            Self::MacroF1 => Some(ClassMetric::MacroF1),
            Self::MicroF1 => Some(ClassMetric::MicroF1),
            Self::WeightedF1 => Some(ClassMetric::WeightedF1),
            Self::Mcc => Some(ClassMetric::Mcc),
            _ => None,
        }
    }

    /// The value for rows with one class each and their probabilities `[rows, classes]`.
    ///
    /// An error if sizes do not fit, the metric is not one of classes, or it is not defined for these rows.
    pub fn of_classes(self, actual: &[u32], probabilities: &DenseMatrix) -> Result<f64> {
        if let Some(metric) = self.class_metric() {
            let predicted = predicted_classes(probabilities);
            let counts = ClassCounts::from_predictions(actual, &predicted, probabilities.columns())?;
            return Ok(counts.metric(metric));
        }
        match self {
            Self::LogLoss => log_loss(actual, probabilities),
            Self::BrierScore => brier_score(actual, probabilities),
            Self::CalibrationError => expected_calibration_error(actual, probabilities),
            Self::RocAuc => self.defined(class_area(actual, probabilities, roc_auc, roc_auc_one_vs_rest)?),
            Self::PrAuc => self.defined(class_area(
                actual,
                probabilities,
                average_precision,
                average_precision_one_vs_rest,
            )?),
            _ => Err(self.unfit("rows with one class")),
        }
    }

    /// The value for memberships and their probabilities `[rows, labels]`; a label is predicted above one half.
    pub fn of_labels(self, actual: &[bool], probabilities: &DenseMatrix) -> Result<f64> {
        let label_count = probabilities.columns();
        let predicted: Vec<bool> = probabilities.values().iter().map(|value| *value > 0.5).collect();
        let counts = || ClassCounts::from_memberships(actual, &predicted, label_count);
        match self {
            Self::MacroF1 => Ok(counts()?.macro_f1_of_all_labels()),
            Self::MicroF1 => Ok(counts()?.metric(ClassMetric::MicroF1)),
            Self::WeightedF1 => Ok(counts()?.metric(ClassMetric::WeightedF1)),
            Self::Accuracy | Self::SubsetAccuracy => subset_accuracy(actual, &predicted, label_count),
            Self::HammingLoss => hamming_loss(actual, &predicted),
            Self::LogLoss => label_log_loss(actual, probabilities),
            Self::LabelRankingAveragePrecision => label_ranking_average_precision(actual, probabilities),
            _ => Err(self.unfit("rows with several labels")),
        }
    }

    /// The value for predicted numbers.
    pub fn of_values(self, actual: &[f64], predicted: &[f64]) -> Result<f64> {
        match self {
            Self::MeanSquaredError => mean_squared_error(actual, predicted),
            Self::MeanAbsoluteError => mean_absolute_error(actual, predicted),
            Self::RSquared => r_squared(actual, predicted),
            Self::Pearson => self.defined(pearson(actual, predicted)?),
            Self::Spearman => self.defined(spearman(actual, predicted)?),
            _ => Err(self.unfit("predicted numbers")),
        }
    }

    fn defined(self, value: Option<f64>) -> Result<f64> {
        value.ok_or_else(|| {
            let problem = format!("{self:?} is not defined for these rows");
            Error::config("metric", problem, "give rows of at least two classes, or values that vary")
        })
    }

    fn unfit(self, kind: &str) -> Error {
        Error::config("metric", format!("{self:?} is not a metric of {kind}"), "choose another metric")
    }
}

/// The area of the second of two classes, or the mean over more.
fn class_area(
    actual: &[u32],
    probabilities: &DenseMatrix,
    of_two: fn(&[bool], &[f32]) -> Option<f64>,
    of_many: fn(&[u32], &DenseMatrix) -> Result<Option<f64>>,
) -> Result<Option<f64>> {
    if probabilities.columns() != 2 || actual.len() != probabilities.rows() {
        return of_many(actual, probabilities);
    }
    let (positives, scores) = against_the_rest(actual, probabilities, 1);
    Ok(of_two(&positives, &scores))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_another_task_is_refused_by_name() {
        let probabilities = DenseMatrix::new(1, 2, vec![0.4, 0.6]).unwrap();
        assert!(
            Metric::Spearman.of_classes(&[1], &probabilities).unwrap_err().to_string().contains("Spearman")
        );
        assert!(Metric::Mcc.of_labels(&[true, false], &probabilities).is_err());
        assert!(Metric::Accuracy.of_values(&[1.0], &[1.0]).is_err());
    }

    #[test]
    fn an_undefined_area_is_an_error_not_a_number() {
        let probabilities = DenseMatrix::new(2, 2, vec![0.4, 0.6, 0.1, 0.9]).unwrap();
        assert!(Metric::RocAuc.of_classes(&[1, 1], &probabilities).is_err());
        assert_eq!(Metric::RocAuc.of_classes(&[0, 1], &probabilities).unwrap(), 1.0);
    }
}
