//! The keys of `steep classify` that say which learners are tried, and how.

use super::check::{at_least_one, fill, one_of, positive, within};
use super::classify::ClassifyRequest;
use super::values::List;
use crate::error::{Error, Result};
use crate::learners::boosted_trees::TreeOptions;
use crate::learners::calibration::CalibrationMethod;
use crate::learners::discriminant::Shrinkage;
use crate::learners::learner::LearnerName;
use crate::learners::neighbors::{Distance, NeighborWeights};
use crate::learners::network::NetworkOptions;
use crate::stages::{LearnerSettings, Learners};

/// Fills the keys in and gives what they say.
pub(super) fn learner_settings(request: &mut ClassifyRequest) -> Result<LearnerSettings> {
    let defaults = LearnerSettings::default();
    let usual = || defaults.n_neighbors.iter().map(|&count| count as u64).collect();
    let neighbors = fill(&mut request.n_neighbors, || List(usual())).0;
    for &count in &neighbors {
        at_least_one("n_neighbors", count)?;
    }
    let calibration = fill(&mut request.calibration, || "sigmoid".to_owned());
    let distance = fill(&mut request.distance_metric, || "euclidean".to_owned());
    let weights = fill(&mut request.neighbor_weights, || "distance".to_owned());
    Ok(LearnerSettings {
        learners: learners(request.learner.as_ref())?,
        l1_ratio: l1_ratio(request)?,
        calibration: one_of("calibration", &calibration, &CALIBRATIONS)?,
        n_neighbors: neighbors.into_iter().map(|count| count as usize).collect(),
        distance: one_of("distance_metric", &distance, &DISTANCES)?,
        neighbor_weights: one_of("neighbor_weights", &weights, &WEIGHTS)?,
        shrinkage: shrinkage(&fill(&mut request.shrinkage, || "auto".to_owned()))?,
        boosted_trees: boosted_trees(request)?,
        mlp: mlp(request)?,
    })
}

const CALIBRATIONS: [(&str, CalibrationMethod); 2] =
    [("sigmoid", CalibrationMethod::Sigmoid), ("isotonic", CalibrationMethod::Isotonic)];
const DISTANCES: [(&str, Distance); 2] = [("euclidean", Distance::Euclidean), ("cosine", Distance::Cosine)];
const WEIGHTS: [(&str, NeighborWeights); 2] =
    [("uniform", NeighborWeights::Uniform), ("distance", NeighborWeights::Distance)];

fn learners(asked: Option<&List<String>>) -> Result<Learners> {
    let Some(List(names)) = asked else { return Ok(Learners::Usual) };
    if names.iter().any(|name| name == "all") {
        return Ok(Learners::All);
    }
    let mut learners: Vec<LearnerName> = Vec::new();
    for name in names {
        let learner = one_of("learner", name, &LearnerName::ALL)?;
        if !learners.contains(&learner) {
            learners.push(learner);
        }
    }
    if learners.is_empty() {
        return Err(Error::config("learner", "is empty", "name a learner, or all"));
    }
    Ok(Learners::Named(learners))
}

/// `penalty` names the ends; between them lies `elasticnet`.
fn l1_ratio(request: &mut ClassifyRequest) -> Result<f64> {
    let penalty = fill(&mut request.penalty, || "l2".to_owned());
    let usual = one_of("penalty", &penalty, &[("l2", 0.0), ("l1", 1.0), ("elasticnet", 0.5)])?;
    let ratio = within("l1_ratio", fill(&mut request.l1_ratio, || usual), 0.0..=1.0)?;
    if penalty != "elasticnet" && ratio != usual {
        let problem = format!("{ratio} is not the ratio of the penalty {penalty}");
        return Err(Error::config("l1_ratio", problem, "set penalty to elasticnet"));
    }
    Ok(ratio)
}

fn shrinkage(text: &str) -> Result<Shrinkage> {
    match text {
        "auto" => Ok(Shrinkage::Auto),
        "none" => Ok(Shrinkage::None),
        share => match share.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Shrinkage::Share(share)),
            _ => Err(Error::config(
                "shrinkage",
                format!("'{text}' is not known"),
                "give auto, none or a number from 0 to 1",
            )),
        },
    }
}

fn boosted_trees(request: &mut ClassifyRequest) -> Result<TreeOptions> {
    let usual = TreeOptions::default();
    let rate = fill(&mut request.learning_rate, || usual.learning_rate);
    let trees = fill(&mut request.n_estimators, || usual.n_estimators as u64);
    let leaves = fill(&mut request.num_leaves, || usual.num_leaves as u64);
    let rows = fill(&mut request.min_child_samples, || usual.min_child_samples as u64);
    Ok(TreeOptions {
        learning_rate: within("learning_rate", positive("learning_rate", rate)?, 0.0..=1.0)?,
        n_estimators: at_least_one("n_estimators", trees)? as usize,
        num_leaves: within("num_leaves", leaves, 2..=65_536)? as usize,
        min_child_samples: at_least_one("min_child_samples", rows)? as usize,
        ..usual
    })
}

fn mlp(request: &mut ClassifyRequest) -> Result<NetworkOptions> {
    let usual = NetworkOptions::default();
    let sizes = || List(usual.hidden_layer_sizes.iter().map(|&size| size as u64).collect());
    let sizes = fill(&mut request.hidden_layer_sizes, sizes).0;
    for &size in &sizes {
        within("hidden_layer_sizes", size, 1..=65_536)?;
    }
    let epochs = fill(&mut request.max_epochs, || usual.max_epochs as u64);
    Ok(NetworkOptions {
        hidden_layer_sizes: sizes.into_iter().map(|size| size as usize).collect(),
        max_epochs: at_least_one("max_epochs", epochs)? as usize,
        ..usual
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut ClassifyRequest)) -> Result<LearnerSettings> {
        let mut request = ClassifyRequest::default();
        change(&mut request);
        learner_settings(&mut request)
    }

    #[test]
    fn nothing_asked_gives_the_defaults() {
        assert_eq!(settings(|_| ()).unwrap(), LearnerSettings::default());
    }

    #[test]
    fn learners_are_known_once_or_all() {
        let asked = |names: &[&str]| {
            let names = List(names.iter().map(|&name| name.to_owned()).collect());
            settings(|request| request.learner = Some(names)).map(|settings| settings.learners)
        };
        let expected = Learners::Named(vec![LearnerName::Knn, LearnerName::Lda]);
        assert_eq!(asked(&["knn", "lda", "knn"]).unwrap(), expected);
        assert_eq!(asked(&["all"]).unwrap(), Learners::All);
        assert!(asked(&["linear_svn"]).unwrap_err().hint().unwrap().contains("linear_svm"));
    }

    #[test]
    fn penalties_and_their_ratios_agree() {
        let asked = |penalty: &str, ratio: Option<f64>| {
            settings(|request| (request.penalty, request.l1_ratio) = (Some(penalty.into()), ratio))
                .map(|settings| settings.l1_ratio)
        };
        assert_eq!(asked("l1", None).unwrap(), 1.0);
        assert_eq!(asked("elasticnet", Some(0.2)).unwrap(), 0.2);
        assert!(asked("l2", Some(0.2)).is_err() && asked("elasticnet", Some(1.5)).is_err());
        assert!(settings(|request| request.shrinkage = Some("much".into())).is_err());
    }
}
