//! Encoders that are adapted to the unlabelled texts, or to a part of them.

use super::probe::{Probe, TrainingProbe};
use super::runner::{MadeEncoder, Runner, TrainingLog, stage_name};
use super::score::Scorer;
use crate::error::Result;
use crate::objectives::AdaptObjective;
use crate::random::Stream;
use crate::stages::{AdaptInput, AdaptReport, AdaptSettings, ModelFolder, adapt, adapt_probed};
use crate::training::TrainingSettings;
use std::path::{Path, PathBuf};

/// An encoder that was adapted to a part of the texts.
pub(super) struct PartlyAdapted {
    pub(super) encoder: MadeEncoder,
    pub(super) texts: u64,
    pub(super) steps: u64,
}

impl Runner<'_> {
    pub(super) fn adapt_settings(&self, seed: u64) -> AdaptSettings {
        let mut training = TrainingSettings { seed, ..self.settings.adapt.clone() };
        let texts = self.prepared.unlabelled.as_ref().map_or(0, |unlabelled| unlabelled.train_rows.len());
        training.freezing.vocabulary_warmup =
            self.vocabulary.and_then(|extended| extended.warmup(self.settings, training.total_steps(texts)));
        AdaptSettings {
            objective: self.settings.objective,
            masking: self.settings.masking,
            training,
            max_seq_length: self.prepared.max_seq_length,
        }
    }

    /// What `model` adapts to; called where there are unlabelled texts.
    pub(super) fn adapt_input<'b>(
        &'b self,
        model: &'b ModelFolder,
        head_source: Option<&'b Path>,
    ) -> AdaptInput<'b> {
        let unlabelled = self.prepared.unlabelled.as_ref().expect("adapting routes run with texts only");
        AdaptInput {
            model,
            head_source,
            sequences: &unlabelled.corpus,
            targets: None,
            corpus_key: &unlabelled.key,
            train_rows: unlabelled.train_rows.clone(),
            held_out_rows: unlabelled.held_out_rows.clone(),
            general: self.general,
        }
    }

    /// The encoder after adapting to all unlabelled texts.
    pub(super) fn adapted(&self, from: MadeEncoder, name: &str, seed: u64) -> Result<MadeEncoder> {
        let model = ModelFolder::open(&from.folder)?;
        // A generator is new; what predicts tokens may have been lost in fine-tuning.
        let is_lost = from.folder != self.model.path
            && !matches!(self.settings.objective, AdaptObjective::Electra { .. });
        let head_source = is_lost.then_some(self.model.path.as_path());
        let input = self.adapt_input(&model, head_source);
        let folder = self.stage_folder(&stage_name(name, seed, self.settings));
        let settings = self.adapt_settings(seed);
        let report: AdaptReport = if name == "adapted" && self.settings.adaptation_curve {
            let labelled = &self.prepared.labelled;
            let scorer = Scorer::new(self.settings, labelled, &labelled.split, Vec::new())?;
            let probe = Probe::new(*self, &scorer, probe_rows(&settings.training, input.train_rows.len()))?;
            adapt_probed(&input, &settings, Some(&TrainingProbe::new(probe)), &folder, self.ctx)?
        } else {
            adapt(&input, &settings, &folder, self.ctx)?
        };
        Ok(from.then_adapted(folder, name, seed, report))
    }

    /// The encoder after adapting to this part of the unlabelled texts, with as many passes over them and a schedule of
    /// its own. Larger parts hold the smaller ones.
    pub(super) fn adapted_to(&self, part: f64) -> Result<PartlyAdapted> {
        let seed = self.settings.seeds[0];
        let mut input = self.adapt_input(self.model, None);
        let order = Stream::new(seed, &[PARTS]).permutation(input.train_rows.len() as u32);
        let texts = ((order.len() as f64 * part).round() as usize).max(1);
        let mut rows: Vec<u32> = order[..texts].iter().map(|&at| input.train_rows[at as usize]).collect();
        rows.sort_unstable();
        input.train_rows = rows;
        let mut settings = self.adapt_settings(seed);
        let training = &mut settings.training;
        training.max_steps = training.max_steps.map(|steps| ((steps as f64 * part).ceil() as u64).max(1));
        training.evaluations_per_epoch = 0;
        let name = format!("adapted-to-{part}");
        let folder = self.stage_folder(&name);
        let report = adapt(&input, &settings, &folder, self.ctx)?;
        let steps = report.steps;
        let encoder = self.untouched().then_adapted(folder, &name, seed, report);
        Ok(PartlyAdapted { encoder, texts: texts as u64, steps })
    }
}

impl MadeEncoder {
    fn then_adapted(self, folder: PathBuf, name: &str, seed: u64, report: AdaptReport) -> Self {
        let mut made = Self { folder, ..self };
        made.seconds.adapt += report.seconds;
        let (stage, seconds, log) = (name.to_owned(), report.seconds, report.log_history);
        made.logs.push(TrainingLog { stage, seed, seconds, log });
        made
    }
}

/// Name of the random stream.
const PARTS: u64 = 0x5041_5254;

/// Labelled rows that are looked at while adapting: so many that it takes about a tenth of the time, a forward pass being a
/// third of a step.
fn probe_rows(training: &TrainingSettings, texts: usize) -> usize {
    let steps = training.total_steps(texts);
    let evaluations = steps / training.eval_steps(texts).max(1) + 2;
    let seen = steps as f64 * training.train_batch_size.min(texts) as f64;
    ((0.3 * seen / evaluations as f64) as usize).clamp(200, 2_000)
}
