//! From raw scores to probabilities, and back with their gradients.
//!
//! Scores lie `[keys, queries]`: a register holds one key and several queries, so that sums over keys need no sum
//! within a register. They are logarithms to base 2.

use super::kernel::Kernel;
use super::shape::{AttentionShape, PositionBias, Task, Visibility};
use super::vector::{HIDDEN, Vector};
use crate::dropout::{Dropout, Mask};
use std::f32::consts::LOG2_E;
use std::ops::Range;

/// Queries that are worked on together.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// First query of the sequence.
    pub(super) first: usize,
    /// Distance of the keys' scores.
    pub(super) width: usize,
}

/// How a raw score becomes one to base 2.
pub(super) struct Scoring {
    scale: f32,
    /// All keys of the sequence.
    keys: usize,
    visibility: Visibility,
    mask: Option<Mask>,
    /// The bias of (query `i`, key `j`) at `i + keys - 1 - j`; null without a bias.
    bias: *const f32,
    /// Scores need no more than the scale, and keep their order.
    is_plain: bool,
}

impl Scoring {
    /// `bias` is room for [`bias_size`] values.
    pub(super) fn new(
        shape: AttentionShape,
        task: Task,
        scale: f32,
        dropout: Dropout,
        position_bias: Option<(PositionBias, &mut [f32])>,
    ) -> Self {
        let visibility = shape.visibility;
        let is_plain = position_bias.is_none() && visibility == Visibility::Bidirectional && scale >= 0.0;
        let bias = position_bias.map_or(std::ptr::null(), |(bias, target)| {
            turn_round(bias, task, target);
            target.as_ptr()
        });
        let mask = shape.mask(dropout, task);
        Self { scale: scale * LOG2_E, keys: task.keys, visibility, mask, bias, is_plain }
    }

    /// What [`Self::finish`] leaves to be multiplied.
    #[inline(always)]
    fn rest(&self) -> f32 {
        if self.is_plain { self.scale } else { 1.0 }
    }

    /// Scores of one key and the queries from `query` on, but for the factor [`Self::rest`].
    ///
    /// # Safety
    /// `query` and the lanes after it lie in what the bias has room for; the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn finish<V: Vector>(&self, raw: V, query: usize, key: usize) -> V {
        if self.is_plain {
            return raw;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let mut score = raw.times(V::splat(self.scale));
            if !self.bias.is_null() {
                score = score.plus(V::load(self.bias.add(query + self.keys - 1 - key)));
            }
            let distance = |offset: f32| V::splat(key as f32 - query as f32 + offset);
            let positions = V::load(POSITIONS.as_ptr());
            match self.visibility {
                Visibility::Bidirectional => score,
                Visibility::Causal => score.between(positions, distance(0.0), V::splat(f32::INFINITY)),
                Visibility::SlidingWindow { reach } => {
                    score.between(positions, distance(-(reach as f32)), distance(reach as f32))
                }
            }
        }
    }

    /// Values of one key and the queries from `query` on after dropout.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn dropped<V: Vector>(&self, values: V, query: usize, key: usize) -> V {
        let Some(mask) = self.mask else { return values };
        let mut factors = [0.0; POSITIONS.len()];
        for lane in 0..V::LANES {
            let index = ((query + lane) as u32).wrapping_mul(self.keys as u32).wrapping_add(key as u32);
            factors[lane] = mask.factor(index);
        }
        // SAFETY: the caller's promise.
        unsafe { values.times(V::load(factors.as_ptr())) }
    }
}

/// As many as any register has lanes.
const POSITIONS: [f32; 16] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];

/// Room for the bias of a task whose queries are rounded up to `queries`.
pub(super) fn bias_size(queries: usize, keys: usize) -> usize {
    queries + keys
}

