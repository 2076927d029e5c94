//! Linear discriminant analysis, equal to scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr")`.
//!
//! Classes are taken for normal distributions with their own means and one covariance. The covariance is the mean of
//! those within classes, each drawn towards a multiple of the identity as Ledoit & Wolf (2004), "A well-conditioned
//! estimator for large-dimensional covariance matrices", find best. Without shrinkage the result is also that of the
//! solver `svd`. With several labels a row, each label is a problem of two classes.

use crate::error::{Error, Result};
use crate::features::eigen::{Eigen, symmetric_eigen};
use crate::features::matrix::DenseMatrix;
use crate::learners::labels::Labels;
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::logistic_regression::check_two_classes;
use crate::learners::moments::{Right, centered_products, column_means};
use crate::learners::nearest_centroid::{Line, NEVER, difference, joined};
use crate::learners::products::{add_transposed_product, product_f64};
use crate::learners::ridge::{factorize, substitute};
use crate::progress::Context;
use serde::{Deserialize, Serialize};

/// How far covariances are drawn towards a multiple of the identity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrinkage {
    /// As Ledoit and Wolf find best for each class.
    Auto,
    /// Not at all.
    None,
    /// This share, from 0 to 1.
    Share(f64),
}

/// Fits means and covariance.
///
/// Errors: one class only, a share outside 0 to 1, a requested stop.
pub fn fit_discriminant(
    features: &DenseMatrix,
    labels: &Labels,
    shrinkage: Shrinkage,
    context: &Context<'_>,
) -> Result<LinearModel> {
    if let Shrinkage::Share(share) = shrinkage
        && !(0.0..=1.0).contains(&share)
    {
        let problem = format!("{share} is not a share");
        return Err(Error::config("shrinkage", problem, "give a number from 0 to 1, or auto"));
    }
    let columns = features.columns();
    match labels {
        Labels::SingleLabel { indices, class_count } => {
            check_two_classes(indices)?;
            let lines = discriminants(features, indices, *class_count, shrinkage, context)?;
            if *class_count == 2 {
                return Ok(joined(&[difference(&lines[0], &lines[1])], columns, Link::Binary));
            }
            Ok(joined(&lines, columns, Link::Softmax))
        }
        Labels::MultiLabel { members, label_count } => {
            let of_label = |label: usize| {
                let column = members.iter().skip(label).step_by(*label_count);
                let indices: Vec<u32> = column.map(|&member| u32::from(member)).collect();
                let lines = discriminants(features, &indices, 2, shrinkage, context)?;
                Ok(difference(&lines[0], &lines[1]))
            };
            let lines = (0..*label_count).map(of_label).collect::<Result<Vec<_>>>()?;
            Ok(joined(&lines, columns, Link::MultiLabel))
        }
    }
}

/// The logarithm of each class's density times its share, as a linear function of the row.
fn discriminants(
    features: &DenseMatrix,
    indices: &[u32],
    class_count: usize,
    shrinkage: Shrinkage,
    context: &Context<'_>,
) -> Result<Vec<Line>> {
    let columns = features.columns();
    let mut rows_of_classes = vec![Vec::new(); class_count];
    indices.iter().enumerate().for_each(|(row, &index)| rows_of_classes[index as usize].push(row as u32));
    let (mut covariance, mut means) = (vec![0.0; columns * columns], vec![0.0; class_count * columns]);
    for (rows, mean) in rows_of_classes.iter().zip(means.chunks_exact_mut(columns.max(1))) {
        context.cancel.check()?;
        if rows.is_empty() {
            continue;
        }
        let prior = rows.len() as f64 / indices.len() as f64;
        let of_class = features.select_rows(rows);
        mean.copy_from_slice(&column_means(&of_class, None));
        let own = class_covariance(&of_class, mean, shrinkage);
        covariance.iter_mut().zip(own).for_each(|(sum, value)| *sum += prior * value);
    }
    let solved = solve(covariance, &means, class_count, columns);
    let line = |class: usize| {
        let span = class * columns..(class + 1) * columns;
        let (mean, weights) = (&means[span.clone()], solved[span].to_vec());
        let rows = rows_of_classes[class].len() as f64;
        let distance: f64 = mean.iter().zip(&weights).map(|(mean, weight)| mean * weight).sum();
        let intercept = if rows > 0.0 { -0.5 * distance + (rows / indices.len() as f64).ln() } else { NEVER };
        Line { weights, intercept }
    };
    Ok((0..class_count).map(line).collect())
}

