//! What training will do, with nothing left open.

use super::{Freezing, LrSchedulerType, Position, Schedule};
use crate::config::{Dtype, apply_dtype};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use steep_encoder::{AdamWSettings, LoraSettings, Model};

/// Resolved training settings; names are transformers' where it has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    /// Passes over the data; may be a fraction.
    pub num_train_epochs: f64,
    /// Optimizer steps; wins over the epochs when set.
    pub max_steps: Option<u64>,
    /// Sequences an optimizer step.
    pub train_batch_size: usize,
    /// Tokens that are computed at once; bounds the memory, changes no result but rounding.
    pub max_tokens_per_micro_batch: usize,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Shape of the schedule.
    pub lr_scheduler_type: LrSchedulerType,
    /// Share of the steps spent warming up.
    pub warmup_ratio: f64,
    /// Optimizer settings.
    pub adamw: AdamWSettings,
    /// Seed of order, masking and dropout.
    pub seed: u64,
    /// Whether layers keep their inputs only and compute the rest again for the gradients.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Numbers in which the encoder computes.
    pub dtype: Dtype,
    /// What of the model learns.
    #[serde(default, skip_serializing_if = "Freezing::is_default")]
    pub freezing: Freezing,
    /// Low-rank matrices that learn in the encoder's place, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// Steps between log entries.
    pub logging_steps: u64,
    /// Evaluations in an epoch; 0 evaluates at the start and the end only.
    pub evaluations_per_epoch: u32,
    /// Steps between checkpoints.
    pub save_steps: u64,
    /// Checkpoints kept.
    pub save_total_limit: usize,
    /// Whether the best evaluated weights are taken at the end rather than the last.
    pub load_best_model_at_end: bool,
}

impl TrainingSettings {
    /// Makes a model compute as asked, with low-rank matrices where they are; to be done before a head over columns is
    /// attached.
    ///
    /// # Errors
    /// Names of layers or parameters that the model does not have.
    pub fn apply_to(&self, model: &mut Model) -> Result<()> {
        apply_dtype(self.dtype, model);
        model.set_gradient_checkpointing(self.gradient_checkpointing);
        if let Some(lora) = &self.lora {
            model.attach_lora(lora, self.seed)?;
        }
        self.freezing.check(model)
    }

    /// Where a step is among all of them.
    pub fn position(&self, step: u64, rows: usize) -> Position {
        Position { step, steps_per_epoch: self.steps_per_epoch(rows), total_steps: self.total_steps(rows) }
    }

    /// Optimizer steps in one epoch of `rows` sequences.
    pub fn steps_per_epoch(&self, rows: usize) -> u64 {
        rows.div_ceil(self.train_batch_size).max(1) as u64
    }

    /// Optimizer steps in all.
    pub fn total_steps(&self, rows: usize) -> u64 {
        let epochs = self.num_train_epochs * self.steps_per_epoch(rows) as f64;
        self.max_steps.unwrap_or(epochs.ceil() as u64)
    }

    /// The learning rates.
    pub fn schedule(&self, rows: usize) -> Schedule {
        let total_steps = self.total_steps(rows);
        Schedule {
            lr_scheduler_type: self.lr_scheduler_type,
            learning_rate: self.learning_rate,
            warmup_steps: (self.warmup_ratio * total_steps as f64).ceil() as u64,
            total_steps,
        }
    }

    /// Steps between evaluations.
    pub fn eval_steps(&self, rows: usize) -> u64 {
        match u64::from(self.evaluations_per_epoch) {
            0 => u64::MAX,
            evaluations => (self.steps_per_epoch(rows) / evaluations).max(1),
        }
    }
}
