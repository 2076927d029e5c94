//! Columns of a source, read whole.

use crate::data::{Chunk, ReadOptions, numbers, open, text};
use crate::error::{Error, Result};
use crate::stages::output::{RowBuffer, TextColumns};

/// The texts of a source, the default column where none is named; missing ones are empty.
pub(super) fn texts(
    source: &str,
    columns: &[String],
    delimiter: &str,
    limit: Option<u64>,
) -> Result<Vec<String>> {
    let columns = TextColumns::resolve(source, columns, delimiter)?;
    let names = Some(columns.names().to_vec());
    let mut texts = Vec::new();
    for chunk in open(source, &ReadOptions { columns: names, limit, ..ReadOptions::default() })? {
        let chunk = chunk?;
        let rows = RowBuffer { rows: chunk.batch.num_rows(), chunks: vec![chunk] };
        texts.extend(columns.of(&rows)?.0);
    }
    Ok(texts)
}

/// The column that was asked for, or the first of the usual names that the source has.
pub(super) fn column_name(source: &str, asked: Option<&String>, usual: &[&str]) -> Result<Option<String>> {
    if let Some(asked) = asked {
        return Ok(Some(asked.clone()));
    }
    let schema = open(source, &ReadOptions::default())?.schema();
    let has = |name: &&&str| schema.column_with_name(name).is_some();
    Ok(usual.iter().find(has).map(|&name| name.to_owned()))
}

/// A column of texts in which none may be missing.
pub(super) fn strings(source: &str, column: &str, limit: Option<u64>) -> Result<Vec<String>> {
    cells(source, column, limit, |chunk| {
        Ok(text(chunk, column)?.iter().map(|value| value.map(str::to_owned)).collect())
    })
}

/// A column of numbers in which none may be missing.
pub(super) fn values(source: &str, column: &str, limit: Option<u64>) -> Result<Vec<f64>> {
    cells(source, column, limit, |chunk| Ok(numbers(chunk, column)?.iter().collect()))
}

fn cells<T>(
    source: &str,
    column: &str,
    limit: Option<u64>,
    read: impl Fn(&Chunk) -> Result<Vec<Option<T>>>,
) -> Result<Vec<T>> {
    let mut cells = Vec::new();
    let columns = Some(vec![column.to_owned()]);
    for chunk in open(source, &ReadOptions { columns, limit, ..ReadOptions::default() })? {
        let chunk = chunk?;
        for (cell, row) in read(&chunk)?.into_iter().zip(chunk.first_row..) {
            cells.push(cell.ok_or_else(|| Error::Data {
                file: chunk.file.to_path_buf(),
                row: Some(row),
                column: Some(column.to_owned()),
                problem: "the value is missing".into(),
                hint: "fill it in, or leave the row out".into(),
            })?);
        }
    }
    Ok(cells)
}
