//! A network of one hidden layer: `W₂ · dropout(relu(W₁ v + b₁)) + b₂`.

use super::Dense;
use crate::ops;
use crate::parameters::Declaration;
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::activation::relu;

#[derive(Debug, Clone, Copy)]
pub(super) struct Mlp {
    hidden: Dense,
    output: Dense,
    dropout: f32,
}

impl Mlp {
    /// `name.hidden` and `name.output`, both `hidden_size` wide.
    pub(super) fn declare(
        name: &str,
        in_features: usize,
        hidden_size: usize,
        dropout: f32,
        declare: &mut Declaration,
    ) -> Self {
        declare.scope(name, |declare| Self {
            hidden: Dense::declare("hidden", [in_features, hidden_size], declare),
            output: Dense::declare("output", [hidden_size; 2], declare),
            dropout,
        })
    }

    pub(super) fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let x = relu(self.hidden.forward(pass, x));
        self.output.forward(pass, ops::dropout(x, pass.dropout(self.dropout)))
    }
}
