//! Training an encoder's vectors on labels: texts of one class come near each other, those of different ones apart.
//!
//! Each row of a step brings along a partner that is drawn for it, by (seed, epoch, row); no list of pairs is ever made,
//! so that memory is linear in the rows. A step is computed at once, since all its texts are told from each other.
//! The losses are those of sentence-transformers, each in a file.

mod cosent;
mod partners;
mod ranking;
mod supervised_contrastive;
mod triplet;

pub use triplet::TripletMining;

use super::Targets;
use super::held_out::{EVALUATION_EPOCH, HeldOut, Perplexity, measures};
use super::simcse::normalised;
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use burn::tensor::TensorData;
use partners::Partners;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Model, PackedBatch, Pass};

/// Which loss, with the settings that are its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingLoss {
    /// A row's partner is told from the partners of rows of other classes (Henderson et al. 2017).
    MultipleNegativesRanking {
        /// Cosines are divided by this.
        temperature: f64,
    },
    /// A text of the same class is nearer than one of another, by a margin (Hermans et al. 2017).
    Triplet {
        /// Which triplets count.
        mining: TripletMining,
        /// In Euclidean distances.
        margin: f64,
    },
    /// All texts of the same class are told from all others (Khosla et al. 2020).
    SupervisedContrastive {
        /// Cosines are divided by this.
        temperature: f64,
    },
    /// Pairs that belong together more have the larger cosine (Huang et al. 2024).
    Cosent {
        /// Cosines are divided by this.
        temperature: f64,
    },
}

impl EmbeddingLoss {
    /// Whether it can be trained on these targets.
    ///
    /// # Errors
    /// Several labels a row; numbers, but for CoSENT.
    pub fn check(&self, targets: &Targets) -> Result<()> {
        let problem = match (targets, self) {
            (Targets::Classes(_), _) | (Targets::Numbers(_), Self::Cosent { .. }) => return Ok(()),
            (Targets::Flags(_), _) => "needs one class a row, and here rows have several labels",
            (Targets::Numbers(_), _) => "needs one class a row, and here the labels are numbers",
        };
        Err(Error::config("objective", problem, "choose classification, or cosent for numbers"))
    }

    /// The mean loss of vectors `[2 n, d]`, rows first, then their partners; none where there is nothing to learn.
    fn of(&self, vectors: Tensor<2>, labels: &PairLabels) -> Option<Tensor<1>> {
        match (*self, labels) {
            (Self::Cosent { temperature }, labels) => cosent::loss(vectors, &labels.likeness(), temperature),
            (Self::MultipleNegativesRanking { temperature }, PairLabels::Classes(classes)) => {
                ranking::loss(vectors, classes, temperature)
            }
            (Self::Triplet { mining, margin }, PairLabels::Classes(classes)) => {
                triplet::loss(vectors, classes, mining, margin)
            }
            (Self::SupervisedContrastive { temperature }, PairLabels::Classes(classes)) => {
                supervised_contrastive::loss(vectors, classes, temperature)
            }
            (_, PairLabels::Numbers(_)) => unreachable!("the targets were checked against the loss"),
        }
    }

    /// Whether half of the partners are of another class.
    fn wants_unlike(&self) -> bool {
        matches!(self, Self::Cosent { .. })
    }
}

/// What is known of the rows of a step, and then of their partners.
#[derive(Debug, Clone, PartialEq)]
pub enum PairLabels {
    /// The class of each.
    Classes(Vec<u32>),
    /// The number of each.
    Numbers(Vec<f32>),
}

impl PairLabels {
    fn of(targets: &Targets, rows: &[u32]) -> Self {
        match targets {
            Targets::Classes(classes) => {
                Self::Classes(rows.iter().map(|&row| classes[row as usize]).collect())
            }
            Targets::Numbers(numbers) => {
                Self::Numbers(rows.iter().map(|&row| numbers[row as usize]).collect())
            }
            Targets::Flags(_) => unreachable!("the targets were checked against the loss"),
        }
    }

    /// How much each pair belongs together: a number of which the order alone is of interest.
    fn likeness(&self) -> Vec<f32> {
        let pairs = |count: usize| (0..count / 2).map(move |at| (at, count / 2 + at));
        match self {
            Self::Classes(all) => {
                pairs(all.len()).map(|(a, b)| f32::from(u8::from(all[a] == all[b]))).collect()
            }
            Self::Numbers(all) => pairs(all.len()).map(|(a, b)| -(all[a] - all[b]).abs()).collect(),
        }
    }
}

/// How vectors are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingSettings {
    /// The loss.
    pub loss: EmbeddingLoss,
    /// The loss is summed over the vectors cut to so many dimensions each (Kusupati et al. 2022); none for whole vectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matryoshka_dims: Vec<usize>,
}

