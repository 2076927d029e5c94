//! Cross-entropy over a vocabulary, from the states and the decoder's weight, without the logits ever being whole.
//!
//! The logits are computed transposed, `W · xᵀ`, a tile of the vocabulary at a time: the weight's rows are then the
//! left operand, which needs no packing, and the softmax runs down the columns, where neighbouring tokens lie in
//! neighbouring lanes. The backward pass computes each tile again; its gradient is, as it lies, the left operand of the
//! weight's gradient.

use crate::block::Operand;
use crate::dispatch::{Path, per_path};
use crate::gemm::{Element, Epilogue, Packed, product_rows, transposed_product};
use crate::math::{exp, larger, ln};
use crate::parallel::zeros;
use rayon::prelude::*;

/// Rows of the vocabulary that one task turns into logits.
const TILE: usize = 192;

/// Rows of the vocabulary whose gradients exist at the same time.
const SLAB: usize = 16 * TILE;

/// The sizes of [`forward`] and [`backward`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearLossShape {
    /// Number of rows of `x`.
    pub rows: usize,
    /// Features of a row.
    pub hidden_size: usize,
    /// Rows of the weight.
    pub vocab_size: usize,
}

impl LinearLossShape {
    fn check(&self, x: &[f32], weight: &[f32], bias: &[f32], labels: &[u32]) {
        assert_eq!(x.len(), self.rows * self.hidden_size, "x must be [rows, hidden_size]");
        assert_eq!(
            weight.len(),
            self.vocab_size * self.hidden_size,
            "the weight must be [vocab_size, hidden_size]"
        );
        assert_eq!(bias.len(), self.vocab_size, "the bias must be [vocab_size]");
        assert_eq!(labels.len(), self.rows, "there must be one label per row");
        for label in labels {
            assert!(
                (*label as usize) < self.vocab_size,
                "label {label} is outside {} classes",
                self.vocab_size
            );
        }
    }
}

/// What a tile of the vocabulary adds to each row's softmax.
#[derive(Clone)]
struct Partial {
    largest: Vec<f32>,
    /// Sum of `exp(logit - largest)`.
    exponentials: Vec<f32>,
}

/// `losses[i] = ln Σ exp(logits[i]) - logits[i, labels[i]]` with `logits = x · weightᵀ + bias`.
///
/// # Shapes
/// `x` `[N, H]`, `weight` `[V, H]`, `bias` `[V]`, `labels` `[N]`. Returns the losses `[N]` and the log-sum-exps `[N]`
/// for [`backward`].
pub fn forward<E: Operand>(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    labels: &[u32],
    shape: LinearLossShape,
) -> (Vec<f32>, Vec<f32>) {
    shape.check(x, weight, bias, labels);
    let right = packed_states::<E>(x, shape);
    let partials: Vec<Partial> = weight
        .par_chunks(TILE * shape.hidden_size)
        .zip(bias.par_chunks(TILE))
        .with_max_len(1)
        .map_init(<(Tile, Vec<E>)>::default, |(tile, converted), (weight, bias)| {
            converted.resize(E::kept_length(weight.len()), E::default());
            tile.logits(E::rows(weight, converted), bias, &right, shape);
            let (largest, exponentials) = (vec![f32::NEG_INFINITY; shape.rows], vec![0.0; shape.rows]);
            let mut partial = Partial { largest, exponentials };
            softmax_parts(Path::best(), &tile.logits, &mut partial.largest, &mut partial.exponentials);
            partial
        })
        .collect();
    let log_sum_exp = log_sum_exp(&partials, shape.rows);
    let at_labels = logits_at_labels::<E>(x, weight, bias, labels, shape.hidden_size);
    let losses = log_sum_exp.iter().zip(at_labels).map(|(total, logit)| total - logit).collect();
    (losses, log_sum_exp)
}

/// Gradients of [`forward`].
#[derive(Debug)]
pub struct LinearLossGradients {
    /// `[N, H]`
    pub x: Vec<f32>,
    /// `[V, H]`
    pub weight: Vec<f32>,
    /// `[V]`
    pub bias: Vec<f32>,
}

