//! The class whose mean row is closest; scikit-learn's `NearestCentroid`.
//!
//! That is a linear model: half the squared distance to a mean `m` is `‖x‖² / 2 − (x · m − ‖m‖² / 2)`, and the first
//! part is the same for all classes. With several labels a row, each label compares the means of its members and of
//! the others. Decisions are no probabilities and are calibrated.

use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::learners::labels::Labels;
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::logistic_regression::check_two_classes;
use crate::learners::moments::column_means;

/// The decision for a class without rows: below all others.
pub(crate) const NEVER: f64 = -1e30;

/// Fits the means.
///
/// Errors: features that are not finite, one class only.
pub fn fit_nearest_centroid(features: &DenseMatrix, labels: &Labels) -> Result<LinearModel> {
    let columns = features.columns();
    match labels {
        Labels::SingleLabel { indices, class_count } => {
            check_two_classes(indices)?;
            let of_class = |class: usize| {
                let weights: Vec<f64> =
                    indices.iter().map(|&index| f64::from(u8::from(index as usize == class))).collect();
                line(features, &weights)
            };
            let lines: Vec<Line> = (0..*class_count).map(of_class).collect();
            if *class_count == 2 {
                return Ok(joined(&[difference(&lines[0], &lines[1])], columns, Link::Binary));
            }
            Ok(joined(&lines, columns, Link::Softmax))
        }
        Labels::MultiLabel { members, label_count } => {
            let of_label = |label: usize| {
                let column = || members.iter().skip(label).step_by(*label_count);
                let weights: Vec<f64> = column().map(|&member| f64::from(u8::from(member))).collect();
                let others: Vec<f64> = weights.iter().map(|weight| 1.0 - weight).collect();
                difference(&line(features, &others), &line(features, &weights))
            };
            let lines: Vec<Line> = (0..*label_count).map(of_label).collect();
            Ok(joined(&lines, columns, Link::MultiLabel))
        }
    }
}

/// Weights and intercept of one output.
pub(crate) struct Line {
    pub(crate) weights: Vec<f64>,
    pub(crate) intercept: f64,
}

fn line(features: &DenseMatrix, row_weights: &[f64]) -> Line {
    if row_weights.iter().all(|weight| *weight == 0.0) {
        return Line { weights: vec![0.0; features.columns()], intercept: NEVER };
    }
    let mean = column_means(features, Some(row_weights));
    let intercept = -0.5 * mean.iter().map(|value| value * value).sum::<f64>();
    Line { weights: mean, intercept }
}

/// What speaks for the second of two lines.
pub(crate) fn difference(first: &Line, second: &Line) -> Line {
    let weights = second.weights.iter().zip(&first.weights).map(|(second, first)| second - first).collect();
    Line { weights, intercept: second.intercept - first.intercept }
}

/// One output for each line.
pub(crate) fn joined(lines: &[Line], columns: usize, link: Link) -> LinearModel {
    LinearModel {
        coefficients: lines
            .iter()
            .flat_map(|line| line.weights.iter().map(|&weight| weight as f32))
            .collect(),
        intercepts: lines.iter().map(|line| line.intercept as f32).collect(),
        columns,
        link,
    }
}
