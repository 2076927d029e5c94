//! The person's columns beside the text.

use super::settings::CompareSettings;
use crate::data::{Labelled, ReadOptions, default_text_column, open};
use crate::error::{Error, Result};
use crate::features::columns::{ColumnKind, ColumnPlan, Table, Values};
use crate::stages::{PreparedFeatures, RawReader, VectorSource, reading_plan};
use arrow::datatypes::Schema;
use arrow::temporal_conversions::timestamp_s_to_datetime;
use std::fmt::Write;

/// Columns of all labelled rows.
#[derive(Debug)]
pub(super) struct TableData {
    /// The columns with their kinds.
    pub(super) plans: Vec<ColumnPlan>,
    pub(super) table: Table,
    /// What each column was taken for, or why it was left out.
    pub(super) notes: Vec<String>,
}

/// Reads the columns that the settings name; none if they name none.
pub(super) fn read_table(settings: &CompareSettings, rows: &Labelled) -> Result<Option<TableData>> {
    let Some(asked) = &settings.table else { return Ok(None) };
    let source = &settings.labelled;
    let texts = text_columns(settings)?;
    let meanings = [&source.group_column, &source.split_column, &source.time_column];
    let mut reserved: Vec<&str> = vec![&source.label_column];
    reserved.extend(meanings.into_iter().flatten().map(String::as_str));
    reserved.extend(texts.iter().map(String::as_str));
    let prepared = PreparedFeatures {
        kinds: asked.kinds.clone(),
        text_columns: Vec::new(),
        text_column_delimiter: String::new(),
        engineered: None,
        preparation: settings.preparation.clone(),
    };
    let plan = reading_plan(&source.source, &asked.columns, &reserved, &prepared)?;
    if let Some(name) = plan.inputs.vector_columns.first() {
        let hint = "leave it out: the routes' vectors come from their encoders";
        return Err(Error::config("columns", format!("'{name}' holds vectors"), hint));
    }
    if let Some(label) = plan.inputs.columns.iter().find(|column| column.name == source.label_column) {
        let problem = format!("'{}' is the column of the labels", label.name);
        return Err(Error::config("columns", problem, "leave it out"));
    }
    let mut reader = RawReader::open(&source.source, &plan.inputs, VectorSource::Encoder)?;
    let columns = Some(reader.source_columns().to_vec());
    for chunk in open(&source.source, &ReadOptions { columns, ..ReadOptions::default() })? {
        reader.push(&chunk?)?;
    }
    let (raw, _) = reader.finish()?;
    if raw.table.rows() != rows.texts.len() {
        let problem = format!("{} rows of columns and {} of texts", raw.table.rows(), rows.texts.len());
        return Err(Error::data(&source.source, problem, "give columns in the file of the texts"));
    }
    Ok(Some(TableData { plans: plan.inputs.columns, table: raw.table, notes: plan.notes }))
}

/// The columns that the texts were read from.
pub(super) fn text_columns(settings: &CompareSettings) -> Result<Vec<String>> {
    let source = &settings.labelled;
    if !source.text_columns.is_empty() {
        return Ok(source.text_columns.clone());
    }
    let schema = open(&source.source, &ReadOptions::default())?.schema();
    let taken = [&source.group_column, &source.split_column, &source.time_column];
    let is_free =
        |name: &String| *name != source.label_column && !taken.iter().any(|of| of.as_ref() == Some(name));
    let fields: Vec<_> = schema.fields().iter().filter(|field| is_free(field.name())).cloned().collect();
    Ok(default_text_column(&Schema::new(fields)).map(str::to_owned).into_iter().collect())
}

/// The texts with their columns written before them, `price: 12, colour: red. text`; missing values are left out.
pub(super) fn as_texts(table: &Table, texts: &[String]) -> Vec<String> {
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
    use crate::data::open;

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
