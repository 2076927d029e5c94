//! Rotary position embeddings (Su et al. 2021), in the layout of transformers: the first half of a head is rotated
//! against the second.

use crate::batch::PackedBatch;
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::TensorData;

/// The angles of a layer: position · θ^(-2i / `head_dim`).
#[derive(Debug, Clone, Copy)]
pub struct Rotary {
    pub(crate) theta: f32,
    pub(crate) head_dim: usize,
}

/// Cosines and sines of a batch's positions.
#[derive(Debug, Clone)]
pub struct RotaryTables {
    /// `[T, 1, head_dim]`
    cosine: Tensor<3>,
    /// `[T, 1, head_dim]`; the first half negated, so that the halves need only be exchanged
    sine: Tensor<3>,
    head_dim: usize,
}

impl Rotary {
    /// Cosines and sines for every token, by its position in its sequence.
    pub fn tables(&self, pass: &Pass, batch: &PackedBatch) -> RotaryTables {
        let half = self.head_dim / 2;
        let frequency = |index: usize| 1.0 / self.theta.powf(2.0 * index as f32 / self.head_dim as f32);
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let positions = batch.position_ids(0);
        let size = positions.len() * self.head_dim;
        let (mut cosine, mut sine) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for &position in &*positions {
            let angles = || frequencies.iter().map(|frequency| position as f32 * frequency);
            cosine.extend(angles().chain(angles()).map(f32::cos));
            sine.extend(angles().map(|angle| -angle.sin()).chain(angles().map(f32::sin)));
        }
        let shape = [positions.len(), 1, self.head_dim];
        let table = |values| Tensor::from_data(TensorData::new(values, shape), &pass.device());
        RotaryTables { cosine: table(cosine), sine: table(sine), head_dim: self.head_dim }
    }
}

impl RotaryTables {
    /// Turns every head of every token by the angles of its position.
    ///
    /// # Shapes
    /// - `x`, output: `[T, heads * head_dim]`
    pub fn rotate(&self, x: Tensor<2>) -> Tensor<2> {
        let [tokens, width] = x.dims();
        let half = self.head_dim / 2;
        let heads = x.reshape([tokens, width / self.head_dim, self.head_dim]);
        let (first, second) = (heads.clone().narrow(2, 0, half), heads.clone().narrow(2, half, half));
        let exchanged = Tensor::cat(vec![second, first], 2);
        (heads * self.cosine.clone() + exchanged * self.sine.clone()).reshape([tokens, width])
    }
}
