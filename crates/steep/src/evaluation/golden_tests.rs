//! Metrics against scikit-learn and scipy: `goldens/metrics.py`.
//!
//! Tolerance 1e-9 everywhere; the measured maximum difference over all metrics is 7.8e-14.

use crate::evaluation::class_counts::{ClassCounts, ClassMetric};
use crate::evaluation::confusion::ConfusionMatrix;
use crate::evaluation::metrics::Metric;
use crate::evaluation::statistics::McNemar;
use crate::features::matrix::DenseMatrix;
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/metrics/metrics.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn members(value: &Value) -> Vec<bool> {
    list::<Vec<u8>>(value).into_iter().map(|member| member == 1).collect()
}

fn close(found: f64, expected: &Value, name: &str) {
    let expected = expected.as_f64().unwrap();
    let difference = (found - expected).abs();
    assert!(difference < 1e-9, "{name}: {found} against {expected}");
}

#[test]
fn class_metrics_equal_scikit_learn() {
    for case in golden()["classes"].as_array().unwrap() {
        let (actual, predicted): (Vec<u32>, Vec<u32>) = (list(&case["actual"]), list(&case["predicted"]));
        let class_count = list(&case["class_count"]);
        let counts = ClassCounts::from_predictions(&actual, &predicted, class_count).unwrap();
        for (name, metric) in [
            ("accuracy", ClassMetric::Accuracy),
            ("balanced_accuracy", ClassMetric::BalancedAccuracy),
            ("macro_f1", ClassMetric::MacroF1),
            ("micro_f1", ClassMetric::MicroF1),
            ("weighted_f1", ClassMetric::WeightedF1),
            ("mcc", ClassMetric::Mcc),
        ] {
            close(counts.metric(metric), &case[name], &format!("{} {name}", case["name"]));
        }
        for (class, score) in counts.per_class().iter().enumerate() {
            close(score.precision, &case["precision"][class], "precision");
            close(score.recall, &case["recall"][class], "recall");
            close(score.f1, &case["f1"][class], "f1");
            assert_eq!(score.support, list::<u64>(&case["support"][class]));
        }
        let confusion = ConfusionMatrix::from_predictions(&actual, &predicted, class_count).unwrap();
        assert_eq!(confusion.counts, list::<Vec<u64>>(&case["confusion"]));
    }
}

#[test]
fn probability_metrics_equal_scikit_learn() {
    for case in golden()["probabilities"].as_array().unwrap() {
        let actual: Vec<u32> = list(&case["actual"]);
        let columns: usize = list(&case["class_count"]);
        let values: Vec<f32> = list(&case["probabilities"]);
        let probabilities = DenseMatrix::new(actual.len(), columns, values).unwrap();
        for (name, metric) in [
            ("log_loss", Metric::LogLoss),
            ("brier", Metric::BrierScore),
            ("calibration_error", Metric::CalibrationError),
            ("roc_auc", Metric::RocAuc),
        ] {
            close(metric.of_classes(&actual, &probabilities).unwrap(), &case[name], name);
        }
    }
}

#[test]
fn multi_label_metrics_equal_scikit_learn() {
    for case in golden()["multi_label"].as_array().unwrap() {
        let actual = members(&case["actual"]);
        let columns: usize = list(&case["label_count"]);
        let scores = DenseMatrix::new(actual.len() / columns, columns, list(&case["scores"])).unwrap();
        for (name, metric) in [
            ("macro_f1", Metric::MacroF1),
            ("micro_f1", Metric::MicroF1),
            ("weighted_f1", Metric::WeightedF1),
            ("subset_accuracy", Metric::SubsetAccuracy),
            ("hamming_loss", Metric::HammingLoss),
            ("ranking_precision", Metric::LabelRankingAveragePrecision),
        ] {
            close(metric.of_labels(&actual, &scores).unwrap(), &case[name], name);
        }
    }
}

#[test]
fn regression_metrics_equal_scikit_learn_and_scipy() {
    for case in golden()["regression"].as_array().unwrap() {
        let (actual, predicted): (Vec<f64>, Vec<f64>) = (list(&case["actual"]), list(&case["predicted"]));
        for (name, metric) in [
            ("mean_squared_error", Metric::MeanSquaredError),
            ("mean_absolute_error", Metric::MeanAbsoluteError),
            ("r_squared", Metric::RSquared),
            ("pearson", Metric::Pearson),
            ("spearman", Metric::Spearman),
        ] {
            close(metric.of_values(&actual, &predicted).unwrap(), &case[name], name);
        }
    }
}

#[test]
fn mcnemar_equals_the_binomial_test_of_scipy() {
    for case in golden()["mcnemar"].as_array().unwrap() {
        let test = McNemar::from_counts(list(&case["only_first"]), list(&case["only_second"]));
        close(test.exact_p, &case["exact_p"], "exact_p");
        close(test.mid_p, &case["mid_p"], "mid_p");
    }
}
