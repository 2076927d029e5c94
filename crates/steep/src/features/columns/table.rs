//! The values of some rows, column by column.

use super::kind::{ColumnKind, ColumnPlan};
use super::moments::parse_moment;
use crate::data::{Chunk, booleans, lists, numbers, text};
use crate::error::{Error, Result};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers, booleans as 0 and 1, and moments as seconds since 1970-01-01 UTC; NaN where the value is missing.
    Numbers(Vec<f64>),
    /// Categories.
    Categories(Vec<Option<String>>),
    /// Tags; a missing list has none.
    Tags(Vec<Vec<String>>),
}

impl Values {
    fn empty(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Numerical | ColumnKind::Boolean | ColumnKind::Datetime { .. } => {
                Self::Numbers(Vec::new())
            }
            ColumnKind::Categorical => Self::Categories(Vec::new()),
            ColumnKind::Tags => Self::Tags(Vec::new()),
        }
    }
}

/// Columns of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    plans: Vec<ColumnPlan>,
    values: Vec<Values>,
    rows: usize,
}

impl Table {
    /// A table without rows.
    pub fn new(plans: &[ColumnPlan]) -> Self {
        let values = plans.iter().map(|plan| Values::empty(plan.kind)).collect();
        Self { plans: plans.to_vec(), values, rows: 0 }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns with their values.
    pub fn columns(&self) -> impl Iterator<Item = (&ColumnPlan, &Values)> {
        self.plans.iter().zip(&self.values)
    }

    /// A copy of the given rows, in the given order. The caller gives rows that exist.
    #[must_use]
    pub fn select_rows(&self, rows: &[u32]) -> Self {
        let values = self.values.iter().map(|values| match values {
            Values::Numbers(values) => Values::Numbers(picked(values, rows)),
            Values::Categories(values) => Values::Categories(picked(values, rows)),
            Values::Tags(values) => Values::Tags(picked(values, rows)),
        });
        Self { plans: self.plans.clone(), values: values.collect(), rows: rows.len() }
    }

    /// Appends the rows of a chunk.
    ///
    /// # Errors
    /// A column that is not there, or a value that is not of the column's kind, with file, row and column.
    pub fn push(&mut self, chunk: &Chunk) -> Result<()> {
        for (plan, values) in self.plans.iter().zip(&mut self.values) {
            let name = &plan.name;
            match (plan.kind, values) {
                (ColumnKind::Numerical, Values::Numbers(values)) => {
                    values.extend(numbers(chunk, name)?.iter().map(|value| value.unwrap_or(f64::NAN)));
                }
                (ColumnKind::Boolean, Values::Numbers(values)) => {
                    let read = booleans(chunk, name)?;
                    values.extend(read.iter().map(|value| value.map_or(f64::NAN, f64::from)));
                }
                (ColumnKind::Datetime { day_first }, Values::Numbers(values)) => {
                    push_moments(chunk, name, day_first, values)?;
                }
                (ColumnKind::Categorical, Values::Categories(values)) => {
                    let read = text(chunk, name)?;
                    let trimmed =
                        read.iter().map(|value| value.map(str::trim).filter(|value| !value.is_empty()));
                    values.extend(trimmed.map(|value| value.map(str::to_owned)));
                }
                (_, Values::Tags(values)) => {
                    values.extend(lists(chunk, name)?.into_iter().map(Option::unwrap_or_default));
                }
                _ => unreachable!("the values were made for the plan's kind"),
            }
        }
        self.rows += chunk.batch.num_rows();
        Ok(())
    }
}

fn picked<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize].clone()).collect()
}

fn push_moments(chunk: &Chunk, name: &str, day_first: bool, values: &mut Vec<f64>) -> Result<()> {
    if let Some(array) = chunk.batch.column_by_name(name)
        && matches!(array.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
    {
        let array = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))
            .map_err(|error| Error::data(&chunk.file, error.to_string(), "write dates as 2024-01-31"))?;
        let microseconds = array.as_primitive::<TimestampMicrosecondType>();
        values.extend(microseconds.iter().map(|value| value.map_or(f64::NAN, |value| value as f64 / 1e6)));
        return Ok(());
    }
    for (at, value) in text(chunk, name)?.iter().enumerate() {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        let read = value.map(|value| parse_moment(value, day_first).ok_or(value)).transpose();
        values.push(read.map_err(|value| unreadable(chunk, name, at, value))?.unwrap_or(f64::NAN));
    }
    Ok(())
}

fn unreadable(chunk: &Chunk, name: &str, at: usize, value: &str) -> Error {
    let shown: String = value.chars().take(40).collect();
    Error::Data {
        file: chunk.file.to_path_buf(),
        row: Some(chunk.first_row + at as u64),
        column: Some(name.to_owned()),
        problem: format!("the value '{shown}' is not a date or time"),
        hint: "write dates as 2024-01-31 or 31 Jan 2024, or use the column as a category".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ReadOptions, open};

    fn read(csv: &str, kinds: &[(&str, ColumnKind)]) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, csv).unwrap();
        let plan = |(name, kind): &(&str, ColumnKind)| ColumnPlan {
            name: (*name).to_owned(),
            kind: *kind,
            reason: "given".to_owned(),
        };
        let mut table = Table::new(&kinds.iter().map(plan).collect::<Vec<_>>());
        for chunk in open(path.to_str().unwrap(), &ReadOptions::default())? {
            table.push(&chunk?)?;
        }
        Ok(table)
    }

    #[test]
    fn every_kind_is_read_and_missing_values_are_kept() {
        let csv = "n,b,d,c,t\n1.5,yes,1970-01-02,red,a|b\n,,,,\n";
        let kinds = [
            ("n", ColumnKind::Numerical),
            ("b", ColumnKind::Boolean),
            ("d", ColumnKind::Datetime { day_first: false }),
            ("c", ColumnKind::Categorical),
            ("t", ColumnKind::Tags),
        ];
        let table = read(csv, &kinds).unwrap();
        let values: Vec<&Values> = table.columns().map(|(_, values)| values).collect();
        for (column, expected) in [(0, 1.5), (1, 1.0), (2, 86_400.0)] {
            let Values::Numbers(numbers) = values[column] else { panic!("numbers") };
            assert!(numbers[0] == expected && numbers[1].is_nan());
        }
        assert_eq!(*values[3], Values::Categories(vec![Some("red".to_owned()), None]));
        assert_eq!(*values[4], Values::Tags(vec![vec!["a".to_owned(), "b".to_owned()], vec![]]));
    }

    #[test]
    fn a_value_of_another_kind_is_named_with_its_row() {
        let error =
            read("d\n2024-01-31\nsoon\n", &[("d", ColumnKind::Datetime { day_first: false })]).unwrap_err();
        assert!(error.to_string().contains("row 2, column 'd'") && error.hint().is_some(), "{error}");
    }
}
