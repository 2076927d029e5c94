//! TSDAE (Wang et al. 2021): most tokens of a text are deleted, the rest becomes a vector, and a small decoder writes
//! the whole text again from the vector alone.
//!
//! Deletion is by tokens and knows no language. Draws are a function of (seed, epoch, row, position).

use super::held_out::{EVALUATION_EPOCH, HeldOut, Perplexity, measures};
use crate::error::Result;
use crate::progress::Context;
use crate::random::{hash, unit};
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Model, PackedBatch, Pass};

/// TSDAE over some rows.
pub struct Tsdae<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// How what is left of a text becomes a vector.
    pub pooling: PoolingMode,
    /// Share of the ordinary tokens that are deleted.
    pub deletion_ratio: f64,
    /// Never deleted.
    pub special_ids: BTreeSet<u32>,
    /// Seed of the deletions.
    pub seed: u64,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

/// What is left of some texts, and the texts.
pub struct Deleted {
    left: PackedBatch,
    whole: PackedBatch,
}

impl Tsdae<'_> {
    fn deleted(&self, sequences: &dyn Sequences, rows: &[u32], epoch: u64) -> Deleted {
        // A text without two tokens holds nothing to be written again.
        let rows = rows.iter().copied().filter(|&row| sequences.length(row as usize) > 1);
        let rows: Vec<u32> = rows.collect();
        let whole = sequences.pack(&rows);
        let texts = whole.offsets.windows(2).map(|pair| &whole.input_ids[pair[0] as usize..pair[1] as usize]);
        let left: Vec<Vec<u32>> =
            texts.zip(&rows).map(|(tokens, &row)| self.left_of(tokens, row, epoch)).collect();
        Deleted { left: PackedBatch::new(left.iter().map(Vec::as_slice)), whole }
    }

    /// A text's tokens without those that are deleted; one ordinary token stays at least, if there is one.
    fn left_of(&self, tokens: &[u32], row: u32, epoch: u64) -> Vec<u32> {
        let draw = |at: usize| hash(self.seed, &[epoch, u64::from(row), at as u64]);
        let ordinary = |at: usize| !self.special_ids.contains(&tokens[at]);
        let stays = |at: usize| !ordinary(at) || unit(draw(at)) >= self.deletion_ratio;
        let mut kept: Vec<usize> = (0..tokens.len()).filter(|&at| stays(at)).collect();
        if !kept.iter().any(|&at| ordinary(at)) {
            let spared = (0..tokens.len()).filter(|&at| ordinary(at)).max_by_key(|&at| draw(at));
            kept.extend(spared);
            kept.sort_unstable();
        }
        kept.into_iter().map(|at| tokens[at]).collect()
    }
}

impl Objective for Tsdae<'_> {
    type Prepared = Deleted;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> Deleted {
        self.deleted(self.sequences, rows, epoch)
    }

    /// Summed loss at the tokens that are written, and their number.
    fn loss(&self, model: &Model, pass: &Pass, prepared: Deleted) -> Option<(Tensor<1>, f64)> {
        let Deleted { left, whole } = prepared;
        if whole.is_empty() {
            return None;
        }
        let hidden = model.last_hidden_state(pass, &left);
        let vectors = pool_states(&hidden, &left, &[self.pooling]);
        let losses = model.autoencoder_losses(pass, vectors, &whole);
        let count = losses.dims()[0] as f64;
        Some((losses.sum(), count))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let pass = Pass::evaluate(&model.parameters);
        let batches = |set: &HeldOut| set.micro_batches(self.max_tokens);
        let loss = |prepared| {
            let (loss, count) = self.loss(model, &pass, prepared)?;
            Some((f64::from(loss.into_scalar::<f32>()), count))
        };
        let deleted =
            |sequences: &dyn Sequences, rows: &[u32]| self.deleted(sequences, rows, EVALUATION_EPOCH);
        measures(&self.held_out, Perplexity::OfTokens, batches, deleted, loss, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of 100 ordinary tokens in a frame.
    struct Framed;

    impl Sequences for Framed {
        fn len(&self) -> usize {
            200
        }

        fn length(&self, _: usize) -> usize {
            102
        }

        fn append(&self, row: usize, tokens: &mut Vec<u32>) {
            tokens.push(2);
            tokens.extend((0..100).map(|at| 5 + ((row * 31 + at * 7) % 90) as u32));
            tokens.push(3);
        }
    }

    fn tsdae(deletion_ratio: f64) -> Tsdae<'static> {
        Tsdae {
            sequences: &Framed,
            rows: (0..200).collect(),
            pooling: PoolingMode::Mean,
            deletion_ratio,
            special_ids: (0..5).collect(),
            seed: 3,
            held_out: Vec::new(),
            max_tokens: 64,
        }
    }

    #[test]
    fn the_share_asked_for_is_deleted_and_the_frame_stays() {
        let rows: Vec<u32> = (0..200).collect();
        let deleted = tsdae(0.6).prepare(&rows, 0);
        let kept = (deleted.left.num_tokens() - 400) as f64 / 20_000.0;
        assert!((kept - 0.4).abs() < 0.01, "{kept} stay");
        for pair in deleted.left.offsets.windows(2) {
            let text = &deleted.left.input_ids[pair[0] as usize..pair[1] as usize];
            assert_eq!((text[0], text[text.len() - 1]), (2, 3));
        }
        assert_eq!(deleted.whole.num_tokens(), 200 * 102);
    }

    #[test]
    fn deletions_change_with_the_epoch_and_not_with_the_batch() {
        let objective = tsdae(0.6);
        let left = |rows: &[u32], epoch| objective.prepare(rows, epoch).left.input_ids.to_vec();
        assert_eq!(left(&[4, 9], 1), [left(&[4], 1), left(&[9], 1)].concat());
        assert_ne!(left(&[4], 1), left(&[4], 2));
    }

    #[test]
    fn one_ordinary_token_stays_whatever_the_ratio() {
        let objective = tsdae(1.0);
        for row in 0..20 {
            let left = objective.left_of(&[2, 7, 8, 9, 3], row, 0);
            assert_eq!(left.len(), 3, "{left:?}");
            assert!([7, 8, 9].contains(&left[1]), "{left:?}");
        }
        assert_eq!(objective.left_of(&[2, 3], 0, 0), [2, 3]);
    }
}
