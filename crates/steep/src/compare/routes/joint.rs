//! One network over texts and the columns beside them, on the encoder as it is or after adapting.

use super::Measured;
use crate::compare::features::no_columns;
use crate::compare::matrix_store::{MatrixReport, stored_or};
use crate::compare::runner::{MadeEncoder, Prediction, Runner, TrainingLog, stage_name};
use crate::compare::settings::{CompareSettings, FeatureSet, Route};
use crate::compare::table::text_columns;
use crate::error::Result;
use crate::features::columns::Table;
use crate::features::preparation::{PreparationInputs, RawRows};
use crate::report::StageSeconds;
use crate::stages::{
    FinetuneSettings, HeadInit, JointInput, JointSettings, ModelFolder, Predictor, RawColumns, joint,
    stage_key,
};
use std::time::Instant;

/// What the network is given beside the text: all that the learners of the other routes are given together.
pub(super) fn features(settings: &CompareSettings) -> FeatureSet {
    let has_engineered = settings.features.iter().any(|set| set.has_engineered());
    match (settings.table.is_some(), has_engineered) {
        (true, true) => FeatureSet::TextEngineeredColumns,
        (true, false) => FeatureSet::TextColumns,
        (false, _) => FeatureSet::TextEngineered,
    }
}

impl Measured {
    /// One prediction a seed.
    pub(super) fn joint_predictions(&mut self, route: Route, runner: &Runner) -> Result<Vec<Prediction>> {
        let columns = runner.joint_columns()?;
        let mut predictions = Vec::with_capacity(runner.settings.seeds.len());
        for &seed in &runner.settings.seeds {
            let network = runner.joint_network(route, seed, &columns)?;
            self.remember(&network);
            predictions.push(runner.joint_outputs(&network, &columns)?);
        }
        Ok(predictions)
    }
}

impl Runner<'_> {
    /// How the network is trained with a seed.
    pub(in crate::compare) fn joint_settings(&self, seed: u64) -> Result<JointSettings> {
        let mut settings = self.settings.joint.clone().ok_or_else(no_columns)?;
        // Its head is over text and columns, and is always new.
        settings.finetune = FinetuneSettings { head_init: HeadInit::Random, ..self.finetune_settings(seed) };
        Ok(settings)
    }

    /// The columns of all labelled rows, as the network is given them.
    pub(in crate::compare) fn joint_columns(&self) -> Result<RawColumns> {
        let labelled = &self.prepared.labelled;
        let settings = self.settings.joint.as_ref().ok_or_else(no_columns)?;
        let count = labelled.rows.texts.len() as u32;
        let (columns, table, notes) = match &self.prepared.table {
            Some(data) => (data.plans.clone(), data.table.clone(), data.notes.clone()),
            None => (Vec::new(), Table::new(&[]).select_rows(&(0..count).collect::<Vec<_>>()), Vec::new()),
        };
        let (names, texts) = match settings.features.engineered {
            Some(_) => (text_columns(self.settings)?, labelled.rows.texts.clone()),
            None => (Vec::new(), Vec::new()),
        };
        let inputs = PreparationInputs {
            columns,
            vector_columns: Vec::new(),
            vector_names: Vec::new(),
            text_columns: names,
            text_column_delimiter: self.settings.labelled.text_column_delimiter.clone(),
        };
        let key = stage_key("columns", &[&labelled.key], &inputs);
        Ok(RawColumns { inputs, raw: RawRows { table, vectors: None, texts }, key, notes })
    }

    /// What the network that begins with `model` is trained on.
    pub(in crate::compare) fn joint_input<'b>(
        &'b self,
        model: &'b ModelFolder,
        columns: &'b RawColumns,
    ) -> Result<JointInput<'b>> {
        let text_columns = text_columns(self.settings)?;
        Ok(JointInput { finetune: self.finetune_input(model), columns, text_columns })
    }

    /// The trained network of a route and seed.
    pub(in crate::compare) fn joint_network(
        &self,
        route: Route,
        seed: u64,
        columns: &RawColumns,
    ) -> Result<MadeEncoder> {
        let base = if route.adapts() { Route::Adapted } else { Route::Frozen };
        let mut made = self.encoder(base, seed)?;
        let model = ModelFolder::open(&made.folder)?;
        let folder = self.stage_folder(&stage_name(route.name(), seed, self.settings));
        let input = self.joint_input(&model, columns)?;
        let report = joint(&input, &self.joint_settings(seed)?, &folder, self.ctx)?;
        made.folder = folder;
        made.seconds.finetune += report.seconds;
        made.has_seen_labels = true;
        let (stage, seconds, log) = (route.name().to_owned(), report.seconds, report.log_history);
        made.logs.push(TrainingLog { stage, seed, seconds, log });
        Ok(made)
    }

    /// What the network says of validation and test rows.
    fn joint_outputs(&self, network: &MadeEncoder, columns: &RawColumns) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let digest = ModelFolder::open(&network.folder)?.digest;
        let rows: Vec<u32> = labelled.split.validation.iter().chain(&labelled.split.test).copied().collect();
        let key = stage_key("joint outputs", &[&digest, &labelled.key, &columns.key], &rows);
        let (values, report) = stored_or(&self.companion(network, "outputs"), &key, || {
            let started = Instant::now();
            let predictor = Predictor::open(&network.folder, Some(self.settings.finetune.dtype))?;
            self.ctx.progress.start("predicting", Some(rows.len() as u64), "texts");
            let raw = columns.raw.select_rows(&rows);
            let values = predictor.predict_with_columns(&labelled.encodings, &rows, raw, self.ctx)?;
            self.ctx.progress.finish();
            let seconds = started.elapsed().as_secs_f64();
            Ok((values, MatrixReport { seconds, ..MatrixReport::default() }))
        })?;
        let seconds = StageSeconds { predict: report.seconds, ..network.seconds };
        Ok(self.prediction(&values, None, seconds))
    }
}
