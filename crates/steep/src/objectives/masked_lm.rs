//! Masked language modelling: predict tokens that were hidden (Devlin et al. 2018).
//!
//! Each ordinary token is chosen with `mlm_probability`; of the chosen, `mask_share` become the
//! mask token, `random_share` a random token of the vocabulary, the rest stay. Draws are a function
//! of (seed, epoch, row, position): dynamic over epochs, equal in every run, whatever the batch.
//! Logits are computed at the chosen tokens only.

use super::held_out::{EVALUATION_EPOCH, HeldOut, Perplexity, measures};
use super::words::Words;
use crate::error::Result;
use crate::progress::Context;
use crate::random::{hash, unit};
use crate::training::{Objective, Sequences};
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use steep_encoder::{Model, PackedBatch, Pass};

/// How tokens are masked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MaskingSettings {
    /// Share of ordinary tokens that are predicted.
    pub mlm_probability: f64,
    /// Share of those that become the mask token.
    pub mask_share: f64,
    /// Share of those that become a random token.
    pub random_share: f64,
    /// Whether all tokens of a word are chosen together (Cui et al. 2021); what becomes of each is still drawn apart,
    /// so that the mix stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_word_mask: bool,
}

impl MaskingSettings {
    /// Held-out loss is always measured so, that runs can be compared.
    pub const EVALUATION: Self =
        Self { mlm_probability: 0.15, mask_share: 0.8, random_share: 0.1, whole_word_mask: false };
}

/// Which ids exist, and which are never masked.
#[derive(Debug, Clone)]
pub struct TokenRange {
    /// Ids are below this.
    pub vocab_size: u32,
    /// The mask token.
    pub mask_token_id: u32,
    /// Never chosen, and never put in at random.
    pub special_ids: BTreeSet<u32>,
    /// How tokens join to words, where whole words are masked.
    pub words: Option<Words>,
}

/// Masked language modelling over some rows.
pub struct MaskedLm<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// How tokens are masked.
    pub masking: MaskingSettings,
    /// The vocabulary.
    pub tokens: TokenRange,
    /// Seed of the masks.
    pub seed: u64,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

/// A masked batch: what the model sees, where it must answer, and the answers.
#[derive(Debug, PartialEq)]
struct Masked {
    input_ids: Vec<u32>,
    rows: Vec<u32>,
    labels: Vec<u32>,
}

impl TokenRange {
    fn mask(
        &self,
        masking: &MaskingSettings,
        seed: u64,
        epoch: u64,
        batch: &PackedBatch,
        rows: &[u32],
    ) -> Masked {
        let mut masked = Masked { input_ids: batch.input_ids.to_vec(), rows: Vec::new(), labels: Vec::new() };
        let words = self.words.as_ref().filter(|_| masking.whole_word_mask);
        for (span, &row) in batch.offsets.windows(2).zip(rows) {
            let mut word = span[0];
            for at in span[0]..span[1] {
                let token = batch.input_ids[at as usize];
                let goes_on = |words: &Words| words.continues(batch.input_ids[at as usize - 1], token);
                if at == span[0] || !words.is_some_and(goes_on) {
                    word = at;
                }
                let draw_at =
                    |at: u32, purpose| hash(seed, &[epoch, u64::from(row), u64::from(at - span[0]), purpose]);
                let draw = |purpose: u64| draw_at(at, purpose);
                if self.special_ids.contains(&token) || unit(draw_at(word, 0)) >= masking.mlm_probability {
                    continue;
                }
                masked.rows.push(at);
                masked.labels.push(token);
                let fate = unit(draw(1));
                if fate < masking.mask_share {
                    masked.input_ids[at as usize] = self.mask_token_id;
                } else if fate < masking.mask_share + masking.random_share {
                    masked.input_ids[at as usize] = (draw(2) % u64::from(self.vocab_size)) as u32;
                }
            }
        }
        masked
    }
}

/// A masked batch as the encoder takes it.
pub struct MaskedBatch {
    /// What the model sees.
    batch: PackedBatch,
    /// Where it must answer.
    rows: Arc<[u32]>,
    /// The answers.
    labels: Arc<[u32]>,
}

impl MaskedBatch {
    /// Number of answers.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }
}

impl MaskedLm<'_> {
    fn masked(
        &self,
        sequences: &dyn Sequences,
        rows: &[u32],
        masking: &MaskingSettings,
        epoch: u64,
    ) -> MaskedBatch {
        let batch = sequences.pack(rows);
        let masked = self.tokens.mask(masking, self.seed, epoch, &batch, rows);
        MaskedBatch {
            batch: PackedBatch { input_ids: masked.input_ids.into(), ..batch },
            rows: masked.rows.into(),
            labels: masked.labels.into(),
        }
    }
}

