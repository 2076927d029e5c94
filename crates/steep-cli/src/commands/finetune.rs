//! `steep finetune`: training of encoder and head on labels.

mod contrastive;
mod joint;

use crate::arguments::Asked;
use crate::figures::{count, duration, metrics, per_cent, rate};
use crate::labelled::LabelledRows;
use crate::session::Session;
use std::collections::BTreeMap;
use steep::config::{Facts, FinetuneRequest, FinetuneSources, RESOLVED, apply_dtype, write_resolved};
use steep::encoder::{HeadKind, Model};
use steep::objectives::Classification;
use steep::stages::{FinetuneReport, FinetuneSettings, estimate_finetune, finetune};
use steep::text::Encodings;
use steep::training::Objective;

/// So many rows that no setting is refused for want of them.
const ANY_ROWS: u64 = u32::MAX as u64;

pub(crate) fn run(asked: Asked<FinetuneRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let embedding = request.embedding()?;
    let features = request.joint_features()?;
    let model = session.model(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    if let Some(features) = features {
        return joint::run(request, features, &sources, &model, session);
    }
    if let Some(embedding) = embedding {
        return contrastive::run(request, embedding, &sources, &model, session);
    }
    // A fault in the settings is told before the rows are read.
    request.clone().resolve(&Facts::of(&model, request.max_seq_length, ANY_ROWS)?, Vec::new())?;
    let rows = LabelledRows::load(&sources, session)?;
    let weights = sources.class_weight.weights(&rows.targets, &rows.split.train, rows.names.len())?;
    let facts = Facts::of(&model, request.max_seq_length, rows.split.train.len() as u64)?;
    let settings = request.resolve(&facts, weights)?;
    let encodings = rows.encode(&model, settings.max_seq_length, session)?;
    let work = Work { rows: &rows, encodings: &encodings, settings: &settings };
    let input = rows.finetune_input(&model, &encodings);
    if session.is_dry_run() {
        let estimate = estimate_finetune(&input, &settings, &session.cancel)?;
        return session.say_plan(&request, &[parts(&rows, &settings), estimate.to_string()]);
    }
    let report = finetune(&input, &settings, &sources.output_dir, &session.context())?;
    let test = work.test(&sources, session)?;
    write_resolved(&request, &sources.output_dir.join(RESOLVED))?;
    session.say(&summary(&report, &test, &work, &sources))
}

/// Everything that testing needs.
struct Work<'a> {
    rows: &'a LabelledRows,
    encodings: &'a Encodings,
    settings: &'a FinetuneSettings,
}

impl Work<'_> {
    /// The metrics of the test rows, if there are any.
    fn test(&self, sources: &FinetuneSources, session: &Session) -> anyhow::Result<BTreeMap<String, f64>> {
        let test = &self.rows.split.test;
        if test.is_empty() {
            return Ok(BTreeMap::new());
        }
        let head = HeadKind::SequenceClassification { num_labels: self.rows.names.len() };
        let (mut trained, _) = Model::load(&sources.output_dir, head, 0)?;
        apply_dtype(self.settings.training.dtype, &mut trained);
        let objective = Classification {
            sequences: self.encodings,
            targets: &self.rows.targets,
            num_labels: self.rows.names.len(),
            rows: Vec::new(),
            validation_rows: test.clone(),
            settings: self.settings.classification.clone(),
            max_tokens: self.settings.training.max_tokens_per_micro_batch,
        };
        Ok(objective.evaluate(&trained, &session.context())?)
    }
}

fn parts(rows: &LabelledRows, settings: &FinetuneSettings) -> String {
    let split = &rows.split;
    let [train, validation, test] =
        [&split.train, &split.validation, &split.test].map(|rows| count(rows.len() as u64));
    format!(
        "{train} rows to train on, {validation} to validate on, {test} to test on; {} outputs; computed in {}",
        rows.names.len(),
        settings.training.dtype
    )
}

fn summary(
    report: &FinetuneReport,
    test: &BTreeMap<String, f64>,
    work: &Work,
    sources: &FinetuneSources,
) -> Vec<String> {
    let mut lines = vec![parts(work.rows, work.settings)];
    lines.extend(outcome(report, work.rows));
    if !test.is_empty() {
        lines.push("test".to_owned());
        lines.extend(metrics(test));
    }
    lines.push(format!("model: {}", sources.output_dir.display()));
    lines
}

/// How training went.
fn outcome(report: &FinetuneReport, rows: &LabelledRows) -> Vec<String> {
    let mut lines = vec![format!(
        "fine-tuned: {} optimizer steps, {} tokens in {} ({} tokens a second, {} waiting for texts)",
        count(report.steps),
        count(report.tokens),
        duration(report.seconds),
        rate(report.tokens, report.seconds),
        per_cent(report.waiting_share),
    )];
    if let (Some(metric), Some(step)) = (report.best_metric, report.best_global_step) {
        let name = rows.targets.metric_for_best_model().0;
        lines.push(format!("best validation {name} {metric:.4}, after step {step}"));
    }
    lines
}
