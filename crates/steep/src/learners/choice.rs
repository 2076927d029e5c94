//! Which learner, with which parameter, fits unseen rows best: all judged on the same folds of the training rows.

use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{Scaler, Scaling};
use crate::learners::calibration::{Calibration, Outputs};
use crate::learners::cross_validation::{CandidateScore, Selection};
use crate::learners::fitted::FittedModel;
use crate::learners::labels::Labels;
use crate::learners::learner::{LearnerName, LearnerOptions};
use crate::learners::linear_fit::FitReport;
use crate::learners::targets::{GroupedTargets, Targets};
use crate::progress::Context;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Scores closer than this are a tie.
const TIE: f64 = 1e-12;

/// How learners are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerChoice {
    /// The learners, none twice.
    pub learners: Vec<LearnerName>,
    /// Their settings.
    pub options: LearnerOptions,
    /// What decides.
    pub metric: Metric,
    /// Fitted on the training rows of each fold.
    pub scaling: Scaling,
}

/// How one learner did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnerScore {
    /// Which learner.
    pub learner: LearnerName,
    /// The parameter that candidates are of, if it has one.
    pub parameter: Option<String>,
    /// The candidates' scores, and the chosen one, under the name `c` whatever the parameter.
    pub selection: Selection,
    /// Seconds of all its fits on folds.
    pub seconds: f64,
}

impl LearnerScore {
    /// The chosen candidate's mean over the folds.
    pub fn mean(&self) -> f64 {
        let chosen = self.selection.candidates.iter().find(|candidate| candidate.c == self.selection.c);
        chosen.map_or(f64::NAN, |candidate| candidate.mean)
    }
}

/// The best learner, fitted on all training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenModel {
    /// All learners' scores, in the order asked for.
    pub scores: Vec<LearnerScore>,
    /// The place of the best one among them; among ties the first.
    pub best: usize,
    /// The scaler, fitted on all rows.
    pub scaler: Scaler,
    /// The model, for scaled features.
    pub model: FittedModel,
    /// How its decisions become probabilities, where they are none.
    pub calibration: Option<Calibration>,
    /// How an iterative linear fit went.
    pub report: Option<FitReport>,
    /// Seconds of the fit on all rows.
    pub fit_seconds: f64,
}

/// What the folds leave of a learner.
struct Tried {
    score: LearnerScore,
    /// The chosen candidate's outputs for every row, from the fold that held it out; decisions where these are to be
    /// calibrated.
    unseen: DenseMatrix,
}

