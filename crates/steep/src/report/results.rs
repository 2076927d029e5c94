//! The schema of `results.json`: every number that the report shows.

use super::facts::{DataFacts, Machine, Manifest, ModelFacts};
use super::findings::{Check, EmbeddingMap, LabelCurve, MistakenRows};
use super::planning::{Pilot, Plan, Ranking, TextPoint};
use super::route::{RouteResult, null_is_nan};
use super::winner::Winner;
use crate::error::{Error, Result};
use crate::storage::atomic_file;
use serde::{Deserialize, Deserializer, Serialize};
use std::io::Write;
use std::path::Path;

/// The version of the schema that this program writes. It grows when a field changes its meaning or goes away; new
/// fields alone do not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// What the labels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Exactly one class a text.
    SingleLabel,
    /// Any number of classes a text.
    MultiLabel,
    /// A number a text.
    Regression,
}

impl Task {
    /// The task in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SingleLabel => "single-label classification",
            Self::MultiLabel => "multi-label classification",
            Self::Regression => "regression",
        }
    }
}

/// What a comparison showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The first route is better than the second.
    Better,
    /// They differ by less than what matters.
    PracticallyEqual,
    /// This data cannot tell.
    Undecided,
    /// The first route is worse than the second.
    Worse,
}

impl Outcome {
    /// The outcome in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::PracticallyEqual => "practically equal",
            Self::Undecided => "undecided",
            Self::Worse => "worse",
        }
    }

    /// The outcome seen from the other route.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Better => Self::Worse,
            Self::Worse => Self::Better,
            same => same,
        }
    }
}

/// Two routes compared on the same test rows and the same seeds, in the main metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The id of the first route.
    pub route: String,
    /// The id of the route it is compared with.
    pub over: String,
    /// Score of `route` minus score of `over`, in the metric's own unit (0.01 accuracy is one point).
    #[serde(deserialize_with = "null_is_nan")]
    pub difference: f64,
    /// The interval's lower end.
    #[serde(deserialize_with = "null_is_nan")]
    pub low: f64,
    /// The interval's upper end.
    #[serde(deserialize_with = "null_is_nan")]
    pub high: f64,
    /// Probability, over resampled rows and seeds, that `route` is better than `over` (larger score, or smaller
    /// where smaller is better).
    #[serde(deserialize_with = "null_is_nan")]
    pub probability_better: f64,
    /// Probability that it is better by more than the equivalence margin.
    #[serde(default, deserialize_with = "null_is_nan")]
    pub probability_above_margin: f64,
    /// What that shows.
    pub verdict: Outcome,
    /// Seconds that `route` takes more than `over`; negative if it takes less.
    #[serde(deserialize_with = "null_is_nan")]
    pub extra_seconds: f64,
    /// Where the two differ, of the first seed; single-label classification only.
    #[serde(default)]
    pub disagreement: Option<Disagreement>,
}

/// McNemar's test of two fixed models: those of the first seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Test rows that only the first route has right.
    pub only_route_right: u64,
    /// Test rows that only the second has right.
    pub only_over_right: u64,
    /// The exact two-sided p-value.
    pub exact_p: f64,
    /// The mid-p value, which is less conservative.
    pub mid_p: f64,
    /// The mid-p value after Holm's correction over all comparisons.
    pub holm_p: f64,
}

impl Comparison {
    /// The same comparison seen from the other route.
    #[must_use]
    pub fn flipped(&self) -> Self {
        Self {
            route: self.over.clone(),
            over: self.route.clone(),
            difference: -self.difference,
            low: -self.high,
            high: -self.low,
            probability_better: 1.0 - self.probability_better,
            // What lies within the margin is on neither side, so this cannot be told from the other's.
            probability_above_margin: f64::NAN,
            verdict: self.verdict.flipped(),
            extra_seconds: -self.extra_seconds,
            disagreement: self.disagreement.map(|test| Disagreement {
                only_route_right: test.only_over_right,
                only_over_right: test.only_route_right,
                ..test
            }),
        }
    }
}

