//! How the columns of a row become the text that a trained folder reads.

use super::PredictInput;
use crate::config::Dtype;
use crate::data::{ReadOptions, open};
use crate::error::Result;
use crate::features::columns::ColumnPlan;
use crate::stages::output::TextColumns;
use crate::storage::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in a trained folder that says so.
const TEXT_FILE: &str = "text.json";

/// Which columns hold the text that a folder was trained on, and how it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRecipe {
    /// The columns of the text.
    pub text_columns: Vec<String>,
    /// Put between the texts of several columns.
    pub text_column_delimiter: String,
    /// Columns written before the text, `price: 12, colour: red. …`; none for the text alone.
    #[serde(default)]
    pub written_columns: Vec<ColumnPlan>,
    /// Texts were cut to so many tokens; absent, to as many as the model folder says. A classifier of vectors or columns
    /// says it itself.
    #[serde(default)]
    pub max_seq_length: Option<usize>,
    /// Numbers in which the network computed; absent, those that are quick on a machine. As above.
    #[serde(default)]
    pub dtype: Option<Dtype>,
}

impl TextRecipe {
    /// Writes it into an existing folder, where [`super::predict()`] finds it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(TEXT_FILE), self)
    }

    /// What a folder says; none where it says nothing.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(TEXT_FILE);
        if path.is_file() { read_json(&path).map(Some) } else { Ok(None) }
    }
}

/// The columns of the text: those that are named, or those that the folder was trained on, or the default one. A source
/// of one column, such as plain text, needs no names.
pub(super) fn text_columns(input: &PredictInput, saved: Option<&TextRecipe>) -> Result<TextColumns> {
    let given = input.text_column_delimiter.as_deref();
    let Some(saved) = saved else {
        return TextColumns::resolve(input.source, &input.text_columns, given.unwrap_or(" "));
    };
    let delimiter = given.unwrap_or(&saved.text_column_delimiter);
    let is_alone = || -> Result<bool> {
        Ok(saved.text_columns.len() == 1
            && open(input.source, &ReadOptions::default())?.schema().fields().len() == 1)
    };
    let named =
        if !input.text_columns.is_empty() || is_alone()? { &input.text_columns } else { &saved.text_columns };
    let texts = TextColumns::resolve(input.source, named, delimiter)?;
    if saved.written_columns.is_empty() {
        return Ok(texts);
    }
    texts.with_written(input.source, &saved.written_columns)
}
