//! Texts to vectors: an encoder's embeddings of every row of a source, in one file.

use super::engineered::{self, EngineeredColumns};
use super::key::{StageAbout, stage_key};
use super::model_folder::ModelFolder;
use super::output::{
    Emit, Layout, OutputFormat, PreparedTexts, RowCounts, ShardedOutput, Spread, TextColumns,
    TextPreparation, Written, finished_file, known_rows, record_file, vector_field, vectors, write_sharded,
};
use crate::config::apply_dtype;
use crate::data::{ReadOptions, fingerprint, open};
use crate::error::{Error, Result};
use crate::features::embed::{EmbedSettings, Embedder};
use crate::features::engineered::EngineeredSpec;
use crate::progress::Context;
use crate::text::{EncodeOptions, Encodings, Tokenizer, Truncation};
use crate::training::{Sequences, micro_batches};
use arrow::array::{ArrayRef, ListArray, ListBuilder, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steep_encoder::Model;

/// The column of sentence embeddings.
pub const EMBEDDING_COLUMN: &str = "embedding";
/// The column of token embeddings.
const TOKEN_COLUMN: &str = "token_embeddings";
/// The column of the tokens they belong to.
const TOKENS_COLUMN: &str = "tokens";

/// What is written for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputValue {
    /// One vector.
    SentenceEmbedding,
    /// The state of each of its tokens, special ones included; neither pooled nor normalised.
    TokenEmbeddings,
}

/// How to extract, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractSettings {
    /// How embeddings are made.
    pub embed: EmbedSettings,
    /// Texts are cut to so many tokens.
    pub max_seq_length: usize,
    /// What is kept of texts that are too long.
    pub truncation: Truncation,
    /// Put before every text.
    pub prompt: Option<String>,
    /// What is written for a text.
    pub output_value: OutputValue,
    /// The format of the file.
    pub format: OutputFormat,
    /// Rows of a shard: what a stop loses at most.
    pub shard_rows: usize,
    /// Whether the input's columns are written too; a `.npy` file has no place for them.
    pub keep_columns: bool,
    /// Columns engineered from the texts, which are written beside the vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engineered: Option<EngineeredColumns>,
}

impl ExtractSettings {
    /// Enough rows for long columns in a Parquet file, few enough to lose little by a stop.
    pub const DEFAULT_SHARD_ROWS: usize = 16_384;

    /// How texts become tokens.
    pub fn encode_options(&self) -> EncodeOptions {
        EncodeOptions {
            max_seq_length: self.max_seq_length,
            prompt: self.prompt.clone(),
            truncation: self.truncation,
        }
    }
}

/// What to extract from.
pub struct ExtractInput<'a> {
    /// The encoder.
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

/// What extracting did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractReport {
    /// Rows, tokens, what was cut off, seconds of all runs together.
    pub counts: RowCounts,
    /// Share of the time of the run that finished in which the encoder waited for reading or writing, from 0 to 1.
    #[serde(default)]
    pub waiting_share: f64,
    /// Dimensions of a vector.
    pub width: usize,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// Extracts the vectors of every row into the file `output`; returns the report of an earlier run with the same
