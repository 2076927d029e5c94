//! BLEU (Papineni et al. 2002) of a corpus, as sacrebleu: words of mteval's version 13a, runs without a match smoothed
//! by halves.

use super::{python_words, runs, shared};
use regex::Regex;
use std::sync::LazyLock;

/// The longest runs.
const ORDER: usize = 4;

/// From 0 to 100.
pub(super) fn corpus_score(written: &[String], references: &[String]) -> f64 {
    let (mut matches, mut totals, mut lengths) = ([0u64; ORDER], [0u64; ORDER], [0u64; 2]);
    for (text, reference) in written.iter().zip(references) {
        let (text, reference) = (words(text), words(reference));
        lengths[0] += text.len() as u64;
        lengths[1] += reference.len() as u64;
        for length in 1..=ORDER {
            matches[length - 1] += shared(&runs(&text, length), &runs(&reference, length));
            totals[length - 1] += (text.len() + 1).saturating_sub(length) as u64;
        }
    }
    score(&matches, &totals, lengths)
}

/// The geometric mean of the precisions, less where what was written is shorter than its references.
fn score(matches: &[u64; ORDER], totals: &[u64; ORDER], [written, reference]: [u64; 2]) -> f64 {
    // Without a run of some length in what was written, sacrebleu's mean is 0 too.
    if matches.iter().all(|&count| count == 0) || totals.contains(&0) {
        return 0.0;
    }
    let (mut smoothing, mut logarithms) = (1.0, 0.0);
    for (&matches, &total) in matches.iter().zip(totals) {
        let precision = if matches == 0 {
            smoothing *= 2.0;
            100.0 / (smoothing * total as f64)
        } else {
            100.0 * matches as f64 / total as f64
        };
        logarithms += precision.ln();
    }
    let brevity = if written < reference { (1.0 - reference as f64 / written as f64).exp() } else { 1.0 };
    brevity * (logarithms / ORDER as f64).exp()
}

/// Words as mteval's version 13a parts them.
fn words(text: &str) -> Vec<String> {
    static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        // Signs; point and comma not after a digit, not before one; a dash after a digit.
        [
            (r"([\{-~\[-` -\&\(-\+:-@/])", " $1 "),
            (r"([^0-9])([\.,])", "$1 $2 "),
            (r"([\.,])([^0-9])", " $1 $2"),
            (r"([0-9])(-)", "$1 $2 "),
        ]
        .map(|(rule, parted)| (Regex::new(rule).expect("the rules are regular expressions"), parted))
    });
    let mut text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, sign) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, sign);
    }
    text = format!(" {text} ");
    for (rule, parted) in RULES.iter() {
        text = rule.replace_all(&text, *parted).into_owned();
    }
    python_words(&text).map(str::to_owned).collect()
}
