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

    /// The same where every word of the vocabulary has an equal part of the share `smoothing` of the target
    /// (Szegedy et al. 2016), as transformers' `LabelSmoother`.
    ///
    /// With logits z, label y and mean logit m, that is `(1 - s) (lse z - z_y) + s (lse z - m)`, the cross-entropy and
    /// `s (z_y - m)`; and the mean of the logits is the logit of the mean word.
    pub fn smoothed_losses(
        &self,
        pass: &Pass,
        hidden: Tensor<2>,
        labels: Arc<[u32]>,
        smoothing: f32,
    ) -> Tensor<1> {
        if smoothing == 0.0 {
            return self.losses(pass, hidden, labels);
        }
        let x = self.transform(pass, hidden);
        let (weight, bias) = Linear { weight: self.decoder, bias: self.bias }.parameters(pass);
        let apart = pass.lookup(self.decoder, labels.clone()) - weight.clone().mean_dim(0);
        let of_label = ops::embedding(bias.clone().unsqueeze_dim(1), labels.clone()).squeeze_dim(1);
        let above_mean = (x.clone() * apart).sum_dim(1).squeeze_dim(1) + of_label - bias.clone().mean();
        ops::linear_cross_entropy(x, weight, bias, labels, pass.precision()) + above_mean * smoothing
    }

    fn transform(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<2> {
        match &self.transform {
            Some(transform) => transform.forward(pass, hidden),
            None => hidden,
        }
    }
}
