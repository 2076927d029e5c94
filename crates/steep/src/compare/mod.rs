//! Which route is worth it on this data?
//!
//! [`compare`] reads the data, runs the stages that the routes need (shared ones once, finished
//! ones not again), scores every route on rows that none of its stages was fitted on, and writes
//! `results.json` and `report.html`.

mod adapting;
mod budget;
mod checks;
mod curves;
mod data;
mod facts;
mod features;
mod learning;
mod map;
mod matrix_store;
mod mistakes;
mod pilot;
mod plan;
mod probe;
mod ranking;
mod routes;
mod runner;
mod score;
mod seen;
mod settings;
mod slices;
mod table;
mod text_curve;
mod times;
mod trial;
mod tsne;
mod vocabulary;
mod winner;

pub use plan::{plan, plan_within_budget};
pub use ranking::{RankingOptions, rank};
pub use settings::{
    CompareSettings, FeatureSet, LabelledSource, Route, TableSettings, UnlabelledSource, VocabularySettings,
    ZeroshotSettings,
};

use crate::error::{Error, Result};
use crate::progress::Context;
use crate::report::{self, Plan, Results, RouteResult};
use crate::stages::ModelFolder;
use crate::storage::atomic_file;
use crate::text::Encodings;
use data::Prepared;
use routes::{Measured, MeasuredRoute};
use score::metric_name;
use std::io::Write;
use std::path::PathBuf;
use trial::{Measurement, measurement_of, routes_of_a_further_encoder, short_names};
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
    let names: Vec<&str> = encoders(settings).map(|of| of.model_name.as_str()).collect();
    let short = short_names(&names);
    let mut measurements = vec![Measurement::new(settings, &settings.routes, "", ctx)?];
    for (further, name) in settings.further.iter().zip(&short[1..]) {
        let routes = routes_of_a_further_encoder(&further.routes);
        let mut one = Measurement::new(further, &routes, &format!("{}/", name.replace(' ', "-")), ctx)?;
        one.measured.rename(name);
        measurements.push(one);
    }
    if measurements.len() > 1 {
        for (one, name) in measurements.iter_mut().zip(&short) {
            let own = one
                .measured
                .routes
                .iter_mut()
                .filter(|route| route.route.has_encoder() || route.route.is_joint());
            own.for_each(|route| route.result.encoder.clone_from(name));
        }
    }
    finish(settings, created, &measurements, ctx)
}

/// The settings of each encoder that is compared.
fn encoders(settings: &CompareSettings) -> impl Iterator<Item = &CompareSettings> {
    std::iter::once(settings).chain(&settings.further)
}

/// The general sample, tokenised for a model.
pub fn general_text(model: &ModelFolder, max_seq_length: usize) -> Result<Encodings> {
    let texts: Vec<&str> = GENERAL_TEXT.lines().filter(|line| !line.trim().is_empty()).collect();
    model.tokenizer.encode(&texts, &model.encode_options(max_seq_length))
}

fn finish(
    settings: &CompareSettings,
    created: &str,
    measurements: &[Measurement],
    ctx: &Context,
) -> Result<CompareOutcome> {
    let first = &measurements[0];
    let (prepared, labelled) = (&first.trial.prepared, &first.trial.prepared.labelled);
    let scorer = first.trial.scorer(&first.split)?;
    let metric = metric_name(scorer.metric);
    let measured: Vec<&MeasuredRoute> = measurements.iter().flat_map(|one| &one.measured.routes).collect();
    let comparisons = scorer.compare(&measured)?;
    let detectable_difference = scorer.detectable(&measured, &comparisons);
    let curves =
        measurements.iter().flat_map(|one| curves::training_curves(&one.measured.logs, &metric)).collect();
    // What shows more than scores is of the first encoder, and of the first fold.
    let (runner, on_trial) = (first.trial.runner(ctx), first.on_trial());
    let label_curves = curves::label_curves(on_trial, &runner, &first.trial.scorer(&labelled.split)?)?;
    let text_curve = text_curve::text_curve(on_trial, &runner, &first.trial.scorer(&labelled.split)?)?;
    let taken = measurements.iter().map(|one| one.seconds).sum();
    let maps = map::maps(on_trial, &runner)?;
    let mut routes: Vec<RouteResult> = measured.iter().map(|route| route.result.clone()).collect();
    routes.extend(measurements.iter().flat_map(|one| one.measured.others.iter().cloned()));
    routes.extend(without_time(settings));
    let mut results = Results {
        schema_version: report::SCHEMA_VERSION,
        title: settings.title.clone(),
        created: created.to_owned(),
        task: facts::task(labelled.task()),
        metric,
        data: facts::data(settings, prepared, &first.split),
        model: facts::model(settings, &first.trial.model)?,
        machine: facts::machine(),
        seeds: settings.seeds.clone(),
        routes,
        comparisons,
        verdict: report::Verdict::default(),
        curves,
        label_curves,
        checks: first.measured.checks.clone(),
        maps,
        mistakes: None,
        rules: Vec::new(),
        equivalence_margin: Some(settings.rope),
        detectable_difference,
        winner: None,
        warnings: warnings(settings, prepared),
        manifest: facts::manifest(settings, prepared),
        ranking: settings.ranking.clone(),
        pilot: first.measured.pilot.clone(),
        plan: settings.plan.clone().map(|plan| Plan { taken_seconds: Some(taken), ..plan }),
        text_curve,
        adapt_objective: if settings.routes.iter().any(|route| route.adapts()) {
            settings.objective.name().to_owned()
        } else {
            String::new()
        },
    };
    results.verdict = report::conclude(&results);
    let focus = results.verdict.recommended.as_ref();
    let focus = measured.iter().copied().find(|route| focus == Some(&route.result.id));
    results.mistakes = focus.and_then(|route| mistakes::mistakes(route, labelled, &first.split.test));
    results.winner = match focus {
        Some(route) => write_winner(route, measurement_of(measurements, &route.result.id)?, ctx)?,
        None => None,
    };
    results.rules = report::rules(&results);
    results.save(&settings.output_dir.join("results.json"))?;
    let report = settings.output_dir.join("report.html");
    let page = report::html(&results)?;
    atomic_file(&report, |writer| writer.write_all(page.as_bytes()).map_err(Error::io("write", &report)))?;
    write_plots(settings, &results, ctx)?;
    let winner = results.winner.as_ref().map(|winner| PathBuf::from(&winner.folder));
    Ok(CompareOutcome { results, folder: settings.output_dir.clone(), report, winner })
}

/// The report's pictures as files of their own.
fn write_plots(settings: &CompareSettings, results: &Results, ctx: &Context) -> Result<()> {
    let fonts = report::Fonts::of_the_system();
    if fonts.is_none() {
        ctx.progress.line("no font is installed, so plots/ has SVG files only");
    }
    report::write_plots(results, &settings.output_dir.join("plots"), fonts.as_ref())?;
    Ok(())
}

/// The routes that a budget left out.
fn without_time(settings: &CompareSettings) -> Vec<RouteResult> {
    let left_out = settings.plan.iter().flat_map(|plan| &plan.left_out);
    let routes = left_out.filter_map(|left| Route::from_name(left.route.as_deref()?));
    let mut measured = Measured::default();
    routes.for_each(|route| measured.leave_out(route, settings, "the budget has no time for it"));
    measured.others
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
