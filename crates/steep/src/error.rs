//! What can go wrong, where, and what to do about it.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with its data; [`Error::hint`] tells the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `write`, `create`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        #[source]
        source: std::io::Error,
    },
    /// The user's data has a fault.
    #[error("{}{}{}: {problem}", file.display(), at_row(*row), at_column(column.as_deref()))]
    Data {
        /// The file.
        file: PathBuf,
        /// The row, counted from 1, a header not counted.
        row: Option<u64>,
        /// The column's name.
        column: Option<String>,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A configuration key has a value that cannot be used.
    #[error("{key}: {problem}")]
    Config {
        /// The key as the user writes it.
        key: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A model folder, tokenizer or hub name cannot be used.
    #[error("{model}: {problem}")]
    Model {
        /// The folder, file or hub name.
        model: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The encoder refused.
    #[error(transparent)]
    Encoder(#[from] steep_encoder::Error),
    /// The work was stopped on request; what was finished is saved.
    #[error("stopped on request")]
    Cancelled,
    /// steep itself has a fault: something panicked on a thread that works beside the caller's.
    #[error("internal error: {problem}")]
    Internal {
        /// What the panic said.
        problem: String,
    },
}

fn at_row(row: Option<u64>) -> String {
    row.map_or_else(String::new, |row| format!(", row {row}"))
}

fn at_column(column: Option<&str>) -> String {
    column.map_or_else(String::new, |column| format!(", column '{column}'"))
}

impl Error {
    /// Wraps a system error with what was attempted on which path.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A fault of a whole data file.
    pub fn data(file: impl AsRef<Path>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Data {
            file: file.as_ref().to_path_buf(),
            row: None,
            column: None,
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// A fault of a configuration key.
    pub fn config(key: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Config { key: key.into(), problem: problem.into(), hint: hint.into() }
    }

    /// A fault of a model folder or name.
    pub fn model(model: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Model { model: model.into(), problem: problem.into(), hint: hint.into() }
    }

    /// What a panic carries, as an error.
    pub(crate) fn of_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Internal { problem: text.unwrap_or("a panic of unknown cause").to_owned() }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Data { hint, .. } | Self::Config { hint, .. } | Self::Model { hint, .. } => {
                Some(hint).filter(|hint| !hint.is_empty()).map(String::as_str)
            }
            Self::Encoder(error) => error.hint(),
            Self::Io { .. } | Self::Cancelled | Self::Internal { .. } => None,
        }
    }
}