/// The gradients of [`forward`] with the same arguments; `dlosses` `[N]`.
pub fn backward<E: Operand>(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    labels: &[u32],
    log_sum_exp: &[f32],
    dlosses: &[f32],
    shape: LinearLossShape,
) -> LinearLossGradients {
    shape.check(x, weight, bias, labels);
    let LinearLossShape { rows, hidden_size, vocab_size } = shape;
    let right = packed_states::<E>(x, shape);
    let mut states = Packed::default();
    states.pack(x, rows, hidden_size, E::PRECISION);
    let mut by_label: Vec<(u32, u32)> = labels.iter().copied().zip(0..).collect();
    by_label.sort_unstable();
    let mut gradients = LinearLossGradients {
        x: vec![0.0; rows * hidden_size],
        weight: zeros(vocab_size * hidden_size),
        bias: vec![0.0; vocab_size],
    };
    let mut dlogits = vec![E::default(); SLAB * rows];
    let mut converted = vec![E::default(); E::kept_length(SLAB * hidden_size)];
    for first in (0..vocab_size).step_by(SLAB) {
        let count = SLAB.min(vocab_size - first);
        let weight = &weight[first * hidden_size..][..count * hidden_size];
        let bias = &bias[first..][..count];
        let context =
            Backward { right: &right, states: &states, by_label: &by_label, log_sum_exp, dlosses, shape };
        let dweight = &mut gradients.weight[first * hidden_size..][..count * hidden_size];
        let dbias = &mut gradients.bias[first..][..count];
        let mut operands = tiles_of(&mut converted, E::kept_length(TILE * hidden_size));
        let inputs = (weight.par_chunks(TILE * hidden_size), bias.par_chunks(TILE));
        let outputs = (
            operands.par_iter_mut(),
            dlogits[..count * rows].par_chunks_mut((TILE * rows).max(1)),
            dweight.par_chunks_mut(TILE * hidden_size),
            dbias.par_chunks_mut(TILE),
        );
        inputs.into_par_iter().zip(outputs.into_par_iter()).with_max_len(1).enumerate().for_each_init(
            Tile::default,
            |tile, (index, ((weight, bias), (operand, dlogits, dweight, dbias)))| {
                let operand = E::rows(weight, &mut operand[..E::kept_length(weight.len())]);
                context.tile(tile, first + index * TILE, operand, bias, dlogits, dweight, dbias);
            },
        );
        let dlogits = &dlogits[..count * rows];
        transposed_product(
            dlogits,
            rows,
            rows,
            E::kept(weight, &converted[..E::kept_length(weight.len())]),
            hidden_size,
            hidden_size,
            count,
            &mut gradients.x,
            true,
        );
    }
    gradients
}

/// The operands of the tiles of a slab, which are empty where weights need no conversion.
fn tiles_of<E>(converted: &mut [E], length: usize) -> Vec<&mut [E]> {
    if length == 0 {
        return (0..SLAB / TILE).map(|_| [].as_mut_slice()).collect();
    }
    converted.chunks_mut(length).collect()
}

/// `xᵀ` as the right operand of the transposed logits.
fn packed_states<E: Element>(x: &[f32], shape: LinearLossShape) -> Packed {
    let mut packed = Packed::default();
    packed.pack_transposed(x, shape.rows, shape.hidden_size, E::PRECISION);
    packed
}

/// Some rows of the vocabulary.
#[derive(Default)]
struct Tile {
    /// `[tile, N]`
    logits: Vec<f32>,
}

impl Tile {
    fn logits<E: Operand>(&mut self, weight: &[E], bias: &[f32], right: &Packed, shape: LinearLossShape) {
        self.logits.resize(bias.len() * shape.rows, 0.0);
        let mut epilogue = AddRowBias { out: &mut self.logits, stride: shape.rows, bias };
        product_rows(weight, shape.hidden_size, bias.len(), right, &mut epilogue);
    }
}

/// `out = sum + bias[row]`.
struct AddRowBias<'a> {
    out: &'a mut [f32],
    stride: usize,
    bias: &'a [f32],
}

