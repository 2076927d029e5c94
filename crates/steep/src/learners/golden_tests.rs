//! Learners and scalers against scikit-learn: `goldens/learners.py`.

use crate::evaluation::metrics::Metric;
use crate::features::matrix::{DenseMatrix, Features, SparseMatrix};
use crate::features::scaling::{MaxAbsScaler, Scaling, StandardScaler};
use crate::learners::cross_validation::LogisticRegressionCv;
use crate::learners::labels::{ClassWeight, Labels, SampleWeights};
use crate::learners::linear_fit::Stop;
use crate::learners::linear_model::LinearModel;
use crate::learners::logistic_regression::{LogisticRegression, TrainingRows};
use crate::learners::ridge::RidgeRegression;
use crate::progress::{Cancel, Context, Silent};
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/learners/learners.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn dense(value: &Value) -> DenseMatrix {
    DenseMatrix::new(list(&value["rows"]), list(&value["columns"]), list(&value["values"])).unwrap()
}

fn features(golden: &Value, name: &str) -> Features {
    if name == "dense" {
        return Features::Dense(dense(&golden["dense"]));
    }
    let rows: Vec<Vec<(u32, f32)>> = list(&golden["sparse"]["rows"]);
    Features::Sparse(SparseMatrix::from_rows(list(&golden["sparse"]["columns"]), &rows).unwrap())
}

fn with_context<R>(work: impl FnOnce(&Context<'_>) -> R) -> R {
    work(&Context { progress: &Silent, cancel: &Cancel::default() })
}

fn largest_difference(found: &[f32], expected: &Value) -> f64 {
    let expected: Vec<f64> = list(expected);
    assert_eq!(found.len(), expected.len());
    found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

/// Coefficients to 1e-3, probabilities to 1e-4.
fn check_model(name: &str, model: &LinearModel, features: &Features, case: &Value) {
    let first_rows = features.select_rows(&(0..20).collect::<Vec<_>>());
    let probabilities = model.predict_proba(&first_rows).unwrap();
    let differences = [
        largest_difference(&model.coefficients, &case["coef"]),
        largest_difference(&model.intercepts, &case["intercept"]),
        largest_difference(probabilities.values(), &case["probabilities"]),
    ];
    let within = differences[0] < 1e-3 && differences[1] < 1e-3 && differences[2] < 1e-4;
    assert!(within, "{name}: {differences:?}");
}

/// Coefficients and intercepts to 1e-3, probabilities to 1e-4, objectives to 1e-5 relative.
/// Measured maximum differences: coefficients 1.1e-4, intercepts 1.7e-4, probabilities 6.4e-6, objectives 1.2e-8.
#[test]
fn logistic_regression_equals_scikit_learn() {
    let golden = golden();
    for case in golden["logistic"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let features = features(&golden, case["features"].as_str().unwrap());
        let labels = Labels::single_label(list(&case["labels"]), list(&case["class_count"])).unwrap();
        let weights: Option<Vec<f64>> = list(&case["sample_weights"]);
        let learner = LogisticRegression {
            c: list(&case["c"]),
            l1_ratio: 0.0,
            class_weight: list::<ClassWeight>(&case["class_weight"]),
            tolerance: 1e-7,
            max_iterations: 5000,
        };
        let sample_weights = weights.as_deref().map_or(SampleWeights::Equal, SampleWeights::Given);
        let rows = TrainingRows { features: &features, labels: &labels, sample_weights };
        let (model, report) = with_context(|context| learner.fit(&rows, context)).unwrap();
        assert_ne!(report.stop, Stop::IterationLimit, "{name}");
        let objective = case["objective"].as_f64().unwrap();
        assert!((report.objective / objective - 1.0).abs() < 1e-5, "{name}: {}", report.objective);
        check_model(name, &model, &features, case);
    }
}

/// Tolerances as above. Measured maximum differences: 9.2e-6, 2.8e-5 and 2.0e-6.
#[test]
fn several_labels_equal_one_vs_rest() {
    let golden = golden();
    let features = features(&golden, "dense");
    for case in golden["multi_label"].as_array().unwrap() {
        let members = list::<Vec<u8>>(&case["members"]).into_iter().map(|member| member == 1).collect();
        let labels = Labels::multi_label(members, list(&case["label_count"])).unwrap();
        let learner = LogisticRegression {
            c: list(&case["c"]),
            l1_ratio: 0.0,
            class_weight: list(&case["class_weight"]),
            tolerance: 1e-7,
            max_iterations: 5000,
        };
        let rows =
            TrainingRows { features: &features, labels: &labels, sample_weights: SampleWeights::Equal };
        let (model, _) = with_context(|context| learner.fit(&rows, context)).unwrap();
        check_model("several labels", &model, &features, case);
    }
}

/// Tolerance 1e-4; measured maximum difference 3.6e-7 (sparse, by conjugate gradients; 1.1e-7 dense).
#[test]
fn ridge_equals_scikit_learn() {
    let golden = golden();
    let check = |features: &Features, values: &[f64], case: &Value| {
        let learner = RidgeRegression { alpha: list(&case["alpha"]) };
        let model = with_context(|context| learner.fit(features, values, context)).unwrap();
        let intercept = f64::from(model.intercepts[0]) - case["intercept"].as_f64().unwrap();
        let difference = largest_difference(&model.coefficients, &case["coef"]).max(intercept.abs());
        assert!(difference < 1e-4, "{difference:e}");
    };
    for case in golden["ridge"]["fits"].as_array().unwrap() {
        check(&features(&golden, "dense"), &list::<Vec<f64>>(&golden["ridge"]["values"]), case);
    }
    let case = &golden["sparse_ridge"];
    check(&features(&golden, "sparse"), &list::<Vec<f64>>(&case["values"]), case);
}

/// Statistics to 1e-9 relative, scaled values to 1e-5; measured maximum difference 1.1e-7.
#[test]
fn scalers_equal_scikit_learn() {
    let golden = golden();
    let case = &golden["scaler"];
    let mut matrix = dense(case);
    let scaler = StandardScaler::fit(&matrix).unwrap();
    for (found, expected) in [(&scaler.mean, &case["mean"]), (&scaler.scale, &case["scale"])] {
        let expected: Vec<f64> = list(expected);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs().max(1e-3)));
    }
    let max_abs = MaxAbsScaler::fit(&Features::Dense(matrix.clone())).unwrap();
    assert_eq!(max_abs.scale, list::<Vec<f64>>(&case["max_abs"]));
    scaler.transform(&mut matrix).unwrap();
    let difference = largest_difference(matrix.values(), &case["transformed"]);
    assert!(difference < 1e-5, "{difference:e}");
}

