//! Learners beside logistic and ridge regression against scikit-learn: `goldens/learners.py`, part `others`.

use crate::features::matrix::{DenseMatrix, Features};
use crate::learners::calibration::{Calibration, CalibrationMethod};
use crate::learners::choice::outputs_of;
use crate::learners::discriminant::{Shrinkage, fit_discriminant};
use crate::learners::labels::{ClassWeight, Labels, SampleWeights};
use crate::learners::linear_model::LinearModel;
use crate::learners::linear_svm::LinearSvm;
use crate::learners::logistic_regression::{LogisticRegression, TrainingRows};
use crate::learners::nearest_centroid::fit_nearest_centroid;
use crate::learners::neighbors::{Distance, NeighborTargets, NeighborWeights, Neighbors};
use crate::learners::ridge_classifier::RidgeClassifier;
use crate::progress::{Cancel, Context, Silent};
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/learners/learners.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn given(golden: &Value) -> Features {
    Features::Dense(DenseMatrix::new(400, 20, list(&golden["dense"]["values"])).unwrap())
}

fn scaled(golden: &Value) -> Features {
    Features::Dense(DenseMatrix::new(400, 20, list(&golden["others"]["scaled"])).unwrap())
}

fn matrix(features: &Features) -> &DenseMatrix {
    let Features::Dense(matrix) = features else { unreachable!("the golden rows are dense") };
    matrix
}

fn labels(case: &Value) -> Labels {
    Labels::single_label(list(&case["labels"]), list(&case["class_count"])).unwrap()
}

