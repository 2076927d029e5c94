//! The classifier or regression for features and labels.

use super::ClassifySettings;
use super::features::NamedFeatures;
use super::rows::Rows;
use crate::data::{Labels, k_folds};
use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::Scaler;
use crate::learners::cross_validation::{CandidateScore, LogisticRegressionCv, Selection};
use crate::learners::labels::{ClassWeight, Labels as Classes};
use crate::learners::linear_fit::FitReport;
use crate::learners::linear_head::{HeadParts, LinearHead};
use crate::learners::linear_model::LinearModel;
use crate::learners::logistic_regression::LogisticRegression;
use crate::learners::ridge::RidgeRegression;
use crate::progress::{Context, Silent};
use std::collections::BTreeMap;

/// Scores closer than this are a tie, as in the choice of `C` for classifiers.
const TIE: f64 = 1e-12;

/// A fitted classifier and what was measured on the way.
pub(super) struct Fitted {
    pub(super) head: LinearHead,
    pub(super) selection: Selection,
    pub(super) report: Option<FitReport>,
    pub(super) metrics: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Fits on the training rows, the penalty chosen on folds of them, and measures on the others.
pub(super) fn fit(
    rows: &Rows,
    features: NamedFeatures,
    settings: &ClassifySettings,
    ctx: &Context,
) -> Result<Fitted> {
    let names = features.names;
    let features = Features::Dense(features.matrix);
    let training = features.select_rows(&rows.train);
    let folds = folds(rows, settings)?;
    let (head, selection, report) = match &rows.labels {
        Labels::Numbers(values) => {
            let values: Vec<f64> = rows.train.iter().map(|&row| f64::from(values[row as usize])).collect();
            let (head, selection) = fit_ridge(&training, &values, &folds, settings, names, ctx)?;
            (head, selection, None)
        }
        labels => {
            let training_labels = classes(labels, &rows.train)?;
            let chooser = chooser(settings);
            let fitted = chooser.fit(&training, &training_labels, &folds, ctx)?;
            let head = LinearHead::new(HeadParts {
                scaler: fitted.scaler,
                model: fitted.model,
                classes: class_names(labels).to_vec(),
                feature_names: names,
                c: fitted.selection.c,
            })?;
            (head, fitted.selection, Some(fitted.report))
        }
    };
    let mut metrics = BTreeMap::new();
    for (part, part_rows) in [("validation", &rows.validation), ("test", &rows.test)] {
        if !part_rows.is_empty() {
            let measured = measure(&head, &features.select_rows(part_rows), &rows.labels, part_rows)?;
            metrics.insert(part.to_owned(), measured);
        }
    }
    Ok(Fitted { head, selection, report, metrics })
}

fn folds(rows: &Rows, settings: &ClassifySettings) -> Result<Vec<u32>> {
    let labels = match &rows.labels {
        Labels::Single { names, ids } => Labels::Single {
            names: names.clone(),
            ids: rows.train.iter().map(|&row| ids[row as usize]).collect(),
        },
        Labels::Multi { names, sets } => Labels::Multi {
            names: names.clone(),
            sets: rows.train.iter().map(|&row| sets[row as usize].clone()).collect(),
        },
        Labels::Numbers(values) => {
            Labels::Numbers(rows.train.iter().map(|&row| values[row as usize]).collect())
        }
    };
    let groups = rows.groups.as_ref();
    let groups: Option<Vec<String>> =
        groups.map(|groups| rows.train.iter().map(|&row| groups[row as usize].clone()).collect());
    k_folds(&labels, groups.as_deref(), settings.folds, settings.seed)
}

fn chooser(settings: &ClassifySettings) -> LogisticRegressionCv {
    LogisticRegressionCv {
        c_grid: settings.c_grid.clone(),
        metric: settings.metric,
        scaling: settings.scaling,
        learner: LogisticRegression {
            class_weight: settings.class_weight.clone(),
            tolerance: settings.tolerance,
            max_iterations: settings.max_iterations,
            ..LogisticRegression::default()
        },
    }
}

fn class_names(labels: &Labels) -> &[String] {
    match labels {
        Labels::Single { names, .. } | Labels::Multi { names, .. } => names,
        Labels::Numbers(_) => &[],
    }
}

/// The labels of some rows as a classifier takes them.
fn classes(labels: &Labels, rows: &[u32]) -> Result<Classes> {
    let picked = rows.iter().map(|&row| row as usize);
    match labels {
        Labels::Single { names, ids } => {
            Classes::single_label(picked.map(|row| ids[row]).collect(), names.len())
        }
        Labels::Multi { names, sets } => {
            Classes::multi_label(memberships(sets, names.len(), rows), names.len())
        }
        Labels::Numbers(_) => {
            Err(Error::config("task", "numbers are no classes", "set the task to regression"))
        }
    }
}

/// Whether each row has each label, `[rows, labels]`.
fn memberships(sets: &[Vec<u32>], width: usize, rows: &[u32]) -> Vec<bool> {
    let mut members = vec![false; rows.len() * width];
    for (at, &row) in rows.iter().enumerate() {
        sets[row as usize].iter().for_each(|&label| members[at * width + label as usize] = true);
    }
    members
}

/// Ridge regression with `1 / C` as its penalty, chosen as for a classifier: the best mean over the folds, among ties
/// the strongest penalty.
fn fit_ridge(
    features: &Features,
    values: &[f64],
    folds: &[u32],
    settings: &ClassifySettings,
    feature_names: Vec<String>,
    ctx: &Context,
) -> Result<(LinearHead, Selection)> {
    if settings.class_weight != ClassWeight::None {
        let hint = "leave the class weights out, or set another task";
        return Err(Error::config("class_weight", "a regression has no classes", hint));
    }
    let grid = sorted_grid(&settings.c_grid)?;
    let quiet = Context { progress: &Silent, cancel: ctx.cancel };
    let fold_count = settings.folds as usize;
    ctx.progress.start("choose C", Some((grid.len() * fold_count) as u64), "fits");
    let mut fold_scores = vec![Vec::new(); grid.len()];
    for fold in 0..settings.folds {
        let rows = |keep: &dyn Fn(u32) -> bool| -> Vec<u32> {
            (0..folds.len() as u32).filter(|&row| keep(folds[row as usize])).collect()
        };
        let (train, held_out) = (rows(&|of| of != fold), rows(&|of| of == fold));
        for (scores, &c) in fold_scores.iter_mut().zip(&grid) {
            let (scaler, model) = ridge(features, values, &train, c, settings, &quiet)?;
            let mut unseen = features.select_rows(&held_out);
            scaler.transform(&mut unseen)?;
            let predicted = model.decision_function(&unseen)?;
            scores.push(settings.metric.of_values(&picked(values, &held_out), &as_f64(&predicted))?);
            ctx.progress.advance(1);
        }
    }
    ctx.progress.finish();
    let selection = select(&grid, fold_scores, settings.metric);
    let all: Vec<u32> = (0..values.len() as u32).collect();
    let (scaler, model) = ridge(features, values, &all, selection.c, settings, &quiet)?;
    let head =
        LinearHead::new(HeadParts { scaler, model, classes: Vec::new(), feature_names, c: selection.c })?;
    Ok((head, selection))
}

fn sorted_grid(c_grid: &[f64]) -> Result<Vec<f64>> {
    let mut grid = c_grid.to_vec();
    grid.sort_by(f64::total_cmp);
    grid.dedup();
    if grid.is_empty() || grid.iter().any(|c| !(c.is_finite() && *c > 0.0)) {
        let problem = "there is no candidate, or one that is not a positive number";
        return Err(Error::config("c_grid", problem, "give positive numbers, such as 0.01, 1 and 100"));
    }
    Ok(grid)
}

fn ridge(
    features: &Features,
    values: &[f64],
    rows: &[u32],
    c: f64,
    settings: &ClassifySettings,
    ctx: &Context,
) -> Result<(Scaler, LinearModel)> {
    let mut training = features.select_rows(rows);
    let scaler = Scaler::fit(settings.scaling, &training)?;
    scaler.transform(&mut training)?;
    let model = RidgeRegression { alpha: 1.0 / c }.fit(&training, &picked(values, rows), ctx)?;
    Ok((scaler, model))
}

fn select(grid: &[f64], fold_scores: Vec<Vec<f64>>, metric: Metric) -> Selection {
    let candidate = |(&c, fold_scores): (&f64, Vec<f64>)| {
        let mean = fold_scores.iter().sum::<f64>() / fold_scores.len() as f64;
        CandidateScore { c, fold_scores, mean }
    };
    let candidates: Vec<CandidateScore> = grid.iter().zip(fold_scores).map(candidate).collect();
    let sign = if metric.is_greater_better() { 1.0 } else { -1.0 };
    let mut best = &candidates[0];
    for candidate in &candidates[1..] {
        if sign * candidate.mean > sign * best.mean + TIE {
            best = candidate;
        }
    }
    let c = best.c;
    Selection { candidates, c }
}

fn picked(values: &[f64], rows: &[u32]) -> Vec<f64> {
    rows.iter().map(|&row| values[row as usize]).collect()
}

fn as_f64(matrix: &DenseMatrix) -> Vec<f64> {
    matrix.values().iter().map(|&value| f64::from(value)).collect()
}

/// The task's usual metrics of some rows, by name; one that is not defined for them is left out.
fn measure(
    head: &LinearHead,
    features: &Features,
    labels: &Labels,
    rows: &[u32],
) -> Result<BTreeMap<String, f64>> {
    use Metric::{
        Accuracy, BalancedAccuracy, HammingLoss, LogLoss, MacroF1, Mcc, MeanAbsoluteError, MeanSquaredError,
        MicroF1, Pearson, RSquared, Spearman, SubsetAccuracy,
    };
    let picked = rows.iter().map(|&row| row as usize);
    match labels {
        Labels::Single { ids, .. } => {
            let actual: Vec<u32> = picked.map(|row| ids[row]).collect();
            let probabilities = head.predict_proba(features)?;
            let of = |metric: Metric| metric.of_classes(&actual, &probabilities);
            Ok(named([Accuracy, BalancedAccuracy, MacroF1, Mcc, LogLoss], of))
        }
        Labels::Multi { names, sets } => {
            let actual = memberships(sets, names.len(), rows);
            let probabilities = head.predict_proba(features)?;
            let of = |metric: Metric| metric.of_labels(&actual, &probabilities);
            Ok(named([MicroF1, MacroF1, SubsetAccuracy, HammingLoss, LogLoss], of))
        }
        Labels::Numbers(values) => {
            let actual: Vec<f64> = picked.map(|row| f64::from(values[row])).collect();
            let predicted = as_f64(&head.decision_function(features)?);
            let of = |metric: Metric| metric.of_values(&actual, &predicted);
            Ok(named([MeanSquaredError, MeanAbsoluteError, RSquared, Pearson, Spearman], of))
        }
    }
}

fn named(metrics: [Metric; 5], of: impl Fn(Metric) -> Result<f64>) -> BTreeMap<String, f64> {
    let name = |metric: Metric| serde_json::to_value(metric).ok()?.as_str().map(str::to_owned);
    metrics.into_iter().filter_map(|metric| Some((name(metric)?, of(metric).ok()?))).collect()
}
