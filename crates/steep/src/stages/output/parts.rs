//! The finished shards of an output that is not whole yet.

use super::format::OutputFormat;
use crate::error::{Error, Result};
use crate::storage::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What was done with some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows written.
    pub rows: u64,
    /// Tokens of the texts, special ones included.
    pub tokens: u64,
    /// Texts that were too long.
    pub truncated: u64,
    /// Tokens that were cut off those.
    pub dropped_tokens: u64,
    /// Texts that are missing or blank; they are treated as the empty text.
    pub empty_texts: u64,
    /// Texts that became the same tokens as another text read with them, whose result they were given.
    #[serde(default)]
    pub repeated_texts: u64,
    /// Seconds spent, those of stopped shards left out.
    pub seconds: f64,
}

impl RowCounts {
    /// Adds what was done with other rows.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.tokens += other.tokens;
        self.truncated += other.truncated;
        self.dropped_tokens += other.dropped_tokens;
        self.empty_texts += other.empty_texts;
        self.repeated_texts += other.repeated_texts;
        self.seconds += other.seconds;
    }
}

/// What is kept beside a finished part; it is written last.
#[derive(Debug, Serialize, Deserialize)]
struct PartRecord {
    key: String,
    bytes: u64,
    counts: RowCounts,
}

/// The parts of one output.
pub(super) struct Parts {
    folder: PathBuf,
    extension: &'static str,
    key: String,
}

impl Parts {
    /// Opens the folder `<output>.parts`; parts of other inputs or settings are removed.
    pub(super) fn open(output: &Path, format: OutputFormat, key: &str) -> Result<Self> {
        let mut name = output.file_name().unwrap_or_default().to_os_string();
        name.push(".parts");
        let folder = output.with_file_name(name);
        let parts = Self { folder, extension: format.part_extension(), key: key.to_owned() };
        if parts.are_of_another_key()? {
            parts.remove()?;
        }
        Ok(parts)
    }

    /// Where a part lies.
    pub(super) fn path(&self, index: usize) -> PathBuf {
        self.folder.join(format!("part-{index:05}.{}", self.extension))
    }

    fn record_path(&self, index: usize) -> PathBuf {
        self.folder.join(format!("part-{index:05}.json"))
    }

    /// What a part holds, if it is finished and whole.
    pub(super) fn finished(&self, index: usize) -> Result<Option<RowCounts>> {
        let Ok(metadata) = fs::metadata(self.path(index)) else { return Ok(None) };
        let path = self.record_path(index);
        if !path.is_file() {
            return Ok(None);
        }
        let record: PartRecord = read_json(&path)?;
        let is_whole = record.key == self.key && record.bytes == metadata.len();
        Ok(is_whole.then_some(record.counts))
    }

    /// Marks a part as finished.
    pub(super) fn record(&self, index: usize, counts: RowCounts) -> Result<()> {
        let path = self.path(index);
        let bytes = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        write_json(&self.record_path(index), &PartRecord { key: self.key.clone(), bytes, counts })
    }

    fn are_of_another_key(&self) -> Result<bool> {
        for path in self.files()? {
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            let other = |record: PartRecord| record.key != self.key;
            if is_record && read_json(&path).map_or(true, other) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the parts, their records, and the folder if nothing else is in it.
    pub(super) fn remove(&self) -> Result<()> {
        for path in self.files()? {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            // Files of somebody else stay where they are.
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => result.map_err(Error::io("remove", &self.folder)),
        }
    }

    /// Parts and records, and what a killed process left half written.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.folder)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &self.folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("part-") || name.starts_with(".part-") {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(parts: &Parts, index: usize, content: &str) {
        fs::create_dir_all(&parts.folder).unwrap();
        fs::write(parts.path(index), content).unwrap();
    }

    #[test]
    fn a_part_counts_only_with_its_record_and_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("a.csv");
        let parts = Parts::open(&output, OutputFormat::Csv, "key").unwrap();
        assert!(parts.finished(0).unwrap().is_none());
        put(&parts, 0, "rows");
        assert!(parts.finished(0).unwrap().is_none());
        let counts = RowCounts { rows: 3, ..RowCounts::default() };
        parts.record(0, counts).unwrap();
        assert_eq!(parts.finished(0).unwrap(), Some(counts));
        put(&parts, 0, "row");
        assert!(parts.finished(0).unwrap().is_none());
    }

    #[test]
    fn parts_of_another_key_are_removed_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("a.csv");
        let parts = Parts::open(&output, OutputFormat::Csv, "key").unwrap();
        put(&parts, 0, "rows");
        parts.record(0, RowCounts::default()).unwrap();
        fs::write(parts.folder.join("notes.txt"), "mine").unwrap();
        assert!(Parts::open(&output, OutputFormat::Csv, "key").unwrap().finished(0).unwrap().is_some());
        let other = Parts::open(&output, OutputFormat::Csv, "other key").unwrap();
        assert!(other.finished(0).unwrap().is_none() && !parts.path(0).exists());
        assert!(parts.folder.join("notes.txt").is_file());
    }
}
