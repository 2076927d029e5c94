//! Whether what is right is ranked above what is wrong.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;

/// The area under the ROC curve: the share of (positive, negative) pairs ranked rightly, ties counting half.
/// `None` if there are no positives or no negatives.
pub fn roc_auc(positives: &[bool], scores: &[f32]) -> Option<f64> {
    let weights = vec![1; positives.len()];
    weighted_roc_auc(positives, &descending(scores), scores, &weights)
}

/// Row numbers by descending score.
pub(crate) fn descending(scores: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_by(|&left, &right| scores[right as usize].total_cmp(&scores[left as usize]));
    order
}

/// [`roc_auc`] of rows that count `weights` times; `order` is [`descending`].
pub(crate) fn weighted_roc_auc(
    positives: &[bool],
    order: &[u32],
    scores: &[f32],
    weights: &[u32],
) -> Option<f64> {
    let (mut negatives_above, mut positives_total, mut lost) = (0u64, 0u64, 0.0);
    for tied in order.chunk_by(|&left, &right| scores[left as usize] == scores[right as usize]) {
        let count = |wanted: bool| -> u64 {
            let rows = tied.iter().filter(|row| positives[**row as usize] == wanted);
            rows.map(|row| u64::from(weights[*row as usize])).sum()
        };
        let (positive, negative) = (count(true), count(false));
        lost += positive as f64 * (negatives_above as f64 + 0.5 * negative as f64);
        negatives_above += negative;
        positives_total += positive;
    }
    let pairs = positives_total as f64 * negatives_above as f64;
    (pairs > 0.0).then(|| 1.0 - lost / pairs)
}

/// The average precision (the area under the precision-recall curve, summed in steps): over the scores that occur, the
/// precision of what is ranked at least as high, weighted by the recall gained there; scikit-learn's
/// `average_precision_score`. `None` if there are no positives.
pub fn average_precision(positives: &[bool], scores: &[f32]) -> Option<f64> {
    weighted_average_precision(positives, &descending(scores), scores, &vec![1; positives.len()])
}

/// [`average_precision`] of rows that count `weights` times; `order` is [`descending`].
pub(crate) fn weighted_average_precision(
    positives: &[bool],
    order: &[u32],
    scores: &[f32],
    weights: &[u32],
) -> Option<f64> {
    let (mut positives_above, mut rows_above, mut sum) = (0u64, 0u64, 0.0);
    for tied in order.chunk_by(|&left, &right| scores[left as usize] == scores[right as usize]) {
        let gained: u64 = tied
            .iter()
            .filter(|row| positives[**row as usize])
            .map(|row| u64::from(weights[*row as usize]))
            .sum();
        rows_above += tied.iter().map(|row| u64::from(weights[*row as usize])).sum::<u64>();
        positives_above += gained;
        if rows_above > 0 {
            sum += gained as f64 * positives_above as f64 / rows_above as f64;
        }
    }
    (positives_above > 0).then(|| sum / positives_above as f64)
}

/// The mean over classes of [`average_precision`] of the class against the rest; classes that no row has are left out,
/// `None` if none is left.
pub fn average_precision_one_vs_rest(actual: &[u32], probabilities: &DenseMatrix) -> Result<Option<f64>> {
    mean_over_classes(actual, probabilities, average_precision)
}

/// The mean over classes of [`roc_auc`] of the class against the rest, as scikit-learn's
/// `roc_auc_score(multi_class="ovr", average="macro")`. Classes that no row, or every row, has are left out, where
/// scikit-learn refuses; `None` if none is left.
pub fn roc_auc_one_vs_rest(actual: &[u32], probabilities: &DenseMatrix) -> Result<Option<f64>> {
    mean_over_classes(actual, probabilities, roc_auc)
}

fn mean_over_classes(
    actual: &[u32],
    probabilities: &DenseMatrix,
    area: fn(&[bool], &[f32]) -> Option<f64>,
) -> Result<Option<f64>> {
    if actual.len() != probabilities.rows() {
        let problem = format!("{} labels for {} rows", actual.len(), probabilities.rows());
        return Err(Error::config("probabilities", problem, "give one row for each label"));
    }
    let areas: Vec<f64> = (0..probabilities.columns())
        .filter_map(|class| {
            let (positives, scores) = against_the_rest(actual, probabilities, class);
            area(&positives, &scores)
        })
        .collect();
    Ok((!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64))
}

/// Which rows have a class, and its probabilities.
pub(crate) fn against_the_rest(
    actual: &[u32],
    probabilities: &DenseMatrix,
    class: usize,
) -> (Vec<bool>, Vec<f32>) {
    let positives = actual.iter().map(|&label| label as usize == class).collect();
    let scores = (0..probabilities.rows()).map(|row| probabilities.row(row)[class]).collect();
    (positives, scores)
}

/// Label ranking average precision (Tsoumakas et al. 2010): over the labels a row has, the share of labels ranked
/// at least as high that it has, too. Rows with no or all labels count 1. `actual` is `[rows, labels]`.
pub fn label_ranking_average_precision(actual: &[bool], scores: &DenseMatrix) -> Result<f64> {
    let labels = scores.columns();
    if actual.len() != scores.values().len() || actual.is_empty() {
        let problem = format!("{} memberships for {} scores", actual.len(), scores.values().len());
        return Err(Error::config("scores", problem, "give one score for each row and label"));
    }
    let sum: f64 = actual
        .chunks_exact(labels)
        .zip(scores.values().chunks_exact(labels))
        .map(|(members, scores)| row_ranking_precision(members, scores))
        .sum();
    Ok(sum / scores.rows() as f64)
}

fn row_ranking_precision(members: &[bool], scores: &[f32]) -> f64 {
    let relevant: Vec<f32> = scores.iter().zip(members).filter(|pair| *pair.1).map(|pair| *pair.0).collect();
    if relevant.is_empty() || relevant.len() == members.len() {
        return 1.0;
    }
    let at_least = |values: &[f32], score: f32| values.iter().filter(|value| **value >= score).count() as f64;
    let sum: f64 = relevant.iter().map(|&score| at_least(&relevant, score) / at_least(scores, score)).sum();
    sum / relevant.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_count_half_and_one_class_has_no_area() {
        assert_eq!(roc_auc(&[true, false], &[0.5, 0.5]), Some(0.5));
        assert_eq!(roc_auc(&[true, false, false], &[0.5, 0.5, 0.1]), Some(0.75));
        assert_eq!(roc_auc(&[true, true], &[0.5, 0.1]), None);
        assert_eq!(average_precision(&[false, true], &[0.5, 0.5]), Some(0.5));
        assert_eq!(average_precision(&[false, false], &[0.5, 0.1]), None);
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs(rows in proptest::collection::vec((any::<bool>(), 0..5u8), 2..40)) {
            let (positives, scores): (Vec<bool>, Vec<f32>) =
                rows.iter().map(|&(positive, score)| (positive, f32::from(score))).unzip();
            let (mut won, mut pairs) = (0.0, 0.0);
            for i in (0..rows.len()).filter(|&i| positives[i]) {
                for j in (0..rows.len()).filter(|&j| !positives[j]) {
                    pairs += 1.0;
                    won += if scores[i] > scores[j] { 1.0 } else if scores[i] == scores[j] { 0.5 } else { 0.0 };
                }
            }
            match roc_auc(&positives, &scores) {
                Some(area) => prop_assert!((area - won / pairs).abs() < 1e-12),
                None => prop_assert_eq!(pairs, 0.0),
            }
        }
    }
}
