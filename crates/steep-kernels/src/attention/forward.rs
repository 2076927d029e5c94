//! `context = softmax(scale · Q · Kᵀ + bias) · V` per head and sequence.

use super::kernel::Kernel;
use super::pack::{Layout, Rows, across, along, transposed};
use super::product::{Left, ROW_GROUP, Right, ScaledRows, Size, ToScratch, product};
use super::route::{Route, per_route};
use super::scratch::Scratch;
use super::shape::Task;
use super::softmax::{Block, Scoring, Sums, bias_size, forward};
use super::vector::Vector;
use super::{AttentionShape, PositionBias, View, ViewMut};
use crate::disjoint::Disjoint;
use crate::dropout::Dropout;
use crate::gemm::Element;
use crate::math::ln;
use rayon::prelude::*;
use std::f32::consts::LN_2;
use std::ops::Range;

/// Packed attention; dropout acts on the probabilities (see the module for its indices).
///
/// # Shapes
/// `query`, `context` `[T, num_heads · head_dim]`, `key`, `value` the same with the tokens of `key_offsets` if there
/// are any; `log_sum_exp` `[T, num_heads]` is an output for [`attention_backward`](super::attention_backward).
pub fn attention_forward<E: Element>(
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
    in_parallel(inputs, context, log_sum_exp, Route::best());
}

/// [`attention_forward`] on a given instruction set.
pub(super) fn in_parallel<E: Element>(
    inputs: Inputs<E>,
    context: ViewMut<E>,
    log_sum_exp: &mut [f32],
    route: Route,
) {
    let call = Forward::new(inputs, context, log_sum_exp, route);
    let groups = call.inputs.shape.groups(&call.inputs.sequences);
    groups.into_par_iter().for_each_init(Scratch::default, |scratch, group| call.run(group, scratch));
}

/// [`attention_forward`] for some sequences of the batch, on the calling thread. All matrices begin with the first
/// token of these sequences and need have no other tokens; `shape` is that of the whole batch.
pub fn attention_forward_sequences<E: Element>(
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
    Forward::new(inputs, context, log_sum_exp, Route::best()).run(tasks, &mut Scratch::default());
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

impl<E: Element> Inputs<'_, E> {
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

    /// One head of the rows of a task.
    pub(super) fn rows(&self, task: Task) -> [Rows<'_, E>; 3] {
        let head_dim = self.shape.head_dim;
        let column = task.head * head_dim;
        [
            Rows::new(self.query, task.query, task.queries, column, head_dim),
            Rows::new(self.key, task.key, task.keys, column, head_dim),
            Rows::new(self.value, task.key, task.keys, column, head_dim),
        ]
    }

    /// `bias` is room for the task's biases.
    ///
    /// # Safety
    /// It is, for [`bias_size`] words.
    pub(super) unsafe fn scoring(&self, task: Task, bias: *mut f32, size: usize) -> Scoring {
        let position_bias = self.position_bias.map(|position_bias| {
            // SAFETY: the caller's promise.
            (position_bias, unsafe { std::slice::from_raw_parts_mut(bias, size) })
        });
        Scoring::new(self.shape, task, self.scale, self.dropout, position_bias)
    }
}

/// The widest block of queries: two registers.
pub(super) const WIDEST: usize = 32;

/// Queries of the block that begins with `first`: two registers, or one if that holds the rest.
#[inline(always)]
pub(super) fn width<K: Kernel>(queries: usize, first: usize) -> usize {
    if queries - first > K::Vector::LANES { 2 * K::Vector::LANES } else { K::Vector::LANES }
}

/// The keys that a block of queries sees, and their neighbours in the groups of rows that products work in.
pub(super) fn visible(shape: &AttentionShape, task: Task, queries: Range<usize>) -> Range<usize> {
    let keys = shape.visibility.keys(&queries, task.keys);
    keys.start / ROW_GROUP * ROW_GROUP..keys.end.next_multiple_of(ROW_GROUP).min(task.keys)
}

/// Raw scores `[keys, width]`: the products of rows of keys with a transposed block of queries.
///
/// # Safety
/// The operands and the scores are as large as the layout, the keys and the width say, keys rounded up to
/// [`ROW_GROUP`]; the processor has the instructions of `K`.
#[inline(always)]
pub(super) unsafe fn raw_scores<K: Kernel>(
    keys: *const f32,
    count: usize,
    queries: *const f32,
    width: usize,
    layout: Layout,
    scores: *mut f32,
) {
    let size = Size { rows: count, steps: layout.steps, columns: width };
    let right = Right { start: queries, stride: width };
    let sink = ToScratch { start: scores, stride: width };
    let left = |row_stride| Left { start: keys, row_stride, inner_stride: 1 };
    // SAFETY: the caller's promise.
    unsafe {
        // Known distances become part of the instructions, which pays where products are fastest.
        match layout.along {
            16 if K::STEP == 2 => product::<K, _>(left(16), right, size, &sink),
            32 if K::STEP == 2 => product::<K, _>(left(32), right, size, &sink),
            along => product::<K, _>(left(along), right, size, &sink),
        }
    }
}

struct Forward<'a, E> {
    inputs: Inputs<'a, E>,
    context: ViewMut<'a, E>,
    log_sum_exp: Disjoint<'a>,
    route: Route,
}

