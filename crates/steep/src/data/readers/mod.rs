//! How does a source become a stream of Arrow chunks?

mod bytes;
mod delimited;
mod json_columns;
mod json_rows;
mod lines;
mod parquet_file;
mod plain_text;

use super::fault::column_fault;
use super::nearest::unknown_column;
use super::source::{Format, LABEL_COLUMN, SourceFile, resolve};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::path::Path;
use std::sync::Arc;

/// A chunk of text columns is closed when it has this many bytes, so that long rows do not add up.
const CHUNK_BYTES: usize = 32 << 20;
/// A single row may have this many bytes; more is taken for a fault (such as a quote that is never closed).
const ROW_BYTES: usize = 256 << 20;

/// What to read of a source.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The columns to read, in this order; `None` reads all, in the order of the first file.
    pub columns: Option<Vec<String>>,
    /// The most rows in a chunk (fewer where rows are long).
    pub chunk_rows: usize,
    /// Stop after this many rows of the whole source.
    pub limit: Option<u64>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { columns: None, chunk_rows: 8192, limit: None }
    }
}

/// Consecutive rows of one file.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The file they come from.
    pub file: Arc<Path>,
    /// The number of the first row within the file, counted from 1, a header and blank lines not counted.
    pub first_row: u64,
    /// The rows.
    pub batch: RecordBatch,
}

/// A reader of one file.
trait RowReader: Send {
    /// The columns of every batch; `None` where a file has no rows from which they could be told.
    fn schema(&self) -> Option<SchemaRef>;
    /// The next rows, or `None` at the end.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>>;
}

/// The chunks of a source, file after file; made by [`open`]. After an error there are no more chunks.
pub struct Chunks {
    files: std::vec::IntoIter<SourceFile>,
    current: Option<(SourceFile, Box<dyn RowReader>)>,
    next_row: u64,
    left: u64,
    plan: Plan,
    schema: SchemaRef,
}

/// What is the same for every file of a source.
struct Plan {
    /// The columns the files themselves are asked for.
    file_columns: Option<Vec<String>>,
    chunk_rows: usize,
    /// The place of the label folder's column in the chunks.
    label_at: Option<usize>,
    /// The columns of the first file that told them, and that file.
    expected: Option<(SchemaRef, Arc<Path>)>,
}

/// Opens a source: a file, a glob, a folder of files (sorted by name), or a folder with one subfolder per label.
///
/// Formats are told by the extension: `.txt`, `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json` (each also with `.gz`
/// or `.zst`) and `.parquet`.
/// - `.txt` has one text a line, column `text`; blank lines are skipped. **In a label folder a `.txt` file is
///   one text as a whole**, as scikit-learn's `load_files` has it.
/// - `.csv` and `.tsv` need a header (RFC 4180); all columns are strings, an empty field is null.
///   [`numbers()`](super::numbers()) and its kin read them as what they hold.
/// - `.jsonl` and `.json` have objects; a column is of numbers, booleans, strings, or lists of strings or numbers;
///   a column of several kinds is read as strings, lists and objects as JSON. Keys and kinds are those of the
///   first chunk, a missing key is null.
/// - `.parquet` keeps its types; only the columns asked for are read.
///
/// A folder with one subfolder per label gives a string column `label` with the subfolder's name.
/// All files need the same columns.
///
/// # Errors
/// [`Error::Data`] names the file, and row and column where known, for anything that cannot be read: damaged
/// compression, invalid UTF-8, ragged rows, unclosed quotes, broken JSON, damaged Parquet, differing files.
pub fn open(source: &str, options: &ReadOptions) -> Result<Chunks> {
    let files = resolve(source)?;
    let mut plan = plan(&files, options);
    let mut columns = None;
    for file in &files {
        if columns.is_some() && !tells_columns_early(file.format) {
            continue;
        }
        let reader = open_file(file, &plan)?;
        let Some(schema) = reader.schema() else { continue };
        check_same(&plan, &schema, file)?;
        columns.get_or_insert_with(|| schema.clone());
        plan.expected.get_or_insert_with(|| (schema, file.path.clone()));
    }
    let Some(columns) = columns else {
        return Err(Error::data(source, "there are no rows", "give a file that has some"));
    };
    let schema = with_label_field(&columns, plan.label_at, &files[0])?;
    let left = options.limit.unwrap_or(u64::MAX);
    Ok(Chunks { files: files.into_iter(), current: None, next_row: 1, left, plan, schema })
}

