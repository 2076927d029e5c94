//! A linear support vector machine with the squared hinge loss, one class against the rest, equal to scikit-learn's
//! `LinearSVC`.
//!
//! Minimised is, for each output, `C Σ wᵢ max(0, 1 − yᵢ fᵢ)² + (‖w‖² + b²) / 2`: as in LIBLINEAR the intercept is
//! penalised like a weight. The outputs' objectives add up and are solved in one run. Decisions are no probabilities
//! and are calibrated.

use crate::error::{Error, Result};
use crate::features::matrix::Features;
use crate::learners::conditioning::{Conditioned, Intercepts};
use crate::learners::labels::{ClassWeight, Labels, class_factors, given_factors};
use crate::learners::linear_fit::{FitReport, PenalizedFit};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::logistic_regression::check_two_classes;
use crate::learners::row_loss::RowLoss;
use crate::progress::Context;

/// How to fit; names and meanings are scikit-learn's.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearSvm {
    /// How much each class counts: the factor of its own rows, against 1 for the rest.
    pub class_weight: ClassWeight,
    /// The fit ends when no derivative of the mean objective is larger.
    pub tolerance: f64,
    /// The fit ends after so many steps at the latest.
    pub max_iterations: usize,
}

impl LinearSvm {
    /// Fits once for each `C`, ascending, each from the weights of the one before, and hands each model on.
    ///
    /// Errors: features that are not finite, lengths that differ, one class only, a `C` that is not positive, a
    /// requested stop.
    pub fn fit_each(
        &self,
        features: &Features,
        labels: &Labels,
        c_grid: &[f64],
        context: &Context<'_>,
        mut each: impl FnMut(LinearModel, FitReport) -> Result<()>,
    ) -> Result<()> {
        if features.rows() != labels.rows() || labels.rows() == 0 {
            let problem = format!("{} rows of features and {} labels", features.rows(), labels.rows());
            return Err(Error::config(
                "labels",
                problem,
                "give one label for each row, and at least one row",
            ));
        }
        features.check_finite()?;
        let (loss, outputs, link) = self.loss(labels)?;
        let rows = Conditioned::new(features, Intercepts::Penalized);
        let columns = features.columns();
        let mut parameters = vec![0.0; (columns + 1) * outputs];
        for &c in c_grid {
            if !(c.is_finite() && c > 0.0) {
                let problem = format!("{c} is not a positive number");
                return Err(Error::config("c", problem, "give a positive inverse strength, such as 1.0"));
            }
            let fit = PenalizedFit {
                rows: &rows,
                loss: &loss,
                bends: loss.bends(outputs),
                intercepts: Intercepts::Penalized,
                total_weight: features.rows() as f64,
                c,
                tolerance: self.tolerance,
                max_iterations: self.max_iterations,
            };
            let (fitted, report) = fit.run(parameters, context)?;
            each(LinearModel::from_parameters(&fitted, columns, link), report)?;
            parameters = fitted;
        }
        Ok(())
    }

    fn loss(&self, labels: &Labels) -> Result<(RowLoss, usize, Link)> {
        let weights = vec![1.0; labels.rows()];
        let (positives, factors, link) = match labels {
            Labels::SingleLabel { indices, class_count } => {
                check_two_classes(indices)?;
                let positions = indices.iter().map(|&index| index as usize);
                let factors = class_factors(&self.class_weight, positions, &weights, *class_count)?;
                if *class_count == 2 {
                    let positives = indices.iter().map(|&index| index == 1).collect();
                    (positives, vec![[factors[0], factors[1]]], Link::Binary)
                } else {
                    let row = |&index: &u32| (0..*class_count).map(move |class| class == index as usize);
                    let factors = factors.into_iter().map(|factor| [1.0, factor]).collect();
                    (indices.iter().flat_map(row).collect(), factors, Link::Softmax)
                }
            }
            Labels::MultiLabel { members, label_count } => {
                (members.clone(), self.label_factors(members, *label_count)?, Link::MultiLabel)
            }
        };
        let outputs = factors.len();
        Ok((RowLoss::SquaredHinge { positives, weights, factors }, outputs, link))
    }

    /// The factors of rows without and with each label.
    fn label_factors(&self, members: &[bool], label_count: usize) -> Result<Vec<[f64; 2]>> {
        if let ClassWeight::Given(factors) = &self.class_weight {
            return Ok(given_factors(factors, label_count)?
                .into_iter()
                .map(|factor| [1.0, factor])
                .collect());
        }
        let weights = vec![1.0; members.len() / label_count];
        let of_label = |label: usize| {
            let column = members.iter().skip(label).step_by(label_count);
            let factors =
                class_factors(&self.class_weight, column.map(|&member| usize::from(member)), &weights, 2)?;
            Ok([factors[0], factors[1]])
        };
        (0..label_count).map(of_label).collect()
    }
}
