//! Metrics of rows that may have several labels.

use crate::error::{Error, Result};

/// The share of rows whose labels are all right and complete; memberships are `[rows, label_count]`.
pub fn subset_accuracy(actual: &[bool], predicted: &[bool], label_count: usize) -> Result<f64> {
    check(actual, predicted, label_count)?;
    let pairs = actual.chunks_exact(label_count).zip(predicted.chunks_exact(label_count));
    let right = pairs.filter(|(actual, predicted)| actual == predicted).count();
    Ok(right as f64 / (actual.len() / label_count) as f64)
}

/// The share of memberships that are wrong.
pub fn hamming_loss(actual: &[bool], predicted: &[bool]) -> Result<f64> {
    check(actual, predicted, 1)?;
    let wrong = actual.iter().zip(predicted).filter(|(actual, predicted)| actual != predicted).count();
    Ok(wrong as f64 / actual.len() as f64)
}

fn check(actual: &[bool], predicted: &[bool], label_count: usize) -> Result<()> {
    let fits = label_count > 0 && actual.len().is_multiple_of(label_count);
    if actual.len() == predicted.len() && fits && !actual.is_empty() {
        return Ok(());
    }
    let problem = format!("{} and {} memberships of {label_count} labels", actual.len(), predicted.len());
    let hint = "give one actual and one predicted membership for each row and label";
    Err(Error::config("predictions", problem, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_label_spoils_its_row_only() {
        let (actual, predicted) = ([true, false, false, true], [true, false, true, true]);
        assert_eq!(subset_accuracy(&actual, &predicted, 2).unwrap(), 0.5);
        assert_eq!(hamming_loss(&actual, &predicted).unwrap(), 0.25);
        assert!(subset_accuracy(&actual, &predicted, 3).is_err());
        assert!(hamming_loss(&[], &[]).is_err());
    }
}
