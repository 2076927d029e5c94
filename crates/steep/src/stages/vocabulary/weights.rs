//! Rows of new tokens in the files of a model's weights.
//!
//! The files are changed as files: every tensor keeps its type, its place and, but for the new rows, its bytes. So they
//! can be taken out again and leave the file that was there before.

use super::{VocabularyExtension, entries, is_weights};
use crate::error::{Error, Result};
use crate::text::vocabulary::NewToken;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorInfo};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

/// Ending of the file that has the old header of a weights file.
pub(super) const HEADER: &str = ".header";
/// Ending of the file that has the rows of old matrices that no token used, where new ones took their place.
const SPARE: &str = ".spare";

/// The rows to add.
pub(super) struct NewRows<'a> {
    /// Rows of the matrices before.
    pub(super) old_vocab_size: usize,
    /// The row of the first new token. Some models have more rows than tokens.
    pub(super) first_new_id: u32,
    /// The tokens, each with the rows it is the mean of.
    pub(super) tokens: &'a [NewToken],
}

impl NewRows<'_> {
    /// Rows of the matrices afterwards.
    pub(super) fn vocab_size(&self) -> usize {
        self.old_vocab_size.max(self.first_new_id as usize + self.tokens.len())
    }
}

/// A weights file in memory.
struct File {
    bytes: Vec<u8>,
    /// Where the data begins.
    data: usize,
    /// In the order of their data.
    tensors: Vec<(String, TensorInfo)>,
    /// Of the header, as is.
    metadata: Option<Value>,
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let damaged = |problem: String| {
            Error::model(path.display().to_string(), problem, "the file is damaged; download it again")
        };
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let document: Map<String, Value> =
            serde_json::from_slice(&bytes[8..8 + header]).map_err(|error| damaged(error.to_string()))?;
        let mut tensors: Vec<(String, TensorInfo)> =
            metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        tensors.sort_by(|(left, a), (right, b)| (a.data_offsets, left).cmp(&(b.data_offsets, right)));
        Ok(Self { bytes, data: header + 8, tensors, metadata: document.get("__metadata__").cloned() })
    }

    fn data(&self, info: &TensorInfo) -> &[u8] {
        &self.bytes[self.data + info.data_offsets.0..self.data + info.data_offsets.1]
    }
}

/// The axis on which a tensor has a row or a value for each token, if it has one. BART's bias is a matrix of one row.
///
/// Nothing in a numbered layer is about tokens, even where a width happens to be the size of the vocabulary.
fn token_axis(name: &str, info: &TensorInfo, vocab_size: usize) -> Option<usize> {
    if name.split('.').any(|part| part.parse::<usize>().is_ok()) {
        return None;
    }
    match info.shape[..] {
        [tokens] | [tokens, _] if tokens == vocab_size => Some(0),
        [1, tokens] if tokens == vocab_size => Some(1),
        _ => None,
    }
}

/// Writes all weights of `folder` to `target` with the new rows; gives the names of the tensors that have them.
pub(super) fn extend(folder: &Path, target: &Path, kept: &Path, rows: &NewRows) -> Result<Vec<String>> {
    let mut grown = Vec::new();
    for (name, path) in entries(folder)?.into_iter().filter(|(_, path)| is_weights(path)) {
        let file = File::read(&path)?;
        write(&kept.join(name.clone() + HEADER), &[&file.bytes[..file.data]])?;
        let (mut tensors, mut spare) = (Vec::new(), Vec::new());
        for (tensor, info) in &file.tensors {
            let old = file.data(info);
            let Some(axis) = token_axis(tensor, info, rows.old_vocab_size) else {
                tensors.push((tensor, info, info.shape.clone(), old.to_vec()));
                continue;
            };
            let (new, replaced) = with_new_rows(old, info, rows, &path)?;
            spare.extend_from_slice(&old[replaced]);
            let mut shape = info.shape.clone();
            shape[axis] = rows.vocab_size();
            tensors.push((tensor, info, shape, new));
            grown.push(tensor.clone());
        }
        if !spare.is_empty() {
            write(&kept.join(name.clone() + SPARE), &[&spare])?;
        }
        write_file(&target.join(&name), file.metadata.as_ref(), &tensors)?;
    }
    if grown.is_empty() {
        let problem = format!("no tensor has a row for each of the {} tokens", rows.old_vocab_size);
        return Err(Error::model(folder.display().to_string(), problem, "weights and config.json must fit"));
    }
    Ok(grown)
}

