//! Columns in words, for what reads text only.

use super::kind::{ColumnKind, ColumnPlan};
use super::table::{Table, Values};
use arrow::temporal_conversions::timestamp_s_to_datetime;
use std::fmt::Write;

/// The texts with their columns written before them, `price: 12, colour: red. text`; missing values are left out.
pub(crate) fn as_texts(table: &Table, texts: &[String]) -> Vec<String> {
    (0..table.rows())
        .map(|row| {
            let mut words = String::new();
            for (plan, values) in table.columns() {
                if let Some(value) = in_words(plan, values, row) {
                    let gap = if words.is_empty() { "" } else { ", " };
                    let _ = write!(words, "{gap}{}: {value}", plan.name.replace('_', " "));
                }
            }
            if words.is_empty() { texts[row].clone() } else { format!("{words}. {}", texts[row]) }
        })
        .collect()
}

fn in_words(plan: &ColumnPlan, values: &Values, row: usize) -> Option<String> {
    match (plan.kind, values) {
        (ColumnKind::Boolean, Values::Numbers(numbers)) => {
            let value = numbers[row];
            (!value.is_nan()).then(|| if value > 0.5 { "yes" } else { "no" }.to_owned())
        }
        (ColumnKind::Datetime { .. }, Values::Numbers(numbers)) => {
            let value = numbers[row];
            let moment = (!value.is_nan()).then(|| timestamp_s_to_datetime(value as i64)).flatten();
            moment.map(|moment| moment.date().to_string())
        }
        (_, Values::Numbers(numbers)) => (!numbers[row].is_nan()).then(|| rounded(numbers[row])),
        (_, Values::Categories(categories)) => categories[row].clone(),
        (_, Values::Tags(tags)) => (!tags[row].is_empty()).then(|| tags[row].join(" ")),
    }
}

/// Four significant digits: more would be tokens without meaning.
fn rounded(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ReadOptions, open};

    #[test]
    fn columns_are_written_before_the_text_and_missing_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "unit_price,kind,day,new\n12.50,red,2024-01-31,yes\n,,,\n").unwrap();
        let plan = |name: &str, kind| ColumnPlan { name: name.into(), kind, reason: String::new() };
        let plans = [
            plan("unit_price", ColumnKind::Numerical),
            plan("kind", ColumnKind::Categorical),
            plan("day", ColumnKind::Datetime { day_first: false }),
            plan("new", ColumnKind::Boolean),
        ];
        let mut table = Table::new(&plans);
        for chunk in open(path.to_str().unwrap(), &ReadOptions::default()).unwrap() {
            table.push(&chunk.unwrap()).unwrap();
        }
        let texts = as_texts(&table, &["A pen.".to_owned(), "Nothing.".to_owned()]);
        assert_eq!(texts[0], "unit price: 12.5, kind: red, day: 2024-01-31, new: yes. A pen.");
        assert_eq!(texts[1], "Nothing.");
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(
            ["0", "12350", "0.0123", "-3.5"],
            [0.0, 12_350.4, 0.012_304, -3.5].map(rounded).each_ref().map(String::as_str)
        );
    }
}