/// The head's biases by falling distance, from the last key and first query on, to base 2; 0 beyond the last query.
fn turn_round(bias: PositionBias, task: Task, target: &mut [f32]) {
    let values = &bias.values[task.head * bias.columns()..][..bias.columns()];
    target.fill(0.0);
    if task.queries == 0 || task.keys == 0 {
        return;
    }
    let used = &values[bias.max_distance + 1 - task.queries..bias.max_distance + task.keys];
    for (target, value) in target.iter_mut().zip(used.iter().rev()) {
        *target = value * LOG2_E;
    }
}

/// Per query: the largest score and the sum of the exponentials above it.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) largest: *mut f32,
    pub(super) sums: *mut f32,
}

/// Turns raw scores `[keys, width]` into words across the keys, `[keys / STEP, width]`, of their exponentials (not yet
/// divided by their sum), with dropout. The first key is even.
///
/// # Safety
/// There are as many scores, as much room for words (an even number of keys) and sums as the block says, and the
/// processor has the instructions of `K`.
#[inline(always)]
pub(super) unsafe fn forward<K: Kernel>(
    scoring: &Scoring,
    block: Block,
    keys: Range<usize>,
    scores: *mut f32,
    words: *mut f32,
    out: Sums,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for lane in (0..block.width).step_by(K::Vector::LANES) {
            let scores = scores.add(lane);
            let largest = largest_score::<K::Vector>(scoring, block, lane, keys.clone(), scores);
            let rest = K::Vector::splat(scoring.rest());
            let largest = largest.times(rest);
            let mut exponentials = Exponentials {
                scoring,
                query: block.first + lane,
                width: block.width,
                rest,
                below: K::Vector::splat(0.0).minus(largest),
                sums: [K::Vector::splat(0.0); 2],
            };
            let pairs = keys.len() / 2;
            for pair in 0..pairs {
                let (row, key) = (2 * pair, keys.start + 2 * pair);
                let target = words.add(row / K::STEP * block.width + lane);
                exponentials.put::<K, 2>(key, scores.add(row * block.width), target);
            }
            if keys.len() % 2 == 1 {
                let (row, key) = (2 * pairs, keys.start + 2 * pairs);
                let target = words.add(row / K::STEP * block.width + lane);
                exponentials.put::<K, 1>(key, scores.add(row * block.width), target);
            }
            let [even, odd] = exponentials.sums;
            largest.store(out.largest.add(lane));
            even.plus(odd).store(out.sums.add(lane));
        }
    }
}

/// The largest scores of some queries, but for the factor [`Scoring::rest`]; finishes the scores.
///
/// # Safety
/// As [`forward`].
#[inline(always)]
unsafe fn largest_score<V: Vector>(
    scoring: &Scoring,
    block: Block,
    lane: usize,
    keys: Range<usize>,
    scores: *mut f32,
) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let mut largest = V::splat(HIDDEN / 2.0);
        for key in keys.clone() {
            let place = scores.add((key - keys.start) * block.width);
            let score = scoring.finish(V::load(place), block.first + lane, key);
            largest = score.larger(largest);
            if !scoring.is_plain {
                score.store(place);
            }
        }
        largest
    }
}

/// The exponentials of some queries' scores, and their sums over even and over odd keys.
struct Exponentials<'a, V> {
    scoring: &'a Scoring,
    query: usize,
    width: usize,
    rest: V,
    below: V,
    sums: [V; 2],
}

impl<V: Vector> Exponentials<'_, V> {
    /// `N` keys, 1 or 2.
    ///
    /// # Safety
    /// As [`forward`].
    #[inline(always)]
    unsafe fn put<K: Kernel<Vector = V>, const N: usize>(
        &mut self,
        key: usize,
        scores: *const f32,
        target: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut pair = [V::splat(0.0); 2];
            for n in 0..N {
                let score = V::load(scores.add(n * self.width));
                let exponential = score.multiply_add(self.rest, self.below).exp2();
                self.sums[n] = self.sums[n].plus(exponential);
                pair[n] = self.scoring.dropped(exponential, self.query, key + n);
            }
            K::store_across(pair, target, self.width);
        }
    }
}

