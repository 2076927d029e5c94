//! Ridge regression, equal to scikit-learn's `Ridge`: minimises `‖y − X w − b‖² + alpha ‖w‖²`, `b` not penalised.
//!
//! Dense features of moderate width are solved exactly, by Cholesky's method on the normal equations in 64 bits;
//! sparse or very wide ones by conjugate gradients.

use crate::error::{Error, Result};
use crate::features::matrix::Features;
use crate::features::sums::{dot, inner_product};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::moments::{Right, centered_products, column_means};
use crate::progress::Context;
use serde::{Deserialize, Serialize};

/// Wider features are solved by conjugate gradients.
const MAX_CHOLESKY_COLUMNS: usize = 2048;
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
        check_values(features, values)?;
        let targets = Targets { values, width: 1, weights: None };
        RidgeSystem::new(features, targets)?.solve(self.alpha, Link::Identity, context)
    }
}

/// What a linear model is to give for each row.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// `[rows, width]`.
    pub(crate) values: &'a [f64],
    pub(crate) width: usize,
    /// How much each row counts.
    pub(crate) weights: Option<&'a [f64]>,
}

/// Checked features and centred targets, to be solved with any number of penalties.
pub(crate) struct RidgeSystem<'a> {
    features: &'a Features,
    weights: Option<&'a [f64]>,
    /// `[rows, width]`.
    centered: Vec<f64>,
    target_means: Vec<f64>,
    column_means: Vec<f64>,
    /// `Xᵀ X` and `Xᵀ Y` of centred columns, where that is to be solved exactly.
    normal: Option<(Vec<f64>, Vec<f64>)>,
}

impl<'a> RidgeSystem<'a> {
    /// Centres finite features and targets; an error if features are not finite.
    pub(crate) fn new(features: &'a Features, targets: Targets<'a>) -> Result<Self> {
        features.check_finite()?;
        let Targets { values, width, weights } = targets;
        let target_means = weighted_means(values, width, weights);
        let centered: Vec<f64> = values
            .chunks_exact(width)
            .flat_map(|row| row.iter().zip(&target_means).map(|(v, mean)| v - mean))
            .collect();
        let (column_means, normal) = match features {
            Features::Dense(matrix) if matrix.columns() <= MAX_CHOLESKY_COLUMNS => {
                let means = column_means(matrix, weights);
                let right = Right { values: &centered, width };
                let normal = centered_products(matrix, &means, weights, right);
                (means, Some(normal))
            }
            _ => (means_by_product(features, weights), None),
        };
        Ok(Self { features, weights, centered, target_means, column_means, normal })
    }

    /// The weights with this penalty.
    pub(crate) fn solve(&self, alpha: f64, link: Link, context: &Context<'_>) -> Result<LinearModel> {
        if !(alpha.is_finite() && alpha >= 0.0) {
            let problem = format!("{alpha} is not a penalty");
            return Err(Error::config("alpha", problem, "give a number that is not negative, such as 1.0"));
        }
        let (columns, width) = (self.column_means.len(), self.target_means.len());
        let mut parameters = vec![0.0; columns * width];
        match &self.normal {
            Some((gram, moments)) => {
                let mut gram = gram.clone();
                (0..columns).for_each(|column| gram[column * columns + column] += alpha);
                factorize(&mut gram, columns)?;
                for output in 0..width {
                    let right = moments.iter().skip(output).step_by(width.max(1)).copied().collect();
                    put_column(&mut parameters, output, width, &substitute(&gram, right));
                }
            }
            None => {
                for output in 0..width {
                    let target: Vec<f64> =
                        self.centered.iter().skip(output).step_by(width).copied().collect();
                    put_column(
                        &mut parameters,
                        output,
                        width,
                        &self.solve_by_gradients(&target, alpha, context)?,
                    );
                }
            }
        }
        for (output, mean) in self.target_means.iter().enumerate() {
            let weights = parameters[..columns * width].iter().skip(output).step_by(width);
            let shift: f64 = weights.zip(&self.column_means).map(|(weight, mean)| weight * mean).sum();
            parameters.push(mean - shift);
        }
        Ok(LinearModel::from_parameters(&parameters, columns, link))
    }

