//! `y = LayerNorm(x + dropout(Wₒ · attention(x Wqᵀ, x Wkᵀ, x Wvᵀ)))`, each projection with its bias.

use super::chunks::{Rows, of_sequences, tokens_of};
use super::epilogues::{Add, AddBias, Store};
use super::residual_norm::{
    KeptNorm, NormRows, NormSaved, NormSums, Operand, ResidualNorm, add_columns, add_up, backward_rows,
    or_scratch,
};
use super::{Operands, Prepared};
use crate::attention::{
    AttentionShape, PositionBias, View, ViewMut, attention_backward_sequences, attention_forward_sequences,
};
use crate::dispatch::Path;
use crate::dropout::{Dropout, Mask};
use crate::gemm::{Packed, QuantizedRows, product_rows, weight_gradient};
use crate::parallel::zeros;
use rayon::prelude::*;
use std::ops::Range;

/// The parameters of the block; `A` is `num_heads * head_dim`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionWeights<'a> {
    /// Query, key and value, each `[A, H]`.
    pub projections: [&'a [f32]; 3],
    /// Their biases, each `[A]`.
    pub biases: [&'a [f32]; 3],
    /// `[H, A]`
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
pub struct AttentionBlock<'a> {
    /// Sequences and heads.
    pub shape: AttentionShape<'a>,
    /// Added to the scores by distance.
    pub position_bias: Option<PositionBias<'a>>,
    /// Multiplies the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// On the probabilities.
    pub attention_dropout: Dropout,
    /// Of the LayerNorm.
    pub epsilon: f32,
    /// After the output projection; the index of an element is its position in `[T, H]`.
    pub dropout: Dropout,
}

impl AttentionBlock<'_> {
    /// `num_heads * head_dim`
    fn width(&self) -> usize {
        self.shape.num_heads * self.shape.head_dim
    }
}

/// All projections as the forward pass reads them.
pub struct PreparedAttention {
    projections: Prepared,
    biases: Vec<f32>,
    output: Prepared,
}

impl PreparedAttention {
    /// Brings the weights into order.
    pub fn new(weights: AttentionWeights, operands: Operands) -> Self {
        let (hidden, width) = (weights.gamma.len(), weights.biases[0].len());
        Self {
            projections: Prepared::forward(&weights.projections, hidden, operands),
            biases: weights.biases.concat(),
            output: Prepared::forward(&[weights.output], width, operands),
        }
    }
}

/// What the backward pass needs, besides `x` in f32.
#[derive(Clone, Debug)]
pub struct AttentionSaved<E> {
    /// `x` as operand, `[T, H]`; empty for f32.
    x: Vec<E>,
    /// Query, key and value of each token, `[T, 3 A]`.
    projected: Vec<E>,
    /// `[T, A]`
    context: Vec<E>,
    /// `[T, num_heads]`
    log_sum_exp: Vec<f32>,
    norm: NormSaved,
}

/// Gradients of input and parameters, shaped as they are.
#[derive(Debug)]
pub struct AttentionGradients {
    /// `[T, H]`
    pub x: Vec<f32>,
    /// Of query, key and value, `[A, H]`.
    pub projections: [Vec<f32>; 3],
    /// Each `[A]`.
    pub biases: [Vec<f32>; 3],
    /// `[H, A]`
    pub output: Vec<f32>,
    /// `[H]`
    pub output_bias: Vec<f32>,
    /// `[H]`
    pub gamma: Vec<f32>,
    /// `[H]`
    pub beta: Vec<f32>,
    /// `[num_heads, 2 D + 1]`, if there is a position bias.
    pub position_bias: Option<Vec<f32>>,
}

/// The sequences that a task works on.
struct Chunk<'a, E> {
    first_row: usize,
    sequences: Range<usize>,
    x: &'a [f32],
    y: &'a mut [f32],
    operand: &'a mut [E],
    projected: &'a mut [E],
    context: &'a mut [E],
    log_sum_exp: &'a mut [f32],
    norm: NormRows<'a>,
}

#[derive(Default)]
struct Scratch<E> {
    operand: Vec<E>,
    projected: Vec<E>,
    context: Vec<E>,
    log_sum_exp: Vec<f32>,
    norm: NormSaved,
    quantized: QuantizedRows,
}

