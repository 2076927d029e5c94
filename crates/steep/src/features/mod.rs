//! How do texts become columns of numbers that any learner takes?

pub mod columns;
pub mod distinct;
pub(crate) mod eigen;
pub mod embed;
pub mod engineered;
pub mod matrix;
pub mod preparation;
pub mod scaling;
pub(crate) mod sums;
mod terms;
pub mod tfidf;

pub use terms::{Analyzer, NgramRange};
