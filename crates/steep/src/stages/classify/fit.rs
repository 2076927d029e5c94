//! The classifier or regression for features and labels.

use super::ClassifySettings;
use super::features::NamedFeatures;
use super::learners::choice;
use super::rows::Rows;
use crate::data::{Labels, Task, k_folds};
use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::matrix::{DenseMatrix, Features};
use crate::learners::choice::LearnerScore;
use crate::learners::head::{Head, HeadNames};
use crate::learners::labels::Labels as Classes;
use crate::learners::linear_fit::FitReport;
use crate::learners::targets::{GroupedTargets, Targets, group_numbers};
use crate::progress::Context;
use std::collections::BTreeMap;

/// A fitted classifier and what was measured on the way.
pub(super) struct Fitted {
    pub(super) head: Head,
    pub(super) learners: Vec<LearnerScore>,
    pub(super) best: usize,
    pub(super) report: Option<FitReport>,
    pub(super) fit_seconds: f64,
    pub(super) metrics: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Fits on the training rows, learner and parameter chosen on folds of them, and measures on the others.
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
    let task = match &rows.labels {
        Labels::Single { .. } => Task::SingleLabel,
        Labels::Multi { .. } => Task::MultiLabel,
        Labels::Numbers(_) => Task::Regression,
    };
    let choice = choice(settings, task)?;
    let groups = rows.groups.as_ref();
    let groups = groups.map(|of| group_numbers(rows.train.iter().map(|&row| of[row as usize].as_str())));
    let of = |targets| GroupedTargets { targets, groups: groups.as_deref() };
    let chosen = match &rows.labels {
        Labels::Numbers(values) => {
            let values: Vec<f64> = rows.train.iter().map(|&row| f64::from(values[row as usize])).collect();
            choice.fit(&training, of(Targets::Values(&values)), &folds, ctx)?
        }
        labels => {
            let training_labels = classes(labels, &rows.train)?;
            choice.fit(&training, of(Targets::Classes(&training_labels)), &folds, ctx)?
        }
    };
    let (learners, best) = (chosen.scores.clone(), chosen.best);
    let (report, fit_seconds) = (chosen.report.clone(), chosen.fit_seconds);
    let names = HeadNames { task, classes: class_names(&rows.labels).to_vec(), features: names };
    let head = Head::new(chosen, names)?;
    let mut metrics = BTreeMap::new();
    for (part, part_rows) in [("validation", &rows.validation), ("test", &rows.test)] {
        if !part_rows.is_empty() {
            let measured = measure(&head, &features.select_rows(part_rows), &rows.labels, part_rows)?;
            metrics.insert(part.to_owned(), measured);
        }
    }
    Ok(Fitted { head, learners, best, report, fit_seconds, metrics })
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

fn as_f64(matrix: &DenseMatrix) -> Vec<f64> {
    matrix.values().iter().map(|&value| f64::from(value)).collect()
}

/// The task's usual metrics of some rows, by name; one that is not defined for them is left out.
fn measure(head: &Head, features: &Features, labels: &Labels, rows: &[u32]) -> Result<BTreeMap<String, f64>> {
    use Metric::{
        Accuracy, BalancedAccuracy, HammingLoss, LogLoss, MacroF1, Mcc, MeanAbsoluteError, MeanSquaredError,
        MicroF1, Pearson, RSquared, Spearman, SubsetAccuracy,
    };
    let picked = rows.iter().map(|&row| row as usize);
    match labels {
        Labels::Single { ids, .. } => {
            let actual: Vec<u32> = picked.map(|row| ids[row]).collect();
            let probabilities = head.predict(features)?;
            let of = |metric: Metric| metric.of_classes(&actual, &probabilities);
            Ok(named([Accuracy, BalancedAccuracy, MacroF1, Mcc, LogLoss], of))
        }
        Labels::Multi { names, sets } => {
            let actual = memberships(sets, names.len(), rows);
            let probabilities = head.predict(features)?;
            let of = |metric: Metric| metric.of_labels(&actual, &probabilities);
            Ok(named([MicroF1, MacroF1, SubsetAccuracy, HammingLoss, LogLoss], of))
        }
        Labels::Numbers(values) => {
            let actual: Vec<f64> = picked.map(|row| f64::from(values[row])).collect();
            let predicted = as_f64(&head.predict(features)?);
            let of = |metric: Metric| metric.of_values(&actual, &predicted);
            Ok(named([MeanSquaredError, MeanAbsoluteError, RSquared, Pearson, Spearman], of))
        }
    }
}

fn named(metrics: [Metric; 5], of: impl Fn(Metric) -> Result<f64>) -> BTreeMap<String, f64> {
    let name = |metric: Metric| serde_json::to_value(metric).ok()?.as_str().map(str::to_owned);
    metrics.into_iter().filter_map(|metric| Some((name(metric)?, of(metric).ok()?))).collect()
}
