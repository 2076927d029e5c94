//! An inverted index on the disk, searched by BM25.

use super::postings::Postings;
use super::{LENGTHS_FILE, POSTINGS_FILE, RECORD, TABLE_FILE, WORDS_FILE, for_each_word};
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::search::Hit;
use crate::search::exact::keep_above;
use crate::storage::Artefact;
use crate::text::map_readonly;
use memmap2::Mmap;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// How soon more of the same word counts for less: Lucene's default.
const K1: f32 = 1.2;
/// How much long rows count for less, from 0 to 1: Lucene's default.
const B: f32 = 0.75;
/// Rows that are scored at a time: their scores stay in the nearest cache.
const WINDOW: usize = 4096;

/// The words of an index, mapped into memory.
pub struct WordIndex {
    folder: PathBuf,
    words: Mmap,
    table: Mmap,
    postings: Mmap,
    lengths: Mmap,
    mean_length: f32,
}

/// A word of a query: where its rows are, and what it counts for.
struct Term<'a> {
    postings: Postings<'a>,
    inverse_document_frequency: f32,
}

impl WordIndex {
    /// Maps the files of an index of so many rows, and checks what they say of each other.
    ///
    /// # Errors
    /// Files that are not there, or damaged.
    pub(crate) fn open(artefact: &Artefact, rows: usize) -> Result<Self> {
        let map = |name: &str| map_readonly(&artefact.file(name)?);
        let mut index = Self {
            folder: artefact.path().to_path_buf(),
            words: map(WORDS_FILE)?,
            table: map(TABLE_FILE)?,
            postings: map(POSTINGS_FILE)?,
            lengths: map(LENGTHS_FILE)?,
            mean_length: 0.0,
        };
        if index.lengths.len() != rows * 4 || !index.has_whole_table() {
            return Err(damaged(&index.folder));
        }
        let total: u64 = (0..rows).map(|row| u64::from(index.length(row))).sum();
        index.mean_length = (total as f64 / rows.max(1) as f64) as f32;
        Ok(index)
    }

    /// Up to `top_k` rows for each query, the best first, of equally good ones the first row; rows without a word of the query
    /// are none of them. A word that stands twice in a query counts twice.
    ///
    /// The score is BM25 as Lucene has it from version 8 on (Robertson et al. 1994; Kamphuis et al. 2020, "Which BM25 do you
    /// mean?"): the sum over the words of a query of
    ///
    /// `ln(1 + (N − n + ½) / (n + ½)) · f / (f + k₁ · (1 − b + b · l / l̄))`
    ///
    /// where `n` of `N` rows hold the word, it stands `f` times in the row, the row has `l` words and rows have `l̄` on
    /// average; `k₁` = 1.2 and `b` = 0.75.
    ///
    /// # Errors
    /// A damaged index; a stop on request.
    pub fn search<T: AsRef<str> + Sync>(
        &self,
        queries: &[T],
        top_k: usize,
        ctx: &Context,
    ) -> Result<Vec<Vec<Hit>>> {
        let search = |query: &T| {
            ctx.cancel.check()?;
            self.best(query.as_ref(), top_k).ok_or_else(|| damaged(&self.folder))
        };
        queries.par_iter().map(search).collect()
    }

    /// `None` where the index is damaged.
    fn best(&self, query: &str, top_k: usize) -> Option<Vec<Hit>> {
        let mut terms = Vec::new();
        let mut whole = true;
        for_each_word(query, |word| {
            if let Some(place) = self.place(word) {
                let term = self.term(place);
                whole &= term.is_some();
                terms.extend(term);
            }
        });
        let mut hits = Vec::new();
        let mut scores = [0.0; WINDOW];
        let first = |terms: &[Term]| {
            terms.iter().filter_map(|term| term.postings.present()).map(|(row, _)| row).min()
        };
        while let Some(row) = first(&terms) {
            let start = row - row % WINDOW;
            scores.fill(0.0);
            for term in &mut terms {
                self.add(term, start, &mut scores)?;
            }
            keep_above(&mut hits, &scores, start as u32, top_k, 0.0);
        }
        whole.then_some(hits)
    }

    /// Adds what a word counts for in the rows of a window.
    fn add(&self, term: &mut Term, start: usize, scores: &mut [f32; WINDOW]) -> Option<()> {
        while let Some((row, times)) = term.postings.present() {
            let Some(score) = scores.get_mut(row - start) else { break };
            let (times, length) = (times as f32, self.length(row) as f32 / self.mean_length);
            *score += term.inverse_document_frequency * times / (times + K1 * (1.0 - B + B * length));
            term.postings.advance()?;
        }
        Some(())
    }

    fn term(&self, place: usize) -> Option<Term<'_>> {
        let (start, end) = (self.ends(place)[1], self.ends(place + 1)[1]);
        let rows = self.rows_with(place);
        let (count, with) = (self.row_count() as f64, f64::from(rows));
        Some(Term {
            postings: Postings::begin(self.postings.get(start..end)?, rows, self.row_count())?,
            inverse_document_frequency: ((count - with + 0.5) / (with + 0.5)).ln_1p() as f32,
        })
    }

    /// Where a word stands in the table, if it does.
    fn place(&self, word: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.word_count());
        while low < high {
            let middle = low.midpoint(high);
            match self.word(middle).cmp(word.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn word_count(&self) -> usize {
        self.table.len() / RECORD
    }

    fn row_count(&self) -> usize {
        self.lengths.len() / 4
    }

    /// The words of a row that exists.
    fn length(&self, row: usize) -> u32 {
        u32::from_le_bytes(bytes(&self.lengths, row * 4))
    }

    fn word(&self, place: usize) -> &[u8] {
        let span = self.ends(place)[0]..self.ends(place + 1)[0];
        self.words.get(span).unwrap_or_default()
    }

    /// How many rows hold a word.
    fn rows_with(&self, place: usize) -> u32 {
        u32::from_le_bytes(bytes(&self.table, place * RECORD + 16))
    }

    /// Where the words and the lists before this place end.
    fn ends(&self, place: usize) -> [usize; 2] {
        let Some(before) = place.checked_sub(1) else { return [0, 0] };
        [0, 8].map(|field| {
            let end = u64::from_le_bytes(bytes(&self.table, before * RECORD + field));
            usize::try_from(end).unwrap_or(usize::MAX)
        })
    }

    fn has_whole_table(&self) -> bool {
        let count = self.word_count();
        let rises = |place| {
            let (start, end) = (self.ends(place), self.ends(place + 1));
            start[0] < end[0] && start[1] < end[1] && self.rows_with(place) > 0
        };
        self.table.len().is_multiple_of(RECORD)
            && self.ends(count) == [self.words.len(), self.postings.len()]
            && (0..count).all(rises)
    }
}

/// Some bytes that exist.
fn bytes<const N: usize>(of: &[u8], start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&of[start..start + N]);
    bytes
}

fn damaged(folder: &Path) -> Error {
    Error::data(folder, "the index of words is damaged", "delete the index and make it anew")
}