impl LearnerChoice {
    /// Scores every candidate of every learner on every fold, then fits the best on all rows. `folds[row]` is the fold
    /// that holds a row out.
    ///
    /// Errors: folds that do not fit, a learner that is not for these targets, what learners refuse, a requested stop.
    pub fn fit<'a>(
        &self,
        features: &Features,
        rows: impl Into<GroupedTargets<'a>>,
        folds: &[u32],
        context: &Context<'_>,
    ) -> Result<ChosenModel> {
        let rows = rows.into();
        let fold_numbers = check_folds(folds, rows.targets.rows())?;
        if self.learners.is_empty() {
            return Err(Error::config("learner", "there is none", "name a learner, or all"));
        }
        let steps = self.learners.iter().map(|&learner| Ok(self.options.candidates(learner)?.len()));
        let steps = steps.sum::<Result<usize>>()? * fold_numbers.len();
        context.progress.start("cross-validation", Some(steps as u64), "fits");
        let mut best: Option<(usize, Tried)> = None;
        let mut scores = Vec::new();
        for (place, &learner) in self.learners.iter().enumerate() {
            context.progress.note(learner.name());
            let tried = self.try_learner(learner, features, rows, folds, &fold_numbers, context)?;
            scores.push(tried.score.clone());
            if best.as_ref().is_none_or(|(_, best)| self.is_better(tried.score.mean(), best.score.mean())) {
                best = Some((place, tried));
            }
        }
        context.progress.finish();
        let (best, tried) = best.expect("there is a learner");
        self.refit(best, &tried, scores, features, rows, context)
    }

    fn try_learner(
        &self,
        learner: LearnerName,
        features: &Features,
        rows: GroupedTargets<'_>,
        folds: &[u32],
        fold_numbers: &[u32],
        context: &Context<'_>,
    ) -> Result<Tried> {
        let (started, targets) = (Instant::now(), rows.targets);
        let candidates = self.options.candidates(learner)?;
        let calibrated = learner.needs_calibration(targets);
        let mut unseen: Vec<Option<DenseMatrix>> = vec![None; candidates.len()];
        for &fold in fold_numbers {
            let (held_out, training): (Vec<u32>, Vec<u32>) =
                (0..folds.len() as u32).partition(|&row| folds[row as usize] == fold);
            let (mut train, mut test) = (features.select_rows(&training), features.select_rows(&held_out));
            let scaler = Scaler::fit(self.scaling, &train)?;
            scaler.transform(&mut train)?;
            scaler.transform(&mut test)?;
            let own = OwnedTargets::of(rows, &training);
            self.options.fit_each(learner, &candidates, &train, own.view(), context, |fitted| {
                let outputs =
                    if calibrated { fitted.model.decisions(&test)? } else { fitted.model.outputs(&test)? };
                put_rows(&mut unseen[fitted.place], folds.len(), &held_out, &outputs)?;
                context.progress.advance(1);
                context.cancel.check()
            })?;
        }
        let unseen: Vec<DenseMatrix> = unseen.into_iter().map(Option::unwrap_or_default).collect();
        let mut scored = Vec::new();
        for (&c, outputs) in candidates.iter().zip(&unseen) {
            let fold_scores = fold_numbers
                .iter()
                .map(|&fold| self.fold_score(outputs, targets, folds, fold, calibrated))
                .collect::<Result<Vec<f64>>>()?;
            let mean = fold_scores.iter().sum::<f64>() / fold_scores.len() as f64;
            scored.push(CandidateScore { c, fold_scores, mean });
        }
        let chosen = (1..scored.len()).fold(0, |best, next| {
            if self.is_better(scored[next].mean, scored[best].mean) { next } else { best }
        });
        let parameter = learner.parameter().map(str::to_owned);
        let selection = Selection { c: scored[chosen].c, candidates: scored };
        let score = LearnerScore { learner, parameter, selection, seconds: started.elapsed().as_secs_f64() };
        Ok(Tried { score, unseen: unseen.into_iter().nth(chosen).unwrap_or_default() })
    }

    /// The metric on a fold; where decisions are calibrated, with curves of the other folds.
    fn fold_score(
        &self,
        outputs: &DenseMatrix,
        targets: Targets<'_>,
        folds: &[u32],
        fold: u32,
        calibrated: bool,
    ) -> Result<f64> {
        let (held_out, others): (Vec<u32>, Vec<u32>) =
            (0..folds.len() as u32).partition(|&row| folds[row as usize] == fold);
        let here = outputs.select_rows(&held_out);
        match targets {
            Targets::Values(values) => {
                let actual: Vec<f64> = held_out.iter().map(|&row| values[row as usize]).collect();
                let predicted: Vec<f64> = here.values().iter().map(|&value| f64::from(value)).collect();
                self.metric.of_values(&actual, &predicted)
            }
            Targets::Classes(labels) => {
                let probabilities = if calibrated {
                    let curves = self.calibrate(&outputs.select_rows(&others), &labels.select_rows(&others));
                    curves.probabilities(&here, outputs_of(labels))?
                } else {
                    here
                };
                match labels.select_rows(&held_out) {
                    Labels::SingleLabel { indices, .. } => self.metric.of_classes(&indices, &probabilities),
                    Labels::MultiLabel { members, .. } => self.metric.of_labels(&members, &probabilities),
                }
            }
        }
    }

    fn calibrate(&self, decisions: &DenseMatrix, labels: &Labels) -> Calibration {
        Calibration::fit(self.options.calibration, decisions, labels)
    }

    fn refit(
        &self,
        best: usize,
        tried: &Tried,
        scores: Vec<LearnerScore>,
        features: &Features,
        rows: GroupedTargets<'_>,
        context: &Context<'_>,
    ) -> Result<ChosenModel> {
        let (learner, targets) = (tried.score.learner, rows.targets);
        context.progress.start(&format!("fit {}", learner.name()), None, "");
        let scaler = Scaler::fit(self.scaling, features)?;
        let mut scaled = features.clone();
        scaler.transform(&mut scaled)?;
        let (mut fitted, started) = (None, Instant::now());
        self.options.fit_each(learner, &[tried.score.selection.c], &scaled, rows, context, |candidate| {
            fitted = Some(candidate);
            Ok(())
        })?;
        context.progress.finish();
        let fit_seconds = started.elapsed().as_secs_f64();
        let fitted = fitted.expect("a candidate gives a model");
        let calibration = match targets {
            Targets::Classes(labels) if learner.needs_calibration(targets) => {
                Some(self.calibrate(&tried.unseen, labels))
            }
            _ => None,
        };
        let report = fitted.report;
        Ok(ChosenModel { scores, best, scaler, model: fitted.model, calibration, report, fit_seconds })
    }

    fn is_better(&self, score: f64, than: f64) -> bool {
        let sign = if self.metric.is_greater_better() { 1.0 } else { -1.0 };
        sign * score > sign * than + TIE || than.is_nan()
    }
}

