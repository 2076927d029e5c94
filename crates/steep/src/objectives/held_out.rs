//! Held-out texts whose loss is followed.

use crate::ahead::ahead;
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Sequences, micro_batches};
use std::collections::BTreeMap;

/// Held-out texts whose loss is followed.
pub struct HeldOut<'a> {
    /// Prefix of its measures: `loss` stays bare for the domain's own text.
    pub name: &'static str,
    /// The sequences.
    pub sequences: &'a dyn Sequences,
    /// Which of them.
    pub rows: Vec<u32>,
}

/// Held-out batches that are prepared while one is computed.
const BATCHES_AHEAD: usize = 2;

/// Random stream of held-out texts, apart from those of training.
pub(super) const EVALUATION_EPOCH: u64 = u64::MAX;

impl HeldOut<'_> {
    /// The rows in batches of at most so many tokens.
    pub(super) fn micro_batches(&self, max_tokens: usize) -> Vec<Vec<u32>> {
        let length = |row: u32| self.sequences.length(row as usize);
        micro_batches(&self.rows, max_tokens, length).into_iter().map(<[u32]>::to_vec).collect()
    }

    /// Mean loss over batches of rows; `loss` gives the sum of a prepared batch and the weight that makes it a mean.
    fn mean_loss<P: Send>(
        &self,
        batches: Vec<&[u32]>,
        prepare: impl Fn(&dyn Sequences, &[u32]) -> P + Sync,
        loss: impl Fn(P) -> Option<(f64, f64)>,
        ctx: &Context,
    ) -> Result<Option<f64>> {
        let (mut sum, mut weight) = (0.0, 0.0);
        let prepare = &prepare;
        let prepared = batches.into_iter().map(move |rows| Ok(prepare(self.sequences, rows)));
        ahead(BATCHES_AHEAD, prepared, |batches| {
            for batch in batches {
                ctx.cancel.check()?;
                if let Some((more, count)) = loss(batch?) {
                    sum += more;
                    weight += count;
                }
            }
            Ok(())
        })?;
        Ok((weight > 0.0).then(|| sum / weight))
    }
}

/// Whether the exponential of a loss means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Perplexity {
    OfTokens,
    None,
}

/// `loss`, and `perplexity`, of each held-out set, under its name.
pub(super) fn measures<P: Send>(
    held_out: &[HeldOut],
    perplexity: Perplexity,
    batches: impl Fn(&HeldOut) -> Vec<Vec<u32>>,
    prepare: impl Fn(&dyn Sequences, &[u32]) -> P + Sync,
    loss: impl Fn(P) -> Option<(f64, f64)>,
    ctx: &Context,
) -> Result<BTreeMap<String, f64>> {
    let mut measures = BTreeMap::new();
    for set in held_out {
        let batches = batches(set);
        let batches = batches.iter().map(Vec::as_slice).collect();
        let Some(mean) = set.mean_loss(batches, &prepare, &loss, ctx)? else { continue };
        let prefix = if set.name.is_empty() { String::new() } else { format!("{}_", set.name) };
        measures.insert(format!("{prefix}loss"), mean);
        if perplexity == Perplexity::OfTokens {
            measures.insert(format!("{prefix}perplexity"), mean.exp());
        }
    }
    Ok(measures)
}
