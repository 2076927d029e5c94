//! An index of a corpus's vectors, and questions to it.

use super::extract::{ExtractInput, ExtractSettings, extract};
use super::key::{StageAbout, finished, stage_key};
use super::model_folder::ModelFolder;
use super::output::{RowBuffer, TextColumns};
use crate::config::apply_dtype;
use crate::data::{ReadOptions, fingerprint, open};
use crate::error::{Error, Result};
use crate::features::embed::Embedder;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::search::lists::{LISTS_FILE, Lists};
use crate::search::{Hit, ListSettings, NearPair, Vectors, near_pairs, nearest};
use crate::storage::{Artefact, ArtefactWriter, read_json, write_json};
use crate::text::{EncodeOptions, map_readonly};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use steep_encoder::{HeadKind, Model};

const INDEX_FILE: &str = "index.json";
const VECTORS_FILE: &str = "vectors.npy";
/// The texts, one after the other.
const TEXTS_FILE: &str = "texts.bin";
/// `rows + 1` little-endian numbers of 64 bits: where each text begins.
const OFFSETS_FILE: &str = "text_offsets.bin";
const FORMAT_VERSION: u32 = 1;

/// When rows are parted into lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChoice {
    /// From so many rows on.
    pub from_rows: u64,
    /// How.
    pub settings: ListSettings,
}

/// How to make an index, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexSettings {
    /// How vectors are made; of unit length, in a `.npy` file.
    pub extract: ExtractSettings,
    /// Whether rows are parted into lists.
    pub lists: Option<ListChoice>,
}

/// What making an index did, and what `index.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexReport {
    /// The layout of the folder.
    pub format_version: u32,
    /// Rows in the index.
    pub rows: u64,
    /// Dimensions of a vector.
    pub width: usize,
    /// Tokens of all texts.
    pub tokens: u64,
    /// Names the encoder's content.
    pub model_digest: String,
    /// How vectors are made.
    pub extract: ExtractSettings,
    /// How many lists the rows are parted into, if they are.
    pub lists: Option<usize>,
}

/// Embeds every row of a source and writes the folder `output`; returns the report of an earlier run if it is there.
///
/// # Errors
/// What [`extract`] gives; a stop on request (finished shards of vectors stay).
pub fn build_index(
    input: &ExtractInput,
    settings: &IndexSettings,
    output: &Path,
    ctx: &Context,
) -> Result<IndexReport> {
    let texts = TextColumns::resolve(input.source, &input.text_columns, &input.text_column_delimiter)?;
    let limit = input.limit.map_or_else(String::new, |limit| limit.to_string());
    let inputs = [&input.model.digest, &fingerprint(input.source)?, &texts.key(), &limit];
    let key = stage_key("search index", &inputs.map(String::as_str), settings);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    let made = extracted(output);
    let report = extract(input, &settings.extract, &made, ctx)?;
    let rows = report.counts.rows;
    let writer = ArtefactWriter::create(output)?;
    let vectors_path = writer.path().join(VECTORS_FILE);
    fs::copy(&made, &vectors_path).map_err(Error::io("write", &vectors_path))?;
    write_texts(input, &texts, rows, &writer, ctx)?;
    let mut lists = None;
    if let Some(choice) = settings.lists.filter(|choice| rows >= choice.from_rows.max(1)) {
        let vectors = Vectors::open(&vectors_path, rows as usize, report.width)?;
        let parted = Lists::build(&vectors, choice.settings, ctx)?;
        parted.save(writer.path())?;
        lists = Some(parted.len());
    }
    let report = IndexReport {
        format_version: FORMAT_VERSION,
        rows,
        width: report.width,
        tokens: report.counts.tokens,
        model_digest: input.model.digest.clone(),
        extract: settings.extract.clone(),
        lists,
    };
    write_json(&writer.path().join(INDEX_FILE), &report)?;
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    writer.commit(&StageAbout { stage: "search index".into(), key, settings, report: value })?;
    for path in [made.clone(), made.with_extension("npy.steep.json")] {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(report)
}

/// Where vectors lie until the index is whole; a run that is started again goes on there.
fn extracted(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".work.npy");
    output.with_file_name(name)
}

fn write_texts(
    input: &ExtractInput,
    texts: &TextColumns,
    rows: u64,
    writer: &ArtefactWriter,
    ctx: &Context,
) -> Result<()> {
    let (mut content, mut offsets) = (writer.create_file(TEXTS_FILE)?, writer.create_file(OFFSETS_FILE)?);
    let fault = |name: &str| Error::io("write", writer.path().join(name));
    let (mut end, mut count) = (0_u64, 0_u64);
    offsets.write_all(&end.to_le_bytes()).map_err(fault(OFFSETS_FILE))?;
    let columns = Some(texts.names().to_vec());
    for chunk in open(input.source, &ReadOptions { columns, limit: input.limit, ..ReadOptions::default() })? {
        ctx.cancel.check()?;
        let chunk = chunk?;
        let rows = RowBuffer { rows: chunk.batch.num_rows(), chunks: vec![chunk] };
        for text in texts.of(&rows)?.0 {
            end += text.len() as u64;
            count += 1;
            content.write_all(text.as_bytes()).map_err(fault(TEXTS_FILE))?;
            offsets.write_all(&end.to_le_bytes()).map_err(fault(OFFSETS_FILE))?;
        }
    }
    content.flush().map_err(fault(TEXTS_FILE))?;
    offsets.flush().map_err(fault(OFFSETS_FILE))?;
    if count == rows {
        return Ok(());
    }
    let problem = format!("had {rows} rows when it was embedded and {count} now");
    Err(Error::data(input.source, problem, "leave the file alone while it is read, and run again"))
}

