//! How hidden siblings are named, and how those of dead processes are told from those of living ones.
//!
//! For a target `model` the siblings are `.model.tmp-<pid>-<n>` (being written), `.model.old-<pid>-<n>`
//! (the old version while it is replaced) and, for folders, `.model.tmp-<pid>-<n>.lock`, on which the
//! writer holds an advisory lock as long as it lives.

use super::operations::{self, StoredFile, parent};
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const LOCK_SUFFIX: &str = ".lock";

/// A name for a hidden sibling that no other writer has.
pub(super) struct Claim {
    name: String,
    id: String,
    folder: PathBuf,
    lock_path: PathBuf,
    /// Holds the lock until it is dropped.
    _lock: StoredFile,
}

impl Claim {
    /// Claims a name beside `target`, whose parent must exist.
    pub(super) fn new(target: &Path) -> Result<Self> {
        let name = target_name(target)?;
        let folder = parent(target).to_path_buf();
        for number in 0.. {
            let id = format!("{}-{number}", std::process::id());
            let lock_path = folder.join(format!(".{name}.tmp-{id}{LOCK_SUFFIX}"));
            match StoredFile::create(&lock_path) {
                Ok(lock) => {
                    lock.lock();
                    return Ok(Self { name, id, folder, lock_path, _lock: lock });
                }
                Err(error) if already_exists(&error) => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// Where the new version is written.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.join(format!(".{}.tmp-{}", self.name, self.id))
    }

    /// Where the old version goes while it is replaced.
    pub(super) fn aside(&self) -> PathBuf {
        self.folder.join(format!(".{}.old-{}", self.name, self.id))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next writer.
        let _ = operations::remove_file(&self.lock_path);
    }
}

/// The last component of the target's path.
pub(super) fn target_name(target: &Path) -> Result<String> {
    match target.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::io("create", target)(io::Error::from(io::ErrorKind::InvalidInput))),
    }
}

/// Creates a hidden file beside `target`, whose parent must exist.
pub(super) fn temporary_file(target: &Path) -> Result<StoredFile> {
    let name = target_name(target)?;
    for number in 0.. {
        let path = parent(target).join(format!(".{name}.tmp-{}-{number}", std::process::id()));
        match StoredFile::create(&path) {
            Ok(file) => {
                file.lock();
                return Ok(file);
            }
            Err(error) if already_exists(&error) => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the numbers do not end")
}

fn already_exists(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
}

/// Hidden siblings of `target` with the given marker (`tmp` or `old`), in the order of their names.
fn siblings(target: &Path, marker: &str) -> Result<Vec<PathBuf>> {
    let folder = parent(target);
    let prefix = format!(".{}.{marker}-", target_name(target)?);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", folder))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a living process holds the lock of this file. A missing file is held by nobody.
fn is_held(lock_path: &Path) -> bool {
    let Ok(file) = File::open(lock_path) else { return false };
    // Without locks on this file system nothing can be known, and the file counts as held.
    file.try_lock().is_err()
}

/// The lock file of a temporary or old folder.
fn lock_of(sibling: &Path) -> PathBuf {
    let name = sibling.file_name().unwrap_or_default().to_string_lossy();
    let name = match name.rfind(".old-") {
        Some(at) => format!("{}.tmp-{}", &name[..at], &name[at + 5..]),
        None => name.into_owned(),
    };
    sibling.with_file_name(format!("{name}{LOCK_SUFFIX}"))
}

/// Removes the temporary files that dead writers of the file `target` left.
pub(super) fn remove_stale_files(target: &Path) -> Result<()> {
    for path in siblings(target, "tmp")? {
        if path.is_file() && !is_held(&path) {
            operations::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes the temporary folders that dead writers of the folder `target` left.
pub(super) fn remove_stale_folders(target: &Path) -> Result<()> {
    let (locks, folders): (Vec<_>, Vec<_>) =
        siblings(target, "tmp")?.into_iter().partition(|path| path.to_string_lossy().ends_with(LOCK_SUFFIX));
    for folder in folders {
        if folder.is_dir() && !is_held(&lock_of(&folder)) {
            operations::remove_directory(&folder)?;
        }
    }
    for lock in locks {
        if !is_held(&lock) {
            operations::remove_file(&lock)?;
        }
    }
    Ok(())
}

/// What was found about a replacement that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    /// There is none, or what a dead process left of it is repaired.
    Settled,
    /// A living process is in the middle of it.
    Running,
}

/// Ends what dead processes left of replacing `target`: puts the old version back if no version is in
/// place, and removes it otherwise.
pub(super) fn settle(target: &Path) -> Result<Replacement> {
    let mut state = Replacement::Settled;
    for aside in siblings(target, "old")? {
        if is_held(&lock_of(&aside)) {
            state = Replacement::Running;
        } else if target.exists() {
            operations::remove_directory(&aside)?;
        } else {
            operations::rename(&aside, target)?;
        }
    }
    Ok(state)
}
