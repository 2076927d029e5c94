//! Every file operation of writing an artefact is made to fail once; the old or the new version must stand.

use super::faults::tests::{FaultPlan, under};
use super::{Artefact, ArtefactWriter, MANIFEST, remove_artefact};
use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::Path;

fn write_version(target: &Path, version: u32) -> Result<()> {
    let writer = ArtefactWriter::create(target)?;
    for name in ["weights.bin", "1_Pooling/config.json"] {
        let path = writer.path().join(name);
        let mut file = writer.create_file(name)?;
        file.write_all(&vec![version as u8; 10_000]).map_err(Error::io("write", &path))?;
        file.flush().map_err(Error::io("write", &path))?;
    }
    writer.commit(&version)?;
    Ok(())
}

/// The version in place, after checking that it is complete.
fn version(target: &Path) -> Option<u32> {
    let artefact = Artefact::open(target).unwrap()?;
    artefact.verify().unwrap();
    Some(artefact.about().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Fails the k-th operation for every k and returns how many operations there are.
fn sweep(mode: impl Fn(usize) -> FaultPlan, old: Option<u32>) -> usize {
    for k in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model");
        if let Some(old) = old {
            write_version(&target, old).unwrap();
        }
        let (result, record) = under(mode(k), || write_version(&target, 2));
        if old.is_some() && matches!(mode(k), FaultPlan::At(_)) {
            assert!(target.join(MANIFEST).is_file(), "operation {k}: other programs find nothing");
        }
        let found = version(&target);
        assert!(found == old || found == Some(2), "operation {k}: {found:?}");
        if result.is_ok() {
            assert_eq!(found, Some(2), "operation {k}");
        }
        write_version(&target, 3).unwrap();
        assert_eq!(version(&target), Some(3));
        assert_eq!(names(folder.path()), ["model"], "leftovers after operation {k}");
        if record.refused == 0 {
            assert!(result.is_ok());
            return k;
        }
    }
    unreachable!("the numbers do not end")
}

#[test]
fn a_passing_fault_leaves_a_complete_version() {
    assert!(sweep(FaultPlan::At, None) > 12);
    assert!(sweep(FaultPlan::At, Some(1)) > 14);
}

#[test]
fn a_disk_that_stays_full_leaves_a_complete_version() {
    sweep(FaultPlan::From, None);
    sweep(FaultPlan::From, Some(1));
}

#[test]
fn everything_is_synced_before_it_becomes_visible() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    let (result, record) = under(FaultPlan::None, || write_version(&target, 1));
    result.unwrap();
    let rename = record.operations.iter().position(|(operation, _)| *operation == "rename").unwrap();
    let synced = |name: &str| {
        record.operations[..rename]
            .iter()
            .any(|(operation, path)| operation.starts_with("sync") && path.to_string_lossy().ends_with(name))
    };
    for name in ["weights.bin", "1_Pooling/config.json", "1_Pooling", MANIFEST] {
        assert!(synced(name), "{name}");
    }
    let (after, path) = &record.operations[rename + 1];
    assert_eq!((*after, path.as_path()), ("sync directory", folder.path()));
    let manifest_created = record
        .operations
        .iter()
        .position(|(operation, path)| *operation == "create" && path.ends_with(MANIFEST));
    let last_data_sync = record.operations[..rename]
        .iter()
        .rposition(|(operation, path)| *operation == "sync" && !path.ends_with(MANIFEST));
    assert!(manifest_created > last_data_sync, "the manifest is not last");
}

#[test]
fn a_kill_between_the_two_renames_keeps_the_old_version() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    write_version(&target, 1).unwrap();
    fs::rename(&target, folder.path().join(".model.old-999999-0")).unwrap();
    fs::create_dir(folder.path().join(".model.tmp-999999-0")).unwrap();
    fs::write(folder.path().join(".model.tmp-999999-0.lock"), "").unwrap();
    assert_eq!(version(&target), Some(1));
    write_version(&target, 2).unwrap();
    assert_eq!(names(folder.path()), ["model"]);
}

#[test]
fn a_living_writer_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    let first = ArtefactWriter::create(&target).unwrap();
    fs::write(first.path().join("a"), "first").unwrap();
    write_version(&target, 2).unwrap();
    assert!(first.path().join("a").is_file());
    first.commit(&1).unwrap();
    assert_eq!(version(&target), Some(1));
    assert_eq!(names(folder.path()), ["model"]);
}

#[test]
fn an_uncommitted_artefact_disappears() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    let writer = ArtefactWriter::create(&target).unwrap();
    fs::write(writer.path().join("a"), "half").unwrap();
    drop(writer);
    assert!(names(folder.path()).is_empty());
    assert_eq!(version(&target), None);
}

#[test]
fn files_of_the_user_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("home");
    fs::create_dir(&target).unwrap();
    assert!(ArtefactWriter::create(&target).is_ok(), "an empty folder may be taken");
    fs::write(target.join("thesis.txt"), "years of work").unwrap();
    let refuse = || ArtefactWriter::create(&target).err().expect("refused");
    assert!(refuse().hint().is_some());
    fs::remove_file(target.join("thesis.txt")).unwrap();
    write_version(&target, 1).unwrap();
    fs::write(target.join("notes.txt"), "mine").unwrap();
    assert!(refuse().to_string().contains("notes.txt"));
    assert!(remove_artefact(&target).unwrap_err().to_string().contains("notes.txt"));
    assert!(target.join("notes.txt").is_file());
    fs::remove_file(target.join("notes.txt")).unwrap();
    remove_artefact(&target).unwrap();
    assert!(!target.exists());
    remove_artefact(&target).unwrap();
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_no_part_of_an_artefact() {
    let folder = tempfile::tempdir().unwrap();
    let writer = ArtefactWriter::create(&folder.path().join("model")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", writer.path().join("weights.bin")).unwrap();
    assert!(writer.commit(&1).is_err());
    assert!(names(folder.path()).is_empty());
}
