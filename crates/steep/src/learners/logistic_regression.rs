//! Logistic regression with an L2, L1 or elastic-net penalty, equal to scikit-learn's `LogisticRegression`.
//!
//! Minimised is `C Σ wᵢ lossᵢ + (1 − r) ‖W‖² / 2 + r ‖W‖₁`, `wᵢ` being sample weight times class weight and `r` the L1
//! ratio; intercepts are not penalised.
//!
//! - Three or more classes: softmax over all classes. The common shift of the intercepts, which the loss leaves
//!   open, is chosen so that they add up to 0.
//! - Two classes: one sigmoid output for the second class, as scikit-learn does; the softmax of two outputs would
//!   be penalised differently.
//! - Several labels a row: one binary problem for each label, as scikit-learn's `OneVsRestClassifier`, solved in one
//!   run because the objectives simply add up.

use crate::error::{Error, Result};
use crate::features::matrix::Features;
use crate::learners::conditioning::{Conditioned, Intercepts};
use crate::learners::elastic_net::ElasticNetFit;
use crate::learners::labels::{
    ClassWeight, Labels, SampleWeights, class_factors, given_factors, labels_error,
};
use crate::learners::linear_fit::{FitReport, PenalizedFit};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::row_loss::RowLoss;
use crate::progress::Context;
use serde::{Deserialize, Serialize};

/// How to fit; names and meanings are scikit-learn's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticRegression {
    /// The inverse strength of the penalty, above 0; default 1.
    pub c: f64,
    /// The share of the L1 norm in the penalty, from 0 (L2, the default) to 1 (L1).
    pub l1_ratio: f64,
    /// How much each class counts; default all the same.
    pub class_weight: ClassWeight,
    /// The fit ends when no derivative of the mean objective is larger; default 1e-4.
    pub tolerance: f64,
    /// The fit ends after so many steps at the latest; default 1,000.
    pub max_iterations: usize,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self { c: 1.0, l1_ratio: 0.0, class_weight: ClassWeight::None, tolerance: 1e-4, max_iterations: 1000 }
    }
}

/// What a learner is fitted on.
#[derive(Debug, Clone, Copy)]
pub struct TrainingRows<'a> {
    /// The rows' features.
    pub features: &'a Features,
    /// The rows' labels.
    pub labels: &'a Labels,
    /// How much each row counts.
    pub sample_weights: SampleWeights<'a>,
}

impl LogisticRegression {
    /// Fits from zero weights and the classes' log-odds.
    ///
    /// Errors: features that are not finite, lengths that differ, fewer than two classes among the rows, options out
    /// of range, a requested stop.
    pub fn fit(&self, rows: &TrainingRows<'_>, context: &Context<'_>) -> Result<(LinearModel, FitReport)> {
        check_rows(rows)?;
        self.fit_conditioned(&self.condition(rows.features), rows, None, context)
    }

    /// Fits from the weights of another model, such as one fitted with another `c`.
    pub fn fit_from(
        &self,
        start: &LinearModel,
        rows: &TrainingRows<'_>,
        context: &Context<'_>,
    ) -> Result<(LinearModel, FitReport)> {
        check_rows(rows)?;
        self.fit_conditioned(&self.condition(rows.features), rows, Some(start), context)
    }

    /// Prepares finite features for any number of fits.
    pub(crate) fn condition<'a>(&self, features: &'a Features) -> Conditioned<'a> {
        if self.l1_ratio > 0.0 {
            return Conditioned::as_given(features);
        }
        Conditioned::new(features, Intercepts::Free)
    }

    /// Fits on features that [`Self::condition`] prepared from those of `rows`.
    pub(crate) fn fit_conditioned(
        &self,
        conditioned: &Conditioned<'_>,
        rows: &TrainingRows<'_>,
        start: Option<&LinearModel>,
        context: &Context<'_>,
    ) -> Result<(LinearModel, FitReport)> {
        let problem = Problem::new(self, conditioned, rows)?;
        let Some(start) = start else {
            let start = problem.first_parameters();
            return problem.solve(start, context);
        };
        if (start.columns, start.outputs()) != (rows.features.columns(), problem.outputs) {
            let problem = "the model to start from has other columns or classes";
            return Err(Error::config(
                "start",
                problem,
                "start from a model of the same features and labels",
            ));
        }
        problem.solve(start.parameters(), context)
    }

    fn check(&self) -> Result<()> {
        if !(self.c.is_finite() && self.c > 0.0) {
            let problem = format!("{} is not a positive number", self.c);
            return Err(Error::config("c", problem, "give a positive inverse strength, such as 1.0"));
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            let problem = format!("{} is not a tolerance", self.tolerance);
            return Err(Error::config("tolerance", problem, "give a small number such as 1e-4"));
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            let problem = format!("{} is not a share", self.l1_ratio);
            return Err(Error::config("l1_ratio", problem, "give a number from 0 (L2) to 1 (L1)"));
        }
        Ok(())
    }
}

/// A checked fit.
struct Problem<'a> {
    options: &'a LogisticRegression,
    rows: &'a Conditioned<'a>,
    loss: RowLoss,
    outputs: usize,
    total_weight: f64,
    link: Link,
}

impl<'a> Problem<'a> {
    fn new(
        options: &'a LogisticRegression,
        conditioned: &'a Conditioned<'a>,
        rows: &TrainingRows<'_>,
    ) -> Result<Self> {
        options.check()?;
        let row_weights = rows.sample_weights.of_rows(rows.labels.rows())?;
        match rows.labels {
            Labels::SingleLabel { indices, class_count } => {
                Self::single_label(options, conditioned, indices, *class_count, row_weights)
            }
            Labels::MultiLabel { members, label_count } => {
                Self::multi_label(options, conditioned, members, *label_count, row_weights)
            }
        }
    }

