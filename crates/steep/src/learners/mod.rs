//! Which label or value belongs to a row of features?
//!
//! [`logistic_regression`] and [`ridge`] fit linear models, [`cross_validation`] chooses the penalty on given folds,
//! [`linear_head`] keeps a fitted model with its scaler and class names, [`majority`] is the baseline to beat.

pub mod cross_validation;
pub mod labels;
mod lbfgs;
mod line_search;
pub mod linear_fit;
pub mod linear_head;
pub mod linear_model;
pub mod logistic_regression;
pub mod majority;
pub mod ridge;
mod row_loss;
mod sums;

#[cfg(test)]
mod golden_tests;
