//! What can a model be trained for? One file per objective.

mod classification;
mod joint;
mod masked_lm;

pub use classification::{Classification, ClassificationSettings, LabelledBatch, Targets};
pub use joint::{Joint, JointBatch};
pub use masked_lm::{HeldOut, MaskedBatch, MaskedLm, MaskingSettings, TokenRange};