/// Whether opening a file shows its columns without reading rows.
fn tells_columns_early(format: Format) -> bool {
    matches!(format, Format::Delimited(_) | Format::Parquet)
}

fn plan(files: &[SourceFile], options: &ReadOptions) -> Plan {
    let labelled = files.iter().any(|file| file.label.is_some());
    let mut file_columns = options.columns.clone().map(without_repeats);
    let mut label_at = labelled.then_some(usize::MAX);
    if let (true, Some(columns)) = (labelled, &mut file_columns) {
        label_at = columns.iter().position(|column| column == LABEL_COLUMN);
        columns.retain(|column| column != LABEL_COLUMN);
    }
    Plan { file_columns, chunk_rows: options.chunk_rows.max(1), label_at, expected: None }
}

fn without_repeats(columns: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        if !kept.contains(&column) {
            kept.push(column);
        }
    }
    kept
}

fn open_file(file: &SourceFile, plan: &Plan) -> Result<Box<dyn RowReader>> {
    let columns = plan.file_columns.as_deref();
    let expected = plan.expected.as_ref().map(|(schema, _)| schema.clone());
    let path = &file.path;
    Ok(match file.format {
        Format::Lines => Box::new(plain_text::TextLines::open(path, columns, plan.chunk_rows)?),
        Format::Document => Box::new(plain_text::Document::open(path, columns)?),
        Format::Delimited(delimiter) => {
            Box::new(delimited::Delimited::open(path, delimiter, columns, plan.chunk_rows)?)
        }
        Format::JsonLines => {
            let rows = json_rows::JsonRows::lines(path)?;
            Box::new(json_columns::JsonColumns::open(path, rows, columns, plan.chunk_rows, expected)?)
        }
        Format::Json => {
            let rows = json_rows::JsonRows::array_or_lines(path)?;
            Box::new(json_columns::JsonColumns::open(path, rows, columns, plan.chunk_rows, expected)?)
        }
        Format::Parquet => Box::new(parquet_file::ParquetFile::open(path, columns, plan.chunk_rows)?),
    })
}

/// An error that names both files and their difference, where a file's columns are not those of the first.
fn check_same(plan: &Plan, schema: &Schema, file: &SourceFile) -> Result<()> {
    let Some((expected, first)) = &plan.expected else { return Ok(()) };
    let hint = "give all files of one source the same columns, or name the columns to read";
    for field in expected.fields() {
        let Ok(other) = schema.field_with_name(field.name()) else {
            let problem = format!("this column of {} is missing here", first.display());
            return Err(column_fault(&file.path, field.name(), problem, hint));
        };
        if !same_type(field.data_type(), other.data_type()) {
            let (this, that) = (other.data_type(), field.data_type());
            let problem =
                format!("the column is of type {this} here and of type {that} in {}", first.display());
            return Err(column_fault(
                &file.path,
                field.name(),
                problem,
                "write both files with the same types",
            ));
        }
    }
    for field in schema.fields() {
        if expected.field_with_name(field.name()).is_err() {
            let problem = format!("this column is not in {}", first.display());
            return Err(column_fault(&file.path, field.name(), problem, hint));
        }
    }
    Ok(())
}

/// Equal types; the name of a list's items is no difference.
fn same_type(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::List(left), DataType::List(right))
        | (DataType::LargeList(left), DataType::LargeList(right)) => {
            same_type(left.data_type(), right.data_type())
        }
        (left, right) => left == right,
    }
}

