//! One encoder on one split, and what its routes came to; folds of one encoder put together.

use super::checks;
use super::data::{Prepared, prepare};
use super::general_text;
use super::pilot::pilot;
use super::routes::{Measured, MeasuredRoute};
use super::runner::{Prediction, Runner};
use super::score::Scorer;
use super::settings::{CompareSettings, FeatureSet, Route};
use super::slices::slices;
use super::vocabulary::Extended;
use crate::data::{Split, Task};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::report::{Pilot, PilotOutcome, RouteResult, ScoredBy, StageSeconds, Status};
use crate::stages::ModelFolder;
use crate::text::Encodings;
use std::sync::OnceLock;

/// What the stages of one encoder on one split work with.
pub(super) struct Trial<'a> {
    pub(super) settings: &'a CompareSettings,
    pub(super) model: ModelFolder,
    pub(super) prepared: Prepared,
    general: Encodings,
    /// The encoder with new tokens, once a route wants it.
    extended: OnceLock<Extended>,
    /// The folder of its stages.
    place: String,
}

impl<'a> Trial<'a> {
    /// Opens the encoder and reads the data for it.
    pub(super) fn open(
        settings: &'a CompareSettings,
        place: String,
        fold: usize,
        ctx: &Context,
    ) -> Result<Self> {
        let model = ModelFolder::open(&settings.model)?;
        let prepared = prepare(settings, &model, fold, ctx)?;
        if let (Some(zeroshot), false) = (&settings.zeroshot, prepared.labelled.task() == Task::Regression) {
            zeroshot.candidates(&prepared.labelled.names)?;
        }
        let general = general_text(&model, prepared.max_seq_length)?;
        Ok(Self { settings, model, prepared, general, extended: OnceLock::new(), place })
    }

    /// What runs its stages.
    pub(super) fn runner<'b>(&'b self, ctx: &'b Context<'b>) -> Runner<'b> {
        Runner {
            settings: self.settings,
            place: &self.place,
            model: &self.model,
            prepared: &self.prepared,
            general: Some(&self.general),
            extended: &self.extended,
            vocabulary: None,
            ctx,
        }
    }

    /// Measures routes on the test rows of its split. Whether adapting is worth it is tried where that was asked for and
    /// not decided before.
    pub(super) fn measure(
        &self,
        routes: &[Route],
        decided: Option<&Pilot>,
        ctx: &Context,
    ) -> Result<Measured> {
        let (runner, labelled) = (self.runner(ctx), &self.prepared.labelled);
        let scorer = self.scorer(&labelled.split)?;
        let mut measured = Measured { checks: checks::checks(&self.prepared), ..Measured::default() };
        for check in &measured.checks {
            ctx.progress.line(&check.line());
        }
        measured.pilot = decided.cloned();
        for &route in routes {
            if route.adapts() && !self.is_adapting_worth_it(&mut measured, &runner, &scorer)? {
                measured.leave_out(route, self.settings, "the pilot gained too little by adapting");
                continue;
            }
            measured.run(route, &runner, &scorer)?;
            if route == Route::Frozen {
                doubt_labels(&mut measured, &runner)?;
            }
        }
        Ok(measured)
    }

    fn is_adapting_worth_it(
        &self,
        measured: &mut Measured,
        runner: &Runner,
        scorer: &Scorer,
    ) -> Result<bool> {
        let Some(fraction) = self.settings.pilot.filter(|_| self.prepared.unlabelled.is_some()) else {
            return Ok(true);
        };
        if measured.pilot.is_none() {
            measured.pilot = Some(pilot(runner, scorer, fraction)?);
        }
        Ok(measured.pilot.as_ref().is_none_or(|pilot| pilot.outcome == PilotOutcome::GoOn))
    }

    /// Holds predictions for the test rows of `split` against the truth.
    pub(super) fn scorer<'b>(&'b self, split: &'b Split) -> Result<Scorer<'b>> {
        let table = self.prepared.table.as_ref().map(|data| &data.table);
        let slices = slices(self.settings, &self.prepared.labelled, &split.test, table)?;
        Scorer::new(self.settings, &self.prepared.labelled, split, slices)
    }
}

/// Looks for doubtful labels as soon as there are vectors, before anything is trained on them.
fn doubt_labels(measured: &mut Measured, runner: &Runner) -> Result<()> {
    let Some(frozen) = measured.of(Route::Frozen, Some(FeatureSet::Text)) else { return Ok(()) };
    if let Some(check) = checks::label_noise(runner, frozen)? {
        runner.ctx.progress.line(&check.line());
        measured.checks.push(check);
    }
    Ok(())
}

