//! chrF (Popović 2015) of a corpus, as sacrebleu: runs of one to six characters without spaces, recall counted twice.

use super::{python_words, runs, shared};

/// The longest runs.
const ORDER: usize = 6;

/// How many times as much recall counts as precision.
const BETA: f64 = 2.0;

/// From 0 to 100.
pub(super) fn corpus_score(written: &[String], references: &[String]) -> f64 {
    // Runs written, runs of the references, and those in both.
    let mut counts = [[0u64; 3]; ORDER];
    for (text, reference) in written.iter().zip(references) {
        let (text, reference) = (characters(text), characters(reference));
        for (index, [of_text, of_reference, of_both]) in counts.iter_mut().enumerate() {
            let expected = (reference.len() + 1).saturating_sub(index + 1) as u64;
            // Where the reference has no run so long, those written are not counted against it.
            if expected > 0 {
                *of_text += (text.len() + 1).saturating_sub(index + 1) as u64;
            }
            *of_reference += expected;
            *of_both += shared(&runs(&text, index + 1), &runs(&reference, index + 1));
        }
    }
    score(&counts)
}

fn characters(text: &str) -> Vec<char> {
    python_words(text).flat_map(str::chars).collect()
}

/// The F-measure of precision and recall, each averaged over the lengths that both sides have.
fn score(counts: &[[u64; 3]; ORDER]) -> f64 {
    let both: Vec<&[u64; 3]> =
        counts.iter().filter(|[text, reference, _]| *text > 0 && *reference > 0).collect();
    let mean = |side: usize| {
        let shares = both.iter().map(|counts| counts[2] as f64 / counts[side] as f64);
        shares.sum::<f64>() / both.len().max(1) as f64
    };
    let (precision, recall, factor) = (mean(0), mean(1), BETA * BETA);
    if precision + recall == 0.0 {
        return 0.0;
    }
    100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
}
