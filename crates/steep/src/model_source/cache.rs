//! The cache folder of one model, in the layout of the Python libraries.
//!
//! `blobs/<etag>` holds the contents, `snapshots/<commit>/<file>` are links to them, and `refs/<revision>`
//! holds the commit that a branch or tag stood for when it was last fetched.

use super::files::{is_commit, is_complete};
use crate::error::{Error, Result};
use crate::storage::atomic_file;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// One model's part of the cache.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The part of the model with this hub name, whose form has been checked.
    pub(super) fn new(cache_dir: &Path, name: &str) -> Self {
        let repository = hf_hub::Repo::model(name.to_owned());
        Self { folder: cache_dir.join(repository.folder_name()) }
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Where the content with this etag lies.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// The snapshot of a branch, tag or commit, if it has a configuration and all weights.
    pub(super) fn complete(&self, revision: &str) -> Option<PathBuf> {
        let named = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        let commits = [Some(revision), named.as_deref().map(str::trim)];
        commits
            .into_iter()
            .flatten()
            .filter(|commit| is_commit(commit))
            .map(|commit| self.snapshot(commit))
            .find(|folder| is_complete(folder))
    }

    /// Remembers which commit a branch or tag stands for.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        atomic_file(&path, |writer| writer.write_all(commit.as_bytes()).map_err(Error::io("write", &path)))
    }

    /// Makes a content appear as a file of a commit.
    pub(super) fn link(&self, etag: &str, commit: &str, file: &str) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        if path.is_file() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        // A link to a content that is gone would be in the way.
        if fs::symlink_metadata(&path).is_ok() {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        let up = "../".repeat(file.split('/').count() + 1);
        place(&self.blob(etag), &format!("{up}blobs/{etag}"), &path).map_err(Error::io("create", &path))
    }
}

#[cfg(unix)]
fn place(_blob: &Path, relative: &str, path: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(relative, path) {
        // Another process made the same link meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Links need a privilege on other systems; the Python libraries copy there too.
#[cfg(not(unix))]
fn place(blob: &Path, _relative: &str, path: &Path) -> io::Result<()> {
    fs::copy(blob, path).map(|_| ())
}
