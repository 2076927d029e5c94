//! What are encoders made of? Each layer holds identifiers of its parameters; `forward` takes the
//! [`Pass`] they are read from.

mod attention;
mod decoder;
mod embeddings;
mod pool;
mod rms_norm;
mod rotary;
mod transformer;

pub use attention::AttentionHeads;
pub(crate) use decoder::{CrossAttention, DecoderStart, EncoderDecoder, Stack, States};
pub use decoder::{Decoding, NextToken};
pub use embeddings::Embeddings;
pub use pool::{is_trainable, pool_states};
pub use rms_norm::RmsNorm;
pub use rotary::{Rotary, RotaryTables};
pub use transformer::{Buckets, Encoder, EncoderLayer, RelativePositionBias};

use crate::batch::PackedBatch;
use crate::ops::block::Affine;
use crate::ops::{self, Activation, Dropout};
use crate::parameters::MatrixId;
use crate::parameters::VectorId;
use crate::pass::Pass;
use burn::Tensor;
use burn::backend::Dispatch;
use std::fmt::Debug;

/// From tokens to states, whatever the architecture.
pub(crate) trait TextEncoder: Debug + Send + Sync {
    /// The last state, `[T, H]`. `visit` is shown the states before it: the embeddings' output, then that of each
    /// layer but the last, each `[T, H]`.
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2>;

    /// The table of words, `[V, E]`.
    fn word_embeddings(&self) -> MatrixId;

    /// Both sides of an encoder-decoder that was declared whole.
    fn decoder(&self) -> Option<&EncoderDecoder> {
        None
    }
}

/// `x Wᵀ + b`, or without b.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub(crate) weight: MatrixId,
    pub(crate) bias: Option<VectorId>,
}

/// A bias, or zeros where there is none.
fn bias_or_zeros(pass: &Pass, bias: Option<VectorId>, length: usize) -> Tensor<1> {
    bias.map_or_else(|| Tensor::zeros([length], &pass.device()), |bias| pass.vector(bias))
}

impl Linear {
    /// # Shapes
    /// - `x`: `[T, in]`
    /// - output: `[T, out]`
    pub fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let beside = pass.beside(self.weight, &x);
        let (weight, bias) = self.parameters(pass);
        let y = ops::linear(x, weight, bias, pass.precision());
        match beside {
            Some(beside) => y + beside,
            None => y,
        }
    }

    /// Weight and bias, zeros where there is none.
    pub(crate) fn parameters(&self, pass: &Pass) -> (Tensor<2>, Tensor<1>) {
        let weight = pass.matrix(self.weight);
        let bias = bias_or_zeros(pass, self.bias, weight.dims()[0]);
        (weight, bias)
    }

    /// Weight and bias as blocks take them.
    fn tensors(&self, pass: &Pass) -> Affine<Dispatch> {
        let (weight, bias) = self.parameters(pass);
        Affine { weight: weight.into_dispatch(), bias: bias.into_dispatch() }
    }

    /// The same followed by an activation, in one operation.
    pub fn forward_activation(&self, pass: &Pass, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        if pass.adapts_inputs() {
            return ops::activation(self.forward(pass, x), activation);
        }
        let (weight, bias) = self.parameters(pass);
        ops::linear_activation(x, weight, bias, activation, pass.precision())
    }
}

/// LayerNorm (Ba et al. 2016), with or without its bias.
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    pub(crate) weight: VectorId,
    pub(crate) bias: Option<VectorId>,
    pub(crate) epsilon: f32,
}

impl Norm {
    /// # Shapes
    /// - `x`, output: `[T, H]`
    pub fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = self.parameters(pass);
        ops::layer_norm(x, weight, bias, self.epsilon)
    }

    fn parameters(&self, pass: &Pass) -> (Tensor<1>, Tensor<1>) {
        let weight = pass.vector(self.weight);
        let bias = bias_or_zeros(pass, self.bias, weight.dims()[0]);
        (weight, bias)
    }

    /// `LayerNorm(dropout(x) + residual)`.
    ///
    /// # Shapes
    /// - `x`, `residual`, output: `[T, H]`
    pub fn forward_sum(&self, pass: &Pass, x: Tensor<2>, residual: Tensor<2>, dropout: Dropout) -> Tensor<2> {
        let (weight, bias) = self.parameters(pass);
        ops::add_norm(x, residual, weight, bias, self.epsilon, dropout)
    }

    /// Weight and bias as blocks take them.
    fn tensors(&self, pass: &Pass) -> Affine<Dispatch> {
        let (weight, bias) = self.parameters(pass);
        Affine { weight: weight.into_dispatch(), bias: bias.into_dispatch() }
    }
}
