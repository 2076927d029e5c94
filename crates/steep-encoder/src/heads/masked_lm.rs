//! The masked-LM head: dense, activation, LayerNorm, and the word embedding as decoder.

use crate::layers::{Linear, Norm};
use crate::ops::{self, Activation};
use crate::parameters::{MatrixId, VectorId};
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

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
        let x = self.transform(pass, hidden);
        ops::linear(x, pass.matrix(self.decoder), pass.vector(self.bias), pass.precision())
    }

    /// Cross-entropy against the labels, `[N]`, without the logits as a whole.
    ///
    /// # Shapes
    /// - `hidden`: `[N, H]`
    /// - `labels`: N
    pub fn losses(&self, pass: &Pass, hidden: Tensor<2>, labels: Arc<[u32]>) -> Tensor<1> {
        let x = self.transform(pass, hidden);
        ops::linear_cross_entropy(
            x,
            pass.matrix(self.decoder),
            pass.vector(self.bias),
            labels,
            pass.precision(),
        )
    }

    fn transform(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<2> {
        let x = self.dense.forward_activation(pass, hidden, self.activation);
        self.norm.forward(pass, x)
    }
}
