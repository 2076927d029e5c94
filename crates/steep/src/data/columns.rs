//! A column as strings, numbers or booleans, whatever its type in the file.

use super::fault::{cell_fault, column_fault, shown};
use super::nearest::unknown_column;
use super::readers::Chunk;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};

/// The column of a chunk by its name.
///
/// # Errors
/// [`Error::Data`] that lists the columns and the nearest name.
pub(super) fn column(chunk: &Chunk, name: &str) -> Result<ArrayRef> {
    chunk.batch.column_by_name(name).cloned().ok_or_else(|| {
        let schema = chunk.batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        unknown_column(&chunk.file, name, &names)
    })
}

/// The number of a chunk's row within its file, counted from 1.
pub(super) fn row_number(chunk: &Chunk, at: usize) -> u64 {
    chunk.first_row + at as u64
}

/// A column as strings; numbers and booleans are written out (whole floats without `.0`), null stays null.
///
/// # Errors
/// An unknown column, a column of lists or structures, or one that does not fit into strings.
pub fn text(chunk: &Chunk, name: &str) -> Result<StringArray> {
    let array = plain(chunk, name)?;
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().clone()),
        DataType::Float32 => {
            Ok(array.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| v.to_string())).collect())
        }
        DataType::Float64 => {
            Ok(array.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| v.to_string())).collect())
        }
        DataType::Float16 => {
            let wide = cast(chunk, name, &array, &DataType::Float32)?;
            Ok(wide.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| v.to_string())).collect())
        }
        _ => Ok(cast(chunk, name, &array, &DataType::Utf8)?.as_string::<i32>().clone()),
    }
}

/// A column as numbers: numbers of any type, booleans as 0 and 1, strings that are numbers; null, an empty string
/// and NaN are null.
///
/// # Errors
/// An unknown column, or a value that is no finite number, with its row.
pub fn numbers(chunk: &Chunk, name: &str) -> Result<Float64Array> {
    let array = plain(chunk, name)?;
    let read: Float64Array = match array.data_type() {
        DataType::Utf8 => return parsed(chunk, name, array.as_string(), number),
        kind if kind.is_temporal() || matches!(kind, DataType::Binary | DataType::LargeBinary) => {
            let hint = "use it as a category or as the time column, or write it as numbers";
            return Err(column_fault(
                &chunk.file,
                name,
                format!("values of type {kind} are not numbers"),
                hint,
            ));
        }
        _ => cast(chunk, name, &array, &DataType::Float64)?.as_primitive().clone(),
    };
    if let Some(at) = read.iter().position(|value| value.is_some_and(f64::is_infinite)) {
        let hint = "leave the value out where it is missing";
        return Err(cell_fault(&chunk.file, row_number(chunk, at), name, "the value is infinite", hint));
    }
    Ok(read.iter().map(|value| value.filter(|value| !value.is_nan())).collect())
}

/// A column as booleans: booleans, the numbers 0 and 1, and the strings true/false, yes/no, t/f, y/n, 1/0 in any case.
///
/// # Errors
/// An unknown column, or a value that is none of these, with its row.
pub fn booleans(chunk: &Chunk, name: &str) -> Result<BooleanArray> {
    let array = plain(chunk, name)?;
    if array.data_type() == &DataType::Boolean {
        return Ok(array.as_boolean().clone());
    }
    parsed(chunk, name, &text(chunk, name)?, boolean)
}

/// The column that holds the texts where none is named: `text` if it is there, else the only column of strings,
/// else the first that has a name.
pub fn default_text_column(schema: &Schema) -> Option<&str> {
    let mut named = schema.fields().iter().filter(|field| !field.name().starts_with("Unnamed: "));
    if schema.field_with_name("text").is_ok() {
        return Some("text");
    }
    let mut strings = named.clone().filter(|field| is_string(field.data_type()));
    match (strings.next(), strings.next()) {
        (Some(only), None) => Some(only.name()),
        _ => named.next().or(schema.fields().first()).map(|field| field.name().as_str()),
    }
}

/// Whether a column is of strings, encoded in whatever way.
pub(super) fn is_string(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_string(values),
        _ => false,
    }
}

/// A column that is not nested, its dictionary unfolded.
fn plain(chunk: &Chunk, name: &str) -> Result<ArrayRef> {
    let array = column(chunk, name)?;
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(chunk, name, &array, values),
        DataType::LargeUtf8 | DataType::Utf8View => cast(chunk, name, &array, &DataType::Utf8),
        kind if kind.is_nested() => {
            let problem = format!("single values are needed here, and the column is of type {kind}");
            Err(column_fault(&chunk.file, name, problem, "name a column of strings or numbers"))
        }
        _ => Ok(array),
    }
}

/// A column in another type; a value that does not fit is an error.
pub(super) fn cast(chunk: &Chunk, name: &str, array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).map_err(|error| {
        let problem = format!("the column of type {} cannot be read as {to}: {error}", array.data_type());
        column_fault(&chunk.file, name, problem, "write the column as strings or numbers")
    })
}

