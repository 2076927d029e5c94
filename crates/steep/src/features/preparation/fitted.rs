//! A preparation with all that it learned.

use super::arrays::{self, Visit};
use super::blocks::{Block, block_factors};
use super::encoding::CategoryPart;
use super::imputation::Imputation;
use super::layout::{PartWidths, PreparedLayout};
use super::numbers::{NumberPart, NumberPlan};
use super::own_columns::{
    SCALED_DATE_PARTS, booleans_of, booleans_part, categories_of, cycles_of, cycles_part, numbers_of,
    numbers_part, tags_of,
};
use super::selection::{Wanted, kept};
use super::settings::PreparationSettings;
use super::tags::TagColumn;
use super::target::Targets;
use super::vectors::VectorPart;
use crate::error::{Error, Result};
use crate::features::columns::{ColumnKind, ColumnPlan, DATE_PARTS, Table};
use crate::features::engineered::{EngineeredSettings, EngineeredSpec};
use crate::features::matrix::DenseMatrix;
use crate::storage::{read_json, write_json};
use crate::text::Tokenizer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file of settings, vocabularies and single numbers.
pub const PREPARATION_FILE: &str = "preparation.json";
/// The file of tables.
pub const PREPARATION_TENSORS: &str = "preparation.safetensors";
const FORMAT_VERSION: u32 = 1;

/// Rows as they were read.
#[derive(Debug, Clone)]
pub struct RawRows {
    /// The person's columns.
    pub table: Table,
    /// Vectors `[rows, dimensions]`, where there are some.
    pub vectors: Option<DenseMatrix>,
    /// The texts, where columns are engineered from them; else none.
    pub texts: Vec<String>,
}

impl RawRows {
    /// A copy of the given rows, in the given order. The caller gives rows that exist.
    #[must_use]
    pub fn select_rows(&self, rows: &[u32]) -> Self {
        Self {
            table: self.table.select_rows(rows),
            vectors: self.vectors.as_ref().map(|vectors| vectors.select_rows(rows)),
            texts: if self.texts.is_empty() {
                Vec::new()
            } else {
                rows.iter().map(|&row| self.texts[row as usize].clone()).collect()
            },
        }
    }
}

/// Which columns are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparationInputs {
    /// The person's columns.
    pub columns: Vec<ColumnPlan>,
    /// The columns of vectors, as they were asked for.
    pub vector_columns: Vec<String>,
    /// The names of the vectors' dimensions.
    pub vector_names: Vec<String>,
    /// The columns of the text that columns are engineered from.
    pub text_columns: Vec<String>,
    /// Put between the texts of several columns.
    pub text_column_delimiter: String,
}

