//! `steep adapt`: continued pretraining on unlabelled texts.

use crate::arguments::Asked;
use crate::corpus::{AdaptCorpus, Column, general_text, sample};
use crate::figures::{count, duration, per_cent, rate};
use crate::session::Session;
use std::fmt::Write;
use steep::config::{
    AdaptRequest, AdaptSources, Facts, RESOLVED, TrainingAmount, estimate_training, write_resolved,
};
use steep::stages::{
    AdaptInput, AdaptReport, AdaptSettings, ModelFolder, adapt, adapt_model, adapt_objective,
};
use steep::text::{EncodeOptions, Encodings};
use steep::training::Sequences;

/// So many rows that no setting is refused for want of them.
const ANY_ROWS: u64 = u32::MAX as u64;

pub(crate) fn run(asked: Asked<AdaptRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let model = session.model(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    request.choose_objective(&model.config)?;
    // A fault in the settings is told before the texts are read, which may take long.
    let first = request.clone().resolve(&Facts::of(&model, request.max_seq_length, ANY_ROWS)?)?;
    if session.is_dry_run() {
        return plan(request, &sources, &model, session);
    }
    let head_source = match &sources.head_model_name_or_path {
        Some(name) => Some(session.model_path(name, None)?),
        None => None,
    };
    let options = model.encode_options(first.max_seq_length);
    let prepare = |column, options: &EncodeOptions| {
        AdaptCorpus::prepare(&sources, column, &model, options, first.training.seed, session)
    };
    let (column, target) = Column::both(&sources);
    let corpus = prepare(column, &options)?;
    let targets = match target {
        Some(target) => Some(prepare(target, &target_options(&sources, &model)?)?),
        None => None,
    };
    let general = general(&sources, &model, &options)?;
    let rows = corpus.train_rows.len() as u64;
    let settings = request.resolve(&Facts::of(&model, request.max_seq_length, rows)?)?;
    let input = AdaptInput {
        model: &model,
        head_source: head_source.as_deref(),
        sequences: &corpus,
        targets: targets.as_ref().map(|targets| targets as &dyn Sequences),
        corpus_key: &targets
            .as_ref()
            .map_or_else(|| corpus.key.clone(), |targets| format!("{} {}", corpus.key, targets.key)),
        train_rows: corpus.train_rows.clone(),
        held_out_rows: corpus.held_out_rows.clone(),
        general: general.as_ref(),
    };
    let report = adapt(&input, &settings, &sources.output_dir, &session.context())?;
    write_resolved(&request, &sources.output_dir.join(RESOLVED))?;
    session.say(&summary(&report, &settings, &sources))
}

/// How targets become ids.
fn target_options(sources: &AdaptSources, model: &ModelFolder) -> steep::Result<EncodeOptions> {
    Ok(model.encode_options(model.max_seq_length(sources.max_target_length)?))
}

/// General text, which is nothing to be written after anything.
fn general(
    sources: &AdaptSources,
    model: &ModelFolder,
    options: &EncodeOptions,
) -> steep::Result<Option<Encodings>> {
    match sources.target_column_name {
        Some(_) => Ok(None),
        None => general_text(sources, model, options).map(Some),
    }
}

fn summary(report: &AdaptReport, settings: &AdaptSettings, sources: &AdaptSources) -> Vec<String> {
    let mut lines = vec![format!(
        "adapted to {} texts: {} optimizer steps in {}, {} tokens in {} ({} tokens a second, {} waiting for texts)",
        count(report.rows),
        count(report.steps),
        settings.training.dtype,
        count(report.tokens),
        duration(report.seconds),
        rate(report.tokens, report.seconds),
        per_cent(report.waiting_share),
    )];
    for (words, prefix) in [("your texts  ", "eval_"), ("general text", "eval_general_")] {
        let measured = |name: &str| report.before_and_after(&format!("{prefix}{name}"));
        if let Some((before, after)) = measured("loss") {
            let mut line = format!("{words}  held-out loss {before:.4} → {after:.4}");
            if let Some((before, after)) = measured("perplexity") {
                let _ = write!(line, ", perplexity {before:.1} → {after:.1}");
            }
            lines.push(line);
        }
    }
    if !report.initialised.is_empty() {
        let number = report.initialised.len();
        lines.push(format!("{number} tensors were not in the model and began at random: its head"));
    }
    lines.push(format!("model: {}", sources.output_dir.display()));
    lines
}

fn plan(
    mut request: AdaptRequest,
    sources: &AdaptSources,
    model: &ModelFolder,
    session: &Session,
) -> anyhow::Result<()> {
    let options =
        model.encode_options(model.max_seq_length(request.max_seq_length.map(|length| length as usize))?);
    let sample = |column, options: &EncodeOptions| {
        sample(&sources.train_file, column, sources.max_train_samples, model, options, session)
    };
    let (column, target) = Column::both(sources);
    let (sequences, rows) = sample(column, &options)?;
    let targets = match target {
        Some(target) => Some(sample(target, &target_options(sources, model)?)?.0),
        None => None,
    };
    let held_out =
        ((rows as f64 * sources.validation_fraction).ceil() as u64).min(sources.max_eval_samples as u64);
    let train = if sources.validation_file.is_some() { rows } else { rows - held_out };
    let settings = request.resolve(&Facts::of(model, request.max_seq_length, train)?)?;
    let general = general(sources, model, &options)?.map_or(0, |general| general.len() as u64);
    let input = AdaptInput {
        model,
        head_source: None,
        sequences: &sequences,
        targets: targets.as_ref().map(|targets| targets as &dyn Sequences),
        corpus_key: "",
        train_rows: (0..sequences.len() as u32).collect(),
        held_out_rows: Vec::new(),
        general: None,
    };
    let (mut weights, _) = adapt_model(&input, &settings)?;
    let objective = adapt_objective(&input, &settings)?;
    let amount = TrainingAmount { rows: train, evaluation_rows: held_out + general };
    let estimate = estimate_training(&mut weights, &objective, &settings.training, amount, &session.cancel)?;
    let texts = format!("{} texts to adapt to in {}", count(train), settings.training.dtype);
    session.say_plan(&request, &[texts, estimate.to_string()])
}
