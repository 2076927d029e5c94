//! How like are texts that were written to those that should have been?
//!
//! ROUGE as `rouge-score` without stemming, BLEU and chrF as `sacrebleu` with its defaults. All three count what two
//! texts share and know no meaning; BLEU is of the whole corpus and says little of a few short texts.

mod bleu;
mod chrf;
mod rouge;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::Hash;

/// Likeness of texts to their references.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TextMetrics {
    /// F-measure of shared words, mean over texts, from 0 to 1.
    pub rouge1: f64,
    /// The same of pairs of words.
    pub rouge2: f64,
    /// The same of the longest common subsequence of words.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
    /// Shared runs of one to four words, of the corpus, from 0 to 100.
    pub bleu: f64,
    /// F-measure of shared runs of one to six characters, of the corpus, from 0 to 100.
    pub chrf: f64,
}

/// The metrics of texts beside their references, one a text.
pub fn text_metrics(written: &[String], references: &[String]) -> TextMetrics {
    let rows = || written.iter().zip(references).map(|(text, reference)| rouge::scores(text, reference));
    let mean = |which: usize| rows().map(|row| row[which]).sum::<f64>() / (written.len().max(1)) as f64;
    TextMetrics {
        rouge1: mean(0),
        rouge2: mean(1),
        rouge_l: mean(2),
        bleu: bleu::corpus_score(written, references),
        chrf: chrf::corpus_score(written, references),
    }
}

/// How often each run of `length` items occurs.
fn runs<T: Hash + Eq>(items: &[T], length: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    for run in items.windows(length) {
        *counts.entry(run).or_insert(0) += 1;
    }
    counts
}

/// How many runs two texts share, each as often as it is in both.
fn shared<T: Hash + Eq>(one: &HashMap<&[T], u64>, other: &HashMap<&[T], u64>) -> u64 {
    one.iter().map(|(run, &count)| count.min(other.get(run).copied().unwrap_or(0))).sum()
}

/// Words as Python's `str.split` parts them.
fn python_words(text: &str) -> impl Iterator<Item = &str> {
    let is_space = |character: char| character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character);
    text.split(is_space).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_equal_rouge_score_and_sacrebleu() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/text_metrics/reference.json");
        let text = std::fs::read_to_string(path).expect("reference");
        let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let cases = reference["cases"].as_array().expect("cases");
        assert!(cases.len() >= 6);
        for case in cases {
            let side = |side: usize| {
                let pairs = case["pairs"].as_array().expect("pairs").iter();
                pairs.map(|pair| pair[side].as_str().expect("a text").to_owned()).collect::<Vec<_>>()
            };
            let found = text_metrics(&side(0), &side(1));
            let expected: TextMetrics = serde_json::from_value(case["measures"].clone()).expect("measures");
            let pairs = [
                (found.rouge1, expected.rouge1),
                (found.rouge2, expected.rouge2),
                (found.rouge_l, expected.rouge_l),
                (found.bleu, expected.bleu),
                (found.chrf, expected.chrf),
            ];
            for (found, expected) in pairs {
                assert!((found - expected).abs() < 1e-9, "{}: {found} against {expected}", case["name"]);
            }
        }
    }

    #[test]
    fn a_text_is_wholly_like_itself() {
        let texts = ["a cup of green tea, please".to_owned()];
        let metrics = text_metrics(&texts, &texts);
        assert!((metrics.bleu - 100.0).abs() < 1e-9 && (metrics.chrf - 100.0).abs() < 1e-9);
        assert_eq!((metrics.rouge1, metrics.rouge2, metrics.rouge_l), (1.0, 1.0, 1.0));
    }
}
