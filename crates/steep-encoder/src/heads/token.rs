//! The heads that predict tokens: masked ones, or the next one.

use crate::layers::{Linear, Norm};
use crate::ops::{self, Activation};
use crate::parameters::{MatrixId, VectorId};
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

/// Dense, activation and LayerNorm before the decoder.
#[derive(Debug, Clone)]
pub struct TokenTransform {
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    pub(crate) norm: Norm,
}

impl TokenTransform {
    /// # Shapes
    /// - `hidden`: `[N, H]`
    /// - output: `[N, E]`
    pub fn forward(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<2> {
        let x = self.dense.forward_activation(pass, hidden, self.activation);
        self.norm.forward(pass, x)
    }
}

/// Predicts tokens: a transformation where the architecture has one, and the word embedding as decoder, or a matrix
/// of its own.
#[derive(Debug, Clone)]
pub struct TokenHead {
    pub(crate) transform: Option<TokenTransform>,
    pub(crate) decoder: MatrixId,
    pub(crate) bias: Option<VectorId>,
}

impl TokenHead {
    /// # Shapes
    /// - `hidden`: `[N, H]`, usually only the rows of masked tokens
    /// - output: `[N, V]`
    pub fn forward(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<2> {
        let decoder = Linear { weight: self.decoder, bias: self.bias };
        decoder.forward(pass, self.transform(pass, hidden))
    }

    /// Cross-entropy against the labels, `[N]`, without the logits as a whole.
    ///
    /// # Shapes
    /// - `hidden`: `[N, H]`
    /// - `labels`: N
    pub fn losses(&self, pass: &Pass, hidden: Tensor<2>, labels: Arc<[u32]>) -> Tensor<1> {
        let x = self.transform(pass, hidden);
        let (weight, bias) = Linear { weight: self.decoder, bias: self.bias }.parameters(pass);
        ops::linear_cross_entropy(x, weight, bias, labels, pass.precision())
    }

    fn transform(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<2> {
        match &self.transform {
            Some(transform) => transform.forward(pass, hidden),
            None => hidden,
        }
    }
}
