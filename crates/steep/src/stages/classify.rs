//! A classifier or regression on any feature file, learner and parameter chosen by cross-validation.

mod features;
mod fit;
mod folder;
mod learners;
mod npy;
mod prepared;
mod rows;

pub(super) use features::{FeatureColumns, unknown_field};
pub use folder::{EmbeddingRecipe, copy_trained_folder, write_classifier_folder};
pub(super) use folder::{HEAD_FOLDER, RECIPE_FILE, StoredRecipe};
pub use learners::{LearnerSettings, Learners};

use super::extract::{EMBEDDING_COLUMN, ExtractSettings, OutputValue};
use super::key::{StageAbout, finished, stage_key};
use super::model_folder::ModelFolder;
use super::prepared::PreparedFeatures;
use crate::data::{Labels, Task, fingerprint};
use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::matrix::DenseMatrix;
use crate::features::preparation::Preparation;
use crate::features::scaling::Scaling;
use crate::learners::choice::LearnerScore;
use crate::learners::cross_validation::Selection;
use crate::learners::head::Head;
use crate::learners::labels::ClassWeight;
use crate::learners::linear_fit::FitReport;
use crate::progress::Context;
use crate::storage::{ArtefactWriter, write_json};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// A classifier of vectors, or a regression: of those first rows that train, then those that validate, then those that
/// test; and its metrics on the latter two, by part.
pub(super) fn classifier_of_vectors(
    vectors: DenseMatrix,
    labels: Labels,
    [train, validation, test]: [usize; 3],
    settings: &ClassifySettings,
    ctx: &Context,
) -> Result<(Head, BTreeMap<String, BTreeMap<String, f64>>)> {
    let part = |from: usize, count: usize| (from as u32..(from + count) as u32).collect();
    let rows = rows::Rows {
        labels,
        groups: None,
        train: part(0, train),
        validation: part(train, validation),
        test: part(train + validation, test),
    };
    let names = (0..vectors.columns()).map(|at| format!("{EMBEDDING_COLUMN}_{at}")).collect();
    let features = features::NamedFeatures { matrix: vectors, names };
    let fitted = fit::fit(&rows, features, settings, ctx)?;
    Ok((fitted.head, fitted.metrics))
}

/// What the settings, scores and metrics of a classifier are kept in.
pub(super) const CLASSIFY_FILE: &str = "classify.json";

/// How to train a classifier on features, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassifySettings {
    /// The feature columns, in this order; none for the column `embedding`, or `embedding_0`, `embedding_1`, ….
    /// A column of lists gives one feature an item, one of numbers or booleans gives one; a name that is not there
    /// stands for the numbered columns `name_0`, `name_1`, …, and `name*` for all that begin so.
    pub feature_columns: Vec<String>,
    /// How features are prepared from raw columns; absent, the feature columns are numbers and taken as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preparation: Option<PreparedFeatures>,
    /// The column of the labels.
    pub label_column: String,
    /// What is to be predicted; absent, lists mean several labels and all else one.
    #[serde(serialize_with = "task_name")]
    pub task: Option<Task>,
    /// Rows with the same value here are never in different folds.
    pub group_column: Option<String>,
    /// Says which rows train, validate and test; absent, all rows train.
    pub split_column: Option<String>,
    /// The candidates of `C`; for a regression `1 / alpha`.
    pub c_grid: Vec<f64>,
    /// Folds of the cross-validation.
    pub folds: u32,
    /// What chooses learner and parameter.
    pub metric: Metric,
    /// Which learners are tried, and the settings of single ones.
    pub learner: LearnerSettings,
    /// How much each class counts; not for a regression.
    pub class_weight: ClassWeight,
    /// The scaler, fitted inside each fold.
    pub scaling: Scaling,
    /// Draws the folds.
    pub seed: u64,
    /// The fit ends after so many steps at the latest.
    pub max_iterations: usize,
    /// The fit ends when no derivative is larger.
    pub tolerance: f64,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn task_name<S: Serializer>(task: &Option<Task>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = task.map(|task| match task {
        Task::SingleLabel => "single_label_classification",
        Task::MultiLabel => "multi_label_classification",
        Task::Regression => "regression",
    });
    name.serialize(serializer)
}

