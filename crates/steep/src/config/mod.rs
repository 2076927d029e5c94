//! What was asked, and what will be done?
//!
//! A *request* holds what a person wrote, in a TOML file or as flags: every key may be absent, an unknown one is an
//! error with the nearest known name. Flags win over the file ([`Request::or`]), the file over the defaults. A
//! request is then *resolved* against what is known of model and data ([`Facts`]) into the settings that the stages
//! take: nothing is absent there, and every range was checked. Resolving fills the request's own keys in as well, so
//! that the completed request, saved with the run as `resolved.toml`, repeats the run when it is given as the file.
//!
//! The doc comment of a key is its help on the command line and its entry in the reference: see [`Key`].

#[macro_use]
mod request;

mod adapt;
mod check;
mod choices;
mod classify;
mod compare;
mod dtype;
mod duration;
mod engineered;
mod evaluate;
mod extract;
mod file;
mod finetune;
mod generate;
mod ignored;
mod inspect;
mod joint;
mod learners;
mod merge;
mod objective;
mod predict;
mod preparation;
mod probe;
mod search;
mod training;
mod values;
mod vocabulary;
mod zeroshot;

pub use adapt::{AdaptRequest, AdaptSources, usual_objective};
pub use classify::ClassifyRequest;
pub use compare::{CompareFacts, CompareRequest};
pub use dtype::{Dtype, apply as apply_dtype, default_dtype};
pub use evaluate::EvaluateRequest;
pub use extract::{ExtractRequest, ExtractSources};
pub use file::{RESOLVED, read_request, to_toml, write_resolved};
pub use finetune::{ClassWeighting, FinetuneRequest, FinetuneSources};
pub use generate::{GenerateRequest, GenerateSources};
pub use ignored::{Ignored, ignored};
pub use inspect::{InspectFormat, InspectRequest};
pub use merge::{MergeRequest, MergeSources};
pub use predict::{PredictRequest, PredictSources};
pub use probe::{Estimate, TrainingAmount, estimate_embedding, estimate_training};
pub use request::{Key, Request};
pub use search::{SearchQuestions, SearchRequest};
pub use training::Facts;
pub use values::{Form, KeyValue, List};
pub use vocabulary::{VocabExtendRequest, VocabReportRequest, VocabSources, VocabUndoRequest};
pub use zeroshot::ZeroshotRequest;