/// Scores to 1e-5; measured maximum difference 2.4e-6 for the log-loss, 0 for metrics of hits.
#[test]
fn selection_on_folds_equals_an_explicit_loop() {
    let golden = golden();
    let features = features(&golden, "dense");
    let labels = Labels::single_label(list(&golden["logistic"][0]["labels"]), 5).unwrap();
    let case = &golden["selection"];
    for by_metric in case["by_metric"].as_array().unwrap() {
        let metric: Metric = list(&by_metric["metric"]);
        let search = LogisticRegressionCv {
            c_grid: list(&case["grid"]),
            metric,
            scaling: Scaling::Standard,
            learner: LogisticRegression { tolerance: 1e-7, ..LogisticRegression::default() },
        };
        let folds: Vec<u32> = list(&case["folds"]);
        let found = with_context(|context| search.select(&features, &labels, &folds, context)).unwrap();
        let expected: Vec<Vec<f64>> = list(&by_metric["fold_scores"]);
        for (candidate, expected) in found.candidates.iter().zip(&expected) {
            let pairs = candidate.fold_scores.iter().zip(expected);
            let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(largest < 1e-5, "{metric:?} {}: {largest:e}", candidate.c);
        }
        assert_eq!(found.c, best(&list::<Vec<f64>>(&case["grid"]), &expected, metric), "{metric:?}");
    }
}

fn best(grid: &[f64], scores: &[Vec<f64>], metric: Metric) -> f64 {
    let sign = if metric.is_greater_better() { 1.0 } else { -1.0 };
    let mean = |scores: &[f64]| sign * scores.iter().sum::<f64>() / scores.len() as f64;
    let top = scores.iter().map(|scores| mean(scores)).fold(f64::NEG_INFINITY, f64::max);
    let first = scores.iter().position(|scores| mean(scores) >= top - 1e-9).unwrap();
    grid[first]
}

