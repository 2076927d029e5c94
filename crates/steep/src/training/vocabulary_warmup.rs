//! Rows of new tokens learn alone, before everything does.
//!
//! A row that begins as the mean of others has learned nothing of its own, and what an untrained row sends backwards is
//! taken by weights that were right before. de Vries and Nissim 2021 (arXiv 2012.05628) learn the embeddings of a new
//! vocabulary first, with all else frozen.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use steep_encoder::{Model, Parameter};

/// The first steps of training, in which new rows of the vocabulary learn and nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VocabularyWarmup {
    /// Optimizer steps, from the first one on.
    pub steps: u64,
    /// The rows that are new.
    pub rows: NewRows,
}

/// Rows of the embedding matrix, and of what predicts tokens, that belong to new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRows {
    /// The first one.
    pub first: usize,
    /// The one after the last.
    pub end: usize,
}

impl VocabularyWarmup {
    /// Steps, of so many in all; below 1 they are a share, as are those of the learning rate's warm-up.
    pub fn steps_of(asked: f64, total_steps: u64) -> u64 {
        (if asked < 1.0 { (asked * total_steps as f64).round() } else { asked.ceil() }) as u64
    }

    /// # Errors
    /// A model without such rows, or whose rows are frozen.
    pub(super) fn check(&self, model: &Model, learns: impl Fn(&Parameter) -> bool) -> Result<()> {
        if model.parameters.list.iter().any(|parameter| self.has_rows(model, parameter) && learns(parameter))
        {
            return Ok(());
        }
        Err(Error::config(
            "vocabulary_warmup_steps",
            "leaves nothing to train: the rows of the new tokens are frozen",
            "leave it out, or freeze less; matrices beside the weights (lora_rank) freeze all rows",
        ))
    }

    /// Frees the new rows of what may learn, and freezes the rest.
    pub(super) fn apply(&self, model: &mut Model, learns: impl Fn(&Parameter) -> bool) {
        let has_rows: Vec<bool> =
            model.parameters.list.iter().map(|parameter| self.has_rows(model, parameter)).collect();
        for (parameter, has_rows) in model.parameters.list.iter_mut().zip(has_rows) {
            parameter.trainable = has_rows && learns(parameter);
            parameter.learning_rows = parameter.trainable.then_some(self.rows.first..self.rows.end);
        }
    }

    /// Whether a parameter has a row or a value for each token, as `vocab extend` finds them; those lie below the first
    /// layer or in a head.
    fn has_rows(&self, model: &Model, parameter: &Parameter) -> bool {
        let (spec, vocab_size) = (&parameter.spec, model.config.vocab_size);
        (spec.depth == 0 || spec.optional)
            && spec.shape.first() == Some(&vocab_size)
            && self.rows.end <= vocab_size
    }
}