/// Writes all weights of the extended `folder` to `target` as they were.
pub(super) fn restore(
    folder: &Path,
    target: &Path,
    kept: &Path,
    extension: &VocabularyExtension,
) -> Result<()> {
    let old_rows = extension.old_vocab_size;
    let untouched = old_rows.min(extension.first_new_id as usize);
    for (name, path) in entries(folder)?.into_iter().filter(|(_, path)| is_weights(path)) {
        let file = File::read(&path)?;
        let header = kept.join(name.clone() + HEADER);
        let header = fs::read(&header).map_err(Error::io("read", &header))?;
        let spare = fs::read(kept.join(name.clone() + SPARE)).unwrap_or_default();
        let (mut parts, mut spare) = (vec![header.as_slice()], spare.as_slice());
        for (tensor, info) in &file.tensors {
            let data = file.data(info);
            if !extension.tensors.contains(tensor) {
                parts.push(data);
                continue;
            }
            let row = data.len() / extension.vocab_size();
            parts.push(&data[..untouched * row]);
            let replaced;
            (replaced, spare) = spare.split_at_checked((old_rows - untouched) * row).ok_or_else(|| {
                let problem = format!("{name}{SPARE} is missing or too short");
                Error::model(kept.display().to_string(), problem, "extend the original folder again")
            })?;
            parts.push(replaced);
        }
        write(&target.join(&name), &parts)?;
    }
    Ok(())
}

/// A tensor with the new rows, and which of its old bytes they replace.
fn with_new_rows(
    old: &[u8],
    info: &TensorInfo,
    rows: &NewRows,
    path: &Path,
) -> Result<(Vec<u8>, Range<usize>)> {
    let row = old.len() / rows.old_vocab_size;
    let columns = info.shape.iter().product::<usize>() / rows.old_vocab_size;
    let first = rows.first_new_id as usize;
    let mut new = old.to_vec();
    new.resize(rows.vocab_size() * row, 0);
    for (index, token) in rows.tokens.iter().enumerate() {
        let parts: Vec<&[u8]> =
            token.old_ids.iter().map(|&id| &old[id as usize * row..(id as usize + 1) * row]).collect();
        let mean = mean(&parts, columns, info.dtype).ok_or_else(|| {
            let problem = format!("weights of type {:?} are not supported", info.dtype);
            Error::model(path.display().to_string(), problem, "weights must be F32, F16, BF16 or F64")
        })?;
        new[(first + index) * row..(first + index + 1) * row].copy_from_slice(&mean);
    }
    Ok((new, first.min(rows.old_vocab_size) * row..old.len()))
}

/// The mean of rows, in their own type; none if that is not a floating one.
fn mean(parts: &[&[u8]], columns: usize, dtype: Dtype) -> Option<Vec<u8>> {
    let over = |values: &dyn Fn(&[u8], usize) -> f64, column: usize| {
        parts.iter().map(|part| values(part, column)).sum::<f64>() / parts.len() as f64
    };
    let columns = 0..columns;
    Some(match dtype {
        Dtype::F32 => {
            let value = |part: &[u8], at: usize| f64::from(f32::from_le_bytes(part.as_chunks().0[at]));
            columns.flat_map(|column| (over(&value, column) as f32).to_le_bytes()).collect()
        }
        Dtype::F64 => {
            let value = |part: &[u8], at: usize| f64::from_le_bytes(part.as_chunks().0[at]);
            columns.flat_map(|column| over(&value, column).to_le_bytes()).collect()
        }
        Dtype::F16 => {
            let value = |part: &[u8], at: usize| f16::from_le_bytes(part.as_chunks().0[at]).to_f64();
            columns.flat_map(|column| f16::from_f64(over(&value, column)).to_le_bytes()).collect()
        }
        Dtype::BF16 => {
            let value = |part: &[u8], at: usize| bf16::from_le_bytes(part.as_chunks().0[at]).to_f64();
            columns.flat_map(|column| bf16::from_f64(over(&value, column)).to_le_bytes()).collect()
        }
        _ => return None,
    })
}

/// Name, old entry, new shape and new bytes of a tensor.
type Entry<'a> = (&'a String, &'a TensorInfo, Vec<usize>, Vec<u8>);

/// A safetensors file: the length of the header, the header, the data.
fn write_file(path: &Path, metadata: Option<&Value>, tensors: &[Entry]) -> Result<()> {
    let mut header = Map::new();
    if let Some(metadata) = metadata {
        header.insert("__metadata__".into(), metadata.clone());
    }
    let mut start = 0;
    for (name, info, shape, bytes) in tensors {
        let offsets = [start, start + bytes.len()];
        let entry = json!({ "dtype": info.dtype, "shape": shape, "data_offsets": offsets });
        header.insert((*name).clone(), entry);
        start += bytes.len();
    }
    let mut header = Value::Object(header).to_string();
    // The data begins at a multiple of eight.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let length = (header.len() as u64).to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![&length, header.as_bytes()];
    parts.extend(tensors.iter().map(|(_, _, _, bytes)| bytes.as_slice()));
    write(path, &parts)
}

