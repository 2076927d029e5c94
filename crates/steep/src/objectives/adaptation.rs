//! The objectives that need no labels, as one: what `steep adapt` trains for.

use super::tsdae::Deleted;
use super::{
    CausalLm, ContrastiveTension, Denoising, Electra, ElectraBatch, MaskedBatch, MaskedLm, NoiseSettings,
    Seq2Seq, SimCse, TensionBatch, TextPairs, Tsdae, generator_shape,
};
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use steep_encoder::{Config, HeadKind, Model, PackedBatch, Pass};

/// Which objective, with the settings that are its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdaptObjective {
    /// Masked language modelling.
    #[default]
    Mlm,
    /// Causal language modelling.
    Clm,
    /// Two dropout views of a text against the other texts.
    Simcse {
        /// Cosines are divided by this.
        temperature: f64,
    },
    /// Two encoders that agree on equal texts only.
    ContrastiveTension {
        /// Pairs for each one of equal texts, that one included.
        pos_neg_ratio: usize,
    },
    /// Writing a text again from what is left of it.
    Tsdae {
        /// Share of the ordinary tokens that are deleted.
        deletion_ratio: f64,
    },
    /// Writing a damaged text again, with an encoder-decoder.
    Denoising(NoiseSettings),
    /// Finding tokens that a generator replaced.
    Electra {
        /// The width of the generator as a share of the encoder's.
        generator_size: f64,
        /// How much the discriminator's loss counts beside the generator's.
        discriminator_weight: f64,
    },
    /// Writing one text after reading another, with an encoder-decoder.
    Seq2seq {
        /// Share of the targets' probability that all words have in equal parts.
        label_smoothing: f64,
    },
}

impl AdaptObjective {
    /// The head that an encoder of this configuration trains with.
    pub fn head_kind(self, config: &Config) -> HeadKind {
        match self {
            Self::Mlm => HeadKind::MaskedLm,
            Self::Clm => HeadKind::CausalLm,
            Self::Simcse { .. } | Self::ContrastiveTension { .. } => HeadKind::None,
            Self::Tsdae { .. } => HeadKind::Autoencoder,
            Self::Electra { generator_size, .. } => {
                HeadKind::ReplacedTokens { generator: Some(generator_shape(config, generator_size)) }
            }
            Self::Denoising(_) | Self::Seq2seq { .. } => HeadKind::Seq2Seq,
        }
    }

    /// The objective in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Mlm => "masked language modelling",
            Self::Clm => "causal language modelling",
            Self::Simcse { .. } => "SimCSE",
            Self::ContrastiveTension { .. } => "contrastive tension",
            Self::Tsdae { .. } => "TSDAE",
            Self::Denoising(_) => "denoising",
            Self::Electra { .. } => "replaced-token detection",
            Self::Seq2seq { .. } => "writing one text after another",
        }
    }

    /// The name by which `adapt` is asked for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlm => "mlm",
            Self::Clm => "clm",
            Self::Simcse { .. } => "simcse",
            Self::ContrastiveTension { .. } => "contrastive_tension",
            Self::Tsdae { .. } => "tsdae",
            Self::Denoising(_) => "denoising",
            Self::Electra { .. } => "electra",
            Self::Seq2seq { .. } => "seq2seq",
        }
    }

    pub(crate) fn is_mlm(&self) -> bool {
        *self == Self::Mlm
    }
}

