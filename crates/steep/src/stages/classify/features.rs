//! Feature columns of a source as a matrix.

use super::npy;
use crate::data::nearest::unknown_column;
use crate::data::{Chunk, ReadOptions, booleans, numbers, open};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::stages::extract::EMBEDDING_COLUMN;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use std::path::Path;
use std::sync::Arc;

/// Features and the names of their columns.
pub(super) struct NamedFeatures {
    pub(super) matrix: DenseMatrix,
    pub(super) names: Vec<String>,
}

/// Reads the features of a source, `limit` rows at most.
pub(super) fn read_features(source: &str, asked: &[String], limit: Option<u64>) -> Result<NamedFeatures> {
    if npy::is_npy(source) {
        let matrix = npy::read(source, limit)?;
        let names = (0..matrix.columns()).map(|at| format!("{EMBEDDING_COLUMN}_{at}")).collect();
        return Ok(NamedFeatures { matrix, names });
    }
    let mut columns = FeatureColumns::resolve(source, asked)?;
    let (mut values, mut rows) = (Vec::new(), 0);
    let read = ReadOptions { columns: Some(columns.source_columns()), limit, ..ReadOptions::default() };
    for chunk in open(source, &read)? {
        let chunk = chunk?;
        columns.append(&chunk, &mut values)?;
        rows += chunk.batch.num_rows();
    }
    let names = columns.names();
    Ok(NamedFeatures { matrix: DenseMatrix::new(rows, names.len(), values)?, names })
}

/// Which columns of a source are features, and how many each gives.
#[derive(Debug, Clone)]
pub(in crate::stages) struct FeatureColumns {
    columns: Vec<FeatureColumn>,
}

#[derive(Debug, Clone)]
struct FeatureColumn {
    name: String,
    width: Width,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Width {
    /// Numbers or booleans.
    One,
    /// Lists, all of the length of the first.
    List(Option<usize>),
}

impl FeatureColumns {
    /// Finds the asked columns, or the embedding where none are asked.
    pub(in crate::stages) fn resolve(source: &str, asked: &[String]) -> Result<Self> {
        let schema = open(source, &ReadOptions::default())?.schema();
        let usual = [EMBEDDING_COLUMN.to_owned()];
        let mut columns = Vec::new();
        for name in if asked.is_empty() { &usual } else { asked } {
            let found = find(&schema, name);
            if found.is_empty() {
                return Err(unknown_field(source, &schema, name));
            }
            columns.extend(found);
        }
        Ok(Self { columns })
    }

    /// The columns to read.
    pub(in crate::stages) fn source_columns(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// The names of the features, items of lists numbered from 0; lists must have been read.
    pub(in crate::stages) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for column in &self.columns {
            match column.width {
                Width::One => names.push(column.name.clone()),
                Width::List(width) => {
                    names.extend((0..width.unwrap_or(0)).map(|at| format!("{}_{at}", column.name)));
                }
            }
        }
        names
    }

    /// Appends the features of a chunk, row by row.
    pub(in crate::stages) fn append(&mut self, chunk: &Chunk, values: &mut Vec<f32>) -> Result<()> {
        let mut blocks = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            blocks.push(match &mut column.width {
                Width::One => (scalars(chunk, &column.name)?, 1),
                Width::List(width) => lists(chunk, &column.name, width)?,
            });
        }
        let width: usize = blocks.iter().map(|(_, width)| width).sum();
        values.reserve(chunk.batch.num_rows() * width);
        for row in 0..chunk.batch.num_rows() {
            for (block, width) in &blocks {
                values.extend_from_slice(&block[row * width..(row + 1) * width]);
            }
        }
        Ok(())
    }
}

/// The columns that a name stands for.
fn find(schema: &Schema, name: &str) -> Vec<FeatureColumn> {
    if let Ok(field) = schema.field_with_name(name) {
        return vec![feature_column(field)];
    }
    if let Some(prefix) = name.strip_suffix('*') {
        let beginning = schema.fields().iter().filter(|field| field.name().starts_with(prefix));
        return beginning.map(|field| feature_column(field)).collect();
    }
    let number = |field: &Field| field.name().strip_prefix(name)?.strip_prefix('_')?.parse::<u32>().ok();
    let mut numbered: Vec<(u32, FeatureColumn)> =
        schema.fields().iter().filter_map(|field| Some((number(field)?, feature_column(field)))).collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, column)| column).collect()
}

/// The error for a column that is not among the fields of a file.
pub(crate) fn unknown_field(source: &str, schema: &Schema, name: &str) -> Error {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    unknown_column(Path::new(source), name, &names)
}

