//! ELECTRA (Clark et al. 2020): a small generator fills masked tokens in, and the encoder learns to tell, for every token,
//! whether it is the text's own.
//!
//! The generator learns by masked language modelling; it is not led by what deceives the encoder. Words, positions and
//! token types are tables that both share. What the generator fills in is drawn from its distribution by (seed, epoch, row,
//! position); where that is the text's own token, nothing was replaced. A step is computed at once, since its two losses
//! are means over different tokens.

use super::held_out::{EVALUATION_EPOCH, HeldOut, Perplexity, measures};
use super::masked_lm::{MaskedBatch, MaskingSettings, TokenRange};
use crate::error::Result;
use crate::progress::Context;
use crate::random::{hash, unit};
use crate::training::{Objective, Sequences};
use burn::Tensor;
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::sync::Arc;
use steep_encoder::{Config, GeneratorShape, Model, PackedBatch, Pass, Value, ops};

/// Replaced-token detection over some rows.
pub struct Electra<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// How tokens are masked for the generator.
    pub masking: MaskingSettings,
    /// The vocabulary.
    pub tokens: TokenRange,
    /// How much the discriminator's loss counts beside the generator's.
    pub discriminator_weight: f64,
    /// Seed of masks and of what is filled in.
    pub seed: u64,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

/// Texts, the same with masks, and what decides which tokens are filled in.
pub struct ElectraBatch {
    whole: PackedBatch,
    masked: MaskedBatch,
    /// A number from 0 to 1 for each masked token.
    draws: Vec<f64>,
}

/// A generator of this share of the encoder's width, in whole heads, and as deep.
pub fn generator_shape(config: &Config, size: f64) -> GeneratorShape {
    let heads = ((config.num_attention_heads as f64 * size).round() as usize).max(1);
    let hidden_size = heads * config.hidden_size / config.num_attention_heads;
    GeneratorShape {
        hidden_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: heads,
        intermediate_size: (config.intermediate_size * hidden_size / config.hidden_size).max(1),
    }
}

/// Binary cross-entropy of logits with targets of 0 or 1, `[T]`: `max(x, 0) - x y + ln(1 + e^-|x|)`.
pub fn replaced_token_losses(logits: Tensor<1>, is_replaced: &[f32]) -> Tensor<1> {
    let targets = TensorData::new(is_replaced.to_vec(), [is_replaced.len()]);
    let targets = Tensor::<1>::from_data(targets, &logits.device());
    logits.clone().clamp_min(0.0) - logits.clone() * targets + logits.abs().neg().exp().log1p()
}

/// The token that a number from 0 to 1 falls on, in the distribution of the logits.
fn sample(logits: &[f32], draw: f64) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: &f32| f64::from((logit - largest).exp());
    let all: f64 = logits.iter().map(weight).sum();
    let mut left = draw * all;
    let found = logits.iter().position(|logit| {
        left -= weight(logit);
        left < 0.0
    });
    found.unwrap_or(logits.len() - 1) as u32
}

const SAMPLE: u64 = 4;

/// What the generator made of a batch.
struct Filled {
    /// Cross-entropy at the masked tokens, `[N]`.
    losses: Tensor<1>,
    /// The texts with what was filled in.
    batch: PackedBatch,
    /// 1 where a token is not the text's own.
    is_replaced: Vec<f32>,
}

