//! The labels of feature rows, their groups, and which rows train.

use super::ClassifySettings;
use crate::data::{
    Labelled, LabelledOptions, Labels, ReadOptions, RowOrigins, SplitMethod, SplitOptions, Task, lists,
    load_labelled, open, split,
};
use crate::error::{Error, Result};
use arrow::datatypes::Schema;
use std::collections::BTreeSet;

/// What is known of the rows beside their features.
pub(super) struct Rows {
    pub(super) labels: Labels,
    pub(super) groups: Option<Vec<String>>,
    pub(super) train: Vec<u32>,
    pub(super) validation: Vec<u32>,
    pub(super) test: Vec<u32>,
}

pub(super) fn read_rows(source: &str, settings: &ClassifySettings, limit: Option<u64>) -> Result<Rows> {
    let labelled = labelled(source, settings, limit)?;
    if labelled.splits.is_some() {
        return parted(labelled);
    }
    let train = (0..labelled.labels.len() as u32).collect();
    let (validation, test) = (Vec::new(), Vec::new());
    Ok(Rows { labels: labelled.labels, groups: labelled.groups, train, validation, test })
}

fn labelled(source: &str, settings: &ClassifySettings, limit: Option<u64>) -> Result<Labelled> {
    let schema = open(source, &ReadOptions::default())?.schema();
    let Some(plain) = plain_column(&schema) else { return labelled_by_lists(source, settings, limit) };
    let options = LabelledOptions {
        // No text is needed here, but the reader of labelled rows wants a column for it.
        text_columns: vec![plain],
        text_column_delimiter: String::new(),
        label_column: settings.label_column.clone(),
        task: settings.task,
        group_column: settings.group_column.clone(),
        split_column: settings.split_column.clone(),
        time_column: None,
        limit,
    };
    load_labelled(source, &options)
}

/// Any column of single values.
fn plain_column(schema: &Schema) -> Option<String> {
    let plain = schema.fields().iter().find(|field| !field.data_type().is_nested());
    plain.map(|field| field.name().clone())
}

/// The labels of a source that has columns of lists only, and so neither groups nor parts.
fn labelled_by_lists(source: &str, settings: &ClassifySettings, limit: Option<u64>) -> Result<Labelled> {
    if settings.task.is_some_and(|task| task != Task::MultiLabel) {
        let problem = format!("the column '{}' has lists of labels", settings.label_column);
        return Err(Error::data(source, problem, "set the task to several labels, or write one label a row"));
    }
    let column = settings.label_column.clone();
    let read = ReadOptions { columns: Some(vec![column.clone()]), limit, ..ReadOptions::default() };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for chunk in open(source, &read)? {
        let chunk = chunk?;
        for (at, labels) in lists(&chunk, &column)?.into_iter().enumerate() {
            rows.push(labels.ok_or_else(|| Error::Data {
                file: chunk.file.to_path_buf(),
                row: Some(chunk.first_row + at as u64),
                column: Some(column.clone()),
                problem: "the label is missing".into(),
                hint: "write an empty list, [], where a row has none of the labels".into(),
            })?);
        }
    }
    let names: BTreeSet<&String> = rows.iter().flatten().collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let place = |label: &String| names.binary_search(label).expect("the names are those of the rows") as u32;
    let sets =
        rows.iter().map(|labels| labels.iter().map(place).collect::<BTreeSet<_>>().into_iter().collect());
    let labels = Labels::Multi { sets: sets.collect(), names: names.clone() };
    Ok(Labelled {
        texts: Vec::new(),
        labels,
        groups: None,
        splits: None,
        time: None,
        missing_texts: 0,
        origins: RowOrigins::default(),
    })
}

/// The parts that the split column names. A part that no row belongs to is no error here: without test rows
/// there is nothing to report, and that is all.
fn parted(mut labelled: Labelled) -> Result<Rows> {
    const VALIDATION: [&str; 4] = ["validation", "valid", "val", "dev"];
    let written = labelled.splits.take().unwrap_or_default();
    let normal: Vec<String> = written.iter().map(|part| part.trim().to_lowercase()).collect();
    let held_out = |part: &String| part == "test" || VALIDATION.contains(&part.as_str());
    if normal.iter().all(|part| part == "train" || part == "training") {
        let train = (0..written.len() as u32).collect();
        let (validation, test) = (Vec::new(), Vec::new());
        return Ok(Rows { labels: labelled.labels, groups: labelled.groups, train, validation, test });
    }
    // Without test rows the validation rows stand in for them, so that the splitter checks the rest.
    let no_test = normal.iter().any(held_out) && !normal.iter().any(|part| part == "test");
    let part = |(normal, written): (&String, &String)| {
        if no_test && held_out(normal) { "test".to_owned() } else { written.clone() }
    };
    labelled.splits = Some(normal.iter().zip(&written).map(part).collect());
    let options =
        SplitOptions { method: SplitMethod::Column, validation_fraction: 0.0, test_fraction: 0.0, seed: 0 };
    let mut parts = split(&labelled, &options)?;
    if no_test {
        parts.validation = std::mem::take(&mut parts.test);
    }
    Ok(Rows {
        labels: labelled.labels,
        groups: labelled.groups,
        train: parts.train,
        validation: parts.validation,
        test: parts.test,
    })
}
