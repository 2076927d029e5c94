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
        let (ids, places) = (batch.input_ids.clone(), batch.position_ids(self.first_position));
        self.forward_at(pass, ids, places, batch.token_type_ids.clone())
    }

    /// As [`Self::forward`], of tokens at positions that are not counted from the beginning of a batch.
    pub(crate) fn forward_at(
        &self,
        pass: &Pass,
        input_ids: Arc<[u32]>,
        position_ids: Arc<[u32]>,
        token_type_ids: Option<Arc<[u32]>>,
    ) -> Tensor<2> {
        let zeros = || Arc::from(vec![0; input_ids.len()]);
        let types = token_type_ids.unwrap_or_else(zeros);
        let mut sum = pass.lookup(self.word, input_ids);
        if self.word_scale != 1.0 {
            sum = sum * self.word_scale;
        }
        if let Some(position) = self.position {
            sum = sum + pass.lookup(position, position_ids);
        }
        if let Some(token_type) = self.token_type {
            sum = sum + pass.lookup(token_type, types);
        }
        let normal = ops::dropout(self.norm.forward(pass, sum), pass.dropout(self.dropout));
        match &self.projection {
            Some(projection) => projection.forward(pass, normal),
            None => normal,
        }
    }
}
