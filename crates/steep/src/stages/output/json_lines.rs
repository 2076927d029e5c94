//! Rows as one JSON object a line.

use super::cells::{push_json, push_serialized, unfolded};
use super::delimited::vector_values;
use super::layout::{Layout, Spread};
use super::writer::{RowWriter, write_fault};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, RecordBatch};
use std::io::Write;
use std::path::Path;

pub(super) struct JsonLines<'a, W: Write> {
    sink: W,
    layout: &'a Layout,
    path: &'a Path,
}

impl<'a, W: Write> JsonLines<'a, W> {
    pub(super) fn open(sink: W, layout: &'a Layout, path: &'a Path) -> Self {
        Self { sink, layout, path }
    }

    fn push_value(&self, name: &str, array: &ArrayRef, row: usize, line: &mut Vec<u8>) -> Result<()> {
        match self.layout.spread(name) {
            Some(Spread { keys: Some(keys), .. }) => push_object(keys, vector_values(array), row, line),
            Some(spread) => push_vector(vector_values(array), spread.columns.len(), row, line),
            None => {
                push_json(array.as_ref(), row, line).map_err(|error| write_fault(self.path)(error.into()))?;
            }
        }
        Ok(())
    }
}

fn push_object(keys: &[String], values: &[f32], row: usize, line: &mut Vec<u8>) {
    line.push(b'{');
    for (at, (key, value)) in keys.iter().zip(&values[row * keys.len()..]).enumerate() {
        if at > 0 {
            line.push(b',');
        }
        push_serialized(key.as_str(), line);
        line.push(b':');
        push_serialized(value, line);
    }
    line.push(b'}');
}

fn push_vector(values: &[f32], width: usize, row: usize, line: &mut Vec<u8>) {
    push_serialized(&values[row * width..(row + 1) * width], line);
}

impl<W: Write> RowWriter for JsonLines<'_, W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let arrays = unfolded(batch.columns()).map_err(|error| write_fault(self.path)(error.into()))?;
        let schema = batch.schema();
        let mut line = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for (at, (field, array)) in schema.fields().iter().zip(&arrays).enumerate() {
                line.push(if at == 0 { b'{' } else { b',' });
                push_serialized(field.name().as_str(), &mut line);
                line.push(b':');
                self.push_value(field.name(), array, row, &mut line)?;
            }
            line.extend_from_slice(b"}\n");
            self.sink.write_all(&line).map_err(Error::io("write", self.path))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.sink.flush().map_err(Error::io("write", self.path))
    }
}
