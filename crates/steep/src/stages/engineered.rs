//! Columns engineered from texts, beside vectors or alone in one file.

use super::extract::ExtractReport;
use super::key::{StageAbout, stage_key};
use super::output::{
    Emit, Layout, OutputFormat, RowBuffer, RowCounts, ShardedOutput, TextColumns, Written, finished_file,
    known_rows, record_file, write_sharded,
};
use crate::data::{ReadOptions, fingerprint, open, text};
use crate::error::{Error, Result};
use crate::features::engineered::{EngineeredFitter, EngineeredSettings, EngineeredSpec};
use crate::progress::Context;
use crate::storage::digest_file;
use crate::text::Tokenizer;
use arrow::array::{Array, ArrayRef, Float32Array};
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which engineered columns are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineeredColumns {
    /// The columns, where they are learned here.
    pub settings: EngineeredSettings,
    /// A file of columns that were learned elsewhere, to be computed again.
    pub spec_file: Option<PathBuf>,
    /// Says which rows train; only from those it is learned which hashtags, emoji and languages are frequent.
    pub split_column: Option<String>,
}

/// How to write engineered columns alone, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineerSettings {
    /// The columns.
    pub engineered: EngineeredColumns,
    /// The format of the file; `.npy` has no place for named columns.
    pub format: OutputFormat,
    /// Rows of a shard: what a stop loses at most.
    pub shard_rows: usize,
    /// Whether the input's columns are written too.
    pub keep_columns: bool,
}

/// What to engineer columns from.
pub struct EngineerInput<'a> {
    /// The source of the rows, as [`open`] takes it.
    pub source: &'a str,
    /// The columns of the texts; none for the default text column.
    pub text_columns: Vec<String>,
    /// What is put between the texts of several columns.
    pub text_column_delimiter: String,
    /// Only so many rows.
    pub limit: Option<u64>,
}

/// Writes the engineered columns of every row into the file `output`, and what was learned for them into
/// `<output>.engineered.json`. Sharding, resuming and the return of an earlier result are as for
/// [`super::extract()`].
///
/// # Errors
/// What reading the source gives; a format without named columns; a column of the input with a name that is to be
/// written; a stop on request (finished shards stay).
pub fn engineer(
    input: &EngineerInput,
    settings: &EngineerSettings,
    output: &Path,
    ctx: &Context,
) -> Result<ExtractReport> {
    check_format(settings.format)?;
    let texts = TextColumns::resolve(input.source, &input.text_columns, &input.text_column_delimiter)?;
    let limit = input.limit.map_or_else(String::new, |limit| limit.to_string());
    let digest = settings.engineered.spec_digest()?;
    let key = stage_key("engineer", &[&fingerprint(input.source)?, &texts.key(), &limit, &digest], settings);
    if let Some(report) = finished_file(output, &key)? {
        return Ok(report);
    }
    let spec = settings.engineered.spec(input.source, &texts, input.limit, None, ctx)?;
    let columns = if settings.keep_columns { None } else { Some(texts.names().to_vec()) };
    let read = ReadOptions { columns, limit: input.limit, ..ReadOptions::default() };
    let kept = if settings.keep_columns {
        open(input.source, &read)?.schema().as_ref().clone()
    } else {
        Schema::empty()
    };
    let about = serde_json::json!({"stage": "engineer", "settings": settings});
    let metadata = vec![("steep.settings".to_owned(), about.to_string())];
    let layout = Layout::new(&kept, fields(&spec), Vec::new(), metadata)?;
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
    ctx.progress.start("engineer", known_rows(input.source, input.limit), "rows");
    let compute = |(): &(), (texts, empty_texts): (Vec<String>, u64), emit: &mut Emit<'_>| {
        ctx.cancel.check()?;
        emit(0..texts.len(), &arrays(&spec, &texts, None)?)?;
        ctx.progress.advance(texts.len() as u64);
        Ok(RowCounts { empty_texts, ..RowCounts::default() })
    };
    let Written { counts, waiting_share } =
        write_sharded(&job, |rows| texts.of(rows), || Ok(()), compute, ctx)?;
    ctx.progress.finish();
    let files = vec![output.to_path_buf(), save_beside(&spec, output)?];
    let report = ExtractReport { counts, waiting_share, width: spec.names().len(), files };
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    record_file(output, StageAbout { stage: "engineer".into(), key, settings, report: value })?;
    Ok(report)
}

impl EngineeredColumns {
    /// What names the content of the file of columns; empty where there is none.
    pub(super) fn spec_digest(&self) -> Result<String> {
        self.spec_file.as_ref().map_or_else(|| Ok(String::new()), |path| digest_file(path))
    }

    /// The columns: read, or learned from the training rows of a source.
    pub(super) fn spec(
        &self,
        source: &str,
        texts: &TextColumns,
        limit: Option<u64>,
        tokenizer: Option<&Tokenizer>,
        ctx: &Context,
    ) -> Result<EngineeredSpec> {
        if let Some(path) = &self.spec_file {
            return EngineeredSpec::load(path);
        }
        let mut columns = texts.names().to_vec();
        columns.extend(self.split_column.iter().filter(|column| !texts.names().contains(column)).cloned());
        let read = ReadOptions { columns: Some(columns), limit, ..ReadOptions::default() };
        let mut fitter = EngineeredFitter::new(&self.settings, tokenizer.is_some());
        ctx.progress.start("learn columns", known_rows(source, limit), "rows");
        for chunk in open(source, &read)? {
            ctx.cancel.check()?;
            let chunk = chunk?;
            let rows = chunk.batch.num_rows();
            let split = self.split_column.as_ref().map(|column| text(&chunk, column)).transpose()?;
            let (mut training, _) = texts.of(&RowBuffer { chunks: vec![chunk], rows })?;
            if let Some(split) = split {
                let trains =
                    |part: &str| ["train", "training"].contains(&part.trim().to_lowercase().as_str());
                let mut row = 0;
                training.retain(|_| {
                    row += 1;
                    split.is_valid(row - 1) && trains(split.value(row - 1))
                });
            }
            fitter.add(&training);
            ctx.progress.advance(rows as u64);
        }
        ctx.progress.finish();
        Ok(fitter.finish())
    }
}

/// Refuses a format that has no names for columns.
pub(super) fn check_format(format: OutputFormat) -> Result<()> {
    if format == OutputFormat::Npy {
        let problem = "named columns have no place in a .npy file";
        return Err(Error::config("engineered_features", problem, "write a .parquet, .csv or .jsonl file"));
    }
    Ok(())
}

/// Writes what was learned beside the output.
pub(super) fn save_beside(spec: &EngineeredSpec, output: &Path) -> Result<PathBuf> {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".engineered.json");
    let path = output.with_file_name(name);
    spec.save(&path)?;
    Ok(path)
}

/// The columns of a file.
pub(super) fn fields(spec: &EngineeredSpec) -> Vec<Field> {
    spec.names().into_iter().map(|name| Field::new(name, DataType::Float32, false)).collect()
}

/// Their values for texts.
pub(super) fn arrays(
    spec: &EngineeredSpec,
    texts: &[String],
    tokenizer: Option<&Tokenizer>,
) -> Result<Vec<ArrayRef>> {
    let matrix = spec.compute(texts, tokenizer)?;
    let width = matrix.columns();
    let column = |at: usize| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(matrix.values().iter().skip(at).step_by(width).copied()))
    };
    Ok((0..width).map(column).collect())
}

#[cfg(test)]
mod tests;
