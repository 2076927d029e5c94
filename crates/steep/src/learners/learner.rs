//! All learners by name, fitted over the candidates of their one parameter that matters.

use crate::error::{Error, Result};
use crate::features::matrix::Features;
use crate::learners::boosted_trees::{BoostedTrees, TreeOptions};
use crate::learners::calibration::CalibrationMethod;
use crate::learners::discriminant::{Shrinkage, fit_discriminant};
use crate::learners::fitted::{FittedModel, dense};
use crate::learners::labels::{ClassWeight, Labels, SampleWeights};
use crate::learners::linear_fit::FitReport;
use crate::learners::linear_model::Link;
use crate::learners::linear_svm::LinearSvm;
use crate::learners::logistic_regression::{LogisticRegression, TrainingRows, check_rows};
use crate::learners::majority::{MajorityClassifier, MeanRegression};
use crate::learners::nearest_centroid::fit_nearest_centroid;
use crate::learners::neighbors::{Distance, NeighborTargets, NeighborWeights, Neighbors};
use crate::learners::network::{Network, NetworkOptions};
use crate::learners::ridge::{RidgeSystem, Targets as RidgeTargets, check_values};
use crate::learners::ridge_classifier::RidgeClassifier;
use crate::learners::targets::{GroupedTargets, Targets};
use crate::progress::{Context, Silent};
use serde::{Deserialize, Serialize};

/// Which learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnerName {
    /// Multinomial logistic regression.
    LogisticRegression,
    /// A linear support vector machine, one class against the rest.
    LinearSvm,
    /// Ridge regression, of numbers or of the signs of memberships.
    Ridge,
    /// The class with the closest mean.
    NearestCentroid,
    /// The labels or values of the nearest rows.
    Knn,
    /// Linear discriminant analysis.
    Lda,
    /// Gradient-boosted trees.
    BoostedTrees,
    /// A small network.
    Mlp,
    /// The most frequent class, or the mean: what any learner must beat.
    Majority,
}

impl LearnerName {
    /// Every learner with its name, in the order in which ties are decided.
    pub const ALL: [(&'static str, Self); 9] = [
        ("logistic_regression", Self::LogisticRegression),
        ("linear_svm", Self::LinearSvm),
        ("ridge", Self::Ridge),
        ("nearest_centroid", Self::NearestCentroid),
        ("knn", Self::Knn),
        ("lda", Self::Lda),
        ("boosted_trees", Self::BoostedTrees),
        ("mlp", Self::Mlp),
        ("majority", Self::Majority),
    ];

    /// As it is written in flags and files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, learner)| *learner == self).map_or("", |(name, _)| name)
    }

    /// Whether it predicts numbers.
    pub fn is_for_values(self) -> bool {
        matches!(self, Self::Ridge | Self::Knn | Self::BoostedTrees | Self::Mlp | Self::Majority)
    }

    /// Whether its decisions are no probabilities and must be calibrated.
    pub fn needs_calibration(self, targets: Targets<'_>) -> bool {
        matches!(targets, Targets::Classes(_))
            && matches!(self, Self::LinearSvm | Self::Ridge | Self::NearestCentroid)
    }

    /// The parameter whose candidates are tried, if there is one.
    pub fn parameter(self) -> Option<&'static str> {
        match self {
            Self::LogisticRegression | Self::LinearSvm | Self::Ridge => Some("C"),
            Self::Knn => Some("n_neighbors"),
            Self::NearestCentroid | Self::Lda | Self::BoostedTrees | Self::Mlp | Self::Majority => None,
        }
    }
}

/// The settings of all learners.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearnerOptions {
    /// Candidates for the inverse strength of penalties; `1 / alpha` of ridge.
    pub c_grid: Vec<f64>,
    /// The share of the L1 norm in the penalty of logistic regression.
    pub l1_ratio: f64,
    /// How much each class counts, for logistic regression, linear SVM and ridge.
    pub class_weight: ClassWeight,
    /// Iterative linear fits end when no derivative is larger.
    pub tolerance: f64,
    /// Iterative linear fits end after so many steps at the latest.
    pub max_iterations: usize,
    /// Candidates for the number of neighbours.
    pub n_neighbors: Vec<usize>,
    /// How the distances of neighbours are measured.
    pub metric: Distance,
    /// How much each neighbour counts.
    pub weights: NeighborWeights,
    /// How discriminant analysis draws covariances to the identity.
    pub shrinkage: Shrinkage,
    /// How boosted trees grow.
    pub boosted_trees: TreeOptions,
    /// How the network is trained.
    pub mlp: NetworkOptions,
    /// How decisions become probabilities.
    pub calibration: CalibrationMethod,
}

