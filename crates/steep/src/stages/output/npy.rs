//! NumPy's array format, version 1.0: a header, then the values of `[rows, width]` in C order.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::delimited::vector_values;
use super::layout::Layout;
use super::writer::RowWriter;
use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use std::io::Write;
use std::path::Path;

/// Writes the bare values of the layout's last column, which is one of vectors.
pub(super) struct Values<'a, W: Write> {
    sink: W,
    column: usize,
    path: &'a Path,
}

impl<'a, W: Write> Values<'a, W> {
    pub(super) fn open(sink: W, layout: &Layout, path: &'a Path) -> Self {
        Self { sink, column: layout.schema.fields().len() - 1, path }
    }
}

impl<W: Write> RowWriter for Values<'_, W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let values = vector_values(batch.column(self.column));
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.sink.write_all(&bytes).map_err(Error::io("write", self.path))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.sink.flush().map_err(Error::io("write", self.path))
    }
}

/// The header of an array of 32-bit floats; a multiple of 64 bytes.
pub(super) fn header(rows: u64, width: usize) -> Vec<u8> {
    let mut description = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    // Magic (6), version (2), length (2), description, line break.
    let length = (10 + description.len() + 1).next_multiple_of(64);
    description.extend(std::iter::repeat_n(' ', length - 11 - description.len()));
    description.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(description.len() as u16).to_le_bytes());
    header.extend_from_slice(description.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        // numpy 2: io = BytesIO(); np.save(io, np.zeros((3, 2), "<f4")); io.getvalue()[:-24]
        let expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
        let header = header(3, 2);
        assert_eq!(header.len(), 128);
        assert_eq!(header[..expected.len()], expected[..]);
        assert!(header[expected.len()..127].iter().all(|byte| *byte == b' ') && header[127] == b'\n');
    }
}
