//! How an artefact comes to be.

use super::artefact::{Artefact, FORMAT, FileRecord, MANIFEST, Manifest, VERSION, read_manifest};
use super::digest::digest_file;
use super::json;
use super::operations::{self, StoredFile, parent};
use super::temporary::{self, Claim, Replacement};
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes the files of an artefact into a hidden sibling of its folder and puts them in place all at once.
///
/// Dropped without [`ArtefactWriter::commit`], it removes what was written.
pub struct ArtefactWriter {
    target: PathBuf,
    temporary: PathBuf,
    /// Dropped after the temporary folder is gone, so that nobody takes the folder for a dead one.
    claim: Claim,
}

impl ArtefactWriter {
    /// Prepares to write the artefact `target`; what dead processes left of it is removed first.
    ///
    /// # Errors
    /// When `target` exists and holds files that were not written as an artefact: they are never removed.
    pub fn create(target: &Path) -> Result<Self> {
        operations::create_parents(parent(target))?;
        temporary::settle(target)?;
        temporary::remove_stale_folders(target)?;
        check_replaceable(target)?;
        let claim = Claim::new(target)?;
        let temporary = claim.temporary();
        operations::create_directory(&temporary)?;
        Ok(Self { target: target.to_path_buf(), temporary, claim })
    }

    /// The folder to write into. Anything may write there; [`ArtefactWriter::commit`] syncs it.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// A new file in the folder, to be flushed by the caller when it is complete.
    pub fn create_file(&self, name: &str) -> Result<BufWriter<StoredFile>> {
        let path = self.temporary.join(name);
        operations::create_parents(parent(&path))?;
        Ok(BufWriter::new(StoredFile::create(&path)?))
    }

    /// Completes the artefact: syncs every file, writes the manifest with `about`, and moves the folder into
    /// place. An artefact that is there already is replaced.
    pub fn commit(self, about: &impl Serialize) -> Result<Artefact> {
        let about = serde_json::to_value(about)
            .map_err(|error| Error::io("write", self.target.join(MANIFEST))(error.into()))?;
        let files = sync_tree(&self.temporary)?;
        let manifest = Manifest { format: FORMAT.into(), version: VERSION, about, files };
        write_manifest(&self.temporary.join(MANIFEST), &manifest)?;
        operations::sync_directory(&self.temporary)?;
        self.put_in_place()?;
        match Artefact::open(&self.target)? {
            Some(artefact) => Ok(artefact),
            None => Err(Error::data(
                &self.target,
                "was removed by another process right after it was written",
                "let only one process write to a folder",
            )),
        }
    }

    fn put_in_place(&self) -> Result<()> {
        check_replaceable(&self.target)?;
        if !self.target.exists() {
            operations::rename(&self.temporary, &self.target)?;
            return operations::sync_directory(parent(&self.target));
        }
        let aside = self.claim.aside();
        operations::rename(&self.target, &aside)?;
        if let Err(error) = operations::rename(&self.temporary, &self.target) {
            // If even this fails, the next reader puts the old version back.
            let _ = operations::rename(&aside, &self.target);
            return Err(error);
        }
        operations::sync_directory(parent(&self.target))?;
        // The new version is safe; an old one that cannot be removed now is removed by the next writer.
        let _ = operations::remove_directory(&aside);
        Ok(())
    }
}

/// Removes an artefact, if there is one.
///
/// # Errors
/// A folder with files of others, as [`ArtefactWriter::create`] refuses to replace it.
pub fn remove_artefact(target: &Path) -> Result<()> {
    check_replaceable(target)?;
    if target.exists() { operations::remove_directory(target) } else { Ok(()) }
}

impl Drop for ArtefactWriter {
    fn drop(&mut self) {
        if self.temporary.exists() {
            // What cannot be removed now is removed by the next writer.
            let _ = operations::remove_directory(&self.temporary);
        }
    }
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<()> {
    let bytes = json::to_bytes(path, manifest)?;
    let mut file = StoredFile::create(path)?;
    file.write_all(&bytes).map_err(Error::io("write", path))?;
    file.sync()
}

/// Syncs the files and folders below `root` and records the files.
fn sync_tree(root: &Path) -> Result<BTreeMap<String, FileRecord>> {
    let mut records = BTreeMap::new();
    for (name, path) in files_below(root)? {
        if name == MANIFEST {
            return Err(Error::io("create", path)(std::io::ErrorKind::AlreadyExists.into()));
        }
        operations::sync_file(&path)?;
        let bytes = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        records.insert(name, FileRecord { bytes, blake3: digest_file(&path)? });
    }
    for folder in folders_below(root)? {
        operations::sync_directory(&folder)?;
    }
    Ok(records)
}

/// All files below `root` by relative name with `/`. Symbolic links are refused: they would point outside.
fn files_below(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for folder in std::iter::once(root.to_path_buf()).chain(folders_below(root)?) {
        for (path, kind) in entries(&folder)? {
            if kind.is_file() {
                files.insert(relative_name(root, &path)?, path);
            } else if !kind.is_dir() {
                return Err(Error::data(
                    &path,
                    "is neither a file nor a folder",
                    "write a copy of the file instead",
                ));
            }
        }
    }
    Ok(files)
}

/// All folders below `root`, without `root` itself.
fn folders_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for (path, kind) in entries(&folder)? {
            if kind.is_dir() {
                found.push(path.clone());
                waiting.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, fs::FileType)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        found.push((entry.path(), entry.file_type().map_err(Error::io("read", entry.path()))?));
    }
    Ok(found)
}

fn relative_name(root: &Path, path: &Path) -> Result<String> {
    let components: Option<Vec<&str>> = path
        .strip_prefix(root)
        .ok()
        .and_then(|relative| relative.components().map(|component| component.as_os_str().to_str()).collect());
    match components {
        Some(components) => Ok(components.join("/")),
        None => Err(Error::data(path, "has a name that is not Unicode", "give the file another name")),
    }
}

/// Refuses a target that holds anything but a former artefact: replacing it would remove the user's files.
fn check_replaceable(target: &Path) -> Result<()> {
    let hint = "name another folder, or move these files away yourself";
    if !target.exists() {
        return match temporary::settle(target)? {
            Replacement::Settled => Ok(()),
            Replacement::Running => Err(Error::data(
                target,
                "is being replaced by another process",
                "wait until that one has ended",
            )),
        };
    }
    if !target.is_dir() {
        return Err(Error::data(target, "is a file where a folder is to be written", hint));
    }
    let files = files_below(target)?;
    if files.is_empty() {
        return Ok(());
    }
    let manifest = target.join(MANIFEST);
    if !files.contains_key(MANIFEST) {
        return Err(Error::data(target, "holds files that are no artefact of this program", hint));
    }
    let known = read_manifest(&manifest)?.files;
    match files.keys().find(|name| *name != MANIFEST && !known.contains_key(*name)) {
        Some(name) => {
            Err(Error::data(target, format!("holds the file '{name}', which somebody added"), hint))
        }
        None => Ok(()),
    }
}
