//! JSON objects as typed columns.

use super::json_rows::{JsonRow, JsonRows};
use super::{CHUNK_BYTES, RowReader, make_batch};
use crate::data::fault::{cell_fault, row_fault, shown};
use crate::data::nearest::unknown_column;
use crate::error::{Error, Result};
use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Number, Value};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Integers up to this size are exact as 64-bit floats.
const EXACT_INTEGER: u64 = 1 << 53;

/// The values of some rows: for each row one slot a column, in the order of the names.
#[derive(Default)]
struct Table {
    names: Vec<String>,
    places: HashMap<String, usize>,
    /// Whether every key belongs to a column; else unknown keys are passed over.
    all_keys: bool,
    rows: Vec<Vec<Option<Value>>>,
}

/// A file of objects.
pub(super) struct JsonColumns {
    path: Arc<Path>,
    source: JsonRows,
    table: Table,
    schema: Option<SchemaRef>,
    chunk_rows: usize,
    /// The number of the first row of the table.
    first_row: u64,
}

impl JsonColumns {
    /// Opens a file; its columns are `expected` where an earlier file of the source has told them.
    pub(super) fn open(
        path: &Arc<Path>,
        source: JsonRows,
        columns: Option<&[String]>,
        chunk_rows: usize,
        expected: Option<SchemaRef>,
    ) -> Result<Self> {
        let table = Table { all_keys: columns.is_none(), ..Table::default() };
        let mut file = Self { path: path.clone(), source, table, schema: None, chunk_rows, first_row: 1 };
        if let Some(schema) = expected {
            for field in schema.fields() {
                file.table.add(field.name());
            }
            file.schema = Some(schema);
            return Ok(file);
        }
        if file.read_rows(columns)? {
            file.schema = Some(Arc::new(file.table.infer()));
        }
        Ok(file)
    }

    /// Reads the rows of the next chunk into the table; false if there are none.
    ///
    /// The first chunk of all finds out the columns: the keys it has, or those of them that are wanted.
    fn read_rows(&mut self, wanted: Option<&[String]>) -> Result<bool> {
        let discover = self.schema.is_none();
        let mut everything = Table::default();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.chunk_rows && bytes < CHUNK_BYTES {
            let Some(row) = self.source.next_row()? else { break };
            if rows == 0 {
                self.first_row = row.row;
            }
            rows += 1;
            bytes += row.bytes;
            let table = if discover { &mut everything } else { &mut self.table };
            table.push(row, discover, &self.path)?;
        }
        if discover && rows > 0 {
            self.table = everything.only(wanted, &self.path)?;
        }
        Ok(rows > 0)
    }
}

impl RowReader for JsonColumns {
    fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(schema) = self.schema.clone() else { return Ok(None) };
        if self.table.rows.is_empty() && !self.read_rows(None)? {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.table.rows);
        let at = |row: usize| self.first_row + row as u64;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (place, field) in schema.fields().iter().enumerate() {
            let values = rows.iter().map(|row| row.get(place).and_then(Option::as_ref));
            let column = build(field.data_type(), values).map_err(|(row, problem)| {
                let hint = "write the values of a column all alike, or all as strings";
                cell_fault(&self.path, at(row), field.name(), problem, hint)
            })?;
            columns.push(column);
        }
        make_batch(&schema, columns, rows.len(), &self.path).map(Some)
    }
}

impl Table {
    fn add(&mut self, name: &str) {
        self.places.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
    }

    /// Takes a row in; a key that is not known makes a column while columns are being discovered.
    fn push(&mut self, row: JsonRow, discover: bool, path: &Path) -> Result<()> {
        let mut slots = vec![None; self.names.len()];
        for (key, value) in row.object.0 {
            let place = match self.places.get(&key) {
                Some(place) => *place,
                None if discover => {
                    self.add(&key);
                    slots.push(None);
                    slots.len() - 1
                }
                None if self.all_keys => return Err(self.new_key(path, row.row, &key)),
                None => continue,
            };
            if slots[place].replace(value).is_some() {
                return Err(cell_fault(
                    path,
                    row.row,
                    &key,
                    "the key stands twice in this object",
                    "keep one of them",
                ));
            }
        }
        self.rows.push(slots);
        Ok(())
    }

    fn new_key(&self, path: &Path, row: u64, key: &str) -> Error {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let hint = match crate::data::nearest::nearest(key, &names) {
            Some(name) => {
                format!("did you mean '{name}'? Otherwise give the first row this key too, with null")
            }
            None => "give the first row this key too, with null, or name the columns to read".to_owned(),
        };
        row_fault(path, row, format!("the key {} is new here, earlier rows lack it", shown(key)), hint)
    }

    /// The table with the wanted columns only.
    fn only(mut self, wanted: Option<&[String]>, path: &Path) -> Result<Self> {
        let Some(wanted) = wanted else {
            self.all_keys = true;
            return Ok(self);
        };
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let mut table = Self::default();
        let mut places = Vec::with_capacity(wanted.len());
        for name in wanted {
            places.push(*self.places.get(name).ok_or_else(|| unknown_column(path, name, &names))?);
            table.add(name);
        }
        for mut row in self.rows {
            table.rows.push(places.iter().map(|place| row.get_mut(*place).and_then(Option::take)).collect());
        }
        Ok(table)
    }

    fn infer(&self) -> Schema {
        let mut kinds = vec![Kinds::default(); self.names.len()];
        for row in &self.rows {
            for (kinds, value) in kinds.iter_mut().zip(row) {
                kinds.see(value.as_ref());
            }
        }
        let fields =
            self.names.iter().zip(kinds).map(|(name, kinds)| Field::new(name, kinds.data_type(), true));
        Schema::new(fields.collect::<Vec<_>>())
    }
}

