//! Do vectors keep near what belongs together, and spread over the sphere? (Wang and Isola 2020)

use super::vectors::{for_each_row_of_products, of_unit_length};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;

/// The mean squared distance of the two vectors of a pair, of length one: `E ‖f(x) − f(y)‖²`, from 0 (all the same) to 4.
/// Lower is better.
///
/// # Errors
/// No pairs, or sides of different shapes.
pub fn alignment(first: &DenseMatrix, second: &DenseMatrix) -> Result<f64> {
    if first.rows() == 0 || first.rows() != second.rows() || first.columns() != second.columns() {
        let problem = format!("{} and {} texts in pairs", first.rows(), second.rows());
        return Err(Error::config("input_file", problem, "give pairs of texts that belong together"));
    }
    let (first, second) = (of_unit_length(first), of_unit_length(second));
    let squares = first.values().iter().zip(second.values()).map(|(a, b)| f64::from(a - b).powi(2));
    Ok(squares.sum::<f64>() / first.rows() as f64)
}

/// How evenly vectors, of length one, lie on the sphere: `log E exp(−2 ‖f(x) − f(y)‖²)` over all pairs of different rows, from 0
/// (all the same) down. Lower is better.
///
/// # Errors
/// Fewer than two texts.
pub fn uniformity(vectors: &DenseMatrix) -> Result<f64> {
    let rows = vectors.rows();
    if rows < 2 {
        return Err(Error::config("input_file", format!("{rows} texts"), "give two or more"));
    }
    let unit = of_unit_length(vectors);
    let mut sum = 0.0;
    for_each_row_of_products(&unit, &unit, |row, products| {
        // Of vectors of length one the squared distance is 2 − 2 · cosine.
        let potential = |cosine: &f32| (-2.0 * (2.0 - 2.0 * f64::from(*cosine))).exp();
        sum += products[row + 1..].iter().map(potential).sum::<f64>();
    });
    Ok((sum / (rows as f64 * (rows - 1) as f64 / 2.0)).ln())
}
