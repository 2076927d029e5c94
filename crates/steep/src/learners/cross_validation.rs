//! Which penalty fits unseen rows best: logistic regression over a grid of `C`, judged on folds.

use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{Scaler, Scaling};
use crate::learners::labels::{Labels, SampleWeights};
use crate::learners::linear_fit::FitReport;
use crate::learners::linear_model::LinearModel;
use crate::learners::logistic_regression::{LogisticRegression, TrainingRows, check_rows};
use crate::progress::Context;
use serde::{Deserialize, Serialize};

/// Scores closer than this are a tie.
const TIE: f64 = 1e-12;

/// How to choose `C`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticRegressionCv {
    /// The candidates; default .01, .046, .22, 1, 4.6, 22, 100: seven steps even on the logarithmic scale.
    pub c_grid: Vec<f64>,
    /// What decides; default log-loss, which uses more of each prediction than a count of hits does.
    pub metric: Metric,
    /// Fitted on the training rows of each fold; default standard.
    pub scaling: Scaling,
    /// Everything but `c`.
    pub learner: LogisticRegression,
}

impl Default for LogisticRegressionCv {
    fn default() -> Self {
        Self {
            c_grid: (0..7).map(|step| 10f64.powf(f64::from(step) * 2.0 / 3.0 - 2.0)).collect(),
            metric: Metric::LogLoss,
            scaling: Scaling::Standard,
            learner: LogisticRegression::default(),
        }
    }
}

/// How one candidate did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateScore {
    /// The inverse strength of the penalty.
    pub c: f64,
    /// The metric on each fold, in the order of fold numbers.
    pub fold_scores: Vec<f64>,
    /// Their mean.
    pub mean: f64,
}

/// What the folds say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// All candidates, by ascending `c`.
    pub candidates: Vec<CandidateScore>,
    /// The best candidate's `c`; among ties the smallest, which is the strongest penalty.
    pub c: f64,
}

/// A model fitted on all rows with the chosen `C`.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedModel {
    /// The scaler, fitted on all rows.
    pub scaler: Scaler,
    /// The model, for scaled features.
    pub model: LinearModel,
    /// How the last fit went.
    pub report: FitReport,
    /// Why this `C`.
    pub selection: Selection,
}

impl LogisticRegressionCv {
    /// Scores every candidate on every fold. `folds[row]` is the fold that holds a row out; the caller makes folds
    /// that keep groups together and classes apart as needed.
    pub fn select(
        &self,
        features: &Features,
        labels: &Labels,
        folds: &[u32],
        context: &Context<'_>,
    ) -> Result<Selection> {
        let grid = self.sorted_grid()?;
        let fold_numbers = check_folds(folds, labels)?;
        let steps = (grid.len() * fold_numbers.len()) as u64;
        context.progress.start("choose C", Some(steps), "fits");
        let mut fold_scores = vec![Vec::new(); grid.len()];
        for fold in fold_numbers {
            let scores = self.score_fold(&grid, &Fold::new(features, labels, folds, fold), context)?;
            fold_scores.iter_mut().zip(scores).for_each(|(all, score)| all.push(score));
        }
        context.progress.finish();
        let candidates: Vec<CandidateScore> = grid.iter().zip(fold_scores).map(candidate).collect();
        let c = self.best(&candidates);
        Ok(Selection { candidates, c })
    }

    /// Chooses `C` on the folds, then fits scaler and model on all rows.
    pub fn fit(
        &self,
        features: &Features,
        labels: &Labels,
        folds: &[u32],
        context: &Context<'_>,
    ) -> Result<SelectedModel> {
        let selection = self.select(features, labels, folds, context)?;
        let scaler = Scaler::fit(self.scaling, features)?;
        let mut scaled = features.clone();
        scaler.transform(&mut scaled)?;
        let learner = LogisticRegression { c: selection.c, ..self.learner.clone() };
        let rows = TrainingRows { features: &scaled, labels, sample_weights: SampleWeights::Equal };
        let (model, report) = learner.fit(&rows, &quiet(context))?;
        Ok(SelectedModel { scaler, model, report, selection })
    }