fn with_context<R>(work: impl FnOnce(&Context<'_>) -> R) -> R {
    work(&Context { progress: &Silent, cancel: &Cancel::default() })
}

fn largest_difference(found: &[f32], expected: &Value) -> f64 {
    let expected: Vec<f64> = list(expected);
    assert_eq!(found.len(), expected.len());
    found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

/// The class of the largest decision; of one decision, whether it is above 0.
fn predictions(model: &LinearModel, features: &Features) -> Vec<u32> {
    let decisions = model.decision_function(features).unwrap();
    let class = |row: usize| {
        let values = decisions.row(row);
        if values.len() == 1 {
            return u32::from(values[0] > 0.0);
        }
        (0..values.len()).fold(0, |best, next| if values[next] > values[best] { next } else { best }) as u32
    };
    (0..decisions.rows()).map(class).collect()
}

/// Coefficients and intercepts to `tolerance`, all predictions.
fn check_linear(name: &str, model: &LinearModel, features: &Features, case: &Value, tolerance: f64) {
    let coefficients = largest_difference(&model.coefficients, &case["coef"]);
    let difference = coefficients.max(largest_difference(&model.intercepts, &case["intercept"]));
    assert!(difference < tolerance, "{name}: {difference:e}");
    assert_eq!(predictions(model, features), list::<Vec<u32>>(&case["predictions"]), "{name}");
}

/// Objectives to 1e-6 relative, probabilities to 1e-3, all predictions.
#[test]
fn elastic_nets_reach_the_optimum_of_scikit_learn() {
    let golden = golden();
    let features = scaled(&golden);
    for case in golden["others"]["elastic_net"].as_array().unwrap() {
        let labels = labels(case);
        let learner = LogisticRegression {
            c: list(&case["c"]),
            l1_ratio: list(&case["l1_ratio"]),
            class_weight: ClassWeight::None,
            tolerance: 1e-6,
            max_iterations: 5000,
        };
        let rows =
            TrainingRows { features: &features, labels: &labels, sample_weights: SampleWeights::Equal };
        let (model, report) = with_context(|context| learner.fit(&rows, context)).unwrap();
        let relative = report.objective / case["objective"].as_f64().unwrap() - 1.0;
        assert!(relative.abs() < 1e-6, "{}: {relative:e}", learner.c);
        let first = features.select_rows(&(0..20).collect::<Vec<_>>());
        let difference =
            largest_difference(model.predict_proba(&first).unwrap().values(), &case["probabilities"]);
        assert!(difference < 1e-3, "{}: {difference:e}", learner.c);
        assert_eq!(predictions(&model, &features), list::<Vec<u32>>(&case["predictions"]));
        let zeros = model.coefficients.iter().filter(|weight| **weight == 0.0).count();
        assert_eq!(zeros as u64, case["zeros"].as_u64().unwrap(), "weights that are exactly zero");
    }
}

fn svm(case: &Value, features: &Features, labels: &Labels) -> LinearModel {
    let class_weight = case.get("class_weight").map_or(ClassWeight::None, list);
    let svm = LinearSvm { class_weight, tolerance: 1e-7, max_iterations: 5000 };
    let mut models = Vec::new();
    let c = case.get("c").map_or(1.0, list);
    with_context(|context| {
        svm.fit_each(features, labels, &[c], context, |model, _| {
            models.push(model);
            Ok(())
        })
    })
    .unwrap();
    models.remove(0)
}

/// Tolerance 1e-3.
#[test]
fn linear_svm_equals_scikit_learn() {
    let golden = golden();
    let features = scaled(&golden);
    for case in golden["others"]["linear_svm"].as_array().unwrap() {
        check_linear("linear svm", &svm(case, &features, &labels(case)), &features, case, 1e-3);
    }
}

/// Probabilities of decisions on folds to 1e-3; an isotonic step may fall between two decisions that differ by
/// rounding, so that 1 in 40 rows may be off.
#[test]
fn calibration_equals_scikit_learn() {
    let golden = golden();
    let features = scaled(&golden);
    for case in golden["others"]["calibration"].as_array().unwrap() {
        let labels = labels(case);
        let mut unseen = Vec::new();
        let mut outputs = 0;
        let mut order = Vec::new();
        for fold in 0..4 {
            let (held_out, training): (Vec<u32>, Vec<u32>) = (0..400).partition(|row| row % 4 == fold);
            let model = svm(case, &features.select_rows(&training), &labels.select_rows(&training));
            let decisions = model.decision_function(&features.select_rows(&held_out)).unwrap();
            outputs = decisions.columns();
            unseen.extend_from_slice(decisions.values());
            order.extend(held_out);
        }
        let unseen = DenseMatrix::new(400, outputs, unseen).unwrap();
        let method: CalibrationMethod = list(&case["method"]);
        let calibration = Calibration::fit(method, &unseen, &labels.select_rows(&order));
        let first = features.select_rows(&(0..40).collect::<Vec<_>>());
        let decisions = svm(case, &features, &labels).decision_function(&first).unwrap();
        let found = calibration.probabilities(&decisions, outputs_of(&labels)).unwrap();
        let expected: Vec<f64> = list(&case["probabilities"]);
        let pairs = found.values().chunks(found.columns()).zip(expected.chunks(found.columns()));
        let off = pairs.filter(|(found, expected)| {
            found.iter().zip(*expected).any(|(a, b)| (f64::from(*a) - b).abs() > 1e-3)
        });
        let allowed = usize::from(method == CalibrationMethod::Isotonic);
        let off = off.count();
        assert!(off <= allowed, "{method:?}: {off} rows");
    }
}

/// Tolerance 1e-5.
#[test]
fn ridge_classifier_equals_scikit_learn() {
    let golden = golden();
    let features = given(&golden);
    for case in golden["others"]["ridge_classifier"].as_array().unwrap() {
        let ridge = RidgeClassifier { class_weight: list(&case["class_weight"]) };
        let alphas = [case["alpha"].as_f64().unwrap()];
        with_context(|context| {
            ridge.fit_each(&features, &labels(case), &alphas, context, |model| {
                check_linear("ridge classifier", &model, &features, case, 1e-5);
                Ok(())
            })
        })
        .unwrap();
    }
}

#[test]
fn nearest_centroids_equal_scikit_learn() {
    let golden = golden();
    let features = given(&golden);
    for case in golden["others"]["nearest_centroid"].as_array().unwrap() {
        let model = fit_nearest_centroid(matrix(&features), &labels(case)).unwrap();
        assert_eq!(predictions(&model, &features), list::<Vec<u32>>(&case["predictions"]));
    }
}

/// Tolerance 1e-4; probabilities of the solver `svd` to 1e-4.
#[test]
fn discriminant_analysis_equals_scikit_learn() {
    let golden = golden();
    let features = given(&golden);
    for case in golden["others"]["lda"].as_array().unwrap() {
        let shrinkage: Shrinkage = list(&case["shrinkage"]);
        let fit =
            |context: &Context<'_>| fit_discriminant(matrix(&features), &labels(case), shrinkage, context);
        let model = with_context(fit).unwrap();
        check_linear("discriminant analysis", &model, &features, case, 1e-4);
        if shrinkage == Shrinkage::None {
            let first = features.select_rows(&(0..20).collect::<Vec<_>>());
            let rows: Vec<Vec<f64>> = list(&golden["others"]["lda_svd"]);
            let found = model.predict_proba(&first).unwrap();
            let expected = rows.concat();
            let pairs = found.values().iter().zip(&expected);
            assert!(pairs.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) < 1e-4);
        }
    }
}

/// Tolerance 1e-4 of shares and of values relative to their size.
#[test]
fn neighbors_equal_scikit_learn() {
    let golden = golden();
    let features = given(&golden);
    let classes: Vec<u32> = list(&golden["others"]["nearest_centroid"][0]["labels"]);
    let values: Vec<f32> = list(&golden["ridge"]["values"]);
    let (training, queries) = ((0..300).collect::<Vec<_>>(), (300..400).collect::<Vec<_>>());
    let (training, queries) = (features.select_rows(&training), features.select_rows(&queries));
    for case in golden["others"]["neighbors"].as_array().unwrap() {
        let (metric, weights): (Distance, NeighborWeights) = (list(&case["metric"]), list(&case["weights"]));
        let fit = |targets| {
            Neighbors::new(matrix(&training).clone(), targets, list(&case["n_neighbors"]), metric, weights)
                .unwrap()
                .outputs_of(matrix(&queries))
                .unwrap()
        };
        let shares = fit(NeighborTargets::Classes(classes[..300].to_vec(), 5));
        let difference = largest_difference(shares.values(), &case["probabilities"]);
        assert!(difference < 1e-4, "{metric:?} {weights:?}: {difference:e}");
        let means = fit(NeighborTargets::Values(values[..300].to_vec()));
        let difference = largest_difference(means.values(), &case["values"]);
        assert!(difference < 1e-3, "{metric:?} {weights:?}: {difference:e}");
    }
}
