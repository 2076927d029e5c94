//! What was measured on: the data, the model, the machine, and how to do it again.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows in each part, after duplicates were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Labelled rows that models are fitted on.
    pub train: u64,
    /// Labelled rows that choose hyper-parameters and stopping points.
    pub validation: u64,
    /// Labelled rows that scores are computed on, and nothing else.
    pub test: u64,
    /// Texts without labels.
    pub unlabelled: u64,
}

/// One class and its rows in each part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class as the user's data spells it.
    pub name: String,
    /// Training rows.
    pub train: u64,
    /// Validation rows.
    pub validation: u64,
    /// Test rows.
    pub test: u64,
}

/// How alike two texts had to be to count as duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKind {
    /// The same characters after case folding and whitespace folding.
    Exact,
    /// Almost the same words.
    Near,
}

/// Two texts that were taken for duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicatePair {
    /// The text that stayed.
    pub kept: String,
    /// The text that was removed.
    pub removed: String,
}

/// Duplicates between two parts of the data (or within one, if both names are equal).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicates {
    /// Exact or near.
    pub kind: DuplicateKind,
    /// The part that was left as it is: `train`, `validation`, `test`, `unlabelled`.
    pub kept_in: String,
    /// The part that rows were removed from.
    pub removed_from: String,
    /// How many rows were removed.
    pub removed: u64,
    /// A few pairs to look at.
    #[serde(default)]
    pub examples: Vec<DuplicatePair>,
}

/// Texts longer than the model reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncation {
    /// Texts that were cut.
    pub texts: u64,
    /// Texts looked at.
    pub of: u64,
    /// The limit in tokens.
    pub max_length: u64,
}

/// The user's data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataFacts {
    /// Labelled sources, as the user named them.
    pub labelled: Vec<String>,
    /// Unlabelled sources, as the user named them.
    pub unlabelled: Vec<String>,
    /// Rows in each part.
    pub rows: RowCounts,
    /// The classes; empty for regression.
    pub classes: Vec<ClassCount>,
    /// How the labelled rows were split, in words.
    pub split: String,
    /// What each column beside the text was taken for, or why it was left out.
    pub columns: Vec<String>,
    /// What was found twice, and removed.
    pub duplicates: Vec<Duplicates>,
    /// Texts that were cut.
    pub truncation: Truncation,
    /// Mean length of a text in tokens, before cutting.
    pub mean_tokens: f64,
}

/// The encoder that the routes start from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelFacts {
    /// The folder or hub name.
    pub name: String,
    /// `model_type` of its `config.json`.
    pub model_type: String,
    /// Number of weights.
    pub parameters: u64,
    /// Width of a token's vector.
    pub hidden_size: u64,
    /// Encoder layers (`num_hidden_layers`).
    pub layers: u64,
}

/// The machine that the seconds were measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Threads used.
    pub threads: u64,
    /// Operating system and architecture.
    pub os: String,
}

/// One input file and the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    /// The file, as the user named it.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content, in hexadecimal.
    pub blake3: String,
}

/// What is needed to repeat the measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Versions of the program and of what numbers depend on.
    pub versions: BTreeMap<String, String>,
    /// The resolved configuration, as TOML: nothing is left to a default.
    pub configuration: String,
    /// The inputs' hashes.
    pub inputs: Vec<InputDigest>,
}
