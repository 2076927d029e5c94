//! What was found beside the scores: fewer labels, suspicious data, maps of the vectors, single mistakes.

use super::route::null_is_nan;
use serde::{Deserialize, Serialize};

/// Scores with one number of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelPoint {
    /// Training rows.
    pub labels: u64,
    /// The main metric on the test rows, one value a draw of those rows.
    pub scores: Vec<f64>,
}

impl LabelPoint {
    /// The mean over draws.
    pub fn mean(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }
}

/// The score of a route's learner, fitted again on nested parts of the training rows. Learner and parameter are those
/// chosen on all of them; the encoder saw no label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelCurve {
    /// The id of the route.
    pub route: String,
    /// From few labels to all.
    pub points: Vec<LabelPoint>,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Training rows whose text is also a test row's; they were left out.
    Leakage,
    /// Validation rows whose text is also a training row's.
    ValidationLeakage,
    /// Training rows that are later than test rows.
    Time,
    /// Rows with the same text and different labels.
    ConflictingLabels,
    /// Rows without any text.
    BlankTexts,
    /// Classes with too few rows.
    RareClasses,
    /// Columns with one value only.
    ConstantColumns,
    /// Columns that give the label away.
    GiveAwayColumns,
    /// Columns that are mostly missing.
    MissingColumns,
    /// Training rows whose label a model that has not seen them confidently contradicts.
    LabelNoise,
}

/// A row that a check points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedRow {
    /// The file.
    pub file: String,
    /// The row, counted from 1 as in messages.
    pub row: u64,
    /// The beginning of the text, or the name of a class or column.
    pub text: String,
    /// What is remarkable about it.
    pub note: String,
}

/// Something about the data that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it is about.
    pub kind: CheckKind,
    /// What was found, in a sentence.
    pub sentence: String,
    /// How many rows, classes or columns it is true of.
    pub count: u64,
    /// Some of them, the most remarkable first.
    #[serde(default)]
    pub rows: Vec<CheckedRow>,
}

impl Check {
    /// The sentence with the numbers of the first rows, for a terminal.
    pub fn line(&self) -> String {
        let named = self.rows.iter().take(5).map(|row| match row.row {
            0 => row.text.clone(),
            number => format!("row {number}"),
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if self.rows.len() > 5 { ", …" } else { "" };
        if named.is_empty() {
            format!("warning: {}", self.sentence)
        } else {
            format!("warning: {} ({named}{more})", self.sentence.trim_end_matches('.'))
        }
    }
}

/// A test row on a map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// To the right, from 0 to 1.
    #[serde(deserialize_with = "null_is_nan")]
    pub x: f64,
    /// Down, from 0 to 1.
    #[serde(deserialize_with = "null_is_nan")]
    pub y: f64,
    /// The place of its class among the map's classes.
    pub class: u32,
}

/// The test rows' vectors laid out in two dimensions by t-SNE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingMap {
    /// The route whose encoder made the vectors.
    pub encoder: String,
    /// All classes.
    pub classes: Vec<String>,
    /// Test rows, or a sample of them.
    pub points: Vec<MapPoint>,
    /// The share of these rows whose nearest neighbour, by the cosine of the vectors as they are, has the same class.
    #[serde(deserialize_with = "null_is_nan")]
    pub neighbour_share: f64,
}

/// A test row that was given a wrong class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MistakenRow {
    /// The file.
    pub file: String,
    /// The row, counted from 1 as in messages.
    pub row: u64,
    /// The beginning of its text.
    pub text: String,
    /// Its class.
    pub truth: String,
    /// The class it was given.
    pub predicted: String,
    /// The probability of the class it was given.
    #[serde(deserialize_with = "null_is_nan")]
    pub probability: f64,
    /// The probability of its class.
    #[serde(deserialize_with = "null_is_nan")]
    pub truth_probability: f64,
}

/// The mistakes of one route, of the first seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MistakenRows {
    /// The id of the route.
    pub route: String,
    /// How many test rows were mistaken.
    pub total: u64,
    /// Some of them, the surest first.
    pub rows: Vec<MistakenRow>,
}
