//! How are decision trees boosted, with one tree a round however many classes there are?
//!
//! Histogram-based gradient boosting as in LightGBM (Ke et al., 2017): columns in at most 63 bins and one for missing
//! values, trees grown leaf by leaf where the gain is largest, Newton's values in the leaves. Unlike LightGBM, which
//! grows a tree for each class, one tree serves all outputs: its leaves hold a vector. Where there are many outputs,
//! splits are sought in a random projection of the gradients onto a few (Iosipoi & Vakhrushev, 2022, "SketchBoost"),
//! and the leaves are computed from all. Histograms add whole numbers, so that results have the same bits for any
//! number of threads.

mod bins;
mod gradients;
mod grow;
mod histogram;
mod tree;

pub use tree::BoostedTrees;
pub(crate) use tree::FlatTrees;

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::network::OutputLink;
use crate::learners::targets::{GroupedTargets, OwnTargets, holdout};
use crate::progress::Context;
use bins::BinnedColumns;
use gradients::Gradients;
use grow::Growth;
use serde::{Deserialize, Serialize};
use tree::Tree;

/// How to boost; names are LightGBM's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeOptions {
    /// What each tree's leaves are multiplied with; default 0.1.
    pub learning_rate: f64,
    /// Trees at most; default 500.
    pub n_estimators: usize,
    /// Leaves of a tree at most; default 31.
    pub num_leaves: usize,
    /// Rows of a leaf at least; default 20.
    pub min_child_samples: usize,
    /// The strength of the L2 penalty on leaves; default 1.
    pub reg_lambda: f64,
    /// Trees without a lower loss of held-out rows that end the boosting; default 20.
    pub early_stopping_rounds: usize,
    /// The share of the rows, whole groups, that is held out to tell; 0 grows all trees. Default 0.1.
    pub validation_fraction: f64,
    /// Draws held-out rows and projections.
    pub seed: u64,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            learning_rate: 0.1,
            n_estimators: 500,
            num_leaves: 31,
            min_child_samples: 20,
            reg_lambda: 1.0,
            early_stopping_rounds: 20,
            validation_fraction: 0.1,
            seed: 0,
        }
    }
}

impl BoostedTrees {
    /// Grows trees on rows of features, among which NaN stands for a missing value.
    ///
    /// Errors: options out of range, infinite features, a requested stop.
    pub fn fit<'a>(
        options: &TreeOptions,
        features: &DenseMatrix,
        rows: impl Into<GroupedTargets<'a>>,
        context: &Context<'_>,
    ) -> Result<Self> {
        Ok(Self::fit_with_losses(options, features, rows, context)?.0)
    }

    /// [`Self::fit`] with the mean loss of the training rows before each tree, and of the held-out rows after it.
    fn fit_with_losses<'a>(
        options: &TreeOptions,
        features: &DenseMatrix,
        rows: impl Into<GroupedTargets<'a>>,
        context: &Context<'_>,
    ) -> Result<(Self, Vec<[f64; 2]>)> {
        check(options, features)?;
        let rows = rows.into();
        let (training, held_out) = holdout(rows, options.validation_fraction, options.seed)?;
        let OwnTargets { values, width, link, mean, scale } = rows.targets.own();
        let columns = BinnedColumns::new(features);
        let mut gradients = Gradients::new(&values, width, link, &training);
        let mut model = Self::new(features.columns(), gradients.base().to_vec(), link, [mean, scale]);
        let (mut losses, mut best) = (Vec::new(), (f64::INFINITY, 0));
        for round in 0..options.n_estimators {
            context.cancel.check()?;
            let training_loss = gradients.update(&training);
            let growth = Growth {
                columns: &columns,
                rows: &training,
                num_leaves: options.num_leaves,
                min_child_samples: options.min_child_samples,
                reg_lambda: options.reg_lambda,
            };
            let (nodes, leaf_rows) = gradients.grow(options.seed, round as u64, &growth);
            if leaf_rows.len() < 2 {
                break;
            }
            let leaves = gradients.leaf_values(&leaf_rows, options.reg_lambda, options.learning_rate);
            let tree = Tree { nodes, leaves };
            gradients.add(&tree, &leaf_rows, &columns, &held_out);
            model.push(tree);
            let loss = if held_out.is_empty() { training_loss } else { gradients.loss(&held_out) };
            losses.push([training_loss, loss]);
            context.progress.advance(1);
            if loss < best.0 {
                best = (loss, round + 1);
            } else if !held_out.is_empty() && round + 1 >= best.1 + options.early_stopping_rounds {
                break;
            }
        }
        if !held_out.is_empty() {
            model.truncate(best.1);
        }
        Ok((model, losses))
    }
}

fn check(options: &TreeOptions, features: &DenseMatrix) -> Result<()> {
    let refuse = |key: &str, problem: String, hint: &str| Err(Error::config(key, problem, hint));
    if !(options.learning_rate > 0.0 && options.learning_rate <= 1.0) {
        let problem = format!("{} is not possible", options.learning_rate);
        return refuse("learning_rate", problem, "give a number above 0, up to 1");
    }
    if options.num_leaves < 2 || options.min_child_samples == 0 || options.reg_lambda < 0.0 {
        let problem = "a tree needs 2 leaves, a leaf 1 row, and the penalty is not negative".to_owned();
        return refuse("num_leaves", problem, "give larger numbers");
    }
    if !(0.0..1.0).contains(&options.validation_fraction) {
        let problem = format!("{} is not a share", options.validation_fraction);
        return refuse("validation_fraction", problem, "give a number from 0 to below 1");
    }
    if let Some(at) = features.values().iter().position(|value| value.is_infinite()) {
        let (row, column) = (at / features.columns(), at % features.columns());
        let problem = format!("row {}, column {}: the value is infinite", row + 1, column + 1);
        return refuse("features", problem, "leave the row out");
    }
    Ok(())
}

/// How the outputs' sums become predictions.
pub(crate) fn linked(link: OutputLink, scores: &[f32], [mean, scale]: [f64; 2], into: &mut Vec<f32>) {
    let sigmoid = |z: f32| 1.0 / (1.0 + f64::from(-z).exp());
    match link {
        OutputLink::Softmax => {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponentials: Vec<f64> = scores.iter().map(|z| f64::from(z - largest).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            into.extend(exponentials.iter().map(|value| (value / sum) as f32));
        }
        OutputLink::Binary => {
            into.extend(scores.iter().flat_map(|z| [sigmoid(-z) as f32, sigmoid(*z) as f32]));
        }
        OutputLink::MultiLabel => into.extend(scores.iter().map(|z| sigmoid(*z) as f32)),
        OutputLink::Identity => into.extend(scores.iter().map(|z| (mean + scale * f64::from(*z)) as f32)),
    }
}

#[cfg(test)]
mod tests;
