//! Which operations are hot, and what does each backend do for them?
//!
//! Every hot operation of an encoder, forward and backward, is a method of [`EncoderOps`], an
//! extension of Burn's backends. `Flex` (the CPU) calls `steep-kernels`; any other backend falls
//! back to the default bodies, which compose Burn's own operations ([`compose`]); one glue
//! (`tape`) puts them on the autodiff tape for every backend alike. A new kernel replaces a body
//! in `flex` and no file of a model changes.
//!
//! Letters: `T` tokens of a packed batch, `I`/`O` in and out features, `H` hidden size,
//! `V` vocabulary size, `N` rows of logits.

pub mod block;
pub mod compose;
mod flex;
mod tape;
#[cfg(test)]
pub(super) mod tests;

use block::{AttentionBlock, AttentionWeights, FeedForwardBlock, FeedForwardWeights, Precision, ScoreBias};
use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, backend_extension};
use std::sync::Arc;

pub(crate) use flex::values;
pub use steep_kernels::activation::Activation;
pub use steep_kernels::attention::Visibility;
pub use steep_kernels::dropout::Dropout;
pub use steep_kernels::optimizer::AdamWStep;

/// The geometry of attention over packed sequences.
#[derive(Debug, Clone)]
pub struct AttentionGeometry {
    /// Sequence `b` holds the tokens `offsets[b]..offsets[b + 1]`.
    pub offsets: Arc<[u32]>,
    /// The same of keys and values in cross-attention; `None` where a sequence listens to itself.
    pub key_offsets: Option<Arc<[u32]>>,
    /// Which keys of its sequence a query listens to.
    pub visibility: Visibility,
    /// Number of heads; divides the hidden size.
    pub num_heads: usize,
    /// Multiplies the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Dropout on the probabilities, after the softmax.
    pub dropout: Dropout,
}

