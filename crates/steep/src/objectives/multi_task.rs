//! Masked language modelling beside the labels: the encoder learns what the texts are labelled with and does not forget
//! how they are written.
//!
//! The rows of a step are seen twice, whole for their labels and masked for their words. The loss is the mean over labels
//! plus `mlm_weight` times the mean over masked tokens, both means over the whole step.

use super::{Classification, LabelledBatch, MaskedBatch, MaskedLm};
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::BTreeMap;
use steep_encoder::{Model, Pass};

/// Training on labels with masked language modelling beside it. The model has a head for each.
pub struct MultiTask<'a> {
    /// The labels.
    pub classification: Classification<'a>,
    /// The words of the same rows.
    pub masked: MaskedLm<'a>,
    /// The loss of the words counts so many times.
    pub mlm_weight: f64,
}

/// Rows with their labels, and the same rows masked.
pub struct MultiTaskBatch {
    labelled: LabelledBatch,
    masked: MaskedBatch,
    /// Brings the sum over this part's masked tokens to the unit of its sum over labels.
    mlm_scale: f64,
}

impl MultiTask<'_> {
    /// What makes one mean of two, over some parts.
    fn scale(&self, parts: &[MultiTaskBatch]) -> f64 {
        let labels: f64 = parts.iter().map(|part| self.classification.weight_of(&part.labelled.rows)).sum();
        let masked: usize = parts.iter().map(|part| part.masked.len()).sum();
        if masked == 0 { 0.0 } else { self.mlm_weight * labels / masked as f64 }
    }
}

impl Objective for MultiTask<'_> {
    type Prepared = MultiTaskBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.classification.sequences()
    }

    fn rows(&self) -> &[u32] {
        self.classification.rows()
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> MultiTaskBatch {
        let labelled = self.classification.prepare(rows, epoch);
        let mut part = MultiTaskBatch { labelled, masked: self.masked.prepare(rows, epoch), mlm_scale: 0.0 };
        part.mlm_scale = self.scale(std::slice::from_ref(&part));
        part
    }

    fn complete(&self, step: &mut [MultiTaskBatch]) {
        let scale = self.scale(step);
        step.iter_mut().for_each(|part| part.mlm_scale = scale);
    }

    fn loss(&self, model: &Model, pass: &Pass, prepared: MultiTaskBatch) -> Option<(Tensor<1>, f64)> {
        let MultiTaskBatch { labelled, masked, mlm_scale } = prepared;
        let (loss, weight) = self.classification.loss(model, pass, labelled)?;
        let words = self.masked.loss(model, pass, masked);
        let loss = words.map_or(loss.clone(), |(words, _)| loss + words * mlm_scale as f32);
        Some((loss, weight))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let mut measures = self.classification.evaluate(model, ctx)?;
        measures.extend(self.masked.evaluate(model, ctx)?);
        Ok(measures)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        self.classification.metric_for_best_model()
    }
}