/// A preparation that was fitted on training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    format_version: u32,
    inputs: PreparationInputs,
    vectors: Option<VectorPart>,
    numbers: NumberPart,
    booleans: NumberPart,
    cycles: NumberPart,
    categories: CategoryPart,
    tags: Vec<TagColumn>,
    engineered: Option<EngineeredPart>,
    /// The prepared columns that are kept; all where absent.
    kept: Option<Vec<u32>>,
    block_factors: Vec<(Block, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineeredPart {
    spec: EngineeredSpec,
    numbers: NumberPart,
}

/// Prepared columns of some rows before selection and block scaling.
struct Assembled {
    rows: usize,
    /// `[rows, vector_width]`
    vectors: Vec<f32>,
    vector_width: usize,
    /// The person's columns, then the engineered ones.
    columns: Vec<Vec<f64>>,
    /// How many of them are the person's.
    own: usize,
}

impl Assembled {
    fn width(&self) -> usize {
        self.vector_width + self.columns.len()
    }

    fn block(&self, column: usize) -> Block {
        match column.checked_sub(self.vector_width) {
            None => Block::Vectors,
            Some(at) if at < self.own => Block::Columns,
            Some(_) => Block::Engineered,
        }
    }

    fn column(&self, column: usize) -> Vec<f64> {
        match column.checked_sub(self.vector_width) {
            Some(at) => self.columns[at].clone(),
            None => self.vectors.chunks_exact(self.vector_width).map(|row| f64::from(row[column])).collect(),
        }
    }

    fn value(&self, row: usize, column: usize) -> f64 {
        match column.checked_sub(self.vector_width) {
            Some(at) => self.columns[at][row],
            None => f64::from(self.vectors[row * self.vector_width + column]),
        }
    }
}

impl Preparation {
    /// Learns from the training rows and prepares all rows: `[rows, names]`.
    ///
    /// With target encoding a training row's own columns come from the labels of the other folds.
    ///
    /// # Errors
    /// Settings that do not fit the rows, such as more components than dimensions, or labels that are missing for a
    /// step that needs them.
    pub fn fit(
        inputs: PreparationInputs,
        raw: &RawRows,
        train: &[u32],
        targets: Option<&Targets>,
        engineered: Option<&EngineeredSettings>,
        settings: &PreparationSettings,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<(Self, DenseMatrix)> {
        if train.is_empty() {
            let problem = "there are no training rows to prepare features with";
            return Err(Error::config("preparation", problem, "check the split"));
        }
        let training = raw.select_rows(train);
        let (categories, crossed) = CategoryPart::fit(&categories_of(&training.table), targets, settings)?;
        let vectors = training.vectors.as_ref();
        let mut preparation = Self {
            format_version: FORMAT_VERSION,
            vectors: vectors
                .map(|vectors| VectorPart::fit(inputs.vector_names.clone(), vectors, settings))
                .transpose()?,
            numbers: numbers_part(&training.table, settings),
            booleans: booleans_part(&training.table, settings),
            cycles: cycles_part(&training.table),
            categories,
            tags: tags_of(&training.table)
                .map(|(name, tags)| TagColumn::fit(name, tags, settings.max_tags))
                .collect(),
            engineered: engineered
                .map(|engineered| engineered_part(engineered, &training.texts, settings, tokenizer))
                .transpose()?,
            inputs,
            kept: None,
            block_factors: Vec::new(),
        };
        let assembled = preparation.assemble(&training, crossed.clone(), tokenizer)?;
        preparation.choose(&assembled, targets, settings)?;
        let mut all = preparation.transform(raw, tokenizer)?;
        if crossed.is_some() {
            let rows = preparation.finish(&assembled)?;
            let width = rows.columns();
            for (&row, values) in train.iter().zip(rows.values().chunks_exact(width.max(1))) {
                let start = row as usize * width;
                all.values_mut()[start..start + width].copy_from_slice(values);
            }
        }
        Ok((preparation, all))
    }

    /// Selects columns and weighs blocks by the training rows.
    fn choose(
        &mut self,
        training: &Assembled,
        targets: Option<&Targets>,
        settings: &PreparationSettings,
    ) -> Result<()> {
        let wanted =
            Wanted { variance_threshold: settings.variance_threshold, k_best: settings.select_k_best };
        if wanted.k_best.is_some() && targets.is_none() {
            return Err(Error::config("select_k_best", "needs labels", "leave it out"));
        }
        if wanted.k_best.is_some() || wanted.variance_threshold.is_some() {
            let target = targets.map(|targets| &targets.target);
            self.kept = Some(kept(wanted, training.width(), |column| training.column(column), target));
        }
        if training.width() == 0 || self.kept.as_ref().is_some_and(Vec::is_empty) {
            let problem = "no column is left to learn from";
            return Err(Error::config("preparation", problem, "name columns, or select less strictly"));
        }
        if settings.block_scaling {
            let columns: Vec<(Block, Vec<f64>)> = self
                .kept_columns(training.width())
                .map(|column| (training.block(column), training.column(column)))
                .collect();
            let columns = columns.iter().map(|(block, values)| (*block, values.as_slice()));
            self.block_factors = block_factors(columns, &settings.block_weights);
        }
        Ok(())
    }

    /// Prepares rows: `[rows, names]`. A row's numbers do not depend on the other rows.
    ///
    /// # Errors
    /// Rows of other columns than the preparation was fitted on, or no tokenizer where one is needed.
    pub fn transform(&self, raw: &RawRows, tokenizer: Option<&Tokenizer>) -> Result<DenseMatrix> {
        self.finish(&self.assemble(raw, None, tokenizer)?)
    }

    /// Which columns are read.
    pub fn inputs(&self) -> &PreparationInputs {
        &self.inputs
    }

    /// Whether a tokenizer is needed.
    pub fn needs_tokenizer(&self) -> bool {
        self.engineered.as_ref().is_some_and(|part| part.spec.needs_tokenizer())
    }

    /// Whether the texts are needed.
    pub fn needs_texts(&self) -> bool {
        self.engineered.is_some()
    }

    /// The names of the prepared columns.
    pub fn names(&self) -> Vec<String> {
        let names = self.all_names();
        self.kept_columns(names.len()).map(|column| names[column].clone()).collect()
    }

    /// What the prepared columns are, for a network that takes them apart.
    ///
    /// # Errors
    /// Columns that were selected among, or vectors: such a preparation is made for other learners.
    pub fn layout(&self) -> Result<PreparedLayout> {
        if self.kept.is_some() || self.vectors.is_some() {
            let problem = "selects columns or has vectors, which a network does by itself";
            return Err(Error::config("preparation", problem, "leave out vectors and selection"));
        }
        let counts: Vec<usize> =
            [&self.numbers, &self.booleans, &self.cycles].map(|part| part.names().count()).into();
        let engineered = self.engineered.as_ref().map_or(0, |part| part.numbers.names().count());
        let tags = self.tags.iter().map(|tags| tags.names().len()).sum();
        let widths = PartWidths { numbers: counts.iter().sum(), tags, engineered };
        Ok(PreparedLayout::new(&widths, self.categories.names().len(), self.categories.code_counts()))
    }

    /// How many prepared columns each block has.
    pub fn block_widths(&self) -> Vec<(Block, usize)> {
        let vectors = self.vectors.as_ref().map_or(0, |part| part.names().len());
        let width = self.all_names().len();
        let engineered = self.engineered.as_ref().map_or(0, |part| part.numbers.names().count());
        let own = vectors..width - engineered;
        let count =
            |range: std::ops::Range<usize>| self.kept_columns(width).filter(|at| range.contains(at)).count();
        let widths = [count(0..vectors), count(own.clone()), count(own.end..width)];
        Block::ALL
            .iter()
            .zip(widths)
            .filter(|(_, width)| *width > 0)
            .map(|((_, block), width)| (*block, width))
            .collect()
    }

    /// Writes the two files into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut tables = BTreeMap::new();
        self.clone().visit(&mut |name, table| {
            tables.insert(name.to_owned(), std::mem::take(table));
        });
        arrays::save(&folder.join(PREPARATION_TENSORS), &tables)?;
        write_json(&folder.join(PREPARATION_FILE), self)
    }

    /// Reads a folder written by [`Self::save`].
    ///
    /// # Errors
    /// Files that are not there, or whose contents do not fit together.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut preparation: Self = read_json(&folder.join(PREPARATION_FILE))?;
        let mut tables = arrays::load(&folder.join(PREPARATION_TENSORS))?;
        preparation.visit(&mut |name, table| *table = tables.remove(name).unwrap_or_default());
        let damaged = |problem: String| {
            let hint = "run classify again, or point to a folder written by this program";
            Err(Error::model(folder.display().to_string(), problem, hint))
        };
        if preparation.format_version != FORMAT_VERSION {
            let version = preparation.format_version;
            return damaged(format!("{PREPARATION_FILE} has version {version}, not {FORMAT_VERSION}"));
        }
        if !preparation.is_whole() {
            return damaged(format!("{PREPARATION_FILE} and {PREPARATION_TENSORS} do not fit together"));
        }
        Ok(preparation)
    }

    fn is_whole(&self) -> bool {
        let engineered = |part: &EngineeredPart| {
            part.spec.check().is_ok()
                && part.numbers.is_whole()
                && part.numbers.columns() == part.spec.names().len()
        };
        let counts = |count: fn(ColumnKind) -> usize| -> usize {
            self.inputs.columns.iter().map(|plan| count(plan.kind)).sum()
        };
        let numbers = counts(|kind| match kind {
            ColumnKind::Numerical => 1,
            ColumnKind::Datetime { .. } => SCALED_DATE_PARTS,
            _ => 0,
        });
        let cycles = counts(|kind| match kind {
            ColumnKind::Datetime { .. } => DATE_PARTS.len() - SCALED_DATE_PARTS,
            _ => 0,
        });
        self.vectors.as_ref().is_none_or(VectorPart::is_whole)
            && [&self.numbers, &self.booleans, &self.cycles].iter().all(|part| part.is_whole())
            && (self.numbers.columns(), self.cycles.columns()) == (numbers, cycles)
            && self.booleans.columns() == counts(|kind| usize::from(kind == ColumnKind::Boolean))
            && self.tags.len() == counts(|kind| usize::from(kind == ColumnKind::Tags))
            && self.categories.columns() == counts(|kind| usize::from(kind == ColumnKind::Categorical))
            && self.categories.is_whole()
            && self.tags.iter().all(TagColumn::is_whole)
            && self.engineered.as_ref().is_none_or(engineered)
            && self.kept.as_ref().is_none_or(|kept| self.has_columns(kept))
            && self.block_factors.iter().all(|(_, factor)| factor.is_finite())
    }

    /// Whether there are such columns; the parts were found whole.
    fn has_columns(&self, columns: &[u32]) -> bool {
        let width = self.all_names().len();
        columns.iter().all(|column| (*column as usize) < width)
    }

    fn visit(&mut self, visit: &mut Visit<'_>) {
        if let Some(part) = &mut self.vectors {
            part.visit(visit);
        }
        self.numbers.visit("numbers", visit);
        self.categories.visit(visit);
        if let Some(part) = &mut self.engineered {
            part.numbers.visit("engineered", visit);
        }
    }

    fn all_names(&self) -> Vec<String> {
        let mut names = self.vectors.as_ref().map_or_else(Vec::new, VectorPart::names);
        names.extend(self.numbers.names().chain(self.booleans.names()).chain(self.cycles.names()));
        names.extend(self.categories.names());
        names.extend(self.tags.iter().flat_map(TagColumn::names));
        names.extend(self.engineered.iter().flat_map(|part| part.numbers.names()));
        names
    }

    fn kept_columns(&self, width: usize) -> impl Iterator<Item = usize> {
        let all = if self.kept.is_none() { 0..width } else { 0..0 };
        self.kept.iter().flatten().map(|column| *column as usize).chain(all)
    }

    fn assemble(
        &self,
        raw: &RawRows,
        crossed: Option<Vec<Vec<f64>>>,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Assembled> {
        let table = &raw.table;
        let (vectors, vector_width) = match (&self.vectors, &raw.vectors) {
            (None, _) => (Vec::new(), 0),
            (Some(part), Some(vectors)) if vectors.columns() == part.width() => {
                (part.apply(vectors)?, part.names().len())
            }
            (Some(part), vectors) => {
                let found = vectors.as_ref().map_or(0, DenseMatrix::columns);
                let problem = format!("there are {found} dimensions, {} were fitted", part.width());
                return Err(Error::config(
                    "features",
                    problem,
                    "give vectors of the encoder used in training",
                ));
            }
        };
        let mut columns = self.numbers.apply(numbers_of(table));
        columns.extend(self.booleans.apply(booleans_of(table)));
        columns.extend(self.cycles.apply(cycles_of(table)));
        columns.extend(crossed.unwrap_or_else(|| self.categories.apply(&categories_of(table))));
        for (tags, (_, values)) in self.tags.iter().zip(tags_of(table)) {
            columns.extend(tags.apply(values));
        }
        let own = columns.len();
        if let Some(part) = &self.engineered {
            columns.extend(part.numbers.apply(columns_of(&part.spec.compute(&raw.texts, tokenizer)?)));
        }
        Ok(Assembled { rows: table.rows(), vectors, vector_width, columns, own })
    }

    /// The kept columns, each times its block's factor.
    fn finish(&self, assembled: &Assembled) -> Result<DenseMatrix> {
        let factor = |block: Block| {
            let found = self.block_factors.iter().find(|(of, _)| *of == block);
            found.map_or(1.0, |(_, factor)| *factor)
        };
        let columns: Vec<(usize, f64)> = self
            .kept_columns(assembled.width())
            .map(|column| (column, factor(assembled.block(column))))
            .collect();
        let mut values = Vec::with_capacity(assembled.rows * columns.len());
        for row in 0..assembled.rows {
            values.extend(
                columns.iter().map(|&(column, factor)| (assembled.value(row, column) * factor) as f32),
            );
        }
        DenseMatrix::new(assembled.rows, columns.len(), values)
    }
}

fn engineered_part(
    engineered: &EngineeredSettings,
    texts: &[String],
    settings: &PreparationSettings,
    tokenizer: Option<&Tokenizer>,
) -> Result<EngineeredPart> {
    let spec = EngineeredSpec::fit(engineered, texts, tokenizer);
    let columns = columns_of(&spec.compute(texts, tokenizer)?);
    let flags = vec![false; columns.len()];
    let plan =
        NumberPlan { imputation: Imputation::Constant(0.0), scalers: &settings.scalers, flags: &flags };
    let numbers = NumberPart::fit(spec.names(), columns, &plan);
    Ok(EngineeredPart { spec, numbers })
}

fn columns_of(matrix: &DenseMatrix) -> Vec<Vec<f64>> {
    let width = matrix.columns();
    let column =
        |at: usize| matrix.values().iter().skip(at).step_by(width).map(|value| f64::from(*value)).collect();
    (0..width).map(column).collect()
}
