//! Apache Parquet, with the projection pushed down to the file.

use super::{CHUNK_BYTES, RowReader, select};
use crate::data::fault::row_fault;
use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

const HINT: &str = "write or download the file again";

/// A Parquet file.
pub(super) struct ParquetFile {
    path: Arc<Path>,
    schema: SchemaRef,
    /// `None` after the end or a fault.
    reader: Option<ParquetRecordBatchReader>,
    row: u64,
}

impl ParquetFile {
    pub(super) fn open(path: &Arc<Path>, columns: Option<&[String]>, chunk_rows: usize) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let damaged =
            |problem: String| Error::data(path, format!("not a readable Parquet file: {problem}"), HINT);
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
        let names: Vec<&str> = builder.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let selected = select(&names, columns, path)?;
        let fields: Vec<_> = selected.iter().map(|at| builder.schema().field(*at).clone()).collect();
        let rows = batch_rows(builder.metadata(), &selected, chunk_rows);
        let mask = ProjectionMask::roots(builder.parquet_schema(), selected);
        let reader =
            guarded(|| builder.with_projection(mask).with_batch_size(rows).build()).map_err(damaged)?;
        Ok(Self { path: path.clone(), schema: Arc::new(Schema::new(fields)), reader: Some(reader), row: 1 })
    }
}

/// The rows of a batch, fewer than asked for where the file tells that rows are long.
fn batch_rows(metadata: &ParquetMetaData, selected: &[usize], chunk_rows: usize) -> usize {
    let roots = metadata.file_metadata().schema_descr();
    let (mut bytes, mut rows) = (0_u64, 0_u64);
    for group in metadata.row_groups() {
        rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
        for (leaf, column) in group.columns().iter().enumerate() {
            if leaf < roots.num_columns() && selected.contains(&roots.get_column_root_idx(leaf)) {
                bytes = bytes.saturating_add(u64::try_from(column.uncompressed_size()).unwrap_or(0));
            }
        }
    }
    let long = (bytes / rows.max(1)).max(1);
    chunk_rows.min((CHUNK_BYTES as u64 / long) as usize).max(1)
}

/// Runs a reader that may panic on damaged files; a panic becomes a message.
fn guarded<T>(read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it is damaged".to_owned()),
    }
}

impl RowReader for ParquetFile {
    fn schema(&self) -> Option<SchemaRef> {
        Some(self.schema.clone())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        let next = guarded(|| reader.next().transpose().map_err(Into::into)).map_err(|problem| {
            row_fault(
                &self.path,
                self.row,
                format!("the Parquet data from this row on cannot be read: {problem}"),
                HINT,
            )
        })?;
        let Some(batch) = next else { return Ok(None) };
        // Kept only after a batch that could be read: a reader that panicked is not used again.
        self.reader = Some(reader);
        self.row += batch.num_rows() as u64;
        Ok(Some(batch))
    }
}
