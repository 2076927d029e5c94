//! Words, positions and token types, summed and normalised.

use super::{Linear, Norm};
use crate::batch::PackedBatch;
use crate::ops;
use crate::parameters::MatrixId;
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

/// The input side of an encoder.
#[derive(Debug, Clone)]
pub struct Embeddings {
    pub(crate) word: MatrixId,
    /// Multiplies the words; 1 but in some of BART's relatives.
    pub(crate) word_scale: f32,
    pub(crate) position: Option<MatrixId>,
    pub(crate) token_type: Option<MatrixId>,
    pub(crate) norm: Norm,
    /// From the embedding size to the hidden size, where they differ.
    pub(crate) projection: Option<Linear>,
    /// Position id of the first token.
    pub(crate) first_position: u32,
    pub(crate) dropout: f32,
}

impl Embeddings {
    /// # Shapes
    /// - output: `[T, H]`
    pub fn forward(&self, pass: &Pass, batch: &PackedBatch) -> Tensor<2> {
        let mut sum = pass.lookup(self.word, batch.input_ids.clone());
        if self.word_scale != 1.0 {
            sum = sum * self.word_scale;
        }
        if let Some(position) = self.position {
            sum = sum + pass.lookup(position, batch.position_ids(self.first_position));
        }
        if let Some(token_type) = self.token_type {
            let zeros = || Arc::from(vec![0; batch.num_tokens()]);
            let ids = batch.token_type_ids.clone().unwrap_or_else(zeros);
            sum = sum + pass.lookup(token_type, ids);
        }
        let normal = ops::dropout(self.norm.forward(pass, sum), pass.dropout(self.dropout));
        match &self.projection {
            Some(projection) => projection.forward(pass, normal),
            None => normal,
        }
    }
}
