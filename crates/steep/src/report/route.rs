//! One measured route: its scores, its cost, where it errs.

pub use crate::evaluation::probabilities::CalibrationBin;

use super::format::plural;
use super::metric::number;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// What turned a route's encoder into predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScoredBy {
    /// A classifier fitted on the embeddings, the same for every encoder.
    #[serde(rename = "classifier on embeddings")]
    Classifier,
    /// The head that was trained together with the encoder.
    #[serde(rename = "own head")]
    OwnHead,
    /// No encoder at all.
    #[serde(rename = "baseline")]
    Baseline,
    /// Outputs of other routes put together.
    #[serde(rename = "combination")]
    Combined,
}

impl ScoredBy {
    /// The words that `results.json` and the report use.
    pub fn words(self) -> &'static str {
        match self {
            Self::Classifier => "classifier on embeddings",
            Self::OwnHead => "own head",
            Self::Baseline => "baseline",
            Self::Combined => "combination",
        }
    }
}

/// Whether a route was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Measured on every seed.
    Done,
    /// Stopped by an error.
    Failed {
        /// The error in words.
        reason: String,
    },
    /// Left out on purpose.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// A metric's value on the test rows, over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean over seeds, in the metric's own unit (accuracy from 0 to 1).
    #[serde(deserialize_with = "null_is_nan")]
    pub mean: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
    /// One value a seed, in the order of [`Results::seeds`](super::Results::seeds); nothing is discarded.
    #[serde(default, deserialize_with = "nulls_are_nan")]
    pub per_seed: Vec<f64>,
}

/// Wall-clock seconds by stage, the mean over seeds. A stage that several routes share is counted in each of them
/// in full: this is what the route would cost alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageSeconds {
    /// Continued pretraining on the unlabelled texts, and before it the choice of new tokens, where there are some.
    pub adapt: f64,
    /// Training encoder and head on the labels.
    pub finetune: f64,
    /// Turning texts into vectors.
    pub extract: f64,
    /// Fitting the classifier, the choice of `C` included.
    pub fit: f64,
    /// Predicting the test rows.
    pub predict: f64,
}

impl StageSeconds {
    /// The sum of all stages.
    pub fn total(&self) -> f64 {
        self.adapt + self.finetune + self.extract + self.fit + self.predict
    }

    /// The mean where this is the sum of so many.
    #[must_use]
    pub fn divided(&self, count: f64) -> Self {
        Self {
            adapt: self.adapt / count,
            finetune: self.finetune / count,
            extract: self.extract / count,
            fit: self.fit / count,
            predict: self.predict / count,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            adapt: self.adapt + other.adapt,
            finetune: self.finetune + other.finetune,
            extract: self.extract + other.extract,
            fit: self.fit + other.fit,
            predict: self.predict + other.predict,
        }
    }

    /// The stages by name, in the order in which they run.
    pub fn by_stage(&self) -> [(&'static str, f64); 5] {
        [
            ("adapt", self.adapt),
            ("finetune", self.finetune),
            ("extract", self.extract),
            ("fit", self.fit),
            ("predict", self.predict),
        ]
    }
}

/// How well one class is found, on the test rows, of the first seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class as the user's data spells it.
    pub name: String,
    /// Test rows of this class.
    pub support: u64,
    /// Of the rows predicted as this class, the share that is.
    pub precision: f64,
    /// Of the rows of this class, the share that was found.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
}

/// Counts of true against predicted class, on the test rows, of the first seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The classes, naming both rows and columns.
    pub classes: Vec<String>,
    /// `counts[truth][prediction]`, square, as long as `classes`.
    pub counts: Vec<Vec<u64>>,
}

/// A learner that was tried for a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnerTried {
    /// Its name, as `steep classify` knows it.
    pub learner: String,
    /// The parameter whose candidates were tried, if it has one.
    #[serde(default)]
    pub parameter: Option<String>,
    /// The chosen candidate.
    #[serde(default)]
    pub chosen: Option<f64>,
    /// The chosen candidate's mean over folds of the training rows: log-loss, or the squared error of a regression.
    #[serde(deserialize_with = "null_is_nan")]
    pub cross_validation_score: f64,
    /// Seconds of all its fits on folds.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
}

