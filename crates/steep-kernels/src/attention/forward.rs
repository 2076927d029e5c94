//! `context = softmax(scale · Q · Kᵀ + bias) · V` per head and sequence.

use super::rows::{Normalisers, Scoring, softmax};
use super::{
    AttentionElement, AttentionShape, HeadBias, LANES, PositionBias, QUERY_BLOCK, Task, View, ViewMut, pack,
    transpose, unpack,
};
use crate::disjoint::Disjoint;
use crate::dispatch::Path;
use crate::dropout::Dropout;
use crate::product::{Left, Out, Right, Size, product};
use rayon::prelude::*;
use std::ops::Range;

/// Packed attention; dropout acts on the probabilities (see the module for its indices).
///
/// # Shapes
/// `query`, `context` `[T, num_heads · head_dim]`, `key`, `value` the same with the tokens of `key_offsets` if there
/// are any; `log_sum_exp` `[T, num_heads]` is an output for [`attention_backward`](super::attention_backward).
pub fn attention_forward<E: AttentionElement>(
    query: View<E>,
    key: View<E>,
    value: View<E>,
    position_bias: Option<PositionBias>,
    scale: f32,
    dropout: Dropout,
    context: ViewMut<E>,
    log_sum_exp: &mut [f32],
    shape: AttentionShape,
) {
    let sequences = shape.sequences();
    let inputs = Inputs { query, key, value, position_bias, scale, dropout, shape, sequences };
    let call = Forward::new(inputs, context, log_sum_exp);
    shape.groups(&call.inputs.sequences).into_par_iter().for_each_init(Scratch::default, |scratch, group| {
        call.run(group, scratch);
    });
}

/// [`attention_forward`] for some sequences of the batch, on the calling thread. All matrices begin with the first
/// token of these sequences and need have no other tokens; `shape` is that of the whole batch.
pub fn attention_forward_sequences<E: AttentionElement>(
    sequences: Range<usize>,
    query: View<E>,
    key: View<E>,
    value: View<E>,
    position_bias: Option<PositionBias>,
    scale: f32,
    dropout: Dropout,
    context: ViewMut<E>,
    log_sum_exp: &mut [f32],
    shape: AttentionShape,
) {
    let tasks = 0..sequences.len() * shape.num_heads;
    let inputs = Inputs { query, key, value, position_bias, scale, dropout, shape, sequences };
    Forward::new(inputs, context, log_sum_exp).run(tasks, &mut Scratch::default());
}

/// What forward and backward pass are given.
pub(super) struct Inputs<'a, E> {
    pub(super) query: View<'a, E>,
    pub(super) key: View<'a, E>,
    pub(super) value: View<'a, E>,
    pub(super) position_bias: Option<PositionBias<'a>>,
    pub(super) scale: f32,
    pub(super) dropout: Dropout,
    pub(super) shape: AttentionShape<'a>,
    pub(super) sequences: Range<usize>,
}

impl<E: AttentionElement> Inputs<'_, E> {
    pub(super) fn check(&self) {
        self.shape.check(&self.sequences, self.position_bias);
        let (queries, keys) = (self.queries(), self.shape.key_tokens(&self.sequences));
        let width = self.shape.features();
        self.query.check("query", queries, width);
        self.key.check("key", keys, width);
        self.value.check("value", keys, width);
    }

    pub(super) fn queries(&self) -> usize {
        self.shape.query_tokens(&self.sequences)
    }

    pub(super) fn scoring(&self, task: Task) -> Scoring<'_> {
        Scoring {
            length: task.keys,
            stride: task.keys.next_multiple_of(LANES),
            scale: self.scale,
            bias: self.position_bias.map(|bias| HeadBias::new(bias, task)),
            mask: self.shape.mask(self.dropout, task),
            visibility: self.shape.visibility,
        }
    }
}

