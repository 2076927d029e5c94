//! The gradients of attention; probabilities are computed again, block of queries by block.

use super::rows::{BackwardRows, Scoring, output_dots, softmax_backward};
use super::{AttentionShape, HeadBias, LANES, PositionBias, QUERY_BLOCK, Task, copy, transpose};
use crate::disjoint::Disjoint;
use crate::dispatch::Path;
use crate::dropout::Dropout;
use crate::product::{Left, Out, Right, Size, product};
use rayon::prelude::*;

/// The gradients of [`attention_forward`](super::attention_forward) with the same inputs, its `out` and its
/// `log_sum_exp`. Every gradient is overwritten; `dposition_bias` is summed over the sequences in their order.
///
/// # Shapes
/// As in [`attention_forward`](super::attention_forward); `dout`, `dquery`, `dkey`, `dvalue` are shaped as `out`,
/// `dposition_bias` as the bias.
pub fn attention_backward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    position_bias: Option<PositionBias>,
    scale: f32,
    dropout: Dropout,
    out: &[f32],
    log_sum_exp: &[f32],
    dout: &[f32],
    dquery: &mut [f32],
    dkey: &mut [f32],
    dvalue: &mut [f32],
    dposition_bias: Option<&mut [f32]>,
    shape: AttentionShape,
) {
    shape.check(position_bias);
    for (name, values) in [("query", query), ("key", key), ("value", value), ("out", out), ("dout", dout)] {
        shape.check_features(name, values);
    }
    for (name, values) in [("dquery", &*dquery), ("dkey", &*dkey), ("dvalue", &*dvalue)] {
        shape.check_features(name, values);
    }
    shape.check_heads("log_sum_exp", log_sum_exp);
    // Each task writes the 2n - 1 distances of its sequence here, `[num_heads, 2 T]`.
    let wanted = if dposition_bias.is_some() { 2 * shape.tokens() * shape.num_heads } else { 0 };
    let mut distances = vec![0.0; wanted];
    let call = Backward {
        query,
        key,
        value,
        position_bias,
        scale,
        dropout,
        out,
        log_sum_exp,
        dout,
        dquery: Disjoint::new(dquery),
        dkey: Disjoint::new(dkey),
        dvalue: Disjoint::new(dvalue),
        distances: (wanted > 0).then(|| Disjoint::new(&mut distances)),
        shape,
        path: Path::best(),
    };
    shape.groups().into_par_iter().for_each_init(Scratch::default, |scratch, group| {
        for task in group {
            call.run(shape.task(task), scratch);
        }
    });
    if let Some(gradient) = dposition_bias {
        let bias = position_bias.expect("a gradient for the position bias needs a position bias");
        assert_eq!(gradient.len(), bias.values.len(), "position bias and its gradient must be equally long");
        add_distances(&distances, gradient, bias.max_distance, shape);
    }
}

/// Sums the tasks' gradients by distance, sequence after sequence.
fn add_distances(distances: &[f32], gradient: &mut [f32], max_distance: usize, shape: AttentionShape) {
    let columns = 2 * max_distance + 1;
    gradient.par_chunks_mut(columns).enumerate().for_each(|(head, gradient)| {
        gradient.fill(0.0);
        let distances = &distances[head * 2 * shape.tokens()..];
        for (start, length) in shape.offsets.iter().zip(shape.lengths()).filter(|(_, length)| *length > 0) {
            let source = &distances[2 * *start as usize..][..2 * length - 1];
            for (gradient, value) in gradient[max_distance + 1 - length..].iter_mut().zip(source) {
                *gradient += value;
            }
        }
    });
}

#[derive(Default)]
struct Scratch {
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

struct Backward<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    position_bias: Option<PositionBias<'a>>,
    scale: f32,
    dropout: Dropout,
    out: &'a [f32],
    log_sum_exp: &'a [f32],
    dout: &'a [f32],
    dquery: Disjoint<'a>,
    dkey: Disjoint<'a>,
    dvalue: Disjoint<'a>,
    distances: Option<Disjoint<'a>>,
    shape: AttentionShape<'a>,
    path: Path,
}

