//! What was decided before the comparison: which encoder, and how its time was spent.

use super::route::null_is_nan;
use serde::{Deserialize, Serialize};

/// An encoder that was a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankedModel {
    /// The folder or hub name.
    pub name: String,
    /// The main metric on the validation rows of the sample, of a learner on its frozen vectors.
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
    /// Its score less that of the best, on the same rows; 0 for the best itself.
    #[serde(deserialize_with = "null_is_nan")]
    pub difference: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub difference_low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub difference_high: f64,
    /// Tokens embedded a second, on this machine.
    #[serde(deserialize_with = "null_is_nan")]
    pub tokens_per_second: f64,
    /// Tokens of the sample, after cutting.
    pub tokens: u64,
    /// Number of weights.
    pub parameters: u64,
    /// Size of the weights on the disk.
    pub bytes: u64,
    /// Width of a token's vector.
    pub hidden_size: u64,
    /// Encoder layers.
    pub layers: u64,
    /// Whether the comparison was made with it.
    pub is_kept: bool,
}

/// Candidate encoders by their frozen vectors on a sample of the rows; no test row was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The main metric.
    pub metric: String,
    /// Training rows of the sample.
    pub train_rows: u64,
    /// Validation rows of the sample.
    pub validation_rows: u64,
    /// The candidates, the best first.
    pub models: Vec<RankedModel>,
}

impl Ranking {
    /// Seconds that embedding the samples took.
    pub fn seconds(&self) -> f64 {
        self.models.iter().map(|model| model.tokens as f64 / model.tokens_per_second.max(1e-9)).sum()
    }
}

/// A kind of stage and what one run of it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// `adapt`, `finetune`, `embed`, `fit` or `tfidf`.
    pub stage: String,
    /// Runs of it, as planned.
    pub times: f64,
    /// Estimated seconds of one run of everything that was asked for.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// What the estimate rests on; absent where no tokens are computed.
    #[serde(default)]
    pub tokens_per_second: Option<f64>,
}

/// Something that was asked for and is not done, or done in part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What, in words. Routes are named in backticks.
    pub what: String,
    /// Why this before other things.
    pub why: String,
    /// Estimated seconds that it saves.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// The route, where a whole one is left out.
    #[serde(default)]
    pub route: Option<String>,
}

/// How a budget is spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What was allowed.
    pub budget_seconds: f64,
    /// What was spent before: ranking encoders.
    pub spent_seconds: f64,
    /// Estimated seconds of everything that was asked for.
    #[serde(deserialize_with = "null_is_nan")]
    pub asked_seconds: f64,
    /// Estimated seconds of what was left.
    #[serde(deserialize_with = "null_is_nan")]
    pub planned_seconds: f64,
    /// What the estimates are made of.
    pub stages: Vec<PlannedStage>,
    /// What gave way, in the order in which it did.
    pub left_out: Vec<LeftOut>,
    /// Seconds that the stages took; absent before they ran.
    #[serde(default)]
    pub taken_seconds: Option<f64>,
}

/// What a trial of adapting on a part of the texts led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PilotOutcome {
    /// It gained enough: the routes that adapt are run.
    GoOn,
    /// It did not: they are left out.
    Stop,
}

/// Adapting tried on a part of the texts, judged by vectors on labelled rows that are no test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pilot {
    /// Share of the unlabelled texts.
    pub fraction: f64,
    /// Texts adapted to.
    pub texts: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds it took.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// Labelled rows that were predicted, each by a learner that had not seen it.
    pub rows: u64,
    /// The main metric with the encoder as it is.
    #[serde(deserialize_with = "null_is_nan")]
    pub frozen: f64,
    /// The main metric with the encoder of the pilot.
    #[serde(deserialize_with = "null_is_nan")]
    pub adapted: f64,
    /// The latter less the former.
    #[serde(deserialize_with = "null_is_nan")]
    pub difference: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
    /// One standard error of the difference, which it has to exceed.
    #[serde(deserialize_with = "null_is_nan")]
    pub standard_error: f64,
    /// What follows.
    pub outcome: PilotOutcome,
    /// The verdict in words.
    pub sentence: String,
}

/// What adapting to so many texts came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextPoint {
    /// Unlabelled texts, those of the training rows among them; 0 for the encoder as it is.
    pub texts: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// The main metric on the test rows, of a learner on the vectors.
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
    /// Masked language modelling loss on held-out texts of the same kind.
    #[serde(default)]
    pub held_out_loss: Option<f64>,
    /// The same on general English: the forgetting meter.
    #[serde(default)]
    pub general_loss: Option<f64>,
}
