//! JSON files, written whole and read with errors that point at the place.

use super::atomic_file;
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Larger JSON files than this are refused: a configuration is small, and its size is not to be believed.
const MAX_BYTES: u64 = 512 << 20;

/// Writes a value as indented JSON with a final line break, atomically.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = to_bytes(path, value)?;
    atomic_file(path, |writer| writer.write_all(&bytes).map_err(Error::io("write", path)))
}

/// The bytes that [`write_json`] writes.
pub(super) fn to_bytes(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|error| Error::io("write", path)(io::Error::from(error)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a value from a JSON file; an error tells path, line and column.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let size = fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MAX_BYTES {
        return Err(Error::data(
            path,
            format!("has {size} bytes, more than a JSON file may have here ({MAX_BYTES})"),
            "check that the path names the right file",
        ));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| malformed(path, &error))
}

fn malformed(path: &Path, error: &serde_json::Error) -> Error {
    let hint = if error.is_data() {
        "compare the file with its description; a value has another type or name than expected"
    } else {
        "the file is not complete or not JSON; write or download it again"
    };
    // serde_json's own text ends with line and column.
    Error::data(path, error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value.json");
        let value = BTreeMap::from([("b".to_owned(), 0.1), ("a".to_owned(), 1e-30)]);
        write_json(&path, &value).unwrap();
        assert_eq!(read_json::<BTreeMap<String, f64>>(&path).unwrap(), value);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 1e-30,\n  \"b\": 0.1\n}\n");
    }

    #[test]
    fn an_error_tells_path_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.json");
        fs::write(&path, "{\n  \"a\": }").unwrap();
        let message = read_json::<serde_json::Value>(&path).unwrap_err().to_string();
        assert!(message.contains("broken.json") && message.contains("line 2 column 8"), "{message}");
        fs::write(&path, "{\"a\": \"text\"}").unwrap();
        let message = read_json::<BTreeMap<String, u32>>(&path).unwrap_err().to_string();
        assert!(message.contains("line 1 column 12"), "{message}");
    }

    #[test]
    fn a_deep_nest_is_an_error_and_no_overflow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep.json");
        fs::write(&path, "[".repeat(1_000_000)).unwrap();
        assert!(read_json::<serde_json::Value>(&path).is_err());
    }

    #[test]
    fn a_missing_file_is_an_error_of_the_system() {
        let error = read_json::<u32>(Path::new("no/such/file.json")).unwrap_err();
        assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
    }
}
