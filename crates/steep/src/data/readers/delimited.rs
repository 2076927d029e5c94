//! Comma- and tab-separated values with a header (RFC 4180), every column as strings.

use super::bytes::{Bytes, open_bytes, read_fault};
use super::lines::UTF8_HINT;
use super::{CHUNK_BYTES, ROW_BYTES, RowReader, make_batch, select};
use crate::data::fault::{cell_fault, column_fault, row_fault};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use csv::ByteRecord;
use std::io::{self, Chain, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// Read after the file's own bytes. As a record of its own it shows that no quote is open at the end, of which
/// the parser would say nothing; it is not UTF-8, so that no text can hold it.
const END: &[u8] = b"\xff\xfeend\xfe\xff";
const AFTER_FILE: &[u8] = b"\n\xff\xfeend\xfe\xff";

const QUOTE_HINT: &str = "close every quoted field with \" and write a \" inside one as \"\"";

/// Bytes of which a single record may take only so many.
struct Metered {
    bytes: Chain<Bytes, Cursor<&'static [u8]>>,
    spent: usize,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.spent > ROW_BYTES {
            return Err(io::Error::other("row too long"));
        }
        let read = self.bytes.read(buffer)?;
        self.spent += read;
        Ok(read)
    }
}

/// A file of delimited fields.
pub(super) struct Delimited {
    path: Arc<Path>,
    reader: csv::Reader<Metered>,
    record: ByteRecord,
    header: Vec<String>,
    selected: Vec<usize>,
    schema: SchemaRef,
    chunk_rows: usize,
    row: u64,
}

impl Delimited {
    pub(super) fn open(
        path: &Arc<Path>,
        delimiter: u8,
        columns: Option<&[String]>,
        chunk_rows: usize,
    ) -> Result<Self> {
        let bytes = Metered { bytes: open_bytes(path)?.chain(Cursor::new(AFTER_FILE)), spent: 0 };
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(64 << 10)
            .from_reader(bytes);
        let mut file = Self {
            path: path.clone(),
            reader,
            record: ByteRecord::new(),
            header: Vec::new(),
            selected: Vec::new(),
            schema: Arc::new(Schema::empty()),
            chunk_rows,
            row: 0,
        };
        file.read_header()?;
        let names: Vec<&str> = file.header.iter().map(String::as_str).collect();
        file.selected = select(&names, columns, path)?;
        let fields: Vec<_> =
            file.selected.iter().map(|at| Field::new(names[*at], DataType::Utf8, true)).collect();
        file.schema = Arc::new(Schema::new(fields));
        Ok(file)
    }

    fn read_header(&mut self) -> Result<()> {
        if !self.read_record()? {
            let hint = "write the columns' names into the first line";
            return Err(Error::data(&self.path, "the file is empty, it has not even a header", hint));
        }
        for (at, name) in self.record.iter().enumerate() {
            let name = std::str::from_utf8(name)
                .map_err(|_| Error::data(&self.path, "the header is not UTF-8", UTF8_HINT))?
                .trim();
            // An index column that was written without a name; pandas calls it so when it reads it back.
            let name = if name.is_empty() { format!("Unnamed: {at}") } else { name.to_owned() };
            if self.header.contains(&name) {
                let problem = "two columns of the header have this name";
                return Err(column_fault(&self.path, &name, problem, "rename one of them"));
            }
            self.header.push(name);
        }
        Ok(())
    }

    /// Reads the next record; false at the end of the file.
    fn read_record(&mut self) -> Result<bool> {
        self.reader.get_mut().spent = 0;
        let read = self.reader.read_byte_record(&mut self.record).map_err(|error| self.parse_fault(error))?;
        if !read || (self.record.len() == 1 && &self.record[0] == END) {
            return Ok(false);
        }
        if self.record.iter().next_back().is_some_and(|field| field.ends_with(END)) {
            let problem = format!("a quote that opens in the row near line {} is never closed", self.line());
            return Err(row_fault(&self.path, self.row + 1, problem, QUOTE_HINT));
        }
        Ok(true)
    }

    /// The line at which the record read last begins, counted from 1, or a blank line before it.
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn parse_fault(&self, error: csv::Error) -> Error {
        match error.into_kind() {
            csv::ErrorKind::Io(_) if self.reader.get_ref().spent > ROW_BYTES => {
                let problem = format!("the row is longer than {} MiB", ROW_BYTES >> 20);
                row_fault(&self.path, self.row + 1, problem, format!("look for an open quote: {QUOTE_HINT}"))
            }
            csv::ErrorKind::Io(error) => read_fault(&self.path, error),
            other => row_fault(&self.path, self.row + 1, format!("{other:?}"), QUOTE_HINT),
        }
    }

    fn check_width(&self) -> Result<()> {
        let (expected, found) = (self.header.len(), self.record.len());
        if expected == found {
            return Ok(());
        }
        let problem =
            format!("the row near line {} has {found} fields, the header has {expected}", self.line());
        let hint = "put quotes around fields that hold the delimiter, a quote or a line break";
        Err(row_fault(&self.path, self.row, problem, hint))
    }

    /// Appends the record's selected fields; gives their number of bytes.
    fn append(&self, builders: &mut [StringBuilder]) -> Result<usize> {
        let mut bytes = 0;
        for (builder, at) in builders.iter_mut().zip(&self.selected) {
            let field = std::str::from_utf8(&self.record[*at]).map_err(|error| {
                let problem = format!(
                    "the value near line {} is not UTF-8 at its byte {}",
                    self.line(),
                    error.valid_up_to() + 1
                );
                cell_fault(&self.path, self.row, &self.header[*at], problem, UTF8_HINT)
            })?;
            bytes += field.len();
            builder.append_option(Some(field).filter(|field| !field.is_empty()));
        }
        Ok(bytes)
    }
}

impl RowReader for Delimited {
    fn schema(&self) -> Option<SchemaRef> {
        Some(self.schema.clone())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<StringBuilder> = self.selected.iter().map(|_| StringBuilder::new()).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.chunk_rows && bytes < CHUNK_BYTES && self.read_record()? {
            self.row += 1;
            self.check_width()?;
            bytes += self.append(&mut builders)?;
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let columns = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        make_batch(&self.schema, columns, rows, &self.path).map(Some)
    }
}
