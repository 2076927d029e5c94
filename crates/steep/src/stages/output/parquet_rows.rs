//! Rows as Parquet, compressed with zstd.

use super::layout::Layout;
use super::writer::{RowWriter, write_fault};
use crate::error::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::io::Write;
use std::path::Path;

/// A row group is closed when its encoded pages have this many bytes, which bounds the memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

pub(super) struct ParquetRows<'a, W: Write + Send> {
    writer: ArrowWriter<W>,
    path: &'a Path,
}

impl<'a, W: Write + Send> ParquetRows<'a, W> {
    pub(super) fn open(sink: W, layout: &Layout, path: &'a Path) -> Result<Self> {
        let writer = ArrowWriter::try_new(sink, layout.schema.clone(), Some(properties(layout)))
            .map_err(|error| write_fault(path)(error.into()))?;
        Ok(Self { writer, path })
    }
}

/// Vectors hardly ever repeat a value, so dictionaries and statistics of them would be wasted work.
fn properties(layout: &Layout) -> WriterProperties {
    let metadata = layout.metadata.iter();
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(metadata));
    for field in layout.schema.fields() {
        if let Some(path) = value_path(field.name(), field.data_type()) {
            let path = ColumnPath::new(path);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    properties.build()
}

/// Where the values of a column of vectors, or of lists of vectors, lie in the file's schema.
fn value_path(name: &str, kind: &DataType) -> Option<Vec<String>> {
    let mut path = vec![name.to_owned()];
    let mut kind = kind;
    let mut is_vector = false;
    while let DataType::List(item) | DataType::FixedSizeList(item, _) = kind {
        is_vector = matches!(kind, DataType::FixedSizeList(..));
        path.extend(["list".to_owned(), item.name().clone()]);
        kind = item.data_type();
    }
    (is_vector && *kind == DataType::Float32).then_some(path)
}

impl<W: Write + Send> RowWriter for ParquetRows<'_, W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let fault = write_fault(self.path);
        self.writer.write(batch).map_err(|error| fault(error.into()))?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush().map_err(|error| fault(error.into()))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { writer, path } = *self;
        writer.close().map(|_| ()).map_err(|error| write_fault(path)(error.into()))
    }
}
