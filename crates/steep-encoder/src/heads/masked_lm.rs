//! The masked-LM head: dense, activation, LayerNorm, and the word embedding as decoder.

use crate::layers::{Linear, Norm};
use crate::ops::{self, Activation};
use crate::parameters::{MatrixId, VectorId};
use crate::pass::Pass;
use burn::Tensor;

/// Predicts tokens.
#[derive(Debug, Clone)]
pub struct MaskedLmHead {
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    pub(crate) norm: Norm,
    pub(crate) decoder: MatrixId,
    pub(crate) bias: VectorId,
}

impl MaskedLmHead {
    /// # Shapes
    /// - `hidden`: `[N, H]`, usually only the rows of masked tokens
    /// - output: `[N, V]`
    pub fn forward(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<2> {
        let x = self.dense.forward_activation(pass, hidden, self.activation);
        let x = self.norm.forward(pass, x);
        ops::linear(x, pass.matrix(self.decoder), pass.vector(self.bias))
    }
}
