//! The routes, a file a kind: what a route is measured as, and how.
//!
//! A route is measured as one or several [`Variant`]s. To add a route: a name in [`Route::ALL`], its variants, and a
//! method of [`Measured`] in a file of its own that gives its predictions, one a seed or a single one where no seed
//! changes it.

mod baselines;
mod combined;
mod encoders;
mod joint;
mod zeroshot;

use super::runner::{MadeEncoder, Prediction, Runner};
use super::score::{Scorer, metric_name};
use super::settings::{CompareSettings, FeatureSet, Route};
use crate::data::Task;
use crate::error::{Error, Result};
use crate::report::{Check, Pilot, RouteResult, ScoredBy, Status};
use crate::training::LogEntry;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One way in which a route is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) way: ScoredBy,
    /// What the learner is given; none where there is no choice.
    pub(super) features: Option<FeatureSet>,
}

/// A measured result with its predictions, one a seed or a single one.
pub(super) struct MeasuredRoute {
    pub(super) route: Route,
    pub(super) variant: Variant,
    pub(super) result: RouteResult,
    pub(super) predictions: Vec<Prediction>,
}

/// What was measured so far.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) routes: Vec<MeasuredRoute>,
    /// Routes that failed or were left out.
    pub(super) others: Vec<RouteResult>,
    pub(super) logs: BTreeMap<(String, u64), Vec<LogEntry>>,
    /// Seconds of each training.
    pub(super) training_seconds: BTreeMap<(String, u64), f64>,
    /// What should be known of the data.
    pub(super) checks: Vec<Check>,
    /// What a trial of adapting led to.
    pub(super) pilot: Option<Pilot>,
}

/// A result of a route's variant without any figure yet.
fn new_result(route: Route, variant: Variant, settings: &CompareSettings) -> RouteResult {
    let mut result = RouteResult::new(route.name(), variant.way, route.description());
    if route.adapts() {
        let _ = write!(result.description, "; adapting is {}", settings.objective.words());
    }
    if let Some(set) = variant.features {
        // There is no network of this kind without columns, so that its name need not tell of them.
        result.with_features(set.name(), if route.is_joint() { "" } else { set.suffix() });
    } else if route == Route::TableOnly {
        result.with_features("columns", "");
    } else if route.needs_columns() {
        result.with_features("text+columns", "");
    }
    result
}

/// The variants of a route.
pub(super) fn variants(route: Route, settings: &CompareSettings) -> Vec<Variant> {
    let plain = |way| vec![Variant { way, features: None }];
    match route {
        route if route.is_joint() => {
            vec![Variant { way: ScoredBy::OwnHead, features: Some(joint::features(settings)) }]
        }
        Route::Majority | Route::Tfidf | Route::TableOnly => plain(ScoredBy::Baseline),
        Route::Zeroshot => plain(ScoredBy::OwnHead),
        Route::TableAsText => plain(ScoredBy::Classifier),
        Route::LateAverage | Route::Stacked => plain(ScoredBy::Combined),
        route => {
            let sets = settings.features.iter();
            let classified = sets.map(|&set| Variant { way: ScoredBy::Classifier, features: Some(set) });
            let mut variants: Vec<Variant> = classified.collect();
            if route.has_own_head() {
                variants.push(Variant { way: ScoredBy::OwnHead, features: None });
            }
            variants
        }
    }
}

