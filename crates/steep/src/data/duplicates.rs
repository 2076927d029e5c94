//! Which rows carry one part's texts into another?
//!
//! Two texts are **exact** duplicates if they are equal in lower case with white space folded, and **near**
//! duplicates if the Jaccard index of their pieces (five characters; three words in long texts) reaches the
//! threshold. Candidates are found by banded `MinHash` and verified, so that no pair is reported wrongly and one
//! exactly at the threshold is missed with a probability of 0.5 % at most. Texts of fewer than five characters
//! are compared exactly only; blank texts duplicate nothing.

use super::labelled::RowOrigins;
use super::matches::{Found, LabelledIndex, PARTS};
use super::splits::Split;
use super::texts::TextChunk;
use crate::error::{Error, Result};
use crate::progress::Context;
use arrow::array::Array;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashSet};

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The labelled rows to fit on.
    Train,
    /// The labelled rows to choose by.
    Validation,
    /// The labelled rows to measure on.
    Test,
    /// The unlabelled texts.
    Pool,
}

const LABELLED: [Part; PARTS] = [Part::Train, Part::Validation, Part::Test];
const EXAMPLES: usize = 20;
const EXAMPLES_OF_A_KIND: usize = 4;
const ROWS_AT_ONCE: usize = 4096;

/// How near a duplicate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DuplicateKind {
    /// Equal in lower case with white space folded.
    Exact,
    /// Alike at least as the threshold asks.
    Near,
}

/// How to look for duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateOptions {
    /// The Jaccard index from which on texts are near duplicates, more than 0 and at most 1; `None` looks for
    /// exact ones only.
    pub near_threshold: Option<f64>,
    /// The seed of the hash functions.
    pub seed: u64,
}

impl Default for DuplicateOptions {
    fn default() -> Self {
        Self { near_threshold: Some(0.8), seed: 0 }
    }
}

/// How many rows of one part duplicate a row of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateCount {
    /// The part whose rows are counted.
    pub from: Part,
    /// The part whose texts they repeat.
    pub to: Part,
    /// Rows with an exact duplicate there.
    pub exact_rows: u64,
    /// Rows with a near duplicate there, but no exact one.
    pub near_rows: u64,
}

/// Two rows that are duplicates; rows are counted from 0 in the labelled rows or in the pool.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateExample {
    /// The part of the first row.
    pub from: Part,
    /// The first row.
    pub from_row: u64,
    /// Its text.
    pub from_text: String,
    /// The part of the second row.
    pub to: Part,
    /// The second row.
    pub to_row: u64,
    /// Its text.
    pub to_text: String,
    /// How near they are.
    pub kind: DuplicateKind,
    /// 1 for exact duplicates, the Jaccard index for near ones.
    pub similarity: f64,
}

/// What [`find_duplicates`] found. All lists of rows ascend and count from 0.
#[derive(Debug, Clone, Default)]
pub struct Duplicates {
    /// Rows of the pool that repeat texts of each labelled part, of train that repeat validation and test, of
    /// validation that repeat test, and of the pool that repeat earlier rows of the pool (exactly only).
    pub counts: Vec<DuplicateCount>,
    /// The number of rows in the pool.
    pub pool_rows: u64,
    /// Where the rows of the pool come from.
    pub pool_origins: RowOrigins,
    /// Rows of the pool that repeat a validation or test text, exactly or nearly: to be kept from adaptation.
    pub pool_rows_in_validation_or_test: Vec<u64>,
    /// Rows of the pool that repeat an earlier row of the pool exactly.
    pub pool_repeats: Vec<u64>,
    /// Training rows that repeat a test text, exactly or nearly.
    pub train_rows_in_test: Vec<u32>,
    /// A few pairs to look at, none of them within the pool.
    pub examples: Vec<DuplicateExample>,
}

/// Looks for duplicates between the parts of the labelled texts and an unlabelled pool (which may be empty).
///
/// The labelled texts are indexed in memory and the pool is streamed past them; of the pool only a hash of 16 bytes
/// a distinct text is kept. The result does not depend on the number of threads.
///
/// # Errors
/// A threshold out of range; what the pool gives; a stop on request.
pub fn find_duplicates(
    texts: &[String],
    split: &Split,
    pool: impl Iterator<Item = Result<TextChunk>>,
    options: &DuplicateOptions,
    context: &Context<'_>,
) -> Result<Duplicates> {
    if options.near_threshold.is_some_and(|threshold| !(threshold > 0.0 && threshold <= 1.0)) {
        let hint = "give a Jaccard index of more than 0 and at most 1, such as 0.8";
        return Err(Error::config("near_threshold", "the threshold is out of range", hint));
    }
    let parts: [&[u32]; PARTS] = [&split.train, &split.validation, &split.test];
    let index = LabelledIndex::new(texts, parts, options.near_threshold, options.seed);
    let mut search = Search { texts, index, tally: Tally::default(), found: Duplicates::default() };
    context.progress.start("duplicates", None, "rows");
    let result = search.run(parts, pool, context);
    context.progress.finish();
    result.map(|()| search.finish())
}

