//! Which route is worth it on this data?
//!
//! [`compare`] reads the data, runs the stages that the routes need (shared ones once, finished
//! ones not again), scores every route on rows that none of its stages was fitted on, and writes
//! `results.json` and `report.html`.

mod data;
mod facts;
mod matrix_store;
mod plan;
mod runner;
mod score;
mod settings;

pub use plan::plan;
pub use settings::{CompareSettings, LabelledSource, Route, UnlabelledSource};

use crate::error::{Error, Result};
use crate::progress::Context;
use crate::report::{self, Results, RouteResult, ScoredBy, Status};
use crate::stages::{EmbeddingRecipe, ModelFolder, write_classifier_folder};
use crate::storage::{ArtefactWriter, atomic_file};
use crate::text::Encodings;
use crate::training::LogEntry;
use data::{Prepared, prepare};
use runner::{MadeEncoder, Prediction, Runner};
use score::{Scorer, curves, metric_name};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// What a comparison leaves.
#[derive(Debug)]
pub struct CompareOutcome {
    /// Every number.
    pub results: Results,
    /// The output folder.
    pub folder: PathBuf,
    /// The report for people.
    pub report: PathBuf,
    /// The folder that `predict` runs, if the recommended route has one.
    pub winner: Option<PathBuf>,
}

/// General text for the forgetting meter, one sentence a line.
pub const GENERAL_TEXT: &str = include_str!("../../assets/general_text.txt");

/// Runs a comparison; started again after a stop, it goes on where it was.
///
/// `created` is the time to put into the report.
pub fn compare(settings: &CompareSettings, created: &str, ctx: &Context) -> Result<CompareOutcome> {
    let model = ModelFolder::open(&settings.model)?;
    let prepared = prepare(settings, &model, ctx)?;
    let general = general_text(&model, prepared.max_seq_length)?;
    let runner = Runner { settings, model: &model, prepared: &prepared, general: Some(&general), ctx };
    let scorer = Scorer::new(settings, &prepared.labelled)?;
    let mut state = Measured::default();
    for &route in &settings.routes {
        state.run(route, &runner, &scorer)?;
    }
    finish(settings, created, &model, &prepared, &runner, &scorer, state)
}

/// The general sample, tokenised for a model.
pub fn general_text(model: &ModelFolder, max_seq_length: usize) -> Result<Encodings> {
    let texts: Vec<&str> = GENERAL_TEXT.lines().filter(|line| !line.trim().is_empty()).collect();
    model.tokenizer.encode(&texts, &model.encode_options(max_seq_length))
}

/// What was measured so far.
#[derive(Default)]
struct Measured {
    routes: Vec<(RouteResult, Vec<Prediction>)>,
    /// Routes that failed or were left out.
    others: Vec<RouteResult>,
    logs: BTreeMap<(String, u64), Vec<LogEntry>>,
}