impl Measured {
    /// Measures a route in each way it can be scored. A route that fails does not stop the others.
    pub(super) fn run(&mut self, route: Route, runner: &Runner, scorer: &Scorer) -> Result<()> {
        for variant in variants(route, runner.settings) {
            let mut result = new_result(route, variant, runner.settings);
            if let Some(reason) = reason_to_skip(route, runner) {
                result.status = Status::Skipped { reason };
                self.others.push(result);
                continue;
            }
            match self.predictions(route, variant, runner, scorer) {
                Ok(predictions) => {
                    if let Some(extended) = runner.of_route(route)?.vocabulary {
                        let _ = write!(result.description, "; {}", extended.change.words());
                        result.vocabulary = Some(extended.change);
                    }
                    scorer.fill(&mut result, &predictions)?;
                    runner.ctx.progress.line(&summary(&result, &metric_name(scorer.metric)));
                    self.routes.push(MeasuredRoute { route, variant, result, predictions });
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

    /// One prediction a seed, or one for all where no seed changes the route.
    fn predictions(
        &mut self,
        route: Route,
        variant: Variant,
        runner: &Runner,
        scorer: &Scorer,
    ) -> Result<Vec<Prediction>> {
        match route {
            Route::Majority => Ok(vec![runner.majority()?]),
            Route::Tfidf => Ok(vec![runner.tfidf()?]),
            Route::TableOnly => Ok(vec![runner.table_only()?]),
            Route::Zeroshot => Ok(vec![runner.zeroshot()?]),
            Route::TableAsText => Ok(vec![runner.table_as_text()?]),
            Route::LateAverage => self.late_average(scorer),
            Route::Stacked => Ok(vec![self.stacked(runner, scorer)?]),
            Route::Joint | Route::AdaptedJoint => self.joint_predictions(route, runner),
            route => self.encoder_predictions(route, variant, runner),
        }
    }

    fn remember(&mut self, encoder: &MadeEncoder) {
        for of in &encoder.logs {
            let key = (of.stage.clone(), of.seed);
            self.training_seconds.insert(key.clone(), of.seconds);
            self.logs.insert(key, of.log.clone());
        }
    }

    /// Seconds of all stages, those that routes share once.
    pub(super) fn seconds(&self) -> f64 {
        let mut seconds = self.training_seconds.values().sum::<f64>();
        let mut embedded: Vec<Route> = Vec::new();
        for measured in &self.routes {
            let is_first = !embedded.contains(&measured.route);
            embedded.push(measured.route);
            for prediction in &measured.predictions {
                let of = prediction.seconds;
                let is_combined = measured.variant.way == ScoredBy::Combined;
                let extract = if is_first && !is_combined { of.extract } else { 0.0 };
                seconds += extract + if is_combined { 0.0 } else { of.fit + of.predict };
            }
        }
        seconds
    }

    /// Says why a route is not measured.
    pub(super) fn leave_out(&mut self, route: Route, settings: &CompareSettings, reason: &str) {
        // Once, however many ways there are to measure it.
        let variant = Variant { features: None, ..variants(route, settings)[0] };
        let status = Status::Skipped { reason: reason.to_owned() };
        self.others.push(RouteResult { status, ..new_result(route, variant, settings) });
    }

    /// The measured result of a route and variant.
    pub(super) fn of(&self, route: Route, features: Option<FeatureSet>) -> Option<&MeasuredRoute> {
        self.routes.iter().find(|measured| {
            measured.route == route
                && measured.variant.features == features
                && measured.variant.way != ScoredBy::OwnHead
        })
    }

    /// Of some measured routes the one that did best on validation rows; the first where there are none.
    pub(super) fn best_on_validation<'a>(
        &'a self,
        scorer: &Scorer,
        is_candidate: impl Fn(&MeasuredRoute) -> bool,
    ) -> Option<&'a MeasuredRoute> {
        let sign = if scorer.metric.is_greater_better() { 1.0 } else { -1.0 };
        let score = |measured: &MeasuredRoute| {
            measured.result.validation_score.map_or(f64::NEG_INFINITY, |score| sign * score)
        };
        let candidates = self.routes.iter().filter(|measured| is_candidate(measured));
        candidates.fold(None, |best: Option<&MeasuredRoute>, next| match best {
            Some(best) if score(best) >= score(next) => Some(best),
            _ => Some(next),
        })
    }
}

/// What a route lacks in this data.
fn reason_to_skip(route: Route, runner: &Runner) -> Option<String> {
    let labelled = &runner.prepared.labelled;
    if route.adapts() && runner.prepared.unlabelled.is_none() {
        return Some("there are no unlabelled texts".to_owned());
    }
    if route == Route::Zeroshot && labelled.task() == Task::Regression {
        return Some("labels that are numbers have no names".to_owned());
    }
    let loss = route.trains_vectors().then_some(&runner.settings.contrastive.loss)?;
    loss.check(&labelled.targets).err().map(|error| error.to_string())
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
