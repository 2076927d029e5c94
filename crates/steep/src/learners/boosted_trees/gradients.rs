//! The loss of every row at the trees' sums so far, its derivatives, and what trees are grown on.

use super::bins::BinnedColumns;
use super::grow::{Growth, grow};
use super::histogram::Lanes;
use super::tree::{Node, Tree, add_leaf};
use crate::learners::network::OutputLink;
use crate::learners::row_loss::exp_of_negative;
use crate::random::Stream;
use rayon::prelude::*;

/// Rows handled by one task.
const CHUNK: usize = 512;
/// Sums of lanes stay below this, whatever rows are added.
const LARGEST_SUM: f64 = 1e9;
/// Second derivatives are at least this, so that a class that is certain everywhere divides nothing by zero.
const LEAST_BEND: f32 = 1e-6;

/// Lanes where there is one output: its gradient, none, its second derivative, 1.
const ONE: usize = 4;
/// Lanes where there are more: six gradients or projections of them, 1, 1.
const MANY: usize = 8;

/// Rows' sums and their derivatives, all `[rows, width]`.
pub(super) struct Gradients<'a> {
    targets: &'a [f32],
    width: usize,
    link: OutputLink,
    base: Vec<f32>,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    bends: Vec<f32>,
}

impl<'a> Gradients<'a> {
    /// Begins with what says nothing of the row: log-odds, or the mean.
    pub(super) fn new(targets: &'a [f32], width: usize, link: OutputLink, training: &[u32]) -> Self {
        let mut sums = vec![0.0; width];
        for &row in training {
            let targets = &targets[row as usize * width..][..width];
            sums.iter_mut().zip(targets).for_each(|(sum, target)| *sum += f64::from(*target));
        }
        let rows = training.len() as f64;
        let first = |sum: f64| match link {
            OutputLink::Softmax => ((sum + 0.5) / rows).ln(),
            OutputLink::Binary | OutputLink::MultiLabel => ((sum + 0.5) / (rows - sum + 0.5)).ln(),
            OutputLink::Identity => sum / rows,
        };
        let base: Vec<f32> = sums.into_iter().map(|sum| first(sum) as f32).collect();
        let scores = base.repeat(targets.len() / width);
        let zeros = vec![0.0; scores.len()];
        Self { targets, width, link, base, scores, slopes: zeros.clone(), bends: zeros }
    }

    pub(super) fn base(&self) -> &[f32] {
        &self.base
    }

    /// Computes the derivatives of all rows; the mean loss of the given ones.
    pub(super) fn update(&mut self, training: &[u32]) -> f64 {
        let size = CHUNK * self.width;
        let (width, link) = (self.width, self.link);
        self.slopes
            .par_chunks_mut(size)
            .zip(self.bends.par_chunks_mut(size))
            .zip(self.scores.par_chunks(size).zip(self.targets.par_chunks(size)))
            .for_each(|((slopes, bends), (scores, targets))| {
                let rows = scores.chunks_exact(width).zip(targets.chunks_exact(width));
                let derivatives = slopes.chunks_exact_mut(width).zip(bends.chunks_exact_mut(width));
                for ((slopes, bends), (scores, targets)) in derivatives.zip(rows) {
                    derive(link, scores, targets, slopes, bends);
                }
            });
        self.loss(training)
    }

    /// The mean loss of some rows.
    pub(super) fn loss(&self, rows: &[u32]) -> f64 {
        let of_chunk = |rows: &[u32]| rows.iter().map(|&row| self.row_loss(row as usize)).sum::<f64>();
        let parts: Vec<f64> = rows.par_chunks(CHUNK).map(of_chunk).collect();
        parts.iter().sum::<f64>() / rows.len() as f64
    }

    fn row_loss(&self, row: usize) -> f64 {
        let span = row * self.width..(row + 1) * self.width;
        let (scores, targets) = (&self.scores[span.clone()], &self.targets[span]);
        match self.link {
            OutputLink::Softmax => {
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = scores.iter().map(|score| f64::from(exp_of_negative(score - largest))).sum();
                let own: f32 = scores.iter().zip(targets).map(|(score, target)| score * target).sum();
                sum.ln() + f64::from(largest - own)
            }
            OutputLink::Binary | OutputLink::MultiLabel => {
                let of_output = |(score, target): (&f32, &f32)| {
                    let (z, t) = (f64::from(*score), f64::from(*target));
                    z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z
                };
                scores.iter().zip(targets).map(of_output).sum()
            }
            OutputLink::Identity => f64::from(scores[0] - targets[0]).powi(2) / 2.0,
        }
    }

    /// Grows one tree on the derivatives: its nodes and the rows of its leaves.
    pub(super) fn grow(&self, seed: u64, round: u64, growth: &Growth<'_>) -> (Vec<Node>, Vec<Vec<u32>>) {
        if self.width == 1 {
            let (lanes, units) = whole::<ONE>(&self.one_output(), growth.rows.len());
            return grow(growth, &lanes, units);
        }
        let (lanes, units) = whole::<MANY>(&self.many_outputs(seed, round, growth.rows), growth.rows.len());
        grow(growth, &lanes, units)
    }

    fn one_output(&self) -> Vec<[f32; ONE]> {
        self.slopes.iter().zip(&self.bends).map(|(slope, bend)| [*slope, 0.0, *bend, 1.0]).collect()
    }

