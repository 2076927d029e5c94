//! A matrix from NumPy's array format.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::storage::digest_file;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// A header that is longer is not believed; NumPy's own limit is 10,000.
const MAX_HEADER_BYTES: usize = 65_536;

pub(super) fn is_npy(source: &str) -> bool {
    Path::new(source).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// What names the file's content.
pub(super) fn digest(source: &str) -> Result<String> {
    digest_file(Path::new(source))
}

/// Reads an array `[rows, columns]` of 32- or 64-bit floats in C order, `limit` rows at most.
pub(super) fn read(source: &str, limit: Option<u64>) -> Result<DenseMatrix> {
    let path = Path::new(source);
    let file = File::open(path).map_err(Error::io("read", path))?;
    let size = file.metadata().map_err(Error::io("read", path))?.len();
    let mut file = BufReader::new(file);
    let fault =
        |problem: String| Error::data(path, problem, "save the array again with numpy.save, as float32");
    let (text, header_bytes) = header(&mut file, path)?;
    let shape = Shape::parse(&text).map_err(&fault)?;
    let bytes = shape.rows.checked_mul(shape.columns).and_then(|count| count.checked_mul(shape.item as u64));
    if bytes.and_then(|bytes| bytes.checked_add(header_bytes)) != Some(size) {
        return Err(fault(format!("has {size} bytes, which do not fit the shape in its header, {text}")));
    }
    let rows = limit.map_or(shape.rows, |limit| shape.rows.min(limit));
    let mut bytes = vec![0; (rows * shape.columns) as usize * shape.item];
    file.read_exact(&mut bytes).map_err(Error::io("read", path))?;
    let values = if shape.item == 4 {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    } else {
        bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
    };
    DenseMatrix::new(rows as usize, shape.columns as usize, values)
}

/// The header's text and the number of bytes before the values.
fn header(file: &mut impl Read, path: &Path) -> Result<(String, u64)> {
    let mut start = [0; 8];
    let fault = |problem: &str| Error::data(path, problem, "give a file that numpy.save wrote");
    file.read_exact(&mut start).map_err(|_| fault("is no array of NumPy"))?;
    if &start[..6] != b"\x93NUMPY" {
        return Err(fault("is no array of NumPy"));
    }
    // Version 1 counts the header in two bytes, later ones in four.
    let wide = start[6] > 1;
    let mut count = [0; 4];
    let counted = if wide { &mut count[..] } else { &mut count[..2] };
    file.read_exact(counted).map_err(Error::io("read", path))?;
    let length = u32::from_le_bytes(count) as usize;
    if length > MAX_HEADER_BYTES {
        return Err(fault("has a header that is too long"));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(Error::io("read", path))?;
    let text = String::from_utf8(text).map_err(|_| fault("has a damaged header"))?;
    Ok((text.trim().to_owned(), (if wide { 12 } else { 10 }) + length as u64))
}

struct Shape {
    rows: u64,
    columns: u64,
    /// Bytes of a value.
    item: usize,
}

impl Shape {
    /// From a dictionary as Python prints it.
    fn parse(header: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let (_, rest) = header.split_once(&format!("'{key}':"))?;
            Some(rest.trim_start())
        };
        let damaged = || format!("has the header {header}, which cannot be read");
        let kind = value("descr").ok_or_else(damaged)?;
        let item = match kind.get(..5) {
            Some("'<f4'") => 4,
            Some("'<f8'") => 8,
            _ => return Err(format!("holds values of type {}", kind.split(',').next().unwrap_or(kind))),
        };
        if !value("fortran_order").ok_or_else(damaged)?.starts_with("False") {
            return Err("is in Fortran's order".into());
        }
        let shape =
            value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or_else(damaged)?.0;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes: Vec<u64> = sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| damaged())?;
        match sizes[..] {
            [rows, columns] => Ok(Self { rows, columns, item }),
            _ => Err(format!("has the shape ({shape}), and not rows and columns")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, header: &str, values: &[u8]) -> String {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(values);
        let path = folder.join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn singles_and_doubles_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }   \n";
        let values: Vec<u8> = (0..6).flat_map(|value| f64::from(value).to_le_bytes()).collect();
        let source = put(folder.path(), header, &values);
        assert_eq!(read(&source, None).unwrap().values(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read(&source, Some(2)).unwrap().rows(), 2);
        let values: Vec<u8> = (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect();
        let source = put(folder.path(), &header.replace("f8", "f4"), &values);
        assert_eq!(read(&source, None).unwrap().row(2), [4.0, 5.0]);
    }

    #[test]
    fn what_is_no_matrix_of_floats_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n";
        let refused = |header: &str, bytes: usize| {
            let source = put(folder.path(), header, &vec![0; bytes]);
            let error = read(&source, None).unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        };
        assert!(read(&put(folder.path(), good, &[0; 8]), None).is_ok());
        refused(good, 7);
        refused(good, 12);
        refused(&good.replace("<f4", "|O"), 8);
        refused(&good.replace("False", "True"), 8);
        refused(&good.replace("(1, 2)", "(2,)"), 8);
        refused(&good.replace("(1, 2)", "(9223372036854775807, 9223372036854775807)"), 8);
        refused("", 8);
        let path = folder.path().join("b.npy");
        std::fs::write(&path, b"PK").unwrap();
        assert!(read(path.to_str().unwrap(), None).is_err());
    }
}
