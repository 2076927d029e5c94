//! `steep extract`: texts to vectors.

use crate::arguments::Asked;
use crate::corpus::sample;
use crate::figures::{count, duration, rate};
use crate::session::Session;
use steep::config::{ExtractRequest, ExtractSources, estimate_embedding};
use steep::data::TextOptions;
use steep::encoder::{HeadKind, Model};
use steep::features::embed::Embedder;
use steep::stages::{ExtractInput, ExtractReport, ExtractSettings, ModelFolder, RowCounts, extract};

pub(crate) fn run(asked: Asked<ExtractRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let model = session.model(&sources.model_name_or_path, sources.model_revision.as_ref())?;
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
    session.say(&summary(&report, settings.max_seq_length))
}

fn summary(report: &ExtractReport, max_seq_length: usize) -> String {
    let mut text = counted("extracted", &report.counts, Some(max_seq_length));
    text.push_str(&format!("{} dimensions\n", count(report.width as u64)));
    report.files.iter().for_each(|file| text.push_str(&format!("file: {}\n", file.display())));
    text
}

/// What was done with how many rows.
pub(super) fn counted(verb: &str, counts: &RowCounts, max_seq_length: Option<usize>) -> String {
    let mut text = format!("{verb} {} rows in {}", count(counts.rows), duration(counts.seconds));
    text.push_str(&format!(" ({} rows a second)", rate(counts.rows, counts.seconds)));
    if counts.tokens > 0 {
        text.push_str(&format!(", {} tokens", count(counts.tokens)));
    }
    text.push('\n');
    if counts.truncated > 0 {
        let length = max_seq_length.map_or_else(|| "possible".to_owned(), |length| format!("{length} tokens"));
        text.push_str(&format!("{} texts were longer than {length} and were cut\n", count(counts.truncated)));
    }
    if counts.empty_texts > 0 {
        text.push_str(&format!("{} texts are missing or blank\n", count(counts.empty_texts)));
    }
    text
}

fn plan(
    sources: &ExtractSources,
    model: &ModelFolder,
    settings: &ExtractSettings,
    session: &Session,
) -> anyhow::Result<Vec<String>> {
    // The first of several columns stands for all of them: the estimate is a rough one.
    let column = sources.text_column_names.first().cloned();
    let texts = TextOptions { column, limit: sources.limit, ..TextOptions::default() };
    let (sequences, rows) = sample(&sources.input_file, &texts, model, &settings.encode_options(), session)?;
    let (weights, _) = Model::load(&model.path, HeadKind::None, 0)?;
    let dense = model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
    let embedder = Embedder::new(&weights, dense, settings.embed.clone())?;
    let estimate = estimate_embedding(&embedder, &sequences, rows, &session.cancel)?;
    Ok(vec![format!("{} texts, {} dimensions", count(rows), embedder.width()), estimate.to_string()])
}
