//! Lists of numbers by name, in and out of safetensors.

use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;

/// Tensors to be written.
#[derive(Debug, Default)]
pub(crate) struct TensorWriter {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl TensorWriter {
    pub(crate) fn f32(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(name, Dtype::F32, shape, bytes);
    }

    pub(crate) fn f64(&mut self, name: &str, shape: &[usize], values: &[f64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(name, Dtype::F64, shape, bytes);
    }

    pub(crate) fn u32(&mut self, name: &str, shape: &[usize], values: &[u32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(name, Dtype::U32, shape, bytes);
    }

    pub(crate) fn i32(&mut self, name: &str, shape: &[usize], values: &[i32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(name, Dtype::I32, shape, bytes);
    }

    fn put(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) {
        self.tensors.insert(name.to_owned(), (dtype, shape.to_vec(), bytes));
    }

    /// The file's content, the same for the same tensors.
    pub(crate) fn to_bytes(&self, file: &str) -> Result<Vec<u8>> {
        let views = self
            .tensors
            .iter()
            .map(|(name, (dtype, shape, bytes))| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        views
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|error| Error::model(file, error.to_string(), "the fitted numbers cannot be written"))
    }
}

/// Tensors of a file. Errors say which tensor does not fit.
pub(crate) struct TensorReader<'a> {
    tensors: SafeTensors<'a>,
}

impl<'a> TensorReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        Ok(Self { tensors: SafeTensors::deserialize(bytes).map_err(|error| error.to_string())? })
    }

    /// The values of a tensor of this shape.
    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        Ok(words(self.bytes(name, Dtype::F32, shape)?).map(f32::from_le_bytes).collect())
    }

    pub(crate) fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
        let bytes = self.bytes(name, Dtype::F64, shape)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn u32(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>, String> {
        Ok(words(self.bytes(name, Dtype::U32, shape)?).map(u32::from_le_bytes).collect())
    }

    pub(crate) fn i32(&self, name: &str, shape: &[usize]) -> Result<Vec<i32>, String> {
        Ok(words(self.bytes(name, Dtype::I32, shape)?).map(i32::from_le_bytes).collect())
    }

    /// The first dimension of a tensor.
    pub(crate) fn length(&self, name: &str) -> Result<usize, String> {
        let tensor = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        tensor.shape().first().copied().ok_or_else(|| format!("`{name}` has no dimension"))
    }

    fn bytes(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], String> {
        let tensor = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        if tensor.dtype() == dtype && tensor.shape() == shape {
            return Ok(tensor.data());
        }
        let found = (tensor.dtype(), tensor.shape());
        Err(format!("`{name}` is {found:?}, expected {:?}", (dtype, shape)))
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.as_chunks::<4>().0.iter().copied()
}
