//! Raw rows of a source, read for a preparation.

use super::classify::{FeatureColumns, unknown_field};
use super::extract::EMBEDDING_COLUMN;
use super::output::{RowBuffer, TextColumns};
use crate::data::{Chunk, ReadOptions, open};
use crate::error::{Error, Result};
use crate::features::columns::{ColumnKind, ColumnPlan, Table, infer};
use crate::features::engineered::EngineeredSettings;
use crate::features::matrix::DenseMatrix;
use crate::features::preparation::{PreparationInputs, PreparationSettings, RawRows};
use arrow::datatypes::{DataType, Schema};
use serde::Serialize;

/// Rows that are looked at to tell what a column holds.
const ROWS_LOOKED_AT: u64 = 10_000;

/// How a classifier's features are prepared from raw columns, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreparedFeatures {
    /// Columns whose kind is given and not inferred.
    pub kinds: Vec<(String, ColumnKind)>,
    /// The columns of the text that columns are engineered from; none for the default text column.
    pub text_columns: Vec<String>,
    /// Put between the texts of several columns.
    pub text_column_delimiter: String,
    /// The engineered columns, if any.
    pub engineered: Option<EngineeredSettings>,
    /// How columns are prepared.
    pub preparation: PreparationSettings,
}

/// Which columns of a source are read as what, and what was decided about the others.
pub(crate) struct ReadingPlan {
    pub(crate) inputs: PreparationInputs,
    /// One line a column.
    pub(crate) notes: Vec<String>,
}

/// Decides which columns are read.
///
/// `asked` are names, `beginning*`, or `*` for all but the `reserved` ones; with none, vectors are taken where the file
/// has some. Columns of given kinds are always read.
pub(crate) fn plan(
    source: &str,
    asked: &[String],
    reserved: &[&str],
    prepared: &PreparedFeatures,
) -> Result<ReadingPlan> {
    let texts = match &prepared.engineered {
        Some(_) => TextColumns::resolve(source, &prepared.text_columns, &prepared.text_column_delimiter)?
            .names()
            .to_vec(),
        None => Vec::new(),
    };
    let rows = first_rows(source)?;
    let schema = open(source, &ReadOptions::default())?.schema();
    let mut plan = ReadingPlan {
        inputs: PreparationInputs {
            columns: Vec::new(),
            vector_columns: Vec::new(),
            vector_names: Vec::new(),
            text_columns: texts.clone(),
            text_column_delimiter: prepared.text_column_delimiter.clone(),
        },
        notes: Vec::new(),
    };
    for name in asked {
        let is_left_out =
            |column: &str| reserved.contains(&column) || texts.iter().any(|text| text == column);
        let names = matching(&schema, name);
        if names.is_empty() {
            return Err(unknown_field(source, &schema, name));
        }
        let is_pattern = name.ends_with('*') && schema.field_with_name(name).is_err();
        for name in names.into_iter().filter(|name| !is_pattern || !is_left_out(name)) {
            plan.add(&rows, &schema, &name, prepared, is_pattern)?;
        }
    }
    if asked.is_empty() && !matching(&schema, EMBEDDING_COLUMN).is_empty() {
        plan.inputs.vector_columns.push(EMBEDDING_COLUMN.to_owned());
    }
    for (name, _) in &prepared.kinds {
        if schema.field_with_name(name).is_err() {
            return Err(unknown_field(source, &schema, name));
        }
        plan.add(&rows, &schema, name, prepared, false)?;
    }
    let inputs = &plan.inputs;
    if inputs.columns.is_empty() && inputs.vector_columns.is_empty() && prepared.engineered.is_none() {
        let hint = "name them in feature_columns, '*' for all, or in numerical_columns and its kin";
        return Err(Error::data(source, "no column is named to learn from", hint));
    }
    Ok(plan)
}

impl ReadingPlan {
    /// Adds a column once.
    fn add(
        &mut self,
        rows: &[Chunk],
        schema: &Schema,
        name: &str,
        prepared: &PreparedFeatures,
        may_be_left_out: bool,
    ) -> Result<()> {
        let inputs = &mut self.inputs;
        if inputs.columns.iter().any(|plan| plan.name == name)
            || inputs.vector_columns.iter().any(|of| of == name)
        {
            return Ok(());
        }
        if schema.field_with_name(name).map_or(true, |field| is_vector(field.data_type())) {
            self.notes.push(format!("{name}: vectors"));
            inputs.vector_columns.push(name.to_owned());
            return Ok(());
        }
        let given = prepared.kinds.iter().find(|(of, _)| of == name).map(|(_, kind)| *kind);
        let (kind, reason) = match (given, infer(rows, name)?) {
            // The order of day and month is told by the values all the same.
            (Some(ColumnKind::Datetime { .. }), (Some(kind @ ColumnKind::Datetime { .. }), _)) => {
                (kind, "given".to_owned())
            }
            (Some(kind), _) => (kind, "given".to_owned()),
            (None, (Some(kind), reason)) => (kind, reason),
            (None, (None, reason)) if may_be_left_out => {
                self.notes.push(format!("{name}: left out ({reason})"));
                return Ok(());
            }
            (None, (None, reason)) => {
                let hint = "name it in categorical_columns or one of its kin, or leave it out";
                let file = &rows.first().map(|chunk| chunk.file.to_path_buf()).unwrap_or_default();
                return Err(Error::data(
                    file,
                    format!("the column '{name}' has no use here: {reason}"),
                    hint,
                ));
            }
        };
        self.notes.push(format!("{name}: {} ({reason})", kind.name()));
        self.inputs.columns.push(ColumnPlan { name: name.to_owned(), kind, reason });
        Ok(())
    }
}

