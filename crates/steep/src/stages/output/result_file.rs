//! What is known of a finished output file: `<output>.steep.json`, beside it.

use crate::error::{Error, Result};
use crate::stages::StageAbout;
use crate::storage::{FileRecord, digest_file, read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize)]
struct ResultRecord {
    about: StageAbout,
    file: FileRecord,
}

/// The report of the stage that wrote `output`, if its key is this one and the file is as it was written.
pub(in crate::stages) fn finished_file<R: for<'de> Deserialize<'de>>(
    output: &Path,
    key: &str,
) -> Result<Option<R>> {
    let record = record_path(output);
    if !(record.is_file() && output.is_file()) {
        return Ok(None);
    }
    let Ok(record) = read_json::<ResultRecord>(&record) else { return Ok(None) };
    if record.about.key != key || file_record(output)? != record.file {
        return Ok(None);
    }
    Ok(serde_json::from_value(record.about.report).ok())
}

/// Records what a stage wrote.
pub(in crate::stages) fn record_file(output: &Path, about: StageAbout) -> Result<()> {
    write_json(&record_path(output), &ResultRecord { about, file: file_record(output)? })
}

fn record_path(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".steep.json");
    output.with_file_name(name)
}

fn file_record(path: &Path) -> Result<FileRecord> {
    let bytes = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    Ok(FileRecord { bytes, blake3: digest_file(path)? })
}
