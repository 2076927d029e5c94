//! Term weights equal to scikit-learn's `TfidfVectorizer`: word n-grams, character n-grams, and their union.
//!
//! `tfidf(t, d) = tf(t, d) · idf(t)` with `tf = 1 + ln(count)` when sublinear and
//! `idf = 1 + ln((1 + documents) / (1 + documents with t))`, each row then divided by its Euclidean length.

use crate::error::{Error, Result};
use crate::features::matrix::SparseMatrix;
use crate::features::terms::{Analyzer, NgramRange, for_each_term, normalize};
use crate::progress::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Texts handled by one task between two looks at the cancel flag.
const CHUNK_TEXTS: usize = 4096;

/// How texts become term weights; names and meanings are scikit-learn's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TfidfOptions {
    /// What a term is.
    pub analyzer: Analyzer,
    /// The lengths of terms, in words or characters.
    pub ngram_range: NgramRange,
    /// Whether texts are lower-cased first.
    pub lowercase: bool,
    /// Terms in fewer training texts are dropped.
    pub min_df: u32,
    /// At most so many terms are kept, those with the most occurrences first; ties keep the term that sorts first
    /// (scikit-learn leaves them to an unstable sort).
    pub max_features: usize,
    /// Whether a count `c` becomes `1 + ln(c)`.
    pub sublinear_tf: bool,
}

impl TfidfOptions {
    /// Words and pairs of words in at least two texts, at most 200,000 of them.
    pub fn words() -> Self {
        Self {
            analyzer: Analyzer::Word,
            ngram_range: NgramRange { min: 1, max: 2 },
            lowercase: true,
            min_df: 2,
            max_features: 200_000,
            sublinear_tf: true,
        }
    }

    /// Two to five characters within words, in at least two texts, at most 200,000 of them.
    pub fn characters() -> Self {
        Self { analyzer: Analyzer::CharWb, ngram_range: NgramRange { min: 2, max: 5 }, ..Self::words() }
    }

    fn normalize(&self, text: &str) -> String {
        if self.lowercase {
            normalize(&text.to_lowercase(), self.analyzer)
        } else {
            normalize(text, self.analyzer)
        }
    }

    fn check(&self) -> Result<()> {
        let NgramRange { min, max } = self.ngram_range;
        if min == 0 || min > max {
            let problem = format!("{min} to {max} is not a range of term lengths");
            return Err(Error::config("ngram_range", problem, "give 1 <= min <= max, such as 1 and 2"));
        }
        if self.max_features == 0 {
            return Err(Error::config("max_features", "0 keeps no term", "give at least 1"));
        }
        Ok(())
    }
}

/// A vocabulary with its weights, learned from training texts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "SavedVectorizer", into = "SavedVectorizer")]
pub struct TfidfVectorizer {
    options: TfidfOptions,
    vocabulary: Vec<String>,
    idf: Vec<f64>,
    columns: HashMap<String, u32, TermHash>,
}

impl TfidfVectorizer {
    /// Learns vocabulary and weights; an error if no term is left.
    pub fn fit<T: AsRef<str> + Sync>(
        texts: &[T],
        options: &TfidfOptions,
        context: &Context<'_>,
    ) -> Result<Self> {
        options.check()?;
        context.progress.start("count terms", Some(texts.len() as u64), "texts");
        let normalized: Vec<String> = texts.par_iter().map(|text| options.normalize(text.as_ref())).collect();
        let counts = count_terms(&normalized, options, context)?;
        context.progress.finish();
        let kept = keep_terms(counts, options)?;
        let idf = kept.iter().map(|(_, count)| inverse_frequency(texts.len(), count.texts)).collect();
        let vocabulary = kept.into_iter().map(|(term, _)| term.to_owned()).collect();
        Ok(Self::assemble(options.clone(), vocabulary, idf))
    }

    fn assemble(options: TfidfOptions, vocabulary: Vec<String>, idf: Vec<f64>) -> Self {
        let columns = vocabulary.iter().cloned().zip(0..).collect();
        Self { options, vocabulary, idf, columns }
    }

    /// Weights texts by the learned vocabulary: `[texts, vocabulary]`, rows of length 1 or empty.
    pub fn transform<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        context: &Context<'_>,
    ) -> Result<SparseMatrix> {
        context.progress.start("weigh terms", Some(texts.len() as u64), "texts");
        let chunks: Vec<Vec<Vec<(u32, f32)>>> = texts
            .par_chunks(CHUNK_TEXTS)
            .map(|chunk| {
                context.cancel.check()?;
                let rows = chunk.iter().map(|text| self.weigh(text.as_ref())).collect();
                context.progress.advance(chunk.len() as u64);
                Ok(rows)
            })
            .collect::<Result<_>>()?;
        context.progress.finish();
        SparseMatrix::from_rows(self.vocabulary.len(), &chunks.concat())
    }

    fn weigh(&self, text: &str) -> Vec<(u32, f32)> {
        let normalized = self.options.normalize(text);
        let mut found = Vec::new();
        for_each_term(&normalized, self.options.analyzer, self.options.ngram_range, |term| {
            found.extend(self.columns.get(term).copied());
        });
        found.sort_unstable();
        let weights: Vec<(u32, f64)> = found
            .chunk_by(|left, right| left == right)
            .map(|same| (same[0], self.term_frequency(same.len()) * self.idf[same[0] as usize]))
            .collect();
        let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        weights.iter().map(|&(column, weight)| (column, (weight / length) as f32)).collect()
    }

    fn term_frequency(&self, count: usize) -> f64 {
        if self.options.sublinear_tf { 1.0 + (count as f64).ln() } else { count as f64 }
    }

    /// The terms in column order, sorted by code points.
    pub fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// The terms' inverse document frequencies, in column order.
    pub fn idf(&self) -> &[f64] {
        &self.idf
    }

    /// What it was fitted with.
    pub fn options(&self) -> &TfidfOptions {
        &self.options
    }
}