/// Whether the recommendation rests on differences that the data could show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Every cheaper route that was compared with it is worse, or it is the cheapest of equals.
    Settled,
    /// It scored highest, and the data cannot tell it from a cheaper route.
    #[default]
    Unsettled,
}

/// What to do, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// The id of the route with the best main score.
    pub best: Option<String>,
    /// The id of the cheapest route that is practically equal to the best, or the best itself.
    pub recommended: Option<String>,
    /// Whether the recommendation is settled.
    pub certainty: Certainty,
    /// The verdict in one sentence.
    pub headline: String,
    /// What it rests on. Routes are named in backticks.
    pub sentences: Vec<String>,
}

/// What a curve shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveKind {
    /// Loss on the batches trained on.
    TrainLoss,
    /// Loss on held-out rows of the user's own texts.
    ValidationLoss,
    /// The main metric on validation rows.
    ValidationScore,
    /// The main metric of a learner on the vectors, of labelled rows that it has not seen and that are no test rows.
    ProbeScore,
    /// Loss on a sample of general text: the forgetting meter.
    Forgetting,
}

/// A quantity over optimizer steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The stage or route it belongs to, as shown: `adapt`, `finetuned`, `adapted+finetuned`.
    pub stage: String,
    /// What it shows.
    pub kind: CurveKind,
    /// The seed of the run.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Pairs of optimizer step and value.
    #[serde(deserialize_with = "points_with_nan")]
    pub points: Vec<(u64, f64)>,
}

fn points_with_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u64, f64)>, D::Error> {
    let points = Vec::<(u64, Option<f64>)>::deserialize(deserializer)?;
    Ok(points.into_iter().map(|(step, value)| (step, value.unwrap_or(f64::NAN))).collect())
}

/// The content of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// What the user calls this comparison.
    pub title: String,
    /// When it was made, as given by the caller (RFC 3339).
    pub created: String,
    /// What the labels are.
    pub task: Task,
    /// The main metric: the key in [`RouteResult::scores`] that the verdict is about.
    pub metric: String,
    /// The user's data.
    pub data: DataFacts,
    /// The encoder.
    pub model: ModelFacts,
    /// The machine.
    pub machine: Machine,
    /// Seeds; each route was run once with each.
    pub seeds: Vec<u64>,
    /// The routes, baselines first.
    pub routes: Vec<RouteResult>,
    /// The comparisons that were planned.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// What to do, in words; see [`conclude`](super::conclude).
    #[serde(default)]
    pub verdict: Verdict,
    /// Losses and scores while training.
    #[serde(default)]
    pub curves: Vec<Curve>,
    /// Scores with fewer labels.
    #[serde(default)]
    pub label_curves: Vec<LabelCurve>,
    /// What should be known of the data, each with its rows.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The test rows' vectors in two dimensions.
    #[serde(default)]
    pub maps: Vec<EmbeddingMap>,
    /// The mistakes of the recommended route.
    #[serde(default)]
    pub mistakes: Option<MistakenRows>,
    /// Rules of thumb drawn from these numbers, in words; see [`rules`](super::rules).
    #[serde(default)]
    pub rules: Vec<String>,
    /// Differences in the main metric smaller than this count as practically equal, in the metric's own unit.
    #[serde(default)]
    pub equivalence_margin: Option<f64>,
    /// The smallest true difference that a test set of this size shows with a probability of 80 %, in the metric's
    /// own unit.
    #[serde(default)]
    pub detectable_difference: Option<f64>,
    /// The recommended route as a folder; absent where it needs no model.
    #[serde(default)]
    pub winner: Option<Winner>,
    /// What the reader should know before believing the numbers.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What is needed to repeat it.
    #[serde(default)]
    pub manifest: Manifest,
    /// How the encoder was chosen; absent where one was given.
    #[serde(default)]
    pub ranking: Option<Ranking>,
    /// Whether adapting was worth going on with; absent where that was not asked.
    #[serde(default)]
    pub pilot: Option<Pilot>,
    /// How the budget was spent; absent without one.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// Scores after adapting to parts of the unlabelled texts; empty where that was not asked for.
    #[serde(default)]
    pub text_curve: Vec<TextPoint>,
    /// What routes adapted by, as `adapt --objective` calls it; empty where none adapts.
    #[serde(default)]
    pub adapt_objective: String,
}

