//! The columns of some rows as tensors: numbers as they are, categories embedded.

use super::TabularShape;
use crate::ops;
use crate::parameters::MatrixId;
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::{Device, TensorData};
use std::sync::Arc;

/// Dimensions of the embedding of a column with so many categories: 1.6 · count^0.56, at most 50, a rule of thumb of
/// fastai's for tabular models.
pub fn embedding_size(count: usize) -> usize {
    (1.6 * (count as f64).powf(0.56)).round().clamp(1.0, 50.0) as usize
}

/// The prepared columns of some rows, and what of them is withheld.
#[derive(Debug, Clone, Copy)]
pub struct RowColumns<'a> {
    /// `[B, row_width]`: numbers, indicators, then codes as whole numbers.
    pub values: &'a [f32],
    /// For each row 1, or 0 where the text is withheld; empty where it never is.
    pub keep_text: &'a [f32],
    /// For each row 1, or 0 where the columns are withheld; empty where they never are.
    pub keep_columns: &'a [f32],
}

impl<'a> RowColumns<'a> {
    /// Rows of which nothing is withheld.
    pub fn whole(values: &'a [f32]) -> Self {
        Self { values, keep_text: &[], keep_columns: &[] }
    }

    /// The text vectors, those that are withheld as zero.
    pub(super) fn keep_text(&self, text: Tensor<2>) -> Tensor<2> {
        keep(text, self.keep_text)
    }
}

/// Rows times their 0 or 1.
fn keep(rows: Tensor<2>, factors: &[f32]) -> Tensor<2> {
    if factors.is_empty() {
        return rows;
    }
    let factors = matrix(factors.to_vec(), factors.len(), &rows.device());
    rows * factors
}

/// The two kinds of columns of some rows; absent where there are none.
pub(super) struct Columns {
    /// `c`
    pub(super) categorical: Option<Tensor<2>>,
    /// `n`
    pub(super) numerical: Option<Tensor<2>>,
}

impl Columns {
    pub(super) fn of(
        pass: &Pass,
        shape: &TabularShape,
        embeddings: &[MatrixId],
        rows: &RowColumns<'_>,
        device: &Device,
    ) -> Self {
        let width = shape.row_width();
        let count = rows.values.len() / width.max(1);
        let part = |first: usize, columns: usize| {
            let values: Vec<f32> = rows
                .values
                .chunks_exact(width)
                .flat_map(|row| &row[first..first + columns])
                .copied()
                .collect();
            (columns > 0).then(|| matrix(values, count, device))
        };
        let mut categorical: Vec<Tensor<2>> = Vec::new();
        for (at, &table) in embeddings.iter().enumerate() {
            let place = shape.numerical + shape.indicators + at;
            let codes: Arc<[u32]> = rows.values.chunks_exact(width).map(|row| row[place] as u32).collect();
            categorical.push(ops::embedding(pass.matrix(table), codes));
        }
        categorical.extend(part(shape.numerical, shape.indicators));
        let together = if categorical.is_empty() { None } else { Some(Tensor::cat(categorical, 1)) };
        let kept = |tensor: Tensor<2>| keep(tensor, rows.keep_columns);
        Self { categorical: together.map(kept), numerical: part(0, shape.numerical).map(kept) }
    }
}

/// Row-major values as a matrix of so many rows.
fn matrix(values: Vec<f32>, rows: usize, device: &Device) -> Tensor<2> {
    let columns = values.len() / rows.max(1);
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}
