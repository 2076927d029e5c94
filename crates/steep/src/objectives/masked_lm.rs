//! Masked language modelling: predict tokens that were hidden (Devlin et al. 2018).
//!
//! Each ordinary token is chosen with `mlm_probability`; of the chosen, `mask_share` become the
//! mask token, `random_share` a random token of the vocabulary, the rest stay. Draws are a function
//! of (seed, epoch, row, position): dynamic over epochs, equal in every run, whatever the batch.
//! Logits are computed at the chosen tokens only.

use super::held_out::{EVALUATION_EPOCH, HeldOut, Perplexity, measures};
use super::spans::{Span, draw_spans, geometric};
use super::words::Words;
use crate::error::Result;
use crate::progress::Context;
use crate::random::{Stream, hash, unit};
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
    /// What is chosen together.
    #[serde(default, skip_serializing_if = "MaskingUnit::is_token")]
    pub unit: MaskingUnit,
    /// The share at the end of training, to which it goes in a straight line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlm_probability_end: Option<f64>,
}

/// What is chosen together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskingUnit {
    /// Each token by itself.
    #[default]
    Token,
    /// All tokens of a word (Cui et al. 2021); what becomes of each is still drawn apart.
    WholeWord,
    /// Some words in a row (Joshi et al. 2020), their number from a geometric distribution; what becomes of them is drawn
    /// once for a span.
    Span,
}

impl MaskingUnit {
    /// Their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("token", Self::Token), ("whole_word", Self::WholeWord), ("span", Self::Span)];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_token(&self) -> bool {
        *self == Self::Token
    }
}

/// SpanBERT's distribution of lengths: probability of ending after each word, and the longest span.
const SPAN_LENGTHS: (f64, usize) = (0.2, 10);

impl MaskingSettings {
    /// Held-out loss is always measured so, that runs can be compared.
    pub const EVALUATION: Self = Self {
        mlm_probability: 0.15,
        mask_share: 0.8,
        random_share: 0.1,
        unit: MaskingUnit::Token,
        mlm_probability_end: None,
    };

    /// The settings when a share of training is done.
    fn at(self, done: f64) -> Self {
        let end = self.mlm_probability_end.unwrap_or(self.mlm_probability);
        Self { mlm_probability: self.mlm_probability + (end - self.mlm_probability) * done, ..self }
    }
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
    /// How tokens join to words, where they are masked by words.
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
    /// The texts of some rows with masks.
    pub(super) fn masked(
        &self,
        masking: &MaskingSettings,
        seed: u64,
        epoch: u64,
        batch: &PackedBatch,
        rows: &[u32],
    ) -> MaskedBatch {
        let masked = self.mask(masking, seed, epoch, batch, rows);
        MaskedBatch {
            batch: PackedBatch { input_ids: masked.input_ids.into(), ..batch.clone() },
            rows: masked.rows.into(),
            labels: masked.labels.into(),
        }
    }

    fn mask(
        &self,
        masking: &MaskingSettings,
        seed: u64,
        epoch: u64,
        batch: &PackedBatch,
        rows: &[u32],
    ) -> Masked {
        let mut masked = Masked { input_ids: batch.input_ids.to_vec(), rows: Vec::new(), labels: Vec::new() };
        for (span, &row) in batch.offsets.windows(2).zip(rows) {
            let text = &batch.input_ids[span[0] as usize..span[1] as usize];
            let draws = Draws { seed, epoch, row };
            for Chosen { at, together } in self.chosen(masking, text, draws) {
                let place = span[0] as usize + at;
                masked.rows.push(place as u32);
                masked.labels.push(text[at]);
                let fate = unit(draws.at(together, FATE));
                if fate < masking.mask_share {
                    masked.input_ids[place] = self.mask_token_id;
                } else if fate < masking.mask_share + masking.random_share {
                    masked.input_ids[place] = (draws.at(at, RANDOM) % u64::from(self.vocab_size)) as u32;
                }
            }
        }
        masked
    }

    /// The tokens of a text that are predicted.
    fn chosen(&self, masking: &MaskingSettings, text: &[u32], draws: Draws) -> Vec<Chosen> {
        if masking.unit == MaskingUnit::Span {
            return self.chosen_spans(masking, text, draws);
        }
        let by_words = masking.unit == MaskingUnit::WholeWord;
        let (mut chosen, mut word) = (Vec::new(), 0);
        for (at, token) in text.iter().enumerate() {
            if !(by_words && self.continues(text, at)) {
                word = at;
            }
            let is_chosen = || unit(draws.at(word, CHOICE)) < masking.mlm_probability;
            if !self.special_ids.contains(token) && is_chosen() {
                chosen.push(Chosen { at, together: at });
            }
        }
        chosen
    }

