//! Do similarities of vectors order pairs of texts as people do?

use crate::error::{Error, Result};
use crate::evaluation::regression::{pearson, spearman};
use crate::features::matrix::DenseMatrix;
use std::collections::BTreeMap;

/// A correlation with gold scores; `None` where a side is constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlations {
    /// Of ranks.
    pub spearman: Option<f64>,
    /// Of values.
    pub pearson: Option<f64>,
}

/// Correlations of gold scores with the similarities of pairs `[pairs, width]`, by the names of sentence-transformers: `cosine`,
/// `dot` product, and `euclidean` and `manhattan` distance with its sign changed.
///
/// # Errors
/// Sides or scores of different numbers of rows; numbers that are not finite.
pub fn similarity_correlations(
    first: &DenseMatrix,
    second: &DenseMatrix,
    scores: &[f64],
) -> Result<BTreeMap<&'static str, Correlations>> {
    if first.rows() != second.rows() || first.columns() != second.columns() {
        let problem = "the sides of the pairs have different shapes";
        return Err(Error::config("input_file", problem, "give two texts in each row"));
    }
    let of = |(name, similarity): (&'static str, OfPair)| {
        let values: Vec<f64> =
            (0..first.rows()).map(|row| similarity(first.row(row), second.row(row))).collect();
        let correlations =
            Correlations { spearman: spearman(scores, &values)?, pearson: pearson(scores, &values)? };
        Ok((name, correlations))
    };
    SIMILARITIES.into_iter().map(of).collect()
}

/// How like two vectors are.
type OfPair = fn(&[f32], &[f32]) -> f64;

const SIMILARITIES: [(&str, OfPair); 4] = [
    ("cosine", |a, b| {
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
    }),
    ("dot", dot),
    ("euclidean", |a, b| -sum(a, b, |a, b| (a - b).powi(2)).sqrt()),
    ("manhattan", |a, b| -sum(a, b, |a, b| (a - b).abs())),
];

fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| a * b)
}

fn sum(a: &[f32], b: &[f32], of: impl Fn(f64, f64) -> f64) -> f64 {
    a.iter().zip(b).map(|(a, b)| of(f64::from(*a), f64::from(*b))).sum()
}