fn with_label_field(schema: &SchemaRef, label_at: Option<usize>, file: &SourceFile) -> Result<SchemaRef> {
    let Some(at) = label_at else { return Ok(schema.clone()) };
    if schema.field_with_name(LABEL_COLUMN).is_ok() {
        let problem = "the file lies in a label folder and has a column of that name too";
        return Err(column_fault(
            &file.path,
            LABEL_COLUMN,
            problem,
            "rename the column, or move the files together",
        ));
    }
    let mut fields = schema.fields().to_vec();
    let at = at.min(fields.len());
    fields.insert(at, Arc::new(Field::new(LABEL_COLUMN, DataType::Utf8, false)));
    Ok(Arc::new(Schema::new(fields)))
}

impl Chunks {
    /// The columns of every chunk.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        while self.left > 0 {
            let Some((file, reader)) = self.current.as_mut() else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let Some(batch) = reader.next_batch()? else {
                self.current = None;
                continue;
            };
            let file = file.clone();
            if batch.num_rows() > 0 {
                return self.chunk(&file, &batch).map(Some);
            }
        }
        Ok(None)
    }

    /// Opens the next file; false when there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(file) = self.files.next() else { return Ok(false) };
        let reader = open_file(&file, &self.plan)?;
        if let Some(schema) = reader.schema() {
            check_same(&self.plan, &schema, &file)?;
        }
        self.current = Some((file, reader));
        self.next_row = 1;
        Ok(true)
    }

    /// A file's batch as a chunk: columns in the schema's order, the label added, the limit kept.
    fn chunk(&mut self, file: &SourceFile, batch: &RecordBatch) -> Result<Chunk> {
        let rows = (batch.num_rows() as u64).min(self.left) as usize;
        let batch = batch.slice(0, rows);
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (at, field) in self.schema.fields().iter().enumerate() {
            let is_label =
                self.plan.label_at.is_some_and(|label| label.min(self.schema.fields().len() - 1) == at);
            columns.push(match (is_label, batch.column_by_name(field.name())) {
                (true, _) => label_array(file, rows),
                (false, Some(column)) => retyped(column, field.data_type(), &file.path)?,
                (false, None) => {
                    return Err(column_fault(&file.path, field.name(), "the column is missing", ""));
                }
            });
        }
        let first_row = self.next_row;
        self.next_row += rows as u64;
        self.left -= rows as u64;
        let batch = make_batch(&self.schema, columns, rows, &file.path)?;
        Ok(Chunk { file: file.path.clone(), first_row, batch })
    }
}

fn label_array(file: &SourceFile, rows: usize) -> ArrayRef {
    let label = file.label.as_deref().unwrap_or_default();
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(label, rows)))
}

/// A column in the schema's own type, which may differ in the name of list items only.
fn retyped(column: &ArrayRef, wanted: &DataType, file: &Path) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        return Ok(column.clone());
    }
    let hint = "write all files with the same types";
    arrow::compute::cast(column, wanted).map_err(|error| Error::data(file, error.to_string(), hint))
}

impl Iterator for Chunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.next_chunk();
        if result.is_err() {
            self.left = 0;
            self.current = None;
        }
        result.transpose()
    }
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Chunks")
            .field("schema", &self.schema)
            .field("next_row", &self.next_row)
            .finish_non_exhaustive()
    }
}

/// A batch that keeps its number of rows even without columns.
fn make_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize, file: &Path) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|error| {
        Error::data(file, format!("the columns do not fit together: {error}"), "write the file again")
    })
}

/// The places of the wanted columns among the available ones; all of them where none are named.
fn select(available: &[&str], wanted: Option<&[String]>, file: &Path) -> Result<Vec<usize>> {
    let Some(wanted) = wanted else { return Ok((0..available.len()).collect()) };
    let place = |name: &String| {
        let at = available.iter().position(|other| other == name);
        at.ok_or_else(|| unknown_column(file, name, available))
    };
    wanted.iter().map(place).collect()
}

#[cfg(test)]
mod tests;
