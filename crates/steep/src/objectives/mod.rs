//! What can a model be trained for? One file per objective; `adaptation.rs` is the choice among those without labels.

mod adaptation;
mod causal_lm;
mod classification;
mod held_out;
mod joint;
mod masked_lm;
mod probed;
mod simcse;
mod tsdae;
mod words;

pub use adaptation::{AdaptObjective, Adaptation, PreparedAdaptation};
pub use causal_lm::CausalLm;
pub use classification::{Classification, ClassificationSettings, LabelledBatch, Targets};
pub use held_out::HeldOut;
pub use joint::{Joint, JointBatch};
pub use masked_lm::{MaskedBatch, MaskedLm, MaskingSettings, TokenRange};
pub use probed::{EncoderProbe, Probed};
pub use simcse::{SimCse, contrastive_losses};
pub use tsdae::{Deleted, Tsdae};
pub use words::Words;
