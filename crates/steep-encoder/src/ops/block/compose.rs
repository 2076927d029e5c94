//! Blocks composed of the finer operations, for backends without kernels for whole blocks.
//! Nothing is computed again.

use super::{
    Affine, AttentionBlock, AttentionWeights, FeedForwardBlock, FeedForwardWeights, Precision, ScoreBias,
};
use crate::ops::EncoderOps;
use burn::backend::tensor::FloatTensor;

/// What [`attention_block_forward`] leaves.
#[derive(Debug, Clone)]
pub struct AttentionSaved<B: EncoderOps> {
    x: FloatTensor<B>,
    weights: AttentionWeights<B>,
    bias: ScoreBias<B>,
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    context: FloatTensor<B>,
    log_sum_exp: FloatTensor<B>,
    attended: FloatTensor<B>,
    mean: FloatTensor<B>,
    inverse_deviation: FloatTensor<B>,
    block: AttentionBlock,
}

/// Output and what the backward pass needs; see [`BlockOps::attention_block_forward`](super::BlockOps).
pub fn attention_block_forward<B: EncoderOps>(
    x: FloatTensor<B>,
    weights: AttentionWeights<B>,
    bias: ScoreBias<B>,
    block: AttentionBlock,
) -> (FloatTensor<B>, AttentionSaved<B>) {
    let precision = block.mode.precision;
    let project = |layer: &Affine<B>| linear_forward::<B>(x.clone(), layer, precision);
    let (query, key, value) = (project(&weights.query), project(&weights.key), project(&weights.value));
    let geometry = block.geometry.clone();
    let (context, log_sum_exp) = match bias.by_distance() {
        None => B::attention_forward(query.clone(), key.clone(), value.clone(), geometry),
        Some(bias) => {
            B::biased_attention_forward(query.clone(), key.clone(), value.clone(), bias.clone(), geometry)
        }
    };
    let attended = linear_forward::<B>(context.clone(), &weights.output, precision);
    let Affine { weight: gamma, bias: beta } = weights.norm.clone();
    let (y, mean, inverse_deviation) =
        B::add_norm_forward(attended.clone(), x.clone(), gamma, beta, block.epsilon, block.dropout);
    let saved = AttentionSaved {
        x,
        weights,
        bias,
        query,
        key,
        value,
        context,
        log_sum_exp,
        attended,
        mean,
        inverse_deviation,
        block,
    };
    (y, saved)
}

/// Gradients of x, weights and position bias; see [`BlockOps::attention_block_backward`](super::BlockOps).
pub fn attention_block_backward<B: EncoderOps>(
    saved: AttentionSaved<B>,
    dy: FloatTensor<B>,
) -> Vec<FloatTensor<B>> {
    let AttentionSaved { x, weights, bias, query, key, value, context, log_sum_exp, block, .. } = saved;
    let (dattended, mut dx, dgamma, dbeta) = B::add_norm_backward(
        saved.attended,
        x.clone(),
        weights.norm.weight.clone(),
        saved.mean,
        saved.inverse_deviation,
        dy,
        block.dropout,
    );
    let (dcontext, doutput) =
        linear_backward::<B>(context.clone(), &weights.output, dattended, block.mode.precision);
    let geometry = block.geometry.clone();
    let (dquery, dkey, dvalue, dbias) = match bias.by_distance() {
        None => {
            let (dquery, dkey, dvalue) =
                B::attention_backward(query, key, value, context, log_sum_exp, dcontext, geometry);
            (dquery, dkey, dvalue, None)
        }
        Some(bias) => {
            let (dquery, dkey, dvalue, dbias) = B::biased_attention_backward(
                query,
                key,
                value,
                bias.clone(),
                context,
                log_sum_exp,
                dcontext,
                geometry,
            );
            (dquery, dkey, dvalue, Some(dbias))
        }
    };
    let mut gradients = Vec::new();
    for (weights, dy) in [(&weights.query, dquery), (&weights.key, dkey), (&weights.value, dvalue)] {
        let (dinput, dweights) = linear_backward::<B>(x.clone(), weights, dy, block.mode.precision);
        dx = B::float_add(dx, dinput);
        gradients.extend(dweights);
    }
    gradients.insert(0, dx);
    gradients.extend(doutput);
    gradients.extend([dgamma, dbeta]);
    gradients.extend(dbias);
    gradients
}

