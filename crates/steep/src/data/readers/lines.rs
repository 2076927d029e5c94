//! The lines of a file that are not blank.

use super::ROW_BYTES;
use super::bytes::{Bytes, open_bytes, read_fault};
use crate::data::fault::row_fault;
use crate::error::Result;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// What to do about bytes that are not UTF-8.
pub(super) const UTF8_HINT: &str = "save the file as UTF-8 (for example `iconv -f WINDOWS-1252 -t UTF-8`)";

/// Reads line by line, counting lines and those of them that are rows.
pub(super) struct Lines {
    path: Arc<Path>,
    bytes: Bytes,
    buffer: Vec<u8>,
    line: u64,
    row: u64,
}

impl Lines {
    pub(super) fn open(path: &Arc<Path>) -> Result<Self> {
        Ok(Self { path: path.clone(), bytes: open_bytes(path)?, buffer: Vec::new(), line: 0, row: 0 })
    }

    /// The number of the row read last, counted from 1.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// The number of the line read last, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next line that is not blank, without its line end.
    pub(super) fn next_row(&mut self) -> Result<Option<&str>> {
        while self.read_line()? {
            if !self.buffer.trim_ascii().is_empty() {
                self.row += 1;
                return self.checked().map(Some);
            }
        }
        Ok(None)
    }

    fn read_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        let mut limited = self.bytes.by_ref().take(ROW_BYTES as u64 + 1);
        let read =
            limited.read_until(b'\n', &mut self.buffer).map_err(|error| read_fault(&self.path, error))?;
        self.line += 1;
        if read > ROW_BYTES {
            let problem = format!("line {} is longer than {} MiB", self.line, ROW_BYTES >> 20);
            return Err(row_fault(&self.path, self.row + 1, problem, "break the text into lines"));
        }
        for end in [b'\n', b'\r'] {
            if self.buffer.last() == Some(&end) {
                self.buffer.pop();
            }
        }
        Ok(read > 0)
    }

    fn checked(&self) -> Result<&str> {
        std::str::from_utf8(&self.buffer).map_err(|error| {
            let problem = format!("line {} is not UTF-8 at its byte {}", self.line, error.valid_up_to() + 1);
            row_fault(&self.path, self.row, problem, UTF8_HINT)
        })
    }
}
