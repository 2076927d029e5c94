//! The two halves of a post-LayerNorm encoder layer, each one operation.
//!
//! A backend computes a half, and its gradients, as a whole ([`BlockOps`]): on the CPU `steep-kernels` takes a chunk of
//! tokens through all its steps while it is in the cache, in the [`Precision`] asked for. A backend without such
//! kernels composes the halves of the finer operations ([`compose`]).

pub mod compose;
mod flex;
pub(super) mod tape;
#[cfg(test)]
mod tests;

use super::{Activation, AttentionGeometry, Dropout, EncoderOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType};
use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// What the operands of products are rounded to. Sums, residual path, LayerNorm, softmax, parameters and optimizer are
/// f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// 8-bit integers in evaluation, with a scale per output channel of a weight and per row of an input; bf16 in
    /// training.
    Int8,
}

/// How a block is computed, apart from what it computes.
#[derive(Debug, Clone, Default)]
pub struct BlockMode {
    /// Of the operands.
    pub precision: Precision,
    /// Keep only the input for the backward pass and compute the rest again (gradient checkpointing).
    pub recompute: bool,
    /// Where weights in the backend's own order are kept while they do not change.
    pub cache: WeightCache,
}

/// A place for weights in a backend's own order, filled by the first evaluation; without a place they are brought into
/// order each time.
#[derive(Debug, Clone, Default)]
pub struct WeightCache(Option<Arc<OnceLock<Arc<dyn Any + Send + Sync>>>>);

impl WeightCache {
    /// An empty place.
    pub fn place() -> Self {
        Self(Some(Arc::default()))
    }

    fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let Some(place) = &self.0 else { return Arc::new(make()) };
        if let Some(kept) = place.get() {
            let Ok(kept) = kept.clone().downcast() else {
                unreachable!("a place serves one block of one backend")
            };
            return kept;
        }
        // Not while the place is held: a thread that waits for others in `make` may take up work that comes here again.
        let made = Arc::new(make());
        let _ = place.set(made.clone());
        made
    }
}

/// Self-attention with residual and LayerNorm.
#[derive(Debug, Clone)]
pub struct AttentionBlock {
    /// Sequences, heads, scale and dropout on the probabilities.
    pub geometry: AttentionGeometry,
    /// Of the LayerNorm.
    pub epsilon: f32,
    /// On the output projection's result.
    pub dropout: Dropout,
    /// How it is computed.
    pub mode: BlockMode,
}

/// Feed-forward with residual and LayerNorm.
#[derive(Debug, Clone)]
pub struct FeedForwardBlock {
    /// Between the projections.
    pub activation: Activation,
    /// Of the LayerNorm.
    pub epsilon: f32,
    /// On the second projection's result.
    pub dropout: Dropout,
    /// How it is computed.
    pub mode: BlockMode,
}

/// Weight `[out, in]` and bias `[out]` of a linear layer, or gamma `[H]` and beta `[H]` of a LayerNorm.
#[derive(Debug, Clone, ExtensionType)]
pub struct Affine<B: Backend> {
    /// What is multiplied with.
    pub weight: FloatTensor<B>,
    /// What is added.
    pub bias: FloatTensor<B>,
}

/// Parameters of an [`AttentionBlock`]; `A` is `num_heads * head_dim`.
#[derive(Debug, Clone, ExtensionType)]
pub struct AttentionWeights<B: Backend> {
    /// `[A, H]`
    #[extension_type]
    pub query: Affine<B>,
    /// `[A, H]`
    #[extension_type]
    pub key: Affine<B>,
    /// `[A, H]`
    #[extension_type]
    pub value: Affine<B>,
    /// `[H, A]`
    #[extension_type]
    pub output: Affine<B>,
    /// `[H]`
    #[extension_type]
    pub norm: Affine<B>,
}

impl<B: Backend> AttentionWeights<B> {
    /// In the order in which gradients are returned.
    fn parts(&self) -> [&Affine<B>; 5] {
        [&self.query, &self.key, &self.value, &self.output, &self.norm]
    }
}

/// Parameters of a [`FeedForwardBlock`]; `I` is the intermediate size.
#[derive(Debug, Clone, ExtensionType)]
pub struct FeedForwardWeights<B: Backend> {
    /// `[I, H]`
    #[extension_type]
    pub intermediate: Affine<B>,
    /// `[H, I]`
    #[extension_type]
    pub output: Affine<B>,
    /// `[H]`
    #[extension_type]
    pub norm: Affine<B>,
}

impl<B: Backend> FeedForwardWeights<B> {
    /// In the order in which gradients are returned.
    fn parts(&self) -> [&Affine<B>; 3] {
        [&self.intermediate, &self.output, &self.norm]
    }
}

/// What is added to the scores of attention.
#[derive(Debug, Clone, ExtensionType)]
pub enum ScoreBias<B: Backend> {
    /// Nothing.
    None,
    /// `[num_heads, 2 D + 1]`: the score of (i, j) gets column `j - i + D`.
    ByDistance(FloatTensor<B>),
}

impl<B: Backend> ScoreBias<B> {
    fn by_distance(&self) -> Option<&FloatTensor<B>> {
        match self {
            Self::None => None,
            Self::ByDistance(bias) => Some(bias),
        }
    }
}

/// How a backend computes blocks, forward and backward; there is no tape here.
pub trait BlockOps: EncoderOps {
    /// What the attention block's forward pass leaves for its backward pass.
    type AttentionSaved: Clone + Debug + Send + 'static;
    /// What the feed-forward block's forward pass leaves for its backward pass.
    type FeedForwardSaved: Clone + Debug + Send + 'static;

    /// The block's output `[T, H]`; `x` `[T, H]`.
    fn attention_block_evaluate(
        x: FloatTensor<Self>,
        weights: AttentionWeights<Self>,
        bias: ScoreBias<Self>,
        block: AttentionBlock,
    ) -> FloatTensor<Self>;

    /// The same, and what the backward pass needs.
    fn attention_block_forward(
        x: FloatTensor<Self>,
        weights: AttentionWeights<Self>,
        bias: ScoreBias<Self>,
        block: AttentionBlock,
    ) -> (FloatTensor<Self>, Self::AttentionSaved);

    /// Gradients of x, of the weights in their order (each part's weight, then its bias), and of the score bias if
    /// there is one.
    fn attention_block_backward(saved: Self::AttentionSaved, dy: FloatTensor<Self>)
    -> Vec<FloatTensor<Self>>;

    /// The block's output `[T, H]`; `x` `[T, H]`.
    fn feed_forward_block_evaluate(
        x: FloatTensor<Self>,
        weights: FeedForwardWeights<Self>,
        block: FeedForwardBlock,
    ) -> FloatTensor<Self>;

    /// The same, and what the backward pass needs.
    fn feed_forward_block_forward(
        x: FloatTensor<Self>,
        weights: FeedForwardWeights<Self>,
        block: FeedForwardBlock,
    ) -> (FloatTensor<Self>, Self::FeedForwardSaved);

    /// Gradients of x and of the weights in their order.
    fn feed_forward_block_backward(
        saved: Self::FeedForwardSaved,
        dy: FloatTensor<Self>,
    ) -> Vec<FloatTensor<Self>>;
}