impl Objective for MaskedLm<'_> {
    type Prepared = MaskedBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> MaskedBatch {
        self.masked(self.sequences, rows, &self.masking, epoch)
    }

    /// Summed loss at the masked tokens, and their number.
    fn loss(&self, model: &Model, pass: &Pass, prepared: MaskedBatch) -> Option<(Tensor<1>, f64)> {
        let MaskedBatch { batch, rows, labels } = prepared;
        if rows.is_empty() {
            return None;
        }
        let hidden = model.last_hidden_state(pass, &batch);
        let count = labels.len() as f64;
        Some((model.masked_lm_losses(pass, hidden, rows, labels).sum(), count))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        // The same masks each time, at 15 %.
        let pass = Pass::evaluate(&model.parameters);
        let batches = |set: &HeldOut| set.micro_batches(self.max_tokens);
        let loss = |batch| {
            let (loss, masked) = self.loss(model, &pass, batch)?;
            Some((f64::from(loss.into_scalar::<f32>()), masked))
        };
        let mask = |sequences: &dyn Sequences, rows: &[u32]| {
            self.masked(sequences, rows, &MaskingSettings::EVALUATION, EVALUATION_EPOCH)
        };
        measures(&self.held_out, Perplexity::OfTokens, batches, mask, loss, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> TokenRange {
        TokenRange { vocab_size: 1000, mask_token_id: 4, special_ids: (0..5).collect(), words: None }
    }

    fn batch() -> PackedBatch {
        let sequence: Vec<u32> =
            std::iter::once(2).chain((0..398).map(|at| 5 + at % 900)).chain([3]).collect();
        PackedBatch::new((0..50).map(|_| sequence.as_slice()))
    }

    #[test]
    fn rate_and_mix_are_as_set_and_special_tokens_are_spared() {
        let (batch, rows) = (batch(), (0..50).collect::<Vec<u32>>());
        let masking = MaskingSettings { mlm_probability: 0.2, ..MaskingSettings::EVALUATION };
        let masked = tokens().mask(&masking, 1, 0, &batch, &rows);
        let chosen = masked.rows.len() as f64;
        let ordinary = 50.0 * 398.0;
        assert!((chosen / ordinary - 0.2).abs() < 0.01, "{}", chosen / ordinary);
        let mut counts = [0.0; 3];
        for (&at, &label) in masked.rows.iter().zip(&masked.labels) {
            assert_eq!(batch.input_ids[at as usize], label, "the label is what was hidden");
            assert!(label >= 5, "special tokens are never chosen");
            let now = masked.input_ids[at as usize];
            counts[if now == 4 {
                0
            } else if now == label {
                2
            } else {
                1
            }] += 1.0 / chosen;
        }
        for (found, expected) in counts.iter().zip([0.8, 0.1, 0.1]) {
            assert!((found - expected).abs() < 0.02, "{counts:?}");
        }
    }

    #[test]
    fn whole_words_are_chosen_together_and_keep_rate_and_mix() {
        // WordPiece: every third token begins a word, the two after it go on.
        let goldens = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/token_ids/wordpiece_vocab");
        let tokenizer = crate::text::Tokenizer::load(std::path::Path::new(goldens)).expect("a tokenizer");
        let pieces: Vec<u32> = (0..=tokenizer.largest_id()).filter(|&id| !tokenizer.is_special(id)).collect();
        let goes_on = |id: &&u32| tokenizer.token(**id).is_some_and(|token| token.starts_with("##"));
        let (start, piece) = (
            *pieces.iter().find(|id| !goes_on(id)).expect("a word"),
            *pieces.iter().find(goes_on).expect("a piece"),
        );
        let sequence: Vec<u32> = [start, piece, piece].repeat(100);
        let batch = PackedBatch::new((0..100).map(|_| sequence.as_slice()));
        let tokens = TokenRange {
            vocab_size: 1000,
            mask_token_id: tokenizer.special().mask.expect("a mask token"),
            special_ids: BTreeSet::new(),
            words: Some(Words::of(&tokenizer)),
        };
        let masking = MaskingSettings { whole_word_mask: true, ..MaskingSettings::EVALUATION };
        let masked = tokens.mask(&masking, 1, 0, &batch, &(0..100).collect::<Vec<_>>());
        for word in masked.rows.chunks(3) {
            assert!(word[0] % 3 == 0 && word == [word[0], word[0] + 1, word[0] + 2], "{word:?}");
        }
        let chosen = masked.rows.len() as f64;
        assert!((chosen / 30_000.0 - 0.15).abs() < 0.01, "{}", chosen / 30_000.0);
        let hidden = masked.rows.iter().filter(|at| masked.input_ids[**at as usize] == tokens.mask_token_id);
        assert!((hidden.count() as f64 / chosen - 0.8).abs() < 0.02);
        let apart = MaskingSettings::EVALUATION;
        let apart = tokens.mask(&apart, 1, 0, &batch, &(0..100).collect::<Vec<_>>());
        assert!(apart.rows.chunks(3).any(|word| word[0] % 3 != 0), "without it tokens are chosen apart");
    }

    #[test]
    fn masks_change_with_the_epoch_and_not_with_the_batch() {
        let batch = batch();
        let rows: Vec<u32> = (0..50).collect();
        let masking = MaskingSettings::EVALUATION;
        let first = tokens().mask(&masking, 1, 0, &batch, &rows);
        assert_eq!(first, tokens().mask(&masking, 1, 0, &batch, &rows));
        assert_ne!(first, tokens().mask(&masking, 1, 1, &batch, &rows));
        assert_ne!(first, tokens().mask(&masking, 2, 0, &batch, &rows));
        let alone = PackedBatch::new([&batch.input_ids[400..800]]);
        let alone = tokens().mask(&masking, 1, 0, &alone, &[1]);
        assert_eq!(alone.input_ids, first.input_ids[400..800]);
    }
}
