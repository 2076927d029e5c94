//! Causal language modelling: predict each token from those before it (Radford et al. 2018). Every text is a sequence
//! of its own; its first token is predicted by nothing.

use super::held_out::{HeldOut, Perplexity, measures};
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::BTreeMap;
use steep_encoder::{Model, PackedBatch, Pass};

/// Causal language modelling over some rows.
pub struct CausalLm<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

impl Objective for CausalLm<'_> {
    type Prepared = PackedBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn prepare(&self, rows: &[u32], _: u64) -> PackedBatch {
        self.sequences.pack(rows)
    }

    /// Summed loss at all tokens that have one before them, and their number.
    fn loss(&self, model: &Model, pass: &Pass, batch: PackedBatch) -> Option<(Tensor<1>, f64)> {
        let (rows, labels) = batch.next_tokens();
        if rows.is_empty() {
            return None;
        }
        let hidden = model.last_hidden_state(pass, &batch);
        let count = labels.len() as f64;
        Some((model.masked_lm_losses(pass, hidden, rows, labels).sum(), count))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let pass = Pass::evaluate(&model.parameters);
        let batches = |set: &HeldOut| set.micro_batches(self.max_tokens);
        let loss = |batch| {
            let (loss, count) = self.loss(model, &pass, batch)?;
            Some((f64::from(loss.into_scalar::<f32>()), count))
        };
        let pack = |sequences: &dyn Sequences, rows: &[u32]| sequences.pack(rows);
        measures(&self.held_out, Perplexity::OfTokens, batches, pack, loss, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}
