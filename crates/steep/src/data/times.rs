//! A column as points in time, to put rows in order.

use super::columns::{cast, column, row_number, text};
use super::fault::{cell_fault, shown};
use super::readers::Chunk;
use crate::error::{Error, Result};
use arrow::array::{Array, AsArray};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};

const HINT: &str =
    "write all times alike: as ISO 8601 such as 2024-01-31 or 2024-01-31T12:00:00Z, or as numbers";

/// Collects a time column chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct TimeColumn {
    /// Whether the column is of plain numbers (a year, a Unix time); unknown before the first row.
    are_numbers: Option<bool>,
    /// Plain numbers as they are, dates and times as seconds since 1970-01-01 UTC.
    pub(super) values: Vec<f64>,
}

impl TimeColumn {
    /// Appends the column of a chunk; a missing or unreadable time is an error.
    pub(super) fn push(&mut self, chunk: &Chunk, name: &str) -> Result<()> {
        let array = column(chunk, name)?;
        if matches!(array.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
            let array = cast(chunk, name, &array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            for (at, value) in array.as_primitive::<TimestampMicrosecondType>().iter().enumerate() {
                let value = value.ok_or_else(|| missing(chunk, name, at))?;
                self.accept(chunk, name, at, Time::Moment(value as f64 / 1e6))?;
            }
            return Ok(());
        }
        for (at, value) in text(chunk, name)?.iter().enumerate() {
            let value = value.map(str::trim).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| missing(chunk, name, at))?;
            self.accept(chunk, name, at, read(value).ok_or_else(|| unreadable(chunk, name, at, value))?)?;
        }
        Ok(())
    }

    fn accept(&mut self, chunk: &Chunk, name: &str, at: usize, time: Time) -> Result<()> {
        let (is_number, value) = match time {
            Time::Number(value) => (true, value),
            Time::Moment(value) => (false, value),
        };
        if *self.are_numbers.get_or_insert(is_number) != is_number {
            let problem = "some times are plain numbers, others are dates";
            return Err(cell_fault(&chunk.file, row_number(chunk, at), name, problem, HINT));
        }
        self.values.push(value);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Time {
    Number(f64),
    Moment(f64),
}

fn read(value: &str) -> Option<Time> {
    if let Ok(number) = value.parse::<f64>() {
        return number.is_finite().then_some(Time::Number(number));
    }
    string_to_timestamp_nanos(value).ok().map(|nanoseconds| Time::Moment(nanoseconds as f64 / 1e9))
}

fn missing(chunk: &Chunk, name: &str, at: usize) -> Error {
    let hint = "give every row a time, or split by another method";
    cell_fault(&chunk.file, row_number(chunk, at), name, "the time is missing", hint)
}

fn unreadable(chunk: &Chunk, name: &str, at: usize, value: &str) -> Error {
    let problem = format!("the value {} is not a time", shown(value));
    cell_fault(&chunk.file, row_number(chunk, at), name, problem, HINT)
}

#[cfg(test)]
mod tests {
    use super::super::columns::tests::chunk;
    use super::*;
    use arrow::array::{Date32Array, StringArray};

    fn times(array: impl Array + 'static) -> Result<Vec<f64>> {
        let mut column = TimeColumn::default();
        column.push(&chunk(array), "c").map(|()| column.values)
    }

    #[test]
    fn dates_numbers_and_moments_are_ordered() {
        let day = 86_400.0;
        assert_eq!(times(StringArray::from(vec!["1970-01-02", "1970-01-01T00:00:01Z"])).unwrap(), [day, 1.0]);
        assert_eq!(times(Date32Array::from(vec![2])).unwrap(), [2.0 * day]);
        assert_eq!(times(StringArray::from(vec!["2019", "2020.5"])).unwrap(), [2019.0, 2020.5]);
    }

    #[test]
    fn a_time_that_cannot_be_compared_is_named_with_its_row() {
        for values in [vec!["2019", "2019-05-01"], vec!["2019-05-01", "soon"], vec!["2019-05-01", ""]] {
            assert!(times(StringArray::from(values)).unwrap_err().to_string().contains("row 12, column 'c'"));
        }
    }
}
