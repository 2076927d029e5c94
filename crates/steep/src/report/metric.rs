//! How a metric is called, in which direction it is good, and how its values are written.

use super::format::MINUS;

/// A metric's name as people write it.
pub(super) fn label(metric: &str) -> String {
    match metric {
        "r2" => "R²".to_owned(),
        "mae" | "mse" | "rmse" | "mcc" | "ece" => metric.to_uppercase(),
        "roc_auc" => "ROC-AUC".to_owned(),
        "pr_auc" => "PR-AUC".to_owned(),
        _ => match metric.strip_suffix("_f1") {
            Some(average) => format!("{average}-F1"),
            None => metric.replace('_', " "),
        },
    }
}

/// Whether a smaller value is a better one.
pub(super) fn is_lower_better(metric: &str) -> bool {
    const LOSSES: [&str; 5] = ["loss", "error", "perplexity", "brier", "deviance"];
    matches!(metric, "mae" | "mse" | "rmse" | "ece" | "mape")
        || LOSSES.iter().any(|loss| metric.contains(loss))
}

/// Whether the metric is a share from 0 to 1, whose differences are told in points (hundredths).
pub(super) fn is_share(metric: &str) -> bool {
    const SHARES: [&str; 7] = ["accuracy", "f1", "precision", "recall", "auc", "jaccard", "mcc"];
    SHARES.iter().any(|share| metric.contains(share))
}

/// A value in the metric's own unit: `0.946`.
pub(super) fn value(metric: &str, value: f64) -> String {
    if is_share(metric) { number(value, 3) } else { significant(value) }
}

/// An interval: `[0.925, 0.964]`; empty if an end is no number.
pub(super) fn interval(metric: &str, low: f64, high: f64) -> String {
    if low.is_finite() && high.is_finite() {
        format!("[{}, {}]", value(metric, low), value(metric, high))
    } else {
        String::new()
    }
}

/// A difference without its unit: `+0.52` for 0.0052 accuracy, `−0.031` for a loss.
pub(super) fn difference(metric: &str, difference: f64) -> String {
    let text = unsigned_difference(metric, difference);
    if difference > 0.0 && text.chars().any(|digit| digit.is_ascii_digit() && digit != '0') {
        format!("+{text}")
    } else {
        text
    }
}

/// A difference with a sign only where it is negative.
pub(super) fn unsigned_difference(metric: &str, difference: f64) -> String {
    if is_share(metric) { number(difference * 100.0, 2) } else { significant(difference) }
}

/// An interval of differences: `[0.21, 0.83]`.
pub(super) fn difference_interval(metric: &str, low: f64, high: f64) -> String {
    if low.is_finite() && high.is_finite() {
        format!("[{}, {}]", unsigned_difference(metric, low), unsigned_difference(metric, high))
    } else {
        String::new()
    }
}

/// The unit of differences, with its leading space: ` points`, or nothing where the metric has its own unit.
pub(super) fn difference_unit(metric: &str) -> &'static str {
    if is_share(metric) { " points" } else { "" }
}

/// A number with `decimals` digits after the point and a true minus sign; never "−0.00".
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().any(|digit| digit.is_ascii_digit() && digit != '0') => {
            format!("{MINUS}{digits}")
        }
        Some(digits) => digits.to_owned(),
        None => text,
    }
}

/// A number in a unit of its own: three digits after the point, fewer for large numbers, more for tiny ones.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 0.001 || size == 0.0 => 3,
        _ => 6,
    };
    number(value, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_people_write_them() {
        assert_eq!(label("macro_f1"), "macro-F1");
        assert_eq!(label("balanced_accuracy"), "balanced accuracy");
        assert_eq!(label("rmse"), "RMSE");
        assert_eq!(label("r2"), "R²");
    }

    #[test]
    fn losses_are_better_when_smaller() {
        for metric in ["log_loss", "mae", "rmse", "ece", "mean_absolute_error"] {
            assert!(is_lower_better(metric), "{metric}");
        }
        for metric in ["accuracy", "macro_f1", "r2", "spearman", "mcc"] {
            assert!(!is_lower_better(metric), "{metric}");
        }
    }

    #[test]
    fn differences_of_shares_are_points() {
        assert_eq!(difference("accuracy", 0.00521), "+0.52");
        assert_eq!(difference("accuracy", -0.00521), "−0.52");
        assert_eq!(difference("accuracy", 0.00001), "0.00");
        assert_eq!(difference("accuracy", -0.00001), "0.00");
        assert_eq!(difference_interval("macro_f1", -0.002, 0.0083), "[−0.20, 0.83]");
        assert_eq!(difference("rmse", 12.345_678), "+12.35");
        assert_eq!(difference_interval("rmse", -0.07, 0.01), "[−0.070, 0.010]");
        assert_eq!(value("mse", 0.000_021), "0.000021");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        assert_eq!(value("accuracy", f64::NAN), "–");
        assert_eq!(interval("accuracy", f64::NAN, 1.0), "");
    }
}
