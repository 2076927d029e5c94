//! The gradient of a position bias: every task leaves its part by distance, and the parts are summed in a fixed order.

use super::shape::{AttentionShape, PositionBias, Task};
use crate::disjoint::Disjoint;
use std::ops::Range;

/// Gradients by head, sequence and rising distance: `queries + keys - 1` for each.
pub(super) struct Distances<'a> {
    values: Disjoint<'a>,
    /// Values of a head.
    per_head: usize,
}

/// Values for all heads of some sequences.
pub(super) fn size(shape: AttentionShape, sequences: &Range<usize>) -> usize {
    (shape.query_tokens(sequences) + shape.key_tokens(sequences)) * shape.num_heads
}

impl<'a> Distances<'a> {
    pub(super) fn new(values: &'a mut [f32], shape: AttentionShape) -> Self {
        Self { per_head: values.len() / shape.num_heads, values: Disjoint::new(values) }
    }

    /// Takes the gradients of a task, by falling distance.
    ///
    /// # Safety
    /// Each task is written by one thread at a time.
    pub(super) unsafe fn write(&self, task: Task, falling: &[f32]) {
        let start = task.head * self.per_head + task.query + task.key;
        // SAFETY: each (head, sequence) belongs to one task, whose distances begin where its tokens do.
        let target = unsafe { self.values.range(start..start + falling.len()) };
        for (target, value) in target.iter_mut().zip(falling.iter().rev()) {
            *target = *value;
        }
    }
}

/// Sums the tasks' gradients by distance, sequence after sequence, into the gradient of the bias.
pub(super) fn add(
    distances: &[f32],
    gradient: &mut [f32],
    bias: PositionBias,
    shape: AttentionShape,
    sequences: &Range<usize>,
) {
    let per_head = distances.len() / shape.num_heads;
    for (head, gradient) in gradient.chunks_exact_mut(bias.columns()).enumerate() {
        gradient.fill(0.0);
        for sequence in 0..sequences.len() {
            let task = shape.task(sequences, sequence * shape.num_heads + head);
            if task.queries == 0 || task.keys == 0 {
                continue;
            }
            let source =
                &distances[head * per_head + task.query + task.key..][..task.queries + task.keys - 1];
            for (gradient, value) in gradient[bias.max_distance + 1 - task.queries..].iter_mut().zip(source) {
                *gradient += value;
            }
        }
    }
}
