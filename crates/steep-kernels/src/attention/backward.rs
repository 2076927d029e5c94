//! The gradients of attention; probabilities are computed again, block of queries by block.

use super::forward::Inputs;
use super::rows::{BackwardRows, Scoring, output_dots, softmax_backward};
use super::{
    AttentionElement, AttentionShape, PositionBias, QUERY_BLOCK, Task, View, ViewMut, pack, transpose, unpack,
};
use crate::disjoint::Disjoint;
use crate::dispatch::Path;
use crate::dropout::Dropout;
use crate::product::{Left, Out, Right, Size, product};
use rayon::prelude::*;
use std::ops::Range;

/// The gradients of [`attention_forward`](super::attention_forward) with the same inputs, its `context` and its
/// `log_sum_exp`. Every gradient is overwritten; `dposition_bias` is summed over the sequences in their order.
///
/// # Shapes
/// As in [`attention_forward`](super::attention_forward); `dcontext` is shaped as `context`, a gradient as what it is
/// the gradient of. Gradients that lie in one buffer come from [`ViewMut::split`].
pub fn attention_backward<E: AttentionElement>(
    query: View<E>,
    key: View<E>,
    value: View<E>,
    position_bias: Option<PositionBias>,
    scale: f32,
    dropout: Dropout,
    context: View<E>,
    log_sum_exp: &[f32],
    dcontext: View<E>,
    dquery: ViewMut<E>,
    dkey: ViewMut<E>,
    dvalue: ViewMut<E>,
    dposition_bias: Option<&mut [f32]>,
    shape: AttentionShape,
) {
    let sequences = shape.sequences();
    let inputs = Inputs { query, key, value, position_bias, scale, dropout, shape, sequences };
    let outputs = Outputs { context, log_sum_exp, dcontext };
    let gradients = Gradients { dquery, dkey, dvalue };
    Backward::with(inputs, outputs, gradients, dposition_bias, |call| {
        let groups = shape.groups(&call.inputs.sequences);
        groups.into_par_iter().for_each_init(Scratch::default, |scratch, group| call.run(group, scratch));
    });
}

/// [`attention_backward`] for some sequences of the batch, on the calling thread. All matrices begin with the first
/// token of these sequences and need have no other tokens; `shape` is that of the whole batch. `dposition_bias` is the
/// sum over these sequences.
pub fn attention_backward_sequences<E: AttentionElement>(
    sequences: Range<usize>,
    query: View<E>,
    key: View<E>,
    value: View<E>,
    position_bias: Option<PositionBias>,
    scale: f32,
    dropout: Dropout,
    context: View<E>,
    log_sum_exp: &[f32],
    dcontext: View<E>,
    dquery: ViewMut<E>,
    dkey: ViewMut<E>,
    dvalue: ViewMut<E>,
    dposition_bias: Option<&mut [f32]>,
    shape: AttentionShape,
) {
    let tasks = 0..sequences.len() * shape.num_heads;
    let inputs = Inputs { query, key, value, position_bias, scale, dropout, shape, sequences };
    let outputs = Outputs { context, log_sum_exp, dcontext };
    let gradients = Gradients { dquery, dkey, dvalue };
    Backward::with(inputs, outputs, gradients, dposition_bias, |call| {
        call.run(tasks, &mut Scratch::default());
    });
}

/// What the forward pass made, and its gradient.
struct Outputs<'a, E> {
    context: View<'a, E>,
    log_sum_exp: &'a [f32],
    dcontext: View<'a, E>,
}

struct Gradients<'a, E> {
    dquery: ViewMut<'a, E>,
    dkey: ViewMut<'a, E>,
    dvalue: ViewMut<'a, E>,
}

