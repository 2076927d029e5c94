//! Replaced-token detection (Clark et al. 2020): a small generator fills masked tokens in, and the encoder, as
//! discriminator, tells for every token whether it is the text's own.

use crate::batch::PackedBatch;
use crate::heads::TokenHead;
use crate::layers::{Encoder, Linear, TextEncoder};
use crate::ops::{self, Activation};
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

/// The size of a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratorShape {
    /// Width of its layers.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads per layer.
    pub num_attention_heads: usize,
    /// Width of the feed-forward parts.
    pub intermediate_size: usize,
}

/// What stands on the discriminator, and the generator beside it.
#[derive(Debug, Clone)]
pub struct ReplacedTokenHead {
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    /// `[1, H]`
    pub(crate) prediction: Linear,
    pub(crate) generator: Option<Generator>,
}

/// A masked language model with the embeddings of the discriminator.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) encoder: Encoder,
    pub(crate) token_head: TokenHead,
}

impl ReplacedTokenHead {
    /// For each token how much speaks for its being replaced.
    ///
    /// # Shapes
    /// - `hidden`: `[T, H]`
    /// - output: `[T]`
    pub fn forward(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<1> {
        let x = self.dense.forward_activation(pass, hidden, self.activation);
        self.prediction.forward(pass, x).squeeze_dim(1)
    }
}

impl Generator {
    /// Logits over the vocabulary at rows of a masked batch: `[N, V]`.
    pub(crate) fn logits(&self, pass: &Pass, batch: &PackedBatch, rows: Arc<[u32]>) -> Tensor<2> {
        let hidden = self.encoder.forward(pass, batch, &mut |_| {});
        self.token_head.forward(pass, ops::embedding(hidden, rows))
    }
}
