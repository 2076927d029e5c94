//! How are the outputs of several models put together? As their mean, or as features of a learner on top of them.

use crate::data::Task;
use crate::error::Result;
use crate::features::matrix::DenseMatrix;

/// Probabilities are kept this far from 0 and 1 before their logit is taken.
const LEAST_PROBABILITY: f32 = 1e-6;

/// The mean of two models' outputs for the same rows.
pub(crate) fn mean_of(one: &DenseMatrix, other: &DenseMatrix) -> Result<DenseMatrix> {
    let pairs = one.values().iter().zip(other.values());
    DenseMatrix::new(one.rows(), one.columns(), pairs.map(|(a, b)| f32::midpoint(*a, *b)).collect())
}

/// The logits of several models' probabilities side by side; values of a regression as they are.
pub(crate) fn logits_beside(parts: &[&DenseMatrix], task: Task) -> Result<DenseMatrix> {
    let rows = parts[0].rows();
    let columns = parts.iter().map(|part| part.columns()).sum();
    let feature = |value: &f32| match task {
        Task::Regression => *value,
        _ => {
            let share = value.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
            (share / (1.0 - share)).ln()
        }
    };
    let values =
        (0..rows).flat_map(|row| parts.iter().flat_map(move |part| part.row(row).iter().map(feature)));
    DenseMatrix::new(rows, columns, values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_become_finite_logits_and_numbers_stay() {
        let (one, two) = (
            DenseMatrix::new(2, 1, vec![0.5, 1.0]).unwrap(),
            DenseMatrix::new(2, 2, vec![0.0, 0.25, 0.75, 0.5]).unwrap(),
        );
        let logits = logits_beside(&[&one, &two], Task::SingleLabel).unwrap();
        assert_eq!((logits.rows(), logits.columns()), (2, 3));
        assert!(logits.values().iter().all(|value| value.is_finite()));
        assert_eq!(logits.row(0)[0], 0.0);
        assert!((logits.row(1)[1] - 3.0f32.ln()).abs() < 1e-6);
        assert_eq!(logits_beside(&[&one], Task::Regression).unwrap(), one);
    }

    #[test]
    fn the_mean_lies_between() {
        let (one, two) = (
            DenseMatrix::new(1, 2, vec![0.2, 0.8]).unwrap(),
            DenseMatrix::new(1, 2, vec![0.6, 0.4]).unwrap(),
        );
        assert_eq!(mean_of(&one, &two).unwrap().values(), [0.4, 0.6]);
    }
}