impl EmbeddingSettings {
    /// The mean loss, as sentence-transformers' `MatryoshkaLoss` sums it: of vectors that are cut and then brought to
    /// length one.
    ///
    /// # Shapes
    /// - `vectors`: `[2 n, d]`, rows first, then their partners
    pub fn mean_loss(&self, vectors: &Tensor<2>, labels: &PairLabels) -> Option<Tensor<1>> {
        if self.matryoshka_dims.is_empty() {
            return self.loss.of(vectors.clone(), labels);
        }
        let cut = |&dim: &usize| self.loss.of(normalised(vectors.clone().narrow(1, 0, dim)), labels);
        self.matryoshka_dims.iter().filter_map(cut).reduce(|sum, loss| sum + loss)
    }
}

/// Contrastive training over some rows.
pub struct Embedding<'a> {
    sequences: &'a dyn Sequences,
    targets: &'a Targets,
    settings: EmbeddingSettings,
    partners: Partners,
    validation: (HeldOut<'a>, Partners),
    /// The rows trained on.
    rows: Vec<u32>,
    pooling: Vec<PoolingMode>,
    /// Whether the folder's vectors have length one.
    normalize: bool,
    seed: u64,
}

/// How a model folder makes its vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorForm {
    /// Concatenated.
    pub pooling: Vec<PoolingMode>,
    /// Whether they have length one.
    pub normalize: bool,
}

/// Rows of a step and their partners.
pub struct PairBatch {
    texts: PackedBatch,
    labels: PairLabels,
}

/// Held-out rows that are compared with each other; the measure depends on it.
const EVALUATION_ROWS: usize = 32;

impl<'a> Embedding<'a> {
    /// Over rows of texts with targets that the loss was checked against; texts without tokens are left out.
    pub fn new(
        sequences: &'a dyn Sequences,
        targets: &'a Targets,
        [train, validation]: [&[u32]; 2],
        settings: EmbeddingSettings,
        form: VectorForm,
        seed: u64,
    ) -> Self {
        let full = |rows: &[u32]| -> Vec<u32> {
            rows.iter().copied().filter(|&row| sequences.length(row as usize) > 0).collect()
        };
        let (rows, held_out) = (full(train), full(validation));
        let partners = Partners::new(targets, &rows);
        let held_out_partners = Partners::new(targets, &held_out);
        let held_out = HeldOut { name: "", sequences, rows: held_out };
        Self {
            sequences,
            targets,
            settings,
            partners,
            validation: (held_out, held_out_partners),
            rows,
            pooling: form.pooling,
            normalize: form.normalize,
            seed,
        }
    }

    fn pairs(&self, rows: &[u32], partners: &Partners, epoch: u64) -> PairBatch {
        let unlike = self.settings.loss.wants_unlike();
        let drawn = rows.iter().map(|&row| partners.draw(row, unlike, self.seed, epoch));
        let both: Vec<u32> = rows.iter().copied().chain(drawn).collect();
        PairBatch { texts: self.sequences.pack(&both), labels: PairLabels::of(self.targets, &both) }
    }

    fn mean_loss(&self, model: &Model, pass: &Pass, pairs: &PairBatch) -> Option<Tensor<1>> {
        if pairs.texts.is_empty() {
            return None;
        }
        let hidden = model.last_hidden_state(pass, &pairs.texts);
        let vectors = pool_states(&hidden, &pairs.texts, &self.pooling);
        let vectors = if self.normalize { normalised(vectors) } else { vectors };
        self.settings.mean_loss(&vectors, &pairs.labels)
    }
}

impl Objective for Embedding<'_> {
    type Prepared = PairBatch;

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

    fn prepare(&self, rows: &[u32], epoch: u64) -> PairBatch {
        self.pairs(rows, &self.partners, epoch)
    }

    /// The step's mean loss, which counts once.
    fn loss(&self, model: &Model, pass: &Pass, pairs: PairBatch) -> Option<(Tensor<1>, f64)> {
        Some((self.mean_loss(model, pass, &pairs)?, 1.0))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let pass = Pass::evaluate(&model.parameters);
        let (held_out, partners) = &self.validation;
        let batches = |set: &HeldOut| set.rows.chunks(EVALUATION_ROWS).map(<[u32]>::to_vec).collect();
        let pairs = |_: &dyn Sequences, rows: &[u32]| self.pairs(rows, partners, EVALUATION_EPOCH);
        let loss = |pairs: PairBatch| {
            let rows = (pairs.texts.len() / 2) as f64;
            let mean = self.mean_loss(model, &pass, &pairs)?.into_scalar::<f32>();
            Some((rows * f64::from(mean), rows))
        };
        measures(std::slice::from_ref(held_out), Perplexity::None, batches, pairs, loss, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}

/// A constant matrix beside a tensor.
fn constant(values: Vec<f32>, [rows, columns]: [usize; 2], like: &Tensor<2>) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [rows, columns]), &like.device())
}

/// Cosines of all with all.
fn cosines(one: Tensor<2>, other: Tensor<2>) -> Tensor<2> {
    normalised(one).matmul(normalised(other).transpose())
}

/// Added to a logit that should not count.
const NOWHERE: f32 = -1e9;