impl Backward<'_> {
    fn run(&self, task: Task, scratch: &mut Scratch) {
        if task.length == 0 {
            return;
        }
        let padded = task.length.next_multiple_of(LANES);
        let head_dim = self.shape.head_dim;
        self.shape.pack(self.value, task, &mut scratch.packed);
        transpose(&scratch.packed, head_dim, &mut scratch.value);
        self.shape.pack(self.key, task, &mut scratch.packed);
        transpose(&scratch.packed, head_dim, &mut scratch.key);
        scratch.scores.resize(QUERY_BLOCK * padded, 0.0);
        scratch.gradients.resize(QUERY_BLOCK * padded, 0.0);
        scratch.dquery.resize(QUERY_BLOCK * head_dim, 0.0);
        for sums in [&mut scratch.dkey, &mut scratch.dvalue] {
            sums.clear();
            sums.resize(task.length * head_dim, 0.0);
        }
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
        self.write(&self.dkey, task, 0, &scratch.dkey);
        self.write(&self.dvalue, task, 0, &scratch.dvalue);
    }

    /// The queries `first..first + rows` of a task.
    fn block(&self, task: Task, scoring: Scoring, first: usize, rows: usize, scratch: &mut Scratch) {
        let (head_dim, features, padded) = (self.shape.head_dim, self.shape.features(), scoring.stride);
        let query = self.shape.head(self.query, task, first);
        let dout = self.shape.head(self.dout, task, first);
        let scores = &mut scratch.scores[..rows * padded];
        let gradients = &mut scratch.gradients[..rows * padded];
        let by_key = Size { rows, inner: head_dim, columns: padded };
        for (left, right, out) in
            [(query, &scratch.key, &mut *scores), (dout, &scratch.value, &mut *gradients)]
        {
            product(
                self.path,
                Out { values: out, stride: padded, add: false },
                Left { values: left, row_stride: features, inner_stride: 1 },
                Right { values: right, stride: padded },
                by_key,
            );
        }
        self.softmax_rows(task, scoring, first, rows, scores, gradients);
        product(
            self.path,
            Out { values: &mut scratch.dquery, stride: head_dim, add: false },
            Left { values: gradients, row_stride: padded, inner_stride: 1 },
            Right { values: &scratch.packed, stride: head_dim },
            Size { rows, inner: task.length, columns: head_dim },
        );
        self.write(&self.dquery, task, first, &scratch.dquery[..rows * head_dim]);
        let by_query = Size { rows: task.length, inner: rows, columns: head_dim };
        for (left, right, out) in [(gradients, query, &mut scratch.dkey), (scores, dout, &mut scratch.dvalue)]
        {
            product(
                self.path,
                Out { values: out, stride: head_dim, add: true },
                Left { values: left, row_stride: 1, inner_stride: padded },
                Right { values: right, stride: features },
                by_query,
            );
        }
    }

    fn softmax_rows(
        &self,
        task: Task,
        scoring: Scoring,
        first: usize,
        rows: usize,
        scores: &mut [f32],
        gradients: &mut [f32],
    ) {
        let (mut log_sum_exp, mut output_dot) = ([0.0; QUERY_BLOCK], [0.0; QUERY_BLOCK]);
        for (row, log_sum_exp) in log_sum_exp[..rows].iter_mut().enumerate() {
            *log_sum_exp = self.log_sum_exp[(task.start + first + row) * self.shape.num_heads + task.head];
        }
        let out = self.shape.head(self.out, task, first);
        let dout = self.shape.head(self.dout, task, first);
        let AttentionShape { head_dim, .. } = self.shape;
        output_dots(self.path, out, dout, self.shape.features(), head_dim, &mut output_dot[..rows]);
        let dbias = self.distances.as_ref().map(|distances| {
            let start = 2 * (task.head * self.shape.tokens() + task.start);
            // SAFETY: each (head, sequence) belongs to one task; its 2n distances begin at twice its first token.
            unsafe { distances.range(start..start + 2 * task.length - 1) }
        });
        let rows =
            BackwardRows { scores, gradients, log_sum_exp: &log_sum_exp, output_dot: &output_dot, dbias };
        softmax_backward(self.path, scoring, first, rows);
    }

    /// Copies the rows of `values` `[n, head_dim]` to the tokens from `first` on.
    fn write(&self, target: &Disjoint, task: Task, first: usize, values: &[f32]) {
        let head_dim = self.shape.head_dim;
        for (row, values) in values.chunks_exact(head_dim).enumerate() {
            let start = self.shape.position(task, first + row);
            // SAFETY: each (token, head) belongs to one task, which writes it here only.
            copy(values, unsafe { target.range(start..start + head_dim) });
        }
    }
}
