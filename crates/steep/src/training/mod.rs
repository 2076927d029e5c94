//! How do weights change, and how does training survive being stopped?
//!
//! [`train`] runs an [`Objective`] over rows of token sequences. What is drawn at random is a
//! function of (seed, epoch, row), never of a state, so a run resumed from a [`checkpoint`] ends in
//! the same bytes as one that was never stopped.

pub mod checkpoint;
mod freezing;
mod schedule;
mod sequences;
mod settings;
mod steps;
mod trainer;
mod vocabulary_warmup;

pub use freezing::{Freezing, GradualUnfreezing, ParameterPattern, Position};
pub use schedule::{LrSchedulerType, Schedule};
pub use sequences::{Sequences, micro_batches};
pub use settings::TrainingSettings;
pub use trainer::{LogEntry, Objective, TrainerState, TrainingOutcome, train};
pub use vocabulary_warmup::{NewRows, VocabularyWarmup};
