//! Contrastive tension (Carlsson et al. 2021): two encoders that begin as one learn that their vectors of the same text
//! agree and those of different texts do not.
//!
//! The loss is that of sentence-transformers' `ContrastiveTensionLoss`: binary cross-entropy of the dot product of the two
//! vectors. As in the paper, a text is paired with itself and with K − 1 others: the texts of a step are parted into groups
//! of K, whose first one the second encoder (the paper's first model) reads. What is left at the end is the encoder itself,
//! which read all of them, as there.

use super::classification::binary_cross_entropy;
use super::held_out::{HeldOut, Perplexity, measures};
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::sync::Arc;
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Model, PackedBatch, Pass, ops};

/// Contrastive tension over some rows; the model needs a second encoder ([`Model::attach_twin`]).
pub struct ContrastiveTension<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// How a text becomes a vector.
    pub pooling: PoolingMode,
    /// Pairs of a group, one of equal texts among them: K.
    pub pos_neg_ratio: usize,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
}

/// Held-out texts that are compared with each other; the measure depends on it.
const EVALUATION_ROWS: usize = 32;

/// Texts in groups.
pub struct TensionBatch {
    /// All of them.
    texts: PackedBatch,
    /// The first of each group.
    first: PackedBatch,
    /// The group of each text.
    groups: Arc<[u32]>,
}

impl TensionBatch {
    fn of(sequences: &dyn Sequences, rows: &[u32], size: usize) -> Self {
        let rows: Vec<u32> = rows.iter().copied().filter(|&row| sequences.length(row as usize) > 0).collect();
        let first: Vec<u32> = rows.iter().copied().step_by(size).collect();
        let groups = (0..rows.len()).map(|at| (at / size) as u32).collect();
        Self { texts: sequences.pack(&rows), first: sequences.pack(&first), groups }
    }

    /// 1 for the first text of each group, which is paired with itself, else 0: `[N, 1]`.
    fn labels(&self, like: &Tensor<2>) -> Tensor<2> {
        let is_first = |at: usize| at == 0 || self.groups[at] != self.groups[at - 1];
        let labels: Vec<f32> = (0..self.groups.len()).map(|at| f32::from(u8::from(is_first(at)))).collect();
        let count = labels.len();
        Tensor::from_data(TensorData::new(labels, [count, 1]), &like.device())
    }
}

impl ContrastiveTension<'_> {
    /// Summed loss and the number of pairs; a single text has nothing to be told from.
    fn tension(&self, model: &Model, pass: &Pass, batch: &TensionBatch) -> Option<(Tensor<1>, f64)> {
        let count = batch.texts.len();
        if count < 2 {
            return None;
        }
        let pooled = |hidden: Tensor<2>, batch: &PackedBatch| pool_states(&hidden, batch, &[self.pooling]);
        let firsts = pooled(model.twin_hidden_state(pass, &batch.first), &batch.first);
        let vectors = pooled(model.last_hidden_state(pass, &batch.texts), &batch.texts);
        let products = (ops::embedding(firsts, batch.groups.clone()) * vectors).sum_dim(1);
        let labels = batch.labels(&products);
        Some((binary_cross_entropy(products, labels), count as f64))
    }
}

impl Objective for ContrastiveTension<'_> {
    type Prepared = TensionBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// All, since the texts of a group are told from each other.
    fn micro_batch_tokens(&self, _: usize) -> usize {
        usize::MAX
    }

    fn prepare(&self, rows: &[u32], _: u64) -> TensionBatch {
        TensionBatch::of(self.sequences, rows, self.pos_neg_ratio)
    }

    fn loss(&self, model: &Model, pass: &Pass, batch: TensionBatch) -> Option<(Tensor<1>, f64)> {
        self.tension(model, pass, &batch)
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let batches = |set: &HeldOut| set.rows.chunks(EVALUATION_ROWS).map(<[u32]>::to_vec).collect();
        let prepare =
            |sequences: &dyn Sequences, rows: &[u32]| TensionBatch::of(sequences, rows, self.pos_neg_ratio);
        let loss = |batch: TensionBatch| {
            let pass = Pass::evaluate(&model.parameters);
            let (loss, count) = self.tension(model, &pass, &batch)?;
            Some((f64::from(loss.inner().into_scalar::<f32>()), count))
        };
        measures(&self.held_out, Perplexity::None, batches, prepare, loss, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}
