//! What a comparison will do, with nothing left open.

use crate::data::{LabelBudget, Task};
use crate::evaluation::metrics::Metric;
use crate::objectives::{ClassificationSettings, MaskingSettings};
use crate::training::TrainingSettings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A way from texts to predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Route {
    /// The most frequent class, or the mean.
    #[serde(rename = "majority")]
    Majority,
    /// Word and character n-grams.
    #[serde(rename = "tfidf")]
    Tfidf,
    /// The encoder as it is.
    #[serde(rename = "frozen")]
    Frozen,
    /// The encoder after continued pretraining on the unlabelled texts.
    #[serde(rename = "adapted")]
    Adapted,
    /// The encoder after training on the labels.
    #[serde(rename = "finetuned")]
    Finetuned,
    /// Adapted, then fine-tuned.
    #[serde(rename = "adapted+finetuned")]
    AdaptedFinetuned,
    /// Fine-tuned, then adapted.
    #[serde(rename = "finetuned+adapted")]
    FinetunedAdapted,
}

impl Route {
    /// All routes, the cheapest first, with the names used everywhere and a description.
    pub const ALL: [(&'static str, Self, &'static str); 7] = [
        ("majority", Self::Majority, "always the most frequent class"),
        ("tfidf", Self::Tfidf, "word and character n-grams, logistic regression"),
        ("frozen", Self::Frozen, "the encoder as it is"),
        ("adapted", Self::Adapted, "the encoder after masked language modelling on the unlabelled texts"),
        ("finetuned", Self::Finetuned, "the encoder after training on the labels"),
        (
            "adapted+finetuned",
            Self::AdaptedFinetuned,
            "adapted to the unlabelled texts, then trained on the labels",
        ),
        (
            "finetuned+adapted",
            Self::FinetunedAdapted,
            "trained on the labels, then adapted to the unlabelled texts",
        ),
    ];

    /// The route of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(_, route, _)| *route)
    }

    /// The name used everywhere.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The route in words.
    pub fn description(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (&'static str, Self, &'static str) {
        Self::ALL.iter().find(|(_, route, _)| *route == self).expect("every route is listed")
    }

    /// Whether it needs the unlabelled texts.
    pub fn adapts(self) -> bool {
        matches!(self, Self::Adapted | Self::AdaptedFinetuned | Self::FinetunedAdapted)
    }

    /// Whether its encoder is trained on the labels.
    pub fn finetunes(self) -> bool {
        matches!(self, Self::Finetuned | Self::AdaptedFinetuned | Self::FinetunedAdapted)
    }
}

/// Where the labelled rows come from and what their columns mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledSource {
    /// A file, a folder or a glob.
    pub source: String,
    /// Columns of the text; empty for the default column.
    pub text_columns: Vec<String>,
    /// Put between several text columns.
    pub text_column_delimiter: String,
    /// The column of the labels.
    pub label_column: String,
    /// What the labels are; inferred where absent.
    #[serde(with = "task_name")]
    pub task: Option<Task>,
    /// Rows of one group stay on one side of the split.
    pub group_column: Option<String>,
    /// train, validation or test for each row.
    pub split_column: Option<String>,
    /// Earlier rows train, later rows test.
    pub time_column: Option<String>,
    /// Share of the rows to test on, where no split column is given.
    pub test_fraction: f64,
    /// Share of the rows to validate on.
    pub validation_fraction: f64,
    /// Only so many training labels are used.
    #[serde(skip)]
    pub label_budget: Option<LabelBudget>,
}

/// Where the unlabelled texts come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnlabelledSource {
    /// A file, a folder or a glob.
    pub source: String,
    /// The column of the text; the default column where absent.
    pub text_column: Option<String>,
    /// Only so many texts are read.
    pub limit: Option<u64>,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareSettings {
    /// What the report is called.
    pub title: String,
    /// The encoder: a local folder (hub names are resolved before).
    pub model: PathBuf,
    /// The encoder as the user named it.
    pub model_name: String,
    /// The labelled rows.
    pub labelled: LabelledSource,
    /// The unlabelled texts; without them no route adapts.
    pub unlabelled: Option<UnlabelledSource>,
    /// Whether the training rows' own texts are adapted to as well.
    pub adapt_on_training_texts: bool,
    /// Whether texts of the test rows may stay among the unlabelled ones; the report says so.
    pub allow_test_text_in_unlabelled: bool,
    /// Routes, in the order of [`Route::ALL`].
    pub routes: Vec<Route>,
    /// One run of each trained route a seed.
    pub seeds: Vec<u64>,
    /// Texts are cut to so many tokens.
    pub max_seq_length: Option<usize>,
    /// The main metric; the task's usual one where absent.
    pub metric: Option<Metric>,
    /// How tokens are masked.
    pub masking: MaskingSettings,
    /// Adaptation's training loop; its seed is replaced by the run's.
    pub adapt: TrainingSettings,
    /// Share of the unlabelled texts held out to follow the loss, at most 2,000 texts.
    pub held_out_fraction: f64,
    /// Fine-tuning's loss.
    pub classification: ClassificationSettings,
    /// Fine-tuning's training loop; its seed is replaced by the run's.
    pub finetune: TrainingSettings,
    /// Candidates for the classifier on embeddings.
    pub c_grid: Vec<f64>,
    /// Folds that choose among them.
    pub folds: u32,
    /// Differences in the main metric up to this size do not matter.
    pub rope: f64,
    /// Probability from which on a verdict is given.
    pub certainty: f64,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Everything is written here.
    pub output_dir: PathBuf,
}

mod task_name {
    use crate::data::Task;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const NAMES: [(&str, Task); 3] = [
        ("single_label_classification", Task::SingleLabel),
        ("multi_label_classification", Task::MultiLabel),
        ("regression", Task::Regression),
    ];

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde gives the field by reference"
    )]
    pub(super) fn serialize<S: Serializer>(task: &Option<Task>, serializer: S) -> Result<S::Ok, S::Error> {
        let name = task.and_then(|task| NAMES.iter().find(|(_, known)| *known == task)).map(|(name, _)| name);
        name.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Task>, D::Error> {
        let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, task)| *task);
        found.map(Some).ok_or_else(|| serde::de::Error::custom(format!("unknown task '{name}'")))
    }
}
