//! What the objectives that write texts share: one text is read, another one written.

use super::held_out::{HeldOut, Perplexity, measures};
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Sequences, micro_batches};
use burn::Tensor;
use std::collections::BTreeMap;
use steep_encoder::{Model, PackedBatch, Pass};

/// Texts that are read, and the text that is written after each.
pub struct TextPairs {
    /// What the encoder reads.
    pub source: PackedBatch,
    /// What the decoder writes.
    pub target: PackedBatch,
}

impl TextPairs {
    /// Summed loss at the tokens that are written, and their number; the decoder reads those before each.
    pub(super) fn loss(self, model: &Model, pass: &Pass, label_smoothing: f64) -> Option<(Tensor<1>, f64)> {
        if self.source.is_empty() {
            return None;
        }
        let losses = model.seq2seq_losses(pass, &self.source, &self.target, label_smoothing as f32);
        let count = losses.dims()[0] as f64;
        Some((losses.sum(), count))
    }
}

/// Held-out loss and perplexity of texts that are written. `length` is that of a row, read and written.
pub(super) fn evaluate(
    model: &Model,
    held_out: &[HeldOut],
    max_tokens: usize,
    length: impl Fn(&dyn Sequences, u32) -> usize,
    pairs: impl Fn(&dyn Sequences, &[u32]) -> TextPairs + Sync,
    ctx: &Context,
) -> Result<BTreeMap<String, f64>> {
    let pass = Pass::evaluate(&model.parameters);
    let batches = |set: &HeldOut| {
        let batches = micro_batches(&set.rows, max_tokens, |row| length(set.sequences, row));
        batches.into_iter().map(<[u32]>::to_vec).collect()
    };
    // Of the words themselves: smoothing is for learning.
    let loss = |pairs: TextPairs| {
        let (loss, count) = pairs.loss(model, &pass, 0.0)?;
        Some((f64::from(loss.into_scalar::<f32>()), count))
    };
    measures(held_out, Perplexity::OfTokens, batches, pairs, loss, ctx)
}