/// What the outputs of these labels are.
pub(crate) fn outputs_of(labels: &Labels) -> Outputs {
    match labels {
        Labels::SingleLabel { class_count: 2, .. } => Outputs::Binary,
        Labels::SingleLabel { .. } => Outputs::Classes,
        Labels::MultiLabel { .. } => Outputs::Labels,
    }
}

fn put_rows(
    matrix: &mut Option<DenseMatrix>,
    rows: usize,
    places: &[u32],
    values: &DenseMatrix,
) -> Result<()> {
    let columns = values.columns();
    if matrix.is_none() {
        *matrix = Some(DenseMatrix::new(rows, columns, vec![0.0; rows * columns])?);
    }
    let Some(matrix) = matrix else { return Ok(()) };
    for (from, &to) in places.iter().enumerate() {
        matrix.values_mut()[to as usize * columns..][..columns].copy_from_slice(values.row(from));
    }
    Ok(())
}

fn check_folds(folds: &[u32], rows: usize) -> Result<Vec<u32>> {
    let mut numbers = folds.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    if folds.len() == rows && numbers.len() >= 2 {
        return Ok(numbers);
    }
    let problem = format!("{} folds over {} of {rows} rows", numbers.len(), folds.len());
    Err(Error::config("folds", problem, "give each row the number of its fold, and at least two folds"))
}

/// The targets and groups of some rows.
struct OwnedTargets {
    targets: OwnedValues,
    groups: Option<Vec<u32>>,
}

enum OwnedValues {
    Classes(Labels),
    Values(Vec<f64>),
}

impl OwnedTargets {
    fn of(all: GroupedTargets<'_>, rows: &[u32]) -> Self {
        let targets = match all.targets {
            Targets::Classes(labels) => OwnedValues::Classes(labels.select_rows(rows)),
            Targets::Values(values) => {
                OwnedValues::Values(rows.iter().map(|&row| values[row as usize]).collect())
            }
        };
        let groups = all.groups.map(|groups| rows.iter().map(|&row| groups[row as usize]).collect());
        Self { targets, groups }
    }

    fn view(&self) -> GroupedTargets<'_> {
        let targets = match &self.targets {
            OwnedValues::Classes(labels) => Targets::Classes(labels),
            OwnedValues::Values(values) => Targets::Values(values),
        };
        GroupedTargets { targets, groups: self.groups.as_deref() }
    }
}
