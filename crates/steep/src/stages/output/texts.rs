//! The texts of rows, and their tokens.

use super::parts::RowCounts;
use super::rows::RowBuffer;
use crate::data::{ReadOptions, default_text_column, open, text};
use crate::error::{Error, Result};
use crate::features::columns::{ColumnPlan, Table, as_texts};
use crate::features::distinct::DistinctRows;
use crate::text::{EncodeOptions, Encodings, Tokenizer};
use arrow::array::{Array, StringArray};

/// Which columns hold the texts, and which are written before them.
#[derive(Debug, Clone)]
pub(in crate::stages) struct TextColumns {
    columns: Vec<String>,
    delimiter: String,
    written: Vec<ColumnPlan>,
    /// All columns that are read.
    names: Vec<String>,
}

impl TextColumns {
    /// The named columns, checked, or the default text column of the source.
    pub(in crate::stages) fn resolve(source: &str, named: &[String], delimiter: &str) -> Result<Self> {
        let columns = if named.is_empty() { None } else { Some(named.to_vec()) };
        let schema = open(source, &ReadOptions { columns, ..ReadOptions::default() })?.schema();
        let columns = match (named, default_text_column(&schema)) {
            ([], Some(default)) => vec![default.to_owned()],
            ([], None) => {
                return Err(Error::data(source, "there is no column for the texts", "name the text columns"));
            }
            (named, _) => named.to_vec(),
        };
        let names = columns.clone();
        Ok(Self { columns, delimiter: delimiter.to_owned(), written: Vec::new(), names })
    }

    /// The same with columns of the source written before the text, as [`as_texts`] does.
    pub(in crate::stages) fn with_written(mut self, source: &str, plans: &[ColumnPlan]) -> Result<Self> {
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        open(source, &ReadOptions { columns: Some(names.clone()), ..ReadOptions::default() })?;
        self.names.extend(names.into_iter().filter(|name| !self.columns.contains(name)));
        self.written = plans.to_vec();
        Ok(self)
    }

    /// The names of all columns that are read.
    pub(in crate::stages) fn names(&self) -> &[String] {
        &self.names
    }

    /// What names the choice in a key.
    pub(in crate::stages) fn key(&self) -> String {
        serde_json::json!([self.columns, self.delimiter, self.written]).to_string()
    }

    /// The text of each row, its columns joined and null ones left out; and how many are null or blank.
    pub(in crate::stages) fn of(&self, rows: &RowBuffer) -> Result<(Vec<String>, u64)> {
        let (mut texts, mut empty) = (Vec::with_capacity(rows.rows), 0);
        let mut table = Table::new(&self.written);
        for chunk in &rows.chunks {
            let arrays: Vec<StringArray> =
                self.columns.iter().map(|column| text(chunk, column)).collect::<Result<_>>()?;
            for row in 0..chunk.batch.num_rows() {
                let present = arrays.iter().filter(|array| array.is_valid(row));
                let parts: Vec<&str> = present.map(|array| array.value(row)).collect();
                empty += u64::from(parts.iter().all(|part| part.trim().is_empty()));
                texts.push(parts.join(&self.delimiter));
            }
            table.push(chunk)?;
        }
        Ok((if self.written.is_empty() { texts } else { as_texts(&table, &texts) }, empty))
    }
}

/// How the texts of rows become what an encoder takes. Shared with the thread that reads.
pub(in crate::stages) struct TextPreparation<'a> {
    pub(in crate::stages) tokenizer: &'a Tokenizer,
    pub(in crate::stages) columns: &'a TextColumns,
    pub(in crate::stages) options: EncodeOptions,
    /// Tokens computed at once.
    pub(in crate::stages) max_tokens: usize,
}

/// The texts of a buffer's rows, ready for the encoder.
pub(in crate::stages) struct PreparedTexts {
    pub(in crate::stages) encodings: Encodings,
    pub(in crate::stages) plan: DistinctRows,
    empty_texts: u64,
}

impl TextPreparation<'_> {
    pub(in crate::stages) fn prepare(&self, rows: &RowBuffer) -> Result<PreparedTexts> {
        Ok(self.prepare_with(rows, |_| Ok(()))?.0)
    }

    /// The same, with what else is made of the texts.
    pub(in crate::stages) fn prepare_with<T>(
        &self,
        rows: &RowBuffer,
        make: impl FnOnce(&[String]) -> Result<T>,
    ) -> Result<(PreparedTexts, T)> {
        let (texts, empty_texts) = self.columns.of(rows)?;
        let made = make(&texts)?;
        let encodings = encode(self.tokenizer, &texts, &self.options, rows)?;
        let all: Vec<u32> = (0..encodings.len() as u32).collect();
        let plan = DistinctRows::new(&encodings, &all, self.max_tokens);
        Ok((PreparedTexts { encodings, plan, empty_texts }, made))
    }
}

impl PreparedTexts {
    /// What tokenising says of the rows.
    pub(in crate::stages) fn counts(&self) -> RowCounts {
        RowCounts {
            tokens: self.encodings.input_ids.len() as u64,
            truncated: self.encodings.truncated,
            dropped_tokens: self.encodings.dropped_tokens,
            empty_texts: self.empty_texts,
            ..RowCounts::default()
        }
    }
}

/// Tokens of texts, at least one each: an encoder has nothing to say about a sequence without tokens.
fn encode(
    tokenizer: &Tokenizer,
    texts: &[String],
    options: &EncodeOptions,
    rows: &RowBuffer,
) -> Result<Encodings> {
    let encodings = tokenizer.encode(texts, options)?;
    let Some(mut at) = encodings.offsets.windows(2).position(|pair| pair[0] == pair[1]) else {
        return Ok(encodings);
    };
    for chunk in &rows.chunks {
        if at < chunk.batch.num_rows() {
            return Err(Error::Data {
                file: chunk.file.to_path_buf(),
                row: Some(chunk.first_row + at as u64),
                column: None,
                problem: "the text has no tokens, and this tokenizer adds none of its own".into(),
                hint: "leave out rows without text".into(),
            });
        }
        at -= chunk.batch.num_rows();
    }
    Err(Error::config("texts", "there are more texts than rows", "give one text for each row"))
}
