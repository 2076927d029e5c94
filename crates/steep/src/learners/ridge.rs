//! Ridge regression, equal to scikit-learn's `Ridge`: minimises `‖y − X w − b‖² + alpha ‖w‖²`, `b` not penalised.
//!
//! Dense features of moderate width are solved exactly, by Cholesky's method on the normal equations in 64 bits;
//! sparse or very wide ones by conjugate gradients.

use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::sums::{dot, inner_product};
use crate::progress::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use steep_kernels::small_product::{Order, matrix_product};

/// Wider features are solved by conjugate gradients.
const MAX_CHOLESKY_COLUMNS: usize = 2048;
/// Partial Gram matrices held at once.
const GRAM_PARTS: usize = 8;
/// Rows centred at a time.
const BLOCK_ROWS: usize = 512;
/// Conjugate gradients end at this share of the first residual; products are in 32 bits.
const RESIDUAL_TOLERANCE: f64 = 1e-7;
/// Conjugate gradients end after so many steps at the latest.
const MAX_GRADIENT_STEPS: usize = 1000;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeRegression {
    /// The strength of the penalty, not negative.
    pub alpha: f64,
}

impl RidgeRegression {
    /// Fits one value for each row.
    ///
    /// Errors: features or values that are not finite, lengths that differ, equations without a unique solution, a
    /// requested stop.
    pub fn fit(&self, features: &Features, values: &[f64], context: &Context<'_>) -> Result<LinearModel> {
        self.check(features, values)?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let centered: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let (weights, column_means) = match features {
            Features::Dense(matrix) if matrix.columns() <= MAX_CHOLESKY_COLUMNS => {
                solve_exactly(matrix, &centered, self.alpha)?
            }
            _ => solve_by_gradients(features, &centered, self.alpha, context)?,
        };
        let intercept = mean - inner_product(&weights, &column_means);
        let mut parameters = weights;
        parameters.push(intercept);
        Ok(LinearModel::from_parameters(&parameters, features.columns(), Link::Identity))
    }

    fn check(self, features: &Features, values: &[f64]) -> Result<()> {
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            let problem = format!("{} is not a penalty", self.alpha);
            return Err(Error::config("alpha", problem, "give a number that is not negative, such as 1.0"));
        }
        if features.rows() != values.len() || values.is_empty() {
            let problem = format!("{} rows of features and {} values", features.rows(), values.len());
            return Err(Error::config(
                "values",
                problem,
                "give one value for each row, and at least one row",
            ));
        }
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("row {}: {} is not a finite number", row + 1, values[row]);
            return Err(Error::config("values", problem, "leave out rows without a value"));
        }
        features.check_finite()
    }
}

fn solve_exactly(matrix: &DenseMatrix, centered: &[f64], alpha: f64) -> Result<(Vec<f64>, Vec<f64>)> {
    let columns = matrix.columns();
    let means = dense_means(matrix);
    let (mut gram, moments) = normal_equations(matrix, &means, centered);
    for column in 0..columns {
        gram[column * columns + column] += alpha;
    }
    factorize(&mut gram, columns)?;
    Ok((substitute(&gram, moments), means))
}

