//! The rows of one part, in the format of the output.

use super::delimited::Delimited;
use super::format::OutputFormat;
use super::json_lines::JsonLines;
use super::layout::Layout;
use super::npy::Values;
use super::parquet_rows::ParquetRows;
use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use std::io::Write;
use std::path::Path;

/// Writes rows to a part file.
pub(super) trait RowWriter {
    /// Appends rows with the layout's columns.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Writes what is still held back.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A writer of the format; `first` is whether the part begins the output.
pub(super) fn row_writer<'a, W: Write + Send + 'a>(
    format: OutputFormat,
    sink: W,
    layout: &'a Layout,
    first: bool,
    path: &'a Path,
) -> Result<Box<dyn RowWriter + 'a>> {
    Ok(match format {
        OutputFormat::Parquet => Box::new(ParquetRows::open(sink, layout, path)?),
        OutputFormat::Npy => Box::new(Values::open(sink, layout, path)),
        OutputFormat::Csv => Box::new(Delimited::open(sink, layout, first, path)?),
        OutputFormat::Jsonl => Box::new(JsonLines::open(sink, layout, path)),
    })
}

/// A fault of a library that writes for us.
pub(super) fn write_fault(path: &Path) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Error {
    let path = path.to_path_buf();
    move |error| Error::io("write", &path)(std::io::Error::other(error))
}