impl Electra<'_> {
    fn batch(
        &self,
        sequences: &dyn Sequences,
        rows: &[u32],
        masking: &MaskingSettings,
        epoch: u64,
    ) -> ElectraBatch {
        let whole = sequences.pack(rows);
        let masked = self.tokens.masked(masking, self.seed, epoch, &whole, rows);
        let text_of = |at: u32| whole.offsets.partition_point(|start| *start <= at) - 1;
        let draw = |at: &u32| {
            let (text, place) = (text_of(*at), u64::from(*at));
            let place = place - u64::from(whole.offsets[text]);
            unit(hash(self.seed, &[epoch, u64::from(rows[text]), place, SAMPLE]))
        };
        let draws = masked.rows.iter().map(draw).collect();
        ElectraBatch { whole, masked, draws }
    }

    fn fill(model: &Model, pass: &Pass, prepared: ElectraBatch) -> Option<Filled> {
        let ElectraBatch { whole, masked, draws } = prepared;
        if draws.is_empty() {
            return None;
        }
        let logits = model.generator_logits(pass, &masked.batch, masked.rows.clone());
        let vocab_size = logits.dims()[1];
        let values = Value::Matrix(logits.clone()).to_vec();
        let mut input_ids = whole.input_ids.to_vec();
        for ((logits, &at), &draw) in values.chunks_exact(vocab_size).zip(&*masked.rows).zip(&draws) {
            input_ids[at as usize] = sample(logits, draw);
        }
        let changed =
            input_ids.iter().zip(&*whole.input_ids).map(|(now, own)| f32::from(u8::from(now != own)));
        let is_replaced = changed.collect();
        let batch = PackedBatch { input_ids: Arc::from(input_ids), ..whole };
        Some(Filled { losses: ops::cross_entropy(logits, masked.labels, 0.0), batch, is_replaced })
    }

    fn discriminator_losses(model: &Model, pass: &Pass, filled: &Filled) -> Tensor<1> {
        let hidden = model.last_hidden_state(pass, &filled.batch);
        replaced_token_losses(model.replaced_token_logits(pass, hidden), &filled.is_replaced)
    }
}

impl Objective for Electra<'_> {
    type Prepared = ElectraBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// All, since the two losses of a step are means over different tokens.
    fn micro_batch_tokens(&self, _: usize) -> usize {
        usize::MAX
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> ElectraBatch {
        self.batch(self.sequences, rows, &self.masking, epoch)
    }

    /// The generator's mean loss and the discriminator's, weighted.
    fn loss(&self, model: &Model, pass: &Pass, prepared: ElectraBatch) -> Option<(Tensor<1>, f64)> {
        let filled = Self::fill(model, pass, prepared)?;
        let discriminator = Self::discriminator_losses(model, pass, &filled).mean();
        Some((filled.losses.mean() + discriminator * self.discriminator_weight as f32, 1.0))
    }

    /// `loss` is the discriminator's, of a token; `generator_loss` that of a masked token.
    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let pass = Pass::evaluate(&model.parameters);
        let batches = |set: &HeldOut| set.micro_batches(self.max_tokens);
        let masking = MaskingSettings { mask_share: 1.0, random_share: 0.0, ..MaskingSettings::EVALUATION };
        let prepare =
            |sequences: &dyn Sequences, rows: &[u32]| self.batch(sequences, rows, &masking, EVALUATION_EPOCH);
        let summed = |losses: Tensor<1>| {
            let count = losses.dims()[0] as f64;
            (f64::from(losses.sum().into_scalar::<f32>()), count)
        };
        let discriminator = |prepared| {
            let filled = Self::fill(model, &pass, prepared)?;
            Some(summed(Self::discriminator_losses(model, &pass, &filled)))
        };
        let generator = |prepared| Some(summed(Self::fill(model, &pass, prepared)?.losses));
        let mut all = measures(&self.held_out, Perplexity::None, batches, prepare, discriminator, ctx)?;
        for (name, value) in measures(&self.held_out, Perplexity::None, batches, prepare, generator, ctx)? {
            let name =
                name.strip_suffix("loss").map_or_else(|| name.clone(), |set| format!("{set}generator_loss"));
            all.insert(name, value);
        }
        Ok(all)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_from_the_distribution() {
        let logits = [0.0, 3f32.ln(), 0.0, f32::NEG_INFINITY];
        let mut counts = [0; 4];
        for draw in 0..10_000 {
            counts[sample(&logits, f64::from(draw) / 10_000.0) as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([2_000, 6_000, 2_000, 0i32]) {
            assert!((count - expected).abs() <= 2, "{counts:?}");
        }
        assert_eq!(sample(&logits, 1.0), 3, "a draw beyond all is the last token");
    }
}
