//! Parameters into `config.json` and `model.safetensors`, as transformers lays them out.

use crate::architectures;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::parameters::Parameter;
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Writes both files into an existing folder; tied tensors are written once, and what was attached is not.
pub(crate) fn save(folder: &Path, model: &Model) -> Result<()> {
    let class = model.config.model_type.class_name(model.head_kind());
    let config = serde_json::to_string_pretty(&model.config.to_json(&class));
    let config = config.expect("a config is plain JSON");
    let path = crate::Config::file(folder);
    std::fs::write(&path, config + "\n").map_err(Error::io("write", &path))?;

    let path = folder.join("model.safetensors");
    let prefix = format!("{}.", architectures::of(model.config.model_type).prefix());
    let bare = model.head_kind().is_bare();
    let tensors = model.own_parameters().iter().map(|parameter| {
        let name = parameter.spec.name.as_str();
        let name = if bare { name.strip_prefix(&prefix).unwrap_or(name) } else { name };
        (name.to_owned(), parameter)
    });
    write(&path, tensors)
}

/// Writes parameters under these names into one file.
pub(crate) fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a Parameter)>,
) -> Result<()> {
    let tensors = tensors.into_iter().map(|(name, parameter)| (name, Stored::of(parameter)));
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::io("write", path)(source),
        other => Error::Weights { path: path.into(), problem: other.to_string(), hint: String::new() },
    })
}

/// A parameter as little-endian bytes.
struct Stored {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn of(parameter: &Parameter) -> Self {
        let bytes = parameter
            .value
            .with_slice(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect());
        Self { shape: parameter.spec.shape.clone(), bytes }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
