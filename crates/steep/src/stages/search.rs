//! An index of a corpus, its vectors and its words, and questions to it.

mod build;

pub use build::{CorpusInput, IndexSettings, ListChoice, build_index, build_word_index};

use super::embed_texts::TextEmbedder;
use super::extract::ExtractSettings;
use super::model_folder::ModelFolder;
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::search::lists::{LISTS_FILE, Lists};
use crate::search::{Hit, NearPair, Vectors, WordIndex, WordTotals, near_pairs, nearest};
use crate::storage::{Artefact, read_json};
use crate::text::map_readonly;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const INDEX_FILE: &str = "index.json";
const VECTORS_FILE: &str = "vectors.npy";
/// The texts, one after the other.
const TEXTS_FILE: &str = "texts.bin";
/// `rows + 1` little-endian numbers of 64 bits: where each text begins.
const OFFSETS_FILE: &str = "text_offsets.bin";
const FORMAT_VERSION: u32 = 2;

/// What making an index did, and what `index.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexReport {
    /// The layout of the folder.
    pub format_version: u32,
    /// Rows in the index.
    pub rows: u64,
    /// Names the texts: a hash of the source's content, its columns and the number of rows.
    pub corpus_digest: String,
    /// The words of the texts.
    pub words: WordTotals,
    /// The vectors of the texts, if an encoder made some.
    pub vectors: Option<VectorReport>,
}

/// What is known of the vectors of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorReport {
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

/// How rows near a vector are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorSearch {
    /// By looking at all of them.
    Exact,
    /// By looking at the rows of so many lists.
    Lists {
        /// More find more and take longer.
        n_probe: usize,
    },
}

/// The vectors of an index.
struct IndexedVectors {
    about: VectorReport,
    rows: Vectors,
    lists: Option<Lists>,
}

impl IndexedVectors {
    fn open(artefact: &Artefact, rows: usize, about: VectorReport) -> Result<Self> {
        let lists = match about.lists {
            Some(_) if artefact.file(LISTS_FILE).is_ok() => {
                Some(Lists::load(artefact.path(), rows, about.width)?)
            }
            _ => None,
        };
        let vectors = Vectors::open(&artefact.file(VECTORS_FILE)?, rows, about.width)?;
        Ok(Self { about, rows: vectors, lists })
    }
}

/// An opened index.
pub struct SearchIndex {
    folder: PathBuf,
    about: IndexReport,
    vectors: Option<IndexedVectors>,
    words: WordIndex,
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
        let damaged = || {
            Error::data(folder, "the index is damaged or of another version", "delete it and make it anew")
        };
        let about: serde_json::Value = read_json(&artefact.file(INDEX_FILE)?)?;
        let about = IndexReport::deserialize(about).map_err(|_| damaged())?;
        let rows = about.rows as usize;
        let vectors = about.vectors.clone();
        let index = Self {
            vectors: vectors.map(|about| IndexedVectors::open(&artefact, rows, about)).transpose()?,
            words: WordIndex::open(&artefact, rows)?,
            texts: map_readonly(&artefact.file(TEXTS_FILE)?)?,
            offsets: map_readonly(&artefact.file(OFFSETS_FILE)?)?,
            folder: folder.to_path_buf(),
            about,
        };
        let is_whole = index.about.format_version == FORMAT_VERSION && index.has_whole_texts();
        if is_whole { Ok(index) } else { Err(damaged()) }
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
        let about = &self.vectors()?.about;
        if model.digest != about.model_digest {
            let hint = "name the encoder that the index was made with, or make the index anew";
            return Err(Error::config("model_name_or_path", "is not the encoder of the index", hint));
        }
        TextEmbedder::load(model, &about.extract)?.embed(queries, prompt, ctx)
    }

    /// The rows nearest to each query `[queries, width]`, the nearest first.
    ///
    /// # Errors
    /// No vectors or no lists; queries of another width; a stop on request.
    pub fn search_vectors(
        &self,
        queries: &DenseMatrix,
        top_k: usize,
        search: VectorSearch,
        ctx: &Context,
    ) -> Result<Vec<Vec<Hit>>> {
        let vectors = self.vectors()?;
        match (search, &vectors.lists) {
            (VectorSearch::Exact, _) => nearest(&vectors.rows, queries, top_k, ctx),
            (VectorSearch::Lists { n_probe }, Some(lists)) => {
                lists.nearest(&vectors.rows, queries, [top_k, n_probe], ctx)
            }
            (VectorSearch::Lists { .. }, None) => {
                Err(Error::data(&self.folder, "the index has no lists", "search with --exact"))
            }
        }
    }

    /// The rows that answer the words of each query best, by BM25; see [`WordIndex::search`].
    ///
    /// # Errors
    /// A damaged index; a stop on request.
    pub fn search_words<T: AsRef<str> + Sync>(
        &self,
        queries: &[T],
        top_k: usize,
        ctx: &Context,
    ) -> Result<Vec<Vec<Hit>>> {
        self.words.search(queries, top_k, ctx)
    }

    /// All pairs of rows whose cosine is at least `threshold`; see [`near_pairs`].
    ///
    /// # Errors
    /// No vectors; too many pairs; a stop on request.
    pub fn near_duplicates(&self, threshold: f32, ctx: &Context) -> Result<Vec<NearPair>> {
        near_pairs(&self.vectors()?.rows, threshold, ctx)
    }

    fn vectors(&self) -> Result<&IndexedVectors> {
        self.vectors.as_ref().ok_or_else(|| {
            let hint = "give --input_file and --model_name_or_path to make it with vectors, or search with --method bm25";
            Error::data(&self.folder, "the index holds words and no vectors", hint)
        })
    }
}

#[cfg(test)]
mod tests;