    /// Conjugate gradients on the normal equations.
    fn solve_by_gradients(&self, target: &[f64], alpha: f64, context: &Context<'_>) -> Result<Vec<f64>> {
        let matrix = Centered { features: self.features, means: &self.column_means, weights: self.weights };
        let mut residual = matrix.multiply_transposed(target);
        let (mut weights, mut direction) = (vec![0.0; residual.len()], residual.clone());
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
        Ok(weights)
    }
}

fn put_column(parameters: &mut [f64], output: usize, width: usize, values: &[f64]) {
    parameters.iter_mut().skip(output).step_by(width).zip(values).for_each(|(to, value)| *to = *value);
}

pub(crate) fn check_values(features: &Features, values: &[f64]) -> Result<()> {
    if features.rows() != values.len() || values.is_empty() {
        let problem = format!("{} rows of features and {} values", features.rows(), values.len());
        return Err(Error::config("values", problem, "give one value for each row, and at least one row"));
    }
    if let Some(row) = values.iter().position(|value| !value.is_finite()) {
        let problem = format!("row {}: {} is not a finite number", row + 1, values[row]);
        return Err(Error::config("values", problem, "leave out rows without a value"));
    }
    Ok(())
}

fn weighted_means(values: &[f64], width: usize, weights: Option<&[f64]>) -> Vec<f64> {
    let (mut sums, mut total) = (vec![0.0; width], 0.0);
    for (row, values) in values.chunks_exact(width).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        total += weight;
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
    }
    sums.into_iter().map(|sum| sum / total).collect()
}

fn means_by_product(features: &Features, weights: Option<&[f64]>) -> Vec<f64> {
    let ones: Vec<f32> =
        (0..features.rows()).map(|row| weights.map_or(1.0, |weights| weights[row] as f32)).collect();
    let total: f64 = ones.iter().map(|&one| f64::from(one)).sum();
    let mut sums = vec![0.0; features.columns()];
    features.multiply_transposed(&ones, 1, &mut sums);
    sums.into_iter().map(|sum| sum / total).collect()
}

/// Replaces the lower triangle of a symmetric matrix by its Cholesky factor.
pub(crate) fn factorize(matrix: &mut [f64], size: usize) -> Result<()> {
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
pub(crate) fn substitute(factor: &[f64], mut right: Vec<f64>) -> Vec<f64> {
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
    means: &'a [f64],
    weights: Option<&'a [f64]>,
}

impl Centered<'_> {
    /// `Xᵀ D u` of centred columns, `D` being the row weights.
    fn multiply_transposed(&self, values: &[f64]) -> Vec<f64> {
        let weight = |row: usize| self.weights.map_or(1.0, |weights| weights[row]);
        let values: Vec<f64> = values.iter().enumerate().map(|(row, value)| weight(row) * value).collect();
        let sum: f64 = values.iter().sum();
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let mut product = vec![0.0; self.means.len()];
        self.features.multiply_transposed(&values, 1, &mut product);
        product.iter_mut().zip(self.means).for_each(|(value, mean)| *value -= mean * sum);
        product
    }

    /// `(Xᵀ D X + alpha) v` of centred columns.
    fn multiply_normal(&self, vector: &[f64], alpha: f64) -> Vec<f64> {
        let shift = inner_product(vector, self.means);
        let weights: Vec<f32> = vector.iter().map(|&value| value as f32).collect();
        let mut fitted = vec![0.0; self.features.rows()];
        self.features.multiply(&weights, 1, &mut fitted);
        let fitted: Vec<f64> = fitted.into_iter().map(|value| f64::from(value) - shift).collect();
        let mut product = self.multiply_transposed(&fitted);
        product.iter_mut().zip(vector).for_each(|(value, entry)| *value += alpha * entry);
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::matrix::{DenseMatrix, SparseMatrix};
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
