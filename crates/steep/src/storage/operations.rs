//! The file operations that all writers are made of. Each is a place where a fault can be injected.

use super::faults;
use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file being written.
#[derive(Debug)]
pub struct StoredFile {
    file: File,
    path: PathBuf,
}

impl StoredFile {
    /// Creates a file that must not exist yet.
    pub(super) fn create(path: &Path) -> Result<Self> {
        faults::step("create", path)
            .and_then(|()| File::create_new(path))
            .map(|file| Self { file, path: path.to_path_buf() })
            .map_err(Error::io("create", path))
    }

    /// Waits until the content is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        faults::step("sync", &self.path)
            .and_then(|()| self.file.sync_all())
            .map_err(Error::io("write", &self.path))
    }

    /// Marks the file as belonging to a living process. Where the file system has no locks, nothing happens.
    pub(super) fn lock(&self) {
        let _ = self.file.try_lock();
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for StoredFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        faults::step("write", &self.path)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Creates a folder whose parent exists and which must not exist yet.
pub(super) fn create_directory(path: &Path) -> Result<()> {
    faults::step("create directory", path)
        .and_then(|()| fs::create_dir(path))
        .map_err(Error::io("create", path))
}

/// Creates a folder and its parents where they are missing.
pub(super) fn create_parents(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    faults::step("create directory", path)
        .and_then(|()| fs::create_dir_all(path))
        .map_err(Error::io("create", path))
}

/// Waits until the content of an existing file is on the disk.
pub(super) fn sync_file(path: &Path) -> Result<()> {
    faults::step("sync", path)
        // Windows syncs only what was opened for writing; elsewhere a read-only file must be synced too.
        .and_then(|()| OpenOptions::new().read(true).write(cfg!(windows)).open(path))
        .and_then(|file| file.sync_all())
        .map_err(Error::io("write", path))
}

/// Waits until a folder's entries (names, renames, removals) are on the disk.
pub fn sync_directory(path: &Path) -> Result<()> {
    faults::step("sync directory", path).and_then(|()| sync_entries(path)).map_err(Error::io("write", path))
}

#[cfg(unix)]
fn sync_entries(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Other systems cannot open a folder for syncing; their renames are journalled.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the Unix version can fail")]
fn sync_entries(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Gives a file or folder another name in the same file system.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    faults::step("rename", to).and_then(|()| fs::rename(from, to)).map_err(Error::io("rename", to))
}

/// Removes a file.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    faults::step("remove", path).and_then(|()| fs::remove_file(path)).map_err(Error::io("remove", path))
}

/// Removes a folder with everything in it. Symbolic links are removed, not followed.
pub(super) fn remove_directory(path: &Path) -> Result<()> {
    faults::step("remove", path).and_then(|()| fs::remove_dir_all(path)).map_err(Error::io("remove", path))
}

/// The folder in which a path lies.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
