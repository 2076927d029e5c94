//! `out = softmax(scale · Q · Kᵀ + bias) · V` per head and sequence.

use super::rows::{Normalisers, Scoring, softmax};
use super::{AttentionShape, HeadBias, LANES, PositionBias, QUERY_BLOCK, Task, transpose};
use crate::disjoint::Disjoint;
use crate::dispatch::Path;
use crate::dropout::Dropout;
use crate::product::{Left, Out, Right, Size, product};
use rayon::prelude::*;

/// Packed bidirectional attention; dropout acts on the probabilities (see the module for its indices).
///
/// # Shapes
/// `query`, `key`, `value`, `out` `[T, num_heads · head_dim]`; `log_sum_exp` `[T, num_heads]` is an output for
/// [`attention_backward`](super::attention_backward).
pub fn attention_forward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    position_bias: Option<PositionBias>,
    scale: f32,
    dropout: Dropout,
    out: &mut [f32],
    log_sum_exp: &mut [f32],
    shape: AttentionShape,
) {
    shape.check(position_bias);
    shape.check_features("query", query);
    shape.check_features("key", key);
    shape.check_features("value", value);
    shape.check_features("out", out);
    shape.check_heads("log_sum_exp", log_sum_exp);
    let call = Forward {
        query,
        key,
        value,
        position_bias,
        scale,
        dropout,
        out: Disjoint::new(out),
        log_sum_exp: Disjoint::new(log_sum_exp),
        shape,
        path: Path::best(),
    };
    shape.groups().into_par_iter().for_each_init(Scratch::default, |scratch, group| {
        for task in group {
            call.run(shape.task(task), scratch);
        }
    });
}

#[derive(Default)]
struct Scratch {
    /// `[length, head_dim]`: keys until they are transposed, then values.
    packed: Vec<f32>,
    /// Keys, `[head_dim, padded length]`.
    key: Vec<f32>,
    /// `[QUERY_BLOCK, padded length]`.
    scores: Vec<f32>,
    /// `[QUERY_BLOCK, head_dim]`.
    out: Vec<f32>,
}

struct Forward<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    position_bias: Option<PositionBias<'a>>,
    scale: f32,
    dropout: Dropout,
    out: Disjoint<'a>,
    log_sum_exp: Disjoint<'a>,
    shape: AttentionShape<'a>,
    path: Path,
}

impl Forward<'_> {
    fn run(&self, task: Task, scratch: &mut Scratch) {
        if task.length == 0 {
            return;
        }
        let padded = task.length.next_multiple_of(LANES);
        self.shape.pack(self.key, task, &mut scratch.packed);
        transpose(&scratch.packed, self.shape.head_dim, &mut scratch.key);
        self.shape.pack(self.value, task, &mut scratch.packed);
        scratch.scores.resize(QUERY_BLOCK * padded, 0.0);
        scratch.out.resize(QUERY_BLOCK * self.shape.head_dim, 0.0);
        let scoring = Scoring {
            length: task.length,
            stride: padded,
            scale: self.scale,
            bias: self.position_bias.map(|bias| HeadBias::new(bias, task)),
            mask: self.shape.mask(self.dropout, task),
        };
        for first in (0..task.length).step_by(QUERY_BLOCK) {
            let rows = QUERY_BLOCK.min(task.length - first);
            self.block(task, scoring, first, rows, scratch);
        }
    }

    /// The queries `first..first + rows` of a task.
    fn block(&self, task: Task, scoring: Scoring, first: usize, rows: usize, scratch: &mut Scratch) {
        let AttentionShape { head_dim, .. } = self.shape;
        let (features, padded) = (self.shape.features(), scoring.stride);
        let scores = &mut scratch.scores[..rows * padded];
        product(
            self.path,
            Out { values: scores, stride: padded, add: false },
            Left { values: self.shape.head(self.query, task, first), row_stride: features, inner_stride: 1 },
            Right { values: &scratch.key, stride: padded },
            Size { rows, inner: head_dim, columns: padded },
        );
        let (mut log_sum_exp, mut inverse_sum) = ([0.0; QUERY_BLOCK], [1.0; QUERY_BLOCK]);
        let normalisers = Normalisers { log_sum_exp: &mut log_sum_exp, inverse_sum: &mut inverse_sum };
        softmax(self.path, scoring, first, scores, normalisers);
        product(
            self.path,
            Out { values: &mut scratch.out, stride: head_dim, add: false },
            Left { values: scores, row_stride: padded, inner_stride: 1 },
            Right { values: &scratch.packed, stride: head_dim },
            Size { rows, inner: task.length, columns: head_dim },
        );
        for (row, values) in scratch.out.chunks_exact(head_dim).take(rows).enumerate() {
            self.write(task, first + row, values, inverse_sum[row], log_sum_exp[row]);
        }
    }

    fn write(&self, task: Task, token: usize, values: &[f32], inverse_sum: f32, log_sum_exp: f32) {
        let start = self.shape.position(task, token);
        let position = (task.start + token) * self.shape.num_heads + task.head;
        // SAFETY: each (token, head) belongs to one task, which writes its row here only.
        let (out, normaliser) = unsafe {
            (self.out.range(start..start + values.len()), self.log_sum_exp.range(position..position + 1))
        };
        for (out, value) in out.iter_mut().zip(values) {
            *out = value * inverse_sum;
        }
        normaliser[0] = log_sum_exp;
    }
}
