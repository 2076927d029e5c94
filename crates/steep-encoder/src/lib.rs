//! The mathematics of pretrained text encoders: layers, architectures, heads, pooling, weights on
//! disk. It knows no text, no tokenizer, no terminal and no network.
//!
//! - [`Model::load`] reads a Hugging Face folder and returns a [`LoadReport`].
//! - [`Pass`] is one forward pass: evaluation, or training with gradients by parameter name.
//! - [`ops::EncoderOps`] is the seam behind which each backend does its hot operations.
//!
//! A batch is packed: one flat list of tokens and the sequences' offsets ([`PackedBatch`]); there
//! is no padding anywhere, so a text gives the same bits alone or in any batch.

pub mod architectures;
mod batch;
pub mod checkpoint;
mod config;
mod error;
pub mod heads;
pub mod layers;
mod lora;
mod model;
pub mod ops;
mod optimizer;
mod parameters;
mod pass;
pub mod pooling;
pub mod sentence_transformer;

pub use batch::PackedBatch;
pub use checkpoint::report::LoadReport;
pub use config::{Config, ModelType, ProblemType};
pub use error::{Error, Result};
pub use heads::{CombineMethod, GeneratorShape, HeadKind, RowColumns, TabularSettings, TabularShape};
pub use layers::{Decoding, NextToken};
pub use lora::{Adapter, LoraSettings, default_targets};
pub use model::Model;
pub use ops::block::Precision;
pub use optimizer::{AdamW, AdamWSettings, AdamWState};
pub use parameters::{Orientation, Parameter, ParameterSpec, Parameters, Value};
pub use pass::{Gradients, Pass};
pub use steep_kernels::in_pool;