per_route!(fn run_on(call: &Forward<'_, E>, tasks: Range<usize>, scratch: &mut Scratch) = run);

/// # Safety
/// Each task is run by one thread at a time, and the processor has the instructions of `K`.
#[inline(always)]
unsafe fn run<K: Kernel>(call: &Forward<K::Element>, tasks: Range<usize>, scratch: &mut Scratch) {
    for index in tasks {
        let task = call.inputs.shape.task(&call.inputs.sequences, index);
        // SAFETY: the caller's promise.
        unsafe { call.task::<K>(task, scratch) };
    }
}

/// Where the operands of a task are.
struct Memory {
    keys: *mut f32,
    values: *mut f32,
    queries: *mut f32,
    scores: *mut f32,
    words: *mut f32,
}

impl<'a, E: Element> Forward<'a, E> {
    fn new(inputs: Inputs<'a, E>, context: ViewMut<'a, E>, log_sum_exp: &'a mut [f32], route: Route) -> Self {
        inputs.check();
        context.check("context", inputs.queries(), inputs.shape.features());
        let heads = inputs.queries() * inputs.shape.num_heads;
        assert_eq!(log_sum_exp.len(), heads, "log_sum_exp must be [tokens, num_heads]");
        Self { inputs, context, log_sum_exp: Disjoint::new(log_sum_exp), route }
    }

    fn run(&self, tasks: Range<usize>, scratch: &mut Scratch) {
        // SAFETY: the callers hand out each task once, to one thread.
        unsafe { run_on(self.route, self, tasks, scratch) }
    }

    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn task<K: Kernel<Element = E>>(&self, task: Task, scratch: &mut Scratch) {
        let layout = Layout::new::<K>(self.inputs.shape.head_dim);
        let [query, key, value] = self.inputs.rows(task);
        let keys = task.keys.next_multiple_of(ROW_GROUP);
        let bias = bias_size(task.queries + WIDEST, task.keys);
        let [keys_area, values, queries, scores, words, bias_area] = scratch.areas([
            keys * layout.along,
            keys * layout.across,
            layout.along * WIDEST,
            keys * WIDEST,
            keys * WIDEST,
            if self.inputs.position_bias.is_some() { bias } else { 0 },
        ]);
        let memory = Memory { keys: keys_area, values, queries, scores, words };
        // SAFETY: the views were checked, the areas are as large as their users want, the rest is the caller's promise.
        unsafe {
            let scoring = self.inputs.scoring(task, bias_area, bias);
            along::<K>(&key, layout, memory.keys);
            across::<K>(&value, layout, memory.values);
            let mut first = 0;
            while first < task.queries {
                let block = Block { first, width: width::<K>(task.queries, first) };
                self.block::<K>(task, block, &scoring, &query, layout, &memory);
                first += block.width;
            }
        }
    }

    /// # Safety
    /// As [`run`], and the memory is that of the task.
    #[inline(always)]
    unsafe fn block<K: Kernel<Element = E>>(
        &self,
        task: Task,
        block: Block,
        scoring: &Scoring,
        query: &Rows<E>,
        layout: Layout,
        memory: &Memory,
    ) {
        let Block { first, width } = block;
        let rows = width.min(task.queries - first);
        let keys = visible(&self.inputs.shape, task, first..first + rows);
        let (mut largest, mut sums) = ([0.0; WIDEST], [0.0; WIDEST]);
        // SAFETY: the caller's promise.
        unsafe {
            transposed::<K>(&query.part(first, width), layout, width, memory.queries);
            let visible_keys = memory.keys.add(keys.start * layout.along);
            raw_scores::<K>(visible_keys, keys.len(), memory.queries, width, layout, memory.scores);
            let out = Sums { largest: largest.as_mut_ptr(), sums: sums.as_mut_ptr() };
            forward::<K>(scoring, block, keys.clone(), memory.scores, memory.words, out);
            self.normalise(task, first, rows, &largest, &mut sums);
            let sink = ScaledRows {
                rows: self.context.rows(
                    task.query + first,
                    rows,
                    task.head * layout.head_dim,
                    layout.head_dim,
                ),
                factors: &sums,
            };
            product::<K, _>(
                Left { start: memory.words, row_stride: 1, inner_stride: width },
                Right {
                    start: memory.values.add(keys.start / K::STEP * layout.across),
                    stride: layout.across,
                },
                Size { rows, steps: keys.len().div_ceil(K::STEP), columns: layout.head_dim },
                &sink,
            );
        }
    }

    /// Writes the log-sum-exp of a block and turns its sums into their inverses.
    ///
    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn normalise(
        &self,
        task: Task,
        first: usize,
        rows: usize,
        largest: &[f32; WIDEST],
        sums: &mut [f32; WIDEST],
    ) {
        let num_heads = self.inputs.shape.num_heads;
        let mut log_sum_exp = [0.0; WIDEST];
        for lane in 0..WIDEST {
            let is_seen = sums[lane] != 0.0;
            let total = largest[lane] * LN_2 + ln(sums[lane]);
            log_sum_exp[lane] = if is_seen { total } else { f32::NEG_INFINITY };
            sums[lane] = if is_seen { 1.0 / sums[lane] } else { 0.0 };
        }
        let position = (task.query + first) * num_heads + task.head;
        // SAFETY: each (token, head) belongs to one task; the range, of which it touches its own head, was checked.
        unsafe {
            let target = self.log_sum_exp.pointer(position);
            self.log_sum_exp.pointer(position + (rows - 1) * num_heads);
            for (row, value) in log_sum_exp[..rows].iter().enumerate() {
                *target.add(row * num_heads) = *value;
            }
        }
    }
}