/// What [`feed_forward_block_forward`] leaves.
#[derive(Debug, Clone)]
pub struct FeedForwardSaved<B: EncoderOps> {
    x: FloatTensor<B>,
    weights: FeedForwardWeights<B>,
    before: FloatTensor<B>,
    inner: FloatTensor<B>,
    outer: FloatTensor<B>,
    mean: FloatTensor<B>,
    inverse_deviation: FloatTensor<B>,
    block: FeedForwardBlock,
}

/// Output and what the backward pass needs; see [`BlockOps::feed_forward_block_forward`](super::BlockOps).
pub fn feed_forward_block_forward<B: EncoderOps>(
    x: FloatTensor<B>,
    weights: FeedForwardWeights<B>,
    block: FeedForwardBlock,
) -> (FloatTensor<B>, FeedForwardSaved<B>) {
    let precision = block.mode.precision;
    let before = linear_forward::<B>(x.clone(), &weights.intermediate, precision);
    let inner = B::activation_forward(before.clone(), block.activation);
    let outer = linear_forward::<B>(inner.clone(), &weights.output, precision);
    let Affine { weight: gamma, bias: beta } = weights.norm.clone();
    let (y, mean, inverse_deviation) =
        B::add_norm_forward(outer.clone(), x.clone(), gamma, beta, block.epsilon, block.dropout);
    (y, FeedForwardSaved { x, weights, before, inner, outer, mean, inverse_deviation, block })
}

/// Gradients of x and weights; see [`BlockOps::feed_forward_block_backward`](super::BlockOps).
pub fn feed_forward_block_backward<B: EncoderOps>(
    saved: FeedForwardSaved<B>,
    dy: FloatTensor<B>,
) -> Vec<FloatTensor<B>> {
    let FeedForwardSaved { x, weights, block, .. } = saved;
    let (douter, dresidual, dgamma, dbeta) = B::add_norm_backward(
        saved.outer,
        x.clone(),
        weights.norm.weight.clone(),
        saved.mean,
        saved.inverse_deviation,
        dy,
        block.dropout,
    );
    let (dinner, doutput) = linear_backward::<B>(saved.inner, &weights.output, douter, block.mode.precision);
    let dbefore = B::activation_backward(saved.before, dinner, block.activation);
    let (dinput, dintermediate) =
        linear_backward::<B>(x, &weights.intermediate, dbefore, block.mode.precision);
    let mut gradients = vec![B::float_add(dresidual, dinput)];
    gradients.extend(dintermediate);
    gradients.extend(doutput);
    gradients.extend([dgamma, dbeta]);
    gradients
}

fn linear_forward<B: EncoderOps>(
    x: FloatTensor<B>,
    layer: &Affine<B>,
    precision: Precision,
) -> FloatTensor<B> {
    B::linear_forward(x, layer.weight.clone(), layer.bias.clone(), precision)
}

/// Gradients of a linear layer's input, and of its weight and bias.
fn linear_backward<B: EncoderOps>(
    x: FloatTensor<B>,
    layer: &Affine<B>,
    dy: FloatTensor<B>,
    precision: Precision,
) -> (FloatTensor<B>, [FloatTensor<B>; 2]) {
    let dweight = B::linear_backward_weight(dy.clone(), x, precision);
    let dbias = B::linear_backward_bias(dy.clone());
    (B::linear_backward_input(dy, layer.weight.clone(), precision), [dweight, dbias])
}
