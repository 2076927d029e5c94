//! Labels and probabilities of texts, from any folder that was trained.

mod about;
mod columns;
mod combination;
mod predictor;
mod prepared;
mod temperature;
mod terms;
mod text;

pub use about::{TrainedAbout, about_trained};
pub(super) use columns::PredictionColumns;
pub use combination::{Combination, CombinationMember, CombinationMethod};
pub use predictor::Predictor;
pub(super) use predictor::softmax;
pub use temperature::SavedTemperature;
pub use terms::write_terms_folder;
pub use text::TextRecipe;

use super::classify::{CLASSIFY_FILE, FeatureColumns};
use super::extract::ExtractSettings;
use super::key::{StageAbout, stage_key};
use super::output::{
    Emit, Layout, OutputFormat, PreparedTexts, RowBuffer, RowCounts, ShardedOutput, TextPreparation, Written,
    finished_file, known_rows, record_file, write_sharded,
};
use crate::config::Dtype;
use crate::data::{ReadOptions, fingerprint, open};
use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::preparation::PREPARATION_FILE;
use crate::learners::head::Head;
use crate::progress::Context;
use crate::storage::{digest_file, read_json};
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How to predict, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictSettings {
    /// Texts are cut to so many tokens; absent, to as many as in training.
    pub max_seq_length: Option<usize>,
    /// Numbers in which the encoder computes; absent, those in which a classifier's features were made, and else what is
    /// quick on this machine.
    pub dtype: Option<Dtype>,
    /// Tokens computed at once.
    pub max_tokens: usize,
    /// Whether the input's columns are written too.
    pub keep_columns: bool,
    /// The format of the file; `.npy` has no place for labels.
    pub format: OutputFormat,
    /// Whether the probability of every class is written, and not only that of the label.
    pub all_probabilities: bool,
    /// Whether the temperature that lies in the folder is applied to probabilities of classes.
    #[serde(default = "applied")]
    pub calibrated: bool,
    /// Rows of a shard: what a stop loses at most.
    pub shard_rows: usize,
}

fn applied() -> bool {
    true
}

/// The name of this stage.
const STAGE: &str = "predict";

impl PredictSettings {
    /// As for extraction.
    pub const DEFAULT_SHARD_ROWS: usize = ExtractSettings::DEFAULT_SHARD_ROWS;
}

/// What to predict for.
pub struct PredictInput<'a> {
    /// A folder that finetune or classify wrote, or any with a `…ForSequenceClassification` model.
    pub model: &'a Path,
    /// The source of the rows, as [`open`] takes it. For a classifier without an encoder, a feature file.
    pub source: &'a str,
    /// The columns of the texts; none for those of the training, or for the default text column where the folder does
    /// not know them. Not used for a feature file.
    pub text_columns: Vec<String>,
    /// What is put between the texts of several columns; absent, what was in training, or a space.
    pub text_column_delimiter: Option<String>,
    /// Only so many rows.
    pub limit: Option<u64>,
}

/// What predicting did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictReport {
    /// Rows, tokens, what was cut off, seconds of all runs together.
    pub counts: RowCounts,
    /// Share of the time of the run that finished in which the model waited for reading or writing, from 0 to 1.
    #[serde(default)]
    pub waiting_share: f64,
    /// Numbers in which the encoder computed; none without one.
    #[serde(default)]
    pub dtype: Option<Dtype>,
    /// The temperature that was applied to probabilities.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// The labels, or the outputs of a regression.
    pub labels: Vec<String>,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// Predicts for every row of a source and writes the file `output`: the input's columns, and
/// - for one label a row: `label` and its `probability`;
/// - for several: `label` and `probability` as lists, of the labels whose probability exceeds one half;
/// - for a regression: `prediction`;
/// - if asked: `probabilities`, a list in the order of the labels (in CSV `probability_<label>`, in JSONL an object).
///
/// Where the input has a column of such a name, all of them get the prefix `predicted_`. Sharding, resuming and the
/// return of an earlier result are as for [`super::extract()`].
///
/// # Errors
/// A folder that holds nothing trained; what reading the source gives; a stop on request (finished shards stay).
pub fn predict(
    input: &PredictInput,
    settings: &PredictSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    if settings.format == OutputFormat::Npy {
        let problem = "labels have no place in a .npy file";
        return Err(Error::config("output", problem, "write a .parquet, .csv or .jsonl file"));
    }
    if input.model.join(combination::COMBINATION_FILE).is_file() {
        return combination::predict_combination(input, settings, output, ctx);
    }
    if is_head_only(input.model) {
        let settings = &PredictSettings { dtype: None, ..settings.clone() };
        if input.model.join(terms::VECTORIZER_FILE).is_file() {
            return terms::predict_terms(input, settings, output, ctx);
        }
        if input.model.join(PREPARATION_FILE).is_file() {
            return prepared::predict_columns(input, settings, output, ctx);
        }
        return predict_features(input, settings, output, ctx);
    }
    let predictor = Predictor::open(input.model, settings.dtype)?;
    // The bits depend on what was chosen, so it is part of the result's name.
    let settings = &PredictSettings { dtype: Some(predictor.dtype()), ..settings.clone() };
    let options = predictor.encode_options_of(settings.max_seq_length)?;
    if let Some(preparation) = predictor.preparation() {
        return prepared::predict_texts_and_columns(
            &predictor,
            preparation,
            options,
            input,
            settings,
            output,
            ctx,
        );
    }
    let texts = text::text_columns(input, predictor.text_recipe().as_ref())?;
    let labels = predictor.labels().to_vec();
    let columns = PredictionColumns::of(input.model, predictor.task(), labels, settings)?;
    let preparation = TextPreparation {
        tokenizer: predictor.tokenizer(),
        columns: &texts,
        options,
        max_tokens: settings.max_tokens,
    };
    let compute = |(): &(), texts: PreparedTexts, emit: &mut Emit<'_>| {
        let values = predictor.predict_planned(&texts.encodings, &texts.plan, ctx)?;
        emit(0..texts.encodings.len(), &columns.arrays(&values)?)?;
        Ok(RowCounts { repeated_texts: texts.plan.repeated() as u64, ..texts.counts() })
    };
    let digest = predictor.digest();
    let job = Job { stage: STAGE, input, settings, digest, columns: &columns, read: texts.names() };
    job.run(&texts.key(), |rows| preparation.prepare(rows), compute, output, ctx)
}

