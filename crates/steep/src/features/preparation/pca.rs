//! Principal components of vectors: `PCA(svd_solver="full")`, by the covariance's eigenvectors.

use crate::error::{Error, Result};
use crate::features::eigen::{Eigen, symmetric_eigen};
use crate::features::matrix::DenseMatrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows summed by one task; their number does not depend on the threads, so neither do the sums.
const CHUNK_ROWS: usize = 4096;

/// The mean and the directions of the greatest variance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pca {
    pub(super) components: usize,
    width: usize,
    /// The part of the variance that the components hold.
    pub(super) explained_variance_ratio: f64,
    /// `[width]`; kept with the tensors.
    #[serde(skip)]
    pub(super) mean: Vec<f64>,
    /// `[components, width]`; the largest entry of a row is positive, as in scikit-learn.
    #[serde(skip)]
    pub(super) directions: Vec<f64>,
}

impl Pca {
    /// Learns from training rows.
    ///
    /// # Errors
    /// More components than columns, or than rows.
    pub(super) fn fit(training: &DenseMatrix, components: usize) -> Result<Self> {
        let (rows, width) = (training.rows(), training.columns());
        if components == 0 || components > width.min(rows) {
            let problem =
                format!("{components} components of {width} dimensions and {rows} rows are not possible");
            return Err(Error::config("pca_components", problem, format!("give 1 to {}", width.min(rows))));
        }
        let sums = in_chunks(training, width, |sums, row| {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        });
        let mean: Vec<f64> = sums.iter().map(|sum| sum / rows as f64).collect();
        let Eigen { values, vectors } = symmetric_eigen(scatter(training, &mean), width);
        let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
        // Values ascend; the greatest variance comes first.
        let mut directions = vectors.rchunks_exact(width).take(components).collect::<Vec<_>>().concat();
        directions.chunks_exact_mut(width).for_each(turn);
        let explained = values.iter().rev().take(components).map(|value| value.max(0.0)).sum::<f64>();
        Ok(Self {
            components,
            width,
            explained_variance_ratio: if total > 0.0 { explained / total } else { 1.0 },
            mean,
            directions,
        })
    }

    /// The coordinates of rows: `[rows, components]`.
    pub(super) fn apply(&self, rows: &DenseMatrix) -> Vec<f32> {
        let row = |row: &[f32], out: &mut [f32]| {
            let centered: Vec<f64> =
                row.iter().zip(&self.mean).map(|(value, mean)| f64::from(*value) - mean).collect();
            for (out, direction) in out.iter_mut().zip(self.directions.chunks_exact(self.width)) {
                *out = centered.iter().zip(direction).map(|(value, along)| value * along).sum::<f64>() as f32;
            }
        };
        let mut values = vec![0.0; rows.rows() * self.components];
        let outs = values.par_chunks_mut(self.components).with_min_len(64);
        rows.values()
            .par_chunks(self.width)
            .with_min_len(64)
            .zip(outs)
            .for_each(|(from, out)| row(from, out));
        values
    }

    pub(super) fn is_whole(&self, width: usize) -> bool {
        self.width == width
            && width > 0
            && self.components > 0
            && self.mean.len() == width
            && self.components.checked_mul(width) == Some(self.directions.len())
            && self.mean.iter().chain(&self.directions).all(|value| value.is_finite())
    }
}

/// Turns a direction so that its entry of the largest size is positive.
fn turn(direction: &mut [f64]) {
    let largest = direction
        .iter()
        .copied()
        .fold(0.0_f64, |best, value| if value.abs() > best.abs() { value } else { best });
    if largest < 0.0 {
        direction.iter_mut().for_each(|value| *value = -*value);
    }
}

/// The sum of the products of centred columns: `[width, width]`.
fn scatter(training: &DenseMatrix, mean: &[f64]) -> Vec<f64> {
    let width = mean.len();
    let mut products = in_chunks(training, width * width, |sums, row| {
        let centered: Vec<f64> = row.iter().zip(mean).map(|(value, mean)| f64::from(*value) - mean).collect();
        for (at, &value) in centered.iter().enumerate() {
            let row = &mut sums[at * width + at..(at + 1) * width];
            row.iter_mut().zip(&centered[at..]).for_each(|(sum, other)| *sum += value * other);
        }
    });
    for row in 0..width {
        for column in 0..row {
            products[row * width + column] = products[column * width + row];
        }
    }
    products
}

fn in_chunks(matrix: &DenseMatrix, sums: usize, add_row: impl Fn(&mut [f64], &[f32]) + Sync) -> Vec<f64> {
    let chunk = matrix.rows().div_ceil(16).max(CHUNK_ROWS);
    let partial: Vec<Vec<f64>> = matrix
        .values()
        .par_chunks(chunk * matrix.columns())
        .map(|block| {
            let mut partial = vec![0.0; sums];
            block.chunks_exact(matrix.columns()).for_each(|row| add_row(&mut partial, row));
            partial
        })
        .collect();
    let mut total = vec![0.0; sums];
    for partial in partial {
        total.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
    total
}