/// inputs and settings if the file is there.
///
/// Missing and blank texts get the embedding of the empty text. Finished shards lie in `<output>.parts` until
/// the output is whole, and `<output>.steep.json` says what the output was made of.
///
/// # Errors
/// What reading the source gives; a format that has no place for the vectors; a column of the input with a name
/// that is to be written; a stop on request (finished shards stay).
pub fn extract(
    input: &ExtractInput,
    settings: &ExtractSettings,
    output: &Path,
    ctx: &Context,
) -> Result<ExtractReport> {
    check_format(settings)?;
    let texts = TextColumns::resolve(input.source, &input.text_columns, &input.text_column_delimiter)?;
    let key = extract_key(input, &texts, settings)?;
    if let Some(report) = finished_file(output, &key)? {
        return Ok(report);
    }
    let dense = input.model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
    let tokenizer = &input.model.tokenizer;
    let spec =
        |asked: &EngineeredColumns| asked.spec(input.source, &texts, input.limit, Some(tokenizer), ctx);
    let spec = settings.engineered.as_ref().map(spec).transpose()?;
    let width = match settings.output_value {
        OutputValue::SentenceEmbedding => settings.embed.width(&input.model.config, dense)?,
        OutputValue::TokenEmbeddings => input.model.config.hidden_size,
    };
    let preparation = TextPreparation {
        tokenizer,
        columns: &texts,
        options: settings.encode_options(),
        max_tokens: settings.embed.max_tokens,
    };
    let (read, kept) = columns_read(input, settings, &texts)?;
    let layout = layout(&kept, width, input.model, settings, spec.as_ref())?;
    let job = ShardedOutput {
        source: input.source,
        read,
        key: &key,
        output,
        format: settings.format,
        shard_rows: settings.shard_rows,
        layout: &layout,
        width,
    };
    ctx.progress.start("extract", known_rows(input.source, input.limit), "rows");
    let Written { counts, waiting_share } = write_sharded(
        &job,
        |rows| {
            preparation.prepare_with(rows, |texts| match &spec {
                Some(spec) => engineered::arrays(spec, texts, Some(tokenizer)),
                None => Ok(Vec::new()),
            })
        },
        || {
            let head_kind = settings.embed.features_from.head_kind();
            let (mut model, _) = Model::load(&input.model.path, head_kind, 0)?;
            apply_dtype(settings.embed.dtype, &mut model);
            Ok(model)
        },
        |model, (texts, engineered), emit| {
            let embedder = Embedder::new(model, dense, settings.embed.clone())?;
            ExtractWork { embedder: &embedder, tokenizer, settings, width, ctx }
                .compute(&texts, engineered, emit)
        },
        ctx,
    )?;
    ctx.progress.finish();
    let mut files = vec![output.to_path_buf()];
    if let Some(spec) = &spec {
        files.push(engineered::save_beside(spec, output)?);
    }
    let report = ExtractReport { counts, waiting_share, width, files };
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    record_file(output, StageAbout { stage: "extract".into(), key, settings, report: value })?;
    Ok(report)
}

fn check_format(settings: &ExtractSettings) -> Result<()> {
    let is_tabular = matches!(settings.format, OutputFormat::Npy | OutputFormat::Csv);
    if settings.output_value == OutputValue::TokenEmbeddings && is_tabular {
        let problem = format!("token embeddings have no place in {}", settings.format.name());
        return Err(Error::config("output_value", problem, "write a .parquet or .jsonl file"));
    }
    if settings.output_value == OutputValue::TokenEmbeddings && settings.engineered.is_some() {
        let problem = "have no place beside token embeddings";
        return Err(Error::config("engineered_features", problem, "extract sentence embeddings"));
    }
    if settings.engineered.is_some() { engineered::check_format(settings.format) } else { Ok(()) }
}

fn extract_key(input: &ExtractInput, texts: &TextColumns, settings: &ExtractSettings) -> Result<String> {
    let limit = input.limit.map_or_else(String::new, |limit| limit.to_string());
    let (data, texts_key) = (fingerprint(input.source)?, &texts.key());
    let spec =
        settings.engineered.as_ref().map(EngineeredColumns::spec_digest).transpose()?.unwrap_or_default();
    let mut inputs = vec![input.model.digest.as_str(), &data, texts_key, &limit];
    inputs.extend(Some(spec.as_str()).filter(|spec| !spec.is_empty()));
    Ok(stage_key("extract", &inputs, settings))
}

/// What is read of the source, and the columns that are written again.
fn columns_read(
    input: &ExtractInput,
    settings: &ExtractSettings,
    texts: &TextColumns,
) -> Result<(ReadOptions, Schema)> {
    let keep = settings.keep_columns && settings.format != OutputFormat::Npy;
    let columns = if keep { None } else { Some(texts.names().to_vec()) };
    let read = ReadOptions { columns, limit: input.limit, ..ReadOptions::default() };
    let kept = if keep { open(input.source, &read)?.schema().as_ref().clone() } else { Schema::empty() };
    Ok((read, kept))
}

