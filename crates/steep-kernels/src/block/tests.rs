//! Numerical truth of the blocks is held by the encoder's goldens and by the composed operations there; here, what is
//! particular to kernels.

use super::*;
use crate::activation::Activation;
use crate::attention::{AttentionShape, PositionBias, Visibility};
use crate::dropout::Dropout;
use crate::testing::{assert_close, numbers, same_for_any_thread_count, wide};
use half::bf16;

const HIDDEN: usize = 24;
const INNER: usize = 70;
const HEADS: usize = 3;
const OFFSETS: [u32; 7] = [0, 1, 1, 60, 130, 131, 190];
const TOKENS: usize = 190;
const DROPOUT: Dropout = Dropout { probability: 0.1, seed: 7 };

/// All weights of a block, one after the other, of a size that keeps activations near 1.
struct Weights(Vec<Vec<f32>>);

impl Weights {
    fn new(lengths: &[usize]) -> Self {
        let seeds = 10..;
        Self(lengths.iter().zip(seeds).map(|(length, seed)| small(*length, seed)).collect())
    }

    fn attention() -> Self {
        let square = HIDDEN * HIDDEN;
        Self::new(&[square, HIDDEN, square, HIDDEN, square, HIDDEN, square, HIDDEN, HIDDEN, HIDDEN])
    }

    fn feed_forward() -> Self {
        Self::new(&[INNER * HIDDEN, INNER, HIDDEN * INNER, HIDDEN, HIDDEN, HIDDEN])
    }

    fn as_attention(&self) -> AttentionWeights<'_> {
        let Self(list) = self;
        AttentionWeights {
            projections: [&list[0], &list[2], &list[4]],
            biases: [&list[1], &list[3], &list[5]],
            output: &list[6],
            output_bias: &list[7],
            gamma: &list[8],
            beta: &list[9],
        }
    }

    fn as_feed_forward(&self) -> FeedForwardWeights<'_> {
        let Self(list) = self;
        FeedForwardWeights {
            intermediate: &list[0],
            intermediate_bias: &list[1],
            output: &list[2],
            output_bias: &list[3],
            gamma: &list[4],
            beta: &list[5],
        }
    }
}

fn small(length: usize, seed: u64) -> Vec<f32> {
    numbers(length, seed).into_iter().map(|value| 0.4 * value).collect()
}

fn attention_block(bias: Option<&[f32]>) -> AttentionBlock<'_> {
    AttentionBlock {
        shape: AttentionShape {
            offsets: &OFFSETS,
            key_offsets: None,
            num_heads: HEADS,
            head_dim: HIDDEN / HEADS,
            visibility: Visibility::Bidirectional,
        },
        position_bias: bias
            .map(|values| PositionBias { values, max_distance: (values.len() / HEADS - 1) / 2 }),
        scale: 0.35,
        attention_dropout: DROPOUT,
        epsilon: 1e-5,
        dropout: Dropout { seed: 8, ..DROPOUT },
    }
}

const FEED_FORWARD: FeedForwardBlock =
    FeedForwardBlock { activation: Activation::Gelu, epsilon: 1e-5, dropout: DROPOUT };

/// The output of an evaluation.
fn evaluated_attention(operands: Operands) -> Vec<f32> {
    let weights = Weights::attention();
    let weights = weights.as_attention();
    let bias = numbers(HEADS * 141, 3);
    let block = attention_block(Some(&bias));
    let x = numbers(TOKENS * HIDDEN, 1);
    let prepared = PreparedAttention::new(weights, operands);
    match operands.precision() {
        Precision::F32 => attention_block_forward::<f32>(&x, weights, &prepared, block, false).0,
        Precision::Bf16 => attention_block_forward::<bf16>(&x, weights, &prepared, block, false).0,
    }
}

/// The output of an evaluation.
fn evaluated_feed_forward(operands: Operands) -> Vec<f32> {
    let weights = Weights::feed_forward();
    let weights = weights.as_feed_forward();
    let x = numbers(TOKENS * HIDDEN, 1);
    let prepared = PreparedFeedForward::new(weights, operands);
    match operands.precision() {
        Precision::F32 => feed_forward_block_forward::<f32>(&x, weights, &prepared, FEED_FORWARD, false).0,
        Precision::Bf16 => feed_forward_block_forward::<bf16>(&x, weights, &prepared, FEED_FORWARD, false).0,
    }
}

