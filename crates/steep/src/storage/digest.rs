//! What a file's content is called.

use crate::error::{Error, Result};
use std::fs::File;
use std::path::Path;

/// The BLAKE3 digest of a file's content, as 64 hexadecimal digits.
pub fn digest_file(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(Error::io("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
}