fn layout(
    kept: &Schema,
    width: usize,
    model: &ModelFolder,
    settings: &ExtractSettings,
    spec: Option<&EngineeredSpec>,
) -> Result<Layout> {
    let about = serde_json::json!({"stage": "extract", "model": model.digest, "settings": settings});
    let metadata = vec![("steep.settings".to_owned(), about.to_string())];
    match settings.output_value {
        OutputValue::SentenceEmbedding => {
            let columns = (0..width).map(|at| format!("{EMBEDDING_COLUMN}_{at}")).collect();
            let spread = Spread { column: EMBEDDING_COLUMN.into(), columns, keys: None };
            let mut fields = vec![vector_field(EMBEDDING_COLUMN, width)];
            fields.extend(spec.iter().flat_map(|spec| engineered::fields(spec)));
            Layout::new(kept, fields, vec![spread], metadata)
        }
        OutputValue::TokenEmbeddings => {
            let states = Field::new(TOKEN_COLUMN, DataType::List(state_field(width)), false);
            let tokens = Field::new(TOKENS_COLUMN, DataType::List(token_field()), false);
            Layout::new(kept, vec![tokens, states], Vec::new(), metadata)
        }
    }
}

fn state_field(width: usize) -> Arc<Field> {
    Arc::new(vector_field(Field::LIST_FIELD_DEFAULT_NAME, width))
}

fn token_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8, false))
}

/// Embeds the texts of a buffer.
struct ExtractWork<'a> {
    embedder: &'a Embedder<'a>,
    tokenizer: &'a Tokenizer,
    settings: &'a ExtractSettings,
    width: usize,
    ctx: &'a Context<'a>,
}

impl ExtractWork<'_> {
    /// The states of tokens, some rows at a time: those of a whole buffer would fill the memory.
    fn token_embeddings(&self, encodings: &Encodings, emit: &mut Emit<'_>) -> Result<()> {
        let rows: Vec<u32> = (0..encodings.len() as u32).collect();
        let length = |row: u32| encodings.length(row as usize);
        for batch_rows in micro_batches(&rows, self.settings.embed.max_tokens, length) {
            self.ctx.cancel.check()?;
            let batch = encodings.pack(batch_rows);
            let states = vectors(self.embedder.token_states(&batch), self.width)?;
            let offsets = OffsetBuffer::from_lengths(batch_rows.iter().map(|&row| length(row)));
            let lists = ListArray::try_new(state_field(self.width), offsets, states, None)
                .map_err(|error| Error::config("max_tokens", error.to_string(), "choose a smaller number"))?;
            let first = batch_rows[0] as usize;
            let columns: [ArrayRef; 2] = [self.tokens(encodings, batch_rows), Arc::new(lists)];
            emit(first..first + batch_rows.len(), &columns)?;
            self.ctx.progress.advance(batch_rows.len() as u64);
        }
        Ok(())
    }

    /// The tokens of rows, as the vocabulary spells them.
    fn tokens(&self, encodings: &Encodings, rows: &[u32]) -> ArrayRef {
        let mut lists = ListBuilder::new(StringBuilder::new()).with_field(token_field());
        for &row in rows {
            for &id in encodings.sequence(row as usize) {
                lists.values().append_value(self.tokenizer.token(id).unwrap_or_default());
            }
            lists.append(true);
        }
        Arc::new(lists.finish())
    }

    /// Emits the vectors, with the columns engineered from the same texts behind them.
    fn compute(
        &self,
        texts: &PreparedTexts,
        engineered: Vec<ArrayRef>,
        emit: &mut Emit<'_>,
    ) -> Result<RowCounts> {
        let encodings = &texts.encodings;
        let mut counts = texts.counts();
        match self.settings.output_value {
            OutputValue::SentenceEmbedding => {
                let prompt_tokens = encodings.prompt_tokens as usize;
                let matrix = self.embedder.embed_planned(encodings, &texts.plan, prompt_tokens, self.ctx)?;
                let mut columns = vec![vectors(matrix.into_values(), self.width)?];
                columns.extend(engineered);
                emit(0..encodings.len(), &columns)?;
                counts.repeated_texts = texts.plan.repeated() as u64;
            }
            OutputValue::TokenEmbeddings => self.token_embeddings(encodings, emit)?,
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests;
