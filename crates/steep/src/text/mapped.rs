//! A file as a slice of bytes, without reading it.

use crate::error::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// Maps a file into memory for reading.
#[expect(unsafe_code, reason = "the system may change mapped bytes; see the comment")]
pub(crate) fn map_readonly(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // SAFETY: the bytes must not change while they are mapped. Only files of artefacts are mapped, which
    // are written once under another name and never changed in place; a replaced artefact gets new files,
    // and the mapping keeps the old ones. No value is invalid for the bytes read, and every offset taken
    // from them is checked at its use, so that a file changed by a foreign hand gives wrong tokens, or
    // ends the process if it is shortened, but is never read out of bounds.
    unsafe { Mmap::map(&file) }.map_err(Error::io("read", path))
}
