//! Cross-entropy between logits and class labels, with label smoothing as in torch.

use crate::dispatch::{Path, per_path};
use crate::math::{LANES, exp, ln, maximum, sum, sum_of};
use crate::parallel::rows_per_task;
use rayon::prelude::*;

/// Checks the sizes and returns the number of classes (1 if there are no rows).
fn check(
    logits: &[f32],
    labels: &[u32],
    label_smoothing: f32,
    per_row: &[f32],
    log_sum_exp: &[f32],
) -> usize {
    let rows = labels.len();
    assert!((0.0..=1.0).contains(&label_smoothing), "label smoothing must lie between 0 and 1");
    assert_eq!(per_row.len(), rows, "there must be one loss per label");
    assert_eq!(log_sum_exp.len(), rows, "there must be one log-sum-exp per label");
    if rows == 0 {
        assert!(logits.is_empty(), "logits without labels");
        return 1;
    }
    assert!(logits.len().is_multiple_of(rows) && !logits.is_empty(), "the logits must be [labels, classes]");
    let classes = logits.len() / rows;
    for label in labels {
        assert!((*label as usize) < classes, "label {label} is outside {classes} classes");
    }
    classes
}

/// `losses[i] = (1 - s) · -ln p[i, label] + s · mean over classes of -ln p[i, class]`, with `p = softmax(logits)` and
/// `s` the label smoothing.
///
/// # Shapes
/// `logits` `[n, V]`, `labels` `[n]`; outputs `losses` `[n]` and, for [`cross_entropy_backward`], `log_sum_exp` `[n]`.
pub fn cross_entropy_forward(
    logits: &[f32],
    labels: &[u32],
    label_smoothing: f32,
    losses: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let classes = check(logits, labels, label_smoothing, losses, log_sum_exp);
    let path = Path::best();
    let rows = rows_per_task(2 * classes);
    let smoothing = label_smoothing;
    (
        losses.par_chunks_mut(rows),
        log_sum_exp.par_chunks_mut(rows),
        labels.par_chunks(rows),
        logits.par_chunks(rows * classes),
    )
        .into_par_iter()
        .for_each(|(losses, log_sum_exp, labels, logits)| {
            for (row, logits) in logits.chunks_exact(classes).enumerate() {
                let (maximum, exponentials, mean) = statistics_on(path, logits, smoothing > 0.0);
                let normaliser = ln(exponentials) + maximum;
                log_sum_exp[row] = normaliser;
                let at_label = logits[labels[row] as usize];
                losses[row] = (1.0 - smoothing) * (normaliser - at_label);
                if smoothing > 0.0 {
                    losses[row] += smoothing * (normaliser - mean);
                }
            }
        });
}

/// `dlogits[i, c] = dlosses[i] · (p[i, c] - (1 - s) · [c is the label] - s / V)`.
///
/// # Shapes
/// As in [`cross_entropy_forward`], which leaves `log_sum_exp`; `dlosses` `[n]`, `dlogits` `[n, V]`.
pub fn cross_entropy_backward(
    logits: &[f32],
    labels: &[u32],
    label_smoothing: f32,
    log_sum_exp: &[f32],
    dlosses: &[f32],
    dlogits: &mut [f32],
) {
    let classes = check(logits, labels, label_smoothing, dlosses, log_sum_exp);
    assert_eq!(dlogits.len(), logits.len(), "logits and their gradient must be equally long");
    let path = Path::best();
    let rows = rows_per_task(2 * classes);
    let elements = rows * classes;
    dlogits.par_chunks_mut(elements).zip(logits.par_chunks(elements)).enumerate().for_each(
        |(chunk, (dlogits, logits))| {
            let first = chunk * rows;
            for (row, (dlogits, logits)) in
                (first..).zip(dlogits.chunks_exact_mut(classes).zip(logits.chunks_exact(classes)))
            {
                let scale = dlosses[row];
                backward_on(path, logits, log_sum_exp[row], label_smoothing / classes as f32, scale, dlogits);
                dlogits[labels[row] as usize] -= scale * (1.0 - label_smoothing);
            }
        },
    );
}

per_path!(fn statistics_on(logits: &[f32], with_mean: bool) -> (f32, f32, f32) = statistics_body);
per_path!(
    fn backward_on(logits: &[f32], log_sum_exp: f32, uniform: f32, scale: f32, dlogits: &mut [f32]) = backward_body
);

