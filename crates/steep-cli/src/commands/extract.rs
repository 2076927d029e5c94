//! `steep extract`: texts to vectors.

use crate::arguments::Asked;
use crate::corpus::{Column, sample};
use crate::figures::{count, duration, per_cent, rate};
use crate::session::Session;
use steep::config::{ExtractRequest, ExtractSources, apply_dtype, estimate_embedding};
use steep::encoder::Model;
use steep::features::embed::Embedder;
use steep::stages::{
    EngineerInput, ExtractInput, ExtractReport, ExtractSettings, ModelFolder, RowCounts, engineer, extract,
};

pub(crate) fn run(asked: Asked<ExtractRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let Some(name) = &sources.model_name_or_path else { return engineered(request, &sources, session) };
    let model = session.model(name, sources.model_revision.as_ref())?;
    let settings = request.resolve(&model)?;
    if session.is_dry_run() {
        return session.say_plan(&request, &plan(&sources, &model, &settings, session)?);
    }
    let input = ExtractInput {
        model: &model,
        source: &sources.input_file,
        text_columns: sources.text_column_names.clone(),
        text_column_delimiter: sources.text_column_delimiter.clone(),
        limit: sources.limit,
    };
    let report = extract(&input, &settings, &sources.output_file, &session.context())?;
    session.say(&summary(&report, &settings))
}

/// Columns that are counted in the text, without an encoder.
fn engineered(
    mut request: ExtractRequest,
    sources: &ExtractSources,
    session: &Session,
) -> anyhow::Result<()> {
    let settings = request.resolve_engineered()?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[]);
    }
    let input = EngineerInput {
        source: &sources.input_file,
        text_columns: sources.text_column_names.clone(),
        text_column_delimiter: sources.text_column_delimiter.clone(),
        limit: sources.limit,
    };
    let report = engineer(&input, &settings, &sources.output_file, &session.context())?;
    let mut lines = counted("worked off", &report.counts, report.waiting_share, None);
    lines.push(format!("{} columns", count(report.width as u64)));
    lines.extend(report.files.iter().map(|file| format!("file: {}", file.display())));
    session.say(&lines)
}

fn summary(report: &ExtractReport, settings: &ExtractSettings) -> Vec<String> {
    let mut lines = counted("extracted", &report.counts, report.waiting_share, Some(settings.max_seq_length));
    lines.push(format!("{} dimensions, computed in {}", count(report.width as u64), settings.embed.dtype));
    lines.extend(report.files.iter().map(|file| format!("file: {}", file.display())));
    lines
}

/// What was done with how many rows.
pub(super) fn counted(
    verb: &str,
    counts: &RowCounts,
    waiting_share: f64,
    max_seq_length: Option<usize>,
) -> Vec<String> {
    let tokens = if counts.tokens > 0 { format!(", {} tokens", count(counts.tokens)) } else { String::new() };
    let (rows, speed) = (count(counts.rows), rate(counts.rows, counts.seconds));
    let (time, waiting) = (duration(counts.seconds), per_cent(waiting_share));
    let mut lines = vec![format!(
        "{verb} {rows} rows in {time} ({speed} rows a second, {waiting} waiting for files){tokens}"
    )];
    if counts.repeated_texts > 0 {
        lines.push(format!(
            "{} texts repeat another and were not computed again",
            count(counts.repeated_texts)
        ));
    }
    if counts.truncated > 0 {
        let length =
            max_seq_length.map_or_else(|| "possible".to_owned(), |length| format!("{length} tokens"));
        lines.push(format!("{} texts were longer than {length} and were cut", count(counts.truncated)));
    }
    if counts.empty_texts > 0 {
        lines.push(format!("{} texts are missing or blank", count(counts.empty_texts)));
    }
    lines
}

fn plan(
    sources: &ExtractSources,
    model: &ModelFolder,
    settings: &ExtractSettings,
    session: &Session,
) -> anyhow::Result<Vec<String>> {
    // The first of several columns stands for all of them: the estimate is a rough one.
    let column = Column { name: sources.text_column_names.first().map(String::as_str), beside: None };
    let options = settings.encode_options();
    let (sequences, rows) = sample(&sources.input_file, column, sources.limit, model, &options, session)?;
    let (mut weights, _) = Model::load(&model.path, settings.embed.features_from.head_kind(), 0)?;
    apply_dtype(settings.embed.dtype, &mut weights);
    let dense = model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
    let embedder = Embedder::new(&weights, dense, settings.embed.clone())?;
    let estimate = estimate_embedding(&embedder, &sequences, rows, &session.cancel)?;
    Ok(vec![
        format!(
            "{} texts, {} dimensions, computed in {}",
            count(rows),
            embedder.width(),
            settings.embed.dtype
        ),
        estimate.to_string(),
    ])
}