/// What a backward pass needs of the input.
fn needed<E: Operand>(x: &[f32]) -> &[f32] {
    if E::PRECISION == Precision::F32 { x } else { &[] }
}

/// Output and all gradients, one after the other.
fn attention<E: Operand>() -> Vec<f32> {
    let weights = Weights::attention();
    let weights = weights.as_attention();
    let bias = numbers(HEADS * 141, 3);
    let block = attention_block(Some(&bias));
    let (x, dy) = (numbers(TOKENS * HIDDEN, 1), numbers(TOKENS * HIDDEN, 2));
    let prepared = PreparedAttention::new(weights, Operands::Float(E::PRECISION));
    let (mut all, saved) = attention_block_forward::<E>(&x, weights, &prepared, block, true);
    let saved = saved.expect("kept");
    let gradients = attention_block_backward(needed::<E>(&x), weights, block, &saved, &dy);
    all.extend(gradients.x);
    all.extend(gradients.projections.concat());
    all.extend(gradients.biases.concat());
    for list in [gradients.output, gradients.output_bias, gradients.gamma, gradients.beta] {
        all.extend(list);
    }
    all.extend(gradients.position_bias.expect("there is a bias"));
    all
}

/// As [`attention`].
fn feed_forward<E: Operand>() -> Vec<f32> {
    let weights = Weights::feed_forward();
    let weights = weights.as_feed_forward();
    let (x, dy) = (numbers(TOKENS * HIDDEN, 1), numbers(TOKENS * HIDDEN, 2));
    let prepared = PreparedFeedForward::new(weights, Operands::Float(E::PRECISION));
    let (mut all, saved) = feed_forward_block_forward::<E>(&x, weights, &prepared, FEED_FORWARD, true);
    let saved = saved.expect("kept");
    let gradients = feed_forward_block_backward(needed::<E>(&x), weights, FEED_FORWARD, &saved, &dy);
    for list in [gradients.x, gradients.intermediate, gradients.intermediate_bias, gradients.output] {
        all.extend(list);
    }
    for list in [gradients.output_bias, gradients.gamma, gradients.beta] {
        all.extend(list);
    }
    all
}

#[test]
fn threads_do_not_change_the_bits() {
    same_for_any_thread_count(attention::<f32>);
    same_for_any_thread_count(attention::<bf16>);
    same_for_any_thread_count(feed_forward::<f32>);
    same_for_any_thread_count(feed_forward::<bf16>);
}

/// Dropout is the only difference between the two, and the blocks here have it in both.
#[test]
fn evaluation_computes_what_training_computes() {
    let size = TOKENS * HIDDEN;
    let [f32, bf16] = [Precision::F32, Precision::Bf16].map(Operands::Float);
    assert_eq!(evaluated_attention(f32), attention::<f32>()[..size]);
    assert_eq!(evaluated_attention(bf16), attention::<bf16>()[..size]);
    assert_eq!(evaluated_feed_forward(f32), feed_forward::<f32>()[..size]);
    assert_eq!(evaluated_feed_forward(bf16), feed_forward::<bf16>()[..size]);
}

/// Rounding to 8 bits of mantissa costs 2^-9 an operand.
#[test]
fn bf16_is_near_f32() {
    assert_close(&attention::<bf16>(), &wide(&attention::<f32>()), 0.05);
    assert_close(&feed_forward::<bf16>(), &wide(&feed_forward::<f32>()), 0.05);
}

/// Seven bits of mantissa at the largest value of a row or channel.
#[test]
fn int8_is_near_f32() {
    let f32 = Operands::Float(Precision::F32);
    assert_close(&evaluated_attention(Operands::Int8), &wide(&evaluated_attention(f32)), 0.05);
    assert_close(&evaluated_feed_forward(Operands::Int8), &wide(&evaluated_feed_forward(f32)), 0.05);
}