/// The largest logit, the sum of the exponentials below it, and the mean if it is wanted (else 0).
#[inline(always)]
fn statistics_body(logits: &[f32], with_mean: bool) -> (f32, f32, f32) {
    let largest = maximum::<LANES>(logits);
    let exponentials = sum_of::<LANES>(logits, logits, |logit, _| exp(logit - largest));
    let mean = if with_mean { sum::<LANES>(logits) / logits.len() as f32 } else { 0.0 };
    (largest, exponentials, mean)
}

#[inline(always)]
fn backward_body(logits: &[f32], log_sum_exp: f32, uniform: f32, scale: f32, dlogits: &mut [f32]) {
    for (dlogit, logit) in dlogits.iter_mut().zip(logits) {
        *dlogit = scale * (exp(logit - log_sum_exp) - uniform);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, bits, dot, finite_differences, numbers, same_for_any_thread_count, wide,
    };

    fn reference(logits: &[f64], labels: &[u32], smoothing: f64) -> Vec<f64> {
        let classes = logits.len() / labels.len().max(1);
        labels
            .iter()
            .zip(logits.chunks(classes.max(1)))
            .map(|(label, row)| {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let normaliser = row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln() + largest;
                let uniform = row.iter().map(|x| normaliser - x).sum::<f64>() / classes as f64;
                (1.0 - smoothing) * (normaliser - row[*label as usize]) + smoothing * uniform
            })
            .collect()
    }

    fn run(logits: &[f32], labels: &[u32], smoothing: f32, dlosses: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut losses, mut log_sum_exp) = (vec![f32::NAN; labels.len()], vec![f32::NAN; labels.len()]);
        cross_entropy_forward(logits, labels, smoothing, &mut losses, &mut log_sum_exp);
        let mut dlogits = vec![f32::NAN; logits.len()];
        cross_entropy_backward(logits, labels, smoothing, &log_sum_exp, dlosses, &mut dlogits);
        (losses, dlogits)
    }

    #[test]
    fn losses_and_gradients_match_the_definition() {
        for (rows, classes, smoothing) in [(0, 3, 0.0), (1, 1, 0.0), (3, 2, 0.1), (5, 37, 0.0), (4, 70, 0.3)]
        {
            let logits: Vec<f32> = numbers(rows * classes, 1).into_iter().map(|x| 5.0 * x).collect();
            let labels: Vec<u32> = (0..rows).map(|i| (i * 13 % classes) as u32).collect();
            let dlosses = numbers(rows, 2);
            let (losses, dlogits) = run(&logits, &labels, smoothing, &dlosses);
            let wide_smoothing = f64::from(smoothing);
            assert_close(&losses, &reference(&wide(&logits), &labels, wide_smoothing), 1e-6);
            let expected =
                finite_differences(&wide(&logits), |x| dot(&reference(x, &labels, wide_smoothing), &dlosses));
            assert_close(&dlogits, &expected, 1e-6);
        }
    }

    #[test]
    fn large_logits_stay_finite() {
        let logits = [1e4, -1e4, 0.0, -3e38, 3e38, 0.0];
        let (losses, dlogits) = run(&logits, &[0, 1], 0.0, &[1.0, 1.0]);
        assert_eq!(losses, [0.0, 0.0]);
        assert_eq!(dlogits, [0.0; 6]);
    }

    #[test]
    fn nan_reaches_the_loss() {
        let (losses, _) = run(&[0.0, f32::NAN, 1.0], &[0], 0.0, &[1.0]);
        assert!(losses[0].is_nan());
    }

    #[test]
    fn threads_and_paths_do_not_change_the_bits() {
        let (rows, classes) = (23, 3011);
        let logits = numbers(rows * classes, 1);
        let labels: Vec<u32> = (0..rows as u32).map(|i| i * 100).collect();
        let dlosses = numbers(rows, 2);
        same_for_any_thread_count(|| {
            let (losses, dlogits) = run(&logits, &labels, 0.1, &dlosses);
            [losses, dlogits].concat()
        });
        let results: Vec<_> = Path::available()
            .into_iter()
            .map(|path| {
                let (a, b, c) = statistics_on(path, &logits, true);
                let mut dlogits = vec![0.0; logits.len()];
                backward_on(path, &logits, 3.0, 0.1, 0.7, &mut dlogits);
                (bits(&[a, b, c]), bits(&dlogits))
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
