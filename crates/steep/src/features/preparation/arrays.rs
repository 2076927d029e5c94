//! The tables of a preparation in a safetensors file, beside what JSON holds.

use crate::error::{Error, Result};
use crate::storage::atomic_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Takes a table's name and the table; saving reads it, loading fills it.
pub(super) type Visit<'a> = dyn FnMut(&str, &mut Vec<f64>) + 'a;

/// Writes tables by name.
pub(super) fn save(path: &Path, tables: &BTreeMap<String, Vec<f64>>) -> Result<()> {
    let bytes: Vec<(&String, Vec<u8>, usize)> = tables
        .iter()
        .map(|(name, table)| {
            (name, table.iter().flat_map(|value| value.to_le_bytes()).collect(), table.len())
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, bytes, length)| Ok((name.as_str(), TensorView::new(Dtype::F64, vec![*length], bytes)?)));
    let written = views
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|error| Error::model(path.display().to_string(), error.to_string(), "free some memory"))?;
    atomic_file(path, |file| file.write_all(&written).map_err(Error::io("write", path)))
}

/// Reads all tables by name.
pub(super) fn load(path: &Path) -> Result<BTreeMap<String, Vec<f64>>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |problem: String| Error::model(path.display().to_string(), problem, "run classify again");
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut tables = BTreeMap::new();
    for (name, tensor) in tensors.iter() {
        if tensor.dtype() != Dtype::F64 {
            return Err(damaged(format!("`{name}` is of type {:?}, expected F64", tensor.dtype())));
        }
        let values = tensor.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
        tables.insert(name.to_owned(), values.collect());
    }
    Ok(tables)
}
