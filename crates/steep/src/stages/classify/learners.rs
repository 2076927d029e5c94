//! Which learners `classify` tries, and their settings.

use super::ClassifySettings;
use crate::data::Task;
use crate::error::{Error, Result};
use crate::learners::boosted_trees::TreeOptions;
use crate::learners::calibration::CalibrationMethod;
use crate::learners::choice::LearnerChoice;
use crate::learners::discriminant::Shrinkage;
use crate::learners::labels::ClassWeight;
use crate::learners::learner::{LearnerName, LearnerOptions};
use crate::learners::neighbors::{Distance, NeighborWeights};
use crate::learners::network::NetworkOptions;
use serde::Serialize;

/// Which learners are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Learners {
    /// Logistic regression, or ridge regression of numbers.
    Usual,
    /// All that are for the task.
    All,
    /// These.
    Named(Vec<LearnerName>),
}

/// Which learners are tried, and the settings of single ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearnerSettings {
    /// Which learners are tried; the best in cross-validation is kept.
    pub learners: Learners,
    /// The share of the L1 norm in the penalty of logistic regression.
    pub l1_ratio: f64,
    /// How decisions become probabilities, for learners that give none.
    pub calibration: CalibrationMethod,
    /// Candidates for the number of neighbours.
    pub n_neighbors: Vec<usize>,
    /// How the distances of neighbours are measured.
    pub distance: Distance,
    /// How much each neighbour counts.
    pub neighbor_weights: NeighborWeights,
    /// How discriminant analysis draws covariances to the identity.
    pub shrinkage: Shrinkage,
    /// How boosted trees grow; the seed is that of the settings around.
    pub boosted_trees: TreeOptions,
    /// How the network is trained; the seed is that of the settings around.
    pub mlp: NetworkOptions,
}

impl Default for LearnerSettings {
    fn default() -> Self {
        let options = LearnerOptions::default();
        Self {
            learners: Learners::Usual,
            l1_ratio: options.l1_ratio,
            calibration: options.calibration,
            n_neighbors: options.n_neighbors,
            distance: options.metric,
            neighbor_weights: options.weights,
            shrinkage: options.shrinkage,
            boosted_trees: options.boosted_trees,
            mlp: options.mlp,
        }
    }
}

/// The choice that the settings ask for.
pub(super) fn choice(settings: &ClassifySettings, task: Task) -> Result<LearnerChoice> {
    let own = &settings.learner;
    if task == Task::Regression && settings.class_weight != ClassWeight::None {
        let hint = "leave the class weights out, or set another task";
        return Err(Error::config("class_weight", "a regression has no classes", hint));
    }
    let learners = match &own.learners {
        Learners::Usual if task == Task::Regression => vec![LearnerName::Ridge],
        Learners::Usual => vec![LearnerName::LogisticRegression],
        Learners::All => {
            let all = LearnerName::ALL.iter().map(|(_, learner)| *learner);
            all.filter(|learner| task != Task::Regression || learner.is_for_values()).collect()
        }
        Learners::Named(names) => names.clone(),
    };
    let options = LearnerOptions {
        c_grid: settings.c_grid.clone(),
        l1_ratio: own.l1_ratio,
        class_weight: settings.class_weight.clone(),
        tolerance: settings.tolerance,
        max_iterations: settings.max_iterations,
        n_neighbors: own.n_neighbors.clone(),
        metric: own.distance,
        weights: own.neighbor_weights,
        shrinkage: own.shrinkage,
        boosted_trees: TreeOptions { seed: settings.seed, ..own.boosted_trees.clone() },
        mlp: NetworkOptions { seed: settings.seed, ..own.mlp.clone() },
        calibration: own.calibration,
    };
    Ok(LearnerChoice { learners, options, metric: settings.metric, scaling: settings.scaling })
}
