//! Single values as JSON or as the text of a CSV field.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;

/// Columns whose dictionaries are unfolded, which is cheaper once than for every value.
pub(super) fn unfolded(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
    let of = |column: &ArrayRef| match column.data_type() {
        DataType::Dictionary(_, values) => arrow::compute::cast(column, values),
        _ => Ok(column.clone()),
    };
    columns.iter().map(of).collect()
}

/// Appends a value as JSON: numbers, booleans, strings, lists and objects as such; what JSON has no
/// form for (times, decimals, bytes) as a string; a number that is not finite as null.
pub(super) fn push_json(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.extend_from_slice(b"null"),
        DataType::Boolean => push_serialized(&array.as_boolean().value(row), out),
        DataType::Float16 => push_serialized(&array.as_primitive::<Float16Type>().value(row).to_f32(), out),
        DataType::Float32 => push_serialized(&array.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => push_serialized(&array.as_primitive::<Float64Type>().value(row), out),
        DataType::Utf8 => push_serialized(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => push_serialized(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => push_serialized(array.as_string_view().value(row), out),
        DataType::List(_) => push_json_list(array.as_list::<i32>().value(row).as_ref(), out)?,
        DataType::LargeList(_) => push_json_list(array.as_list::<i64>().value(row).as_ref(), out)?,
        DataType::FixedSizeList(..) => push_json_list(array.as_fixed_size_list().value(row).as_ref(), out)?,
        DataType::Struct(_) => push_json_object(array, row, out)?,
        kind if kind.is_integer() => out.extend_from_slice(displayed(array, row)?.as_bytes()),
        _ => push_serialized(displayed(array, row)?.as_str(), out),
    }
    Ok(())
}

/// Appends a value as the text of a CSV field: nothing for null, lists and objects as JSON.
pub(super) fn push_field(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    if array.is_null(row) {
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => out.extend_from_slice(array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => out.extend_from_slice(array.as_string_view().value(row).as_bytes()),
        DataType::Float16 => push_number(array.as_primitive::<Float16Type>().value(row).to_f32().into(), out),
        DataType::Float32 => push_single(array.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => push_number(array.as_primitive::<Float64Type>().value(row), out),
        kind if kind.is_nested() => push_json(array, row, out)?,
        _ => out.extend_from_slice(displayed(array, row)?.as_bytes()),
    }
    Ok(())
}

/// Appends the shortest digits that give the same 32-bit number again.
pub(super) fn push_single(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() { push_serialized(&value, out) } else { push_number(value.into(), out) }
}

fn push_number(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        push_serialized(&value, out);
    } else {
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

/// Appends a value that JSON has a form for.
pub(super) fn push_serialized<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("numbers and strings serialise into memory");
}

fn push_json_list(items: &dyn Array, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    out.push(b'[');
    for at in 0..items.len() {
        if at > 0 {
            out.push(b',');
        }
        push_json(items, at, out)?;
    }
    out.push(b']');
    Ok(())
}

fn push_json_object(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let array = array.as_struct();
    out.push(b'{');
    for (at, (field, column)) in array.fields().iter().zip(array.columns()).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_serialized(field.name().as_str(), out);
        out.push(b':');
        push_json(column.as_ref(), row, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn displayed(array: &dyn Array, row: usize) -> Result<String, ArrowError> {
    ArrayFormatter::try_new(array, &FormatOptions::default())?.value(row).try_to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Date32Array, DictionaryArray, Float32Array, Int64Array, ListArray, StringArray,
        StructArray,
    };
    use arrow::datatypes::{Field, Int8Type, Int32Type};
    use std::sync::Arc;

    fn json(array: impl Array + 'static) -> String {
        let array = &unfolded(&[Arc::new(array)]).unwrap()[0];
        let mut out = Vec::new();
        push_json_list(array.as_ref(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn field(array: &dyn Array) -> String {
        let mut out = Vec::new();
        push_field(array, 0, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_has_its_json() {
        assert_eq!(json(Float32Array::from(vec![0.1, 1e-30, f32::NAN])), "[0.1,1e-30,null]");
        assert_eq!(json(Int64Array::from(vec![Some(-3), None])), "[-3,null]");
        assert_eq!(json(BooleanArray::from(vec![true])), "[true]");
        assert_eq!(json(StringArray::from(vec!["a\"\n"])), "[\"a\\\"\\n\"]");
        assert_eq!(json(Date32Array::from(vec![1])), "[\"1970-01-02\"]");
        let dictionary: DictionaryArray<Int8Type> = vec![Some("x"), None].into_iter().collect();
        assert_eq!(json(dictionary), "[\"x\",null]");
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        let fields = Field::new("a", lists.data_type().clone(), true);
        let object = StructArray::from(vec![(Arc::new(fields), Arc::new(lists) as ArrayRef)]);
        assert_eq!(json(object), "[{\"a\":[1,null]}]");
    }

    #[test]
    fn fields_are_bare_texts() {
        assert_eq!(field(&StringArray::from(vec!["a,\"b"])), "a,\"b");
        assert_eq!(field(&StringArray::from(vec![None::<&str>])), "");
        assert_eq!(field(&Float32Array::from(vec![0.1])), "0.1");
        assert_eq!(field(&Date32Array::from(vec![1])), "1970-01-02");
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])]);
        assert_eq!(field(&lists), "[1,2]");
    }
}
