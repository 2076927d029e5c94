//! Which label or value belongs to a row of features?
//!
//! [`learner`] names every learner and fits it over candidates of its parameter, [`choice`] judges learners and
//! candidates on given folds, [`head`] keeps a fitted one with its scaler and class names. [`cross_validation`] chooses
//! the penalty of a logistic regression alone; [`majority`] is the baseline to beat.

pub mod boosted_trees;
pub mod calibration;
pub mod choice;
mod conditioning;
pub mod cross_validation;
pub mod discriminant;
mod elastic_net;
pub mod fitted;
pub mod head;
pub mod labels;
mod lbfgs;
pub mod learner;
mod line_search;
pub mod linear_fit;
pub mod linear_head;
pub mod linear_model;
pub mod linear_svm;
pub mod logistic_regression;
pub mod majority;
mod moments;
pub mod nearest_centroid;
pub mod neighbors;
pub mod network;
pub(crate) mod products;
pub mod ridge;
pub mod ridge_classifier;
mod row_loss;
pub(crate) mod stacking;
pub mod targets;
pub(crate) mod tensors;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod learner_golden_tests;
