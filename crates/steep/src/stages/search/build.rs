//! Makes an index.

use super::{FORMAT_VERSION, INDEX_FILE, IndexReport, OFFSETS_FILE, TEXTS_FILE, VECTORS_FILE, VectorReport};
use crate::data::{ReadOptions, fingerprint, open};
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::search::lists::Lists;
use crate::search::{ListSettings, Vectors, WordIndexBuilder, WordTotals};
use crate::stages::extract::{ExtractInput, ExtractReport, ExtractSettings, extract};
use crate::stages::key::{StageAbout, finished, stage_key};
use crate::stages::output::{RowBuffer, TextColumns, known_rows};
use crate::storage::{Artefact, ArtefactWriter, write_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const STAGE: &str = "search index";

/// When rows are parted into lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChoice {
    /// From so many rows on.
    pub from_rows: u64,
    /// How.
    pub settings: ListSettings,
}

/// How to make an index with vectors, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexSettings {
    /// How vectors are made; of unit length, in a `.npy` file.
    pub extract: ExtractSettings,
    /// Whether rows are parted into lists.
    pub lists: Option<ListChoice>,
}

/// The texts of an index.
pub struct CorpusInput<'a> {
    /// The source of the rows, as [`open`] takes it.
    pub source: &'a str,
    /// The columns of the texts; none for the default text column.
    pub text_columns: Vec<String>,
    /// What is put between the texts of several columns.
    pub text_column_delimiter: String,
    /// Only so many rows.
    pub limit: Option<u64>,
}

/// Texts that were found, and their name.
struct Corpus<'a> {
    source: &'a str,
    texts: TextColumns,
    limit: Option<u64>,
    digest: String,
}

impl<'a> Corpus<'a> {
    fn find(source: &'a str, columns: &[String], delimiter: &str, limit: Option<u64>) -> Result<Self> {
        let texts = TextColumns::resolve(source, columns, delimiter)?;
        let rows = limit.map_or_else(String::new, |limit| limit.to_string());
        let digest = stage_key("corpus", &[&fingerprint(source)?, &texts.key(), &rows], &());
        Ok(Self { source, texts, limit, digest })
    }
}

