//! Ridge regression on the signs of memberships, equal to scikit-learn's `RidgeClassifier`.
//!
//! Each class or label has a target of 1 for its rows and −1 for the others; two classes share one target. Decisions
//! are no probabilities and are calibrated.

use crate::error::Result;
use crate::features::matrix::Features;
use crate::learners::labels::{ClassWeight, Labels, class_factors, labels_error};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::logistic_regression::check_two_classes;
use crate::learners::ridge::{RidgeSystem, Targets};
use crate::progress::Context;

/// How to fit; names and meanings are scikit-learn's.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeClassifier {
    /// How much each class counts; with several labels a row only `None` is possible.
    pub class_weight: ClassWeight,
}

impl RidgeClassifier {
    /// Fits once for each penalty `alpha` and hands each model on, in the order of `alphas`.
    ///
    /// Errors: features that are not finite, lengths that differ, one class only, a requested stop.
    pub fn fit_each(
        &self,
        features: &Features,
        labels: &Labels,
        alphas: &[f64],
        context: &Context<'_>,
        mut each: impl FnMut(LinearModel) -> Result<()>,
    ) -> Result<()> {
        if features.rows() != labels.rows() || labels.rows() == 0 {
            let problem = format!("{} rows of features and {} labels", features.rows(), labels.rows());
            return Err(labels_error(problem, "give one label for each row, and at least one row"));
        }
        let (values, width, link) = signs(labels)?;
        let weights = self.row_weights(labels)?;
        let targets = Targets { values: &values, width, weights: weights.as_deref() };
        let system = RidgeSystem::new(features, targets)?;
        for &alpha in alphas {
            context.cancel.check()?;
            each(system.solve(alpha, link, context)?)?;
        }
        Ok(())
    }

    fn row_weights(&self, labels: &Labels) -> Result<Option<Vec<f64>>> {
        match (labels, &self.class_weight) {
            (_, ClassWeight::None) => Ok(None),
            (Labels::SingleLabel { indices, class_count }, class_weight) => {
                let positions = indices.iter().map(|&index| index as usize);
                let factors =
                    class_factors(class_weight, positions, &vec![1.0; indices.len()], *class_count)?;
                Ok(Some(indices.iter().map(|&index| factors[index as usize]).collect()))
            }
            (Labels::MultiLabel { .. }, _) => Err(labels_error(
                "ridge takes no class weights where a row may have several labels",
                "leave class_weight out, or take another learner",
            )),
        }
    }
}

/// Targets `[rows, width]` of 1 and −1.
fn signs(labels: &Labels) -> Result<(Vec<f64>, usize, Link)> {
    let sign = |positive: bool| if positive { 1.0 } else { -1.0 };
    match labels {
        Labels::SingleLabel { indices, class_count: 2 } => {
            check_two_classes(indices)?;
            Ok((indices.iter().map(|&index| sign(index == 1)).collect(), 1, Link::Binary))
        }
        Labels::SingleLabel { indices, class_count } => {
            check_two_classes(indices)?;
            let row = |&index: &u32| (0..*class_count).map(move |class| sign(class == index as usize));
            Ok((indices.iter().flat_map(row).collect(), *class_count, Link::Softmax))
        }
        Labels::MultiLabel { members, label_count } => {
            Ok((members.iter().map(|&member| sign(member)).collect(), *label_count, Link::MultiLabel))
        }
    }
}