#[test]
fn a_warm_start_ends_where_a_cold_one_does() {
    let golden = golden();
    let features = features(&golden, "dense");
    let labels = Labels::single_label(list(&golden["logistic"][0]["labels"]), 5).unwrap();
    let rows = TrainingRows { features: &features, labels: &labels, sample_weights: SampleWeights::Equal };
    let learner = |c| LogisticRegression { c, tolerance: 1e-7, ..LogisticRegression::default() };
    with_context(|context| {
        let (start, _) = learner(0.1).fit(&rows, context).unwrap();
        let (cold, cold_report) = learner(1.0).fit(&rows, context).unwrap();
        let (warm, warm_report) = learner(1.0).fit_from(&start, &rows, context).unwrap();
        assert!((cold_report.objective / warm_report.objective - 1.0).abs() < 1e-7);
        let pairs = cold.coefficients.iter().zip(&warm.coefficients);
        assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-3);
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let golden = golden();
    let labels = Labels::single_label(list(&golden["logistic"][0]["labels"]), 5).unwrap();
    let features = features(&golden, "dense");
    let rows = TrainingRows { features: &features, labels: &labels, sample_weights: SampleWeights::Equal };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| with_context(|context| LogisticRegression::default().fit(&rows, context)).unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn absent_classes_and_labels_get_small_probabilities() {
    let features = Features::Dense(DenseMatrix::new(6, 1, vec![-1.0, -2.0, -1.5, 1.0, 2.0, 1.5]).unwrap());
    let fit = |labels: &Labels| {
        let rows = TrainingRows { features: &features, labels, sample_weights: SampleWeights::Equal };
        with_context(|context| LogisticRegression::default().fit(&rows, context)).unwrap().0
    };
    let model = fit(&Labels::single_label(vec![0, 0, 0, 2, 2, 2], 3).unwrap());
    let probabilities = model.predict_proba(&features).unwrap();
    assert!((0..6).all(|row| probabilities.row(row)[1] < 1e-2));
    let members = [true, false].repeat(3).into_iter().flat_map(|member| [member, false]).collect();
    let model = fit(&Labels::multi_label(members, 2).unwrap());
    let probabilities = model.predict_proba(&features).unwrap();
    assert!((0..6).all(|row| probabilities.row(row)[1] < 1e-2));
}

#[test]
fn what_cannot_be_fitted_is_an_error_with_a_cure() {
    let features = Features::Dense(DenseMatrix::new(2, 1, vec![0.0, 1.0]).unwrap());
    let fit = |learner: LogisticRegression, indices: Vec<u32>| {
        let labels = Labels::single_label(indices, 2).unwrap();
        let rows =
            TrainingRows { features: &features, labels: &labels, sample_weights: SampleWeights::Equal };
        with_context(|context| learner.fit(&rows, context)).map(|_| ()).map_err(|error| error.to_string())
    };
    let learner = LogisticRegression::default;
    assert_eq!(fit(learner(), vec![0, 1]), Ok(()));
    assert!(fit(learner(), vec![1, 1]).unwrap_err().contains("class 1"));
    assert!(fit(learner(), vec![0, 1, 1]).unwrap_err().contains("2 rows of features and 3 labels"));
    assert!(fit(LogisticRegression { c: 0.0, ..learner() }, vec![0, 1]).unwrap_err().contains("positive"));
    let class_weight = ClassWeight::Given(vec![1.0]);
    assert!(fit(LogisticRegression { class_weight, ..learner() }, vec![0, 1]).is_err());
}

#[test]
fn a_cancelled_fit_stops() {
    let features = Features::Dense(DenseMatrix::new(2, 1, vec![0.0, 1.0]).unwrap());
    let labels = Labels::single_label(vec![0, 1], 2).unwrap();
    let rows = TrainingRows { features: &features, labels: &labels, sample_weights: SampleWeights::Equal };
    let cancel = Cancel::default();
    cancel.cancel();
    let context = Context { progress: &Silent, cancel: &cancel };
    assert!(LogisticRegression::default().fit(&rows, &context).is_err());
}
