//! Which tokens of its own sequence does a token listen to?
//!
//! Bidirectional softmax attention over packed sequences. A task is one head of one sequence; of its scores only a
//! block of query rows exists at a time, and nothing the size of a squared sequence is kept for the backward pass,
//! which computes the probabilities again from the log-sum-exp of each row.
//!
//! # Dropout
//! The probability of (query `i`, key `j`), both counted within a sequence of `n` tokens that starts at token `s` of
//! the batch, in head `h` of `H`, has dropout index `(s · H + h) · 2^32 + i · n + j`.

mod backward;
mod forward;
mod rows;

pub use backward::attention_backward;
pub use forward::attention_forward;

use crate::dropout::{Dropout, Mask};
use std::ops::Range;

/// Query rows whose scores exist at the same time: with 128 keys they fill a third of a first-level cache.
const QUERY_BLOCK: usize = 32;

/// Rows of scores and transposed keys are padded to a multiple of this.
const LANES: usize = 16;

/// Multiply-adds per task group below which another task does not pay (some 20 µs).
const GROUP_WORK: usize = 1 << 20;

/// The sizes of a packed attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape<'a> {
    /// Where each sequence starts, and the end: length `B + 1`, from 0 to `T`, never decreasing.
    pub offsets: &'a [u32],
    /// Number of heads.
    pub num_heads: usize,
    /// Features of a head.
    pub head_dim: usize,
}

/// A bias by relative position, as in T5 or MPNet, already looked up per distance.
#[derive(Clone, Copy, Debug)]
pub struct PositionBias<'a> {
    /// `[num_heads, 2 · max_distance + 1]`: the score of (query `i`, key `j`) gets column `j - i + max_distance`.
    pub values: &'a [f32],
    /// The largest distance, at least the longest sequence minus 1.
    pub max_distance: usize,
}

impl PositionBias<'_> {
    fn columns(&self) -> usize {
        2 * self.max_distance + 1
    }
}

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Task {
    /// First token of the sequence.
    start: usize,
    length: usize,
    head: usize,
}

impl<'a> AttentionShape<'a> {
    fn tokens(&self) -> usize {
        *self.offsets.last().expect("checked: offsets are never empty") as usize
    }

    fn features(&self) -> usize {
        self.num_heads * self.head_dim
    }

    fn lengths(&self) -> impl Iterator<Item = usize> + 'a {
        self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize)
    }

    fn longest(&self) -> usize {
        self.lengths().max().unwrap_or(0)
    }

    fn check(&self, position_bias: Option<PositionBias>) {
        assert!(self.num_heads > 0 && self.head_dim > 0, "attention needs heads with features");
        assert_eq!(self.offsets.first(), Some(&0), "offsets must start with 0");
        assert!(self.offsets.is_sorted(), "offsets must not decrease");
        let tasks = self.tokens() * self.num_heads;
        assert!(u32::try_from(tasks).is_ok(), "attention works on fewer than 2^32 token heads at a time");
        assert!(self.longest() <= 1 << 16, "attention works on sequences of at most 65536 tokens");
        if let Some(bias) = position_bias {
            assert_eq!(
                bias.values.len(),
                self.num_heads * bias.columns(),
                "the position bias must be [num_heads, 2 * max_distance + 1]"
            );
            assert!(
                bias.max_distance + 1 >= self.longest(),
                "max_distance is less than the longest sequence minus 1"
            );
        }
    }

    fn check_features(&self, name: &str, values: &[f32]) {
        assert_eq!(
            values.len(),
            self.tokens() * self.features(),
            "{name} must be [tokens, num_heads * head_dim]"
        );
    }

    fn check_heads(&self, name: &str, values: &[f32]) {
        assert_eq!(values.len(), self.tokens() * self.num_heads, "{name} must be [tokens, num_heads]");
    }

    fn task(&self, index: usize) -> Task {
        let sequence = index / self.num_heads;
        let start = self.offsets[sequence] as usize;
        let end = self.offsets[sequence + 1] as usize;
        Task { start, length: end - start, head: index % self.num_heads }
    }

    /// Task numbers, several small ones together.
    fn groups(&self) -> Vec<Range<usize>> {
        let mut groups = Vec::new();
        let (mut first, mut work) = (0, 0);
        let mut task = 0;
        for length in self.lengths() {
            for _ in 0..self.num_heads {
                task += 1;
                work += (length + LANES) * (length + LANES) * self.head_dim;
                if work >= GROUP_WORK {
                    groups.push(first..task);
                    (first, work) = (task, 0);
                }
            }
        }
        if first < task {
            groups.push(first..task);
        }
        groups
    }

    /// Position of the head's first feature of a token of the task.
    fn position(&self, task: Task, token: usize) -> usize {
        (task.start + token) * self.features() + task.head * self.head_dim
    }

    /// The head's features from a token on, at row distance `features()`.
    fn head<'v>(&self, values: &'v [f32], task: Task, token: usize) -> &'v [f32] {
        &values[self.position(task, token)..]
    }

    fn mask(&self, dropout: Dropout, task: Task) -> Option<Mask> {
        dropout.mask((task.start * self.num_heads + task.head) as u32)
    }

    /// The head's features side by side, `[length, head_dim]`: at their distance in the batch, rows of a power of two
    /// features compete for the same cache sets.
    fn pack(&self, values: &[f32], task: Task, packed: &mut Vec<f32>) {
        packed.resize(task.length * self.head_dim, 0.0);
        for (token, row) in packed.chunks_exact_mut(self.head_dim).enumerate() {
            copy(&self.head(values, task, token)[..self.head_dim], row);
        }
    }
}

/// Copies the features of one head, in pieces of known size: a call of memcpy would cost more than the copy.
#[inline(always)]
fn copy(source: &[f32], target: &mut [f32]) {
    let (source, source_rest) = source.as_chunks::<LANES>();
    let (target, target_rest) = target.as_chunks_mut::<LANES>();
    for (target, source) in target.iter_mut().zip(source) {
        *target = *source;
    }
    target_rest.copy_from_slice(source_rest);
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
mod tests;