/// How honest probabilities are, on the test rows, of the first seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The expected calibration error.
    #[serde(deserialize_with = "null_is_nan")]
    pub error: f64,
    /// Fifteen equal bins of the largest probability.
    pub bins: Vec<CalibrationBin>,
    /// The temperature fitted on validation rows; above 1 the probabilities were too sure. Absent without such rows.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// The expected calibration error at that temperature.
    #[serde(default)]
    pub scaled_error: Option<f64>,
    /// The bins at that temperature.
    #[serde(default)]
    pub scaled_bins: Vec<CalibrationBin>,
    /// The log-loss.
    #[serde(deserialize_with = "null_is_nan")]
    pub log_loss: f64,
    /// The log-loss at that temperature.
    #[serde(default)]
    pub scaled_log_loss: Option<f64>,
}

/// A decision threshold fitted on validation rows, of the first seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The class that is given from there on: the second of the two.
    pub class: String,
    /// The probability.
    pub value: f64,
    /// The metric that is best there on the validation rows.
    pub metric: String,
    /// Its value on the test rows at one half, which is what the scores rest on.
    #[serde(deserialize_with = "null_is_nan")]
    pub plain_score: f64,
    /// Its value on the test rows with the threshold.
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    /// The latter less the former: the interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
}

/// The main metric on a part of the test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceScore {
    /// By what the rows are parted: `length in tokens`, `emoji`, a column.
    pub slice: String,
    /// What this part has in common.
    pub value: String,
    /// Test rows of the part.
    pub rows: u64,
    /// The mean over seeds.
    #[serde(deserialize_with = "null_is_nan")]
    pub mean: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
}

/// What new tokens did to the texts of the labelled rows, and to the time that their vectors take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VocabularyChange {
    /// Tokens that were added.
    pub new_tokens: u64,
    /// Tokens of a text on average, as the encoder reads it, before.
    #[serde(deserialize_with = "null_is_nan")]
    pub tokens_per_text_before: f64,
    /// And now.
    #[serde(deserialize_with = "null_is_nan")]
    pub tokens_per_text: f64,
    /// Texts that become vectors in a second, before.
    #[serde(deserialize_with = "null_is_nan")]
    pub texts_per_second_before: f64,
    /// And now.
    #[serde(deserialize_with = "null_is_nan")]
    pub texts_per_second: f64,
}

impl VocabularyChange {
    /// "412 new tokens: 13.60 → 11.94 tokens a text, 210 → 238 texts a second".
    pub fn words(&self) -> String {
        let speed = |value: f64| number(value, usize::from(value < 10.0));
        format!(
            "{}: {:.2} → {:.2} tokens a text, {} → {} texts a second",
            plural(self.new_tokens, "new token"),
            self.tokens_per_text_before,
            self.tokens_per_text,
            speed(self.texts_per_second_before),
            speed(self.texts_per_second)
        )
    }
}

