//! How differently do two encoders see the same texts?

use super::vectors::{for_each_row_of_products, of_unit_length, wide};
use crate::error::{Error, Result};
use crate::features::eigen::symmetric_eigen;
use crate::features::matrix::DenseMatrix;
use crate::learners::products::add_transposed_product;
use crate::progress::Context;
use std::cmp::Ordering;

/// What is alike in two encoders' vectors of the same texts, each 1 where nothing differs but a rotation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Linear centred kernel alignment (Kornblith et al. 2019): `‖YᵀX‖² / (‖XᵀX‖ · ‖YᵀY‖)` of the columns with their means
    /// taken off, in Frobenius norms; `None` where all vectors of an encoder are the same. The scale makes no difference.
    pub cka: Option<f64>,
    /// The mean share of a text's `k` nearest others, by cosine, that both encoders agree on.
    pub neighbour_overlap: f64,
    /// The mean cosine of a text's two vectors after the best rotation or reflection of one encoder's (orthogonal Procrustes,
    /// Schönemann 1966): the sum of the singular values of `XᵀY` divided by the number of texts, vectors being of length one.
    /// `None` where widths differ.
    pub procrustes_cosine: Option<f64>,
}

/// Compares vectors `[texts, width]` and `[texts, other width]`; of texts equally near the earlier is the nearer.
///
/// # Errors
/// Different numbers of texts, or not more than `neighbours` of them; a stop on request.
pub fn drift(x: &DenseMatrix, y: &DenseMatrix, neighbours: usize, ctx: &Context) -> Result<Drift> {
    if x.rows() != y.rows() || x.rows() <= neighbours || neighbours == 0 {
        let problem = format!("{} and {} texts, {neighbours} neighbours of each", x.rows(), y.rows());
        return Err(Error::config("n_neighbors", problem, "give more texts, or a smaller number"));
    }
    let (x_unit, y_unit) = (of_unit_length(x), of_unit_length(y));
    Ok(Drift {
        cka: linear_cka(x, y),
        neighbour_overlap: overlap(&x_unit, &y_unit, neighbours, ctx)?,
        procrustes_cosine: (x.columns() == y.columns()).then(|| procrustes_cosine(&x_unit, &y_unit)),
    })
}

fn linear_cka(x: &DenseMatrix, y: &DenseMatrix) -> Option<f64> {
    let (x, y) = (Wide::centred(x), Wide::centred(y));
    let norms = squared_norm(&x.product(&x)).sqrt() * squared_norm(&y.product(&y)).sqrt();
    (norms > 0.0).then(|| squared_norm(&y.product(&x)) / norms)
}

fn procrustes_cosine(x: &DenseMatrix, y: &DenseMatrix) -> f64 {
    let cross = Wide::of(x).product(&Wide::of(y));
    let width = x.columns();
    let mut square = vec![0.0; width * width];
    add_transposed_product(&cross, &cross, [width, width, width], &mut square);
    let singular = symmetric_eigen(square, width).values;
    singular.iter().map(|value| value.max(0.0).sqrt()).sum::<f64>() / x.rows() as f64
}

/// A matrix in 64 bits.
struct Wide {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
}

impl Wide {
    fn of(matrix: &DenseMatrix) -> Self {
        Self { values: wide(matrix), rows: matrix.rows(), columns: matrix.columns() }
    }

    /// With the mean of each column taken off.
    fn centred(matrix: &DenseMatrix) -> Self {
        let mut wide = Self::of(matrix);
        let mut means = vec![0.0; wide.columns];
        for row in wide.values.chunks_exact(means.len().max(1)) {
            means.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / wide.rows as f64);
        }
        for row in wide.values.chunks_exact_mut(means.len().max(1)) {
            row.iter_mut().zip(&means).for_each(|(value, mean)| *value -= mean);
        }
        wide
    }

    /// `selfᵀ · other`.
    fn product(&self, other: &Self) -> Vec<f64> {
        let mut product = vec![0.0; self.columns * other.columns];
        let sizes = [self.rows, self.columns, other.columns];
        add_transposed_product(&self.values, &other.values, sizes, &mut product);
        product
    }
}

fn squared_norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn overlap(x: &DenseMatrix, y: &DenseMatrix, neighbours: usize, ctx: &Context) -> Result<f64> {
    let (x, y) = (nearest_others(x, neighbours, ctx)?, nearest_others(y, neighbours, ctx)?);
    let shared = x.iter().zip(&y).map(|(x, y)| x.iter().filter(|row| y.contains(row)).count());
    Ok(shared.sum::<usize>() as f64 / (x.len() * neighbours) as f64)
}

/// For each row the rows nearest to it, itself left out.
fn nearest_others(vectors: &DenseMatrix, neighbours: usize, ctx: &Context) -> Result<Vec<Vec<u32>>> {
    let mut nearest = Vec::with_capacity(vectors.rows());
    for_each_row_of_products(vectors, vectors, |row, products| {
        if ctx.cancel.check().is_err() {
            return;
        }
        let mut others: Vec<u32> =
            (0..products.len() as u32).filter(|&other| other as usize != row).collect();
        let order = |a: &u32, b: &u32| -> Ordering {
            products[*b as usize].total_cmp(&products[*a as usize]).then(a.cmp(b))
        };
        others.select_nth_unstable_by(neighbours - 1, order);
        others.truncate(neighbours);
        nearest.push(others);
    });
    ctx.cancel.check()?;
    Ok(nearest)
}
