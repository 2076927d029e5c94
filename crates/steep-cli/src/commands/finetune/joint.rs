//! `steep finetune --joint`: one network over texts and the columns beside them.

use super::ANY_ROWS;
use crate::figures::metrics;
use crate::labelled::LabelledRows;
use crate::session::Session;
use std::collections::BTreeMap;
use steep::config::{Facts, FinetuneRequest, FinetuneSources, RESOLVED, write_resolved};
use steep::data::text_columns;
use steep::stages::{
    JointInput, JointSettings, ModelFolder, PreparedFeatures, RawColumns, estimate_joint, evaluate_joint,
    joint, read_columns,
};

pub(super) fn run(
    mut request: FinetuneRequest,
    mut features: PreparedFeatures,
    sources: &FinetuneSources,
    model: &ModelFolder,
    session: &Session,
) -> anyhow::Result<()> {
    // A fault in the settings is told before the rows are read.
    let facts = Facts::of(model, request.max_seq_length, ANY_ROWS)?;
    let settings = request.clone().resolve(&facts, Vec::new())?;
    request.clone().resolve_joint(settings, features.clone())?;
    let texts = text_columns(&sources.train_file, &sources.columns)?;
    // What is counted is counted in the text that is trained on.
    features.text_columns.clone_from(&texts);
    let columns = columns(&request, &features, sources, &texts)?;
    let rows = LabelledRows::load(sources, session)?;
    let weights = sources.class_weight.weights(&rows.targets, &rows.split.train, rows.names.len())?;
    let facts = Facts::of(model, request.max_seq_length, rows.split.train.len() as u64)?;
    let finetune = request.resolve(&facts, weights)?;
    let settings = request.resolve_joint(finetune, features)?;
    let encodings = rows.encode(model, settings.finetune.max_seq_length, session)?;
    let input = JointInput {
        finetune: rows.finetune_input(model, &encodings),
        columns: &columns,
        text_columns: texts,
    };
    let mut lines = vec![super::parts(&rows, &settings.finetune)];
    lines.extend(columns.notes.iter().map(|note| format!("  {note}")));
    if session.is_dry_run() {
        lines.push(estimate_joint(&input, &settings, &session.cancel)?.to_string());
        return session.say_plan(&request, &lines);
    }
    let report = joint(&input, &settings, &sources.output_dir, &session.context())?;
    let test = test(&input, &settings, sources, &rows, session)?;
    write_resolved(&request, &sources.output_dir.join(RESOLVED))?;
    lines.extend(super::outcome(&report, &rows));
    if !test.is_empty() {
        lines.push("test".to_owned());
        lines.extend(metrics(&test));
    }
    lines.push(format!("model: {}", sources.output_dir.display()));
    session.say(&lines)
}

/// The columns of all files, in the order of the labelled rows. Those with another meaning are left out.
fn columns(
    request: &FinetuneRequest,
    features: &PreparedFeatures,
    sources: &FinetuneSources,
    texts: &[String],
) -> steep::Result<RawColumns> {
    let meanings = [Some(&sources.columns.label_column), sources.columns.group_column.as_ref()];
    let reserved = meanings.into_iter().chain([sources.columns.split_column.as_ref()]).flatten().chain(texts);
    let reserved: Vec<&str> = reserved.map(String::as_str).collect();
    let files = [&sources.validation_file, &sources.test_file];
    let further = files.into_iter().flatten().map(|file| (file.as_str(), None));
    let files: Vec<(&str, Option<u64>)> =
        std::iter::once((sources.train_file.as_str(), sources.columns.limit)).chain(further).collect();
    let asked = request.feature_columns.as_ref().map_or(&[][..], |list| &list.0);
    read_columns(&files, asked, &reserved, features)
}

/// The metrics of the test rows, if there are any.
fn test(
    input: &JointInput<'_>,
    settings: &JointSettings,
    sources: &FinetuneSources,
    rows: &LabelledRows,
    session: &Session,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let test = &rows.split.test;
    if test.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(evaluate_joint(input, settings, &sources.output_dir, test, &session.context())?)
}
