//! What can be wrong with a model folder.

use std::path::PathBuf;

/// The result of loading or saving.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A model folder that cannot be used, or a file operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's own reason.
        #[source]
        source: std::io::Error,
    },
    /// `config.json` or another JSON file of the folder has a fault.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field's name.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// No weight can be adapted as asked.
    #[error("lora_targets: {problem}")]
    Targets {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The weights have a fault.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, with the tensors' names.
        problem: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Config { hint, .. } | Self::Weights { hint, .. } | Self::Targets { hint, .. } => {
                Some(hint.as_str()).filter(|hint| !hint.is_empty())
            }
            Self::Io { .. } => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
