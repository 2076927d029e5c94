//! How good are an encoder's vectors, and how far did training move them?
//!
//! One file a task. Each reads its rows, makes vectors or an index of them, and returns an [`EvaluationReport`], which is what
//! `results.json` holds.

mod pairs;
mod retrieval;
mod rows;
mod texts;

pub use pairs::{PairInput, evaluate_alignment, evaluate_sts};
pub use retrieval::{RetrievalInput, RetrievalSettings, evaluate_retrieval};
pub use texts::{EvaluatedModel, LabelledTexts, evaluate_clustering, evaluate_drift};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What vectors are tried at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationTask {
    /// Finding the documents that belong to queries.
    Retrieval,
    /// Ordering pairs of texts by how alike they are.
    Sts,
    /// Nothing: two encoders' vectors of the same texts are compared.
    Drift,
    /// Keeping near what belongs together, and spreading over the sphere.
    Alignment,
    /// Forming clusters that follow labels.
    Clustering,
}

impl EvaluationTask {
    /// Their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("retrieval", Self::Retrieval),
        ("sts", Self::Sts),
        ("drift", Self::Drift),
        ("alignment", Self::Alignment),
        ("clustering", Self::Clustering),
    ];
}

/// Metrics by name; `None` where one is not defined.
pub type Scores = BTreeMap<String, Option<f64>>;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The layout of this report.
    pub format_version: u32,
    /// What was tried.
    pub task: EvaluationTask,
    /// Names the encoder's content, if there was one.
    pub model_digest: Option<String>,
    /// Rows of each kind.
    pub counts: BTreeMap<String, u64>,
    /// The metrics of each method (`retrieval`) or similarity (`sts`), else those of `vectors`.
    pub scores: BTreeMap<String, Scores>,
}

impl EvaluationReport {
    fn new<const N: usize>(task: EvaluationTask, model: Option<&str>, counts: [(&str, usize); N]) -> Self {
        Self {
            format_version: 1,
            task,
            model_digest: model.map(str::to_owned),
            counts: counts.into_iter().map(|(name, count)| (name.to_owned(), count as u64)).collect(),
            scores: BTreeMap::new(),
        }
    }

    /// With metrics under a name.
    fn with(mut self, name: &str, scores: impl IntoIterator<Item = (String, Option<f64>)>) -> Self {
        self.scores.insert(name.to_owned(), scores.into_iter().collect());
        self
    }
}

/// Metrics that have a value and a short name.
fn named<const N: usize>(scores: [(&str, Option<f64>); N]) -> [(String, Option<f64>); N] {
    scores.map(|(name, value)| (name.to_owned(), value))
}

/// The name of the scores of vectors as they are.
const VECTORS: &str = "vectors";

#[cfg(test)]
mod tests;
