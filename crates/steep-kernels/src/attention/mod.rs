//! Which tokens of its own sequence, or of another one, does a token listen to?
//!
//! Softmax attention over packed sequences. A task is one head of one sequence; of its scores only a block of query
//! rows exists at a time, and nothing the size of a squared sequence is kept for the backward pass, which computes the
//! probabilities again from the log-sum-exp of each row.
//!
//! Every function comes twice: for a whole batch, in parallel, and for a range of its sequences on the calling thread,
//! for callers whose own tasks are groups of sequences. The bits are the same.
//!
//! # Dropout
//! The probability of (query `i`, key `j`), both counted within their sequences, of which the one of the queries starts
//! at token `s` of the batch and the one of the keys has `n` tokens, in head `h` of `H`, has dropout index
//! `(s · H + h) · 2^32 + i · n + j`.
//!
//! # No visible key
//! A query that sees no key (in cross-attention with an empty sequence, or outside the window) gets a context of zeros,
//! a log-sum-exp of -∞, and gives no gradient.

mod backward;
mod forward;
mod rows;
mod shape;
mod view;

pub use backward::{attention_backward, attention_backward_sequences};
pub use forward::{attention_forward, attention_forward_sequences};
pub use shape::{AttentionShape, PositionBias, Visibility};
pub use view::{AttentionElement, View, ViewMut};

use shape::Task;

/// Query rows whose scores exist at the same time: with 128 keys they fill a third of a first-level cache.
const QUERY_BLOCK: usize = 32;

/// Rows of scores and transposed keys are padded to a multiple of this.
const LANES: usize = 16;

/// The head's features of some tokens side by side as f32, `[rows, head_dim]`.
fn pack<E: AttentionElement>(
    view: &View<E>,
    first: usize,
    rows: usize,
    column: usize,
    width: usize,
    packed: &mut Vec<f32>,
) {
    packed.clear();
    for row in first..first + rows {
        let row = &view.values[row * view.stride + column..][..width];
        packed.extend(row.iter().map(|value| value.to_f32()));
    }
}

/// Writes rows `[n, head_dim]`.
///
/// # Safety
/// Nobody else touches these elements meanwhile.
unsafe fn unpack<E: AttentionElement>(
    packed: &[f32],
    target: &ViewMut<E>,
    first: usize,
    column: usize,
    width: usize,
) {
    for (row, values) in packed.chunks_exact(width).enumerate() {
        // SAFETY: the caller's promise.
        let target = unsafe { target.row(first + row, column, width) };
        for (target, value) in target.iter_mut().zip(values) {
            *target = E::from_f32(*value);
        }
    }
}

/// Transposes `[length, head_dim]` to `[head_dim, padded length]`; the padding is 0.
fn transpose(rows: &[f32], head_dim: usize, transposed: &mut Vec<f32>) {
    let length = rows.len() / head_dim;
    let padded = length.next_multiple_of(LANES);
    transposed.clear();
    transposed.resize(head_dim * padded, 0.0);
    for (block, rows) in rows.chunks(LANES * head_dim).enumerate() {
        for (feature, line) in transposed.chunks_exact_mut(padded).enumerate() {
            for (target, row) in line[block * LANES..].iter_mut().zip(rows.chunks_exact(head_dim)) {
                *target = row[feature];
            }
        }
    }
}

/// The head's part of a position bias, for one task.
#[derive(Clone, Copy)]
struct HeadBias<'a> {
    /// By `j - i + max_distance`.
    values: &'a [f32],
    max_distance: usize,
}

impl<'a> HeadBias<'a> {
    fn new(bias: PositionBias<'a>, task: Task) -> Self {
        let columns = bias.columns();
        Self { values: &bias.values[task.head * columns..][..columns], max_distance: bias.max_distance }
    }

    /// The biases of all `length` keys for one query.
    #[inline(always)]
    fn row(&self, query: usize, length: usize) -> &'a [f32] {
        &self.values[self.max_distance - query..][..length]
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
