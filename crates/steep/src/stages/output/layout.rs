//! The columns of an output file.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use std::ops::Range;
use std::sync::Arc;

/// How text formats show a column of vectors.
#[derive(Debug, Clone)]
pub(in crate::stages) struct Spread {
    /// The column.
    pub(in crate::stages) column: String,
    /// The names of the single values as columns of a CSV file.
    pub(in crate::stages) columns: Vec<String>,
    /// The names of the single values as keys of a JSON object; none for a list.
    pub(in crate::stages) keys: Option<Vec<String>>,
}

/// The input's columns, then the computed ones.
#[derive(Debug)]
pub(in crate::stages) struct Layout {
    pub(super) schema: SchemaRef,
    kept: usize,
    pub(super) spreads: Vec<Spread>,
    /// What a Parquet file says of itself.
    pub(super) metadata: Vec<(String, String)>,
}

impl Layout {
    /// Joins the columns; an error if a computed one has the name of one of the input's.
    pub(in crate::stages) fn new(
        input: &Schema,
        computed: Vec<Field>,
        spreads: Vec<Spread>,
        metadata: Vec<(String, String)>,
    ) -> Result<Self> {
        let names = computed.iter().map(Field::name).chain(spreads.iter().flat_map(|spread| &spread.columns));
        if let Some(name) = taken(input, names) {
            return Err(Error::config(
                "keep_columns",
                format!("the input already has a column '{name}', which would be written"),
                "rename that column, or leave the input's columns out",
            ));
        }
        let kept = input.fields().len();
        let fields: Vec<FieldRef> =
            input.fields().iter().cloned().chain(computed.into_iter().map(Arc::new)).collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), kept, spreads, metadata })
    }

    /// Rows of the output: the input's, and as many of the computed columns from `range`.
    pub(super) fn batch(
        &self,
        input: &RecordBatch,
        computed: &[ArrayRef],
        range: Range<usize>,
    ) -> Result<RecordBatch> {
        let kept = input.columns().iter().take(self.kept).cloned();
        let computed = computed.iter().map(|column| column.slice(range.start, range.len()));
        let options = RecordBatchOptions::new().with_row_count(Some(range.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), kept.chain(computed).collect(), &options)
            .map_err(|error| Error::config("output", error.to_string(), "write the input with plain columns"))
    }

    /// How text formats show a column, where it is one of vectors.
    pub(super) fn spread(&self, column: &str) -> Option<&Spread> {
        self.spreads.iter().find(|spread| spread.column == column)
    }
}

/// The first of the names that the input has too.
pub(in crate::stages) fn taken<'a>(
    input: &Schema,
    mut names: impl Iterator<Item = &'a String>,
) -> Option<&'a String> {
    names.find(|name| input.field_with_name(name).is_ok())
}

/// A column of vectors of one width.
pub(in crate::stages) fn vector_field(name: &str, width: usize) -> Field {
    Field::new(name, DataType::FixedSizeList(value_field(), width as i32), false)
}

/// The values of such a column.
pub(in crate::stages) fn vector_column(matrix: &DenseMatrix) -> Result<ArrayRef> {
    vectors(matrix.values().to_vec(), matrix.columns())
}

/// Vectors of one width, one after the other.
pub(in crate::stages) fn vectors(values: Vec<f32>, width: usize) -> Result<ArrayRef> {
    let values = Arc::new(Float32Array::from(values));
    let list = FixedSizeListArray::try_new(value_field(), width as i32, values, None);
    Ok(Arc::new(list.map_err(|error| Error::config("output", error.to_string(), "choose a smaller width"))?))
}

fn value_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}
