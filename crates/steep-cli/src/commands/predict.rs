//! `steep predict`: labels of texts from a trained folder.

use super::extract::counted;
use crate::arguments::Asked;
use crate::figures::count;
use crate::session::Session;
use std::collections::BTreeMap;
use std::path::Path;
use steep::config::{PredictRequest, default_dtype};
use steep::data::{Chunk, ReadOptions, lists, open, text};
use steep::stages::{PredictInput, PredictReport, predict};

pub(crate) fn run(asked: Asked<PredictRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let settings = request.resolve()?;
    let model = session.model_path(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    if session.is_dry_run() {
        let dtype = match settings.dtype {
            Some(dtype) => format!("computed in {dtype}"),
            None => format!("computed as a classifier's features were made, else in {}", default_dtype()),
        };
        return session.say_plan(&request, &[format!("the model is {}", model.display()), dtype]);
    }
    let input = PredictInput {
        model: &model,
        source: &sources.input_file,
        text_columns: sources.text_column_names.clone(),
        text_column_delimiter: sources.text_column_delimiter.clone(),
        limit: sources.limit,
    };
    let report = predict(&input, &settings, &sources.output_file, &session.context())?;
    session.say(&summary("predicted", &report, settings.max_seq_length)?)
}

/// What was done, and how many rows got each label.
pub(super) fn summary(
    verb: &str,
    report: &PredictReport,
    max_seq_length: Option<usize>,
) -> steep::Result<Vec<String>> {
    let mut lines = counted(verb, &report.counts, report.waiting_share, max_seq_length);
    lines.extend(report.dtype.map(|dtype| format!("computed in {dtype}")));
    lines.extend(
        report.temperature.map(|value| format!("probabilities at the folder's temperature of {value:.2}")),
    );
    for file in &report.files {
        let counts = label_counts(file)?;
        lines.extend(counts.iter().map(|(label, rows)| format!("  {:>9}  {label}", count(*rows))));
        lines.push(format!("file: {}", file.display()));
    }
    Ok(lines)
}

/// How many rows got each label, read from what was written; nothing for a regression.
fn label_counts(file: &Path) -> steep::Result<Vec<(String, u64)>> {
    let source = file.to_string_lossy();
    let chunks = open(&source, &ReadOptions::default())?;
    // The stage uses the prefix where the input has a column `label` of its own.
    let schema = chunks.schema();
    let has = |name: &&&str| schema.field_with_name(name).is_ok();
    let Some(column) = ["predicted_label", "label"].iter().find(has) else { return Ok(Vec::new()) };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let read = ReadOptions { columns: Some(vec![(*column).to_owned()]), ..ReadOptions::default() };
    for chunk in open(&source, &read)? {
        for label in labels(&chunk?, column)? {
            *counts.entry(label).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    Ok(counts)
}

/// The labels of a chunk's rows, whether one a row or several.
fn labels(chunk: &Chunk, column: &str) -> steep::Result<Vec<String>> {
    match text(chunk, column) {
        Ok(texts) => Ok(texts.iter().flatten().map(str::to_owned).collect()),
        Err(_) => Ok(lists(chunk, column)?.into_iter().flatten().flatten().collect()),
    }
}