#[derive(Default)]
struct Scratch {
    query: Vec<f32>,
    context: Vec<f32>,
    dcontext: Vec<f32>,
    /// `[length, head_dim]`: values until they are transposed, then keys.
    packed: Vec<f32>,
    /// Keys and values, `[head_dim, padded length]`.
    key: Vec<f32>,
    value: Vec<f32>,
    /// `[QUERY_BLOCK, padded length]`.
    scores: Vec<f32>,
    gradients: Vec<f32>,
    /// `[QUERY_BLOCK, head_dim]`.
    dquery: Vec<f32>,
    /// `[length, head_dim]`.
    dkey: Vec<f32>,
    dvalue: Vec<f32>,
}

struct Backward<'a, E> {
    inputs: Inputs<'a, E>,
    outputs: Outputs<'a, E>,
    gradients: Gradients<'a, E>,
    /// By head, sequence and distance: each task writes the `queries + keys - 1` distances of its sequence.
    distances: Option<Disjoint<'a>>,
    path: Path,
}

impl<E: AttentionElement> Backward<'_, E> {
    fn with(
        inputs: Inputs<E>,
        outputs: Outputs<E>,
        gradients: Gradients<E>,
        dposition_bias: Option<&mut [f32]>,
        work: impl FnOnce(&Backward<E>),
    ) {
        inputs.check();
        let (queries, width) = (inputs.queries(), inputs.shape.features());
        let keys = inputs.shape.key_tokens(&inputs.sequences);
        outputs.context.check("context", queries, width);
        outputs.dcontext.check("dcontext", queries, width);
        gradients.dquery.check("dquery", queries, width);
        gradients.dkey.check("dkey", keys, width);
        gradients.dvalue.check("dvalue", keys, width);
        let heads = queries * inputs.shape.num_heads;
        assert_eq!(outputs.log_sum_exp.len(), heads, "log_sum_exp must be [tokens, num_heads]");
        let (position_bias, shape, sequences) =
            (inputs.position_bias, inputs.shape, inputs.sequences.clone());
        let wanted = if dposition_bias.is_some() { (queries + keys) * shape.num_heads } else { 0 };
        let mut distances = vec![0.0; wanted];
        let slots = dposition_bias.is_some().then(|| Disjoint::new(&mut distances));
        work(&Backward { inputs, outputs, gradients, distances: slots, path: Path::best() });
        if let Some(gradient) = dposition_bias {
            let bias = position_bias.expect("a gradient for the position bias needs a position bias");
            assert_eq!(
                gradient.len(),
                bias.values.len(),
                "position bias and its gradient must be equally long"
            );
            add_distances(&distances, gradient, bias, shape, &sequences);
        }
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
        let queries = |view: &View<E>, packed: &mut Vec<f32>| {
            pack(view, task.query, task.queries, column, head_dim, packed);
        };
        queries(&self.inputs.query, &mut scratch.query);
        queries(&self.outputs.context, &mut scratch.context);
        queries(&self.outputs.dcontext, &mut scratch.dcontext);
        pack(&self.inputs.value, task.key, task.keys, column, head_dim, &mut scratch.packed);
        transpose(&scratch.packed, head_dim, &mut scratch.value);
        pack(&self.inputs.key, task.key, task.keys, column, head_dim, &mut scratch.packed);
        transpose(&scratch.packed, head_dim, &mut scratch.key);
        scratch.scores.resize(QUERY_BLOCK * scoring.stride, 0.0);
        scratch.gradients.resize(QUERY_BLOCK * scoring.stride, 0.0);
        scratch.dquery.resize(QUERY_BLOCK * head_dim, 0.0);
        for sums in [&mut scratch.dkey, &mut scratch.dvalue] {
            sums.clear();
            sums.resize(task.keys * head_dim, 0.0);
        }
        for first in (0..task.queries).step_by(QUERY_BLOCK) {
            let rows = QUERY_BLOCK.min(task.queries - first);
            self.block(task, scoring, first, rows, scratch);
        }
        // SAFETY: each (key, head) belongs to one task, which writes it here only.
        unsafe {
            unpack(&scratch.dkey, &self.gradients.dkey, task.key, column, head_dim);
            unpack(&scratch.dvalue, &self.gradients.dvalue, task.key, column, head_dim);
        }
    }

    /// The queries `first..first + rows` of a task.
    fn block(&self, task: Task, scoring: Scoring, first: usize, rows: usize, scratch: &mut Scratch) {
        let (head_dim, padded) = (self.inputs.shape.head_dim, scoring.stride);
        let block = first * head_dim..(first + rows) * head_dim;
        let query = &scratch.query[block.clone()];
        let dcontext = &scratch.dcontext[block.clone()];
        let scores = &mut scratch.scores[..rows * padded];
        let gradients = &mut scratch.gradients[..rows * padded];
        let by_key = Size { rows, inner: head_dim, columns: padded };
        for (left, right, out) in
            [(query, &scratch.key, &mut *scores), (dcontext, &scratch.value, &mut *gradients)]
        {
            product(
                self.path,
                Out { values: out, stride: padded, add: false },
                Left { values: left, row_stride: head_dim, inner_stride: 1 },
                Right { values: right, stride: padded },
                by_key,
            );
        }
        self.softmax_rows(task, scoring, first, &scratch.context[block], dcontext, scores, gradients);
        product(
            self.path,
            Out { values: &mut scratch.dquery, stride: head_dim, add: false },
            Left { values: gradients, row_stride: padded, inner_stride: 1 },
            Right { values: &scratch.packed, stride: head_dim },
            Size { rows, inner: task.keys, columns: head_dim },
        );
        let column = task.head * head_dim;
        let dquery = &scratch.dquery[..rows * head_dim];
        // SAFETY: each (query, head) belongs to one task, which writes it here only.
        unsafe { unpack(dquery, &self.gradients.dquery, task.query + first, column, head_dim) };
        let by_query = Size { rows: task.keys, inner: rows, columns: head_dim };
        for (left, right, out) in
            [(gradients, query, &mut scratch.dkey), (scores, dcontext, &mut scratch.dvalue)]
        {
            product(
                self.path,
                Out { values: out, stride: head_dim, add: true },
                Left { values: left, row_stride: 1, inner_stride: padded },
                Right { values: right, stride: head_dim },
                by_query,
            );
        }
    }

    fn softmax_rows(
        &self,
        task: Task,
        scoring: Scoring,
        first: usize,
        context: &[f32],
        dcontext: &[f32],
        scores: &mut [f32],
        gradients: &mut [f32],
    ) {
        if task.keys == 0 {
            return;
        }
        let AttentionShape { head_dim, num_heads, .. } = self.inputs.shape;
        let rows = context.len() / head_dim;
        let (mut log_sum_exp, mut output_dot) = ([0.0; QUERY_BLOCK], [0.0; QUERY_BLOCK]);
        for (row, log_sum_exp) in log_sum_exp[..rows].iter_mut().enumerate() {
            *log_sum_exp = self.outputs.log_sum_exp[(task.query + first + row) * num_heads + task.head];
        }
        output_dots(self.path, context, dcontext, head_dim, &mut output_dot[..rows]);
        let dbias = self.distances.as_ref().map(|distances| {
            let start = task.head
                * (self.inputs.queries() + self.inputs.shape.key_tokens(&self.inputs.sequences))
                + task.query
                + task.key;
            // SAFETY: each (head, sequence) belongs to one task; its distances begin where its tokens do.
            unsafe { distances.range(start..start + task.queries + task.keys - 1) }
        });
        let rows = BackwardRows {
            scores,
            gradients,
            log_sum_exp: &log_sum_exp,
            output_dot: &output_dot,
            dbias,
            queries: task.queries,
        };
        softmax_backward(self.path, scoring, first, rows);
    }
}

/// Sums the tasks' gradients by distance, sequence after sequence.
fn add_distances(
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
