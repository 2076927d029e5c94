//! ROUGE (Lin 2004): shared words, pairs of words, and the longest common subsequence, each as F-measure.
//!
//! Words are runs of ASCII letters and digits in lower case, as in the original program; other scripts have none.

use super::{runs, shared};

/// ROUGE-1, ROUGE-2 and ROUGE-L of one text.
pub(super) fn scores(written: &str, reference: &str) -> [f64; 3] {
    let (written, reference) = (written.to_lowercase(), reference.to_lowercase());
    let (written, reference) = (words(&written), words(&reference));
    let of_runs = |length: usize| {
        let matches = shared(&runs(&reference, length), &runs(&written, length));
        let count = |words: &[&str]| (words.len() + 1).saturating_sub(length);
        f_measure(matches, count(&written), count(&reference))
    };
    let longest = common_subsequence(&written, &reference);
    [of_runs(1), of_runs(2), f_measure(longest, written.len(), reference.len())]
}

fn words(text: &str) -> Vec<&str> {
    let parts = text.split(|character: char| !character.is_ascii_alphanumeric());
    parts.filter(|word| !word.is_empty()).collect()
}

fn f_measure(matches: u64, written: usize, reference: usize) -> f64 {
    let precision = matches as f64 / written.max(1) as f64;
    let recall = matches as f64 / reference.max(1) as f64;
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// Length of the longest common subsequence.
fn common_subsequence(one: &[&str], other: &[&str]) -> u64 {
    let mut row = vec![0u64; other.len() + 1];
    for word in one {
        let mut diagonal = 0;
        for (at, candidate) in other.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == candidate { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[other.len()]
}
