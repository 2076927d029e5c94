//! The formats in which rows are written.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What an output file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// Apache Parquet with the input's columns and vectors as lists.
    Parquet,
    /// NumPy's array format: the vectors alone, float32, `[rows, width]`.
    Npy,
    /// Comma-separated fields with a header, vectors one column a dimension.
    Csv,
    /// One JSON object a line, vectors as lists.
    Jsonl,
}

impl OutputFormat {
    /// The format that a file's extension tells.
    pub fn from_path(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "npy" => Ok(Self::Npy),
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            _ => Err(Error::config(
                "output",
                format!("the format of {} is not known", path.display()),
                "give a file name that ends in .parquet, .npy, .csv or .jsonl",
            )),
        }
    }

    /// The extension of part files. Those of an array are its bare values, which are no file of their own.
    pub(super) fn part_extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Npy => "f32",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// The name in messages.
    pub(in crate::stages) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Npy => "npy",
            Self::Csv => "CSV",
            Self::Jsonl => "JSONL",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format() {
        assert_eq!(OutputFormat::from_path(Path::new("a/b.PARQUET")).unwrap(), OutputFormat::Parquet);
        assert_eq!(OutputFormat::from_path(Path::new("b.ndjson")).unwrap(), OutputFormat::Jsonl);
        assert!(OutputFormat::from_path(Path::new("b.xlsx")).unwrap_err().hint().unwrap().contains(".npy"));
        assert!(OutputFormat::from_path(Path::new("parquet")).is_err());
    }
}