    fn single_label(
        options: &'a LogisticRegression,
        rows: &'a Conditioned<'a>,
        indices: &[u32],
        class_count: usize,
        row_weights: Vec<f64>,
    ) -> Result<Self> {
        check_two_classes(indices)?;
        let positions = indices.iter().map(|&index| index as usize);
        let factors = class_factors(&options.class_weight, positions, &row_weights, class_count)?;
        let weights: Vec<f64> = indices
            .iter()
            .zip(row_weights)
            .map(|(&index, weight)| weight * factors[index as usize])
            .collect();
        let total_weight = check_total(weights.iter().sum())?;
        let (loss, outputs, link) = if class_count == 2 {
            let positives = indices.iter().map(|&index| index == 1).collect();
            (RowLoss::Logistic { positives, weights, factors: vec![[1.0; 2]] }, 1, Link::Binary)
        } else {
            (RowLoss::Softmax { classes: indices.to_vec(), weights }, class_count, Link::Softmax)
        };
        Ok(Self { options, rows, loss, outputs, total_weight, link })
    }

    fn multi_label(
        options: &'a LogisticRegression,
        rows: &'a Conditioned<'a>,
        members: &[bool],
        label_count: usize,
        row_weights: Vec<f64>,
    ) -> Result<Self> {
        let total_weight = check_total(row_weights.iter().sum())?;
        let factors = match &options.class_weight {
            ClassWeight::Given(factors) => {
                given_factors(factors, label_count)?.into_iter().map(|factor| [1.0, factor]).collect()
            }
            balanced_or_none => (0..label_count)
                .map(|label| {
                    let column = members.iter().skip(label).step_by(label_count);
                    let positions = column.map(|&member| usize::from(member));
                    let factors = class_factors(balanced_or_none, positions, &row_weights, 2)?;
                    Ok([factors[0], factors[1]])
                })
                .collect::<Result<Vec<_>>>()?,
        };
        let loss = RowLoss::Logistic { positives: members.to_vec(), weights: row_weights, factors };
        Ok(Self { options, rows, loss, outputs: label_count, total_weight, link: Link::MultiLabel })
    }

    /// Zero weights, and the log-odds of smoothed frequencies as intercepts, so that a label that no row has starts
    /// where its optimum lies: far below zero.
    fn first_parameters(&self) -> Vec<f64> {
        let mut parameters = vec![0.0; self.rows.features().columns() * self.outputs];
        let sums = self.loss.positive_weights(self.outputs);
        match &self.loss {
            RowLoss::Softmax { .. } => parameters.extend(sums.iter().map(|[_, sum]| (sum + 0.5).ln())),
            RowLoss::Logistic { .. } | RowLoss::SquaredHinge { .. } => {
                parameters.extend(
                    sums.iter().map(|[negative, positive]| ((positive + 0.5) / (negative + 0.5)).ln()),
                );
            }
        }
        parameters
    }

    fn solve(&self, mut start: Vec<f64>, context: &Context<'_>) -> Result<(LinearModel, FitReport)> {
        self.center_intercepts(&mut start);
        context.progress.start("fit logistic regression", None, "steps");
        let bends = self.loss.bends(self.outputs);
        let (mut parameters, report) = if self.options.l1_ratio > 0.0 {
            let fit = ElasticNetFit {
                rows: self.rows,
                loss: &self.loss,
                bends,
                total_weight: self.total_weight,
                c: self.options.c,
                l1_ratio: self.options.l1_ratio,
                tolerance: self.options.tolerance,
                max_iterations: self.options.max_iterations,
            };
            fit.run(start, context)?
        } else {
            let fit = PenalizedFit {
                rows: self.rows,
                loss: &self.loss,
                bends,
                intercepts: Intercepts::Free,
                total_weight: self.total_weight,
                c: self.options.c,
                tolerance: self.options.tolerance,
                max_iterations: self.options.max_iterations,
            };
            fit.run(start, context)?
        };
        context.progress.finish();
        self.center_intercepts(&mut parameters);
        let columns = self.rows.features().columns();
        Ok((LinearModel::from_parameters(&parameters, columns, self.link), report))
    }

    fn center_intercepts(&self, parameters: &mut [f64]) {
        if self.link == Link::Softmax {
            let intercepts = &mut parameters[self.rows.features().columns() * self.outputs..];
            let mean = intercepts.iter().sum::<f64>() / intercepts.len() as f64;
            for intercept in intercepts {
                *intercept -= mean;
            }
        }
    }
}

pub(crate) fn check_rows(rows: &TrainingRows<'_>) -> Result<()> {
    let (feature_rows, label_rows) = (rows.features.rows(), rows.labels.rows());
    if feature_rows != label_rows || label_rows == 0 {
        let problem = format!("{feature_rows} rows of features and {label_rows} labels");
        return Err(labels_error(problem, "give one label for each row, and at least one row"));
    }
    rows.features.check_finite()
}

pub(crate) fn check_two_classes(indices: &[u32]) -> Result<()> {
    if indices.iter().any(|index| index != &indices[0]) {
        return Ok(());
    }
    let problem = format!("all training rows have class {}", indices[0]);
    Err(labels_error(problem, "train on rows of at least two classes, or use the majority baseline"))
}

pub(crate) fn check_total(total: f64) -> Result<f64> {
    if total > 0.0 {
        return Ok(total);
    }
    Err(labels_error("the sample weights add up to 0", "give at least one row a positive weight"))
}
