//! What each optimizer step is computed from, made before the encoder is free for it.

use super::{Objective, TrainingSettings, micro_batches};
use crate::error::Result;
use crate::random::Stream;
use std::ops::Range;

/// Steps that are ready while one is computed. They take little memory, and an evaluation or a checkpoint lets the
/// thread that makes them catch up.
pub(super) const STEPS_AHEAD: usize = 3;

/// A part of a step that is computed at once.
pub(super) struct MicroBatch<P> {
    /// What the objective made of its rows.
    pub(super) prepared: P,
    /// Tokens of its rows.
    pub(super) tokens: u64,
}

/// The micro-batches of the steps of a range, a function of (seed, step) alone.
pub(super) struct Steps<'a, O> {
    objective: &'a O,
    settings: &'a TrainingSettings,
    left: Range<u64>,
    /// Rows of an epoch in their order.
    order: (u64, Vec<u32>),
}

impl<'a, O: Objective> Steps<'a, O> {
    pub(super) fn new(objective: &'a O, settings: &'a TrainingSettings, steps: Range<u64>) -> Self {
        Self { objective, settings, left: steps, order: (u64::MAX, Vec::new()) }
    }

    fn rows(&mut self, step: u64) -> (u64, &[u32]) {
        let rows = self.objective.rows();
        let steps_per_epoch = self.settings.steps_per_epoch(rows.len());
        let epoch = step / steps_per_epoch;
        if self.order.0 != epoch {
            let mut order = rows.to_vec();
            Stream::new(self.settings.seed, &[ORDER, epoch]).shuffle(&mut order);
            self.order = (epoch, order);
        }
        let size = self.settings.train_batch_size;
        let start = (step % steps_per_epoch) as usize * size;
        let end = (start + size).min(self.order.1.len());
        (epoch, &self.order.1[start.min(end)..end])
    }
}

impl<O: Objective> Iterator for Steps<'_, O> {
    type Item = Result<Vec<MicroBatch<O::Prepared>>>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.left.next()?;
        let objective = self.objective;
        let budget = objective.micro_batch_tokens(self.settings.max_tokens_per_micro_batch);
        let length = |row: u32| objective.sequences().length(row as usize);
        let done = step as f64 / self.settings.total_steps(objective.rows().len()).max(1) as f64;
        let (epoch, rows) = self.rows(step);
        let parts = micro_batches(rows, budget, length);
        let mut prepared: Vec<_> = parts.iter().map(|rows| objective.prepare_at(rows, epoch, done)).collect();
        objective.complete(&mut prepared);
        let tokens = parts.into_iter().map(|rows| rows.iter().map(|&row| length(row) as u64).sum());
        let batches = prepared.into_iter().zip(tokens);
        Some(Ok(batches.map(|(prepared, tokens)| MicroBatch { prepared, tokens }).collect()))
    }
}

/// Name of the random stream.
const ORDER: u64 = 1;