#[derive(Default)]
struct Scratch {
    query: Vec<f32>,
    /// `[length, head_dim]`: keys until they are transposed, then values.
    packed: Vec<f32>,
    /// Keys, `[head_dim, padded length]`.
    key: Vec<f32>,
    /// `[QUERY_BLOCK, padded length]`.
    scores: Vec<f32>,
    /// `[QUERY_BLOCK, head_dim]`.
    context: Vec<f32>,
}

struct Forward<'a, E> {
    inputs: Inputs<'a, E>,
    context: ViewMut<'a, E>,
    log_sum_exp: Disjoint<'a>,
    path: Path,
}

impl<'a, E: AttentionElement> Forward<'a, E> {
    fn new(inputs: Inputs<'a, E>, context: ViewMut<'a, E>, log_sum_exp: &'a mut [f32]) -> Self {
        inputs.check();
        context.check("context", inputs.queries(), inputs.shape.features());
        let heads = inputs.queries() * inputs.shape.num_heads;
        assert_eq!(log_sum_exp.len(), heads, "log_sum_exp must be [tokens, num_heads]");
        Self { inputs, context, log_sum_exp: Disjoint::new(log_sum_exp), path: Path::best() }
    }

    fn run(&self, tasks: Range<usize>, scratch: &mut Scratch) {
        for index in tasks {
            self.task(self.inputs.shape.task(&self.inputs.sequences, index), scratch);
        }
    }

    fn task(&self, task: Task, scratch: &mut Scratch) {
        let head_dim = self.inputs.shape.head_dim;
        let column = task.head * head_dim;
        let scoring = self.inputs.scoring(task);
        pack(&self.inputs.query, task.query, task.queries, column, head_dim, &mut scratch.query);
        pack(&self.inputs.key, task.key, task.keys, column, head_dim, &mut scratch.packed);
        transpose(&scratch.packed, head_dim, &mut scratch.key);
        pack(&self.inputs.value, task.key, task.keys, column, head_dim, &mut scratch.packed);
        scratch.scores.resize(QUERY_BLOCK * scoring.stride, 0.0);
        scratch.context.resize(QUERY_BLOCK * head_dim, 0.0);
        for first in (0..task.queries).step_by(QUERY_BLOCK) {
            let rows = QUERY_BLOCK.min(task.queries - first);
            self.block(task, scoring, first, rows, scratch);
        }
    }

    /// The queries `first..first + rows` of a task.
    fn block(&self, task: Task, scoring: Scoring, first: usize, rows: usize, scratch: &mut Scratch) {
        let head_dim = self.inputs.shape.head_dim;
        let padded = scoring.stride;
        let scores = &mut scratch.scores[..rows * padded];
        product(
            self.path,
            Out { values: scores, stride: padded, add: false },
            Left { values: &scratch.query[first * head_dim..], row_stride: head_dim, inner_stride: 1 },
            Right { values: &scratch.key, stride: padded },
            Size { rows, inner: head_dim, columns: padded },
        );
        let (mut log_sum_exp, mut inverse_sum) = ([f32::NEG_INFINITY; QUERY_BLOCK], [0.0; QUERY_BLOCK]);
        if padded > 0 {
            let normalisers =
                Normalisers { log_sum_exp: &mut log_sum_exp[..rows], inverse_sum: &mut inverse_sum[..rows] };
            softmax(self.path, scoring, first, scores, normalisers);
        }
        product(
            self.path,
            Out { values: &mut scratch.context, stride: head_dim, add: false },
            Left { values: scores, row_stride: padded, inner_stride: 1 },
            Right { values: &scratch.packed, stride: head_dim },
            Size { rows, inner: task.keys, columns: head_dim },
        );
        for (row, values) in scratch.context.chunks_exact_mut(head_dim).take(rows).enumerate() {
            values.iter_mut().for_each(|value| *value *= inverse_sum[row]);
            let query = task.query + first + row;
            let position = query * self.inputs.shape.num_heads + task.head;
            // SAFETY: each (token, head) belongs to one task, which writes its row here only.
            unsafe {
                unpack(values, &self.context, query, task.head * head_dim, head_dim);
                self.log_sum_exp.range(position..position + 1)[0] = log_sum_exp[row];
            }
        }
    }
}