/// One encoder measured on the split, or on all folds.
pub(super) struct Measurement<'a> {
    /// Of the split, or of the first fold: what shows more than scores is of this one.
    pub(super) trial: Trial<'a>,
    /// The rows that predictions are for.
    pub(super) split: Split,
    pub(super) measured: Measured,
    /// The routes of the trial itself; the same as `measured` without folds.
    pub(super) of_trial: Option<Measured>,
    /// Seconds of all stages.
    pub(super) seconds: f64,
}

impl<'a> Measurement<'a> {
    /// Measures routes of one encoder; `place` names its folder of stages where there are several encoders.
    pub(super) fn new(
        settings: &'a CompareSettings,
        routes: &[Route],
        place: &str,
        ctx: &Context,
    ) -> Result<Self> {
        let Some(folds) = settings.out_of_fold else {
            let trial = Trial::open(settings, place.to_owned(), 0, ctx)?;
            let measured = trial.measure(routes, None, ctx)?;
            let split = trial.prepared.labelled.split.clone();
            let seconds = measured.seconds() + measured.pilot.as_ref().map_or(0.0, |pilot| pilot.seconds);
            return Ok(Self { trial, split, measured, of_trial: None, seconds });
        };
        let open = |fold: usize| {
            ctx.progress.line(&format!("fold {} of {folds}", fold + 1));
            Trial::open(settings, format!("{place}fold-{}/", fold + 1), fold, ctx)
        };
        let trial = open(0)?;
        let mut parts = vec![Part { measured: trial.measure(routes, None, ctx)?, test: test_rows(&trial) }];
        let decided = parts[0].measured.pilot.clone();
        for fold in 1..folds as usize {
            let other = open(fold)?;
            let measured = other.measure(routes, decided.as_ref(), ctx)?;
            parts.push(Part { measured, test: test_rows(&other) });
        }
        let test = parts.iter().flat_map(|part| part.test.iter().copied()).collect();
        let split = Split { test, ..Split::default() };
        let measured = pooled(&parts, &trial.scorer(&split)?)?;
        let pilot = decided.map_or(0.0, |pilot| pilot.seconds);
        let seconds = pilot + parts.iter().map(|part| part.measured.seconds()).sum::<f64>();
        let of_trial = Some(parts.swap_remove(0).measured);
        Ok(Self { trial, split, measured, of_trial, seconds })
    }

    /// What was measured on the trial's own split.
    pub(super) fn on_trial(&self) -> &Measured {
        self.of_trial.as_ref().unwrap_or(&self.measured)
    }
}

fn test_rows(trial: &Trial) -> Vec<u32> {
    trial.prepared.labelled.split.test.clone()
}

/// A fold: the rows it tested, and what its routes came to.
struct Part {
    test: Vec<u32>,
    measured: Measured,
}

/// Every route with its predictions for the rows of all folds, one after the other. Each row was predicted by a route
/// that had not seen it.
fn pooled(parts: &[Part], scorer: &Scorer) -> Result<Measured> {
    let first = &parts[0].measured;
    let mut pooled = Measured {
        logs: first.logs.clone(),
        checks: first.checks.clone(),
        pilot: first.pilot.clone(),
        ..Measured::default()
    };
    for route in &first.routes {
        let folds: Option<Vec<&MeasuredRoute>> = parts
            .iter()
            .map(|part| part.measured.routes.iter().find(|other| other.result.id == route.result.id))
            .collect();
        let Some(folds) = folds else {
            pooled.others.push(failed_in_a_fold(parts, &route.result));
            continue;
        };
        pooled.routes.push(pooled_route(&folds, scorer)?);
    }
    pooled.others.extend(first.others.iter().cloned());
    Ok(pooled)
}

fn failed_in_a_fold(parts: &[Part], route: &RouteResult) -> RouteResult {
    let of_folds = parts.iter().flat_map(|part| &part.measured.others);
    let found = of_folds.into_iter().find(|other| other.id == route.id).cloned();
    let mut unmeasured =
        found.unwrap_or_else(|| RouteResult::new(&route.name, route.scored_by, &route.description));
    unmeasured.id.clone_from(&route.id);
    if let Status::Failed { reason } = &mut unmeasured.status {
        reason.push_str(" (in one of the folds)");
    }
    unmeasured
}