impl Results {
    /// The result with this id.
    pub fn route(&self, id: &str) -> Option<&RouteResult> {
        self.routes.iter().find(|route| route.id == id)
    }

    /// The content of `results.json`, with a newline at its end.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::data("results.json", format!("cannot be written as JSON: {error}"), "")
        })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads the content of a `results.json`; `path` is for messages only.
    pub fn from_json(bytes: &[u8], path: &Path) -> Result<Self> {
        let hint = "give the results.json that `steep compare` wrote, or run the comparison again";
        let results: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::data(path, format!("is not a results file: {error}"), hint))?;
        if results.schema_version > SCHEMA_VERSION {
            let problem = format!(
                "has schema version {}, and this program reads up to {SCHEMA_VERSION}",
                results.schema_version
            );
            return Err(Error::data(path, problem, "read it with the version of steep that wrote it"));
        }
        Ok(results)
    }

    /// Writes `results.json`: beside the target first, then renamed, so that no reader sees half a file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = self.to_json()?;
        atomic_file(path, |writer| writer.write_all(&json).map_err(Error::io("write", path)))
    }

    /// Reads what [`Results::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::from_json(&bytes, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_saved_file_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        for (name, results) in sample::all() {
            let path = folder.path().join(format!("{name}.json"));
            results.save(&path).unwrap();
            assert_eq!(Results::load(&path).unwrap(), results, "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), sample::all().len(), "no .tmp is left");
    }

    #[test]
    fn a_diverged_loss_survives_the_round_trip_as_nan() {
        let mut results = sample::small();
        results.curves[0].points[1].1 = f64::NAN;
        results.routes[2].scores.get_mut("accuracy").unwrap().per_seed[0] = f64::NAN;
        let read = Results::from_json(&results.to_json().unwrap(), Path::new("r.json")).unwrap();
        assert!(read.curves[0].points[1].1.is_nan());
        assert!(read.routes[2].scores["accuracy"].per_seed[0].is_nan());
    }

    #[test]
    fn unknown_fields_are_passed_over_and_a_newer_schema_is_refused() {
        let mut json: serde_json::Value =
            serde_json::from_slice(&sample::small().to_json().unwrap()).unwrap();
        json["from_the_future"] = serde_json::json!({"a": 1});
        assert!(Results::from_json(json.to_string().as_bytes(), Path::new("r.json")).is_ok());
        json["schema_version"] = serde_json::json!(SCHEMA_VERSION + 1);
        let error = Results::from_json(json.to_string().as_bytes(), Path::new("r.json")).unwrap_err();
        assert!(error.to_string().contains("schema version 2"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn the_words_of_the_schema_are_the_documented_ones() {
        let json: serde_json::Value = serde_json::from_slice(&sample::small().to_json().unwrap()).unwrap();
        assert_eq!(json["task"], "single_label");
        assert_eq!(json["routes"][0]["scored_by"], "baseline");
        assert_eq!(json["routes"][2]["scored_by"], "classifier on embeddings");
        assert_eq!(json["routes"][0]["status"]["state"], "done");
        assert_eq!(json["comparisons"][0]["verdict"], "better");
        assert_eq!(json["curves"][0]["kind"], "train_loss");
    }

    #[test]
    fn a_broken_file_names_itself_and_the_cure() {
        let error = Results::from_json(b"{", Path::new("old/results.json")).unwrap_err();
        assert!(error.to_string().starts_with("old/results.json"), "{error}");
        assert!(error.hint().unwrap().contains("steep compare"));
    }
}
