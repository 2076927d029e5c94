//! `steep generate`: texts that an encoder-decoder writes after others.

use super::extract::counted;
use crate::arguments::Asked;
use crate::session::Session;
use std::path::Path;
use steep::config::GenerateRequest;
use steep::data::{TextOptions, stream_texts};
use steep::stages::{GENERATED_COLUMN, GenerateInput, GenerateReport, GenerateSettings, generate};

pub(crate) fn run(asked: Asked<GenerateRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let model = session.model(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    let settings = request.resolve(&model)?;
    if session.is_dry_run() {
        let line = format!("the model is {}, computed in {}", model.path.display(), settings.dtype);
        return session.say_plan(&request, &[line]);
    }
    let input = GenerateInput {
        model: &model,
        source: &sources.input_file,
        text_columns: sources.text_column_names.clone(),
        text_column_delimiter: sources.text_column_delimiter.clone(),
        limit: sources.limit,
    };
    let report = generate(&input, &settings, &sources.output_file, &session.context())?;
    session.say(&summary(&report, &settings, &sources.output_file)?)
}

/// What was done, how like it is to the references, and the first texts.
fn summary(report: &GenerateReport, settings: &GenerateSettings, file: &Path) -> steep::Result<Vec<String>> {
    const SHOWN: usize = 3;
    let length = Some(settings.max_seq_length);
    let mut lines = counted("wrote texts for", &report.counts, report.waiting_share, length);
    lines.push(format!("computed in {}", settings.dtype));
    if let Some(metrics) = &report.metrics {
        let rouge = [("1", metrics.rouge1), ("2", metrics.rouge2), ("L", metrics.rouge_l)];
        let rouge = rouge.map(|(name, value)| format!("ROUGE-{name} {value:.4}")).join(", ");
        lines.push(format!("{rouge}, BLEU {:.2}, chrF {:.2}", metrics.bleu, metrics.chrf));
    }
    let column = Some(GENERATED_COLUMN.to_owned());
    let options = TextOptions { column, limit: Some(SHOWN as u64), ..TextOptions::default() };
    for chunk in stream_texts(&file.to_string_lossy(), &options)? {
        lines.extend(chunk?.texts.iter().flatten().map(|text| format!("  {text}")));
    }
    lines.push(format!("file: {}", file.display()));
    Ok(lines)
}
