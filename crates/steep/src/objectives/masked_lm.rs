//! Masked language modelling: predict tokens that were hidden (Devlin et al. 2018).
//!
//! Each ordinary token is chosen with `mlm_probability`; of the chosen, `mask_share` become the
//! mask token, `random_share` a random token of the vocabulary, the rest stay. Draws are a function
//! of (seed, epoch, row, position): dynamic over epochs, equal in every run, whatever the batch.
//! Logits are computed at the chosen tokens only.

use crate::ahead::ahead;
use crate::error::Result;
use crate::progress::Context;
use crate::random::hash;
use crate::training::{Objective, Sequences, micro_batches};
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
}

impl MaskingSettings {
    /// Held-out loss is always measured so, that runs can be compared.
    pub const EVALUATION: Self = Self { mlm_probability: 0.15, mask_share: 0.8, random_share: 0.1 };
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
}

/// Held-out texts whose loss is followed.
pub struct HeldOut<'a> {
    /// Prefix of its measures: `loss` stays bare for the domain's own text.
    pub name: &'static str,
    /// The sequences.
    pub sequences: &'a dyn Sequences,
    /// Which of them.
    pub rows: Vec<u32>,
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

/// Held-out batches that are masked while one is computed.
const BATCHES_AHEAD: usize = 2;

/// Random stream of the held-out masks, apart from those of training.
const EVALUATION_EPOCH: u64 = u64::MAX;

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
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
        for (span, &row) in batch.offsets.windows(2).zip(rows) {
            for at in span[0]..span[1] {
                let token = batch.input_ids[at as usize];
                let draw =
                    |purpose: u64| hash(seed, &[epoch, u64::from(row), u64::from(at - span[0]), purpose]);
                if self.special_ids.contains(&token) || unit(draw(0)) >= masking.mlm_probability {
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

    /// Mean held-out loss at 15 % masking, the same masks each time.
    fn held_out_loss(&self, model: &Model, held_out: &HeldOut, ctx: &Context) -> Result<Option<f64>> {
        let pass = Pass::evaluate(&model.parameters);
        let (mut sum, mut count) = (0.0, 0.0);
        let sequences = held_out.sequences;
        let masked = micro_batches(&held_out.rows, self.max_tokens, |row| sequences.length(row as usize))
            .into_iter()
            .map(|rows| Ok(self.masked(sequences, rows, &MaskingSettings::EVALUATION, EVALUATION_EPOCH)));
        ahead(BATCHES_AHEAD, masked, |batches| {
            for batch in batches {
                ctx.cancel.check()?;
                if let Some((loss, masked)) = self.loss(model, &pass, batch?) {
                    sum += f64::from(loss.into_scalar::<f32>());
                    count += masked;
                }
            }
            Ok(())
        })?;
        Ok((count > 0.0).then(|| sum / count))
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
        let mut measures = BTreeMap::new();
        for held_out in &self.held_out {
            let Some(loss) = self.held_out_loss(model, held_out, ctx)? else { continue };
            let prefix = if held_out.name.is_empty() { String::new() } else { format!("{}_", held_out.name) };
            measures.insert(format!("{prefix}loss"), loss);
            measures.insert(format!("{prefix}perplexity"), loss.exp());
        }
        Ok(measures)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> TokenRange {
        TokenRange { vocab_size: 1000, mask_token_id: 4, special_ids: (0..5).collect() }
    }

    fn batch() -> PackedBatch {
        let sequence: Vec<u32> =
            std::iter::once(2).chain((0..398).map(|at| 5 + at % 900)).chain([3]).collect();
        PackedBatch::new((0..50).map(|_| sequence.as_slice()))
    }

    #[test]
    fn rate_and_mix_are_as_set_and_special_tokens_are_spared() {
        let (batch, rows) = (batch(), (0..50).collect::<Vec<u32>>());
        let masking = MaskingSettings { mlm_probability: 0.2, mask_share: 0.8, random_share: 0.1 };
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
