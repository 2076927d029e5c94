//! `y = LayerNorm(x + dropout(W₂ · activation(W₁ · x + b₁) + b₂))`.

use super::chunks::{Rows, of_tokens};
use super::epilogues::{ActivationGradient, Add, BiasActivation};
use super::residual_norm::{
    KeptNorm, NormRows, NormSaved, NormSums, Operand, ResidualNorm, add_up, backward_rows, or_scratch,
};
use super::{Operands, Prepared};
use crate::activation::Activation;
use crate::dispatch::Path;
use crate::dropout::{Dropout, Mask};
use crate::gemm::{Packed, QuantizedRows, product_rows, weight_gradient};
use crate::parallel::zeros;
use rayon::prelude::*;

/// The parameters of the block; `I` is the intermediate size.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardWeights<'a> {
    /// `[I, H]`
    pub intermediate: &'a [f32],
    /// `[I]`
    pub intermediate_bias: &'a [f32],
    /// `[H, I]`
    pub output: &'a [f32],
    /// `[H]`
    pub output_bias: &'a [f32],
    /// `[H]`
    pub gamma: &'a [f32],
    /// `[H]`
    pub beta: &'a [f32],
}

/// What the block does besides its weights.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardBlock {
    /// Between the two projections.
    pub activation: Activation,
    /// Of the LayerNorm.
    pub epsilon: f32,
    /// After the second projection; the index of an element is its position in `[T, H]`.
    pub dropout: Dropout,
}

/// Both projections as the forward pass reads them.
pub struct PreparedFeedForward {
    intermediate: Prepared,
    output: Prepared,
}

impl PreparedFeedForward {
    /// Brings the weights into order.
    pub fn new(weights: FeedForwardWeights, operands: Operands) -> Self {
        let (hidden, inner) = (weights.gamma.len(), weights.intermediate_bias.len());
        Self {
            intermediate: Prepared::forward(&[weights.intermediate], hidden, operands),
            output: Prepared::forward(&[weights.output], inner, operands),
        }
    }
}

/// What the backward pass needs, besides `x` in f32.
#[derive(Clone, Debug)]
pub struct FeedForwardSaved<E> {
    /// `x` as operand, `[T, H]`; empty for f32.
    x: Vec<E>,
    /// Input of the activation, `[T, I]`.
    before: Vec<E>,
    norm: NormSaved,
}

/// Gradients of input and parameters, shaped as they are.
#[derive(Debug)]
pub struct FeedForwardGradients {
    /// `[T, H]`
    pub x: Vec<f32>,
    /// `[I, H]`
    pub intermediate: Vec<f32>,
    /// `[I]`
    pub intermediate_bias: Vec<f32>,
    /// `[H, I]`
    pub output: Vec<f32>,
    /// `[H]`
    pub output_bias: Vec<f32>,
    /// `[H]`
    pub gamma: Vec<f32>,
    /// `[H]`
    pub beta: Vec<f32>,
}

/// The part of the batch that a task works on; what is not kept is empty and replaced by the task's scratch.
struct Chunk<'a, E> {
    first_row: usize,
    x: &'a [f32],
    y: &'a mut [f32],
    operand: &'a mut [E],
    before: &'a mut [E],
    norm: NormRows<'a>,
}

#[derive(Default)]
struct Scratch<E> {
    operand: Vec<E>,
    after: Vec<E>,
    norm: NormSaved,
    quantized: QuantizedRows,
}

/// The output, `[T, H]`, and with `keep` what the backward pass needs. `x` is `[T, H]`.
pub fn feed_forward_block_forward<E: Operand>(
    x: &[f32],
    weights: FeedForwardWeights,
    prepared: &PreparedFeedForward,
    block: FeedForwardBlock,
    keep: bool,
) -> (Vec<f32>, Option<FeedForwardSaved<E>>) {
    let (hidden, inner) = (weights.gamma.len(), weights.intermediate_bias.len());
    let tokens = x.len() / hidden;
    let kept = if keep { tokens } else { 0 };
    let mut y = zeros(x.len());
    let mut saved = FeedForwardSaved {
        x: zeros(E::kept_length(kept * hidden)),
        before: zeros(kept * inner),
        norm: NormSaved::new(kept, hidden),
    };
    let mask = block.dropout.flat_mask(x.len());
    let ranges = of_tokens(tokens);
    let (mut y_rows, mut operand) = (Rows::new(&mut y, hidden), Rows::new(&mut saved.x, hidden));
    let (mut before, mut norm) = (Rows::new(&mut saved.before, inner), saved.norm.rows(hidden));
    let chunks: Vec<Chunk<E>> = ranges
        .iter()
        .map(|range| Chunk {
            first_row: range.start,
            x: &x[range.start * hidden..range.end * hidden],
            y: y_rows.take(range.len()),
            operand: operand.take(range.len()),
            before: before.take(range.len()),
            norm: norm.take(range.len()),
        })
        .collect();
    chunks.into_par_iter().with_max_len(1).for_each_init(Scratch::default, |scratch, chunk| {
        forward_chunk(chunk, weights, prepared, block, mask, scratch);
    });
    (y, keep.then_some(saved))
}

