//! A complete folder of files, and how its completeness is known.

use super::digest::digest_file;
use super::json::read_json;
use super::temporary::{Replacement, settle};
use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The name of the file that is written last and makes a folder an artefact.
pub const MANIFEST: &str = "manifest.json";

/// The value of [`Manifest::format`] in every manifest written here.
pub(super) const FORMAT: &str = "steep artefact";

/// The version of the manifest's layout that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;

/// What `manifest.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `steep artefact`.
    pub format: String,
    /// The version of this layout.
    pub version: u32,
    /// What the writer says about the artefact: its kind, its inputs, its configuration.
    pub about: serde_json::Value,
    /// The files by relative path with `/` between components, the manifest itself left out.
    pub files: BTreeMap<String, FileRecord>,
}

/// What is known of one file of an artefact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 digest of the content in hexadecimal digits.
    pub blake3: String,
}

/// A complete artefact on the disk.
#[derive(Debug, Clone)]
pub struct Artefact {
    folder: PathBuf,
    manifest: Manifest,
}

impl Artefact {
    /// Opens the artefact in `folder`; `None` if there is none, or one that was never completed.
    ///
    /// Checks that every file has the size the manifest says; [`Artefact::verify`] checks the content too.
    /// If a process was killed while it replaced the artefact, the old one is put back first.
    ///
    /// # Errors
    /// When the manifest cannot be read, or a file is missing or has another size.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        if !folder.exists() {
            await_replacement(folder)?;
        }
        let path = folder.join(MANIFEST);
        if !path.is_file() {
            return Ok(None);
        }
        let manifest = read_manifest(&path)?;
        let artefact = Self { folder: folder.to_path_buf(), manifest };
        artefact.check_sizes()?;
        Ok(Some(artefact))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the writer said about the artefact.
    pub fn about<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.manifest.about).map_err(|error| {
            Error::data(
                self.folder.join(MANIFEST),
                format!("'about' is not as expected: {error}"),
                "it was written by another version or by another kind of work; delete the folder and make it again",
            )
        })
    }

    /// The path of one of the artefact's files, named as in the manifest.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        if self.manifest.files.contains_key(name) {
            return Ok(self.folder.join(name));
        }
        Err(self.damage(name, "is not in the manifest"))
    }

    /// Reads every file and compares its digest with the manifest's.
    pub fn verify(&self) -> Result<()> {
        for (name, record) in &self.manifest.files {
            if digest_file(&self.folder.join(name))? != record.blake3 {
                return Err(self.damage(name, "has another content than when it was written"));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<()> {
        for (name, record) in &self.manifest.files {
            match fs::metadata(self.folder.join(name)) {
                Ok(metadata) if !metadata.is_file() => return Err(self.damage(name, "is not a file")),
                Ok(metadata) if metadata.len() != record.bytes => {
                    let problem = format!("has {} bytes where {} were written", metadata.len(), record.bytes);
                    return Err(self.damage(name, &problem));
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(self.damage(name, "is missing"));
                }
                Err(error) => return Err(Error::io("read", self.folder.join(name))(error)),
            }
        }
        Ok(())
    }

    fn damage(&self, name: &str, problem: &str) -> Error {
        Error::data(
            self.folder.join(name),
            problem,
            format!("the folder is damaged; delete {} and run again to make it anew", self.folder.display()),
        )
    }
}

/// Reads a manifest and refuses names that would leave the folder.
pub(super) fn read_manifest(path: &Path) -> Result<Manifest> {
    let manifest: Manifest = read_json(path)?;
    let problem = if manifest.format != FORMAT {
        format!("has the format '{}' and not '{FORMAT}'", manifest.format)
    } else if manifest.version > VERSION {
        format!("has version {}; this program reads up to {VERSION}", manifest.version)
    } else if let Some(name) = manifest.files.keys().find(|name| !stays_inside(name)) {
        format!("names the file '{name}', which is outside its folder")
    } else {
        return Ok(manifest);
    };
    Err(Error::data(path, problem, "use another folder, or a newer version of the program"))
}

/// Whether a relative path has only plain components.
fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name).components().all(|component| matches!(component, Component::Normal(_)))
}

/// Repairs an interrupted replacement; lets a running one come to its end, which takes two renames.
fn await_replacement(folder: &Path) -> Result<()> {
    for _ in 0..40 {
        if folder.file_name().is_none() || settle(folder)? == Replacement::Settled {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ArtefactWriter;

    fn written(folder: &Path) -> PathBuf {
        let target = folder.join("corpus");
        let writer = ArtefactWriter::create(&target).unwrap();
        fs::write(writer.path().join("a.bin"), b"hello").unwrap();
        fs::create_dir(writer.path().join("1_Pooling")).unwrap();
        fs::write(writer.path().join("1_Pooling/config.json"), b"{}").unwrap();
        writer.commit(&serde_json::json!({"rows": 3})).unwrap();
        target
    }

    #[test]
    fn a_committed_artefact_opens_and_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let artefact = Artefact::open(&written(folder.path())).unwrap().unwrap();
        artefact.verify().unwrap();
        assert_eq!(artefact.about::<BTreeMap<String, u32>>().unwrap()["rows"], 3);
        let names: Vec<&String> = artefact.manifest().files.keys().collect();
        assert_eq!(names, ["1_Pooling/config.json", "a.bin"]);
        assert!(artefact.file("a.bin").unwrap().is_file());
        assert!(artefact.file("../a.bin").is_err());
    }

    #[test]
    fn a_folder_without_manifest_is_no_artefact() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Artefact::open(folder.path()).unwrap().is_none());
        assert!(Artefact::open(&folder.path().join("missing")).unwrap().is_none());
    }

    #[test]
    fn a_changed_size_is_found_on_opening_and_a_changed_byte_on_verifying() {
        let folder = tempfile::tempdir().unwrap();
        let target = written(folder.path());
        fs::write(target.join("a.bin"), b"hullo").unwrap();
        let error = Artefact::open(&target).unwrap().unwrap().verify().unwrap_err();
        assert!(error.to_string().contains("a.bin") && error.hint().is_some(), "{error}");
        fs::write(target.join("a.bin"), b"hell").unwrap();
        let error = Artefact::open(&target).unwrap_err();
        assert!(error.to_string().contains("has 4 bytes where 5 were written"), "{error}");
        fs::remove_file(target.join("a.bin")).unwrap();
        assert!(Artefact::open(&target).unwrap_err().to_string().contains("is missing"));
    }

    #[test]
    fn a_manifest_that_points_outside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../secret", "/etc/passwd", "", "a/../../b"] {
            let manifest = Manifest {
                format: FORMAT.into(),
                version: VERSION,
                about: serde_json::Value::Null,
                files: BTreeMap::from([(name.to_owned(), FileRecord { bytes: 0, blake3: String::new() })]),
            };
            fs::write(folder.path().join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
            assert!(Artefact::open(folder.path()).unwrap_err().to_string().contains("outside"), "{name}");
        }
    }
}