impl Default for LearnerOptions {
    fn default() -> Self {
        Self {
            c_grid: (0..7).map(|step| 10f64.powf(f64::from(step) * 2.0 / 3.0 - 2.0)).collect(),
            l1_ratio: 0.0,
            class_weight: ClassWeight::None,
            tolerance: 1e-4,
            max_iterations: 1000,
            n_neighbors: vec![5, 10, 20, 50],
            metric: Distance::Euclidean,
            weights: NeighborWeights::Distance,
            shrinkage: Shrinkage::Auto,
            boosted_trees: TreeOptions::default(),
            mlp: NetworkOptions::default(),
            calibration: CalibrationMethod::Sigmoid,
        }
    }
}

/// One fitted candidate.
pub struct FittedCandidate {
    /// Its place among [`LearnerOptions::candidates`].
    pub place: usize,
    /// The model, for scaled features.
    pub model: FittedModel,
    /// How an iterative linear fit went.
    pub report: Option<FitReport>,
}

impl LearnerOptions {
    /// The candidates of a learner's parameter, ascending; one 0 where it has none.
    ///
    /// An error for a candidate that is not possible.
    pub fn candidates(&self, learner: LearnerName) -> Result<Vec<f64>> {
        let (key, mut candidates): (_, Vec<f64>) = match learner.parameter() {
            Some("n_neighbors") => {
                ("n_neighbors", self.n_neighbors.iter().map(|&count| count as f64).collect())
            }
            Some(_) => ("c_grid", self.c_grid.clone()),
            None => return Ok(vec![0.0]),
        };
        candidates.sort_by(f64::total_cmp);
        candidates.dedup();
        if candidates.is_empty()
            || candidates.iter().any(|candidate| !(candidate.is_finite() && *candidate > 0.0))
        {
            let problem = "there is no candidate, or one that is not a positive number";
            return Err(Error::config(key, problem, "give positive numbers, such as 1, 10 and 100"));
        }
        Ok(candidates)
    }