fn first_rows(source: &str) -> Result<Vec<Chunk>> {
    open(source, &ReadOptions { limit: Some(ROWS_LOOKED_AT), ..ReadOptions::default() })?.collect()
}

/// The columns that a name or pattern stands for; numbered columns `name_0`, `name_1`, … are one, under their name.
fn matching(schema: &Schema, name: &str) -> Vec<String> {
    if schema.field_with_name(name).is_ok() || is_numbered(schema, name) {
        return vec![name.to_owned()];
    }
    let Some(beginning) = name.strip_suffix('*') else { return Vec::new() };
    let mut names = Vec::new();
    let has_embedding = is_numbered(schema, EMBEDDING_COLUMN);
    for field in schema.fields().iter().filter(|field| field.name().starts_with(beginning)) {
        if !(has_embedding && number_of(field.name(), EMBEDDING_COLUMN).is_some()) {
            names.push(field.name().clone());
        } else if !names.iter().any(|name| name == EMBEDDING_COLUMN) {
            names.push(EMBEDDING_COLUMN.to_owned());
        }
    }
    names
}

fn is_numbered(schema: &Schema, name: &str) -> bool {
    schema.fields().iter().any(|field| number_of(field.name(), name).is_some())
}

fn number_of(column: &str, name: &str) -> Option<u32> {
    column.strip_prefix(name)?.strip_prefix('_')?.parse().ok()
}

fn is_vector(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_numeric()
        }
        _ => false,
    }
}

/// Where vectors come from.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum VectorSource {
    /// The columns of the source.
    Columns,
    /// An encoder; the columns are not read.
    Encoder,
}

/// Collects the raw rows of chunks.
#[derive(Clone)]
pub(crate) struct RawReader {
    table: Table,
    vectors: Option<FeatureColumns>,
    values: Vec<f32>,
    texts: Option<TextColumns>,
    joined: Vec<String>,
    names: Vec<String>,
}

impl RawReader {
    /// Finds the columns of a preparation in a source.
    pub(crate) fn open(source: &str, inputs: &PreparationInputs, vectors: VectorSource) -> Result<Self> {
        let vectors = if vectors == VectorSource::Encoder || inputs.vector_columns.is_empty() {
            None
        } else {
            Some(FeatureColumns::resolve(source, &inputs.vector_columns)?)
        };
        let texts = if inputs.text_columns.is_empty() {
            None
        } else {
            Some(TextColumns::resolve(source, &inputs.text_columns, &inputs.text_column_delimiter)?)
        };
        let mut names: Vec<String> = inputs.columns.iter().map(|plan| plan.name.clone()).collect();
        names.extend(vectors.iter().flat_map(FeatureColumns::source_columns));
        names.extend(texts.iter().flat_map(|texts| texts.names().iter().cloned()));
        let table = Table::new(&inputs.columns);
        Ok(Self { table, vectors, values: Vec::new(), texts, joined: Vec::new(), names })
    }

    /// The columns to read of the source.
    pub(crate) fn source_columns(&self) -> &[String] {
        &self.names
    }

    /// Adds rows.
    pub(crate) fn push(&mut self, chunk: &Chunk) -> Result<()> {
        self.table.push(chunk)?;
        if let Some(vectors) = &mut self.vectors {
            vectors.append(chunk, &mut self.values)?;
        }
        if let Some(texts) = &self.texts {
            let rows = RowBuffer { chunks: vec![chunk.clone()], rows: chunk.batch.num_rows() };
            self.joined.extend(texts.of(&rows)?.0);
        }
        Ok(())
    }

    /// All rows, and the names of the vectors' dimensions.
    pub(crate) fn finish(self) -> Result<(RawRows, Vec<String>)> {
        let names = self.vectors.as_ref().map_or_else(Vec::new, FeatureColumns::names);
        let rows = self.table.rows();
        let vectors = match self.vectors {
            Some(_) => Some(DenseMatrix::new(rows, names.len(), self.values)?),
            None => None,
        };
        Ok((RawRows { table: self.table, vectors, texts: self.joined }, names))
    }
}
