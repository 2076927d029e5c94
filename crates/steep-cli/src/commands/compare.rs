//! `steep compare`: which route is worth it on this data.

use crate::arguments::Asked;
use crate::figures::now;
use crate::session::Session;
use steep::compare::{CompareOutcome, LabelledSource, UnlabelledSource, compare, plan};
use steep::config::{CompareFacts, CompareRequest, Dtype, Facts, RESOLVED, write_resolved};
use steep::data::{ReadOptions, TextOptions, open, stream_texts};
use steep::report;

pub(crate) fn run(asked: Asked<CompareRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let (labelled, unlabelled, output) = (request.labelled()?, request.unlabelled(), request.output_dir()?);
    let (name, revision) = request.model()?;
    let model = session.model(&name, revision.as_ref())?;
    let facts = CompareFacts {
        model: model.path.clone(),
        labelled: Facts::of(&model, request.max_seq_length, labelled_rows(&labelled, session)?)?,
        unlabelled_rows: unlabelled.map_or(Ok(0), |source| unlabelled_rows(&source, session))?,
    };
    let settings = request.resolve(&facts)?;
    if session.is_dry_run() {
        let mut lines = plan(&settings, &session.context())?;
        lines.push(format!("encoders compute in {}", settings.finetune.dtype));
        return session.say_plan(&request, &lines);
    }
    // Beside the stages from the first moment, so that a run that is stopped says what it was.
    write_resolved(&request, &output.join(RESOLVED))?;
    let outcome = compare(&settings, &now(), &session.context())?;
    session.say(&summary(&outcome, settings.finetune.dtype))
}

fn summary(outcome: &CompareOutcome, dtype: Dtype) -> Vec<String> {
    let mut lines = vec![report::table(&outcome.results)];
    lines.extend(outcome.results.verdict.sentences.iter().cloned());
    lines.push(String::new());
    lines.push(format!("encoders computed in {dtype}"));
    lines.extend(
        outcome.winner.iter().map(|folder| format!("winner: {} (for `steep predict`)", folder.display())),
    );
    lines.push(format!("report: {}", outcome.report.display()));
    lines
}

fn labelled_rows(source: &LabelledSource, session: &Session) -> steep::Result<u64> {
    let read = ReadOptions { columns: Some(vec![source.label_column.clone()]), ..ReadOptions::default() };
    let mut rows = 0;
    for chunk in open(&source.source, &read)? {
        session.cancel.check()?;
        rows += chunk?.batch.num_rows() as u64;
    }
    Ok(rows)
}

fn unlabelled_rows(source: &UnlabelledSource, session: &Session) -> steep::Result<u64> {
    let options =
        TextOptions { column: source.text_column.clone(), limit: source.limit, ..TextOptions::default() };
    let mut rows = 0;
    for chunk in stream_texts(&source.source, &options)? {
        session.cancel.check()?;
        rows += chunk?.texts.iter().count() as u64;
    }
    Ok(rows)
}
