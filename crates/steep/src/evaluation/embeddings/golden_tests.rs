//! Metrics of vectors against sentence-transformers, scikit-learn and scipy: `goldens/embedding_evaluation.py`.

use super::alignment::{alignment, uniformity};
use super::clustering::cluster_agreement;
use super::drift::drift;
use super::retrieval::{Relevant, retrieval_metrics};
use super::similarity::similarity_correlations;
use crate::features::matrix::DenseMatrix;
use crate::stages::testing::quietly;
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/embedding_evaluation/reference.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn matrix(value: &Value) -> DenseMatrix {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    DenseMatrix::new(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= tolerance, "{found} against {expected}");
}

/// Rows by falling cosine.
fn ranked(queries: &DenseMatrix, corpus: &DenseMatrix) -> Vec<Vec<u32>> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let order = |query: usize| {
        let scores: Vec<f64> =
            (0..corpus.rows()).map(|row| cosine(queries.row(query), corpus.row(row))).collect();
        let mut rows: Vec<u32> = (0..corpus.rows() as u32).collect();
        rows.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        rows
    };
    (0..queries.rows()).map(order).collect()
}

/// Tolerance 1e-12: the ranks are the same, and the sums differ in their last bits.
#[test]
fn retrieval_equals_the_information_retrieval_evaluator() {
    let golden = &golden()["retrieval"];
    let relevant: Vec<Relevant> = serde_json::from_value(golden["relevant"].clone()).unwrap();
    let found = ranked(&matrix(&golden["queries"]), &matrix(&golden["corpus"]));
    let metrics = retrieval_metrics(&found, &relevant, &[1, 3, 5, 10]);
    assert_eq!(metrics.len(), golden["metrics"].as_object().unwrap().len());
    for (name, value) in &metrics {
        close(*value, &golden["metrics"][name], 1e-12);
    }
}

/// The reference computes similarities in 32 bits.
#[test]
fn correlations_equal_the_embedding_similarity_evaluator() {
    let golden = &golden()["similarity"];
    let scores: Vec<f64> = serde_json::from_value(golden["scores"].clone()).unwrap();
    let found =
        similarity_correlations(&matrix(&golden["first"]), &matrix(&golden["second"]), &scores).unwrap();
    assert_eq!(found.len(), 4);
    for (name, correlations) in found {
        close(correlations.pearson.unwrap(), &golden["metrics"][format!("pearson_{name}")], 1e-6);
        close(correlations.spearman.unwrap(), &golden["metrics"][format!("spearman_{name}")], 1e-9);
    }
}

/// Products of vectors of length one are summed in 32 bits here and in 64 bits there.
#[test]
fn drift_equals_numpy_scikit_learn_and_scipy() {
    let golden = &golden()["drift"];
    let (x, near, wide) = (matrix(&golden["x"]), matrix(&golden["near"]), matrix(&golden["wide"]));
    for (name, other) in [("near", near), ("wide", wide)] {
        let found = quietly(|ctx| drift(&x, &other, 5, ctx)).unwrap();
        let expected = &golden[format!("{name}_drift")];
        close(found.cka.unwrap(), &expected["cka"], 1e-9);
        close(found.neighbour_overlap, &expected["neighbour_overlap"], 1e-12);
        match found.procrustes_cosine {
            Some(value) => close(value, &expected["procrustes_cosine"], 1e-6),
            None => assert!(expected["procrustes_cosine"].is_null()),
        }
    }
    let itself = quietly(|ctx| drift(&x, &x, 5, ctx)).unwrap();
    assert!((itself.cka.unwrap() - 1.0).abs() < 1e-12 && itself.neighbour_overlap == 1.0);
    assert!((itself.procrustes_cosine.unwrap() - 1.0).abs() < 1e-6);
    assert!(quietly(|ctx| drift(&x, &x, x.rows(), ctx)).is_err());
}

/// Distances are those of vectors in 32 bits.
#[test]
fn alignment_and_uniformity_equal_their_definition_in_pytorch() {
    let golden = &golden()["similarity"];
    let (first, second) = (matrix(&golden["first"]), matrix(&golden["second"]));
    close(alignment(&first, &second).unwrap(), &golden["alignment"], 1e-6);
    close(uniformity(&first).unwrap(), &golden["uniformity"], 1e-6);
    let empty = DenseMatrix::new(0, 3, Vec::new()).unwrap();
    assert!(alignment(&empty, &empty).is_err() && uniformity(&empty).is_err());
}

#[test]
fn agreement_of_clusters_equals_scikit_learn() {
    for case in golden()["clustering"].as_array().unwrap() {
        let list = |name: &str| -> Vec<u32> { serde_json::from_value(case[name].clone()).unwrap() };
        let found = cluster_agreement(&list("classes"), &list("clusters")).unwrap();
        close(found.homogeneity, &case["homogeneity"], 1e-12);
        close(found.completeness, &case["completeness"], 1e-12);
        close(found.v_measure, &case["v_measure"], 1e-12);
        close(found.v_measure, &case["normalized_mutual_info"], 1e-12);
        close(found.adjusted_rand, &case["adjusted_rand"], 1e-12);
    }
}
