//! Features in coordinates in which a fit with an L2 penalty takes few steps.
//!
//! The columns of embeddings are correlated and differ in size, so that the loss is a long valley, along which L-BFGS
//! zigzags. Dense features are therefore centred and turned onto the axes of their covariance. Neither changes the
//! minimum: the penalty knows no direction, and intercepts, which are not penalised, take up the means. On the axes
//! the loss is bent in each direction by a known amount, by which the steps of the fit are scaled. Sparse or wide
//! features keep their columns and are only scaled.

use crate::features::eigen::symmetric_eigen;
use crate::features::matrix::{DenseMatrix, Features};
use crate::learners::moments::{Right, centered_products, column_means};
use crate::learners::products::{add_transposed_product, product_f64};
use rayon::prelude::*;
use std::borrow::Cow;

/// Wider features are not turned: the axes would cost more than the steps they save.
const MAX_TURNED_COLUMNS: usize = 1024;
/// Rows turned at a time.
const BLOCK_ROWS: usize = 512;

/// Whether the penalty leaves the intercepts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intercepts {
    /// They are free, so that columns may be centred.
    Free,
    /// They are penalised as another weight.
    Penalized,
}

/// Features, turned or as given.
pub(crate) struct Conditioned<'a> {
    features: Cow<'a, Features>,
    basis: Option<Basis>,
    /// The mean square of each column.
    moments: Vec<f64>,
}

/// New coordinates: `axes · (row − means)`.
struct Basis {
    /// `[columns, columns]`, orthogonal.
    axes: Vec<f64>,
    means: Vec<f64>,
}

impl<'a> Conditioned<'a> {
    /// Turns dense features of moderate width; they must be finite.
    pub(crate) fn new(features: &'a Features, intercepts: Intercepts) -> Self {
        match features {
            Features::Dense(matrix) if (2..=MAX_TURNED_COLUMNS).contains(&matrix.columns()) => {
                Self::turned(matrix, intercepts)
            }
            _ => Self::as_given(features),
        }
    }

    /// Leaves the columns as they are, for penalties that know directions.
    pub(crate) fn as_given(features: &'a Features) -> Self {
        let moments = mean_squares(features);
        Self { features: Cow::Borrowed(features), basis: None, moments }
    }

    fn turned(matrix: &DenseMatrix, intercepts: Intercepts) -> Self {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        let means = match intercepts {
            Intercepts::Free => column_means(matrix, None),
            Intercepts::Penalized => vec![0.0; columns],
        };
        let (gram, _) = centered_products(matrix, &means, None, Right { values: &[], width: 0 });
        let eigen = symmetric_eigen(gram, columns);
        let moments = eigen.values.iter().map(|value| value.max(0.0) / rows as f64).collect();
        let axes = eigen.vectors;
        let turned = turned_rows(matrix, &axes, &means);
        let turned = DenseMatrix::new(rows, columns, turned).expect("as many values as before");
        let features = Cow::Owned(Features::Dense(turned));
        Self { features, basis: Some(Basis { axes, means }), moments }
    }

    /// The features to fit on.
    pub(crate) fn features(&self) -> &Features {
        &self.features
    }

    /// The mean square of each column of [`Self::features`].
    pub(crate) fn moments(&self) -> &[f64] {
        &self.moments
    }

    /// Parameters (`[columns, outputs]` weights, then intercepts) in the coordinates of the fit.
    pub(crate) fn turn(&self, parameters: Vec<f64>, outputs: usize) -> Vec<f64> {
        let Some(Basis { axes, means }) = &self.basis else { return parameters };
        let columns = means.len();
        let (weights, intercepts) = parameters.split_at(columns * outputs);
        let mut turned = product_f64(axes, weights, [columns, columns, outputs]);
        let shifts = product_f64(means, weights, [1, columns, outputs]);
        turned.extend(intercepts.iter().zip(shifts).map(|(intercept, shift)| intercept + shift));
        turned
    }

    /// The inverse of [`Self::turn`].
    pub(crate) fn turn_back(&self, parameters: Vec<f64>, outputs: usize) -> Vec<f64> {
        let Some(Basis { axes, means }) = &self.basis else { return parameters };
        let columns = means.len();
        let (weights, intercepts) = parameters.split_at(columns * outputs);
        let mut given = vec![0.0; columns * outputs];
        add_transposed_product(axes, weights, [columns, columns, outputs], &mut given);
        let shifts = product_f64(means, &given, [1, columns, outputs]);
        given.extend(intercepts.iter().zip(shifts).map(|(intercept, shift)| intercept - shift));
        given
    }