impl Measured {
    /// Measures a route in each way it can be scored. A route that fails does not stop the others.
    fn run(&mut self, route: Route, runner: &Runner, scorer: &Scorer) -> Result<()> {
        let ways: &[ScoredBy] = match route {
            Route::Majority | Route::Tfidf => &[ScoredBy::Baseline],
            route if route.finetunes() && route != Route::FinetunedAdapted => {
                &[ScoredBy::Classifier, ScoredBy::OwnHead]
            }
            _ => &[ScoredBy::Classifier],
        };
        for &way in ways {
            let mut result = RouteResult::new(route.name(), way, route.description());
            if route.adapts() && runner.prepared.unlabelled.is_none() {
                result.status = Status::Skipped { reason: "there are no unlabelled texts".into() };
                self.others.push(result);
                continue;
            }
            match self.predictions(route, way, runner) {
                Ok(predictions) => {
                    scorer.fill(&mut result, &predictions)?;
                    runner.ctx.progress.line(&summary(&result, &metric_name(scorer.metric)));
                    self.routes.push((result, predictions));
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => {
                    runner.ctx.progress.line(&format!("{}: failed: {error}", result.id));
                    result.status = Status::Failed { reason: error.to_string() };
                    self.others.push(result);
                }
            }
        }
        Ok(())
    }

    /// One prediction a seed; what does not depend on the seed is computed once.
    fn predictions(&mut self, route: Route, way: ScoredBy, runner: &Runner) -> Result<Vec<Prediction>> {
        let seeds = &runner.settings.seeds;
        let once = match route {
            Route::Majority => Some(runner.majority()?),
            Route::Tfidf => Some(runner.tfidf()?),
            route if !route.finetunes() => {
                let encoder = runner.encoder(route, seeds[0])?;
                self.remember(&encoder);
                Some(runner.classifier(&encoder)?)
            }
            _ => None,
        };
        if let Some(prediction) = once {
            return Ok(vec![prediction; seeds.len()]);
        }
        let mut predictions = Vec::with_capacity(seeds.len());
        for &seed in seeds {
            let encoder = runner.encoder(route, seed)?;
            self.remember(&encoder);
            predictions.push(match way {
                ScoredBy::OwnHead => runner.own_head(&encoder)?,
                _ => runner.classifier(&encoder)?,
            });
        }
        Ok(predictions)
    }

    fn remember(&mut self, encoder: &MadeEncoder) {
        for (stage, seed, log) in &encoder.logs {
            self.logs.insert((stage.clone(), *seed), log.clone());
        }
    }
}

/// One line while the comparison runs.
fn summary(result: &RouteResult, metric: &str) -> String {
    let score = &result.scores[metric];
    format!(
        "{:<30} {metric} {:.4} [{:.4}, {:.4}]  {:>7.1} s",
        result.id,
        score.mean,
        score.low,
        score.high,
        result.seconds.total()
    )
}

fn finish(
    settings: &CompareSettings,
    created: &str,
    model: &ModelFolder,
    prepared: &Prepared,
    runner: &Runner,
    scorer: &Scorer,
    measured: Measured,
) -> Result<CompareOutcome> {
    let metric = metric_name(scorer.metric);
    let comparisons = scorer.compare(&measured.routes)?;
    let detectable_difference = scorer.detectable(&measured.routes);
    let logs = curves(&measured.logs, &metric);
    let mut routes: Vec<RouteResult> = measured.routes.into_iter().map(|(result, _)| result).collect();
    routes.extend(measured.others);
    let mut results = Results {
        schema_version: report::SCHEMA_VERSION,
        title: settings.title.clone(),
        created: created.to_owned(),
        task: facts::task(prepared.labelled.task()),
        metric,
        data: facts::data(settings, prepared),
        model: facts::model(settings, model)?,
        machine: facts::machine(),
        seeds: settings.seeds.clone(),
        routes,
        comparisons,
        verdict: report::Verdict::default(),
        curves: logs,
        equivalence_margin: Some(settings.rope),
        detectable_difference,
        warnings: warnings(settings, prepared),
        manifest: facts::manifest(settings, prepared),
    };
    results.verdict = report::conclude(&results);
    results.save(&settings.output_dir.join("results.json"))?;
    let report = settings.output_dir.join("report.html");
    let page = report::html(&results)?;
    atomic_file(&report, |writer| writer.write_all(page.as_bytes()).map_err(Error::io("write", &report)))?;
    let winner = write_winner(settings, runner, &results)?;
    Ok(CompareOutcome { results, folder: settings.output_dir.clone(), report, winner })
}

/// What the reader should know before believing the numbers.
fn warnings(settings: &CompareSettings, prepared: &Prepared) -> Vec<String> {
    let mut warnings = prepared.warnings.clone();
    let shared =
        settings.routes.iter().any(|route| matches!(route, Route::Adapted | Route::AdaptedFinetuned));
    if shared && prepared.unlabelled.is_some() && settings.seeds.len() > 1 {
        warnings.push(format!(
            "The encoder was adapted once, with seed {}: how much adapting varies from run to run is not in the \
             intervals of `adapted` and `adapted+finetuned`.",
            settings.seeds[0]
        ));
    }
    warnings
}

/// The recommended route as a folder that `predict` runs; none for routes without an encoder.
fn write_winner(settings: &CompareSettings, runner: &Runner, results: &Results) -> Result<Option<PathBuf>> {
    let recommended = results.verdict.recommended.as_deref().and_then(|id| results.route(id));
    let Some(result) = recommended else { return Ok(None) };
    let Some(route) = Route::from_name(&result.name) else { return Ok(None) };
    if matches!(route, Route::Majority | Route::Tfidf) {
        return Ok(None);
    }
    let encoder = runner.encoder(route, settings.seeds[0])?;
    if result.scored_by == ScoredBy::OwnHead {
        return Ok(Some(encoder.folder));
    }
    let head = runner.classifier_head(&encoder)?;
    let folder = settings.output_dir.join("winner");
    let model = ModelFolder::open(&encoder.folder)?;
    let recipe = EmbeddingRecipe {
        embed: model.embed_settings(settings.finetune.dtype),
        max_seq_length: runner.prepared.max_seq_length,
        prompt: None,
    };
    let writer = ArtefactWriter::create(&folder)?;
    write_classifier_folder(&model, &head, &recipe, writer.path())?;
    writer.commit(&serde_json::json!({ "route": result.id }))?;
    Ok(Some(folder))
}