/// Embeds every row of a source and writes the folder `output`, the words of the texts too; returns the report of an earlier
/// run if it is there.
///
/// # Errors
/// What [`extract`] gives; a stop on request (finished shards of vectors stay).
pub fn build_index(
    input: &ExtractInput,
    settings: &IndexSettings,
    output: &Path,
    ctx: &Context,
) -> Result<IndexReport> {
    let corpus = Corpus::find(input.source, &input.text_columns, &input.text_column_delimiter, input.limit)?;
    let key = stage_key(STAGE, &[&input.model.digest, &corpus.digest], settings);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    let made = extracted(output);
    let report = extract(input, &settings.extract, &made, ctx)?;
    let writer = ArtefactWriter::create(output)?;
    let (rows, words) = write_texts(&corpus, &writer, ctx)?;
    check_rows(corpus.source, report.counts.rows, rows)?;
    let vectors = write_vectors(input, settings, &report, &made, &writer, ctx)?;
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let report = commit(writer, key, settings, report_of(&corpus, rows, words, Some(vectors)))?;
    for path in [made.clone(), made.with_extension("npy.steep.json")] {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(report)
}

/// Writes the folder `output` with the texts of a source and their words, for which no encoder is needed; returns the report
/// of an earlier run if an index of the same texts is there, with vectors or without.
///
/// # Errors
/// What reading the source gives; a stop on request.
pub fn build_word_index(input: &CorpusInput, output: &Path, ctx: &Context) -> Result<IndexReport> {
    let corpus = Corpus::find(input.source, &input.text_columns, &input.text_column_delimiter, input.limit)?;
    if let Some(report) = of_the_same_texts(output, &corpus)? {
        return Ok(report);
    }
    let writer = ArtefactWriter::create(output)?;
    let (rows, words) = write_texts(&corpus, &writer, ctx)?;
    let key = stage_key(STAGE, &[&corpus.digest], &());
    commit(writer, key, Value::Null, report_of(&corpus, rows, words, None))
}

/// What an index that is there says, if it is of these texts.
fn of_the_same_texts(output: &Path, corpus: &Corpus) -> Result<Option<IndexReport>> {
    let Some(artefact) = Artefact::open(output)? else { return Ok(None) };
    let about = artefact.about::<StageAbout>().ok().filter(|about| about.stage == STAGE);
    let report = about.and_then(|about| serde_json::from_value::<IndexReport>(about.report).ok());
    let same = |report: &IndexReport| {
        report.format_version == FORMAT_VERSION && report.corpus_digest == corpus.digest
    };
    let Some(report) = report.filter(same) else { return Ok(None) };
    artefact.verify()?;
    Ok(Some(report))
}

fn report_of(corpus: &Corpus, rows: u64, words: WordTotals, vectors: Option<VectorReport>) -> IndexReport {
    IndexReport { format_version: FORMAT_VERSION, rows, corpus_digest: corpus.digest.clone(), words, vectors }
}

fn commit(writer: ArtefactWriter, key: String, settings: Value, report: IndexReport) -> Result<IndexReport> {
    write_json(&writer.path().join(INDEX_FILE), &report)?;
    let value = serde_json::to_value(&report).expect("a report is plain data");
    writer.commit(&StageAbout { stage: STAGE.into(), key, settings, report: value })?;
    Ok(report)
}

/// Puts the vectors that lie at `made` into the index, and parts them.
fn write_vectors(
    input: &ExtractInput,
    settings: &IndexSettings,
    report: &ExtractReport,
    made: &Path,
    writer: &ArtefactWriter,
    ctx: &Context,
) -> Result<VectorReport> {
    let rows = report.counts.rows;
    let path = writer.path().join(VECTORS_FILE);
    fs::copy(made, &path).map_err(Error::io("write", &path))?;
    let mut lists = None;
    if let Some(choice) = settings.lists.filter(|choice| rows >= choice.from_rows.max(1)) {
        let vectors = Vectors::open(&path, rows as usize, report.width)?;
        let parted = Lists::build(&vectors, choice.settings, ctx)?;
        parted.save(writer.path())?;
        lists = Some(parted.len());
    }
    Ok(VectorReport {
        width: report.width,
        tokens: report.counts.tokens,
        model_digest: input.model.digest.clone(),
        extract: settings.extract.clone(),
        lists,
    })
}

/// Where vectors lie until the index is whole; a run that is started again goes on there.
fn extracted(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".work.npy");
    output.with_file_name(name)
}

/// Writes the texts and their words; returns the number of rows with what is in the index of words.
fn write_texts(corpus: &Corpus, writer: &ArtefactWriter, ctx: &Context) -> Result<(u64, WordTotals)> {
    let (mut content, mut offsets) = (writer.create_file(TEXTS_FILE)?, writer.create_file(OFFSETS_FILE)?);
    let fault = |name: &str| Error::io("write", writer.path().join(name));
    let (mut end, mut count) = (0_u64, 0_u64);
    let mut words = WordIndexBuilder::default();
    offsets.write_all(&end.to_le_bytes()).map_err(fault(OFFSETS_FILE))?;
    let columns = Some(corpus.texts.names().to_vec());
    ctx.progress.start("indexing words", known_rows(corpus.source, corpus.limit), "rows");
    let read = ReadOptions { columns, limit: corpus.limit, ..ReadOptions::default() };
    for chunk in open(corpus.source, &read)? {
        ctx.cancel.check()?;
        let chunk = chunk?;
        let rows = RowBuffer { rows: chunk.batch.num_rows(), chunks: vec![chunk] };
        for text in corpus.texts.of(&rows)?.0 {
            end += text.len() as u64;
            count += 1;
            words.add(&text)?;
            content.write_all(text.as_bytes()).map_err(fault(TEXTS_FILE))?;
            offsets.write_all(&end.to_le_bytes()).map_err(fault(OFFSETS_FILE))?;
        }
        ctx.progress.advance(rows.rows as u64);
    }
    content.flush().map_err(fault(TEXTS_FILE))?;
    offsets.flush().map_err(fault(OFFSETS_FILE))?;
    let words = words.save(writer)?;
    ctx.progress.finish();
    Ok((count, words))
}

fn check_rows(source: &str, embedded: u64, read: u64) -> Result<()> {
    if embedded == read {
        return Ok(());
    }
    let problem = format!("had {embedded} rows when it was embedded and {read} now");
    Err(Error::data(source, problem, "leave the file alone while it is read, and run again"))
}
