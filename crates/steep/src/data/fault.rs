//! Short ways to say where the data has a fault.

use crate::error::Error;
use std::path::Path;

/// A fault of one row (counted from 1).
pub(super) fn row_fault(file: &Path, row: u64, problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Data {
        file: file.to_path_buf(),
        row: Some(row),
        column: None,
        problem: problem.into(),
        hint: hint.into(),
    }
}

/// A fault of one value.
pub(super) fn cell_fault(
    file: &Path,
    row: u64,
    column: &str,
    problem: impl Into<String>,
    hint: impl Into<String>,
) -> Error {
    Error::Data {
        file: file.to_path_buf(),
        row: Some(row),
        column: Some(column.to_owned()),
        problem: problem.into(),
        hint: hint.into(),
    }
}

/// A fault of a whole column.
pub(super) fn column_fault(
    file: &Path,
    column: &str,
    problem: impl Into<String>,
    hint: impl Into<String>,
) -> Error {
    Error::Data {
        file: file.to_path_buf(),
        row: None,
        column: Some(column.to_owned()),
        problem: problem.into(),
        hint: hint.into(),
    }
}

/// A value as it may stand in a message: at most 40 characters of it.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 40;
    if value.chars().count() <= LONGEST {
        return format!("'{value}'");
    }
    let start: String = value.chars().take(LONGEST).collect();
    format!("'{start}…'")
}
