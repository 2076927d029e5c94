//! `steep classify`: a classifier on feature files.

use crate::arguments::Asked;
use crate::figures::{count, duration, listed, metrics};
use crate::session::Session;
use anyhow::Context;
use serde_json::Value;
use std::path::Path;
use steep::config::{ClassifyRequest, ExtractRequest, RESOLVED, write_resolved};
use steep::stages::{ClassifyInput, ClassifyReport, ExtractSettings, ModelFolder, classify};
use steep::storage::read_json;

pub(crate) fn run(asked: Asked<ClassifyRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let (features, output) = request.sources()?;
    let settings = request.resolve()?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[]);
    }
    let encoder = match &request.model_name_or_path {
        Some(name) => {
            let model = session.model(name, request.model_revision.as_ref())?;
            let recipe = recipe(&features, &model)?;
            Some((model, recipe))
        }
        None => None,
    };
    let input = ClassifyInput {
        features: &features,
        labels: request.labels_file.as_deref(),
        encoder: encoder.as_ref().map(|(model, recipe)| (model, recipe)),
        limit: request.max_train_samples,
    };
    let report = classify(&input, &settings, &output, &session.context())?;
    write_resolved(&request, &output.join(RESOLVED))?;
    session.say(&summary(&report, &request, &output))
}

/// How the features were made: as the record beside the file says, else as extraction does by default.
fn recipe(features: &str, model: &ModelFolder) -> anyhow::Result<ExtractSettings> {
    let record = format!("{features}.steep.json");
    if !Path::new(&record).is_file() {
        let mut request =
            ExtractRequest { output_format: Some("parquet".into()), ..ExtractRequest::default() };
        return Ok(request.resolve(model)?);
    }
    let about: Value = read_json(Path::new(&record))?;
    let settings = about.pointer("/about/settings").cloned().unwrap_or_default();
    serde_json::from_value(settings)
        .with_context(|| format!("{record} does not say how the features were made"))
}

fn summary(report: &ClassifyReport, request: &ClassifyRequest, output: &Path) -> Vec<String> {
    let mut lines = vec![format!(
        "trained on {} rows of {} features in {}",
        count(report.rows),
        count(report.columns as u64),
        duration(report.seconds)
    )];
    lines.extend(report.preparation.iter().map(|line| format!("  {line}")));
    if !report.classes.is_empty() {
        lines.push(format!("{} classes: {}", report.classes.len(), listed(&report.classes, 12)));
    }
    lines.extend(choice_lines(report, request.metric.as_deref().unwrap_or("score")));
    for (part, values) in &report.metrics {
        lines.push(part.clone());
        lines.extend(metrics(values));
    }
    lines.push(format!("classifier: {}", output.display()));
    lines
}

/// How learners and candidates did in cross-validation.
fn choice_lines(report: &ClassifyReport, metric: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if report.learners.len() > 1 {
        lines.push(format!("learners, by {metric} in cross-validation"));
        for (place, score) in report.learners.iter().enumerate() {
            let mark = if place == report.best { "  ← kept" } else { "" };
            let parameter = score
                .parameter
                .as_ref()
                .map_or_else(String::new, |name| format!("{name} {}", score.selection.c));
            let (name, mean, time) = (score.learner.name(), score.mean(), duration(score.seconds));
            lines.push(format!("  {name:<20} {mean:>9.4}  {parameter:<16} {time:>8}{mark}"));
        }
    }
    let Some(kept) = report.learners.get(report.best) else { return lines };
    let name = kept.parameter.as_deref().unwrap_or(kept.learner.name());
    for candidate in &kept.selection.candidates {
        let value = kept.parameter.as_ref().map_or_else(String::new, |_| candidate.c.to_string());
        let mark = if candidate.c == kept.selection.c { "  ← chosen" } else { "" };
        lines.push(format!("  {name} {value:<8} {metric} {:.4} in cross-validation{mark}", candidate.mean));
    }
    lines
}
