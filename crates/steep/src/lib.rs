//! Adapts a pretrained text encoder to a person's own texts, extracts features, trains classifiers,
//! and says honestly which route was worth it.
//!
//! The data flows one way: [`data`] → [`text`] → [`training`] with [`objectives`] → [`features`] →
//! [`learners`] → [`evaluation`] → [`report`]. [`stages`] joins them into steps that each leave one
//! artefact, and [`compare`] plans those steps for every route. Nothing here prints; progress,
//! cancellation and randomness are arguments.

mod ahead;
pub mod compare;
pub mod config;
pub mod data;
pub mod error;
pub mod evaluation;
pub mod features;
pub mod generation;
pub mod learners;
pub mod model_source;
pub mod objectives;
pub mod progress;
pub mod random;
pub mod report;
pub mod search;
pub mod stages;
pub mod storage;
pub mod text;
pub mod training;

pub use error::{Error, Result};
pub use steep_encoder as encoder;