fn feature_column(field: &Field) -> FeatureColumn {
    let is_list =
        matches!(field.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    FeatureColumn { name: field.name().clone(), width: if is_list { Width::List(None) } else { Width::One } }
}

/// A column of numbers, or of booleans as 0 and 1.
fn scalars(chunk: &Chunk, name: &str) -> Result<Vec<f32>> {
    let values: Vec<Option<f64>> = match numbers(chunk, name) {
        Ok(values) => values.iter().collect(),
        Err(fault) => match booleans(chunk, name) {
            Ok(values) => values.iter().map(|value| value.map(f64::from)).collect(),
            Err(_) => return Err(fault),
        },
    };
    let read = |(at, value): (usize, Option<f64>)| match value {
        Some(value) => Ok(value as f32),
        None => Err(fault(chunk, name, at, "the value is missing".into())),
    };
    values.into_iter().enumerate().map(read).collect()
}

/// A column of lists, one after the other, and their length.
fn lists(chunk: &Chunk, name: &str, width: &mut Option<usize>) -> Result<(Vec<f32>, usize)> {
    let array = chunk.batch.column_by_name(name).ok_or_else(|| {
        Error::data(&chunk.file, format!("the column '{name}' is missing"), "give all files the same columns")
    })?;
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let array = arrow::compute::cast(array, &DataType::List(item)).map_err(|error| {
        let problem = format!("the lists of '{name}' are not of numbers: {error}");
        Error::data(&chunk.file, problem, "name columns of numbers")
    })?;
    let lists = array.as_list::<i32>();
    let items = lists.values().as_primitive::<Float32Type>();
    let mut values = Vec::new();
    for row in 0..lists.len() {
        let (start, length) = (lists.value_offsets()[row] as usize, lists.value_length(row) as usize);
        if lists.is_null(row) {
            return Err(fault(chunk, name, row, "the list is missing".into()));
        }
        let expected = *width.get_or_insert(length);
        if length != expected {
            let problem = format!("the list has {length} items, the first one has {expected}");
            return Err(fault(chunk, name, row, problem));
        }
        if (start..start + length).any(|at| items.is_null(at)) {
            return Err(fault(chunk, name, row, "an item of the list is missing".into()));
        }
        values.extend_from_slice(&items.values()[start..start + length]);
    }
    Ok((values, width.unwrap_or(0)))
}

fn fault(chunk: &Chunk, name: &str, at: usize, problem: String) -> Error {
    Error::Data {
        file: chunk.file.to_path_buf(),
        row: Some(chunk.first_row + at as u64),
        column: Some(name.to_owned()),
        problem,
        hint: "give every row a value, or leave the row out".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &str, asked: &[&str]) -> Result<NamedFeatures> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        read_features(path.to_str().unwrap(), &asked, None)
    }

    #[test]
    fn numbered_columns_come_in_the_order_of_their_numbers() {
        let csv = "embedding_10,embedding_2,text,embedding_0\n3,2,x,1\n";
        let features = read("a.csv", csv, &[]).unwrap();
        assert_eq!(features.names, ["embedding_0", "embedding_2", "embedding_10"]);
        assert_eq!(features.matrix.values(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn lists_numbers_and_booleans_stand_side_by_side() {
        let lines = "{\"embedding\":[1,2.5],\"price\":3,\"new\":true,\"text\":\"x\"}\n\
                     {\"embedding\":[4,5],\"price\":6.5,\"new\":false,\"text\":\"y\"}\n";
        let features = read("a.jsonl", lines, &["price", "embedding", "ne*"]).unwrap();
        assert_eq!(features.names, ["price", "embedding_0", "embedding_1", "new"]);
        assert_eq!(features.matrix.values(), [3.0, 1.0, 2.5, 1.0, 6.5, 4.0, 5.0, 0.0]);
    }

    #[test]
    fn faults_name_row_and_column() {
        let error = |result: Result<NamedFeatures>| result.err().expect("refused");
        let ragged = error(read("a.jsonl", "{\"embedding\":[1,2]}\n{\"embedding\":[3]}\n", &[]));
        assert!(ragged.to_string().contains("row 2, column 'embedding'"), "{ragged}");
        let missing = error(read("a.csv", "price,b\n1,\n,\n", &["price"]));
        assert!(missing.to_string().contains("row 2, column 'price'"), "{missing}");
        let words = error(read("a.csv", "price\nx\n", &["price"]));
        assert!(words.to_string().contains("not a number") && words.hint().is_some(), "{words}");
        let unknown = error(read("a.csv", "price\n1\n", &[]));
        assert!(unknown.to_string().contains("'price'") && unknown.hint().is_some(), "{unknown}");
    }
}
