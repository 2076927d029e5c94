//! A single file, whole or not there.

use super::operations::{self, StoredFile, parent};
use super::temporary;
use crate::error::{Error, Result};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes a file so that at every moment either the old content or the complete new content is in place.
///
/// Missing parent folders are created. A symbolic link at `path` is replaced, not followed.
pub fn atomic_file(path: &Path, write: impl FnOnce(&mut BufWriter<StoredFile>) -> Result<()>) -> Result<()> {
    operations::create_parents(parent(path))?;
    temporary::remove_stale_files(path)?;
    let file = temporary::temporary_file(path)?;
    let temporary = file.path().to_path_buf();
    let result = fill(file, write).and_then(|()| operations::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to report; a leftover is removed by the next writer.
        let _ = operations::remove_file(&temporary);
    }
    result?;
    operations::sync_directory(parent(path))
}

fn fill(file: StoredFile, write: impl FnOnce(&mut BufWriter<StoredFile>) -> Result<()>) -> Result<()> {
    let mut writer = BufWriter::new(file);
    let result = write(&mut writer);
    if result.is_err() {
        // Dropping the buffer would try to write its rest.
        let _ = writer.into_parts();
        return result;
    }
    let path = writer.get_ref().path().to_path_buf();
    writer.flush().map_err(Error::io("write", &path))?;
    writer.get_ref().sync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::faults::tests::{FaultPlan, under};
    use std::fs;

    fn put(path: &Path, content: &str) -> Result<()> {
        atomic_file(path, |writer| writer.write_all(content.as_bytes()).map_err(Error::io("write", path)))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_fault_at_any_operation_leaves_the_old_or_the_new_content() {
        for mode in [FaultPlan::At, FaultPlan::From] {
            for k in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("a.json");
                put(&path, "old").unwrap();
                let (result, record) = under(mode(k), || put(&path, "new"));
                let content = fs::read_to_string(&path).unwrap();
                if record.refused == 0 {
                    assert_eq!((result.is_ok(), content.as_str()), (true, "new"));
                    assert!(k >= 5, "only {k} operations were seen");
                    break;
                }
                assert!(result.is_err(), "operation {k} failed unnoticed");
                assert!(content == "old" || content == "new", "operation {k}: {content}");
                put(&path, "third").unwrap();
                assert_eq!(names(folder.path()), ["a.json"], "leftovers after operation {k}");
            }
        }
    }

    #[test]
    fn an_error_of_the_caller_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/a.txt");
        let result = atomic_file(&path, |writer| {
            writer.write_all(b"half").map_err(Error::io("write", &path))?;
            Err(Error::Cancelled)
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert!(names(path.parent().unwrap()).is_empty());
    }

    #[test]
    fn content_is_synced_before_it_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (result, record) = under(FaultPlan::None, || put(&path, "x"));
        result.unwrap();
        let operations: Vec<&str> = record.operations.iter().map(|(operation, _)| *operation).collect();
        assert_eq!(operations, ["create", "write", "sync", "rename", "sync directory"]);
    }

    #[test]
    fn a_path_without_a_name_is_an_error() {
        assert!(put(Path::new("/"), "x").is_err());
        assert!(put(Path::new(".."), "x").is_err());
    }

    #[test]
    fn a_refusal_of_the_system_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        put(&file, "x").unwrap();
        let error = put(&file.join("below"), "y").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
