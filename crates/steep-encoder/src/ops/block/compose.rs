//! Blocks composed of the finer operations, for backends without kernels for whole blocks.
//! Nothing is computed again.

use super::{AttentionBlock, AttentionWeights, FeedForwardBlock, FeedForwardWeights, Precision};
use crate::ops::EncoderOps;
use burn::backend::tensor::FloatTensor;

/// What [`attention_block_forward`] leaves.
#[derive(Debug, Clone)]
pub struct AttentionSaved<B: EncoderOps> {
    x: FloatTensor<B>,
    weights: AttentionWeights<FloatTensor<B>>,
    position_bias: Option<FloatTensor<B>>,
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
    weights: AttentionWeights<FloatTensor<B>>,
    position_bias: Option<FloatTensor<B>>,
    block: AttentionBlock,
) -> (FloatTensor<B>, AttentionSaved<B>) {
    let precision = block.mode.precision;
    let project = |[weight, bias]: &[FloatTensor<B>; 2]| {
        B::linear_forward(x.clone(), weight.clone(), bias.clone(), precision)
    };
    let (query, key, value) = (project(&weights.query), project(&weights.key), project(&weights.value));
    let geometry = block.geometry.clone();
    let (context, log_sum_exp) = match &position_bias {
        None => B::attention_forward(query.clone(), key.clone(), value.clone(), geometry),
        Some(bias) => {
            B::biased_attention_forward(query.clone(), key.clone(), value.clone(), bias.clone(), geometry)
        }
    };
    let [weight, bias] = weights.output.clone();
    let attended = B::linear_forward(context.clone(), weight, bias, precision);
    let [gamma, beta] = weights.norm.clone();
    let (y, mean, inverse_deviation) =
        B::add_norm_forward(attended.clone(), x.clone(), gamma, beta, block.epsilon, block.dropout);
    let saved = AttentionSaved {
        x,
        weights,
        position_bias,
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
pub fn attention_block_backward<B: EncoderOps>(saved: AttentionSaved<B>, dy: FloatTensor<B>) -> Vec<FloatTensor<B>> {
    let AttentionSaved { x, weights, position_bias, query, key, value, context, log_sum_exp, block, .. } = saved;
    let (dattended, mut dx, dgamma, dbeta) = B::add_norm_backward(
        saved.attended,
        x.clone(),
        weights.norm[0].clone(),
        saved.mean,
        saved.inverse_deviation,
        dy,
        block.dropout,
    );
    let (dcontext, doutput) = linear_backward::<B>(context.clone(), &weights.output, dattended, block.mode.precision);
    let geometry = block.geometry.clone();
    let (dquery, dkey, dvalue, dposition_bias) = match position_bias {
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
                bias,
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
    gradients.extend(dposition_bias);
    gradients
}

/// What [`feed_forward_block_forward`] leaves.
#[derive(Debug, Clone)]
pub struct FeedForwardSaved<B: EncoderOps> {
    x: FloatTensor<B>,
    weights: FeedForwardWeights<FloatTensor<B>>,
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
    weights: FeedForwardWeights<FloatTensor<B>>,
    block: FeedForwardBlock,
) -> (FloatTensor<B>, FeedForwardSaved<B>) {
    let [weight, bias] = weights.intermediate.clone();
    let before = B::linear_forward(x.clone(), weight, bias, block.mode.precision);
    let inner = B::activation_forward(before.clone(), block.activation);
    let [weight, bias] = weights.output.clone();
    let outer = B::linear_forward(inner.clone(), weight, bias, block.mode.precision);
    let [gamma, beta] = weights.norm.clone();
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
        weights.norm[0].clone(),
        saved.mean,
        saved.inverse_deviation,
        dy,
        block.dropout,
    );
    let (dinner, doutput) = linear_backward::<B>(saved.inner, &weights.output, douter, block.mode.precision);
    let dbefore = B::activation_backward(saved.before, dinner, block.activation);
    let (dinput, dintermediate) = linear_backward::<B>(x, &weights.intermediate, dbefore, block.mode.precision);
    let mut gradients = vec![B::float_add(dresidual, dinput)];
    gradients.extend(dintermediate);
    gradients.extend(doutput);
    gradients.extend([dgamma, dbeta]);
    gradients
}

/// Gradients of a linear layer's input, and of its weight and bias.
fn linear_backward<B: EncoderOps>(
    x: FloatTensor<B>,
    [weight, _]: &[FloatTensor<B>; 2],
    dy: FloatTensor<B>,
    precision: Precision,
) -> (FloatTensor<B>, [FloatTensor<B>; 2]) {
    let dweight = B::linear_backward_weight(dy.clone(), x, precision);
    let dbias = B::linear_backward_bias(dy.clone());
    (B::linear_backward_input(dy, weight.clone(), precision), [dweight, dbias])
}