/// What to train on.
pub struct ClassifyInput<'a> {
    /// The source of the features: any that [`crate::data::open`] takes, or a `.npy` file of `[rows, columns]`.
    pub features: &'a str,
    /// Another source with the labels (and groups, and parts of the split) of the same rows in the same order.
    pub labels: Option<&'a str>,
    /// The encoder that the features came from, if from nothing else; the result then takes texts.
    pub encoder: Option<(&'a ModelFolder, &'a ExtractSettings)>,
    /// Only so many rows.
    pub limit: Option<u64>,
}

/// What training a classifier did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifyReport {
    /// Rows trained on.
    pub rows: u64,
    /// Feature columns.
    pub columns: usize,
    /// What the raw columns were taken for, one line each; none without a preparation.
    #[serde(default)]
    pub preparation: Vec<String>,
    /// The labels; none for a regression.
    pub classes: Vec<String>,
    /// How each learner did in cross-validation; the best one was kept.
    pub learners: Vec<LearnerScore>,
    /// The kept learner's place among them.
    pub best: usize,
    /// The kept learner's candidates, their scores and the chosen one.
    pub selection: Selection,
    /// How the last fit went; absent for a regression, which is solved directly.
    pub fit: Option<FitReport>,
    /// Seconds of the last fit, on all training rows.
    pub fit_seconds: f64,
    /// Metrics of the rows not trained on, by part of the split (`validation`, `test`) and name.
    pub metrics: BTreeMap<String, BTreeMap<String, f64>>,
    /// Seconds of this stage.
    pub seconds: f64,
}

/// Trains a classifier and writes the folder `output`; returns the report of an earlier run with the same inputs and
/// settings if it is there.
///
/// With an encoder the folder holds encoder, tokenizer and classifier, and [`super::Predictor`] opens it; without,
/// it holds `head.json` and `head.safetensors`. `classify.json` holds settings, scores and metrics.
///
/// # Errors
/// What reading gives; features and labels of different numbers of rows; features that are missing or not numbers;
/// fewer rows or groups than folds; an encoder that does not make these features.
pub fn classify(
    input: &ClassifyInput,
    settings: &ClassifySettings,
    output: &Path,
    ctx: &Context,
) -> Result<ClassifyReport> {
    let labels_source = labels_source(input)?;
    let key = classify_key(input, labels_source, settings)?;
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    let started = Instant::now();
    let rows = rows::read_rows(labels_source, settings, input.limit)?;
    let (features, preparation, notes) = read_features(input, settings, &rows, labels_source)?;
    let columns = features.matrix.columns();
    let fitted = fit::fit(&rows, features, settings, ctx)?;
    let report = ClassifyReport {
        rows: rows.train.len() as u64,
        columns,
        preparation: notes,
        classes: fitted.head.classes().to_vec(),
        selection: fitted.learners[fitted.best].selection.clone(),
        learners: fitted.learners,
        best: fitted.best,
        fit: fitted.report,
        fit_seconds: fitted.fit_seconds,
        metrics: fitted.metrics,
        seconds: started.elapsed().as_secs_f64(),
    };
    write(
        input,
        settings,
        &Trained { head: &fitted.head, preparation: preparation.as_ref() },
        &report,
        key,
        output,
    )?;
    Ok(report)
}