/// The hot operations of an encoder. Methods that end in `_forward` or `_backward` know no tape;
/// the others are what models call.
#[backend_extension(Flex, Autodiff)]
pub trait EncoderOps: burn::backend::Backend {
    /// `y = x Wᵀ + b`. `x` `[T, I]`, `weight` `[O, I]`, `bias` `[O]` → `[T, O]`. The default bodies of linear layers
    /// compute in the backend's own precision.
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let _ = precision;
        compose::linear_forward::<Self>(x, weight, bias)
    }

    /// Gradient with respect to `x`: `dy` `[T, O]`, `weight` `[O, I]` → `[T, I]`.
    fn linear_backward_input(
        dy: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let _ = precision;
        Self::float_matmul(dy, weight)
    }

    /// Gradient with respect to `weight`: `dy` `[T, O]`, `x` `[T, I]` → `[O, I]`.
    fn linear_backward_weight(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let _ = precision;
        Self::float_matmul(Self::float_transpose(dy), x)
    }

    /// Gradient with respect to `bias`: `dy` `[T, O]` → `[O]`.
    fn linear_backward_bias(dy: FloatTensor<Self>) -> FloatTensor<Self> {
        compose::sum_rows::<Self>(dy)
    }

    /// `act(x)`, element by element.
    fn activation_forward(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        compose::activation_forward::<Self>(x, activation)
    }

    /// `dy · act'(x)`, element by element.
    fn activation_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        compose::activation_backward::<Self>(x, dy, activation)
    }

    /// `LayerNorm(dropout(x) + residual)`; `x`, `residual` `[T, H]`, `gamma`, `beta` `[H]`.
    /// Returns y `[T, H]`, mean `[T]` and 1/deviation `[T]`.
    fn add_norm_forward(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        dropout: Dropout,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let sum = Self::float_add(Self::dropout_forward(x, dropout), residual);
        compose::layer_norm_forward::<Self>(sum, gamma, beta, epsilon)
    }

    /// Gradients of [`EncoderOps::add_norm_forward`]: dx, dresidual, dgamma, dbeta.
    fn add_norm_backward(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        inverse_deviation: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        dropout: Dropout,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let sum = Self::float_add(Self::dropout_forward(x, dropout), residual);
        let (dsum, dgamma, dbeta) =
            compose::layer_norm_backward::<Self>(sum, gamma, mean, inverse_deviation, dy);
        (Self::dropout_forward(dsum.clone(), dropout), dsum, dgamma, dbeta)
    }

    /// `LayerNorm(x)`. Returns y `[T, H]`, mean `[T]` and 1/deviation `[T]`.
    fn layer_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        compose::layer_norm_forward::<Self>(x, gamma, beta, epsilon)
    }

    /// Gradients of [`EncoderOps::layer_norm_forward`]: dx, dgamma, dbeta.
    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        inverse_deviation: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        compose::layer_norm_backward::<Self>(x, gamma, mean, inverse_deviation, dy)
    }

    /// Inverted dropout by a counter, no mask stored; its own backward.
    fn dropout_forward(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        compose::dropout::<Self>(x, dropout)
    }

    /// Attention within each sequence, or from each to the one of the same number. `query` `[T, H]`, `key`, `value`
    /// `[K, H]`. Returns the context `[T, H]` and log Σ exp of the scores `[T, num_heads]`.
    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        compose::attention_forward::<Self>(query, key, value, None, &geometry)
    }

    /// Gradients of [`EncoderOps::attention_forward`]: dquery, dkey, dvalue.
    fn attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        context: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        dcontext: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let position_bias = None;
        let saved = compose::AttentionSaved { query, key, value, position_bias, context, log_sum_exp };
        let (dquery, dkey, dvalue, _) = compose::attention_backward::<Self>(saved, dcontext, &geometry);
        (dquery, dkey, dvalue)
    }

    /// As [`EncoderOps::attention_forward`] with a bias by distance: `position_bias`
    /// `[num_heads, 2 D + 1]` is added to the score of (i, j) at column `j - i + D`.
    fn biased_attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        position_bias: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        compose::attention_forward::<Self>(query, key, value, Some(position_bias), &geometry)
    }

    /// Gradients of [`EncoderOps::biased_attention_forward`]: dquery, dkey, dvalue, dbias.
    fn biased_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        position_bias: FloatTensor<Self>,
        context: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        dcontext: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let position_bias = Some(position_bias);
        let saved = compose::AttentionSaved { query, key, value, position_bias, context, log_sum_exp };
        let (dquery, dkey, dvalue, dbias) = compose::attention_backward::<Self>(saved, dcontext, &geometry);
        (dquery, dkey, dvalue, dbias.expect("a bias was given, so its gradient is returned"))
    }

    /// Rows of a table: `weight` `[V, H]` at `ids` (length T) → `[T, H]`.
    fn embed_forward(weight: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        compose::embedding_forward::<Self>(weight, &ids)
    }

    /// Gradient of the table: `dy` `[T, H]` added into `total` `[V, H]` at `ids`.
    fn embed_backward(total: FloatTensor<Self>, dy: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        compose::embedding_backward::<Self>(total, dy, &ids)
    }

    /// Cross-entropy of each row of `logits` `[N, V]` against its label, with torch's label
    /// smoothing. Returns losses `[N]` and log Σ exp `[N]`.
    fn cross_entropy_forward(
        logits: FloatTensor<Self>,
        labels: Arc<[u32]>,
        label_smoothing: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        compose::cross_entropy_forward::<Self>(logits, &labels, label_smoothing)
    }

    /// Gradient of [`EncoderOps::cross_entropy_forward`] with respect to the logits.
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        dlosses: FloatTensor<Self>,
        labels: Arc<[u32]>,
        label_smoothing: f32,
    ) -> FloatTensor<Self> {
        compose::cross_entropy_backward::<Self>(logits, log_sum_exp, dlosses, &labels, label_smoothing)
    }

    /// One AdamW step of one parameter; returns parameter, first and second moment.
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        compose::adamw::<Self>(parameter, gradient, first_moment, second_moment, &step)
    }

    /// Σ x², as a tensor of one element.
    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_sum(Self::float_mul(x.clone(), x))
    }

    /// `y = x Wᵀ + b` with gradients.
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Self::linear_forward(x, weight, bias, precision)
    }

    /// `act(x Wᵀ + b)` with gradients.
    fn linear_activation(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Self::activation_forward(Self::linear_forward(x, weight, bias, precision), activation)
    }

    /// `act(x)`, element by element, with gradients.
    fn activation(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        Self::activation_forward(x, activation)
    }

    /// Self-attention with residual and LayerNorm, with gradients.
    fn attention_block(
        x: FloatTensor<Self>,
        #[extension_type] weights: AttentionWeights<Self>,
        #[extension_type] bias: ScoreBias<Self>,
        block: AttentionBlock,
    ) -> FloatTensor<Self> {
        block::compose::attention_block_forward::<Self>(x, weights, bias, block).0
    }

    /// Feed-forward with residual and LayerNorm, with gradients.
    fn feed_forward_block(
        x: FloatTensor<Self>,
        #[extension_type] weights: FeedForwardWeights<Self>,
        block: FeedForwardBlock,
    ) -> FloatTensor<Self> {
        block::compose::feed_forward_block_forward::<Self>(x, weights, block).0
    }

    /// Cross-entropy of `softmax(x weightᵀ + bias)` against the labels. `x` `[N, H]`, `weight` `[V, H]`, `bias` `[V]`.
    /// Returns losses `[N]` and log Σ exp `[N]`.
    fn linear_cross_entropy_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        Self::cross_entropy_forward(Self::linear_forward(x, weight, bias, precision), labels, 0.0)
    }

    /// Gradients of [`EncoderOps::linear_cross_entropy_forward`]: dx, dweight, dbias.
    fn linear_cross_entropy_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        dlosses: FloatTensor<Self>,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let logits = Self::linear_forward(x.clone(), weight.clone(), bias, precision);
        let dlogits = Self::cross_entropy_backward(logits, log_sum_exp, dlosses, labels, 0.0);
        let dweight = Self::linear_backward_weight(dlogits.clone(), x, precision);
        let dbias = Self::linear_backward_bias(dlogits.clone());
        (Self::linear_backward_input(dlogits, weight, precision), dweight, dbias)
    }

    /// Cross-entropy of a linear layer's logits, with gradients.
    fn linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Self::linear_cross_entropy_forward(x, weight, bias, labels, precision).0
    }

    /// `LayerNorm(dropout(x) + residual)` with gradients.
    fn add_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        Self::add_norm_forward(x, residual, gamma, beta, epsilon, dropout).0
    }

    /// `LayerNorm(x)` with gradients.
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        Self::layer_norm_forward(x, gamma, beta, epsilon).0
    }

    /// Inverted dropout with gradients.
    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        Self::dropout_forward(x, dropout)
    }

    /// Attention within each packed sequence, with gradients.
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> FloatTensor<Self> {
        Self::attention_forward(query, key, value, geometry).0
    }

    /// Attention with a bias by relative position, with gradients (also of the bias).
    fn biased_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        position_bias: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> FloatTensor<Self> {
        Self::biased_attention_forward(query, key, value, position_bias, geometry).0
    }

    /// Rows of a table, with a gradient for the table.
    fn embedding(weight: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        Self::embed_forward(weight, ids)
    }

    /// Cross-entropy of each row, with gradients.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        labels: Arc<[u32]>,
        label_smoothing: f32,
    ) -> FloatTensor<Self> {
        Self::cross_entropy_forward(logits, labels, label_smoothing).0
    }
}

