//! The gradients of attention; probabilities are computed again, block of queries by block.

use super::distances::{self, Distances};
use super::forward::{Inputs, WIDEST, raw_scores, visible, width};
use super::kernel::Kernel;
use super::pack::{Layout, Rows, across, along, row_products, transposed};
use super::product::{Collected, Left, ROW_GROUP, Right, ScaledRows, Size, ToScratch, product, write};
use super::route::{Route, per_route};
use super::scratch::Scratch;
use super::shape::Task;
use super::softmax::{BackwardBlock, Block, Scoring, backward, bias_size};
use super::vector::Vector;
use super::view::RowsMut;
use super::{AttentionShape, PositionBias, View, ViewMut, Visibility};
use crate::dropout::Dropout;
use crate::gemm::Element;
use rayon::prelude::*;
use std::f32::consts::LOG2_E;
use std::ops::Range;

/// Words of gradients along the queries per key: the queries of a group, over which the gradients of keys and values
/// are summed in registers, are twice as many where a word holds two.
const GROUP_WORDS: usize = 32;

/// The gradients of [`attention_forward`](super::attention_forward) with the same inputs, its `context` and its
/// `log_sum_exp`. Every gradient is overwritten; `dposition_bias` is summed over the sequences in their order.
///
/// # Shapes
/// As in [`attention_forward`](super::attention_forward); `dcontext` is shaped as `context`, a gradient as what it is
/// the gradient of. Gradients that lie in one buffer come from [`ViewMut::split`].
pub fn attention_backward<E: Element>(
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
    in_parallel(inputs, outputs, gradients, dposition_bias, Route::best());
}

/// [`attention_backward`] on a given instruction set.
pub(super) fn in_parallel<E: Element>(
    inputs: Inputs<E>,
    outputs: Outputs<E>,
    gradients: Gradients<E>,
    dposition_bias: Option<&mut [f32]>,
    route: Route,
) {
    Backward::with(inputs, outputs, gradients, dposition_bias, route, |call| {
        let groups = call.inputs.shape.groups(&call.inputs.sequences);
        groups.into_par_iter().for_each_init(Scratch::default, |scratch, group| call.run(group, scratch));
    });
}

/// [`attention_backward`] for some sequences of the batch, on the calling thread. All matrices begin with the first
/// token of these sequences and need have no other tokens; `shape` is that of the whole batch. `dposition_bias` is the
/// sum over these sequences.
pub fn attention_backward_sequences<E: Element>(
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
    Backward::with(inputs, outputs, gradients, dposition_bias, Route::best(), |call| {
        call.run(tasks, &mut Scratch::default());
    });
}

/// What the forward pass made, and its gradient.
pub(super) struct Outputs<'a, E> {
    pub(super) context: View<'a, E>,
    pub(super) log_sum_exp: &'a [f32],
    pub(super) dcontext: View<'a, E>,
}

pub(super) struct Gradients<'a, E> {
    pub(super) dquery: ViewMut<'a, E>,
    pub(super) dkey: ViewMut<'a, E>,
    pub(super) dvalue: ViewMut<'a, E>,
}

struct Backward<'a, E> {
    inputs: Inputs<'a, E>,
    outputs: Outputs<'a, E>,
    gradients: Gradients<'a, E>,
    /// By head, sequence and distance: each task writes the `queries + keys - 1` distances of its sequence.
    distances: Option<Distances<'a>>,
    route: Route,
}