/// Whether a folder holds a classifier of features and no encoder.
fn is_head_only(folder: &Path) -> bool {
    folder.join("head.json").is_file() && !folder.join("config.json").is_file()
}

/// Names the content of files of a folder.
fn files_digest(folder: &Path, names: &[&str]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(digest_file(&folder.join(name))?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Predicts from a feature file with a classifier that has no encoder.
fn predict_features(
    input: &PredictInput,
    settings: &PredictSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    let head = Head::load(input.model)?;
    let asked = feature_columns(input.model)?;
    let features = FeatureColumns::resolve(input.source, &asked)?;
    let columns = PredictionColumns::of(input.model, head.task(), predictor::labels_of(&head), settings)?;
    let digest = files_digest(input.model, &["head.json", "head.safetensors"])?;
    let compute = |(): &(), features: DenseMatrix, emit: &mut Emit<'_>| {
        ctx.cancel.check()?;
        let (rows, features) = (features.rows(), Features::Dense(features));
        emit(0..rows, &columns.arrays(&head.predict(&features)?)?)?;
        ctx.progress.advance(rows as u64);
        Ok(RowCounts::default())
    };
    let read = &features.source_columns();
    let job = Job { stage: STAGE, input, settings, digest: &digest, columns: &columns, read };
    job.run(&asked.join("\u{1f}"), |rows| feature_matrix(&features, rows), compute, output, ctx)
}

/// The features of a buffer's rows.
fn feature_matrix(columns: &FeatureColumns, rows: &RowBuffer) -> Result<DenseMatrix> {
    let (mut columns, mut values) = (columns.clone(), Vec::new());
    for chunk in &rows.chunks {
        columns.append(chunk, &mut values)?;
    }
    DenseMatrix::new(rows.rows, values.len() / rows.rows.max(1), values)
}

/// The feature columns that a classifier was trained on; none where its folder does not say.
fn feature_columns(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(CLASSIFY_FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let about: Value = read_json(&path)?;
    let columns = about.pointer("/settings/feature_columns").and_then(Value::as_array);
    Ok(columns.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// What is the same for texts and features, whoever predicts.
pub(super) struct Job<'a> {
    pub(super) stage: &'static str,
    pub(super) input: &'a PredictInput<'a>,
    pub(super) settings: &'a PredictSettings,
    pub(super) digest: &'a str,
    pub(super) columns: &'a PredictionColumns,
    /// The columns that the work needs.
    pub(super) read: &'a [String],
}

impl Job<'_> {
    pub(super) fn run<P: Send>(
        &self,
        columns_key: &str,
        prepare: impl Fn(&RowBuffer) -> Result<P> + Send,
        compute: impl FnMut(&(), P, &mut Emit<'_>) -> Result<RowCounts>,
        output: &Path,
        ctx: &Context,
    ) -> Result<PredictReport> {
        let (source, settings) = (self.input.source, self.settings);
        let limit = self.input.limit.map_or_else(String::new, |limit| limit.to_string());
        let temperature = self.columns.temperature.map_or_else(String::new, |value| value.to_string());
        let inputs = [self.digest, &fingerprint(source)?, columns_key, &limit, &temperature];
        let key = stage_key(self.stage, &inputs, settings);
        if let Some(report) = finished_file(output, &key)? {
            return Ok(report);
        }
        let columns = if settings.keep_columns { None } else { Some(self.read.to_vec()) };
        let read = ReadOptions { columns, limit: self.input.limit, ..ReadOptions::default() };
        let kept = if settings.keep_columns {
            open(source, &read)?.schema().as_ref().clone()
        } else {
            Schema::empty()
        };
        let layout = self.layout(&kept)?;
        let job = ShardedOutput {
            source,
            read,
            key: &key,
            output,
            format: settings.format,
            shard_rows: settings.shard_rows,
            layout: &layout,
            width: 0,
        };
        ctx.progress.start(self.stage, known_rows(source, self.input.limit), "rows");
        let Written { counts, waiting_share } = write_sharded(&job, prepare, || Ok(()), compute, ctx)?;
        ctx.progress.finish();
        let labels = self.columns.labels.clone();
        let report = PredictReport {
            counts,
            waiting_share,
            dtype: settings.dtype,
            temperature: self.columns.temperature,
            labels,
            files: vec![output.to_path_buf()],
        };
        let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
        let value = serde_json::to_value(&report).expect("a report is plain data");
        record_file(output, StageAbout { stage: self.stage.into(), key, settings, report: value })?;
        Ok(report)
    }

    fn layout(&self, kept: &Schema) -> Result<Layout> {
        let about = serde_json::json!({"stage": self.stage, "model": self.digest, "settings": self.settings});
        let labels = serde_json::json!(self.columns.labels);
        let metadata = vec![
            ("steep.settings".to_owned(), about.to_string()),
            ("steep.labels".to_owned(), labels.to_string()),
        ];
        let (fields, spreads) = self.columns.fields(kept);
        Layout::new(kept, fields, spreads, metadata)
    }
}

#[cfg(test)]
mod tests;
