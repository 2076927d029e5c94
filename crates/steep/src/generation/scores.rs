//! What each next token is worth: the model's scores, and what the settings rule out.

use super::GenerationSettings;

/// Log-probabilities of logits, in place.
pub(super) fn log_softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
    let normaliser = largest + sum.ln();
    for score in scores {
        *score -= normaliser;
    }
}

impl GenerationSettings {
    /// Rules tokens out, or one in, after the tokens written so far. transformers' processors, in their order.
    pub(super) fn rule(&self, written: &[u32], scores: &mut [f32]) {
        self.forbid_repetitions(written, scores);
        if let Some(eos) = self.tokens.eos
            && written.len() < self.min_new_tokens
        {
            scores[eos as usize] = f32::NEG_INFINITY;
        }
        if let Some(first) = self.tokens.forced_bos
            && written.is_empty()
        {
            force(first, scores);
        }
        if let Some(last) = self.tokens.forced_eos
            && written.len() + 1 == self.max_new_tokens
        {
            force(last, scores);
        }
    }

    /// Tokens after which a run would stand in the text a second time. The one that begins it counts.
    fn forbid_repetitions(&self, written: &[u32], scores: &mut [f32]) {
        let size = self.no_repeat_ngram_size;
        let text = [&[self.tokens.decoder_start], written].concat();
        if size == 0 || text.len() + 1 < size {
            return;
        }
        let end = &text[text.len() + 1 - size..];
        for run in text.windows(size).filter(|run| &run[..size - 1] == end) {
            scores[run[size - 1] as usize] = f32::NEG_INFINITY;
        }
    }
}

fn force(token: u32, scores: &mut [f32]) {
    scores.fill(f32::NEG_INFINITY);
    scores[token as usize] = 0.0;
}
