//! What are encoders made of? Each layer holds identifiers of its parameters; `forward` takes the
//! [`Pass`] they are read from.

mod embeddings;
mod pool;
mod transformer;

pub use embeddings::Embeddings;
pub use pool::{is_trainable, pool_states};
pub use transformer::{Encoder, EncoderLayer, RelativePositionBias};

use crate::ops::block::Affine;
use crate::ops::{self, Activation};
use crate::parameters::MatrixId;
use crate::parameters::VectorId;
use crate::pass::Pass;
use burn::Tensor;
use burn::backend::Dispatch;

/// `x Wᵀ + b`.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub(crate) weight: MatrixId,
    pub(crate) bias: VectorId,
}

impl Linear {
    /// # Shapes
    /// - `x`: `[T, in]`
    /// - output: `[T, out]`
    pub fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, pass.matrix(self.weight), pass.vector(self.bias), pass.precision())
    }

    /// Weight and bias as blocks take them.
    fn tensors(&self, pass: &Pass) -> Affine<Dispatch> {
        Affine {
            weight: pass.matrix(self.weight).into_dispatch(),
            bias: pass.vector(self.bias).into_dispatch(),
        }
    }

    /// The same followed by an activation, in one operation.
    pub fn forward_activation(&self, pass: &Pass, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        let (weight, bias) = (pass.matrix(self.weight), pass.vector(self.bias));
        ops::linear_activation(x, weight, bias, activation, pass.precision())
    }
}

/// LayerNorm (Ba et al. 2016).
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    pub(crate) weight: VectorId,
    pub(crate) bias: VectorId,
    pub(crate) epsilon: f32,
}

impl Norm {
    /// # Shapes
    /// - `x`, output: `[T, H]`
    pub fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        ops::layer_norm(x, pass.vector(self.weight), pass.vector(self.bias), self.epsilon)
    }

    /// Weight and bias as blocks take them.
    fn tensors(&self, pass: &Pass) -> Affine<Dispatch> {
        Affine {
            weight: pass.vector(self.weight).into_dispatch(),
            bias: pass.vector(self.bias).into_dispatch(),
        }
    }
}