/// The features, the preparation that made them if one did, and what it decided about the columns.
fn read_features(
    input: &ClassifyInput,
    settings: &ClassifySettings,
    rows: &rows::Rows,
    labels_source: &str,
) -> Result<(features::NamedFeatures, Option<Preparation>, Vec<String>)> {
    if let Some(asked) = &settings.preparation {
        let prepared = prepared::prepare(input, asked, settings, rows)?;
        return Ok((prepared.features, Some(prepared.preparation), prepared.notes));
    }
    let features = features::read_features(input.features, &settings.feature_columns, input.limit)?;
    if features.matrix.rows() != rows.labels.len() {
        let (count, labels) = (features.matrix.rows(), rows.labels.len());
        let problem = format!("holds {count} rows of features, {labels_source} has {labels} labels");
        return Err(Error::data(input.features, problem, "give labels of the same rows in the same order"));
    }
    if let Some((model, extract)) = input.encoder {
        check_encoder(model, extract, settings, features.matrix.columns())?;
    }
    Ok((features, None, Vec::new()))
}

fn labels_source<'a>(input: &ClassifyInput<'a>) -> Result<&'a str> {
    match input.labels {
        Some(labels) => Ok(labels),
        None if npy::is_npy(input.features) => Err(Error::config(
            "labels",
            format!("{} holds numbers only, and no labels", input.features),
            "name a file with the labels of the same rows, in the same order",
        )),
        None => Ok(input.features),
    }
}

fn classify_key(input: &ClassifyInput, labels: &str, settings: &ClassifySettings) -> Result<String> {
    let features =
        if npy::is_npy(input.features) { npy::digest(input.features)? } else { fingerprint(input.features)? };
    let labels = if labels == input.features { String::new() } else { fingerprint(labels)? };
    let limit = input.limit.map_or_else(String::new, |limit| limit.to_string());
    let encoder = input.encoder.map_or_else(String::new, |(model, extract)| {
        let recipe = serde_json::to_string(extract).expect("resolved settings are plain data");
        format!("{} {recipe}", model.digest)
    });
    Ok(stage_key("classify", &[&features, &labels, &limit, &encoder], settings))
}

/// The features must be the encoder's sentence embeddings and nothing else, or texts could not be classified.
fn check_encoder(
    model: &ModelFolder,
    extract: &ExtractSettings,
    settings: &ClassifySettings,
    columns: usize,
) -> Result<()> {
    let hint = "leave the encoder out: the classifier then takes feature files";
    let only_embeddings = settings.feature_columns.iter().all(|name| name == EMBEDDING_COLUMN);
    if extract.output_value != OutputValue::SentenceEmbedding || !only_embeddings {
        return Err(Error::config("encoder", "the features are not its sentence embeddings alone", hint));
    }
    let width = folder::embedding_width(model, &extract.embed);
    if width != columns {
        let problem = format!("it makes {width} dimensions, the features have {columns}");
        return Err(Error::config(
            "encoder",
            problem,
            "name the encoder and settings that made the features",
        ));
    }
    Ok(())
}

/// What is written.
struct Trained<'a> {
    head: &'a Head,
    preparation: Option<&'a Preparation>,
}

fn write(
    input: &ClassifyInput,
    settings: &ClassifySettings,
    trained: &Trained<'_>,
    report: &ClassifyReport,
    key: String,
    output: &Path,
) -> Result<()> {
    let writer = ArtefactWriter::create(output)?;
    match input.encoder {
        Some((model, extract)) => {
            let recipe = StoredRecipe::of(extract);
            folder::write_folder(model, trained.head, trained.preparation, &recipe, writer.path())?;
        }
        None => {
            trained.head.save(writer.path())?;
            trained.preparation.map_or(Ok(()), |preparation| preparation.save(writer.path()))?;
        }
    }
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(report).expect("a report is plain data");
    let file = serde_json::json!({
        "settings": settings, "selection": report.selection, "learners": report.learners, "fit": report.fit,
        "fit_seconds": report.fit_seconds, "metrics": report.metrics,
    });
    write_json(&writer.path().join(CLASSIFY_FILE), &file)?;
    writer.commit(&StageAbout { stage: "classify".into(), key, settings, report: value })?;
    Ok(())
}

#[cfg(test)]
mod tests;