    /// Fits a learner with each candidate on scaled features and hands the models on, in the order of candidates.
    ///
    /// Errors: a learner that is not for these targets; what the learner refuses; a requested stop.
    pub fn fit_each<'a>(
        &self,
        learner: LearnerName,
        candidates: &[f64],
        features: &Features,
        rows: impl Into<GroupedTargets<'a>>,
        context: &Context<'_>,
        mut each: impl FnMut(FittedCandidate) -> Result<()>,
    ) -> Result<()> {
        let rows = rows.into();
        let targets = rows.targets;
        check_same_rows(features, targets)?;
        let context = &Context { progress: &Silent, cancel: context.cancel };
        let mut place = 0..;
        let mut hand_on = |model: FittedModel, report: Option<FitReport>| {
            each(FittedCandidate { place: place.next().unwrap_or(0), model, report })
        };
        match (learner, targets) {
            (LearnerName::LogisticRegression, Targets::Classes(labels)) => {
                self.logistic_regressions(candidates, features, labels, context, hand_on)
            }
            (LearnerName::LinearSvm, Targets::Classes(labels)) => {
                let svm = LinearSvm {
                    class_weight: self.class_weight.clone(),
                    tolerance: self.tolerance,
                    max_iterations: self.max_iterations,
                };
                svm.fit_each(features, labels, candidates, context, |model, report| {
                    hand_on(FittedModel::Linear(model), Some(report))
                })
            }
            (LearnerName::Ridge, Targets::Classes(labels)) => {
                let ridge = RidgeClassifier { class_weight: self.class_weight.clone() };
                let alphas: Vec<f64> = candidates.iter().map(|c| c.recip()).collect();
                ridge.fit_each(features, labels, &alphas, context, |model| {
                    hand_on(FittedModel::Linear(model), None)
                })
            }
            (LearnerName::Ridge, Targets::Values(values)) => {
                check_values(features, values)?;
                let system = RidgeSystem::new(features, RidgeTargets { values, width: 1, weights: None })?;
                for c in candidates {
                    let model = system.solve(c.recip(), Link::Identity, context)?;
                    hand_on(FittedModel::Linear(model), None)?;
                }
                Ok(())
            }
            (LearnerName::NearestCentroid, Targets::Classes(labels)) => {
                let matrix = dense(features)?;
                features.check_finite()?;
                hand_on(FittedModel::Linear(fit_nearest_centroid(matrix, labels)?), None)
            }
            (LearnerName::Lda, Targets::Classes(labels)) => {
                let matrix = dense(features)?;
                features.check_finite()?;
                let model = fit_discriminant(matrix, labels, self.shrinkage, context)?;
                hand_on(FittedModel::Linear(model), None)
            }
            (LearnerName::Knn, targets) => {
                let matrix = dense(features)?;
                features.check_finite()?;
                for &count in candidates {
                    let targets = neighbor_targets(targets);
                    // A fold may have fewer rows than the largest candidate asks for.
                    let count = (count as usize).min(matrix.rows());
                    let model = Neighbors::new(matrix.clone(), targets, count, self.metric, self.weights)?;
                    hand_on(FittedModel::Neighbors(model), None)?;
                }
                Ok(())
            }
            (LearnerName::BoostedTrees, _) => {
                let model = BoostedTrees::fit(&self.boosted_trees, dense(features)?, rows, context)?;
                hand_on(FittedModel::Trees(model), None)
            }
            (LearnerName::Mlp, _) => {
                let matrix = dense(features)?;
                features.check_finite()?;
                hand_on(FittedModel::Network(Network::fit(&self.mlp, matrix, rows, context)?), None)
            }
            (LearnerName::Majority, targets) => {
                let row = match targets {
                    Targets::Classes(labels) => MajorityClassifier::fit(labels)?.frequencies,
                    Targets::Values(values) => vec![MeanRegression::fit(values)?.mean],
                };
                let row = row.into_iter().map(|value| value as f32).collect();
                hand_on(FittedModel::Constant(row, features.columns()), None)
            }
            (learner, Targets::Values(_)) => {
                let problem = format!("{} predicts classes, not numbers", learner.name());
                let able = LearnerName::ALL.iter().filter(|(_, learner)| learner.is_for_values());
                let names: Vec<&str> = able.map(|(name, _)| *name).collect();
                Err(Error::config("learner", problem, format!("take one of {}", names.join(", "))))
            }
        }
    }

    fn logistic_regressions(
        &self,
        candidates: &[f64],
        features: &Features,
        labels: &Labels,
        context: &Context<'_>,
        mut hand_on: impl FnMut(FittedModel, Option<FitReport>) -> Result<()>,
    ) -> Result<()> {
        let rows = TrainingRows { features, labels, sample_weights: SampleWeights::Equal };
        check_rows(&rows)?;
        let learner = LogisticRegression {
            c: 1.0,
            l1_ratio: self.l1_ratio,
            class_weight: self.class_weight.clone(),
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        };
        let conditioned = learner.condition(features);
        let mut last = None;
        for &c in candidates {
            let learner = LogisticRegression { c, ..learner.clone() };
            let (model, report) = learner.fit_conditioned(&conditioned, &rows, last.as_ref(), context)?;
            hand_on(FittedModel::Linear(model.clone()), Some(report))?;
            last = Some(model);
        }
        Ok(())
    }
}

fn check_same_rows(features: &Features, targets: Targets<'_>) -> Result<()> {
    if features.rows() == targets.rows() && features.rows() > 0 {
        return Ok(());
    }
    let problem = format!("{} rows of features and {} of labels", features.rows(), targets.rows());
    Err(Error::config("labels", problem, "give one label for each row, and at least one row"))
}

fn neighbor_targets(targets: Targets<'_>) -> NeighborTargets {
    match targets {
        Targets::Classes(Labels::SingleLabel { indices, class_count }) => {
            NeighborTargets::Classes(indices.clone(), *class_count)
        }
        Targets::Classes(Labels::MultiLabel { members, label_count }) => {
            NeighborTargets::Labels(members.clone(), *label_count)
        }
        Targets::Values(values) => {
            NeighborTargets::Values(values.iter().map(|&value| value as f32).collect())
        }
    }
}
