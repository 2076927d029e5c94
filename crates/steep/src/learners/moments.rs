//! Means and second moments of dense columns in 64 bits, the same for any number of threads.

use crate::features::matrix::DenseMatrix;
use crate::learners::products::add_transposed_product;
use rayon::prelude::*;

/// Partial sums held at once.
const PARTS: usize = 8;
/// Rows centred at a time.
const BLOCK_ROWS: usize = 512;

/// The mean of each column, rows counted by their weights.
pub(crate) fn column_means(matrix: &DenseMatrix, weights: Option<&[f64]>) -> Vec<f64> {
    let columns = matrix.columns();
    if columns == 0 {
        return Vec::new();
    }
    let part_rows = matrix.rows().div_ceil(PARTS).max(BLOCK_ROWS);
    let parts: Vec<Vec<f64>> = matrix
        .values()
        .par_chunks(part_rows * columns)
        .enumerate()
        .map(|(part, rows)| {
            let mut sums = vec![0.0; columns];
            for (row, values) in (part * part_rows..).zip(rows.chunks_exact(columns)) {
                let weight = weights.map_or(1.0, |weights| weights[row]);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f64::from(*value));
            }
            sums
        })
        .collect();
    let total = weights.map_or(matrix.rows() as f64, |weights| weights.iter().sum());
    let mut means = vec![0.0; columns];
    for part in parts {
        means.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    means.iter_mut().for_each(|sum| *sum /= total);
    means
}

/// What [`centered_products`] multiplies centred columns with.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    /// `[rows, width]`.
    pub(crate) values: &'a [f64],
    pub(crate) width: usize,
}

/// `Xᵀ D X` `[columns, columns]` and `Xᵀ D R` `[columns, width]` of columns from which `means` are subtracted, `D`
/// being the diagonal of row weights.
pub(crate) fn centered_products(
    matrix: &DenseMatrix,
    means: &[f64],
    weights: Option<&[f64]>,
    right: Right<'_>,
) -> (Vec<f64>, Vec<f64>) {
    let (columns, width) = (matrix.columns(), right.width);
    let (mut gram, mut moments) = (vec![0.0; columns * columns], vec![0.0; columns * width]);
    if columns == 0 {
        return (gram, moments);
    }
    let part_rows = matrix.rows().div_ceil(PARTS).max(BLOCK_ROWS);
    let parts: Vec<(Vec<f64>, Vec<f64>)> = matrix
        .values()
        .par_chunks(part_rows * columns)
        .enumerate()
        .map(|(part, rows)| {
            let first = part * part_rows;
            let count = rows.len() / columns;
            let right = Right { values: &right.values[first * width..(first + count) * width], width };
            products_of_part(rows, means, weights.map(|weights| &weights[first..first + count]), right)
        })
        .collect();
    for (gram_part, moments_part) in parts {
        gram.iter_mut().zip(gram_part).for_each(|(sum, part)| *sum += part);
        moments.iter_mut().zip(moments_part).for_each(|(sum, part)| *sum += part);
    }
    (gram, moments)
}

fn products_of_part(
    rows: &[f32],
    means: &[f64],
    weights: Option<&[f64]>,
    right: Right<'_>,
) -> (Vec<f64>, Vec<f64>) {
    let (columns, width) = (means.len(), right.width);
    let (mut gram, mut moments) = (vec![0.0; columns * columns], vec![0.0; columns * width]);
    for (block, block_rows) in rows.chunks(BLOCK_ROWS * columns).enumerate() {
        let first = block * BLOCK_ROWS;
        let count = block_rows.len() / columns;
        let centered: Vec<f64> = block_rows
            .chunks_exact(columns)
            .flat_map(|row| row.iter().zip(means).map(|(value, mean)| f64::from(*value) - mean))
            .collect();
        let weighted: Option<Vec<f64>> = weights.map(|weights| {
            let rows = centered.chunks_exact(columns).zip(&weights[first..]);
            rows.flat_map(|(row, weight)| row.iter().map(move |value| weight * value)).collect()
        });
        let left = weighted.as_deref().unwrap_or(&centered);
        add_transposed_product(left, &centered, [count, columns, columns], &mut gram);
        if width > 0 {
            let right = &right.values[first * width..(first + count) * width];
            add_transposed_product(left, right, [count, columns, width], &mut moments);
        }
    }
    (gram, moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighted_products_are_the_definition() {
        let values: Vec<f32> = (0..1200 * 3).map(|at| (at * 37 % 101) as f32 / 50.0).collect();
        let matrix = DenseMatrix::new(1200, 3, values).unwrap();
        let weights: Vec<f64> = (0..1200).map(|at| f64::from(at % 4)).collect();
        let right: Vec<f64> = (0..2400).map(|at| f64::from(at * 7 % 11)).collect();
        let means = column_means(&matrix, Some(&weights));
        let right = Right { values: &right, width: 2 };
        let (gram, moments) = centered_products(&matrix, &means, Some(&weights), right);
        let entry = |row: usize, column: usize| f64::from(matrix.row(row)[column]) - means[column];
        for a in 0..3 {
            let sum: f64 = (0..1200).map(|row| weights[row] * entry(row, a)).sum();
            assert!(sum.abs() < 1e-8, "{sum}");
            for b in 0..3 {
                let expected: f64 = (0..1200).map(|row| weights[row] * entry(row, a) * entry(row, b)).sum();
                assert!((gram[a * 3 + b] - expected).abs() < 1e-8);
            }
            for b in 0..2 {
                let of_row = |row: usize| weights[row] * entry(row, a) * right.values[row * 2 + b];
                let expected: f64 = (0..1200).map(of_row).sum();
                assert!((moments[a * 2 + b] - expected).abs() < 1e-7);
            }
        }
    }
}
