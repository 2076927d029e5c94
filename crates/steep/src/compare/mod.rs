//! Which route is worth it on this data?
//!
//! [`compare`] reads the data, runs the stages that the routes need (shared ones once, finished
//! ones not again), scores every route on rows that none of its stages was fitted on, and writes
//! `results.json` and `report.html`.

mod checks;
mod curves;
mod data;
mod facts;
mod features;
mod learning;
mod map;
mod matrix_store;
mod mistakes;
mod plan;
mod routes;
mod runner;
mod score;
mod seen;
mod settings;
mod slices;
mod table;
mod tsne;
mod winner;

pub use plan::plan;
pub use settings::{CompareSettings, FeatureSet, LabelledSource, Route, TableSettings, UnlabelledSource};

use crate::error::{Error, Result};
use crate::progress::Context;
use crate::report::{self, Results, RouteResult};
use crate::stages::ModelFolder;
use crate::storage::atomic_file;
use crate::text::Encodings;
use data::{Prepared, prepare};
use routes::Measured;
use runner::Runner;
use score::{Scorer, metric_name};
use std::io::Write;
use std::path::PathBuf;
use winner::write_winner;

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
    let table = prepared.table.as_ref().map(|data| &data.table);
    let slices = slices::slices(settings, &prepared.labelled, table)?;
    let scorer = Scorer::new(settings, &prepared.labelled, slices)?;
    let mut state = Measured { checks: checks::checks(&prepared), ..Measured::default() };
    for check in &state.checks {
        ctx.progress.line(&check.line());
    }
    for &route in &settings.routes {
        state.run(route, &runner, &scorer)?;
        if route == Route::Frozen {
            doubt_labels(&mut state, &runner)?;
        }
    }
    finish(settings, created, &model, &prepared, &runner, &scorer, &state)
}

/// Looks for doubtful labels as soon as there are vectors, before anything is trained on them.
fn doubt_labels(state: &mut Measured, runner: &Runner) -> Result<()> {
    let Some(frozen) = state.of(Route::Frozen, Some(FeatureSet::Text)) else { return Ok(()) };
    if let Some(check) = checks::label_noise(runner, frozen)? {
        runner.ctx.progress.line(&check.line());
        state.checks.push(check);
    }
    Ok(())
}

/// The general sample, tokenised for a model.
pub fn general_text(model: &ModelFolder, max_seq_length: usize) -> Result<Encodings> {
    let texts: Vec<&str> = GENERAL_TEXT.lines().filter(|line| !line.trim().is_empty()).collect();
    model.tokenizer.encode(&texts, &model.encode_options(max_seq_length))
}

fn finish(
    settings: &CompareSettings,
    created: &str,
    model: &ModelFolder,
    prepared: &Prepared,
    runner: &Runner,
    scorer: &Scorer,
    measured: &Measured,
) -> Result<CompareOutcome> {
    let metric = metric_name(scorer.metric);
    let comparisons = scorer.compare(&measured.routes)?;
    let detectable_difference = scorer.detectable(&measured.routes, &comparisons);
    let logs = curves::training_curves(&measured.logs, &metric);
    let label_curves = curves::label_curves(measured, runner, scorer)?;
    let maps = map::maps(measured, runner)?;
    let mut routes: Vec<RouteResult> = measured.routes.iter().map(|route| route.result.clone()).collect();
    routes.extend(measured.others.iter().cloned());
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
        label_curves,
        checks: measured.checks.clone(),
        maps,
        mistakes: None,
        rules: Vec::new(),
        equivalence_margin: Some(settings.rope),
        detectable_difference,
        winner: None,
        warnings: warnings(settings, prepared),
        manifest: facts::manifest(settings, prepared),
    };
    results.verdict = report::conclude(&results);
    let focus = results.verdict.recommended.as_ref();
    let focus = measured.routes.iter().find(|route| focus == Some(&route.result.id));
    results.mistakes = focus.and_then(|route| mistakes::mistakes(route, prepared));
    results.winner = focus.map_or(Ok(None), |route| write_winner(route, measured, runner, scorer))?;
    results.rules = report::rules(&results);
    results.save(&settings.output_dir.join("results.json"))?;
    let report = settings.output_dir.join("report.html");
    let page = report::html(&results)?;
    atomic_file(&report, |writer| writer.write_all(page.as_bytes()).map_err(Error::io("write", &report)))?;
    let winner = results.winner.as_ref().map(|winner| PathBuf::from(&winner.folder));
    Ok(CompareOutcome { results, folder: settings.output_dir.clone(), report, winner })
}

/// What the reader should know before believing the numbers.
fn warnings(settings: &CompareSettings, prepared: &Prepared) -> Vec<String> {
    let mut warnings = prepared.warnings.clone();
    let shares = |route: &Route| route.adapts() && *route != Route::FinetunedAdapted;
    let sharing: Vec<String> = settings
        .routes
        .iter()
        .filter(|route| shares(route))
        .map(|route| format!("`{}`", route.name()))
        .collect();
    if !sharing.is_empty() && prepared.unlabelled.is_some() && settings.seeds.len() > 1 {
        warnings.push(format!(
            "The encoder was adapted once, with seed {}: how much adapting varies from run to run is not in the \
             intervals of {}.",
            settings.seeds[0],
            facts::in_words(&sharing)
        ));
    }
    warnings
}
