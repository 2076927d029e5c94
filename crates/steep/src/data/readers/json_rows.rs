//! JSON objects, one after the other: from lines or from one array.

use super::ROW_BYTES;
use super::bytes::{open_bytes, read_fault, read_whole};
use super::lines::Lines;
use crate::data::fault::row_fault;
use crate::error::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

/// The keys and values of an object in the order in which they are written.
pub(super) struct Object(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object such as {\"text\": \"…\", \"label\": \"…\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Object(entries))
    }
}

/// An object, the number of its row counted from 1, and the number of its bytes.
pub(super) struct JsonRow {
    pub(super) object: Object,
    pub(super) row: u64,
    pub(super) bytes: usize,
}

/// The objects of a file.
pub(super) enum JsonRows {
    /// One object a line.
    Lines(Arc<Path>, Lines),
    /// One array of objects.
    Array(ArrayRows),
}

impl JsonRows {
    pub(super) fn lines(path: &Arc<Path>) -> Result<Self> {
        Ok(Self::Lines(path.clone(), Lines::open(path)?))
    }

    /// A `.json` file has an array, but many hold one object a line.
    pub(super) fn array_or_lines(path: &Arc<Path>) -> Result<Self> {
        if first_visible_byte(path)? == Some(b'{') {
            Self::lines(path)
        } else {
            ArrayRows::open(path).map(Self::Array)
        }
    }

    pub(super) fn next_row(&mut self) -> Result<Option<JsonRow>> {
        match self {
            Self::Lines(path, lines) => next_line(path, lines),
            Self::Array(array) => array.next_row(),
        }
    }
}

fn next_line(path: &Path, lines: &mut Lines) -> Result<Option<JsonRow>> {
    let Some(text) = lines.next_row()? else { return Ok(None) };
    let (parsed, bytes) = (serde_json::from_str(text), text.len());
    let (row, line) = (lines.row(), lines.line());
    let object = parsed.map_err(|error| {
        let problem = format!("line {line} is not a JSON object: {}", without_line(&error));
        row_fault(path, row, problem, "write one complete object a line, or an array into a .json file")
    })?;
    Ok(Some(JsonRow { object, row, bytes }))
}

/// The parser's message with the column only: its line would be counted within the row.
fn without_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    format!("{message}, at column {}", error.column())
}

fn first_visible_byte(path: &Path) -> Result<Option<u8>> {
    let mut bytes = open_bytes(path)?;
    loop {
        let buffer = bytes.fill_buf().map_err(|error| read_fault(path, error))?;
        if let Some(byte) = buffer.iter().find(|byte| !byte.is_ascii_whitespace()) {
            return Ok(Some(*byte));
        }
        let seen = buffer.len();
        if seen == 0 {
            return Ok(None);
        }
        bytes.consume(seen);
    }
}

/// The objects of one array, parsed one at a time from the file's bytes.
pub(super) struct ArrayRows {
    path: Arc<Path>,
    bytes: Vec<u8>,
    at: usize,
    row: u64,
    closed: bool,
}

impl ArrayRows {
    fn open(path: &Arc<Path>) -> Result<Self> {
        let bytes =
            read_whole(path, ROW_BYTES, "write one object a line into a .jsonl file, which is streamed")?;
        let mut rows = Self { path: path.clone(), bytes, at: 0, row: 0, closed: false };
        match rows.visible() {
            None => {}
            Some(b'[') => rows.at += 1,
            Some(_) => {
                let hint = "write [{…}, {…}], or one object a line into a .jsonl file";
                return Err(Error::data(path, "the file does not hold an array of objects", hint));
            }
        }
        Ok(rows)
    }

    /// The next byte that is not white space.
    fn visible(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn fault(&self, problem: impl Into<String>) -> Error {
        row_fault(&self.path, self.row + 1, problem, "write an array of objects: [{…}, {…}]")
    }

    /// Steps to the next object; false at the end of the array.
    fn step(&mut self) -> Result<bool> {
        match self.visible() {
            None if self.closed || self.bytes.trim_ascii().is_empty() => return Ok(false),
            None => return Err(self.fault("the array is never closed")),
            Some(b']') => {
                self.at += 1;
                self.closed = true;
                return if self.visible().is_none() {
                    Ok(false)
                } else {
                    Err(self.fault("there is more after the array"))
                };
            }
            Some(b',') if self.row > 0 => self.at += 1,
            Some(_) if self.row > 0 => return Err(self.fault("a comma is missing before this object")),
            Some(_) => {}
        }
        Ok(true)
    }

    fn next_row(&mut self) -> Result<Option<JsonRow>> {
        if !self.step()? {
            return Ok(None);
        }
        let mut values = serde_json::Deserializer::from_slice(&self.bytes[self.at..]).into_iter::<Object>();
        let parsed = values.next();
        let bytes = values.byte_offset();
        match parsed {
            None => Err(self.fault("the array is never closed")),
            Some(Err(error)) => {
                Err(self.fault(format!("this is not a JSON object: {}", without_line(&error))))
            }
            Some(Ok(object)) => {
                self.at += bytes;
                self.row += 1;
                Ok(Some(JsonRow { object, row: self.row, bytes }))
            }
        }
    }
}