/// The output, `[T, H]`, and with `keep` what the backward pass needs. `x` is `[T, H]`.
pub fn attention_block_forward<E: Operand>(
    x: &[f32],
    weights: AttentionWeights,
    prepared: &PreparedAttention,
    block: AttentionBlock,
    keep: bool,
) -> (Vec<f32>, Option<AttentionSaved<E>>) {
    let (hidden, width, heads) = (weights.gamma.len(), block.width(), block.shape.num_heads);
    let tokens = x.len() / hidden;
    let kept = if keep { tokens } else { 0 };
    let mut y = zeros(x.len());
    let mut saved = AttentionSaved {
        x: zeros(E::kept_length(kept * hidden)),
        projected: zeros(kept * 3 * width),
        context: zeros(kept * width),
        log_sum_exp: vec![0.0; kept * heads],
        norm: NormSaved::new(kept, hidden),
    };
    let mask = block.dropout.flat_mask(x.len());
    let sequences = of_sequences(block.shape.offsets);
    let ranges = tokens_of(&sequences, block.shape.offsets);
    let (mut y_rows, mut operand) = (Rows::new(&mut y, hidden), Rows::new(&mut saved.x, hidden));
    let (mut projected, mut context) =
        (Rows::new(&mut saved.projected, 3 * width), Rows::new(&mut saved.context, width));
    let (mut log_sum_exp, mut norm) = (Rows::new(&mut saved.log_sum_exp, heads), saved.norm.rows(hidden));
    let chunks: Vec<Chunk<E>> = ranges
        .iter()
        .zip(&sequences)
        .map(|(range, sequences)| Chunk {
            first_row: range.start,
            sequences: sequences.clone(),
            x: &x[range.start * hidden..range.end * hidden],
            y: y_rows.take(range.len()),
            operand: operand.take(range.len()),
            projected: projected.take(range.len()),
            context: context.take(range.len()),
            log_sum_exp: log_sum_exp.take(range.len()),
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
    weights: AttentionWeights,
    prepared: &PreparedAttention,
    block: AttentionBlock,
    mask: Option<Mask>,
    scratch: &mut Scratch<E>,
) {
    let (hidden, width) = (weights.gamma.len(), block.width());
    let rows = chunk.x.len() / hidden;
    let operand = or_scratch(chunk.operand, &mut scratch.operand, E::kept_length(rows * hidden));
    let operand = E::rows(chunk.x, operand);
    let projected = or_scratch(chunk.projected, &mut scratch.projected, rows * 3 * width);
    let mut bias = AddBias { out: projected, stride: 3 * width, bias: &prepared.biases };
    prepared.projections.rows(operand, rows, &mut scratch.quantized, &mut bias);
    let context = or_scratch(chunk.context, &mut scratch.context, rows * width);
    let heads = block.shape.num_heads;
    let log_sum_exp = or_scratch(chunk.log_sum_exp, &mut scratch.log_sum_exp, rows * heads);
    let [query, key, value] = View::split(projected, [width; 3]);
    attention_forward_sequences(
        chunk.sequences,
        query,
        key,
        value,
        block.position_bias,
        block.scale,
        block.attention_dropout,
        ViewMut::new(context, width),
        log_sum_exp,
        block.shape,
    );
    let mut norm_rows = chunk.norm.or_scratch(&mut scratch.norm, rows, hidden);
    let norm = ResidualNorm {
        bias: weights.output_bias,
        gamma: weights.gamma,
        beta: weights.beta,
        epsilon: block.epsilon,
    };
    let mut residual = norm.epilogue(norm_rows.sum, chunk.x, mask, chunk.first_row);
    prepared.output.rows(context, rows, &mut scratch.quantized, &mut residual);
    norm.normalise(Path::best(), &mut norm_rows, chunk.y);
}

/// A chunk in the backward pass.
struct Backward<'a, E> {
    first_row: usize,
    sequences: Range<usize>,
    dy: &'a [f32],
    projected: &'a [E],
    context: &'a [E],
    log_sum_exp: &'a [f32],
    norm: KeptNorm<'a>,
    dx: &'a mut [f32],
    /// Gradient of the output projection's result, before dropout.
    dattended: &'a mut [E],
    dprojected: &'a mut [E],
    sums: &'a mut [f32],
    dposition_bias: Option<&'a mut [f32]>,
}

/// The gradients of [`attention_block_forward`] with the same arguments; bf16 needs no `x`, since its operands were kept.
pub fn attention_block_backward<E: Operand>(
    x: &[f32],
    weights: AttentionWeights,
    block: AttentionBlock,
    saved: &AttentionSaved<E>,
    dy: &[f32],
) -> AttentionGradients {
    let (hidden, width, heads) = (weights.gamma.len(), block.width(), block.shape.num_heads);
    let tokens = dy.len() / hidden;
    let sequences = of_sequences(block.shape.offsets);
    let ranges = tokens_of(&sequences, block.shape.offsets);
    let mut dx = zeros(dy.len());
    let mut dattended = zeros(tokens * hidden);
    let mut dprojected = zeros(tokens * 3 * width);
    let sums_width = 3 * hidden + 3 * width;
    let mut sums = vec![0.0; ranges.len() * sums_width];
    let distances = block.position_bias.map_or(0, |bias| bias.values.len());
    let mut dposition_bias = vec![0.0; ranges.len() * distances];
    let (mut by_output, mut by_projections) = (Packed::default(), Packed::default());
    by_output.pack(weights.output, hidden, width, E::PRECISION);
    by_projections.pack_stacked(&weights.projections, &[width; 3], hidden, E::PRECISION);
    let mask = block.dropout.flat_mask(dy.len());
    let (mut dx_rows, mut dattended_rows) = (Rows::new(&mut dx, hidden), Rows::new(&mut dattended, hidden));
    let mut dprojected_rows = Rows::new(&mut dprojected, 3 * width);
    let mut dbias_rows = Rows::new(&mut dposition_bias, distances);
    let chunks: Vec<Backward<E>> = ranges
        .iter()
        .zip(&sequences)
        .zip(sums.chunks_exact_mut(sums_width))
        .map(|((range, sequences), sums)| Backward {
            first_row: range.start,
            sequences: sequences.clone(),
            dy: part(dy, range, hidden),
            projected: part(&saved.projected, range, 3 * width),
            context: part(&saved.context, range, width),
            log_sum_exp: part(&saved.log_sum_exp, range, heads),
            norm: saved.norm.part(range, hidden),
            dx: dx_rows.take(range.len()),
            dattended: dattended_rows.take(range.len()),
            dprojected: dprojected_rows.take(range.len()),
            sums,
            dposition_bias: block.position_bias.map(|_| dbias_rows.take(1)),
        })
        .collect();
    chunks.into_par_iter().with_max_len(1).for_each_init(Vec::new, |dcontext, chunk| {
        backward_chunk(chunk, weights, block, mask, &by_output, &by_projections, dcontext);
    });
    let totals = add_up(&sums, sums_width);
    let (norm_sums, bias_sums) = totals.split_at(3 * hidden);
    let operand = E::kept(x, &saved.x);
    let (output, projections) = rayon::join(
        || weight_gradient(&dattended, hidden, &saved.context, width, tokens),
        || weight_gradient(&dprojected, 3 * width, operand, hidden, tokens),
    );
    let third = |index: usize| projections[index * width * hidden..][..width * hidden].to_vec();
    let bias_third = |index: usize| bias_sums[index * width..][..width].to_vec();
    AttentionGradients {
        x: dx,
        projections: std::array::from_fn(third),
        biases: std::array::from_fn(bias_third),
        output,
        gamma: norm_sums[..hidden].to_vec(),
        beta: norm_sums[hidden..2 * hidden].to_vec(),
        output_bias: norm_sums[2 * hidden..].to_vec(),
        position_bias: block.position_bias.map(|_| add_up(&dposition_bias, distances)),
    }
}

fn part<'a, T>(values: &'a [T], rows: &Range<usize>, width: usize) -> &'a [T] {
    &values[rows.start * width..rows.end * width]
}

