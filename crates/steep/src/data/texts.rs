//! The texts of a source, streamed or read whole.

use super::columns::{default_text_column, text};
use super::readers::{Chunks, ReadOptions, open};
use crate::error::{Error, Result};
use arrow::array::StringArray;
use std::path::Path;
use std::sync::Arc;

/// Which texts to read.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// The column; `None` means the default text column (see [`default_text_column`]).
    pub column: Option<String>,
    /// The most rows in a chunk.
    pub chunk_rows: usize,
    /// Stop after this many rows.
    pub limit: Option<u64>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { column: None, chunk_rows: ReadOptions::default().chunk_rows, limit: None }
    }
}

/// The texts of consecutive rows of one file.
#[derive(Debug, Clone)]
pub struct TextChunk {
    /// The file they come from.
    pub file: Arc<Path>,
    /// The number of the first row within the file, counted from 1.
    pub first_row: u64,
    /// The texts; missing ones are null.
    pub texts: StringArray,
}

/// The texts of a source, chunk after chunk; made by [`stream_texts`].
#[derive(Debug)]
pub struct TextChunks {
    chunks: Chunks,
    column: String,
}

impl TextChunks {
    /// The column that is read.
    pub fn column(&self) -> &str {
        &self.column
    }
}

impl Iterator for TextChunks {
    type Item = Result<TextChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.chunks.next()?;
        Some(chunk.and_then(|chunk| {
            let texts = text(&chunk, &self.column)?;
            Ok(TextChunk { file: chunk.file, first_row: chunk.first_row, texts })
        }))
    }
}

/// Streams the texts of a source, which [`open`] describes.
///
/// # Errors
/// What [`open`] gives; an unknown column.
pub fn stream_texts(source: &str, options: &TextOptions) -> Result<TextChunks> {
    let column = match &options.column {
        Some(column) => column.clone(),
        None => default_column(source)?,
    };
    let columns = Some(vec![column.clone()]);
    let chunks =
        open(source, &ReadOptions { columns, chunk_rows: options.chunk_rows, limit: options.limit })?;
    Ok(TextChunks { chunks, column })
}

fn default_column(source: &str) -> Result<String> {
    let schema = open(source, &ReadOptions::default())?.schema();
    let column = default_text_column(&schema).map(str::to_owned);
    column.ok_or_else(|| Error::data(source, "there are no columns", "give a file that has some"))
}

/// Reads the texts of a source into memory, one a row; missing ones are empty.
///
/// # Errors
/// What [`open`] gives; an unknown column.
pub fn load_texts(source: &str, options: &TextOptions) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for chunk in stream_texts(source, options)? {
        texts.extend(chunk?.texts.iter().map(|text| text.unwrap_or_default().to_owned()));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "id,text\n1,a\n2,\n3,c\n").unwrap();
        let source = path.to_str().unwrap();
        assert_eq!(load_texts(source, &TextOptions::default()).unwrap(), ["a", "", "c"]);
        let options = TextOptions { column: Some("id".to_owned()), chunk_rows: 2, limit: Some(3) };
        let chunks = stream_texts(source, &options).unwrap().collect::<Result<Vec<_>>>().unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.first_row).collect::<Vec<_>>(), [1, 3]);
        let error =
            load_texts(source, &TextOptions { column: Some("txt".to_owned()), ..options }).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean 'text'?"));
    }
}
