//! RMSNorm (Zhang and Sennrich 2019): LayerNorm without mean and bias.

use crate::parameters::VectorId;
use crate::pass::Pass;
use burn::Tensor;

/// `w · x / √(mean(x²) + ε)`.
#[derive(Debug, Clone, Copy)]
pub struct RmsNorm {
    pub(crate) weight: VectorId,
    pub(crate) epsilon: f32,
}

impl RmsNorm {
    /// # Shapes
    /// - `x`, output: `[N, H]`, H the length of the weight
    pub fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let mean_square = (x.clone() * x.clone()).mean_dim(1);
        let inverse = (mean_square + self.epsilon).sqrt().recip();
        x * inverse * pass.vector(self.weight).unsqueeze::<2>()
    }

    /// Each head by itself, with one weight of the heads' width.
    ///
    /// # Shapes
    /// - `x`, output: `[T, heads * head_dim]`
    pub fn forward_heads(&self, pass: &Pass, x: Tensor<2>, head_dim: usize) -> Tensor<2> {
        let [tokens, width] = x.dims();
        let heads = x.reshape([tokens * width / head_dim, head_dim]);
        self.forward(pass, heads).reshape([tokens, width])
    }
}