fn dense_means(matrix: &DenseMatrix) -> Vec<f64> {
    let mut sums = vec![0.0; matrix.columns()];
    for row in 0..matrix.rows() {
        sums.iter_mut().zip(matrix.row(row)).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.into_iter().map(|sum| sum / matrix.rows() as f64).collect()
}

/// `Xᵀ X` and `Xᵀ y` of centred columns.
fn normal_equations(matrix: &DenseMatrix, means: &[f64], centered: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let columns = matrix.columns();
    let (mut gram, mut moments) = (vec![0.0; columns * columns], vec![0.0; columns]);
    if columns == 0 {
        return (gram, moments);
    }
    let part_rows = matrix.rows().div_ceil(GRAM_PARTS).max(BLOCK_ROWS);
    let parts: Vec<(Vec<f64>, Vec<f64>)> = matrix
        .values()
        .par_chunks(part_rows * columns)
        .zip(centered.par_chunks(part_rows))
        .map(|(rows, values)| normal_part(rows, means, values))
        .collect();
    for (gram_part, moments_part) in parts {
        gram.iter_mut().zip(gram_part).for_each(|(sum, part)| *sum += part);
        moments.iter_mut().zip(moments_part).for_each(|(sum, part)| *sum += part);
    }
    (gram, moments)
}

fn normal_part(rows: &[f32], means: &[f64], values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let columns = means.len();
    let (mut gram, mut moments) = (vec![0.0; columns * columns], vec![0.0; columns]);
    let mut product = vec![0.0; columns * columns];
    for (block, values) in rows.chunks(BLOCK_ROWS * columns).zip(values.chunks(BLOCK_ROWS)) {
        let block: Vec<f64> = block
            .chunks_exact(columns)
            .flat_map(|row| row.iter().zip(means).map(|(value, mean)| f64::from(*value) - mean))
            .collect();
        let shape = [columns, values.len(), columns];
        matrix_product(&block, Order::Transposed, &block, shape, &mut product);
        gram.iter_mut().zip(&product).for_each(|(sum, part)| *sum += part);
        for (row, value) in block.chunks_exact(columns).zip(values) {
            moments.iter_mut().zip(row).for_each(|(sum, entry)| *sum += entry * value);
        }
    }
    (gram, moments)
}

/// Replaces the lower triangle of a symmetric matrix by its Cholesky factor.
fn factorize(matrix: &mut [f64], size: usize) -> Result<()> {
    let largest = (0..size).map(|at| matrix[at * size + at]).fold(0.0, f64::max);
    for row in 0..size {
        let (done, rest) = matrix.split_at_mut(row * size);
        let current = &mut rest[..size];
        for column in 0..row {
            let factor = &done[column * size..][..=column];
            let sum = dot(&current[..column], &factor[..column]);
            current[column] = (current[column] - sum) / factor[column];
        }
        let pivot = current[row] - dot(&current[..row], &current[..row]);
        if pivot <= largest * f64::EPSILON * size as f64 {
            let problem = format!("column {} depends on the columns before it", row + 1);
            return Err(Error::config("alpha", problem, "raise `alpha`, or leave the column out"));
        }
        current[row] = pivot.sqrt();
    }
    Ok(())
}

/// Solves `L Lᵀ x = right`.
fn substitute(factor: &[f64], mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for row in 0..size {
        let sum = dot(&factor[row * size..][..row], &right[..row]);
        right[row] = (right[row] - sum) / factor[row * size + row];
    }
    for row in (0..size).rev() {
        right[row] /= factor[row * size + row];
        let solved = right[row];
        let entries = &factor[row * size..][..row];
        right[..row].iter_mut().zip(entries).for_each(|(value, entry)| *value -= entry * solved);
    }
    right
}

/// Features whose columns are centred without being written out: sparse ones stay sparse.
struct Centered<'a> {
    features: &'a Features,
    means: Vec<f64>,
}

impl Centered<'_> {
    /// `Xᵀ u` of centred columns.
    fn multiply_transposed(&self, values: &[f64]) -> Vec<f64> {
        let sum: f64 = values.iter().sum();
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let mut product = vec![0.0; self.means.len()];
        self.features.multiply_transposed(&values, 1, &mut product);
        product.iter_mut().zip(&self.means).for_each(|(value, mean)| *value -= mean * sum);
        product
    }

    /// `(Xᵀ X + alpha) v` of centred columns.
    fn multiply_normal(&self, vector: &[f64], alpha: f64) -> Vec<f64> {
        let shift = inner_product(vector, &self.means);
        let weights: Vec<f32> = vector.iter().map(|&value| value as f32).collect();
        let mut fitted = vec![0.0; self.features.rows()];
        self.features.multiply(&weights, 1, &mut fitted);
        let fitted: Vec<f64> = fitted.into_iter().map(|value| f64::from(value) - shift).collect();
        let mut product = self.multiply_transposed(&fitted);
        product.iter_mut().zip(vector).for_each(|(value, entry)| *value += alpha * entry);
        product
    }
}

