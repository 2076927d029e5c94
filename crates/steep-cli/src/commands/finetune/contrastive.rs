//! `steep finetune --objective …` of the objectives for vectors: an encoder, and a classifier on its vectors.

use super::{ANY_ROWS, parts};
use crate::figures::{count, duration, metrics, rate};
use crate::labelled::LabelledRows;
use crate::session::Session;
use steep::config::{Facts, FinetuneRequest, FinetuneSources, RESOLVED, write_resolved};
use steep::objectives::EmbeddingSettings;
use steep::stages::{ContrastiveReport, ModelFolder, contrastive_classifier, estimate_contrastive};

pub(super) fn run(
    mut request: FinetuneRequest,
    embedding: EmbeddingSettings,
    sources: &FinetuneSources,
    model: &ModelFolder,
    session: &Session,
) -> anyhow::Result<()> {
    // A fault in the settings is told before the rows are read.
    request.clone().resolve(&Facts::of(model, request.max_seq_length, ANY_ROWS)?, Vec::new())?;
    let rows = LabelledRows::load(sources, session)?;
    embedding.loss.check(&rows.targets)?;
    let facts = Facts::of(model, request.max_seq_length, rows.split.train.len() as u64)?;
    let resolved = request.resolve(&facts, Vec::new())?;
    let first = parts(&rows, &resolved);
    let (settings, classifier) = request.resolve_contrastive(resolved, embedding)?;
    let encodings = rows.encode(model, settings.max_seq_length, session)?;
    let input = rows.finetune_input(model, &encodings);
    if session.is_dry_run() {
        let estimate = estimate_contrastive(&input, &settings, &session.cancel)?;
        return session.say_plan(&request, &[first, estimate.to_string()]);
    }
    let (test, context) = (&rows.split.test, session.context());
    let report = contrastive_classifier(&input, test, &settings, &classifier, &sources.output_dir, &context)?;
    write_resolved(&request, &sources.output_dir.join(RESOLVED))?;
    session.say(&summary(first, &report, sources))
}

fn summary(first: String, report: &ContrastiveReport, sources: &FinetuneSources) -> Vec<String> {
    let training = &report.training;
    let mut lines = vec![
        first,
        format!(
            "vectors: {} optimizer steps in {} ({} tokens a second), then a classifier on them in {}",
            count(training.steps),
            duration(training.seconds),
            rate(2 * training.tokens, training.seconds),
            duration(report.classifier_seconds),
        ),
    ];
    if let (Some(metric), Some(step)) = (training.best_metric, training.best_global_step) {
        lines.push(format!("best validation loss {metric:.4}, after step {step}"));
    }
    for (part, values) in &report.metrics {
        lines.push(part.clone());
        lines.extend(metrics(values));
    }
    lines.push(format!("model: {}", sources.output_dir.display()));
    lines
}
