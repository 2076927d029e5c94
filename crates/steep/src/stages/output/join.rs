//! Parts, streamed together into the output.

use super::format::OutputFormat;
use super::npy;
use super::writer::write_fault;
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::storage::atomic_file;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Row groups are numbered in 16 bits, one of them for the sign.
const MAX_ROW_GROUPS: usize = i16::MAX as usize;

/// Writes the output from its parts, all at once. `shape` is that of all vectors, `[rows, width]`.
pub(super) fn join(
    format: OutputFormat,
    parts: &[PathBuf],
    shape: (u64, usize),
    output: &Path,
    ctx: &Context,
) -> Result<()> {
    atomic_file(output, |file| match format {
        OutputFormat::Parquet => join_parquet(parts, file, output, ctx),
        OutputFormat::Npy => {
            file.write_all(&npy::header(shape.0, shape.1)).map_err(Error::io("write", output))?;
            append_all(parts, file, output, ctx)
        }
        OutputFormat::Csv | OutputFormat::Jsonl => append_all(parts, file, output, ctx),
    })
}

fn append_all(parts: &[PathBuf], sink: &mut impl Write, output: &Path, ctx: &Context) -> Result<()> {
    for part in parts {
        ctx.cancel.check()?;
        let mut file = File::open(part).map_err(Error::io("read", part))?;
        io::copy(&mut file, sink).map_err(Error::io("write", output))?;
    }
    Ok(())
}

/// Copies the encoded pages of every row group, without decoding them.
fn join_parquet(
    parts: &[PathBuf],
    sink: &mut (impl Write + Send),
    output: &Path,
    ctx: &Context,
) -> Result<()> {
    let fault = write_fault(output);
    let Some(first) = parts.first() else { return Ok(()) };
    let (_, metadata) = open_part(first)?;
    let properties = WriterProperties::builder()
        .set_key_value_metadata(metadata.file_metadata().key_value_metadata().cloned())
        .build();
    let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
    let mut writer =
        SerializedFileWriter::new(sink, schema, Arc::new(properties)).map_err(|error| fault(error.into()))?;
    let mut row_groups = 0;
    for part in parts {
        ctx.cancel.check()?;
        let (file, metadata) = open_part(part)?;
        row_groups += metadata.num_row_groups();
        if row_groups > MAX_ROW_GROUPS {
            let problem = format!("makes more than {MAX_ROW_GROUPS} row groups");
            return Err(Error::config("shard_rows", problem, "write larger shards, such as 16384 rows"));
        }
        append_row_groups(&mut writer, &file, &metadata).map_err(|error| fault(error.into()))?;
    }
    writer.close().map(|_| ()).map_err(|error| fault(error.into()))
}

fn open_part(path: &Path) -> Result<(File, ParquetMetaData)> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .map_err(|error| Error::data(path, error.to_string(), "remove this folder of parts and run again"))?;
    Ok((file, metadata))
}

fn append_row_groups<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    file: &File,
    metadata: &ParquetMetaData,
) -> parquet::errors::Result<()> {
    for group in metadata.row_groups() {
        let mut appended = writer.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size() as u64,
                rows_written: group.num_rows() as u64,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            appended.append_column(file, close)?;
        }
        appended.close()?;
    }
    Ok(())
}