impl<E: Element> Backward<'_, E> {
    fn with(
        inputs: Inputs<E>,
        outputs: Outputs<E>,
        gradients: Gradients<E>,
        dposition_bias: Option<&mut [f32]>,
        route: Route,
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
        if let Some(gradient) = &dposition_bias {
            let bias = position_bias.expect("a gradient for the position bias needs a position bias");
            assert_eq!(
                gradient.len(),
                bias.values.len(),
                "position bias and its gradient must be equally long"
            );
        }
        let wanted = if dposition_bias.is_some() { distances::size(shape, &sequences) } else { 0 };
        let mut values = vec![0.0; wanted];
        let distances = dposition_bias.is_some().then(|| Distances::new(&mut values, shape));
        work(&Backward { inputs, outputs, gradients, distances, route });
        if let (Some(gradient), Some(bias)) = (dposition_bias, position_bias) {
            distances::add(&values, gradient, bias, shape, &sequences);
        }
    }

    fn run(&self, tasks: Range<usize>, scratch: &mut Scratch) {
        // SAFETY: the callers hand out each task once, to one thread.
        unsafe { run_on(self.route, self, tasks, scratch) }
    }

    fn has_bias(&self) -> bool {
        self.inputs.position_bias.is_some()
    }

    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn task<K: Kernel<Element = E>>(&self, task: Task, scratch: &mut Scratch) {
        let layout = Layout::new::<K>(self.inputs.shape.head_dim);
        let group = GROUP_WORDS * K::STEP;
        let keys = task.keys.next_multiple_of(ROW_GROUP);
        let bias = bias_size(task.queries + WIDEST, task.keys);
        let bias_area = if self.has_bias() { bias } else { 0 };
        let areas = scratch.areas([
            keys * layout.along,
            keys * layout.along,
            keys * layout.across,
            group * layout.across,
            group * layout.across,
            layout.along * WIDEST,
            layout.along * WIDEST,
            keys * WIDEST,
            keys * WIDEST,
            keys * WIDEST,
            keys * GROUP_WORDS,
            keys * GROUP_WORDS,
            keys * layout.across,
            keys * layout.across,
            bias_area,
            bias_area,
        ]);
        let memory = Memory {
            keys: areas[0],
            values: areas[1],
            keys_across: areas[2],
            queries_across: areas[3],
            dcontext_across: areas[4],
            queries: areas[5],
            dcontext: areas[6],
            scores: areas[7],
            gradients: areas[8],
            gradients_across: areas[9],
            gradients_along: areas[10],
            probabilities_along: areas[11],
            dkey: areas[12],
            dvalue: areas[13],
            dbias: if self.distances.is_some() { areas[15] } else { std::ptr::null_mut() },
        };
        // SAFETY: the views were checked, the areas are as large as their users want, the rest is the caller's promise.
        unsafe {
            let head = Head {
                task,
                layout,
                scoring: self.inputs.scoring(task, areas[14], bias),
                rows: self.inputs.rows(task),
                outputs: [self.outputs.context, self.outputs.dcontext].map(|view| {
                    Rows::new(view, task.query, task.queries, task.head * layout.head_dim, layout.head_dim)
                }),
            };
            along::<K>(&head.rows[1], layout, memory.keys);
            along::<K>(&head.rows[2], layout, memory.values);
            across::<K>(&head.rows[1], layout, memory.keys_across);
            if !memory.dbias.is_null() {
                memory.dbias.write_bytes(0, bias);
            }
            // With every key in the only or in each group, the first and the last one know that they are.
            let is_bidirectional =
                self.inputs.shape.visibility == Visibility::Bidirectional && task.queries > 0;
            if !is_bidirectional {
                memory.dkey.write_bytes(0, keys * layout.across);
                memory.dvalue.write_bytes(0, keys * layout.across);
            }
            for first in (0..task.queries).step_by(group) {
                let queries = first..task.queries.min(first + group);
                self.group::<K>(&head, queries, is_bidirectional, &memory);
            }
            if !is_bidirectional {
                self.write_sums::<K>(&head, &memory);
            }
            if let Some(distances) = self.distances.as_ref().filter(|_| task.queries > 0 && task.keys > 0) {
                let count = task.queries + task.keys - 1;
                distances.write(task, std::slice::from_raw_parts(memory.dbias, count));
            }
        }
    }

    /// The queries between which the gradients of keys and values stay in registers.
    ///
    /// # Safety
    /// As [`run`], and the memory is that of the head.
    #[inline(always)]
    unsafe fn group<K: Kernel<Element = E>>(
        &self,
        head: &Head<E>,
        queries: Range<usize>,
        is_bidirectional: bool,
        memory: &Memory,
    ) {
        let (task, layout) = (head.task, head.layout);
        let keys = visible(&self.inputs.shape, task, queries.clone());
        // SAFETY: the caller's promise.
        unsafe {
            for (rows, target) in
                [(&head.rows[0], memory.queries_across), (&head.outputs[1], memory.dcontext_across)]
            {
                across::<K>(&rows.part(queries.start, queries.len()), layout, target);
            }
            let mut first = queries.start;
            while first < queries.end {
                let block = Block { first, width: width::<K>(queries.end, first) };
                self.block::<K>(head, block, queries.clone(), keys.clone(), memory);
                first += block.width;
            }
            let targets = [
                (
                    memory.gradients_along,
                    memory.queries_across,
                    memory.dkey,
                    &self.gradients.dkey,
                    self.inputs.scale,
                ),
                (
                    memory.probabilities_along,
                    memory.dcontext_across,
                    memory.dvalue,
                    &self.gradients.dvalue,
                    1.0,
                ),
            ];
            for (left, right, sums, view, factor) in targets {
                let sink = Collected {
                    sums: ToScratch { start: sums.add(keys.start * layout.across), stride: layout.across },
                    is_first: is_bidirectional && queries.start == 0,
                    is_last: is_bidirectional && queries.end == task.queries,
                    rows: head.key_rows(view),
                    factor,
                };
                product::<K, _>(
                    Left { start: left, row_stride: GROUP_WORDS, inner_stride: 1 },
                    Right { start: right, stride: layout.across },
                    Size {
                        rows: keys.len(),
                        steps: queries.len().div_ceil(K::STEP),
                        columns: layout.head_dim,
                    },
                    &sink,
                );
            }
        }
    }

    /// # Safety
    /// As [`Self::group`].
    #[inline(always)]
    unsafe fn block<K: Kernel<Element = E>>(
        &self,
        head: &Head<E>,
        block: Block,
        group: Range<usize>,
        keys: Range<usize>,
        memory: &Memory,
    ) {
        let (task, layout) = (head.task, head.layout);
        let Block { first, width } = block;
        let rows = width.min(task.queries - first);
        let (log_sum_exp, mut products) = (self.log_sum_exp(task, first, rows), [0.0; WIDEST]);
        // SAFETY: the caller's promise.
        unsafe {
            for (source, rows, target, out) in [
                (memory.keys, &head.rows[0], memory.queries, memory.scores),
                (memory.values, &head.outputs[1], memory.dcontext, memory.gradients),
            ] {
                transposed::<K>(&rows.part(first, width), layout, width, target);
                let source = source.add(keys.start * layout.along);
                raw_scores::<K>(source, keys.len(), target, width, layout, out);
            }
            for lane in (0..width).step_by(K::Vector::LANES) {
                let [context, dcontext] = &head.outputs;
                row_products::<K>(context, dcontext, layout, first + lane)
                    .store(products.as_mut_ptr().add(lane));
            }
            let column = (first - group.start) / K::STEP;
            let softmax = BackwardBlock {
                scores: memory.scores,
                gradients: memory.gradients,
                log_sum_exp: log_sum_exp.as_ptr(),
                products: products.as_ptr(),
                across: memory.gradients_across,
                gradients_along: memory.gradients_along.add(column),
                probabilities_along: memory.probabilities_along.add(column),
                along_stride: GROUP_WORDS,
                dbias: memory.dbias,
            };
            backward::<K>(&head.scoring, block, keys.clone(), &softmax);
            let sink = ScaledRows {
                rows: head.query_rows(&self.gradients.dquery, first, rows),
                factors: &[self.inputs.scale; WIDEST],
            };
            product::<K, _>(
                Left { start: memory.gradients_across, row_stride: 1, inner_stride: width },
                Right {
                    start: memory.keys_across.add(keys.start / K::STEP * layout.across),
                    stride: layout.across,
                },
                Size { rows, steps: keys.len().div_ceil(K::STEP), columns: layout.head_dim },
                &sink,
            );
        }
    }

    /// Of some queries, to base 2; 0 where no key is seen, whose exponential is then 0 too, and beyond the last.
    #[inline(always)]
    fn log_sum_exp(&self, task: Task, first: usize, rows: usize) -> [f32; WIDEST] {
        let mut values = [0.0; WIDEST];
        for (row, value) in values[..rows].iter_mut().enumerate() {
            let query = task.query + first + row;
            let saved = self.outputs.log_sum_exp[query * self.inputs.shape.num_heads + task.head];
            *value = if saved == f32::NEG_INFINITY { 0.0 } else { saved * LOG2_E };
        }
        values
    }

    /// Writes the gradients of keys and values that were collected.
    ///
    /// # Safety
    /// As [`Self::group`].
    #[inline(always)]
    unsafe fn write_sums<K: Kernel<Element = E>>(&self, head: &Head<E>, memory: &Memory) {
        let targets = [
            (memory.dkey, &self.gradients.dkey, self.inputs.scale),
            (memory.dvalue, &self.gradients.dvalue, 1.0),
        ];
        let layout = head.layout;
        for (sums, view, factor) in targets {
            let rows = head.key_rows(view);
            for row in 0..rows.rows {
                for column in (0..layout.head_dim).step_by(K::Vector::LANES) {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let sum = K::Vector::load(sums.add(row * layout.across + column));
                        write::<K, 1, 1>(&rows, row, column, [[sum]], |_| factor);
                    }
                }
            }
        }
    }
}