    fn chosen_spans(&self, masking: &MaskingSettings, text: &[u32], draws: Draws) -> Vec<Chosen> {
        let mut words: Vec<Vec<usize>> = Vec::new();
        for at in (0..text.len()).filter(|&at| !self.special_ids.contains(&text[at])) {
            match words.last_mut() {
                Some(word) if self.continues(text, at) => word.push(at),
                _ => words.push(vec![at]),
            }
        }
        let (end, longest) = SPAN_LENGTHS;
        let length = |stream: &mut Stream| geometric(end, longest, stream);
        let mut stream = Stream::new(draws.seed, &[draws.epoch, u64::from(draws.row), SPANS]);
        let spans = draw_spans(words.len(), masking.mlm_probability, &mut stream, length);
        let tokens = |span: Span| words[span.start..span.start + span.length].iter().flatten();
        let spans = spans.into_iter().flat_map(|span| {
            let together = words[span.start][0];
            tokens(span).map(move |&at| Chosen { at, together })
        });
        spans.collect()
    }

    /// Whether a token goes on with the word of the one before it.
    fn continues(&self, text: &[u32], at: usize) -> bool {
        at > 0 && self.words.as_ref().is_some_and(|words| words.continues(text[at - 1], text[at]))
    }
}

/// A token that is predicted, and the first of those whose fate it shares.
struct Chosen {
    at: usize,
    together: usize,
}

/// Random numbers of one text, by position and purpose.
#[derive(Clone, Copy)]
struct Draws {
    seed: u64,
    epoch: u64,
    row: u32,
}

const CHOICE: u64 = 0;
const FATE: u64 = 1;
const RANDOM: u64 = 2;
/// Name of the random stream of spans.
const SPANS: u64 = 3;

impl Draws {
    fn at(self, place: usize, purpose: u64) -> u64 {
        hash(self.seed, &[self.epoch, u64::from(self.row), place as u64, purpose])
    }
}

/// A masked batch as the encoder takes it.
pub struct MaskedBatch {
    /// What the model sees.
    pub(super) batch: PackedBatch,
    /// Where it must answer.
    pub(super) rows: Arc<[u32]>,
    /// The answers.
    pub(super) labels: Arc<[u32]>,
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
        self.tokens.masked(masking, self.seed, epoch, &sequences.pack(rows), rows)
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
        self.prepare_at(rows, epoch, 0.0)
    }

    fn prepare_at(&self, rows: &[u32], epoch: u64, done: f64) -> MaskedBatch {
        self.masked(self.sequences, rows, &self.masking.at(done), epoch)
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

    /// Texts of words of three pieces, and the vocabulary: every third token begins a word, the two after it go on.
    fn words_of_three() -> (TokenRange, PackedBatch) {
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
        (tokens, batch)
    }

    #[test]
    fn whole_words_are_chosen_together_and_keep_rate_and_mix() {
        let (tokens, batch) = words_of_three();
        let masking = MaskingSettings { unit: MaskingUnit::WholeWord, ..MaskingSettings::EVALUATION };
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
    fn spans_are_of_whole_words_and_keep_rate_and_mix() {
        let (tokens, batch) = words_of_three();
        let rows: Vec<u32> = (0..100).collect();
        let masking = MaskingSettings { unit: MaskingUnit::Span, ..MaskingSettings::EVALUATION };
        let (mut chosen, mut spans, mut hidden) = (0, 0, 0);
        for epoch in 0..20 {
            let masked = tokens.mask(&masking, 1, epoch, &batch, &rows);
            chosen += masked.rows.len();
            for run in masked.rows.chunk_by(|one, next| one + 1 == *next && next % 300 != 0) {
                assert!(run[0] % 3 == 0 && run.len() % 3 == 0, "{run:?}");
                spans += 1;
                // Spans may touch, so that only a single word is one for certain.
                let fates: BTreeSet<bool> =
                    run.iter().map(|&at| masked.input_ids[at as usize] == tokens.mask_token_id).collect();
                assert!(fates.len() == 1 || run.len() > 3, "a word of a span shares its fate");
            }
            let is_hidden = |at: &&u32| masked.input_ids[**at as usize] == tokens.mask_token_id;
            hidden += masked.rows.iter().filter(is_hidden).count();
        }
        assert_eq!(chosen, 20 * 100 * 45, "15 of 100 words of three tokens in each text");
        let words_a_span = chosen as f64 / 3.0 / f64::from(spans);
        assert!((3.0..5.5).contains(&words_a_span), "{words_a_span}");
        assert!((hidden as f64 / chosen as f64 - 0.8).abs() < 0.02);
    }

    #[test]
    fn the_share_goes_from_one_end_to_the_other_as_training_goes_on() {
        let masking = MaskingSettings {
            mlm_probability: 0.4,
            mlm_probability_end: Some(0.1),
            ..MaskingSettings::EVALUATION
        };
        let share = |done: f64| {
            let rows: Vec<u32> = (0..50).collect();
            tokens().mask(&masking.at(done), 1, 0, &batch(), &rows).rows.len() as f64 / (50.0 * 398.0)
        };
        for (done, expected) in [(0.0, 0.4), (0.5, 0.25), (1.0, 0.1)] {
            assert!((share(done) - expected).abs() < 0.01, "{done}: {}", share(done));
        }
        assert_eq!(MaskingSettings::EVALUATION.at(0.7), MaskingSettings::EVALUATION);
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
