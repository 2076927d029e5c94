//! The weights of a linear model and what they say about rows.

use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use serde::{Deserialize, Serialize};

/// How decision values become predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// One output for each of three or more classes, softmax.
    Softmax,
    /// One output for two classes, the probability of the second being its sigmoid.
    Binary,
    /// One output for each label, each a sigmoid of its own.
    MultiLabel,
    /// The output is the predicted value.
    Identity,
}

/// Fitted weights.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    /// `[outputs, columns]`, row-major.
    pub coefficients: Vec<f32>,
    /// `[outputs]`.
    pub intercepts: Vec<f32>,
    /// The number of feature columns.
    pub columns: usize,
    /// How decision values become predictions.
    pub link: Link,
}

impl LinearModel {
    /// The number of outputs: 1 for two classes and for regression, else the number of classes or labels.
    pub fn outputs(&self) -> usize {
        self.intercepts.len()
    }

    /// Decision values `[rows, outputs]`: `X · coefficientsᵀ + intercepts`.
    pub fn decision_function(&self, features: &Features) -> Result<DenseMatrix> {
        if features.columns() != self.columns {
            let problem = format!(
                "the model was fitted on {} columns, the features have {}",
                self.columns,
                features.columns()
            );
            let hint = "give the columns that were used for fitting, in the same order";
            return Err(Error::config("features", problem, hint));
        }
        let outputs = self.outputs();
        let mut values = vec![0.0; features.rows() * outputs];
        features.multiply(&transpose(&self.coefficients, outputs, self.columns), outputs, &mut values);
        for row in values.chunks_exact_mut(outputs.max(1)) {
            row.iter_mut().zip(&self.intercepts).for_each(|(value, intercept)| *value += intercept);
        }
        DenseMatrix::new(features.rows(), outputs, values)
    }

    /// Probabilities `[rows, classes]`, or `[rows, labels]`, which need not add up to 1.
    pub fn predict_proba(&self, features: &Features) -> Result<DenseMatrix> {
        let decisions = self.decision_function(features)?;
        let rows = decisions.rows();
        let values = decisions.values();
        match self.link {
            Link::Identity => Err(Error::config(
                "predict_proba",
                "a regression has no probabilities",
                "use its predicted values",
            )),
            Link::MultiLabel => {
                DenseMatrix::new(rows, decisions.columns(), values.iter().map(|z| sigmoid(*z)).collect())
            }
            Link::Binary => {
                DenseMatrix::new(rows, 2, values.iter().flat_map(|z| [sigmoid(-*z), sigmoid(*z)]).collect())
            }
            Link::Softmax => {
                let probabilities = values.chunks_exact(decisions.columns()).flat_map(softmax);
                DenseMatrix::new(rows, decisions.columns(), probabilities.collect())
            }
        }
    }

    /// The parameters as the fit lays them out: `[columns, outputs]` weights, then intercepts.
    pub(crate) fn parameters(&self) -> Vec<f64> {
        let mut parameters = transpose(&self.coefficients, self.outputs(), self.columns);
        parameters.extend(&self.intercepts);
        parameters.into_iter().map(f64::from).collect()
    }

    /// The inverse of [`Self::parameters`].
    pub(crate) fn from_parameters(parameters: &[f64], columns: usize, link: Link) -> Self {
        let outputs = parameters.len() / (columns + 1);
        let rounded: Vec<f32> = parameters.iter().map(|&value| value as f32).collect();
        let (weights, intercepts) = rounded.split_at(columns * outputs);
        Self {
            coefficients: transpose(weights, columns, outputs),
            intercepts: intercepts.to_vec(),
            columns,
            link,
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|at| values[at % rows * columns + at / rows]).collect()
}

fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + f64::from(-logit).exp())) as f32
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|z| f64::from(z - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|value| (value / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_the_change_of_layout() {
        let model = LinearModel {
            coefficients: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            intercepts: vec![7.0, 8.0, 9.0],
            columns: 2,
            link: Link::Softmax,
        };
        let parameters = model.parameters();
        assert_eq!(parameters[..4], [1.0, 3.0, 5.0, 2.0]);
        assert_eq!(LinearModel::from_parameters(&parameters, 2, Link::Softmax), model);
    }

    #[test]
    fn probabilities_of_extreme_logits_are_finite() {
        assert_eq!([sigmoid(-1e30), sigmoid(1e30)], [0.0, 1.0]);
        assert_eq!(softmax(&[1e30, 0.0]), [1.0, 0.0]);
    }

    #[test]
    fn other_columns_than_fitted_are_refused() {
        let model =
            LinearModel { coefficients: vec![1.0], intercepts: vec![0.0], columns: 1, link: Link::Identity };
        let features = Features::Dense(DenseMatrix::new(1, 2, vec![0.0; 2]).unwrap());
        assert!(model.decision_function(&features).is_err());
    }
}