/// What the backward pass of softmax reads and writes; matrices are `[keys, …]`.
pub(super) struct BackwardBlock {
    /// In: raw scores and gradients of the probabilities after dropout, `[keys, width]`.
    pub(super) scores: *const f32,
    pub(super) gradients: *const f32,
    /// Per query: the log-sum-exp of its scores to base 2, and the product of its context and its gradient.
    pub(super) log_sum_exp: *const f32,
    pub(super) products: *const f32,
    /// Out: words of the gradients of scores across the keys, `[keys / STEP, width]`.
    pub(super) across: *mut f32,
    /// Out: words of them and of the probabilities after dropout along the keys' rows, at distance `along_stride`.
    pub(super) gradients_along: *mut f32,
    pub(super) probabilities_along: *mut f32,
    pub(super) along_stride: usize,
    /// Added to if not null: the gradient of the bias, at `i + keys - 1 - j`.
    pub(super) dbias: *mut f32,
}

/// `ds = p · (dp · keep - dot)`: the derivative of softmax; `dot` is the query's Σ p · keep · dp, which equals the
/// product of its context and the gradient. The first key is even.
///
/// # Safety
/// As [`forward`].
#[inline(always)]
pub(super) unsafe fn backward<K: Kernel>(
    scoring: &Scoring,
    block: Block,
    keys: Range<usize>,
    memory: &BackwardBlock,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for lane in (0..block.width).step_by(K::Vector::LANES) {
            let queries = Queries {
                first: block.first + lane,
                lane,
                width: block.width,
                rest: K::Vector::splat(scoring.rest()),
                below: K::Vector::splat(0.0).minus(K::Vector::load(memory.log_sum_exp.add(lane))),
                dot: K::Vector::load(memory.products.add(lane)),
            };
            let pairs = keys.len() / 2;
            for pair in 0..pairs {
                queries.put::<K, 2>(scoring, keys.start, 2 * pair, memory);
            }
            if keys.len() % 2 == 1 {
                queries.put::<K, 1>(scoring, keys.start, 2 * pairs, memory);
            }
        }
    }
}

/// Queries that share a register in the backward pass.
struct Queries<V> {
    first: usize,
    lane: usize,
    width: usize,
    rest: V,
    below: V,
    dot: V,
}

impl<V: Vector> Queries<V> {
    /// `N` keys, 1 or 2, from row `row` on.
    ///
    /// # Safety
    /// As [`forward`].
    #[inline(always)]
    unsafe fn put<K: Kernel<Vector = V>, const N: usize>(
        &self,
        scoring: &Scoring,
        first_key: usize,
        row: usize,
        memory: &BackwardBlock,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut probabilities, mut gradients) = ([V::splat(0.0); 2], [V::splat(0.0); 2]);
            for n in 0..N {
                let key = first_key + row + n;
                let place = (row + n) * self.width + self.lane;
                let score = scoring.finish(V::load(memory.scores.add(place)), self.first, key);
                let probability = score.multiply_add(self.rest, self.below).exp2();
                let keep = scoring.dropped(V::splat(1.0), self.first, key);
                probabilities[n] = probability.times(keep);
                let dprobability = V::load(memory.gradients.add(place)).times(keep);
                gradients[n] = probability.times(dprobability.minus(self.dot));
                if !memory.dbias.is_null() {
                    let place = memory.dbias.add(self.first + scoring.keys - 1 - key);
                    V::load(place).plus(gradients[n]).store(place);
                }
            }
            let across = memory.across.add(row / K::STEP * self.width + self.lane);
            K::store_across(gradients, across, self.width);
            let place = row * memory.along_stride + self.lane / K::STEP;
            K::store_along(gradients, memory.gradients_along.add(place), memory.along_stride);
            K::store_along(probabilities, memory.probabilities_along.add(place), memory.along_stride);
        }
    }
}