    /// The largest absolute derivative by a parameter in the given coordinates. `gradient` is that of the fit's;
    /// the penalty's part in it turns like weights, the data's part takes the means back.
    pub(crate) fn largest_derivative(&self, gradient: &[f64], outputs: usize) -> f64 {
        let Some(Basis { axes, means }) = &self.basis else { return largest(gradient) };
        let columns = means.len();
        let (weights, intercepts) = gradient.split_at(columns * outputs);
        let mut given = vec![0.0; columns * outputs];
        add_transposed_product(axes, weights, [columns, columns, outputs], &mut given);
        for (row, mean) in given.chunks_exact_mut(outputs).zip(means) {
            row.iter_mut().zip(intercepts).for_each(|(value, slope)| *value += mean * slope);
        }
        largest(&given).max(largest(intercepts))
    }
}

/// `axes · (row − means)` of each row, in 64 bits until the end: along short axes large terms cancel.
fn turned_rows(matrix: &DenseMatrix, axes: &[f64], means: &[f64]) -> Vec<f32> {
    let columns = means.len();
    let mut by_column = vec![0.0; axes.len()];
    for (axis, values) in axes.chunks_exact(columns).enumerate() {
        values.iter().enumerate().for_each(|(column, value)| by_column[column * columns + axis] = *value);
    }
    let of_block = |rows: &[f32]| -> Vec<f32> {
        let centered: Vec<f64> = rows
            .chunks_exact(columns)
            .flat_map(|row| row.iter().zip(means).map(|(value, mean)| f64::from(*value) - mean))
            .collect();
        let turned = product_f64(&centered, &by_column, [rows.len() / columns, columns, columns]);
        turned.into_iter().map(|value| value as f32).collect()
    };
    let blocks: Vec<Vec<f32>> = matrix.values().par_chunks(BLOCK_ROWS * columns).map(of_block).collect();
    blocks.concat()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

fn mean_squares(features: &Features) -> Vec<f64> {
    let mut sums = vec![0.0; features.columns()];
    match features {
        Features::Dense(matrix) => {
            for row in 0..matrix.rows() {
                let values = sums.iter_mut().zip(matrix.row(row));
                values.for_each(|(sum, value)| *sum += f64::from(*value) * f64::from(*value));
            }
        }
        Features::Sparse(matrix) => {
            for row in 0..matrix.rows() {
                let (indices, values) = matrix.row(row);
                for (&column, &value) in indices.iter().zip(values) {
                    sums[column as usize] += f64::from(value) * f64::from(value);
                }
            }
        }
    }
    let rows = features.rows().max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum /= rows);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Features {
        let values =
            (0..60 * 4).map(|at| ((at * 37 % 101) as f32 / 20.0) * [1.0, 5.0, 0.1, 2.0][at % 4] + 1.0);
        Features::Dense(DenseMatrix::new(60, 4, values.collect()).unwrap())
    }

    #[test]
    fn turned_parameters_give_the_same_logits_and_turn_back() {
        let features = features();
        let parameters: Vec<f64> = (0..10).map(|at| f64::from(at * 7 % 5) - 2.0).collect();
        for intercepts in [Intercepts::Free, Intercepts::Penalized] {
            let conditioned = Conditioned::new(&features, intercepts);
            let turned = conditioned.turn(parameters.clone(), 2);
            let logits = |features: &Features, parameters: &[f64]| {
                let weights: Vec<f32> = parameters[..8].iter().map(|&value| value as f32).collect();
                let mut logits = vec![0.0; 120];
                features.multiply(&weights, 2, &mut logits);
                logits.iter_mut().enumerate().for_each(|(at, logit)| *logit += parameters[8 + at % 2] as f32);
                logits
            };
            let (given, new) = (logits(&features, &parameters), logits(conditioned.features(), &turned));
            assert!(given.iter().zip(&new).all(|(a, b)| (a - b).abs() < 1e-4));
            let back = conditioned.turn_back(turned, 2);
            assert!(back.iter().zip(&parameters).all(|(a, b)| (a - b).abs() < 1e-10));
        }
    }

    #[test]
    fn the_axes_are_uncorrelated() {
        let features = features();
        let conditioned = Conditioned::new(&features, Intercepts::Free);
        let Features::Dense(turned) = conditioned.features() else { unreachable!("dense stays dense") };
        for a in 0..4 {
            for b in 0..4 {
                let mean =
                    (0..60).map(|row| f64::from(turned.row(row)[a] * turned.row(row)[b])).sum::<f64>() / 60.0;
                let expected = if a == b { conditioned.moments()[a] } else { 0.0 };
                assert!((mean - expected).abs() < 1e-4, "{a} {b}: {mean} {expected}");
            }
        }
    }
}
