//! The person's columns beside the text.

use super::settings::CompareSettings;
use crate::data::{Labelled, ReadOptions, default_text_column, open};
use crate::error::{Error, Result};
use crate::features::columns::{ColumnPlan, Table};
use crate::stages::{PreparedFeatures, RawReader, VectorSource, reading_plan};
use arrow::datatypes::Schema;

/// Columns of all labelled rows.
#[derive(Debug, Clone)]
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
