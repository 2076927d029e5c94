//! A cheap look at an encoder: how well a learner on its vectors predicts labelled rows that are no test rows.

use super::learning::LearnerPlan;
use super::runner::Runner;
use super::score::{Scorer, metric_name};
use crate::config::apply_dtype;
use crate::data::{LabelBudget, label_budget};
use crate::error::Result;
use crate::features::embed::Embedder;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::Scaling;
use crate::learners::choice::LearnerScore;
use crate::objectives::EncoderProbe;
use crate::progress::{Context, Silent};
use crate::stages::{ModelFolder, stage_key};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use steep_encoder::Model;

/// Training and validation rows, some of them, that are predicted out of fold: each by a learner that has not seen it.
pub(super) struct Probe<'a> {
    runner: Runner<'a>,
    scorer: &'a Scorer<'a>,
    pub(super) rows: Vec<u32>,
    plan: LearnerPlan,
}

impl<'a> Probe<'a> {
    /// A probe of so many rows at most, classes in proportion.
    pub(super) fn new(runner: Runner<'a>, scorer: &'a Scorer<'a>, most: usize) -> Result<Self> {
        let labelled = &runner.prepared.labelled;
        let split = &labelled.split;
        let mut all: Vec<u32> = split.train.iter().chain(&split.validation).copied().collect();
        all.sort_unstable();
        let rows =
            label_budget(&labelled.rows.labels, &all, LabelBudget::Rows(most), runner.settings.seeds[0])?;
        let plan = LearnerPlan::dense(runner.settings, labelled.task(), Scaling::Standard)
            .with_usual_learner(labelled.task());
        Ok(Self { runner, scorer, rows, plan })
    }

    /// What a look depends on besides the encoder.
    pub(super) fn key(&self) -> String {
        let labelled = &self.runner.prepared.labelled;
        let metric = metric_name(self.scorer.metric);
        stage_key(
            "probe",
            &[&labelled.key, &metric],
            &(&self.rows, self.plan.key(), self.runner.settings.seeds[0]),
        )
    }

    fn silent(&self) -> Context<'a> {
        Context { progress: &Silent, cancel: self.runner.ctx.cancel }
    }

    /// The learner's parameter, chosen by cross-validation for these vectors.
    pub(super) fn choose(&self, vectors: &DenseMatrix) -> Result<LearnerScore> {
        let (labelled, seed) = (&self.runner.prepared.labelled, self.runner.settings.seeds[0]);
        let features = Features::Dense(vectors.clone());
        let learned = self.plan.fit(&features, labelled, &self.rows, Vec::new(), seed, &self.silent())?;
        Ok(learned.chosen.taken().clone())
    }

    /// Out-of-fold predictions of the rows from their vectors.
    pub(super) fn predict(&self, vectors: DenseMatrix, known: &LearnerScore) -> Result<DenseMatrix> {
        let (labelled, seed) = (&self.runner.prepared.labelled, self.runner.settings.seeds[0]);
        self.plan.out_of_fold(known, &Features::Dense(vectors), labelled, &self.rows, seed, &self.silent())
    }

    /// The vectors of the rows by a loaded encoder.
    fn embed(&self, model: &Model, folder: &ModelFolder) -> Result<DenseMatrix> {
        let dense = folder.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
        let settings = folder.embed_settings(self.runner.settings.finetune.dtype);
        let embedder = Embedder::new(model, dense, settings)?;
        embedder.embed(&self.runner.prepared.labelled.encodings, &self.rows, 0, &self.silent())
    }

    /// The vectors of the rows by the encoder of a folder.
    pub(super) fn embed_folder(&self, folder: &ModelFolder) -> Result<DenseMatrix> {
        let (mut model, _) = Model::load(&folder.path, steep_encoder::HeadKind::None, 0)?;
        apply_dtype(self.runner.settings.finetune.dtype, &mut model);
        self.embed(&model, folder)
    }
}

/// A probe whose learner is the one that suits the encoder as it was before training.
pub(super) struct TrainingProbe<'a> {
    probe: Probe<'a>,
    known: OnceLock<LearnerScore>,
}

impl<'a> TrainingProbe<'a> {
    pub(super) fn new(probe: Probe<'a>) -> Self {
        Self { probe, known: OnceLock::new() }
    }

    /// Chosen at the first look, and the same after a stop: it depends on the encoder as it was.
    fn known(&self) -> Result<&LearnerScore> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let vectors = self.probe.embed_folder(self.probe.runner.model)?;
        let known = self.probe.choose(&vectors)?;
        Ok(self.known.get_or_init(|| known))
    }
}

impl EncoderProbe for TrainingProbe<'_> {
    fn key(&self) -> String {
        self.probe.key()
    }

    fn measure(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        let vectors = self.probe.embed(model, self.probe.runner.model)?;
        let predicted = self.probe.predict(vectors, self.known()?)?;
        let name = format!("probe_{}", metric_name(self.probe.scorer.metric));
        let score = self.probe.scorer.value(&self.probe.rows, &predicted);
        Ok(score.map(|score| (name, score)).into_iter().collect())
    }
}
