//! `steep compare`: which route is worth it on this data.

use crate::arguments::Asked;
use crate::figures::now;
use crate::session::Session;
use steep::compare::{
    CompareOutcome, CompareSettings, LabelledSource, UnlabelledSource, compare, plan, plan_within_budget,
    rank,
};
use steep::config::{CompareFacts, CompareRequest, Dtype, Facts, RESOLVED, usual_objective, write_resolved};
use steep::data::{ReadOptions, TextOptions, open, stream_texts};
use steep::report;

pub(crate) fn run(asked: Asked<CompareRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let output = request.output_dir()?;
    let facts = facts(&mut request, session)?;
    // Of several encoders the plan is the first one's, since which is best is not known before they are ranked.
    if session.is_dry_run() {
        let settings = request.resolve(&facts[0])?;
        let mut lines = plan(&settings, &session.context())?;
        if facts.len() > 1 {
            lines.push(format!(
                "{} encoders are ranked first; the plan is with {}",
                facts.len(),
                facts[0].name
            ));
        }
        lines.push(format!("encoders compute in {}", settings.finetune.dtype));
        return session.say_plan(&request, &lines);
    }
    let settings = settings(&mut request, &facts, session)?;
    let spent = settings.ranking.as_ref().map_or(0.0, report::Ranking::seconds);
    let settings = plan_within_budget(settings, spent, &session.context())?;
    // Beside the stages from the first moment, so that a run that is stopped says what it was.
    write_resolved(&request, &output.join(RESOLVED))?;
    let outcome = compare(&settings, &now(), &session.context())?;
    session.say(&summary(&outcome, settings.finetune.dtype))
}

/// What is known of each encoder that was named, and of the data.
fn facts(request: &mut CompareRequest, session: &Session) -> anyhow::Result<Vec<CompareFacts>> {
    let (labelled, unlabelled) = (request.labelled()?, request.unlabelled());
    let names = request.models()?;
    let labelled_rows = labelled_rows(&labelled, session)?;
    let unlabelled_rows = unlabelled.map_or(Ok(0), |source| unlabelled_rows(&source, session))?;
    let zeroshot_model = match &request.zeroshot_model_name_or_path {
        Some(name) => Some(session.model_path(name, None)?),
        None => None,
    };
    let of = |name: String| {
        let model = session.model(&name, request.model_revision.as_ref())?;
        Ok(CompareFacts {
            name,
            model: model.path.clone(),
            labelled: Facts::of(&model, request.max_seq_length, labelled_rows)?,
            unlabelled_rows,
            zeroshot_model: zeroshot_model.clone(),
            usual_objective: usual_objective(&model.config),
        })
    };
    names.into_iter().map(of).collect()
}

/// What the comparison does: with the encoder that was named, or with the best of several.
fn settings(
    request: &mut CompareRequest,
    facts: &[CompareFacts],
    session: &Session,
) -> anyhow::Result<CompareSettings> {
    let [_, _, ..] = facts else { return Ok(request.resolve(&facts[0])?) };
    let options = request.ranking()?;
    let candidates: Vec<CompareSettings> =
        facts.iter().map(|facts| request.clone().resolve(facts)).collect::<steep::Result<_>>()?;
    let (ranking, kept) = rank(&candidates, &options, &session.context())?;
    let asked = request.clone();
    let mut settings = request.resolve(&facts[kept[0]])?;
    // These depend on the encoder, and the saved request is for all of them.
    request.max_seq_length = asked.max_seq_length;
    request.finetune_learning_rate = asked.finetune_learning_rate;
    request.adapt_objective = asked.adapt_objective;
    settings.further = kept[1..].iter().map(|&at| candidates[at].clone()).collect();
    settings.ranking = Some(ranking);
    Ok(settings)
}

fn summary(outcome: &CompareOutcome, dtype: Dtype) -> Vec<String> {
    let mut lines = vec![report::table(&outcome.results)];
    lines.extend(outcome.results.verdict.sentences.iter().cloned());
    lines.extend(report::decisions(&outcome.results));
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