fn backward_chunk<E: Operand>(
    chunk: Backward<E>,
    weights: AttentionWeights,
    block: AttentionBlock,
    mask: Option<Mask>,
    by_output: &Packed,
    by_projections: &Packed,
    dcontext: &mut Vec<E>,
) {
    let (hidden, width) = (weights.gamma.len(), block.width());
    let rows = chunk.dy.len() / hidden;
    let (norm_sums, bias_sums) = chunk.sums.split_at_mut(3 * hidden);
    let (gamma, rest) = norm_sums.split_at_mut(hidden);
    let (beta, bias) = rest.split_at_mut(hidden);
    let mut sums = NormSums { gamma, beta, bias };
    let (dx, dattended) = (chunk.dx, chunk.dattended);
    let path = Path::best();
    backward_rows(
        path,
        &chunk.norm,
        weights.gamma,
        mask,
        chunk.first_row,
        chunk.dy,
        dx,
        dattended,
        &mut sums,
    );
    dcontext.resize(rows * width, E::default());
    product_rows(dattended, hidden, rows, by_output, &mut Store { out: dcontext, stride: width });
    let [query, key, value] = View::split(chunk.projected, [width; 3]);
    let [dquery, dkey, dvalue] = ViewMut::split(chunk.dprojected, [width; 3]);
    attention_backward_sequences(
        chunk.sequences,
        query,
        key,
        value,
        block.position_bias,
        block.scale,
        block.attention_dropout,
        View { values: chunk.context, stride: width },
        chunk.log_sum_exp,
        View { values: dcontext, stride: width },
        dquery,
        dkey,
        dvalue,
        chunk.dposition_bias,
        block.shape,
    );
    add_columns(path, chunk.dprojected, bias_sums);
    product_rows(chunk.dprojected, 3 * width, rows, by_projections, &mut Add { out: dx, stride: hidden });
}
