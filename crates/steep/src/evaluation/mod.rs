//! How good are predictions, how sure is that, and which of two routes is better?
//!
//! [`metrics`] names every metric; [`bootstrap`] and [`statistics`] say how sure a value or a difference is, and
//! [`temperature`] how much probabilities have to be softened, [`threshold`] from where on a class is given;
//! [`text_metrics`] is for texts that were written, [`embeddings`] for vectors. All values equal those of scikit-learn (with `zero_division=0`), scipy,
//! statsmodels, rouge-score or sacrebleu.

pub mod bootstrap;
pub mod class_counts;
pub mod confusion;
pub mod embeddings;
pub mod metrics;
pub mod multi_label;
pub mod probabilities;
pub mod ranking;
pub mod regression;
pub mod row_metric;
pub mod statistics;
pub mod temperature;
pub mod text_metrics;
pub mod threshold;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod statistics_golden_tests;
