//! What can a model be trained for? One file per objective; `adaptation.rs` is the choice among those without labels.

mod adaptation;
mod causal_lm;
mod classification;
mod contrastive_tension;
mod denoising;
mod electra;
mod embedding;
mod held_out;
mod joint;
mod masked_lm;
mod multi_task;
mod probed;
mod seq2seq;
mod simcse;
mod spans;
mod tsdae;
mod words;
mod written;

pub use adaptation::{AdaptObjective, Adaptation, PreparedAdaptation};
pub use causal_lm::CausalLm;
pub use classification::{Classification, ClassificationSettings, LabelledBatch, Targets};
pub use contrastive_tension::{ContrastiveTension, TensionBatch};
pub use denoising::{Denoising, NoiseSettings, NoiseTokens};
pub use electra::{Electra, ElectraBatch, generator_shape, replaced_token_losses};
pub use embedding::{
    Embedding, EmbeddingLoss, EmbeddingSettings, PairBatch, PairLabels, TripletMining, VectorForm,
};
pub use held_out::HeldOut;
pub use joint::{Joint, JointBatch};
pub use masked_lm::{MaskedBatch, MaskedLm, MaskingSettings, MaskingUnit, TokenRange};
pub use multi_task::{MultiTask, MultiTaskBatch};
pub use probed::{EncoderProbe, Probed};
pub use seq2seq::Seq2Seq;
pub use simcse::{SimCse, contrastive_losses};
pub use tsdae::{Deleted, Tsdae};
pub use words::{Words, full_stops};
pub use written::TextPairs;