/// Reads strings one by one; a blank one is null.
fn parsed<T, A: FromIterator<Option<T>>>(
    chunk: &Chunk,
    name: &str,
    values: &StringArray,
    read: fn(&str) -> Result<T, &'static str>,
) -> Result<A> {
    let one = |(at, value): (usize, Option<&str>)| -> Result<Option<T>> {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return Ok(None) };
        read(value).map(Some).map_err(|expected| misread(chunk, name, at, value, expected))
    };
    values.iter().enumerate().map(one).collect()
}

fn misread(chunk: &Chunk, name: &str, at: usize, value: &str, expected: &str) -> Error {
    let problem = format!("the value {} is not {expected}", shown(value));
    let hint = "correct the value, leave it empty where it is missing, or use the column as a category";
    cell_fault(&chunk.file, row_number(chunk, at), name, problem, hint)
}

fn number(value: &str) -> Result<f64, &'static str> {
    value.parse().ok().filter(|number: &f64| number.is_finite()).ok_or("a number")
}

fn boolean(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" | "1.0" => Ok(true),
        "false" | "f" | "no" | "n" | "0" | "0.0" => Ok(false),
        _ => Err("true or false"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float32Array, Int64Array, RecordBatch};
    use arrow::datatypes::{Field, Int32Type};
    use std::path::Path;
    use std::sync::Arc;

    /// A chunk of one column `c` that begins at row 11.
    pub(crate) fn chunk(array: impl Array + 'static) -> Chunk {
        let array: ArrayRef = Arc::new(array);
        let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
        Chunk { file: Arc::from(Path::new("a.csv")), first_row: 11, batch }
    }

    fn texts(array: impl Array + 'static) -> Vec<Option<String>> {
        text(&chunk(array), "c").unwrap().iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn everything_plain_can_be_read_as_text() {
        let some = |values: &[&str]| values.iter().map(|value| Some((*value).to_owned())).collect::<Vec<_>>();
        assert_eq!(texts(Int64Array::from(vec![1, -2])), some(&["1", "-2"]));
        assert_eq!(texts(Float64Array::from(vec![3.0, 0.1])), some(&["3", "0.1"]));
        assert_eq!(texts(Float32Array::from(vec![0.1])), some(&["0.1"]));
        assert_eq!(texts(BooleanArray::from(vec![true])), some(&["true"]));
        let dictionary: DictionaryArray<Int32Type> = vec!["x", "y", "x"].into_iter().collect();
        assert_eq!(texts(dictionary), some(&["x", "y", "x"]));
        assert_eq!(texts(StringArray::from(vec![None, Some("NA")])), [None, Some("NA".to_owned())]);
    }

    #[test]
    fn numbers_are_parsed_and_misfits_named_with_row_and_value() {
        let read = numbers(&chunk(StringArray::from(vec![Some(" 1.5 "), None, Some("-2e3")])), "c").unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [Some(1.5), None, Some(-2000.0)]);
        for wrong in ["nan", "1,234", "inf", "x"] {
            let error = numbers(&chunk(StringArray::from(vec!["1", wrong])), "c").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("a.csv, row 12, column 'c': the value '{wrong}' is not a number")
            );
            assert!(error.hint().is_some());
        }
        let read = numbers(&chunk(Float64Array::from(vec![Some(f64::NAN), Some(2.0)])), "c").unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [None, Some(2.0)]);
        assert!(numbers(&chunk(Float64Array::from(vec![f64::INFINITY])), "c").is_err());
        let read = numbers(&chunk(BooleanArray::from(vec![true, false])), "c").unwrap();
        assert_eq!(read.values().as_ref(), [1.0, 0.0]);
    }

    #[test]
    fn booleans_are_read_from_words_and_numbers() {
        let read = booleans(&chunk(StringArray::from(vec![Some("Yes"), Some("0"), Some("")])), "c").unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [Some(true), Some(false), None]);
        let read = booleans(&chunk(Float64Array::from(vec![1.0, 0.0])), "c").unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
        assert!(
            booleans(&chunk(StringArray::from(vec!["maybe"])), "c")
                .unwrap_err()
                .to_string()
                .contains("row 11")
        );
    }

    #[test]
    fn an_unknown_column_is_answered_with_the_columns_there_are() {
        let error = text(&chunk(StringArray::from(vec!["x"])), "C").unwrap_err();
        assert!(error.to_string().contains("the columns are 'c'"), "{error}");
        assert_eq!(error.hint(), Some("did you mean 'c'?"));
    }

    #[test]
    fn the_text_column_is_found() {
        let schema = |fields: &[(&str, DataType)]| {
            Schema::new(
                fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>(),
            )
        };
        let (string, number) = (DataType::Utf8, DataType::Float64);
        let of =
            |fields: &[(&str, DataType)]| default_text_column(&schema(fields)).map(str::to_owned).unwrap();
        assert_eq!(of(&[("label", string.clone()), ("text", string.clone())]), "text");
        assert_eq!(of(&[("price", number.clone()), ("review", string.clone())]), "review");
        assert_eq!(
            of(&[("Unnamed: 0", string.clone()), ("review", string.clone()), ("b", string)]),
            "review"
        );
        assert_eq!(of(&[("a", number.clone()), ("b", number)]), "a");
    }
}