impl Epilogue for AddRowBias<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        let bias = self.bias[row];
        let out = &mut self.out[row * self.stride + column..][..sums.len()];
        for index in 0..sums.len() {
            out[index] = sums[index] + bias;
        }
    }
}

/// `out = sum`.
struct Plain<'a> {
    out: &'a mut [f32],
    stride: usize,
}

impl Epilogue for Plain<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        self.out[row * self.stride + column..][..sums.len()].copy_from_slice(sums);
    }
}

per_path!(fn softmax_parts(logits: &[f32], largest: &mut [f32], exponentials: &mut [f32]) = softmax_parts_body);

#[inline(always)]
fn softmax_parts_body(logits: &[f32], largest: &mut [f32], exponentials: &mut [f32]) {
    let rows = largest.len();
    if rows == 0 {
        return;
    }
    for logits in logits.chunks_exact(rows) {
        for (largest, logit) in largest.iter_mut().zip(logits) {
            *largest = larger(*largest, *logit);
        }
    }
    for logits in logits.chunks_exact(rows) {
        for ((sum, largest), logit) in exponentials.iter_mut().zip(largest.iter()).zip(logits) {
            *sum += exp(logit - largest);
        }
    }
}

/// Combines the tiles in their order.
fn log_sum_exp(partials: &[Partial], rows: usize) -> Vec<f32> {
    (0..rows)
        .map(|row| {
            let largest = partials.iter().map(|partial| partial.largest[row]).fold(f32::NEG_INFINITY, larger);
            let total: f32 = partials
                .iter()
                .map(|partial| partial.exponentials[row] * exp(partial.largest[row] - largest))
                .sum();
            ln(total) + largest
        })
        .collect()
}

/// The logits that the labels point at, in f32 from operands as the tiles see them.
fn logits_at_labels<E: Element>(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    labels: &[u32],
    hidden: usize,
) -> Vec<f32> {
    let round = |value: &f32| E::from_f32(*value).to_f32();
    x.chunks_exact(hidden)
        .zip(labels)
        .map(|(x, label)| {
            let weight = &weight[*label as usize * hidden..][..hidden];
            x.iter().zip(weight).map(|(x, w)| round(x) * round(w)).sum::<f32>() + bias[*label as usize]
        })
        .collect()
}

/// What every tile of the backward pass reads.
struct Backward<'a> {
    right: &'a Packed,
    states: &'a Packed,
    /// (label, row), sorted.
    by_label: &'a [(u32, u32)],
    log_sum_exp: &'a [f32],
    dlosses: &'a [f32],
    shape: LinearLossShape,
}

impl Backward<'_> {
    /// The gradients of a tile's logits `[tile, N]`, weight and bias.
    fn tile<E: Operand>(
        &self,
        tile: &mut Tile,
        first: usize,
        weight: &[E],
        bias: &[f32],
        dlogits: &mut [E],
        dweight: &mut [f32],
        dbias: &mut [f32],
    ) {
        let LinearLossShape { rows, hidden_size, .. } = self.shape;
        tile.logits(weight, bias, self.right, self.shape);
        softmax_gradient(Path::best(), &mut tile.logits, self.log_sum_exp, self.dlosses);
        let end = first + bias.len();
        let from = self.by_label.partition_point(|(label, _)| (*label as usize) < first);
        for (label, row) in &self.by_label[from..] {
            if *label as usize >= end {
                break;
            }
            tile.logits[(*label as usize - first) * rows + *row as usize] -= self.dlosses[*row as usize];
        }
        store_with_sums(Path::best(), &tile.logits, dlogits, dbias);
        product_rows(
            dlogits,
            rows,
            bias.len(),
            self.states,
            &mut Plain { out: dweight, stride: hidden_size },
        );
    }
}

per_path!(fn softmax_gradient(logits: &mut [f32], log_sum_exp: &[f32], dlosses: &[f32]) = softmax_gradient_body);

#[inline(always)]
fn softmax_gradient_body(logits: &mut [f32], log_sum_exp: &[f32], dlosses: &[f32]) {
    for logits in logits.chunks_exact_mut(dlosses.len().max(1)) {
        for ((logit, total), scale) in logits.iter_mut().zip(log_sum_exp).zip(dlosses) {
            *logit = scale * exp(*logit - total);
        }
    }
}

