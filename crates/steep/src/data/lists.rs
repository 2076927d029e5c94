//! A column as lists of strings.

use super::columns::{cast, column, row_number, text};
use super::fault::{cell_fault, shown};
use super::readers::Chunk;
use crate::error::Result;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use serde_json::Value;
use std::sync::Arc;

/// A column as lists of strings, null as `None`.
///
/// A column of lists is taken as it is, its items as strings and its null items left out. A column of strings is
/// read as a JSON list (`["a", "b"]`) where a value begins with `[`, and is parted at `|` otherwise.
///
/// # Errors
/// An unknown column, or a value that begins with `[` and is not a JSON list of strings or numbers, with its row.
pub fn lists(chunk: &Chunk, name: &str) -> Result<Vec<Option<Vec<String>>>> {
    let array = column(chunk, name)?;
    if is_list(array.data_type()) {
        return from_lists(chunk, name, &array);
    }
    let read = |(at, value): (usize, Option<&str>)| {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return Ok(None) };
        from_text(value).map(Some).ok_or_else(|| {
            let problem = format!("the value {} is not a list", shown(value));
            let hint = "write [\"a\", \"b\"] with double quotes, or a|b";
            cell_fault(&chunk.file, row_number(chunk, at), name, problem, hint)
        })
    };
    text(chunk, name)?.iter().enumerate().map(read).collect()
}

/// Whether a column is of lists.
pub(super) fn is_list(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}

/// Whether a string is a JSON list.
pub(super) fn is_json_list(value: &str) -> bool {
    value.trim_start().starts_with('[') && from_text(value.trim()).is_some()
}

fn from_lists(chunk: &Chunk, name: &str, array: &ArrayRef) -> Result<Vec<Option<Vec<String>>>> {
    let wanted = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let array = cast(chunk, name, array, &wanted)?;
    let items = |list: ArrayRef| list.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    Ok(array.as_list::<i32>().iter().map(|list| list.map(items)).collect())
}

fn from_text(value: &str) -> Option<Vec<String>> {
    if !value.starts_with('[') {
        let parts = value.split('|').map(str::trim).filter(|part| !part.is_empty());
        return Some(parts.map(str::to_owned).collect());
    }
    let items: Vec<Value> = serde_json::from_str(value).ok()?;
    let item = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(item.to_string()),
        _ => None,
    };
    items.iter().filter(|value| !value.is_null()).map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::super::columns::tests::chunk;
    use super::*;
    use arrow::array::{Int64Builder, LargeListBuilder, ListBuilder, StringArray, StringBuilder};

    fn owned(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn strings_are_read_as_json_or_parted_at_bars() {
        let values = vec![Some("[\"a\", \"b|c\", 3]"), Some("x | y|"), None, Some("[]"), Some("one")];
        let read = lists(&chunk(StringArray::from(values)), "c").unwrap();
        assert_eq!(
            read,
            [
                Some(owned(&["a", "b|c", "3"])),
                Some(owned(&["x", "y"])),
                None,
                Some(owned(&[])),
                Some(owned(&["one"]))
            ]
        );
        let error = lists(&chunk(StringArray::from(vec!["['a']"])), "c").unwrap_err();
        assert!(error.to_string().contains("row 11"), "{error}");
    }

    #[test]
    fn lists_of_any_size_and_item_are_taken() {
        let mut builder = ListBuilder::new(StringBuilder::new());
        builder.append_value([Some("a"), None]);
        builder.append_null();
        assert_eq!(lists(&chunk(builder.finish()), "c").unwrap(), [Some(owned(&["a"])), None]);
        let mut builder = LargeListBuilder::new(Int64Builder::new());
        builder.append_value([Some(7), Some(8)]);
        assert_eq!(lists(&chunk(builder.finish()), "c").unwrap(), [Some(owned(&["7", "8"]))]);
    }
}
