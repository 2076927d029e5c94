//! Reading the numbers that the scripts of `goldens/` made.

#![allow(dead_code, reason = "each test program uses some of it")]

use burn::Tensor;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steep_encoder::PackedBatch;

/// A folder of `goldens/`.
pub(crate) fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name)
}

/// The tensors and settings of one architecture's reference.
pub(crate) struct Reference {
    pub(crate) bytes: Vec<u8>,
    pub(crate) settings: serde_json::Value,
}

impl Reference {
    pub(crate) fn load(folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("reference.safetensors")).expect("reference");
        let text = std::fs::read_to_string(folder.join("reference.json")).expect("settings");
        Self { bytes, settings: serde_json::from_str(&text).expect("settings are JSON") }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.bytes).expect("reference").tensor(name).is_ok()
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("reference");
        tensors.tensor(name).unwrap_or_else(|_| panic!("{name}")).shape().to_vec()
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("reference");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}"));
        view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i32> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("reference");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}"));
        view.data().as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
    }

    /// Flat positions of real tokens in the padded [B, S] layout.
    pub(crate) fn real_positions(&self) -> Vec<usize> {
        let mask = self.integers("attention_mask");
        (0..mask.len()).filter(|&position| mask[position] == 1).collect()
    }

    /// Rows of a padded [B, S, width] tensor, padding left out.
    pub(crate) fn packed(&self, name: &str) -> Vec<f32> {
        let width = *self.shape(name).last().expect("rank 3");
        let values = self.floats(name);
        let rows = self.real_positions().into_iter();
        rows.flat_map(|row| values[row * width..(row + 1) * width].to_vec()).collect()
    }

    pub(crate) fn batch(&self) -> PackedBatch {
        let [rows, length] = self.shape("input_ids")[..] else { panic!("rank 2") };
        let (ids, mask) = (self.integers("input_ids"), self.integers("attention_mask"));
        let span = |row: usize| row * length..(row + 1) * length;
        let real = |row: usize| span(row).filter(|&at| mask[at] == 1).map(|at| ids[at] as u32);
        let sequences: Vec<Vec<u32>> = (0..rows).map(|row| real(row).collect()).collect();
        let mut batch = PackedBatch::new(sequences.iter().map(Vec::as_slice));
        if self.has("token_type_ids") {
            let types = self.integers("token_type_ids");
            let real = self.real_positions().into_iter();
            batch.token_type_ids = Some(real.map(|at| types[at] as u32).collect());
        }
        batch
    }

    /// The texts to write after those that are read.
    pub(crate) fn written(&self) -> PackedBatch {
        let [rows, length] = self.shape("target_ids")[..] else { panic!("rank 2") };
        let ids = self.integers("target_ids");
        let text = |row: usize| ids[row * length..(row + 1) * length].iter().filter(|id| **id >= 0);
        let texts: Vec<Vec<u32>> = (0..rows).map(|row| text(row).map(|id| *id as u32).collect()).collect();
        PackedBatch::new(texts.iter().map(Vec::as_slice))
    }

    /// Rows of a [B, S, width] tensor, padded on the right, at the tokens of a batch.
    pub(crate) fn packed_like(&self, name: &str, batch: &PackedBatch) -> Vec<f32> {
        let [_, length, width] = self.shape(name)[..] else { panic!("rank 3") };
        let padded = self.floats(name);
        let spans = batch.offsets.windows(2).enumerate();
        let text = |(row, pair): (usize, &[u32])| {
            let begin = row * length * width;
            padded[begin..begin + (pair[1] - pair[0]) as usize * width].to_vec()
        };
        spans.flat_map(text).collect()
    }

    /// Rows of the packed batch that have a masked-LM label, and those labels.
    pub(crate) fn masked(&self) -> (Arc<[u32]>, Arc<[u32]>) {
        let labels = self.integers("mlm_labels");
        let real = self.real_positions().into_iter().enumerate();
        let labelled = real.filter(|(_, at)| labels[*at] >= 0);
        let (rows, labels): (Vec<u32>, Vec<u32>) =
            labelled.map(|(row, at)| (row as u32, labels[at] as u32)).unzip();
        (rows.into(), labels.into())
    }
}

pub(crate) fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "same number of values");
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    let difference = largest_difference(found, expected);
    assert!(difference <= tolerance, "{what}: differs by {difference:e}, allowed {tolerance:e}");
}

pub(crate) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
