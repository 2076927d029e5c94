//! Metrics of predicted numbers.

use crate::error::{Error, Result};

/// The mean squared error.
pub fn mean_squared_error(actual: &[f64], predicted: &[f64]) -> Result<f64> {
    mean_of_pairs(actual, predicted, |actual, predicted| (actual - predicted).powi(2))
}

/// The mean absolute error.
pub fn mean_absolute_error(actual: &[f64], predicted: &[f64]) -> Result<f64> {
    mean_of_pairs(actual, predicted, |actual, predicted| (actual - predicted).abs())
}

/// The share of variance explained, R². With constant actual values it is 1 if all predictions are exact, else 0, as
/// scikit-learn's `r2_score`.
pub fn r_squared(actual: &[f64], predicted: &[f64]) -> Result<f64> {
    check(actual, predicted)?;
    let mean = actual.iter().sum::<f64>() / actual.len() as f64;
    let residual: f64 = actual.iter().zip(predicted).map(|(a, p)| (a - p).powi(2)).sum();
    let total: f64 = actual.iter().map(|value| (value - mean).powi(2)).sum();
    Ok(match (residual == 0.0, total == 0.0) {
        (_, false) => 1.0 - residual / total,
        (true, true) => 1.0,
        (false, true) => 0.0,
    })
}

/// Pearson's correlation; `None` if a side is constant.
pub fn pearson(actual: &[f64], predicted: &[f64]) -> Result<Option<f64>> {
    check(actual, predicted)?;
    let count = actual.len() as f64;
    let means = [actual, predicted].map(|values| values.iter().sum::<f64>() / count);
    let moment = |left: &[f64], left_mean: f64, right: &[f64], right_mean: f64| -> f64 {
        left.iter().zip(right).map(|(a, b)| (a - left_mean) * (b - right_mean)).sum()
    };
    let covariance = moment(actual, means[0], predicted, means[1]);
    let variances =
        [moment(actual, means[0], actual, means[0]), moment(predicted, means[1], predicted, means[1])];
    let defined = variances.iter().all(|variance| *variance > 0.0);
    Ok(defined.then(|| (covariance / (variances[0].sqrt() * variances[1].sqrt())).clamp(-1.0, 1.0)))
}

/// Spearman's rank correlation, ties sharing their mean rank; `None` if a side is constant.
pub fn spearman(actual: &[f64], predicted: &[f64]) -> Result<Option<f64>> {
    check(actual, predicted)?;
    pearson(&mean_ranks(actual), &mean_ranks(predicted))
}

fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&left, &right| values[left] == values[right]) {
        let rank = first as f64 + 0.5 * (tied.len() as f64 + 1.0);
        for &row in tied {
            ranks[row] = rank;
        }
        first += tied.len();
    }
    ranks
}

fn mean_of_pairs(actual: &[f64], predicted: &[f64], of_pair: impl Fn(f64, f64) -> f64) -> Result<f64> {
    check(actual, predicted)?;
    let sum: f64 = actual.iter().zip(predicted).map(|(a, p)| of_pair(*a, *p)).sum();
    Ok(sum / actual.len() as f64)
}

fn check(actual: &[f64], predicted: &[f64]) -> Result<()> {
    let finite = actual.iter().chain(predicted).all(|value| value.is_finite());
    if actual.len() == predicted.len() && finite && !actual.is_empty() {
        return Ok(());
    }
    let problem =
        format!("{} actual and {} predicted values, or one is not finite", actual.len(), predicted.len());
    Err(Error::config("predictions", problem, "give one finite prediction for each row"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_have_no_correlation() {
        assert_eq!(pearson(&[1.0, 2.0], &[3.0, 3.0]).unwrap(), None);
        assert_eq!(spearman(&[1.0, 1.0], &[3.0, 4.0]).unwrap(), None);
        assert_eq!(r_squared(&[2.0, 2.0], &[2.0, 2.0]).unwrap(), 1.0);
        assert_eq!(r_squared(&[2.0, 2.0], &[2.0, 3.0]).unwrap(), 0.0);
        assert!(pearson(&[], &[]).is_err());
        assert!(pearson(&[1.0], &[f64::NAN]).is_err());
    }

    #[test]
    fn ranks_do_not_see_monotone_changes() {
        let (actual, predicted) = ([1.0, 5.0, 2.0, 8.0, 2.0], [0.3, 0.4, 0.1, 0.9, 0.2]);
        let bent = predicted.map(|value: f64| value.exp());
        assert_eq!(spearman(&actual, &predicted).unwrap(), spearman(&actual, &bent).unwrap());
    }
}