/// `x Wᵀ + b`. `x` `[T, I]`, `weight` `[O, I]`, `bias` `[O]` → `[T, O]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, precision: Precision) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::linear(x, weight, bias, precision))
}

/// `act(x Wᵀ + b)`. Shapes as [`linear`].
pub fn linear_activation(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
    precision: Precision,
) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::linear_activation(x, weight, bias, activation, precision))
}

/// `act(x)`, element by element.
pub fn activation(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::activation(x.into_dispatch(), activation))
}

/// Self-attention with residual and LayerNorm: `x` `[T, H]` → `[T, H]`; `bias`
/// `[num_heads, 2 D + 1]` by distance.
pub fn attention_block(
    x: Tensor<2>,
    weights: AttentionWeights<Dispatch>,
    bias: Option<Tensor<2>>,
    block: AttentionBlock,
) -> Tensor<2> {
    let bias = bias.map_or(ScoreBias::None, |bias| ScoreBias::ByDistance(bias.into_dispatch()));
    Tensor::from_dispatch(Dispatch::attention_block(x.into_dispatch(), weights, bias, block))
}

/// Feed-forward with residual and LayerNorm: `x` `[T, H]` → `[T, H]`.
pub fn feed_forward_block(
    x: Tensor<2>,
    weights: FeedForwardWeights<Dispatch>,
    block: FeedForwardBlock,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::feed_forward_block(x.into_dispatch(), weights, block))
}

