//! From which probability on a row is given the second of two classes.

use crate::error::{Error, Result};
use crate::evaluation::class_counts::{ClassCounts, ClassMetric};
use crate::features::matrix::DenseMatrix;

/// The threshold with the best value of a metric, and that value, on rows that were not fitted on: rows whose second class
/// is at least so probable are given it. Of equals the one nearest to 0.5, which is what is done without a threshold.
///
/// `probabilities` are `[rows, 2]`. Candidates are halfway between neighbouring probabilities, and 0.5.
///
/// # Errors
/// No rows, labels that do not fit, not two classes.
pub fn fit_threshold(actual: &[u32], probabilities: &DenseMatrix, metric: ClassMetric) -> Result<(f64, f64)> {
    let fits = actual.iter().all(|&class| class < 2);
    if actual.is_empty() || actual.len() != probabilities.rows() || probabilities.columns() != 2 || !fits {
        let problem = format!("{} labels for {} rows of probabilities", actual.len(), probabilities.rows());
        let hint = "a threshold is for two classes and one label a row";
        return Err(Error::config("threshold", problem, hint));
    }
    let mut rows: Vec<(f64, u32)> =
        (0..actual.len()).map(|row| (f64::from(probabilities.row(row)[1]), actual[row])).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    // At first every row is given the second class; then one after the other, from the least probable on, the first.
    let seconds = actual.iter().filter(|&&class| class == 1).count() as u64;
    let all = actual.len() as u64;
    let mut counts = ClassCounts {
        correct: vec![0, seconds],
        predicted: vec![0, all],
        actual: vec![all - seconds, seconds],
    };
    let mut best = (0.5, value_at(&rows, 0.5, metric));
    let mut consider = |threshold: f64, value: f64| {
        let is_nearer = value == best.1 && (threshold - 0.5).abs() < (best.0 - 0.5f64).abs();
        if value > best.1 || is_nearer {
            best = (threshold, value);
        }
    };
    for (at, &(probability, class)) in rows.iter().enumerate() {
        let before = if at == 0 { 0.0 } else { rows[at - 1].0 };
        if at == 0 || probability > before {
            consider(f64::midpoint(before, probability), counts.metric(metric));
        }
        counts.predicted[0] += 1;
        counts.predicted[1] -= 1;
        counts.correct[0] += u64::from(class == 0);
        counts.correct[1] -= u64::from(class == 1);
    }
    consider(f64::midpoint(rows[rows.len() - 1].0, 1.0), counts.metric(metric));
    Ok(best)
}

fn value_at(rows: &[(f64, u32)], threshold: f64, metric: ClassMetric) -> f64 {
    let mut counts = ClassCounts::zeros(2);
    for &(probability, class) in rows {
        let given = u32::from(probability >= threshold);
        counts.actual[class as usize] += 1;
        counts.predicted[given as usize] += 1;
        counts.correct[class as usize] += u64::from(given == class);
    }
    counts.metric(metric)
}

/// The classes that rows are given with a threshold.
pub fn classes_at(probabilities: &DenseMatrix, threshold: f64) -> Vec<u32> {
    (0..probabilities.rows())
        .map(|row| u32::from(f64::from(probabilities.row(row)[1]) >= threshold))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const METRICS: [ClassMetric; 4] =
        [ClassMetric::Accuracy, ClassMetric::MacroF1, ClassMetric::BalancedAccuracy, ClassMetric::Mcc];

    fn matrix(seconds: &[f32]) -> DenseMatrix {
        let values = seconds.iter().flat_map(|second| [1.0 - second, *second]).collect();
        DenseMatrix::new(seconds.len(), 2, values).unwrap()
    }

    proptest! {
        #[test]
        fn no_other_threshold_is_better(rows in prop::collection::vec((0_u32..2, 0_u32..40), 2..60), which in 0_usize..4) {
            let actual: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let seconds: Vec<f32> = rows.iter().map(|row| row.1 as f32 / 40.0).collect();
            let probabilities = matrix(&seconds);
            let (threshold, value) = fit_threshold(&actual, &probabilities, METRICS[which]).unwrap();
            let of = |threshold: f64| {
                let given = classes_at(&probabilities, threshold);
                ClassCounts::from_predictions(&actual, &given, 2).unwrap().metric(METRICS[which])
            };
            prop_assert!((of(threshold) - value).abs() < 1e-12);
            for step in 0..=80 {
                prop_assert!(of(f64::from(step) / 80.0 + 1e-6) <= value + 1e-12);
            }
        }
    }

    #[test]
    fn a_rare_class_is_given_earlier_for_its_recall_and_equals_stay_at_one_half() {
        let seconds = [0.05, 0.1, 0.2, 0.3, 0.3, 0.45];
        let actual = [0, 0, 0, 1, 1, 1];
        let (threshold, value) =
            fit_threshold(&actual, &matrix(&seconds), ClassMetric::BalancedAccuracy).unwrap();
        assert!((threshold - 0.25).abs() < 1e-6 && value == 1.0, "{threshold} {value}");
        let (threshold, _) = fit_threshold(&[0, 1], &matrix(&[0.2, 0.9]), ClassMetric::Accuracy).unwrap();
        assert_eq!(threshold, 0.5);
    }

    #[test]
    fn what_has_no_two_classes_is_refused() {
        let three = DenseMatrix::new(1, 3, vec![0.2, 0.3, 0.5]).unwrap();
        assert!(fit_threshold(&[0], &three, ClassMetric::Accuracy).is_err());
        assert!(fit_threshold(&[], &matrix(&[]), ClassMetric::Accuracy).is_err());
        assert!(fit_threshold(&[2], &matrix(&[0.5]), ClassMetric::Accuracy).is_err());
    }
}