struct Search<'a> {
    texts: &'a [String],
    index: LabelledIndex,
    tally: Tally,
    found: Duplicates,
}

impl Search<'_> {
    fn run(
        &mut self,
        parts: [&[u32]; PARTS],
        pool: impl Iterator<Item = Result<TextChunk>>,
        context: &Context<'_>,
    ) -> Result<()> {
        for (part, rows) in parts.into_iter().enumerate().take(2) {
            for rows in rows.chunks(ROWS_AT_ONCE) {
                context.cancel.check()?;
                self.labelled_rows(part, rows);
                context.progress.advance(rows.len() as u64);
            }
        }
        let mut seen = HashSet::new();
        for chunk in pool {
            context.cancel.check()?;
            let chunk = chunk?;
            self.pool_rows(&chunk, &mut seen);
            context.progress.advance(chunk.texts.len() as u64);
        }
        Ok(())
    }

    /// Asks for the rows of a labelled part in the parts after it.
    fn labelled_rows(&mut self, part: usize, rows: &[u32]) {
        let asked = std::array::from_fn(|other| other > part);
        let (index, texts) = (&self.index, self.texts);
        let found: Vec<Found> = rows.par_iter().map(|row| index.find(&texts[*row as usize], asked)).collect();
        for (row, found) in rows.iter().zip(found) {
            self.tally.count(LABELLED[part], u64::from(*row), &texts[*row as usize], &found, texts);
            if part == 0 && found.matches[2].is_some() {
                self.found.train_rows_in_test.push(*row);
            }
        }
    }

    fn pool_rows(&mut self, chunk: &TextChunk, seen: &mut HashSet<u128>) {
        let (index, texts) = (&self.index, &chunk.texts);
        let text = |at: usize| if texts.is_valid(at) { texts.value(at) } else { "" };
        let found: Vec<Found> =
            (0..texts.len()).into_par_iter().map(|at| index.find(text(at), [true; PARTS])).collect();
        let first = self.found.pool_rows;
        self.found.pool_origins.record(first, &chunk.file, chunk.first_row);
        for (at, found) in found.into_iter().enumerate() {
            let row = first + at as u64;
            self.tally.count(Part::Pool, row, text(at), &found, self.texts);
            if found.matches[1].is_some() || found.matches[2].is_some() {
                self.found.pool_rows_in_validation_or_test.push(row);
            }
            if found.key.is_some_and(|key| !seen.insert(key)) {
                self.found.pool_repeats.push(row);
            }
        }
        self.found.pool_rows += texts.len() as u64;
    }

    fn finish(mut self) -> Duplicates {
        let pairs = [
            (Part::Pool, Part::Test),
            (Part::Pool, Part::Validation),
            (Part::Pool, Part::Train),
            (Part::Train, Part::Test),
            (Part::Train, Part::Validation),
            (Part::Validation, Part::Test),
        ];
        for (from, to) in pairs {
            let of = |kind| self.tally.rows.get(&(from, to, kind)).copied().unwrap_or(0);
            let (exact_rows, near_rows) = (of(DuplicateKind::Exact), of(DuplicateKind::Near));
            self.found.counts.push(DuplicateCount { from, to, exact_rows, near_rows });
        }
        let exact_rows = self.found.pool_repeats.len() as u64;
        let within = DuplicateCount { from: Part::Pool, to: Part::Pool, exact_rows, near_rows: 0 };
        self.found.counts.push(within);
        // What reaches the test part comes first.
        let mut examples: Vec<_> = self.tally.examples.into_values().flatten().collect();
        examples.sort_by_key(|example| std::cmp::Reverse(example.to));
        examples.truncate(EXAMPLES);
        self.found.examples = examples;
        self.found
    }
}

type PairKind = (Part, Part, DuplicateKind);

/// Counts and examples of each kind.
#[derive(Default)]
struct Tally {
    rows: BTreeMap<PairKind, u64>,
    examples: BTreeMap<PairKind, Vec<DuplicateExample>>,
}

impl Tally {
    fn count(&mut self, from: Part, from_row: u64, from_text: &str, found: &Found, texts: &[String]) {
        for (to, matched) in LABELLED.into_iter().zip(found.matches) {
            let Some(matched) = matched else { continue };
            let kind = if matched.exact { DuplicateKind::Exact } else { DuplicateKind::Near };
            *self.rows.entry((from, to, kind)).or_insert(0) += 1;
            let examples = self.examples.entry((from, to, kind)).or_default();
            if examples.len() < EXAMPLES_OF_A_KIND {
                examples.push(DuplicateExample {
                    from,
                    from_row,
                    from_text: from_text.to_owned(),
                    to,
                    to_row: u64::from(matched.row),
                    to_text: texts[matched.row as usize].clone(),
                    kind,
                    similarity: matched.similarity,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
