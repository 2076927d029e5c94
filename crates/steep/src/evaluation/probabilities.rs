//! How good probabilities are: log-loss, Brier score, calibration.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;

/// Bins of the calibration error.
pub(crate) const CALIBRATION_BINS: usize = 15;

/// The mean negative logarithm of the actual class's probability; probabilities `[rows, classes]`.
///
/// Probabilities are kept at least `f32::EPSILON` away from 0 and 1, as scikit-learn keeps those of that width.
pub fn log_loss(actual: &[u32], probabilities: &DenseMatrix) -> Result<f64> {
    Ok(mean(&row_log_losses(actual, probabilities)?))
}

/// The log-loss of each row.
pub fn row_log_losses(actual: &[u32], probabilities: &DenseMatrix) -> Result<Vec<f64>> {
    check(actual, probabilities)?;
    let loss = |(row, &class): (usize, &u32)| -clipped(probabilities.row(row)[class as usize]).ln();
    Ok(actual.iter().enumerate().map(loss).collect())
}

/// The log-loss of independent labels: the mean over all memberships `[rows, labels]`.
pub fn label_log_loss(actual: &[bool], probabilities: &DenseMatrix) -> Result<f64> {
    if actual.len() != probabilities.values().len() || actual.is_empty() {
        return Err(mismatch(actual.len(), probabilities));
    }
    let losses: Vec<f64> = actual
        .iter()
        .zip(probabilities.values())
        .map(|(&member, &probability)| {
            let probability = clipped(probability);
            -(if member { probability } else { 1.0 - probability }).ln()
        })
        .collect();
    Ok(mean(&losses))
}

/// The mean squared distance between probabilities and the actual class's one-hot row, summed over classes; Brier's
/// own form, between 0 and 2.
pub fn brier_score(actual: &[u32], probabilities: &DenseMatrix) -> Result<f64> {
    check(actual, probabilities)?;
    let distance = |(row, &class): (usize, &u32)| -> f64 {
        let target = |at: usize| f64::from(u8::from(at == class as usize));
        let values = probabilities.row(row).iter().enumerate();
        values.map(|(at, probability)| (f64::from(*probability) - target(at)).powi(2)).sum()
    };
    Ok(mean(&actual.iter().enumerate().map(distance).collect::<Vec<_>>()))
}

/// One bin of confidences.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct CalibrationBin {
    /// Rows in it.
    pub rows: u64,
    /// Their mean probability of the predicted class.
    pub confidence: f64,
    /// The share of them that have the predicted class.
    pub accuracy: f64,
}

/// Fifteen equal bins `(low, high]` of the largest probability; the first also holds 0.
pub fn calibration_bins(actual: &[u32], probabilities: &DenseMatrix) -> Result<Vec<CalibrationBin>> {
    let mut bins = vec![CalibrationBin::default(); CALIBRATION_BINS];
    for (at, confidence, is_right) in confidences(actual, probabilities)? {
        let bin = &mut bins[at as usize];
        bin.rows += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(is_right));
    }
    for bin in bins.iter_mut().filter(|bin| bin.rows > 0) {
        bin.confidence /= bin.rows as f64;
        bin.accuracy /= bin.rows as f64;
    }
    Ok(bins)
}

/// For each row its bin, the probability of the predicted class, and whether the row has it.
pub(crate) fn confidences(actual: &[u32], probabilities: &DenseMatrix) -> Result<Vec<(u32, f64, bool)>> {
    check(actual, probabilities)?;
    let of_row = |(row, &class): (usize, &u32)| {
        let (predicted, confidence) = most_probable(probabilities.row(row));
        let at = (f64::from(confidence) * CALIBRATION_BINS as f64).ceil() as usize;
        let bin = at.clamp(1, CALIBRATION_BINS) - 1;
        (bin as u32, f64::from(confidence), predicted == class as usize)
    };
    Ok(actual.iter().enumerate().map(of_row).collect())
}

/// The expected calibration error (Guo et al. 2017, eq. 3): the mean distance between confidence and accuracy over
/// bins, weighted by their rows.
pub fn expected_calibration_error(actual: &[u32], probabilities: &DenseMatrix) -> Result<f64> {
    let bins = calibration_bins(actual, probabilities)?;
    let sum: f64 = bins.iter().map(|bin| bin.rows as f64 * (bin.confidence - bin.accuracy).abs()).sum();
    Ok(sum / actual.len() as f64)
}

/// The most probable class of each row, the first among ties.
pub fn predicted_classes(probabilities: &DenseMatrix) -> Vec<u32> {
    (0..probabilities.rows()).map(|row| most_probable(probabilities.row(row)).0 as u32).collect()
}

fn most_probable(probabilities: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (at, &probability) in probabilities.iter().enumerate() {
        if probability > best.1 {
            best = (at, probability);
        }
    }
    best
}

fn clipped(probability: f32) -> f64 {
    f64::from(probability).clamp(f64::from(f32::EPSILON), 1.0 - f64::from(f32::EPSILON))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn check(actual: &[u32], probabilities: &DenseMatrix) -> Result<()> {
    let fits = actual.iter().all(|&class| (class as usize) < probabilities.columns());
    if actual.len() == probabilities.rows() && fits && !actual.is_empty() {
        return Ok(());
    }
    Err(mismatch(actual.len(), probabilities))
}

fn mismatch(labels: usize, probabilities: &DenseMatrix) -> Error {
    let (rows, columns) = (probabilities.rows(), probabilities.columns());
    let problem = format!("{labels} labels for probabilities of {rows} rows and {columns} classes");
    Error::config("probabilities", problem, "give one row for each label and one column for each class")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_and_right_costs_nothing() {
        let probabilities = DenseMatrix::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        assert!(log_loss(&[0, 1], &probabilities).unwrap() < 1e-6);
        assert_eq!(brier_score(&[0, 1], &probabilities).unwrap(), 0.0);
        assert_eq!(expected_calibration_error(&[0, 1], &probabilities).unwrap(), 0.0);
        assert_eq!(expected_calibration_error(&[1, 0], &probabilities).unwrap(), 1.0);
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let probabilities = DenseMatrix::new(1, 2, vec![0.5, 0.5]).unwrap();
        assert!(log_loss(&[2], &probabilities).is_err());
        assert!(log_loss(&[0, 1], &probabilities).is_err());
        assert!(label_log_loss(&[true], &probabilities).is_err());
    }
}
