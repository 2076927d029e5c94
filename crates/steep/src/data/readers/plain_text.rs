//! Plain text: one text a line, or one text a file.

use super::bytes::read_whole;
use super::lines::{Lines, UTF8_HINT};
use super::{CHUNK_BYTES, ROW_BYTES, RowReader, make_batch, select};
use crate::data::fault::row_fault;
use crate::error::Result;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::path::Path;
use std::sync::Arc;

const TEXT_COLUMN: &str = "text";

/// The column `text`, if it is wanted.
fn schema(path: &Path, columns: Option<&[String]>) -> Result<SchemaRef> {
    let selected = select(&[TEXT_COLUMN], columns, path)?;
    let fields: Vec<_> = selected.iter().map(|_| Field::new(TEXT_COLUMN, DataType::Utf8, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn batch(schema: &SchemaRef, texts: StringArray, path: &Path) -> Result<RecordBatch> {
    let rows = texts.len();
    let texts: ArrayRef = Arc::new(texts);
    let columns = schema.fields().iter().map(|_| texts.clone()).collect();
    make_batch(schema, columns, rows, path)
}

/// One text a line.
pub(super) struct TextLines {
    path: Arc<Path>,
    lines: Lines,
    schema: SchemaRef,
    chunk_rows: usize,
}

impl TextLines {
    pub(super) fn open(path: &Arc<Path>, columns: Option<&[String]>, chunk_rows: usize) -> Result<Self> {
        Ok(Self { path: path.clone(), lines: Lines::open(path)?, schema: schema(path, columns)?, chunk_rows })
    }
}

impl RowReader for TextLines {
    fn schema(&self) -> Option<SchemaRef> {
        Some(self.schema.clone())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut texts = StringBuilder::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.chunk_rows && bytes < CHUNK_BYTES {
            let Some(line) = self.lines.next_row()? else { break };
            bytes += line.len();
            rows += 1;
            texts.append_value(line);
        }
        if rows == 0 {
            return Ok(None);
        }
        batch(&self.schema, texts.finish(), &self.path).map(Some)
    }
}

/// One text a file.
pub(super) struct Document {
    path: Arc<Path>,
    schema: SchemaRef,
    done: bool,
}

impl Document {
    pub(super) fn open(path: &Arc<Path>, columns: Option<&[String]>) -> Result<Self> {
        Ok(Self { path: path.clone(), schema: schema(path, columns)?, done: false })
    }
}

impl RowReader for Document {
    fn schema(&self) -> Option<SchemaRef> {
        Some(self.schema.clone())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let bytes = read_whole(&self.path, ROW_BYTES, "break the text into several files")?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let problem = format!("the text is not UTF-8 at byte {}", error.valid_up_to() + 1);
            row_fault(&self.path, 1, problem, UTF8_HINT)
        })?;
        batch(&self.schema, StringArray::from(vec![text]), &self.path).map(Some)
    }
}
