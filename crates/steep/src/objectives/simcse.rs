//! Unsupervised SimCSE (Gao et al. 2021): each text is encoded twice under different dropout, and its two vectors must
//! be nearer to each other than to those of the other texts of the step.
//!
//! The loss is that of sentence-transformers' `MultipleNegativesRankingLoss` over pairs of equal texts: cross-entropy
//! of cosines divided by a temperature. A step is computed at once, since all of its texts are negatives.

use super::held_out::{EVALUATION_EPOCH, HeldOut, Perplexity, measures};
use crate::error::Result;
use crate::progress::Context;
use crate::random::hash;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::BTreeMap;
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Model, PackedBatch, Pass, ops};

/// Unsupervised SimCSE over some rows.
pub struct SimCse<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// How a text becomes a vector.
    pub pooling: PoolingMode,
    /// Cosines are divided by this.
    pub temperature: f64,
    /// Seed of the held-out texts' dropout.
    pub seed: u64,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
}

/// Held-out texts that are compared with each other; the measure depends on it.
const EVALUATION_ROWS: usize = 32;

/// The non-empty texts of some rows, each once among the first half and once among the second.
fn twice(sequences: &dyn Sequences, rows: &[u32]) -> PackedBatch {
    let texts = rows.iter().copied().filter(|&row| sequences.length(row as usize) > 0);
    let once: Vec<u32> = texts.collect();
    sequences.pack(&[once.clone(), once].concat())
}

/// Rows divided by their length, at least 1e-12.
pub(super) fn normalised(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone() * x.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
    x / length
}

/// Cross-entropy of the cosines of N vectors with N others, divided by the temperature: `[N]`. Row i belongs to row i.
pub fn contrastive_losses(vectors: Tensor<2>, others: Tensor<2>, temperature: f64) -> Tensor<1> {
    let count = vectors.dims()[0] as u32;
    let cosines = normalised(vectors).matmul(normalised(others).transpose());
    ops::cross_entropy(cosines / temperature as f32, (0..count).collect(), 0.0)
}

impl Objective for SimCse<'_> {
    type Prepared = PackedBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// All, since the texts of a step are told from each other.
    fn micro_batch_tokens(&self, _: usize) -> usize {
        usize::MAX
    }

    fn prepare(&self, rows: &[u32], _: u64) -> PackedBatch {
        twice(self.sequences, rows)
    }

    /// Summed loss and the number of texts; a single text has nothing to be told from.
    fn loss(&self, model: &Model, pass: &Pass, batch: PackedBatch) -> Option<(Tensor<1>, f64)> {
        let count = batch.len() / 2;
        if count < 2 {
            return None;
        }
        let hidden = model.last_hidden_state(pass, &batch);
        let vectors = pool_states(&hidden, &batch, &[self.pooling]);
        let (first, second) = (vectors.clone().narrow(0, 0, count), vectors.narrow(0, count, count));
        Some((contrastive_losses(first, second, self.temperature).sum(), count as f64))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        // Without dropout both vectors of a text were the same; drawn from one seed, the views are the same each time.
        let seed = hash(self.seed, &[EVALUATION_EPOCH]);
        let batches = |set: &HeldOut| set.rows.chunks(EVALUATION_ROWS).map(<[u32]>::to_vec).collect();
        let loss = |batch| {
            let pass = Pass::train(&model.parameters, seed);
            let (loss, count) = self.loss(model, &pass, batch)?;
            Some((f64::from(loss.inner().into_scalar::<f32>()), count))
        };
        measures(&self.held_out, Perplexity::None, batches, twice, loss, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}