fn class_covariance(rows: &DenseMatrix, mean: &[f64], shrinkage: Shrinkage) -> Vec<f64> {
    let (count, columns) = (rows.rows() as f64, rows.columns());
    let (mut covariance, _) = centered_products(rows, mean, None, Right { values: &[], width: 0 });
    covariance.iter_mut().for_each(|value| *value /= count);
    match shrinkage {
        Shrinkage::None => {}
        Shrinkage::Share(share) => draw(&mut covariance, columns, share),
        Shrinkage::Auto => {
            // Within standardised columns, and back.
            let deviation = |at: usize| covariance[at * columns + at].sqrt();
            let scale: Vec<f64> =
                (0..columns).map(deviation).map(|value| if value > 0.0 { value } else { 1.0 }).collect();
            let by_scale = |values: &mut [f64], change: fn(f64, f64) -> f64| {
                for (row, left) in values.chunks_exact_mut(columns).zip(&scale) {
                    row.iter_mut()
                        .zip(&scale)
                        .for_each(|(value, right)| *value = change(*value, left * right));
                }
            };
            by_scale(&mut covariance, |value, scale| value / scale);
            let share = ledoit_wolf(rows, mean, &scale, &covariance);
            draw(&mut covariance, columns, share);
            by_scale(&mut covariance, |value, scale| value * scale);
        }
    }
    covariance
}

/// Draws a covariance towards its mean variance times the identity.
fn draw(covariance: &mut [f64], columns: usize, share: f64) {
    let mean = (0..columns).map(|at| covariance[at * columns + at]).sum::<f64>() / columns as f64;
    covariance.iter_mut().for_each(|value| *value *= 1.0 - share);
    (0..columns).for_each(|at| covariance[at * columns + at] += share * mean);
}

/// The best share, for rows of which `mean` is subtracted and which are divided by `scale`, with that covariance.
fn ledoit_wolf(rows: &DenseMatrix, mean: &[f64], scale: &[f64], covariance: &[f64]) -> f64 {
    let (count, columns) = (rows.rows() as f64, mean.len());
    let square = |row: usize| -> f64 {
        let entries = rows.row(row).iter().zip(mean).zip(scale);
        entries.map(|((value, mean), scale)| ((f64::from(*value) - mean) / scale).powi(2)).sum()
    };
    let fourth: f64 = (0..rows.rows()).map(square).map(|square| square * square).sum();
    let trace: f64 = (0..columns).map(|at| covariance[at * columns + at]).sum();
    let average = trace / columns as f64;
    let squares: f64 = covariance.iter().map(|value| value * value).sum();
    let noise = (fourth / count - squares) / (columns as f64 * count);
    let spread = (squares - 2.0 * average * trace + columns as f64 * average * average) / columns as f64;
    let noise = noise.min(spread);
    if noise == 0.0 { 0.0 } else { noise / spread }
}

/// `covariance⁻¹ · mean` of each class, `[classes, columns]`; on a singular covariance the shortest solution.
fn solve(covariance: Vec<f64>, means: &[f64], class_count: usize, columns: usize) -> Vec<f64> {
    let mut factor = covariance.clone();
    if factorize(&mut factor, columns).is_ok() {
        let solve = |mean: &[f64]| substitute(&factor, mean.to_vec());
        return means.chunks_exact(columns.max(1)).flat_map(solve).collect();
    }
    let Eigen { values, vectors } = symmetric_eigen(covariance, columns);
    let largest = values.last().copied().unwrap_or(0.0);
    let cutoff = largest * f64::EPSILON * columns as f64;
    // `[columns, classes]`: the means along each axis, divided by the variance there.
    let mut along = vec![0.0; columns * class_count];
    let mut columns_of_means = vec![0.0; columns * class_count];
    for class in 0..class_count {
        (0..columns).for_each(|at| columns_of_means[at * class_count + class] = means[class * columns + at]);
    }
    let products = product_f64(&vectors, &columns_of_means, [columns, columns, class_count]);
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > cutoff) {
        for class in 0..class_count {
            along[at * class_count + class] = products[at * class_count + class] / value;
        }
    }
    let mut solved = vec![0.0; class_count * columns];
    add_transposed_product(&along, &vectors, [columns, class_count, columns], &mut solved);
    solved
}