per_route!(fn run_on(call: &Backward<'_, E>, tasks: Range<usize>, scratch: &mut Scratch) = run);

/// # Safety
/// Each task is run by one thread at a time, and the processor has the instructions of `K`.
#[inline(always)]
unsafe fn run<K: Kernel>(call: &Backward<K::Element>, tasks: Range<usize>, scratch: &mut Scratch) {
    for index in tasks {
        let task = call.inputs.shape.task(&call.inputs.sequences, index);
        // SAFETY: the caller's promise.
        unsafe { call.task::<K>(task, scratch) };
    }
}

/// One head of one sequence.
struct Head<'a, E> {
    task: Task,
    layout: Layout,
    scoring: Scoring,
    /// Query, key, value.
    rows: [Rows<'a, E>; 3],
    /// Context and its gradient.
    outputs: [Rows<'a, E>; 2],
}

impl<E> Head<'_, E> {
    #[inline(always)]
    fn query_rows(&self, view: &ViewMut<E>, first: usize, rows: usize) -> RowsMut<E> {
        let head_dim = self.layout.head_dim;
        view.rows(self.task.query + first, rows, self.task.head * head_dim, head_dim)
    }

    #[inline(always)]
    fn key_rows(&self, view: &ViewMut<E>) -> RowsMut<E> {
        let head_dim = self.layout.head_dim;
        view.rows(self.task.key, self.task.keys, self.task.head * head_dim, head_dim)
    }
}

/// Where the operands of a task are.
struct Memory {
    /// Words along the rows.
    keys: *mut f32,
    values: *mut f32,
    /// Words across the rows; of queries and context gradients those of a group.
    keys_across: *mut f32,
    queries_across: *mut f32,
    dcontext_across: *mut f32,
    /// Transposed, those of a block.
    queries: *mut f32,
    dcontext: *mut f32,
    /// `[keys, width]`.
    scores: *mut f32,
    gradients: *mut f32,
    gradients_across: *mut f32,
    /// `[keys, GROUP_WORDS]`.
    gradients_along: *mut f32,
    probabilities_along: *mut f32,
    /// Sums, `[keys, across]`.
    dkey: *mut f32,
    dvalue: *mut f32,
    /// By falling distance; null if not wanted.
    dbias: *mut f32,
}