fn write(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path).map_err(Error::io("write", path))?);
    for part in parts {
        file.write_all(part).map_err(Error::io("write", path))?;
    }
    file.flush().map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::vocabulary::Fragmentation;

    /// A table of four rows for three tokens, a bias of another type, and a tensor that has nothing to do with tokens.
    fn original(path: &Path) {
        let table: Vec<u8> =
            [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let bias: Vec<u8> =
            [1.0, 2.0, 4.0, 8.0].iter().flat_map(|&x| f16::from_f64(x).to_le_bytes()).collect();
        let other = vec![9; 12];
        let info = |dtype, shape: &[usize]| TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (0, 0) };
        let (a, b, c) = (info(Dtype::F32, &[4, 2]), info(Dtype::F16, &[4]), info(Dtype::F32, &[3]));
        let names = ["table".to_owned(), "bias".to_owned(), "other".to_owned()];
        let entries = vec![
            (&names[0], &a, vec![4, 2], table),
            (&names[1], &b, vec![4], bias),
            (&names[2], &c, vec![3], other),
        ];
        write_file(path, Some(&json!({ "format": "pt" })), &entries).unwrap();
    }

    /// Extends weights and takes the new rows out again, which must give the same bytes; the extended file and the tensors
    /// that have the rows.
    fn there_and_back(write: impl Fn(&Path), rows: &NewRows) -> (File, Vec<String>) {
        let place = tempfile::tempdir().unwrap();
        let [old, new, kept, back] = ["old", "new", "kept", "back"].map(|name| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        let file = |folder: &Path| folder.join("model.safetensors");
        write(&file(&old));
        let tensors = extend(&old, &new, &kept, rows).unwrap();
        let extension = VocabularyExtension {
            old_vocab_size: rows.old_vocab_size,
            first_new_id: rows.first_new_id,
            new_tokens: rows.tokens.to_vec(),
            tensors: tensors.clone(),
            before: Fragmentation::default(),
            after: Fragmentation::default(),
        };
        restore(&new, &back, &kept, &extension).unwrap();
        assert_eq!(fs::read(file(&back)).unwrap(), fs::read(file(&old)).unwrap());
        (File::read(&file(&new)).unwrap(), tensors)
    }

    #[test]
    fn new_rows_are_means_and_the_way_back_gives_the_same_bytes() {
        let token = |id, old_ids: &[u32]| NewToken { token: format!("t{id}"), id, old_ids: old_ids.to_vec() };
        let tokens = [token(3, &[0, 2]), token(4, &[1])];
        let rows = NewRows { old_vocab_size: 4, first_new_id: 3, tokens: &tokens };
        let (file, tensors) = there_and_back(original, &rows);
        assert_eq!(tensors, ["table", "bias"]);
        let table: Vec<f32> =
            file.data(&file.tensors[0].1).as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
        assert_eq!(table, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 3.0, 4.0]);
        let bias: Vec<f64> = file
            .data(&file.tensors[1].1)
            .as_chunks()
            .0
            .iter()
            .map(|&x| f16::from_le_bytes(x).to_f64())
            .collect();
        assert_eq!(bias, [1.0, 2.0, 4.0, 2.5, 2.0]);
    }

    #[test]
    fn a_matrix_of_one_row_has_a_value_for_each_token() {
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let info = TensorInfo { dtype: Dtype::F32, shape: vec![1, 3], data_offsets: (0, 0) };
        // As wide as the vocabulary, and in a numbered layer: nothing to do with tokens.
        let layer = TensorInfo { dtype: Dtype::F32, shape: vec![3], data_offsets: (0, 0) };
        let names = ["final_logits_bias".to_owned(), "layers.0.bias".to_owned()];
        let write = |path: &Path| {
            let entries = [
                (&names[0], &info, vec![1, 3], bytes(&[1.0, 2.0, 6.0])),
                (&names[1], &layer, vec![3], bytes(&[7.0, 8.0, 9.0])),
            ];
            write_file(path, None, &entries).unwrap();
        };
        let tokens = [NewToken { token: "t".to_owned(), id: 3, old_ids: vec![0, 2] }];
        let rows = NewRows { old_vocab_size: 3, first_new_id: 3, tokens: &tokens };
        let (file, tensors) = there_and_back(write, &rows);
        assert_eq!(tensors, names[..1]);
        assert_eq!(file.tensors[0].1.shape, [1, 4]);
        assert_eq!(file.data(&file.tensors[0].1), bytes(&[1.0, 2.0, 6.0, 3.5]));
        assert_eq!(file.data(&file.tensors[1].1), bytes(&[7.0, 8.0, 9.0]));
    }

    #[test]
    fn a_model_without_such_rows_is_refused() {
        let place = tempfile::tempdir().unwrap();
        original(&place.path().join("model.safetensors"));
        let rows = NewRows { old_vocab_size: 30_522, first_new_id: 30_522, tokens: &[] };
        let target = tempfile::tempdir().unwrap();
        let error = extend(place.path(), target.path(), target.path(), &rows).unwrap_err();
        assert!(error.to_string().contains("30522"), "{error}");
    }
}