/// One way to a classifier, measured. A route that is scored in two ways (classifier on embeddings, own head) is
/// two results with different `id` and the same `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteResult {
    /// Unique among the results; comparisons and the verdict refer to it.
    pub id: String,
    /// The route: `majority`, `tfidf`, `frozen`, `adapted`, `finetuned`, `adapted+finetuned`, `finetuned+adapted`,
    /// `zeroshot`, `contrastive`, `adapted+contrastive`, `vocab+adapted`, `vocab+adapted+finetuned`, `table_only`, `table_as_text`, `joint`, `adapted+joint`, `late_average`,
    /// `stacked`.
    pub name: String,
    /// What the learner was given: `text`, `text+columns`, `columns`, …; empty where there was no choice.
    #[serde(default)]
    pub features: String,
    /// What was done, in one sentence.
    #[serde(default)]
    pub description: String,
    /// What made the predictions.
    pub scored_by: ScoredBy,
    /// Whether it was measured.
    pub status: Status,
    /// Scores by metric name (`accuracy`, `macro_f1`, …); empty unless the status is done.
    #[serde(default)]
    pub scores: BTreeMap<String, Score>,
    /// What it took.
    #[serde(default)]
    pub seconds: StageSeconds,
    /// Scores by class; empty for regression.
    #[serde(default)]
    pub classes: Vec<ClassScore>,
    /// The confusion matrix; single-label classification only.
    #[serde(default)]
    pub confusion: Option<Confusion>,
    /// The inverse regularisation strength that cross-validation chose, one a seed; empty where there is none.
    #[serde(default)]
    pub chosen_c: Vec<f64>,
    /// The learner that cross-validation on the training rows chose, of the first seed; absent where none was chosen.
    #[serde(default)]
    pub learner: Option<String>,
    /// All learners that were tried, of the first seed.
    #[serde(default)]
    pub learners: Vec<LearnerTried>,
    /// What the vectors weigh beside the columns, as a factor of the configured weight, where that was chosen on
    /// validation rows since the vectors have seen the training labels; of the first seed.
    #[serde(default)]
    pub vector_weight: Option<f64>,
    /// The main metric on the validation rows, the mean over seeds.
    #[serde(default)]
    pub validation_score: Option<f64>,
    /// How honest the probabilities are; single-label classification only.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// The main metric on parts of the test rows.
    #[serde(default)]
    pub slices: Vec<SliceScore>,
    /// From which probability on the second of two classes is given; absent for other numbers of classes, and without
    /// validation rows.
    #[serde(default)]
    pub threshold: Option<Threshold>,
    /// The main metric of each fold, the mean over seeds; empty where there was one test part.
    #[serde(default)]
    pub folds: Vec<f64>,
    /// The encoder, where several were compared; empty for routes without one.
    #[serde(default)]
    pub encoder: String,
    /// What new tokens did, in routes that add some.
    #[serde(default)]
    pub vocabulary: Option<VocabularyChange>,
}

impl RouteResult {
    /// A done result without any figure yet, under the usual id: the route's name, with ` (own head)` added where
    /// its own head made the predictions.
    pub fn new(name: &str, scored_by: ScoredBy, description: &str) -> Self {
        let id = match scored_by {
            ScoredBy::OwnHead => format!("{name} (own head)"),
            ScoredBy::Classifier | ScoredBy::Baseline | ScoredBy::Combined => name.to_owned(),
        };
        Self {
            id,
            name: name.to_owned(),
            features: String::new(),
            description: description.to_owned(),
            scored_by,
            status: Status::Done,
            scores: BTreeMap::new(),
            seconds: StageSeconds::default(),
            classes: Vec::new(),
            confusion: None,
            chosen_c: Vec::new(),
            learner: None,
            learners: Vec::new(),
            vector_weight: None,
            validation_score: None,
            calibration: None,
            slices: Vec::new(),
            threshold: None,
            folds: Vec::new(),
            encoder: String::new(),
            vocabulary: None,
        }
    }

    /// Says what the learner is given; `suffix` goes behind the name to make the id.
    pub(crate) fn with_features(&mut self, features: &str, suffix: &str) {
        features.clone_into(&mut self.features);
        self.id.push_str(suffix);
    }

    /// Adds words to the description.
    pub(crate) fn describe(&mut self, words: &str) {
        self.description.push_str("; ");
        self.description.push_str(words);
    }

    /// The name with the features in it: the id without what scored the route.
    pub fn label(&self) -> &str {
        self.id.strip_suffix(" (own head)").unwrap_or(&self.id)
    }

    /// The score in `metric`, if the route was measured and the mean is a number.
    pub fn measured(&self, metric: &str) -> Option<&Score> {
        if self.status != Status::Done {
            return None;
        }
        self.scores.get(metric).filter(|score| score.mean.is_finite())
    }
}

/// JSON has no NaN: it is written as `null` and read back as NaN.
pub(super) fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn nulls_are_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}
