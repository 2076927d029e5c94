//! The safetensors files of a folder: one, or shards named by an index.

use crate::error::{Error, Result};
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Component, Path, PathBuf};

/// One mapped file and its header.
struct Mapped {
    path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    /// Where the tensors' bytes begin.
    data_start: usize,
}

/// All tensors of a folder by name.
pub(crate) struct WeightFiles {
    files: Vec<Mapped>,
    /// Which file holds which tensor.
    index: BTreeMap<String, usize>,
}

impl WeightFiles {
    /// Opens `model.safetensors`, or the shards of `model.safetensors.index.json`.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let mut weights = Self { files: Vec::new(), index: BTreeMap::new() };
        for path in weight_paths(folder)? {
            weights.add(path)?;
        }
        Ok(weights)
    }

    /// Opens one file, whatever its name.
    pub(crate) fn open_file(path: PathBuf) -> Result<Self> {
        let mut weights = Self { files: Vec::new(), index: BTreeMap::new() };
        weights.add(path)?;
        Ok(weights)
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let map = map_readonly(&file).map_err(Error::io("read", &path))?;
        let damaged = |problem: String| Error::Weights {
            path: path.clone(),
            problem,
            hint: "the file is damaged or incomplete; download it again".into(),
        };
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|error| damaged(error.to_string()))?;
        let names: BTreeSet<String> = metadata.tensors().into_keys().collect();
        for name in &names {
            if self.index.insert(name.clone(), self.files.len()).is_some() {
                return Err(damaged(format!("tensor {name} is in two shards")));
            }
        }
        // Eight bytes hold the header's length.
        self.files.push(Mapped { path, map, metadata, data_start: header + 8 });
        Ok(())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    fn info(&self, name: &str) -> (&Mapped, &TensorInfo) {
        let file = &self.files[self.index[name]];
        let info = file.metadata.info(name).expect("the index was made from the headers");
        (file, info)
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.info(name).1.shape
    }

    pub(crate) fn path(&self, name: &str) -> &Path {
        &self.info(name).0.path
    }

    /// The tensor as f32, in row-major order.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<f32>> {
        let (file, info) = self.info(name);
        let (start, end) = info.data_offsets;
        let bytes = &file.map[file.data_start + start..file.data_start + end];
        let values = match info.dtype {
            Dtype::F32 => convert(bytes, f32::from_le_bytes),
            Dtype::F16 => convert(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => convert(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F64 => convert(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            other => {
                return Err(Error::Weights {
                    path: file.path.clone(),
                    problem: format!("{name} has type {other:?}"),
                    hint: "weights must be F32, F16, BF16 or F64".into(),
                });
            }
        };
        if let Some(position) = values.iter().position(|value: &f32| !value.is_finite()) {
            return Err(Error::Weights {
                path: file.path.clone(),
                problem: format!("{name} has a value that is not finite, at position {position}"),
                hint: "the weights are damaged; take an earlier checkpoint".into(),
            });
        }
        Ok(values)
    }
}

fn convert<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
}

#[expect(unsafe_code, reason = "mapping a file is unsafe, for another process may change it")]
fn map_readonly(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: model files are written beside and renamed, never changed in place; the map is only
    // read, and every offset into it was checked against its length by the header's parser.
    unsafe { Mmap::map(file) }
}

/// One file, or the shards in the index's order.
fn weight_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        return shard_paths(folder, &index);
    }
    let pickled = folder.join("pytorch_model.bin").is_file();
    Err(Error::Weights {
        path: folder.to_path_buf(),
        problem: "there is no model.safetensors".into(),
        hint: if pickled {
            "pytorch_model.bin is a pickle, which can run code when read; convert it once with \
             transformers: AutoModel.from_pretrained(folder).save_pretrained(folder)"
                .into()
        } else {
            "name a folder that holds config.json and model.safetensors".into()
        },
    })
}

fn shard_paths(folder: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |problem: String| Error::Weights {
        path: index.to_path_buf(),
        problem,
        hint: "the index must map tensor names to files of the same folder".into(),
    };
    let text = std::fs::read_to_string(index).map_err(Error::io("read", index))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| wrong("weight_map is missing".into()))?;
    let mut names = BTreeSet::new();
    for file in map.values() {
        let file = file.as_str().ok_or_else(|| wrong(format!("{file} is not a file name")))?;
        if !is_plain_name(file) {
            return Err(wrong(format!("'{file}' is not a plain file name")));
        }
        names.insert(file.to_owned());
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// One ordinary component: nothing that could leave the folder.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let first = components.next();
    matches!(first, Some(Component::Normal(part)) if part == name) && components.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::is_plain_name;

    #[test]
    fn shard_names_cannot_leave_the_folder() {
        assert!(is_plain_name("model-00001-of-00003.safetensors"));
        for name in ["../x", "/etc/passwd", "a/b", "..", ".", "", "a/"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
