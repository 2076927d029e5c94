//! Parts of the test rows that scores are told apart by: length, emoji, values of columns.

use super::data::LabelledData;
use super::settings::CompareSettings;
use crate::data::{ReadOptions, open, text};
use crate::error::Result;
use crate::features::columns::{ColumnKind, Table, Values};
use crate::features::engineered::has_emoji;
use arrow::array::Array;
use std::collections::BTreeMap;

/// Parts of a slice at most: the most frequent values, the others together.
const MOST_PARTS: usize = 6;
/// Test rows of a part at least.
const FEWEST_ROWS: usize = 10;

/// One way to part the test rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub(super) name: String,
    /// What a part has in common, and its places among the test rows.
    pub(super) parts: Vec<(String, Vec<u32>)>,
}

/// Length in tokens, emoji, and the columns: those of the table, and those that are asked for.
pub(super) fn slices(
    settings: &CompareSettings,
    labelled: &LabelledData,
    test: &[u32],
    table: Option<&Table>,
) -> Result<Vec<Slice>> {
    let lengths: Vec<f64> =
        test.iter().map(|&row| labelled.encodings.sequence(row as usize).len() as f64).collect();
    let emoji = test.iter().map(|&row| {
        let has = has_emoji(&labelled.rows.texts[row as usize]);
        Some(if has { "with emoji" } else { "without emoji" }.to_owned())
    });
    let mut slices = vec![by_number("length in tokens", &lengths, 4), by_value("emoji", emoji)];
    for (plan, values) in table.into_iter().flat_map(Table::columns) {
        let at = |row: &u32| *row as usize;
        slices.push(match (plan.kind, values) {
            (ColumnKind::Numerical, Values::Numbers(numbers)) => {
                let numbers: Vec<f64> = test.iter().map(|row| numbers[at(row)]).collect();
                by_number(&plan.name, &numbers, 4)
            }
            (ColumnKind::Boolean, Values::Numbers(numbers)) => by_value(
                &plan.name,
                test.iter().map(|row| {
                    let value = numbers[at(row)];
                    (!value.is_nan()).then(|| if value > 0.5 { "true" } else { "false" }.to_owned())
                }),
            ),
            (_, Values::Categories(values)) => {
                by_value(&plan.name, test.iter().map(|row| values[at(row)].clone()))
            }
            _ => continue,
        });
    }
    for name in &settings.slice_columns {
        let values = column(&settings.labelled.source, name)?;
        slices.push(by_value(name, test.iter().map(|&row| values[row as usize].clone())));
    }
    slices.retain(|slice| slice.parts.len() > 1);
    Ok(slices)
}

fn column(source: &str, name: &str) -> Result<Vec<Option<String>>> {
    let columns = Some(vec![name.to_owned()]);
    let mut values = Vec::new();
    for chunk in open(source, &ReadOptions { columns, ..ReadOptions::default() })? {
        let chunk = chunk?;
        let read = text(&chunk, name)?;
        values.extend((0..read.len()).map(|at| read.is_valid(at).then(|| read.value(at).to_owned())));
    }
    Ok(values)
}

/// Parts of about as many rows each, between values that differ; missing values are a part.
fn by_number(name: &str, values: &[f64], parts: usize) -> Slice {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..parts).filter_map(|part| sorted.get(sorted.len() * part / parts).copied()).collect();
    edges.dedup();
    edges.retain(|edge| Some(edge) != sorted.first());
    let part_of = |value: f64| edges.iter().filter(|edge| value >= **edge).count();
    let mut found: Vec<Vec<u32>> = vec![Vec::new(); edges.len() + 1];
    let mut missing = Vec::new();
    for (place, &value) in values.iter().enumerate() {
        let part = if value.is_nan() { &mut missing } else { &mut found[part_of(value)] };
        part.push(place as u32);
    }
    let ends = |part: &[u32]| {
        let of = |place: &u32| values[*place as usize];
        let low = part.iter().map(of).fold(f64::INFINITY, f64::min);
        let high = part.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        if low == high { number(low) } else { format!("{} to {}", number(low), number(high)) }
    };
    let mut parts: Vec<(String, Vec<u32>)> =
        found.into_iter().filter(|part| !part.is_empty()).map(|part| (ends(&part), part)).collect();
    if !missing.is_empty() {
        parts.push(("missing".to_owned(), missing));
    }
    Slice { name: name.to_owned(), parts }
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A part a value, the most frequent first; rare ones together.
fn by_value(name: &str, values: impl Iterator<Item = Option<String>>) -> Slice {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (place, value) in values.enumerate() {
        found.entry(value.unwrap_or_else(|| "missing".to_owned())).or_default().push(place as u32);
    }
    let mut parts: Vec<(String, Vec<u32>)> = found.into_iter().collect();
    parts.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    let frequent = parts.iter().take(MOST_PARTS - 1).filter(|(_, rows)| rows.len() >= FEWEST_ROWS).count();
    let rare = parts.split_off(frequent);
    match rare.len() {
        0 => {}
        1 => parts.extend(rare),
        several => {
            let mut rows: Vec<u32> = rare.into_iter().flat_map(|(_, rows)| rows).collect();
            rows.sort_unstable();
            parts.push((format!("{several} other values"), rows));
        }
    }
    Slice { name: name.to_owned(), parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(slice: &Slice) -> Vec<(&str, usize)> {
        slice.parts.iter().map(|(value, rows)| (value.as_str(), rows.len())).collect()
    }

    #[test]
    fn numbers_are_parted_evenly_and_every_row_is_in_one_part() {
        let values: Vec<f64> = (0..40).map(f64::from).chain([f64::NAN]).collect();
        let slice = by_number("n", &values, 4);
        let expected = [("0 to 9", 10), ("10 to 19", 10), ("20 to 29", 10), ("30 to 39", 10), ("missing", 1)];
        assert_eq!(sizes(&slice), expected);
        assert_eq!(sizes(&by_number("n", &[1.0; 9], 4)), [("1", 9)]);
        let skewed: Vec<f64> = std::iter::repeat_n(0.0, 30).chain([1.5, 2.0]).collect();
        assert_eq!(by_number("n", &skewed, 4).parts.iter().map(|part| part.1.len()).sum::<usize>(), 32);
    }

    #[test]
    fn rare_values_are_one_part() {
        let values = (0..100).map(|at| Some(if at < 80 { "a".to_owned() } else { format!("v{at}") }));
        assert_eq!(sizes(&by_value("c", values)), [("a", 80), ("20 other values", 20)]);
    }
}
