//! How good are predictions, how sure is that, and which of two routes is better?
//!
//! [`metrics`] names every metric; [`bootstrap`] and [`statistics`] say how sure a value or a difference is. All
//! values equal scikit-learn's or scipy's with `zero_division=0`.

pub mod bootstrap;
pub mod class_counts;
pub mod confusion;
pub mod metrics;
pub mod multi_label;
pub mod probabilities;
pub mod ranking;
pub mod regression;
pub mod row_metric;
pub mod statistics;

#[cfg(test)]
mod golden_tests;
