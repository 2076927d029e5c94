//! Texts that an encoder-decoder writes after others: translations, summaries, or a damaged text mended.

use super::key::{StageAbout, stage_key};
use super::model_folder::ModelFolder;
use super::output::{
    Emit, Layout, OutputFormat, PreparedTexts, RowCounts, ShardedOutput, TextColumns, TextPreparation,
    Written, finished_file, known_rows, record_file, write_sharded,
};
use crate::config::{Dtype, apply_dtype};
use crate::data::{ReadOptions, TextOptions, fingerprint, load_texts, open};
use crate::error::{Error, Result};
use crate::evaluation::text_metrics::{TextMetrics, text_metrics};
use crate::generation::{self, GenerationSettings};
use crate::progress::Context;
use crate::training::Sequences;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use steep_encoder::{HeadKind, Model, Pass};

/// The column of what was written.
pub const GENERATED_COLUMN: &str = "generated_text";

/// How to write texts, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateSettings {
    /// How tokens are chosen.
    pub generation: GenerationSettings,
    /// Texts that are read are cut to so many tokens.
    pub max_seq_length: usize,
    /// Numbers in which the model computes.
    pub dtype: Dtype,
    /// Tokens read at once.
    pub max_tokens: usize,
    /// The column of what should be written, with which it is compared.
    pub reference_column: Option<String>,
    /// Whether the input's columns are written too.
    pub keep_columns: bool,
    /// The format of the file; `.npy` has no place for texts.
    pub format: OutputFormat,
    /// Rows of a shard: what a stop loses at most.
    pub shard_rows: usize,
}

/// What to write after.
pub struct GenerateInput<'a> {
    /// An encoder-decoder.
    pub model: &'a ModelFolder,
    /// The source of the rows, as [`open`] takes it.
    pub source: &'a str,
    /// The columns of the texts; none for the default text column.
    pub text_columns: Vec<String>,
    /// What is put between the texts of several columns.
    pub text_column_delimiter: String,
    /// Only so many rows.
    pub limit: Option<u64>,
}

/// What writing did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateReport {
    /// Rows, tokens that were read, what was cut off, seconds of all runs together.
    pub counts: RowCounts,
    /// Share of the time of the run that finished in which the model waited for reading or writing, from 0 to 1.
    pub waiting_share: f64,
    /// Likeness to the references, where there are some.
    pub metrics: Option<TextMetrics>,
}

/// Scores that are in memory at once, at most: one for each text under way and word of the vocabulary.
const MAX_SCORES: usize = 1 << 25;

/// Writes a text after that of each row of a source, and the file `output`: the input's columns and `generated_text`.
/// Sharding, resuming and the return of an earlier result are as for [`super::extract()`].
///
/// # Errors
/// A model that writes no texts; what reading the source gives; a stop on request (finished shards stay).
pub fn generate(
    input: &GenerateInput,
    settings: &GenerateSettings,
    output: &Path,
    ctx: &Context,
) -> Result<GenerateReport> {
    if settings.format == OutputFormat::Npy {
        let problem = "texts have no place in a .npy file";
        return Err(Error::config("output_file", problem, "write a .parquet, .csv or .jsonl file"));
    }
    let texts = TextColumns::resolve(input.source, &input.text_columns, &input.text_column_delimiter)?;
    let references = references(input, settings)?;
    let limit = input.limit.map_or_else(String::new, |limit| limit.to_string());
    let inputs = [input.model.digest.as_str(), &fingerprint(input.source)?, &texts.key(), &limit];
    let key = stage_key("generate", &inputs, settings);
    if let Some(report) = finished_file(output, &key)? {
        return Ok(report);
    }
    let columns = if settings.keep_columns { None } else { Some(texts.names().to_vec()) };
    let read = ReadOptions { columns, limit: input.limit, ..ReadOptions::default() };
    let kept = if settings.keep_columns {
        open(input.source, &read)?.schema().as_ref().clone()
    } else {
        Schema::empty()
    };
    let about = serde_json::json!({"stage": "generate", "model": input.model.digest, "settings": settings});
    let metadata = vec![("steep.settings".to_owned(), about.to_string())];
    let field = Field::new(GENERATED_COLUMN, DataType::Utf8, false);
    let layout = Layout::new(&kept, vec![field], Vec::new(), metadata)?;
    let job = ShardedOutput {
        source: input.source,
        read,
        key: &key,
        output,
        format: settings.format,
        shard_rows: settings.shard_rows,
        layout: &layout,
        width: 0,
    };
    let preparation = TextPreparation {
        tokenizer: &input.model.tokenizer,
        columns: &texts,
        options: input.model.encode_options(settings.max_seq_length),
        max_tokens: settings.max_tokens,
    };
    ctx.progress.start("generate", known_rows(input.source, input.limit), "rows");
    let compute = |model: &Model, texts: PreparedTexts, emit: &mut Emit<'_>| {
        let written = write_texts(input.model, model, &texts, settings, ctx)?;
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(&written));
        emit(0..written.len(), &[column])?;
        Ok(RowCounts { repeated_texts: texts.plan.repeated() as u64, ..texts.counts() })
    };
    let load = || load(input.model, settings);
    let prepare = |rows: &_| preparation.prepare(rows);
    let Written { counts, waiting_share } = write_sharded(&job, prepare, load, compute, ctx)?;
    ctx.progress.finish();
    let metrics = references.map(|references| compare(output, &references)).transpose()?;
    let report = GenerateReport { counts, waiting_share, metrics };
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    record_file(output, StageAbout { stage: "generate".into(), key, settings, report: value })?;
    Ok(report)
}

/// What should be written, read before anything is: a column that is not there is told at once.
fn references(input: &GenerateInput, settings: &GenerateSettings) -> Result<Option<Vec<String>>> {
    let Some(column) = &settings.reference_column else { return Ok(None) };
    let options = TextOptions { column: Some(column.clone()), limit: input.limit, ..TextOptions::default() };
    load_texts(input.source, &options).map(Some)
}

fn load(folder: &ModelFolder, settings: &GenerateSettings) -> Result<Model> {
    let (mut model, report) = Model::load(&folder.path, HeadKind::Seq2Seq, 0)?;
    if let Some(name) = report.initialised.first() {
        return Err(Error::model(
            folder.path.display().to_string(),
            format!("the weights lack what writes texts: there is no {name}"),
            "download the model again",
        ));
    }
    apply_dtype(settings.dtype, &mut model);
    Ok(model)
}

fn write_texts(
    folder: &ModelFolder,
    model: &Model,
    texts: &PreparedTexts,
    settings: &GenerateSettings,
    ctx: &Context,
) -> Result<Vec<String>> {
    let pass = Pass::evaluate(&model.parameters);
    let generation = &settings.generation;
    let at_once = (MAX_SCORES / (model.config.vocab_size * generation.num_beams)).max(1);
    let mut written = Vec::new();
    for rows in texts.plan.batches().flat_map(|batch| batch.chunks(at_once)) {
        let source = texts.encodings.pack(rows);
        for ids in generation::generate(model, &pass, &source, generation, ctx)? {
            written.push(folder.tokenizer.decode(&ids)?);
        }
        ctx.progress.advance(rows.len() as u64);
    }
    Ok(texts.plan.spread_items(&written))
}

fn compare(output: &Path, references: &[String]) -> Result<TextMetrics> {
    let column = Some(GENERATED_COLUMN.to_owned());
    let written = load_texts(&output.to_string_lossy(), &TextOptions { column, ..TextOptions::default() })?;
    Ok(text_metrics(&written, references))
}
