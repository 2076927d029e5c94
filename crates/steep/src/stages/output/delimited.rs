//! Rows as comma-separated fields; vectors take one column a dimension.

use super::cells::{push_field, push_single, unfolded};
use super::layout::Layout;
use super::writer::{RowWriter, write_fault};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use std::io::Write;
use std::path::Path;

pub(super) struct Delimited<'a, W: Write> {
    writer: csv::Writer<W>,
    layout: &'a Layout,
    path: &'a Path,
    field: Vec<u8>,
}

impl<'a, W: Write> Delimited<'a, W> {
    pub(super) fn open(sink: W, layout: &'a Layout, first: bool, path: &'a Path) -> Result<Self> {
        let mut writer = Self { writer: csv::Writer::from_writer(sink), layout, path, field: Vec::new() };
        if first {
            writer.write_header()?;
        }
        Ok(writer)
    }

    fn write_header(&mut self) -> Result<()> {
        for field in self.layout.schema.fields() {
            match self.layout.spread(field.name()) {
                Some(spread) => {
                    for name in &spread.columns {
                        self.put(name.as_bytes())?;
                    }
                }
                None => self.put(field.name().as_bytes())?,
            }
        }
        self.end_row()
    }

    fn write_row(&mut self, columns: &[Column<'_>], row: usize) -> Result<()> {
        for column in columns {
            match column {
                Column::Field(array) => {
                    self.field.clear();
                    push_field(array.as_ref(), row, &mut self.field)
                        .map_err(|error| write_fault(self.path)(error.into()))?;
                    self.writer
                        .write_field(&self.field)
                        .map_err(|error| write_fault(self.path)(error.into()))?;
                }
                Column::Vectors { values, width } => {
                    for value in &values[row * width..(row + 1) * width] {
                        self.field.clear();
                        push_single(*value, &mut self.field);
                        self.writer
                            .write_field(&self.field)
                            .map_err(|error| write_fault(self.path)(error.into()))?;
                    }
                }
            }
        }
        self.end_row()
    }

    fn put(&mut self, field: &[u8]) -> Result<()> {
        self.writer.write_field(field).map_err(|error| write_fault(self.path)(error.into()))
    }

    fn end_row(&mut self) -> Result<()> {
        self.writer.write_record(None::<&[u8]>).map_err(|error| write_fault(self.path)(error.into()))
    }
}

/// A column of a batch as it is written.
enum Column<'a> {
    Field(&'a ArrayRef),
    Vectors { values: &'a [f32], width: usize },
}

impl<W: Write> RowWriter for Delimited<'_, W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let arrays = unfolded(batch.columns()).map_err(|error| write_fault(self.path)(error.into()))?;
        let schema = batch.schema();
        let named = schema.fields().iter().zip(&arrays);
        let columns: Vec<Column<'_>> = named
            .map(|(field, array)| match self.layout.spread(field.name()) {
                Some(spread) => Column::Vectors { values: vector_values(array), width: spread.columns.len() },
                None => Column::Field(array),
            })
            .collect();
        (0..batch.num_rows()).try_for_each(|row| self.write_row(&columns, row))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.flush().map_err(Error::io("write", self.path))
    }
}

/// The values of a column of vectors, those of this slice only.
pub(super) fn vector_values(array: &ArrayRef) -> &[f32] {
    let list = array.as_fixed_size_list();
    let width = list.value_length() as usize;
    let first = list.value_offset(0) as usize;
    &list.values().as_primitive::<Float32Type>().values()[first..first + list.len() * width]
}
