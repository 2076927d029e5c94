//! The sequence-classification head over the first token.

use crate::layers::Linear;
use crate::ops::{self, Activation};
use crate::pass::Pass;
use burn::Tensor;

/// Dropout, dense, activation, dropout, output: every supported architecture has this form with
/// its own sizes, names and activation.
#[derive(Debug, Clone)]
pub struct ClassificationHead {
    pub(crate) input_dropout: f32,
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    pub(crate) dropout: f32,
    pub(crate) output: Linear,
}

impl ClassificationHead {
    /// # Shapes
    /// - `first`: `[B, H]`, the state of each sequence's first token
    /// - output: `[B, labels]`
    pub fn forward(&self, pass: &Pass, first: Tensor<2>) -> Tensor<2> {
        let x = ops::dropout(first, pass.dropout(self.input_dropout));
        let x = self.dense.forward_activation(pass, x, self.activation);
        self.output.forward(pass, ops::dropout(x, pass.dropout(self.dropout)))
    }
}