per_path!(fn store_with_sums<E: Element>(values: &[f32], out: &mut [E], sums: &mut [f32]) = store_with_sums_body);

/// `out = values`, and the sum of each row.
#[inline(always)]
fn store_with_sums_body<E: Element>(values: &[f32], out: &mut [E], sums: &mut [f32]) {
    let columns = values.len() / sums.len().max(1);
    if columns == 0 {
        return;
    }
    for ((values, out), sum) in values.chunks_exact(columns).zip(out.chunks_exact_mut(columns)).zip(sums) {
        *sum = crate::math::sum::<{ crate::math::LANES }>(values);
        for (out, value) in out.iter_mut().zip(values) {
            *out = E::from_f32(*value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, dot, finite_differences, numbers, same_for_any_thread_count, wide};
    use half::bf16;

    const SHAPE: LinearLossShape = LinearLossShape { rows: 7, hidden_size: 10, vocab_size: 2 * TILE + 5 };

    fn labels(shape: LinearLossShape) -> Vec<u32> {
        (0..shape.rows).map(|row| (row * 61 % shape.vocab_size) as u32).collect()
    }

    fn reference(
        x: &[f64],
        weight: &[f64],
        bias: &[f64],
        labels: &[u32],
        shape: LinearLossShape,
    ) -> Vec<f64> {
        let hidden = shape.hidden_size;
        x.chunks_exact(hidden)
            .zip(labels)
            .map(|(x, label)| {
                let logit =
                    |v: usize| x.iter().zip(&weight[v * hidden..]).map(|(x, w)| x * w).sum::<f64>() + bias[v];
                let total: f64 = (0..shape.vocab_size).map(|v| logit(v).exp()).sum();
                total.ln() - logit(*label as usize)
            })
            .collect()
    }

    fn inputs(shape: LinearLossShape) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let x = numbers(shape.rows * shape.hidden_size, 1);
        let weight = numbers(shape.vocab_size * shape.hidden_size, 2);
        (x, weight, numbers(shape.vocab_size, 3))
    }

    /// Losses and all gradients, one after the other.
    fn everything<E: Operand>(shape: LinearLossShape) -> Vec<f32> {
        let ((x, weight, bias), labels) = (inputs(shape), labels(shape));
        let dlosses = numbers(shape.rows, 4);
        let (mut all, log_sum_exp) = forward::<E>(&x, &weight, &bias, &labels, shape);
        let gradients = backward::<E>(&x, &weight, &bias, &labels, &log_sum_exp, &dlosses, shape);
        all.extend(gradients.x);
        all.extend(gradients.weight);
        all.extend(gradients.bias);
        all
    }

    #[test]
    fn losses_and_gradients_match_the_definition() {
        let ((x, weight, bias), labels) = (inputs(SHAPE), labels(SHAPE));
        let (x, weight, bias) = (wide(&x), wide(&weight), wide(&bias));
        let dlosses = numbers(SHAPE.rows, 4);
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
            dot(&reference(x, weight, bias, &labels, SHAPE), &dlosses)
        };
        let mut expected = reference(&x, &weight, &bias, &labels, SHAPE);
        expected.extend(finite_differences(&x, |x| loss(x, &weight, &bias)));
        expected.extend(finite_differences(&weight, |weight| loss(&x, weight, &bias)));
        expected.extend(finite_differences(&bias, |bias| loss(&x, &weight, bias)));
        assert_close(&everything::<f32>(SHAPE), &expected, 1e-5);
        assert_close(&everything::<bf16>(SHAPE), &expected, 0.02);
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        let shape = LinearLossShape { rows: 33, hidden_size: 24, vocab_size: 3 * SLAB + 7 };
        same_for_any_thread_count(|| everything::<f32>(shape));
        same_for_any_thread_count(|| everything::<bf16>(shape));
    }

    #[test]
    fn no_rows_give_zero_gradients() {
        let shape = LinearLossShape { rows: 0, ..SHAPE };
        assert!(everything::<f32>(shape).iter().all(|value| *value == 0.0));
    }
}