    /// Gradients over the root of their output's mean second derivative, which makes squares of sums comparable,
    /// projected where there are more than lanes.
    fn many_outputs(&self, seed: u64, round: u64, training: &[u32]) -> Vec<[f32; MANY]> {
        const SKETCH: usize = MANY - 2;
        let mut bends = vec![0.0; self.width];
        for &row in training {
            let of_row = &self.bends[row as usize * self.width..][..self.width];
            bends.iter_mut().zip(of_row).for_each(|(sum, bend)| *sum += f64::from(*bend));
        }
        let rows = training.len() as f64;
        let mut stream = Stream::new(seed, &[round]);
        let projection: Vec<[f32; SKETCH]> = bends
            .iter()
            .enumerate()
            .map(|(output, sum)| {
                let scale = (sum / rows).max(f64::from(LEAST_BEND)).sqrt().recip();
                std::array::from_fn(|lane| {
                    if self.width <= SKETCH {
                        return (scale * f64::from(u8::from(lane == output))) as f32;
                    }
                    (scale * stream.normal() / (SKETCH as f64).sqrt()) as f32
                })
            })
            .collect();
        let of_row = |slopes: &[f32]| {
            let mut lanes = [0.0; MANY];
            for (slope, weights) in slopes.iter().zip(&projection) {
                for lane in 0..SKETCH {
                    lanes[lane] += slope * weights[lane];
                }
            }
            (lanes[SKETCH], lanes[SKETCH + 1]) = (1.0, 1.0);
            lanes
        };
        self.slopes.par_chunks_exact(self.width).map(of_row).collect()
    }

    /// Newton's values of each leaf, `[leaves, width]`.
    pub(super) fn leaf_values(
        &self,
        leaf_rows: &[Vec<u32>],
        reg_lambda: f64,
        learning_rate: f64,
    ) -> Vec<f32> {
        let width = self.width;
        let of_leaf = |rows: &Vec<u32>| {
            let (mut slopes, mut bends) = (vec![0.0f64; width], vec![0.0f64; width]);
            for &row in rows {
                let span = row as usize * width..(row as usize + 1) * width;
                slopes
                    .iter_mut()
                    .zip(&self.slopes[span.clone()])
                    .for_each(|(sum, value)| *sum += f64::from(*value));
                bends.iter_mut().zip(&self.bends[span]).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let value = |(slope, bend): (f64, f64)| (-learning_rate * slope / (bend + reg_lambda)) as f32;
            slopes.into_iter().zip(bends).map(value).collect::<Vec<f32>>()
        };
        leaf_rows.par_iter().map(of_leaf).collect::<Vec<_>>().concat()
    }

    /// Adds a tree's leaves to the sums of the rows it was grown on and of those that are held out.
    pub(super) fn add(
        &mut self,
        tree: &Tree,
        leaf_rows: &[Vec<u32>],
        columns: &BinnedColumns,
        held_out: &[u32],
    ) {
        let mut leaf_of = vec![0; columns.rows()];
        for (leaf, rows) in leaf_rows.iter().enumerate() {
            rows.iter().for_each(|&row| leaf_of[row as usize] = leaf);
        }
        held_out.iter().for_each(|&row| leaf_of[row as usize] = tree.leaf_of_bins(columns, row));
        let rows = self.scores.par_chunks_exact_mut(self.width).zip(&leaf_of).with_min_len(CHUNK);
        rows.for_each(|(scores, &leaf)| add_leaf(scores, tree, leaf));
    }
}

/// The derivatives of one row's loss by its sums.
fn derive(link: OutputLink, scores: &[f32], targets: &[f32], slopes: &mut [f32], bends: &mut [f32]) {
    match link {
        OutputLink::Softmax => {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (slope, score) in slopes.iter_mut().zip(scores) {
                *slope = exp_of_negative(score - largest);
            }
            let share = slopes.iter().sum::<f32>().recip();
            for ((slope, bend), target) in slopes.iter_mut().zip(bends).zip(targets) {
                let probability = *slope * share;
                *bend = (probability * (1.0 - probability)).max(LEAST_BEND);
                *slope = probability - target;
            }
        }
        OutputLink::Binary | OutputLink::MultiLabel => {
            for (((slope, bend), target), score) in slopes.iter_mut().zip(bends).zip(targets).zip(scores) {
                let small = exp_of_negative(-score.abs());
                let certain = 1.0 / (1.0 + small);
                let probability = if *score >= 0.0 { certain } else { small * certain };
                *bend = (probability * (1.0 - probability)).max(LEAST_BEND);
                *slope = probability - target;
            }
        }
        OutputLink::Identity => {
            slopes[0] = scores[0] - targets[0];
            bends[0] = 1.0;
        }
    }
}

/// Whole numbers in proportion to each lane, as large as sums over all rows allow, and what a unit stands for.
fn whole<const L: usize>(values: &[[f32; L]], rows: usize) -> (Vec<Lanes<L>>, [f64; L]) {
    let mut largest = [0.0f32; L];
    for lanes in values {
        (0..L).for_each(|lane| largest[lane] = largest[lane].max(lanes[lane].abs()));
    }
    let units: [f64; L] = std::array::from_fn(|lane| {
        // Counts stay counts.
        let counts = lane == L - 1 || largest[lane] == 0.0;
        if counts { 1.0 } else { f64::from(largest[lane]) * rows as f64 / LARGEST_SUM }
    });
    let factors = units.map(|unit| unit.recip() as f32);
    let lanes = values
        .par_iter()
        .map(|lanes| std::array::from_fn(|lane| (lanes[lane] * factors[lane]).round() as i32));
    (lanes.collect(), units)
}
