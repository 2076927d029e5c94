//! `steep evaluate`: how good an encoder's vectors are.

use crate::arguments::Asked;
use crate::figures::count;
use crate::session::Session;
use std::path::Path;
use steep::config::{EvaluateRequest, RESOLVED, write_resolved};
use steep::search::SearchMethod;
use steep::stages::{
    EvaluatedModel, EvaluationReport, EvaluationTask, LabelledTexts, ModelFolder, RetrievalInput,
    RetrievalSettings, evaluate_alignment, evaluate_clustering, evaluate_drift, evaluate_retrieval,
    evaluate_sts,
};
use steep::storage::write_json;

/// The folder of the index, within that of the results.
const INDEX: &str = "index";
const RESULTS: &str = "results.json";
/// How many of the documents found the table tells about, if that was asked for.
const SHOWN_AT: usize = 10;

pub(crate) fn run(asked: Asked<EvaluateRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let (task, folder, source) = (request.task()?, request.folder()?, request.source()?);
    let by_words_alone = task == EvaluationTask::Retrieval && request.methods()? == [SearchMethod::Bm25];
    let model = if by_words_alone {
        None
    } else {
        Some(session.model(&request.model()?, request.model_revision.as_ref())?)
    };
    let work = Work { request: &mut request, session, source: &source, folder: &folder };
    let Some((report, shown)) = work.run(task, model.as_ref())? else {
        return session.say_plan(&request, &[]);
    };
    let results = folder.join(RESULTS);
    write_json(&results, &report)?;
    write_resolved(&request, &folder.join(RESOLVED))?;
    session.say(&summary(&report, shown, &results))
}

/// What is evaluated.
struct Work<'a> {
    request: &'a mut EvaluateRequest,
    session: &'a Session,
    source: &'a str,
    folder: &'a Path,
}

/// What was found, and at how many documents the table looks; nothing in a dry run.
type Found = Option<(EvaluationReport, Option<usize>)>;

impl Work<'_> {
    fn run(self, task: EvaluationTask, model: Option<&ModelFolder>) -> anyhow::Result<Found> {
        match (task, model) {
            (EvaluationTask::Sts, Some(model)) => self.sts(model),
            (EvaluationTask::Alignment, Some(model)) => self.alignment(model),
            (EvaluationTask::Drift, Some(model)) => self.drift(model),
            (EvaluationTask::Clustering, Some(model)) => self.clustering(model),
            (_, None) | (EvaluationTask::Retrieval, _) => self.retrieval(model),
        }
    }

    fn retrieval(self, model: Option<&ModelFolder>) -> anyhow::Result<Found> {
        let [query_file, qrels_file] = self.request.queries()?;
        let settings = self.request.retrieval(model)?;
        let input = RetrievalInput {
            corpus: self.request.texts(self.source),
            corpus_id_column: self.request.corpus_id_column_name.clone(),
            query_file: &query_file,
            query_column: self.request.query_column_name.clone(),
            query_id_column: self.request.query_id_column_name.clone(),
            qrels_file: &qrels_file,
            index_dir: &self.folder.join(INDEX),
        };
        if self.session.is_dry_run() {
            return Ok(None);
        }
        let report = evaluate_retrieval(&input, model, &settings, &self.session.context())?;
        Ok(Some((report, shown_at(&settings))))
    }

    fn sts(self, model: &ModelFolder) -> anyhow::Result<Found> {
        let settings = self.request.extract(model, None)?;
        let input = self.request.pairs(model, self.source);
        if self.session.is_dry_run() {
            return Ok(None);
        }
        Ok(Some((evaluate_sts(&input, &settings, &self.session.context())?, None)))
    }

    fn alignment(self, model: &ModelFolder) -> anyhow::Result<Found> {
        let settings = self.request.extract(model, None)?;
        let input = self.request.pairs(model, self.source);
        if self.session.is_dry_run() {
            return Ok(None);
        }
        let least = self.request.positive_score;
        Ok(Some((evaluate_alignment(&input, least, &settings, &self.session.context())?, None)))
    }

    fn drift(self, model: &ModelFolder) -> anyhow::Result<Found> {
        let reference = self.session.model(&self.request.reference_model()?, None)?;
        // Each encoder reads as its own folder says, where nothing else is asked.
        let first = EvaluatedModel { model, settings: self.request.extract(model, None)? };
        let settings = self.request.extract(&reference, None)?;
        let second = EvaluatedModel { model: &reference, settings };
        let (texts, neighbours) = (self.request.texts(self.source), self.request.neighbours()?);
        if self.session.is_dry_run() {
            return Ok(None);
        }
        let report = evaluate_drift(&texts, [&first, &second], neighbours, &self.session.context())?;
        Ok(Some((report, None)))
    }

    fn clustering(self, model: &ModelFolder) -> anyhow::Result<Found> {
        let evaluated = EvaluatedModel { model, settings: self.request.extract(model, None)? };
        let texts = self.request.texts(self.source);
        let input = LabelledTexts { texts, label_column: self.request.label_column() };
        let (clusters, seed) = self.request.clusters()?;
        if self.session.is_dry_run() {
            return Ok(None);
        }
        let report = evaluate_clustering(&input, &evaluated, clusters, seed, &self.session.context())?;
        Ok(Some((report, None)))
    }
}

/// Ten, if that was asked for, else the most.
fn shown_at(settings: &RetrievalSettings) -> Option<usize> {
    settings.k_values.iter().copied().find(|&k| k == SHOWN_AT).or(settings.k_values.last().copied())
}

/// The rows that were read, a table of the scores, and where they all are.
fn summary(report: &EvaluationReport, shown_at: Option<usize>, results: &Path) -> Vec<String> {
    let counts =
        report.counts.iter().map(|(name, number)| format!("{} {}", count(*number), name.replace('_', " ")));
    let mut lines = vec![counts.collect::<Vec<_>>().join(", ")];
    let ending = shown_at.map(|k| format!("@{k}"));
    let is_shown = |name: &&String| ending.as_ref().is_none_or(|ending| name.ends_with(ending));
    let names: Vec<&String> = report
        .scores
        .values()
        .next()
        .map(|scores| scores.keys().filter(is_shown).collect())
        .unwrap_or_default();
    let first = report.scores.keys().map(String::len).max().unwrap_or(0);
    let line = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        format!("  {name:first$}{}", cells.collect::<String>()).trim_end().to_owned()
    };
    let width = |name: &str| name.len().max(7) + 2;
    lines.push(line("", &mut names.iter().map(|name| format!("{name:>width$}", width = width(name)))));
    for (name, scores) in &report.scores {
        let cell = |metric: &&String| {
            let value = scores.get(*metric).copied().flatten();
            let text = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            format!("{text:>width$}", width = width(metric))
        };
        lines.push(line(name, &mut names.iter().map(cell)));
    }
    lines.push(format!("file: {}", results.display()));
    lines
}
