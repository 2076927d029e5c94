//! Columns that hold nothing, or too much.

use super::plural;
use crate::compare::data::LabelledData;
use crate::features::columns::{Table, Values};
use crate::objectives::Targets;
use crate::report::{Check, CheckKind, CheckedRow};
use std::collections::HashMap;

/// The share of missing values from which on it is told.
const MOSTLY_MISSING: f64 = 0.5;
/// Parts of the range of a column of numbers.
const BINS: usize = 20;
/// How much of what the most frequent class leaves open a single column may explain: more is suspicious.
const SUSPICIOUS: f64 = 0.9;

/// Columns that are constant, mostly missing, or give the label away, in the training rows.
pub(super) fn checks(table: &Table, labelled: &LabelledData) -> Vec<Check> {
    let training = table.select_rows(&labelled.split.train);
    let (mut constant, mut missing, mut telling) = (Vec::new(), Vec::new(), Vec::new());
    for (plan, values) in training.columns() {
        let codes = codes(values);
        let present = codes.iter().flatten().count();
        let share = 1.0 - present as f64 / codes.len().max(1) as f64;
        if share >= MOSTLY_MISSING {
            missing.push(row(&plan.name, format!("missing in {:.0} % of the training rows", 100.0 * share)));
        }
        let mut distinct: Vec<u32> = codes.iter().flatten().copied().collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() <= 1 && share == 0.0 {
            constant.push(row(&plan.name, "one value in all training rows".to_owned()));
        } else if let Some(share) = explained(&codes, labelled).filter(|share| *share >= SUSPICIOUS) {
            let note = format!(
                "alone it explains {:.1} % of what the most frequent label leaves open",
                100.0 * share
            );
            telling.push(row(&plan.name, note));
        }
    }
    let column = |count: u64, words: &str| format!("{} {words}", plural(count, "column", "columns"));
    let check = |kind, rows: Vec<CheckedRow>, words: &str| {
        let count = rows.len() as u64;
        (count > 0).then(|| Check { kind, sentence: column(count, words), count, rows })
    };
    [
        check(
            CheckKind::GiveAwayColumns,
            telling,
            "with which the label is nearly known. Is it there when the label is not? If not, leave it out.",
        ),
        check(CheckKind::ConstantColumns, constant, "with a single value, of no use."),
        check(CheckKind::MissingColumns, missing, "with no value in half of the training rows or more."),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn row(column: &str, note: String) -> CheckedRow {
    CheckedRow { file: String::new(), row: 0, text: column.to_owned(), note }
}

/// Each row's value as one of a few: categories as they are, numbers by twentieths of the rows.
fn codes(values: &Values) -> Vec<Option<u32>> {
    match values {
        Values::Numbers(numbers) => {
            let mut sorted: Vec<f64> = numbers.iter().copied().filter(|value| !value.is_nan()).collect();
            sorted.sort_by(f64::total_cmp);
            let mut edges: Vec<f64> =
                (1..BINS).filter_map(|bin| sorted.get(sorted.len() * bin / BINS).copied()).collect();
            edges.dedup();
            edges.retain(|edge| Some(edge) != sorted.first());
            let code = |value: &f64| edges.iter().filter(|edge| value >= *edge).count() as u32;
            numbers.iter().map(|value| (!value.is_nan()).then(|| code(value))).collect()
        }
        Values::Categories(categories) => coded(categories.iter().map(Option::as_deref)),
        Values::Tags(tags) => {
            let joined: Vec<String> = tags.iter().map(|tags| tags.join("|")).collect();
            coded(joined.iter().map(|tags| (!tags.is_empty()).then_some(tags.as_str())))
        }
    }
}

fn coded<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Vec<Option<u32>> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    values
        .map(|value| {
            let next = known.len() as u32;
            value.map(|value| *known.entry(value).or_insert(next))
        })
        .collect()
}

/// The share of what is left open without the column that it explains: of mistakes, each row judged by the other rows
/// with its value, or of the variance of numbers. Columns of names and numbers of rows explain nothing that way.
fn explained(codes: &[Option<u32>], labelled: &LabelledData) -> Option<f64> {
    match &labelled.targets {
        Targets::Classes(classes) => {
            let truth: Vec<u32> = labelled.split.train.iter().map(|&row| classes[row as usize]).collect();
            Some(explained_classes(codes, &truth))
        }
        Targets::Numbers(_) => Some(explained_variance(codes, &labelled.numbers(&labelled.split.train))),
        Targets::Flags(_) => None,
    }
}

fn explained_classes(codes: &[Option<u32>], truth: &[u32]) -> f64 {
    let mut counts: HashMap<Option<u32>, HashMap<u32, i64>> = HashMap::new();
    let mut totals: HashMap<u32, i64> = HashMap::new();
    for (&code, &class) in codes.iter().zip(truth) {
        *counts.entry(code).or_default().entry(class).or_default() += 1;
        *totals.entry(class).or_default() += 1;
    }
    let most = totals.values().copied().max().unwrap_or(0);
    let open = truth.len() as i64 - most;
    let right = codes.iter().zip(truth).filter(|(code, class)| {
        let others = &counts[*code];
        let own = others[*class] - 1;
        // Of equals the row's own class loses: a value that stands alone tells nothing.
        own > 0 && others.iter().all(|(other, count)| other == *class || *count < own)
    });
    let left = truth.len() as i64 - right.count() as i64;
    if open == 0 { 0.0 } else { 1.0 - left as f64 / open as f64 }
}

fn explained_variance(codes: &[Option<u32>], truth: &[f64]) -> f64 {
    let mut sums: HashMap<Option<u32>, (f64, f64)> = HashMap::new();
    for (&code, value) in codes.iter().zip(truth) {
        let sum = sums.entry(code).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    let mean = truth.iter().sum::<f64>() / truth.len().max(1) as f64;
    let total: f64 = truth.iter().map(|value| (value - mean).powi(2)).sum();
    let residual: f64 = codes
        .iter()
        .zip(truth)
        .map(|(code, value)| {
            let (sum, count) = sums[code];
            let others = if count > 1.0 { (sum - value) / (count - 1.0) } else { mean };
            (value - others).powi(2)
        })
        .sum();
    if total > 0.0 { 1.0 - residual / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_label_is_found_and_a_number_of_the_row_is_not() {
        let truth: Vec<u32> = (0..90).map(|row| row % 3).collect();
        let copy: Vec<Option<u32>> = truth.iter().map(|class| Some(class + 5)).collect();
        assert_eq!(explained_classes(&copy, &truth), 1.0);
        let names: Vec<Option<u32>> = (0..90).map(Some).collect();
        assert!(explained_classes(&names, &truth) < 0.0);
        let unrelated: Vec<Option<u32>> = (0..90).map(|row| Some(row % 2)).collect();
        assert!(explained_classes(&unrelated, &truth) < 0.3);
        let numbers: Vec<f64> = truth.iter().map(|class| f64::from(*class)).collect();
        assert!(explained_variance(&copy, &numbers) > 0.99);
        assert!(explained_variance(&names, &numbers) < 0.5);
    }

    #[test]
    fn numbers_are_binned_and_missing_ones_have_no_code() {
        let found = codes(&Values::Numbers((0..100).map(f64::from).chain([f64::NAN]).collect()));
        assert_eq!((found[0], found[99], found[100]), (Some(0), Some(19), None));
        let same = codes(&Values::Numbers(vec![3.0; 5]));
        assert!(same.iter().all(|code| *code == Some(0)));
    }
}