    fn sorted_grid(&self) -> Result<Vec<f64>> {
        let mut grid = self.c_grid.clone();
        grid.sort_by(f64::total_cmp);
        grid.dedup();
        if grid.is_empty() {
            return Err(Error::config(
                "c_grid",
                "there is no candidate",
                "give at least one positive number",
            ));
        }
        Ok(grid)
    }

    /// The scores of all candidates on one fold; each fit starts from the one with the next stronger penalty.
    fn score_fold(&self, grid: &[f64], fold: &Fold, context: &Context<'_>) -> Result<Vec<f64>> {
        let scaler = Scaler::fit(self.scaling, &fold.training.0)?;
        let (mut training, mut held_out) = (fold.training.0.clone(), fold.held_out.0.clone());
        scaler.transform(&mut training)?;
        scaler.transform(&mut held_out)?;
        let labels = &fold.training.1;
        let rows = TrainingRows { features: &training, labels, sample_weights: SampleWeights::Equal };
        check_rows(&rows)?;
        let conditioned = self.learner.condition(&training);
        let (mut scores, mut last): (Vec<f64>, Option<LinearModel>) = (Vec::new(), None);
        for &c in grid {
            let learner = LogisticRegression { c, ..self.learner.clone() };
            let (model, _) = learner.fit_conditioned(&conditioned, &rows, last.as_ref(), &quiet(context))?;
            scores.push(score(self.metric, &fold.held_out.1, &model.predict_proba(&held_out)?)?);
            last = Some(model);
            context.progress.advance(1);
        }
        Ok(scores)
    }

    fn best(&self, candidates: &[CandidateScore]) -> f64 {
        let sign = if self.metric.is_greater_better() { 1.0 } else { -1.0 };
        let mut best = &candidates[0];
        for candidate in &candidates[1..] {
            if sign * candidate.mean > sign * best.mean + TIE {
                best = candidate;
            }
        }
        best.c
    }
}

fn candidate((&c, fold_scores): (&f64, Vec<f64>)) -> CandidateScore {
    let mean = fold_scores.iter().sum::<f64>() / fold_scores.len() as f64;
    CandidateScore { c, fold_scores, mean }
}

fn score(metric: Metric, labels: &Labels, probabilities: &DenseMatrix) -> Result<f64> {
    match labels {
        Labels::SingleLabel { indices, .. } => metric.of_classes(indices, probabilities),
        Labels::MultiLabel { members, .. } => metric.of_labels(members, probabilities),
    }
}

/// The rows of one fold: training rows and rows held out.
struct Fold {
    training: (Features, Labels),
    held_out: (Features, Labels),
}

impl Fold {
    fn new(features: &Features, labels: &Labels, folds: &[u32], fold: u32) -> Self {
        let (held_out, training): (Vec<u32>, Vec<u32>) =
            (0..folds.len() as u32).partition(|&row| folds[row as usize] == fold);
        Self {
            training: (features.select_rows(&training), labels.select_rows(&training)),
            held_out: (features.select_rows(&held_out), labels.select_rows(&held_out)),
        }
    }
}

fn check_folds(folds: &[u32], labels: &Labels) -> Result<Vec<u32>> {
    let mut numbers = folds.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    if folds.len() == labels.rows() && numbers.len() >= 2 {
        return Ok(numbers);
    }
    let problem = format!("{} folds over {} of {} rows", numbers.len(), folds.len(), labels.rows());
    Err(Error::config("folds", problem, "give each row the number of its fold, and at least two folds"))
}

/// The same cancel flag, no progress: a fit inside a larger task does not report its steps.
fn quiet<'a>(context: &Context<'a>) -> Context<'a> {
    Context { progress: &crate::progress::Silent, cancel: context.cancel }
}