/// How rows are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchMethod {
    /// By looking at all of them.
    Exact,
    /// By looking at the rows of so many lists.
    Lists {
        /// More find more and take longer.
        n_probe: usize,
    },
}

/// An opened index.
pub struct SearchIndex {
    folder: PathBuf,
    about: IndexReport,
    vectors: Vectors,
    lists: Option<Lists>,
    texts: Mmap,
    offsets: Mmap,
}

impl SearchIndex {
    /// Opens a folder that [`build_index`] wrote, and checks its files' sizes and what they say of each other.
    ///
    /// # Errors
    /// No index, or a damaged one.
    pub fn open(folder: &Path) -> Result<Self> {
        let Some(artefact) = Artefact::open(folder)? else {
            let hint = "name a folder that search wrote, or give an input_file to make one of";
            return Err(Error::data(folder, "there is no index", hint));
        };
        let about: IndexReport = read_json(&artefact.file(INDEX_FILE)?)?;
        let rows = about.rows as usize;
        let lists = match about.lists {
            Some(_) if artefact.file(LISTS_FILE).is_ok() => Some(Lists::load(folder, rows, about.width)?),
            _ => None,
        };
        let index = Self {
            vectors: Vectors::open(&artefact.file(VECTORS_FILE)?, rows, about.width)?,
            lists,
            texts: map_readonly(&artefact.file(TEXTS_FILE)?)?,
            offsets: map_readonly(&artefact.file(OFFSETS_FILE)?)?,
            folder: folder.to_path_buf(),
            about,
        };
        if index.about.format_version == FORMAT_VERSION && index.has_whole_texts() {
            return Ok(index);
        }
        Err(Error::data(folder, "the index is damaged or of another version", "delete it and make it anew"))
    }

    /// What the index is of.
    pub fn about(&self) -> &IndexReport {
        &self.about
    }

    fn offset(&self, row: usize) -> Option<usize> {
        let bytes = self.offsets.get(row * 8..row * 8 + 8)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    fn has_whole_texts(&self) -> bool {
        let rows = self.about.rows as usize;
        self.offsets.len() == (rows + 1) * 8
            && self.offset(0) == Some(0)
            && self.offset(rows) == Some(self.texts.len())
            && (0..rows).all(|row| self.offset(row) <= self.offset(row + 1))
    }

    /// The text of a row; empty where there is no such row.
    pub fn text(&self, row: u32) -> String {
        let row = row as usize;
        let span = self.offset(row).zip(self.offset(row + 1)).map(|(start, end)| start..end);
        let bytes = span.and_then(|span| self.texts.get(span)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The vectors of queries, made as those of the index are, but for a prompt of their own, if there is one.
    ///
    /// # Errors
    /// Another encoder than the index was made with; a stop on request.
    pub fn embed<T: AsRef<str> + Sync>(
        &self,
        model: &ModelFolder,
        queries: &[T],
        prompt: Option<&str>,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        if model.digest != self.about.model_digest {
            let hint = "name the encoder that the index was made with, or make the index anew";
            return Err(Error::config("model_name_or_path", "is not the encoder of the index", hint));
        }
        let recipe = &self.about.extract;
        let (mut network, _) = Model::load(&model.path, HeadKind::None, 0)?;
        apply_dtype(recipe.embed.dtype, &mut network);
        let mut options: EncodeOptions = recipe.encode_options();
        if let Some(prompt) = prompt {
            options.prompt = Some(prompt.to_owned()).filter(|prompt| !prompt.is_empty());
        }
        let encodings = model.tokenizer.encode(queries, &options)?;
        let dense = model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
        let rows: Vec<u32> = (0..encodings.len() as u32).collect();
        let prompt_tokens = encodings.prompt_tokens as usize;
        Embedder::new(&network, dense, recipe.embed.clone())?.embed(&encodings, &rows, prompt_tokens, ctx)
    }

    /// The rows nearest to each query `[queries, width]`, the nearest first.
    ///
    /// # Errors
    /// Lists that are not there; queries of another width; a stop on request.
    pub fn search(
        &self,
        queries: &DenseMatrix,
        top_k: usize,
        method: SearchMethod,
        ctx: &Context,
    ) -> Result<Vec<Vec<Hit>>> {
        match (method, &self.lists) {
            (SearchMethod::Exact, _) => nearest(&self.vectors, queries, top_k, ctx),
            (SearchMethod::Lists { n_probe }, Some(lists)) => {
                lists.nearest(&self.vectors, queries, [top_k, n_probe], ctx)
            }
            (SearchMethod::Lists { .. }, None) => {
                Err(Error::data(&self.folder, "the index has no lists", "search with --exact"))
            }
        }
    }

    /// All pairs of rows whose cosine is at least `threshold`; see [`near_pairs`].
    pub fn near_duplicates(&self, threshold: f32, ctx: &Context) -> Result<Vec<NearPair>> {
        near_pairs(&self.vectors, threshold, ctx)
    }
}

#[cfg(test)]
mod tests;