/// The saved form of a vectorizer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedVectorizer {
    options: TfidfOptions,
    vocabulary: Vec<String>,
    idf: Vec<f64>,
}

impl From<TfidfVectorizer> for SavedVectorizer {
    fn from(fitted: TfidfVectorizer) -> Self {
        Self { options: fitted.options, vocabulary: fitted.vocabulary, idf: fitted.idf }
    }
}

impl TryFrom<SavedVectorizer> for TfidfVectorizer {
    type Error = Error;

    fn try_from(saved: SavedVectorizer) -> Result<Self> {
        saved.options.check()?;
        let sorted = saved.vocabulary.windows(2).all(|pair| pair[0] < pair[1]);
        let weighted =
            saved.idf.len() == saved.vocabulary.len() && saved.idf.iter().all(|idf| idf.is_finite());
        if !sorted || !weighted {
            let problem = "the vocabulary is not sorted, or its weights do not match it";
            return Err(Error::config("tfidf", problem, "the saved vectorizer is damaged: fit it again"));
        }
        Ok(Self::assemble(saved.options, saved.vocabulary, saved.idf))
    }
}

/// Several vectorizers whose columns stand side by side, as scikit-learn's `FeatureUnion`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TfidfFeatures {
    /// The vectorizers, in column order.
    pub vectorizers: Vec<TfidfVectorizer>,
}

impl TfidfFeatures {
    /// Fits one vectorizer for each entry of `options`, such as words and characters.
    pub fn fit<T: AsRef<str> + Sync>(
        texts: &[T],
        options: &[TfidfOptions],
        context: &Context<'_>,
    ) -> Result<Self> {
        let fit = |options| TfidfVectorizer::fit(texts, options, context);
        Ok(Self { vectorizers: options.iter().map(fit).collect::<Result<_>>()? })
    }

    /// Weights texts by all vocabularies.
    pub fn transform<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        context: &Context<'_>,
    ) -> Result<SparseMatrix> {
        let transform = |vectorizer: &TfidfVectorizer| vectorizer.transform(texts, context);
        SparseMatrix::beside(&self.vectorizers.iter().map(transform).collect::<Result<Vec<_>>>()?)
    }

    /// The columns' names: `word:price` or `char_wb: pri`.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for vectorizer in &self.vectorizers {
            let prefix = match vectorizer.options.analyzer {
                Analyzer::Word => "word",
                Analyzer::CharWb => "char_wb",
            };
            names.extend(vectorizer.vocabulary.iter().map(|term| format!("{prefix}:{term}")));
        }
        names
    }
}

/// How often a term occurs in the training texts.
#[derive(Debug, Clone, Copy, Default)]
struct TermCount {
    texts: u32,
    occurrences: u64,
    last_text: Option<u32>,
}

type TermCounts<'a> = HashMap<&'a str, TermCount, TermHash>;

fn count_terms<'a>(
    normalized: &'a [String],
    options: &TfidfOptions,
    context: &Context<'_>,
) -> Result<TermCounts<'a>> {
    normalized
        .par_chunks(CHUNK_TEXTS)
        .map(|chunk| {
            context.cancel.check()?;
            let mut counts = TermCounts::default();
            for (text, number) in chunk.iter().zip(0..) {
                for_each_term(text, options.analyzer, options.ngram_range, |term| {
                    counts.entry(term).or_default().add(number);
                });
            }
            context.progress.advance(chunk.len() as u64);
            Ok(counts)
        })
        .try_reduce(TermCounts::default, |left, right| Ok(merge_counts(left, right)))
}

impl TermCount {
    fn add(&mut self, text: u32) {
        self.occurrences += 1;
        if self.last_text != Some(text) {
            self.texts += 1;
            self.last_text = Some(text);
        }
    }
}

fn merge_counts<'a>(left: TermCounts<'a>, right: TermCounts<'a>) -> TermCounts<'a> {
    let (mut all, part) = if left.len() >= right.len() { (left, right) } else { (right, left) };
    #[expect(clippy::iter_over_hash_type, reason = "integer sums do not depend on the order")]
    for (term, count) in part {
        let sum = all.entry(term).or_default();
        sum.texts += count.texts;
        sum.occurrences += count.occurrences;
    }
    all
}