/// Cross-entropy of `softmax(x weightᵀ + bias)`: `x` `[N, H]`, `weight` `[V, H]`, `bias` `[V]`, labels of length N →
/// `[N]`. On the CPU the logits never exist as a whole.
pub fn linear_cross_entropy(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    labels: Arc<[u32]>,
    precision: Precision,
) -> Tensor<1> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::linear_cross_entropy(x, weight, bias, labels, precision))
}

/// `LayerNorm(dropout(x) + residual)`. `x`, `residual` `[T, H]`; `gamma`, `beta` `[H]` → `[T, H]`.
pub fn add_norm(
    x: Tensor<2>,
    residual: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    dropout: Dropout,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::add_norm(
        x.into_dispatch(),
        residual.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
        dropout,
    ))
}

/// `LayerNorm(x)`. `x` `[T, H]`; `gamma`, `beta` `[H]` → `[T, H]`.
pub fn layer_norm(x: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<2> {
    let (x, gamma, beta) = (x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    Tensor::from_dispatch(Dispatch::layer_norm(x, gamma, beta, epsilon))
}

/// Inverted dropout. Any shape is kept.
pub fn dropout(x: Tensor<2>, dropout: Dropout) -> Tensor<2> {
    if dropout == Dropout::NONE {
        return x;
    }
    Tensor::from_dispatch(Dispatch::dropout(x.into_dispatch(), dropout))
}

/// Attention of packed sequences. `query` `[T, H]`, `key`, `value` `[K, H]` → `[T, H]`; K is T but in cross-attention.
/// `position_bias` `[num_heads, 2 D + 1]`, where D is at least the longest sequence less one.
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    position_bias: Option<Tensor<2>>,
    geometry: AttentionGeometry,
) -> Tensor<2> {
    let (query, key, value) = (query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(match position_bias {
        None => Dispatch::attention(query, key, value, geometry),
        Some(bias) => Dispatch::biased_attention(query, key, value, bias.into_dispatch(), geometry),
    })
}

/// Rows of a table. `weight` `[V, H]`, `ids` of length T → `[T, H]`.
pub fn embedding(weight: Tensor<2>, ids: Arc<[u32]>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::embedding(weight.into_dispatch(), ids))
}

/// `total` `[V, H]` with the rows of `rows` `[T, H]` added at `ids` of length T; not for the tape. On the CPU it works in
/// place if the caller holds the only reference.
pub fn add_rows(total: Tensor<2>, rows: Tensor<2>, ids: Arc<[u32]>) -> Tensor<2> {
    let (total, rows) = (total.into_dispatch(), rows.into_dispatch());
    Tensor::from_dispatch(Dispatch::embed_backward(total, rows, ids))
}

/// Cross-entropy of each row. `logits` `[N, V]`, `labels` of length N → `[N]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Arc<[u32]>, label_smoothing: f32) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), labels, label_smoothing))
}

/// One AdamW step of one parameter: parameter, gradient, first and second moment of one shape.
/// On the CPU it works in place if the caller holds the only references.
pub fn adamw<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    first_moment: Tensor<D>,
    second_moment: Tensor<D>,
    step: AdamWStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let (parameter, first_moment, second_moment) = Dispatch::adamw(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        first_moment.into_dispatch(),
        second_moment.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(parameter),
        Tensor::from_dispatch(first_moment),
        Tensor::from_dispatch(second_moment),
    )
}

/// Σ x².
pub fn sum_of_squares<const D: usize>(x: Tensor<D>) -> f32 {
    Tensor::<1>::from_dispatch(Dispatch::sum_of_squares(x.into_dispatch())).into_scalar::<f32>()
}