/// Which kinds of values a column has.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of seven flags, each set on its own")]
struct Kinds {
    text: bool,
    boolean: bool,
    number: bool,
    /// A number that is not an integer of 64 bits.
    fraction: bool,
    /// An integer that a 64-bit float cannot hold exactly, such as an identifier.
    large: bool,
    text_list: bool,
    number_list: bool,
}

impl Kinds {
    fn see(&mut self, value: Option<&Value>) {
        match value {
            None | Some(Value::Null) => {}
            Some(Value::Bool(_)) => self.boolean = true,
            Some(Value::Number(number)) => {
                self.number = true;
                self.fraction |= number.as_i64().is_none();
                self.large |= is_large(number);
            }
            Some(Value::Array(items))
                if items.iter().all(|item| matches!(item, Value::Number(_) | Value::Null)) =>
            {
                self.number_list |= !items.is_empty();
                self.text_list |= items.is_empty() && !self.number_list;
            }
            Some(Value::Array(items))
                if items.iter().all(|item| matches!(item, Value::String(_) | Value::Null)) =>
            {
                self.text_list = true;
            }
            Some(Value::String(_) | Value::Object(_) | Value::Array(_)) => self.text = true,
        }
    }

    fn data_type(self) -> DataType {
        let list = self.text_list || self.number_list;
        let scalar = self.boolean || self.number;
        match () {
            () if self.text || (list && scalar) || (self.boolean && self.number) => DataType::Utf8,
            () if self.text_list => DataType::new_list(DataType::Utf8, true),
            () if self.number_list => DataType::new_list(DataType::Float64, true),
            () if self.boolean => DataType::Boolean,
            // As strings, nothing of either is lost.
            () if self.large && self.fraction => DataType::Utf8,
            () if self.large => DataType::Int64,
            () if self.number => DataType::Float64,
            () => DataType::Utf8,
        }
    }
}

fn is_large(number: &Number) -> bool {
    number.as_i64().map(i64::unsigned_abs).or(number.as_u64()).is_some_and(|size| size > EXACT_INTEGER)
}

/// The place of a value that does not fit its column, and why.
type Misfit = (usize, String);

fn build<'a>(kind: &DataType, values: impl Iterator<Item = Option<&'a Value>>) -> Result<ArrayRef, Misfit> {
    let values = values.map(|value| value.filter(|value| !value.is_null())).enumerate();
    match kind {
        DataType::Boolean => booleans(values),
        DataType::Float64 => floats(values),
        DataType::Int64 => integers(values),
        DataType::List(item) if item.data_type() == &DataType::Float64 => number_lists(values),
        DataType::List(_) => text_lists(values),
        _ => Ok(texts(values)),
    }
}

fn misfit(value: &Value, expected: &str) -> String {
    format!("the value {} is not {expected}, as the values before it are", shown(&as_text(value)))
}

/// A string as it is, anything else as JSON.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts<'a>(values: impl Iterator<Item = (usize, Option<&'a Value>)>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for (_, value) in values {
        match value {
            Some(Value::String(text)) => builder.append_value(text),
            other => builder.append_option(other.map(Value::to_string)),
        }
    }
    Arc::new(builder.finish())
}

fn booleans<'a>(values: impl Iterator<Item = (usize, Option<&'a Value>)>) -> Result<ArrayRef, Misfit> {
    let mut builder = BooleanBuilder::new();
    for (row, value) in values {
        let read = |value: &Value| value.as_bool().ok_or_else(|| (row, misfit(value, "true or false")));
        builder.append_option(value.map(read).transpose()?);
    }
    Ok(Arc::new(builder.finish()))
}

fn float(value: &Value) -> Option<f64> {
    value.as_number().filter(|number| !is_large(number)).and_then(Number::as_f64)
}

fn floats<'a>(values: impl Iterator<Item = (usize, Option<&'a Value>)>) -> Result<ArrayRef, Misfit> {
    let mut builder = Float64Builder::new();
    for (row, value) in values {
        let read =
            |value: &Value| float(value).ok_or_else(|| (row, misfit(value, "a number of up to 15 digits")));
        builder.append_option(value.map(read).transpose()?);
    }
    Ok(Arc::new(builder.finish()))
}

fn integers<'a>(values: impl Iterator<Item = (usize, Option<&'a Value>)>) -> Result<ArrayRef, Misfit> {
    let mut builder = Int64Builder::new();
    for (row, value) in values {
        let read = |value: &Value| value.as_i64().ok_or_else(|| (row, misfit(value, "an integer")));
        builder.append_option(value.map(read).transpose()?);
    }
    Ok(Arc::new(builder.finish()))
}

fn number_lists<'a>(values: impl Iterator<Item = (usize, Option<&'a Value>)>) -> Result<ArrayRef, Misfit> {
    let mut builder = ListBuilder::new(Float64Builder::new());
    for (row, value) in values {
        let fault = |value: &Value| (row, misfit(value, "a list of numbers"));
        if let Some(value) = value {
            for item in value.as_array().ok_or_else(|| fault(value))? {
                let number =
                    if item.is_null() { None } else { Some(item.as_f64().ok_or_else(|| fault(value))?) };
                builder.values().append_option(number);
            }
        }
        builder.append(value.is_some());
    }
    Ok(Arc::new(builder.finish()))
}

fn text_lists<'a>(values: impl Iterator<Item = (usize, Option<&'a Value>)>) -> Result<ArrayRef, Misfit> {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for (row, value) in values {
        if let Some(value) = value {
            for item in value.as_array().ok_or_else(|| (row, misfit(value, "a list")))? {
                builder.values().append_option((!item.is_null()).then(|| as_text(item)));
            }
        }
        builder.append(value.is_some());
    }
    Ok(Arc::new(builder.finish()))
}