fn solve_by_gradients(
    features: &Features,
    centered: &[f64],
    alpha: f64,
    context: &Context<'_>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let columns = features.columns();
    let mut sums = vec![0.0; columns];
    features.multiply_transposed(&vec![1.0; features.rows()], 1, &mut sums);
    let means = sums.into_iter().map(|sum| sum / features.rows() as f64).collect();
    let matrix = Centered { features, means };
    let mut residual = matrix.multiply_transposed(centered);
    let (mut weights, mut direction) = (vec![0.0; columns], residual.clone());
    let first = inner_product(&residual, &residual);
    let mut length = first;
    for _ in 0..MAX_GRADIENT_STEPS {
        context.cancel.check()?;
        if length <= first * RESIDUAL_TOLERANCE * RESIDUAL_TOLERANCE {
            break;
        }
        let product = matrix.multiply_normal(&direction, alpha);
        let curvature = inner_product(&direction, &product);
        if curvature <= 0.0 {
            break;
        }
        let step = length / curvature;
        weights.iter_mut().zip(&direction).for_each(|(weight, value)| *weight += step * value);
        residual.iter_mut().zip(&product).for_each(|(value, change)| *value -= step * change);
        let next = inner_product(&residual, &residual);
        direction.iter_mut().zip(&residual).for_each(|(old, value)| *old = value + next / length * *old);
        length = next;
    }
    Ok((weights, matrix.means))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::matrix::SparseMatrix;
    use crate::progress::{Cancel, Silent};

    fn fit(alpha: f64, features: &Features, values: &[f64]) -> Result<LinearModel> {
        RidgeRegression { alpha }.fit(
            features,
            values,
            &Context { progress: &Silent, cancel: &Cancel::default() },
        )
    }

    #[test]
    fn an_exact_line_is_recovered() {
        let features = Features::Dense(DenseMatrix::new(4, 1, vec![1.0, 2.0, 3.0, 5.0]).unwrap());
        let model = fit(0.0, &features, &[5.0, 7.0, 9.0, 13.0]).unwrap();
        assert!((model.coefficients[0] - 2.0).abs() < 1e-6 && (model.intercepts[0] - 3.0).abs() < 1e-6);
    }

    #[test]
    fn both_solvers_agree() {
        let value =
            |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0) * f32::from(u8::from(!i.is_multiple_of(3)));
        let values: Vec<f32> = (0..600).map(value).collect();
        let entries: Vec<Vec<(u32, f32)>> =
            values.chunks(6).map(|row| (0..).zip(row.iter().copied()).collect()).collect();
        let targets: Vec<f64> = (0..100).map(|i| f64::from(i * 53 % 17)).collect();
        let dense = Features::Dense(DenseMatrix::new(100, 6, values).unwrap());
        let sparse = Features::Sparse(SparseMatrix::from_rows(6, &entries).unwrap());
        let (exact, iterated) = (fit(0.5, &dense, &targets).unwrap(), fit(0.5, &sparse, &targets).unwrap());
        let pairs = exact.coefficients.iter().zip(&iterated.coefficients);
        assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-4);
        assert!((exact.intercepts[0] - iterated.intercepts[0]).abs() < 1e-4);
    }

    #[test]
    fn dependent_columns_without_penalty_are_an_error_with_a_cure() {
        let values = vec![1.0, 2.0, 2.0, 4.0, 3.0, 6.0];
        let features = Features::Dense(DenseMatrix::new(3, 2, values).unwrap());
        assert!(fit(0.0, &features, &[1.0, 2.0, 3.0]).unwrap_err().hint().unwrap().contains("alpha"));
        assert!(fit(0.1, &features, &[1.0, 2.0, 3.0]).is_ok());
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let features = Features::Dense(DenseMatrix::new(2, 1, vec![1.0, 2.0]).unwrap());
        assert!(fit(1.0, &features, &[1.0]).is_err());
        assert!(fit(1.0, &features, &[1.0, f64::NAN]).is_err());
        assert!(fit(-1.0, &features, &[1.0, 2.0]).is_err());
    }
}
