//! Vectors in a NumPy file, mapped into memory.

use crate::error::{Error, Result};
use crate::text::map_readonly;
use memmap2::Mmap;
use std::ops::Range;
use std::path::Path;

/// Unit vectors `[rows, width]` on the disk.
pub struct Vectors {
    map: Mmap,
    /// Where the values begin, behind the file's header.
    start: usize,
    rows: usize,
    width: usize,
}

impl Vectors {
    /// Maps a `.npy` file of 32-bit floats that has this shape.
    ///
    /// # Errors
    /// A file that is not there or has another size.
    pub fn open(path: &Path, rows: usize, width: usize) -> Result<Self> {
        let map = map_readonly(path)?;
        let values = rows.checked_mul(width).and_then(|count| count.checked_mul(4));
        let start = values.and_then(|bytes| map.len().checked_sub(bytes));
        match start.filter(|start| map.starts_with(b"\x93NUMPY") && start % 64 == 0) {
            Some(start) => Ok(Self { map, start, rows, width }),
            None => Err(Error::data(
                path,
                format!("does not hold {rows} vectors of {width} dimensions"),
                "delete the index and make it anew",
            )),
        }
    }

    /// The number of vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Their dimensions.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Some rows, one after the other. The caller gives rows that exist.
    pub fn block(&self, rows: Range<usize>) -> Vec<f32> {
        let bytes = self.start + rows.start * self.width * 4..self.start + rows.end * self.width * 4;
        self.map[bytes].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}
