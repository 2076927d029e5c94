//! Areas, temperature, tests and bootstraps against scikit-learn, scipy and statsmodels: `goldens/significance.py`.

use crate::evaluation::bootstrap::{
    BootstrapOptions, ComparisonOptions, Direction, PairedSeed, paired_bootstrap, seed_widening,
};
use crate::evaluation::metrics::Metric;
use crate::evaluation::probabilities::log_loss;
use crate::evaluation::row_metric::MeanRows;
use crate::evaluation::statistics::{McNemar, detectable_difference, holm};
use crate::evaluation::temperature::{at_temperature, fit_temperature};
use crate::features::matrix::DenseMatrix;
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/significance/significance.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= tolerance, "{found} against {expected}");
}

/// Tolerance 1e-9; the measured maximum difference is 2e-16.
#[test]
fn average_precision_equals_scikit_learn() {
    for case in golden()["probabilities"].as_array().unwrap() {
        let (actual, probabilities) = rows(case);
        close(Metric::PrAuc.of_classes(&actual, &probabilities).unwrap(), &case["pr_auc"], 1e-9);
    }
}

fn rows(case: &Value) -> (Vec<u32>, DenseMatrix) {
    let actual: Vec<u32> = list(&case["actual"]);
    let columns: usize = list(&case["class_count"]);
    let probabilities = DenseMatrix::new(actual.len(), columns, list(&case["probabilities"])).unwrap();
    (actual, probabilities)
}

/// The reference is scipy's bounded minimiser, which ends within 1e-7 of the logarithm of the temperature.
#[test]
fn temperature_equals_the_minimum_that_scipy_finds() {
    for case in golden()["probabilities"].as_array().unwrap() {
        let (actual, probabilities) = rows(case);
        let temperature = fit_temperature(&actual, &probabilities).unwrap();
        close(temperature.ln(), &case["log_temperature"], 1e-5);
        let scaled = at_temperature(&probabilities, temperature).unwrap();
        close(log_loss(&actual, &scaled).unwrap(), &case["scaled_log_loss"], 1e-6);
    }
}

#[test]
fn tests_and_corrections_equal_statsmodels() {
    let golden = golden();
    for case in golden["mcnemar"].as_array().unwrap() {
        let test = McNemar::from_counts(list(&case["only_first"]), list(&case["only_second"]));
        close(test.exact_p, &case["exact_p"], 1e-9);
    }
    for case in golden["holm"].as_array().unwrap() {
        let adjusted: Vec<f64> = list(&case["adjusted"]);
        let found = holm(&list::<Vec<f64>>(&case["p_values"]));
        assert!(found.iter().zip(&adjusted).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {adjusted:?}");
    }
}

/// statsmodels also counts rejections on the wrong side, which are one in a million here.
#[test]
fn power_equals_statsmodels() {
    for case in golden()["power"].as_array().unwrap() {
        let found = detectable_difference(list(&case["rows"]), list(&case["disagreement"])).unwrap();
        close(found / case["difference"].as_f64().unwrap(), &Value::from(1.0), 1e-5);
    }
}

#[test]
fn the_widening_of_seeds_uses_the_quantiles_of_scipy() {
    for case in golden()["widening"].as_array().unwrap() {
        let (seeds, expected): (usize, f64) = (list(&case["seeds"]), list(&case["factor"]));
        let found = seed_widening(seeds);
        assert!((found / expected - 1.0).abs() < if seeds <= 10 { 1e-12 } else { 1e-2 }, "{seeds}: {found}");
    }
}

/// The reference draws 400,000 resamples, this test 40,000: the ends of both lie within 2 % of the width.
#[test]
fn bootstraps_equal_those_of_scipy_and_numpy() {
    for case in golden()["bootstraps"].as_array().unwrap() {
        let runs = |name: &str| -> Vec<MeanRows> {
            let runs: Vec<Vec<f64>> = list(&case[name]);
            runs.into_iter().map(|values| MeanRows { values }).collect()
        };
        let (baseline, candidate) = (runs("baseline"), runs("candidate"));
        let pairs = baseline.iter().zip(&candidate);
        let pairs: Vec<PairedSeed<'_>> =
            pairs.map(|(baseline, candidate)| PairedSeed { baseline, candidate }).collect();
        let bootstrap = BootstrapOptions { resamples: 40_000, confidence: 0.95, seed: 3 };
        let rope = list(&case["rope"]);
        let options = ComparisonOptions { bootstrap, direction: Direction::GreaterIsBetter, rope };
        let found = paired_bootstrap(&pairs, &options).unwrap();
        let width = case["high"].as_f64().unwrap() - case["low"].as_f64().unwrap();
        close(found.difference.estimate, &case["estimate"], 1e-12);
        close(found.difference.low, &case["low"], 0.02 * width);
        close(found.difference.high, &case["high"], 0.02 * width);
        close(found.probability_above_rope, &case["above_rope"], 0.01);
        close(found.probability_within_rope, &case["within_rope"], 0.01);
    }
}