fn forward_chunk<E: Operand>(
    chunk: Chunk<E>,
    weights: FeedForwardWeights,
    prepared: &PreparedFeedForward,
    block: FeedForwardBlock,
    mask: Option<Mask>,
    scratch: &mut Scratch<E>,
) {
    let (hidden, inner) = (weights.gamma.len(), weights.intermediate_bias.len());
    let rows = chunk.x.len() / hidden;
    let operand = or_scratch(chunk.operand, &mut scratch.operand, E::kept_length(rows * hidden));
    let operand = E::rows(chunk.x, operand);
    scratch.after.resize(rows * inner, E::default());
    let mut activation = BiasActivation {
        before: chunk.before,
        after: &mut scratch.after,
        stride: inner,
        bias: weights.intermediate_bias,
        activation: block.activation,
    };
    prepared.intermediate.rows(operand, rows, &mut scratch.quantized, &mut activation);
    let mut norm_rows = chunk.norm.or_scratch(&mut scratch.norm, rows, hidden);
    let norm = residual_norm(weights, block);
    let mut residual = norm.epilogue(norm_rows.sum, chunk.x, mask, chunk.first_row);
    prepared.output.rows(&scratch.after, rows, &mut scratch.quantized, &mut residual);
    norm.normalise(Path::best(), &mut norm_rows, chunk.y);
}

fn residual_norm(weights: FeedForwardWeights<'_>, block: FeedForwardBlock) -> ResidualNorm<'_> {
    ResidualNorm {
        bias: weights.output_bias,
        gamma: weights.gamma,
        beta: weights.beta,
        epsilon: block.epsilon,
    }
}

/// A chunk in the backward pass.
struct Backward<'a, E> {
    first_row: usize,
    dy: &'a [f32],
    before: &'a [E],
    norm: KeptNorm<'a>,
    dx: &'a mut [f32],
    dprojection: &'a mut [E],
    dbefore: &'a mut [E],
    after: &'a mut [E],
    sums: &'a mut [f32],
}

/// The gradients of [`feed_forward_block_forward`] with the same arguments; bf16 needs no `x`, since its operands were kept.
pub fn feed_forward_block_backward<E: Operand>(
    x: &[f32],
    weights: FeedForwardWeights,
    block: FeedForwardBlock,
    saved: &FeedForwardSaved<E>,
    dy: &[f32],
) -> FeedForwardGradients {
    let (hidden, inner) = (weights.gamma.len(), weights.intermediate_bias.len());
    let tokens = dy.len() / hidden;
    let ranges = of_tokens(tokens);
    let mut dx = zeros(dy.len());
    let mut dprojection = zeros(tokens * hidden);
    let mut dbefore = zeros(tokens * inner);
    let mut after = zeros(tokens * inner);
    let width = 3 * hidden + inner;
    let mut sums = vec![0.0; ranges.len() * width];
    let (mut by_output, mut by_intermediate) = (Packed::default(), Packed::default());
    by_output.pack(weights.output, hidden, inner, E::PRECISION);
    by_intermediate.pack(weights.intermediate, inner, hidden, E::PRECISION);
    let mask = block.dropout.flat_mask(dy.len());
    let (mut dx_rows, mut dprojection_rows) =
        (Rows::new(&mut dx, hidden), Rows::new(&mut dprojection, hidden));
    let (mut dbefore_rows, mut after_rows) = (Rows::new(&mut dbefore, inner), Rows::new(&mut after, inner));
    let chunks: Vec<Backward<E>> = ranges
        .iter()
        .zip(sums.chunks_exact_mut(width))
        .map(|(range, sums)| Backward {
            first_row: range.start,
            dy: &dy[range.start * hidden..range.end * hidden],
            before: &saved.before[range.start * inner..range.end * inner],
            norm: saved.norm.part(range, hidden),
            dx: dx_rows.take(range.len()),
            dprojection: dprojection_rows.take(range.len()),
            dbefore: dbefore_rows.take(range.len()),
            after: after_rows.take(range.len()),
            sums,
        })
        .collect();
    chunks.into_par_iter().with_max_len(1).for_each(|chunk| {
        backward_chunk(chunk, weights, block, mask, &by_output, &by_intermediate);
    });
    let totals = add_up(&sums, width);
    let (gamma, rest) = totals.split_at(hidden);
    let (beta, rest) = rest.split_at(hidden);
    let (output_bias, intermediate_bias) = rest.split_at(hidden);
    let operand = E::kept(x, &saved.x);
    let (output, intermediate) = rayon::join(
        || weight_gradient(&dprojection, hidden, &after, inner, tokens),
        || weight_gradient(&dbefore, inner, operand, hidden, tokens),
    );
    FeedForwardGradients {
        x: dx,
        intermediate,
        intermediate_bias: intermediate_bias.to_vec(),
        output,
        output_bias: output_bias.to_vec(),
        gamma: gamma.to_vec(),
        beta: beta.to_vec(),
    }
}

fn backward_chunk<E: Operand>(
    chunk: Backward<E>,
    weights: FeedForwardWeights,
    block: FeedForwardBlock,
    mask: Option<Mask>,
    by_output: &Packed,
    by_intermediate: &Packed,
) {
    let (hidden, inner) = (weights.gamma.len(), weights.intermediate_bias.len());
    let Backward { first_row, dy, before, norm, dx, dprojection, dbefore, after, sums } = chunk;
    let rows = dy.len() / hidden;
    let (gamma, rest) = sums.split_at_mut(hidden);
    let (beta, rest) = rest.split_at_mut(hidden);
    let (bias, dbias) = rest.split_at_mut(hidden);
    let mut sums = NormSums { gamma, beta, bias };
    backward_rows(Path::best(), &norm, weights.gamma, mask, first_row, dy, dx, dprojection, &mut sums);
    let mut activation =
        ActivationGradient { before, dbefore, after, stride: inner, dbias, activation: block.activation };
    product_rows(dprojection, hidden, rows, by_output, &mut activation);
    product_rows(dbefore, inner, rows, by_intermediate, &mut Add { out: dx, stride: hidden });
}