fn pooled_route(folds: &[&MeasuredRoute], scorer: &Scorer) -> Result<MeasuredRoute> {
    let (route, first) = (folds[0].route, &folds[0].result);
    // A route may choose in each fold whom it builds on, and so have one run in some and one a seed in others.
    let runs = folds.iter().map(|fold| fold.predictions.len()).max().unwrap_or(0);
    let predictions = (0..runs)
        .map(|run| {
            let of_run: Vec<&Prediction> =
                folds.iter().map(|fold| &fold.predictions[run.min(fold.predictions.len() - 1)]).collect();
            pooled_prediction(&of_run)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut result = RouteResult::new(&first.name, first.scored_by, &first.description);
    result.id.clone_from(&first.id);
    result.features.clone_from(&first.features);
    result.vocabulary = first.vocabulary;
    scorer.fill(&mut result, &predictions)?;
    let scores: Option<Vec<f64>> = folds.iter().map(|fold| fold.result.validation_score).collect();
    result.validation_score = scores.map(|scores| scores.iter().sum::<f64>() / folds.len() as f64);
    result.folds = folds.iter().filter_map(|fold| scorer.main_score(&fold.result)).collect();
    Ok(MeasuredRoute { route, variant: folds[0].variant, result, predictions })
}

/// Predictions of the test rows one after the other; the seconds are those of one fold.
fn pooled_prediction(folds: &[&Prediction]) -> Result<Prediction> {
    let columns = folds[0].test.columns();
    let rows = folds.iter().map(|fold| fold.test.rows()).sum();
    let values = folds.iter().flat_map(|fold| fold.test.values().iter().copied()).collect();
    let sum = folds.iter().fold(StageSeconds::default(), |sum, fold| sum.plus(&fold.seconds));
    Ok(Prediction {
        validation: DenseMatrix::new(0, columns, Vec::new())?,
        test: DenseMatrix::new(rows, columns, values)?,
        learner: folds[0].learner.clone(),
        seconds: sum.divided(folds.len() as f64),
    })
}

impl Measured {
    /// Marks the routes as those of a further encoder.
    pub(super) fn rename(&mut self, suffix: &str) {
        let suffix = format!(" [{suffix}]");
        let results = self.routes.iter_mut().map(|route| &mut route.result).chain(&mut self.others);
        for result in results {
            match result.id.strip_suffix(OWN_HEAD) {
                Some(name) if result.scored_by == ScoredBy::OwnHead => {
                    result.id = format!("{name}{suffix}{OWN_HEAD}");
                }
                _ => result.id.push_str(&suffix),
            }
        }
        let logs = std::mem::take(&mut self.logs);
        let renamed = logs.into_iter().map(|((stage, seed), log)| ((format!("{stage}{suffix}"), seed), log));
        self.logs = renamed.collect();
    }
}

const OWN_HEAD: &str = " (own head)";

/// Folders and names for further encoders: the last part of each name, numbered where two are the same.
pub(super) fn short_names(names: &[&str]) -> Vec<String> {
    let last = |name: &str| {
        let name = name.trim_end_matches(['/', '\\']);
        name.rsplit(['/', '\\']).next().unwrap_or(name).to_owned()
    };
    let mut taken: Vec<String> = Vec::new();
    for name in names {
        let short = last(name);
        let same =
            taken.iter().filter(|other| **other == short || other.starts_with(&format!("{short} "))).count();
        taken.push(if same == 0 { short } else { format!("{short} {}", same + 1) });
    }
    taken
}

/// Routes that a further encoder is measured with: those that are its own.
pub(super) fn routes_of_a_further_encoder(routes: &[Route]) -> Vec<Route> {
    let is_its_own = |route: &Route| route.has_encoder() || route.is_joint() || *route == Route::TableAsText;
    routes.iter().copied().filter(is_its_own).collect()
}

/// The measurement of a route, by its id.
pub(super) fn measurement_of<'a, 'b>(
    measurements: &'b [Measurement<'a>],
    id: &str,
) -> Result<&'b Measurement<'a>> {
    let has = |one: &&Measurement| one.measured.routes.iter().any(|route| route.result.id == id);
    measurements.iter().find(has).ok_or_else(|| Error::config("routes", format!("{id} was not measured"), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_are_called_by_the_last_part_of_their_name() {
        assert_eq!(short_names(&["a/b-small", "models/c/", "x/b-small"]), ["b-small", "c", "b-small 2"]);
    }

    #[test]
    fn a_further_encoder_is_named_before_what_scored_it() {
        let mut measured = Measured::default();
        measured.others.push(RouteResult::new("finetuned", ScoredBy::OwnHead, ""));
        measured.others.push(RouteResult::new("frozen", ScoredBy::Classifier, ""));
        measured.rename("c");
        let ids: Vec<&str> = measured.others.iter().map(|other| other.id.as_str()).collect();
        assert_eq!(ids, ["finetuned [c] (own head)", "frozen [c]"]);
        assert_eq!(measured.others[0].label(), "finetuned [c]");
    }
}
