//! What can a model be trained for? One file per objective.

mod classification;
mod masked_lm;

pub use classification::{Classification, ClassificationSettings, Targets};
pub use masked_lm::{HeldOut, MaskedLm, MaskingSettings, TokenRange};
