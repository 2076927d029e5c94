//! How much softer probabilities must be to be honest: temperature scaling (Guo et al. 2017, section 4.2).

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;

/// The temperatures that are looked at.
const RANGE: (f64, f64) = (0.05, 20.0);
/// Halvings of that range on the logarithmic scale: they end below 1e-12.
const HALVINGS: usize = 44;
/// Probabilities are kept this far from 0 before their logarithm is taken.
const LEAST_PROBABILITY: f64 = 1e-12;

/// The temperature `T`, from 0.05 to 20, with which `softmax(ln(p) / T)` has the least log-loss on rows that were not
/// fitted on; probabilities `[rows, classes]`. Above 1 the probabilities were too sure.
///
/// The loss is convex in `1 / T`, so that halving the range by the sign of its slope finds the minimum. Errors: no rows,
/// labels that do not fit.
pub fn fit_temperature(actual: &[u32], probabilities: &DenseMatrix) -> Result<f64> {
    let fits = actual.iter().all(|&class| (class as usize) < probabilities.columns());
    if actual.is_empty() || actual.len() != probabilities.rows() || !fits {
        let problem = format!("{} labels for {} rows of probabilities", actual.len(), probabilities.rows());
        return Err(Error::config("temperature", problem, "give one label for each row of probabilities"));
    }
    let logits: Vec<f64> = probabilities.values().iter().map(|value| logit(*value)).collect();
    let (mut low, mut high) = (RANGE.0.recip().ln(), RANGE.1.recip().ln());
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if slope(&logits, actual, probabilities.columns(), middle.exp()) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(f64::midpoint(low, high).exp().recip())
}

/// The probabilities at a temperature: `softmax(ln(p) / T)` of each row.
pub fn at_temperature(probabilities: &DenseMatrix, temperature: f64) -> Result<DenseMatrix> {
    let columns = probabilities.columns();
    let mut values = Vec::with_capacity(probabilities.values().len());
    let mut row = Vec::with_capacity(columns);
    for given in probabilities.values().chunks_exact(columns.max(1)) {
        row.clear();
        row.extend(given.iter().map(|value| logit(*value)));
        softmax(&mut row, temperature.recip());
        values.extend(row.iter().map(|value| *value as f32));
    }
    DenseMatrix::new(probabilities.rows(), columns, values)
}

fn logit(probability: f32) -> f64 {
    f64::from(probability).max(LEAST_PROBABILITY).ln()
}

fn softmax(row: &mut [f64], factor: f64) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|value| *value = (factor * (*value - largest)).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

/// The slope of the loss along `1 / T`: the expected logit less the actual class's.
fn slope(logits: &[f64], actual: &[u32], columns: usize, factor: f64) -> f64 {
    let mut row = Vec::with_capacity(columns);
    logits
        .chunks_exact(columns)
        .zip(actual)
        .map(|(logits, &class)| {
            row.clear();
            row.extend_from_slice(logits);
            softmax(&mut row, factor);
            row.iter().zip(logits).map(|(share, logit)| share * logit).sum::<f64>() - logits[class as usize]
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changes_nothing_and_more_softens() {
        let sharp = DenseMatrix::new(1, 3, vec![0.8, 0.15, 0.05]).unwrap();
        let same = at_temperature(&sharp, 1.0).unwrap();
        assert!(same.values().iter().zip(sharp.values()).all(|(a, b)| (a - b).abs() < 1e-6));
        let soft = at_temperature(&sharp, 3.0).unwrap();
        assert!(soft.row(0)[0] < 0.6 && soft.row(0)[0] > soft.row(0)[1]);
    }

    #[test]
    fn unusable_rows_are_refused_and_perfect_ones_end_at_the_range() {
        let rows = DenseMatrix::new(2, 2, vec![0.9, 0.1, 0.2, 0.8]).unwrap();
        assert!((fit_temperature(&[0, 1], &rows).unwrap() - RANGE.0).abs() < 1e-6);
        assert!((fit_temperature(&[1, 0], &rows).unwrap() - RANGE.1).abs() < 1e-6);
        assert!(fit_temperature(&[0], &rows).is_err());
        assert!(fit_temperature(&[0, 2], &rows).is_err());
        assert!(fit_temperature(&[], &DenseMatrix::default()).is_err());
    }
}