/// One of the objectives over some rows.
pub enum Adaptation<'a> {
    /// Masked language modelling.
    MaskedLm(MaskedLm<'a>),
    /// Causal language modelling.
    CausalLm(CausalLm<'a>),
    /// Unsupervised SimCSE.
    SimCse(SimCse<'a>),
    /// Contrastive tension.
    ContrastiveTension(ContrastiveTension<'a>),
    /// TSDAE.
    Tsdae(Tsdae<'a>),
    /// Denoising.
    Denoising(Denoising<'a>),
    /// ELECTRA.
    Electra(Electra<'a>),
    /// Sequence to sequence.
    Seq2Seq(Seq2Seq<'a>),
}

/// What the objective has prepared of some rows.
pub enum PreparedAdaptation {
    /// Masked tokens.
    Masked(MaskedBatch),
    /// Whole texts.
    Whole(PackedBatch),
    /// Texts in groups.
    Tension(TensionBatch),
    /// Texts with tokens deleted.
    Deleted(Deleted),
    /// Texts to read and to write.
    Pairs(TextPairs),
    /// Masked texts and their own tokens.
    Electra(ElectraBatch),
}

/// Runs an expression with whatever objective it is.
macro_rules! with {
    ($adaptation:expr, $objective:ident => $body:expr) => {
        match $adaptation {
            Adaptation::MaskedLm($objective) => $body,
            Adaptation::CausalLm($objective) => $body,
            Adaptation::SimCse($objective) => $body,
            Adaptation::ContrastiveTension($objective) => $body,
            Adaptation::Tsdae($objective) => $body,
            Adaptation::Denoising($objective) => $body,
            Adaptation::Electra($objective) => $body,
            Adaptation::Seq2Seq($objective) => $body,
        }
    };
}

impl Objective for Adaptation<'_> {
    type Prepared = PreparedAdaptation;

    fn sequences(&self) -> &dyn Sequences {
        with!(self, objective => objective.sequences())
    }

    fn rows(&self) -> &[u32] {
        with!(self, objective => objective.rows())
    }

    fn micro_batch_tokens(&self, asked: usize) -> usize {
        with!(self, objective => objective.micro_batch_tokens(asked))
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> PreparedAdaptation {
        match self {
            Self::MaskedLm(objective) => PreparedAdaptation::Masked(objective.prepare(rows, epoch)),
            Self::CausalLm(objective) => PreparedAdaptation::Whole(objective.prepare(rows, epoch)),
            Self::SimCse(objective) => PreparedAdaptation::Whole(objective.prepare(rows, epoch)),
            Self::ContrastiveTension(objective) => {
                PreparedAdaptation::Tension(objective.prepare(rows, epoch))
            }
            Self::Tsdae(objective) => PreparedAdaptation::Deleted(objective.prepare(rows, epoch)),
            Self::Denoising(objective) => PreparedAdaptation::Pairs(objective.prepare(rows, epoch)),
            Self::Seq2Seq(objective) => PreparedAdaptation::Pairs(objective.prepare(rows, epoch)),
            Self::Electra(objective) => PreparedAdaptation::Electra(objective.prepare(rows, epoch)),
        }
    }

    fn prepare_at(&self, rows: &[u32], epoch: u64, done: f64) -> PreparedAdaptation {
        match self {
            Self::MaskedLm(objective) => PreparedAdaptation::Masked(objective.prepare_at(rows, epoch, done)),
            _ => self.prepare(rows, epoch),
        }
    }

    fn loss(&self, model: &Model, pass: &Pass, prepared: PreparedAdaptation) -> Option<(Tensor<1>, f64)> {
        match (self, prepared) {
            (Self::MaskedLm(objective), PreparedAdaptation::Masked(batch)) => {
                objective.loss(model, pass, batch)
            }
            (Self::CausalLm(objective), PreparedAdaptation::Whole(batch)) => {
                objective.loss(model, pass, batch)
            }
            (Self::SimCse(objective), PreparedAdaptation::Whole(batch)) => objective.loss(model, pass, batch),
            (Self::ContrastiveTension(objective), PreparedAdaptation::Tension(batch)) => {
                objective.loss(model, pass, batch)
            }
            (Self::Tsdae(objective), PreparedAdaptation::Deleted(batch)) => {
                objective.loss(model, pass, batch)
            }
            (Self::Denoising(objective), PreparedAdaptation::Pairs(batch)) => {
                objective.loss(model, pass, batch)
            }
            (Self::Seq2Seq(objective), PreparedAdaptation::Pairs(batch)) => {
                objective.loss(model, pass, batch)
            }
            (Self::Electra(objective), PreparedAdaptation::Electra(batch)) => {
                objective.loss(model, pass, batch)
            }
            _ => unreachable!("an objective gets back what it prepared"),
        }
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        with!(self, objective => objective.evaluate(model, ctx))
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        with!(self, objective => objective.metric_for_best_model())
    }
}