/// The kept terms, sorted.
fn keep_terms<'a>(counts: TermCounts<'a>, options: &TfidfOptions) -> Result<Vec<(&'a str, TermCount)>> {
    let mut kept: Vec<(&str, TermCount)> =
        counts.into_iter().filter(|(_, count)| count.texts >= options.min_df).collect();
    if kept.is_empty() {
        let problem = format!("no term occurs in at least {} training texts", options.min_df);
        return Err(Error::config(
            "min_df",
            problem,
            "lower `min_df`, or check that the texts are not empty",
        ));
    }
    if kept.len() > options.max_features {
        let order = |left: &(&str, TermCount), right: &(&str, TermCount)| {
            right.1.occurrences.cmp(&left.1.occurrences).then(left.0.cmp(right.0))
        };
        kept.select_nth_unstable_by(options.max_features, order);
        kept.truncate(options.max_features);
    }
    kept.par_sort_unstable_by_key(|(term, _)| *term);
    Ok(kept)
}

fn inverse_frequency(texts: usize, texts_with_term: u32) -> f64 {
    ((1.0 + texts as f64) / (1.0 + f64::from(texts_with_term))).ln() + 1.0
}

/// Hashes terms by XXH3, with no random state.
#[derive(Debug, Clone, Copy, Default)]
struct TermHash;

impl BuildHasher for TermHash {
    type Hasher = TermHasher;

    fn build_hasher(&self) -> TermHasher {
        TermHasher(0)
    }
}

struct TermHasher(u64);

impl Hasher for TermHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    // `str` ends its bytes with this marker, which tells terms apart only in compound keys.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancel, Silent};

    fn with_context<R>(work: impl FnOnce(&Context<'_>) -> R) -> R {
        work(&Context { progress: &Silent, cancel: &Cancel::default() })
    }

    #[test]
    fn ties_at_the_limit_keep_the_term_that_sorts_first() {
        let options = TfidfOptions {
            ngram_range: NgramRange { min: 1, max: 1 },
            min_df: 1,
            max_features: 2,
            ..TfidfOptions::words()
        };
        let texts = ["dd cc bb aa", "dd"];
        let fitted = with_context(|context| TfidfVectorizer::fit(&texts, &options, context)).unwrap();
        assert_eq!(fitted.vocabulary(), ["aa", "dd"]);
    }

    #[test]
    fn no_term_left_is_an_error_with_a_cure() {
        let error = with_context(|context| TfidfVectorizer::fit(&["a b"], &TfidfOptions::words(), context));
        assert!(error.unwrap_err().hint().unwrap().contains("min_df"));
    }

    #[test]
    fn a_vectorizer_survives_its_json_and_refuses_a_damaged_one() {
        let texts = ["red fox", "red hen", "hen fox"];
        let fitted = with_context(|context| TfidfVectorizer::fit(&texts, &TfidfOptions::words(), context));
        let json = serde_json::to_string(&fitted.unwrap()).unwrap();
        let read: TfidfVectorizer = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        let damaged = json.replace("\"fox\"", "\"zzz\"");
        assert!(serde_json::from_str::<TfidfVectorizer>(&damaged).is_err());
    }

    #[derive(Deserialize)]
    struct GoldenCase {
        options: TfidfOptions,
        vocabulary: Vec<String>,
        rows: Vec<Vec<(u32, f64)>>,
    }

    #[derive(Deserialize)]
    struct Golden {
        texts: Vec<String>,
        cases: Vec<GoldenCase>,
    }

    /// Tolerance 1e-6; measured maximum difference 2.9e-8 (values are stored in 32 bits).
    #[test]
    fn equals_scikit_learn() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/tfidf/tfidf.json");
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in &golden.cases {
            let (fitted, matrix) = with_context(|context| {
                let fitted = TfidfVectorizer::fit(&golden.texts, &case.options, context).unwrap();
                let matrix = fitted.transform(&golden.texts, context).unwrap();
                (fitted, matrix)
            });
            assert_eq!(fitted.vocabulary(), case.vocabulary);
            for (row, expected) in case.rows.iter().enumerate() {
                let (columns, values) = matrix.row(row);
                assert_eq!(columns, expected.iter().map(|entry| entry.0).collect::<Vec<_>>());
                let largest = values
                    .iter()
                    .zip(expected)
                    .map(|(value, entry)| (f64::from(*value) - entry.1).abs())
                    .fold(0.0, f64::max);
                assert!(largest < 1e-6, "row {row}: {largest:e}");
            }
        }
    }

    #[test]
    fn a_union_puts_words_before_characters() {
        let texts = ["red fox", "red hen"];
        let options = [TfidfOptions::words(), TfidfOptions::characters()];
        let (union, matrix) = with_context(|context| {
            let union = TfidfFeatures::fit(&texts, &options, context).unwrap();
            let matrix = union.transform(&texts, context).unwrap();
            (union, matrix)
        });
        let names = union.feature_names();
        assert_eq!(names.len(), matrix.columns());
        assert_eq!(names[..2], ["word:red", "char_wb: r"]);
    }
}
