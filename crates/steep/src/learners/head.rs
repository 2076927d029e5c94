//! A fitted learner with its scaler, calibration and class names, and its folder.
//!
//! The folder holds `head.json` (what it is) and `head.safetensors` (its numbers). Logistic regression, and ridge
//! regression of numbers, are written as [`LinearHead`]; all others in version 2 of the format, which names the
//! learner. Nothing in a folder is executed.

use crate::data::Task;
use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{MaxAbsScaler, Scaler, Scaling, StandardScaler};
use crate::learners::calibration::{Calibration, Outputs};
use crate::learners::choice::ChosenModel;
use crate::learners::fitted::{FittedModel, ModelForm};
use crate::learners::learner::LearnerName;
use crate::learners::linear_head::{HeadParts, LinearHead};
use crate::learners::linear_model::Link;
use crate::learners::tensors::{TensorReader, TensorWriter};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FORMAT_VERSION: u32 = 2;
const DESCRIPTION_FILE: &str = "head.json";
const TENSOR_FILE: &str = "head.safetensors";

/// Any fitted learner.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// Logistic regression, or ridge regression of numbers.
    Linear(LinearHead),
    /// Any other learner.
    Learned(LearnedHead),
}

/// A fitted learner other than those of [`LinearHead`].
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedHead {
    description: Description,
    scaler: Scaler,
    model: FittedModel,
}

/// What `head.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format_version: u32,
    learner: LearnerName,
    task: Task,
    /// The classes' or labels' names, in the order of their indices; empty for regression.
    classes: Vec<String>,
    scaling: Scaling,
    feature_count: usize,
    /// The columns' names, or none where the features have none.
    feature_names: Vec<String>,
    model: ModelForm,
    /// How decisions become probabilities, where the learner gives none.
    calibration: Option<Calibration>,
}

/// The names that belong to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadNames {
    /// What is predicted.
    pub task: Task,
    /// The classes' or labels' names, in the order of their indices; empty for regression.
    pub classes: Vec<String>,
    /// The columns' names, or none where the features have none.
    pub features: Vec<String>,
}

impl Head {
    /// Joins the best model and its names; an error if their sizes do not fit together.
    pub fn new(chosen: ChosenModel, names: HeadNames) -> Result<Self> {
        let score = &chosen.scores[chosen.best];
        let (learner, c) = (score.learner, score.selection.c);
        let HeadNames { task, classes, features } = names;
        let is_plain = matches!(
            (learner, task),
            (LearnerName::LogisticRegression, _) | (LearnerName::Ridge, Task::Regression)
        );
        if is_plain && let FittedModel::Linear(model) = chosen.model {
            let parts = HeadParts { scaler: chosen.scaler, model, classes, feature_names: features, c };
            return LinearHead::new(parts).map(Self::Linear);
        }
        let description = Description {
            format_version: FORMAT_VERSION,
            learner,
            task,
            classes,
            scaling: chosen.scaler.scaling(),
            feature_count: chosen.model.columns(),
            feature_names: features,
            model: chosen.model.form(),
            calibration: chosen.calibration,
        };
        let head = LearnedHead { description, scaler: chosen.scaler, model: chosen.model };
        head.check()
            .map_err(|problem| Error::config("head", problem, "give the parts of one and the same fit"))?;
        Ok(Self::Learned(head))
    }

    /// Which learner it is.
    pub fn learner(&self) -> LearnerName {
        match self {
            Self::Linear(head) if head.description().link == Link::Identity => LearnerName::Ridge,
            Self::Linear(_) => LearnerName::LogisticRegression,
            Self::Learned(head) => head.description.learner,
        }
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        match self {
            Self::Linear(head) => match head.description().link {
                Link::Softmax | Link::Binary => Task::SingleLabel,
                Link::MultiLabel => Task::MultiLabel,
                Link::Identity => Task::Regression,
            },
            Self::Learned(head) => head.description.task,
        }
    }

    /// The classes' or labels' names, in the order of their indices; empty for regression.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Linear(head) => &head.description().classes,
            Self::Learned(head) => &head.description.classes,
        }
    }

    /// The number of feature columns.
    pub fn feature_count(&self) -> usize {
        match self {
            Self::Linear(head) => head.description().feature_count,
            Self::Learned(head) => head.description.feature_count,
        }
    }

    /// The columns' names, or none where the features have none.
    pub fn feature_names(&self) -> &[String] {
        match self {
            Self::Linear(head) => &head.description().feature_names,
            Self::Learned(head) => &head.description.feature_names,
        }
    }

    /// Of unscaled features probabilities `[rows, classes]` or `[rows, labels]`, or the values of a regression
    /// `[rows, 1]`.
    pub fn predict(&self, features: &Features) -> Result<DenseMatrix> {
        match self {
            Self::Linear(head) if head.description().link == Link::Identity => {
                head.decision_function(features)
            }
            Self::Linear(head) => head.predict_proba(features),
            Self::Learned(head) => head.predict(features),
        }
    }

    /// Writes `head.json` and `head.safetensors` into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        match self {
            Self::Linear(head) => head.save(folder),
            Self::Learned(head) => head.save(folder),
        }
    }

    /// Reads a folder written by [`Self::save`]; an error if anything in it does not fit together.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION_FILE);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let names_learner = serde_json::from_slice::<serde_json::Value>(&bytes)
            .is_ok_and(|json| json.get("learner").is_some());
        if names_learner {
            LearnedHead::load(folder, &bytes).map(Self::Learned)
        } else {
            LinearHead::load(folder).map(Self::Linear)
        }
    }
}

impl LearnedHead {
    fn predict(&self, features: &Features) -> Result<DenseMatrix> {
        let mut scaled = features.clone();
        self.scaler.transform(&mut scaled)?;
        let Some(calibration) = &self.description.calibration else { return self.model.outputs(&scaled) };
        calibration.probabilities(&self.model.decisions(&scaled)?, self.calibrated_outputs())
    }

    fn calibrated_outputs(&self) -> Outputs {
        match (self.description.task, self.description.classes.len()) {
            (Task::MultiLabel, _) => Outputs::Labels,
            (_, 2) => Outputs::Binary,
            _ => Outputs::Classes,
        }
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let description = folder.join(DESCRIPTION_FILE);
        let mut json = serde_json::to_vec_pretty(&self.description)
            .map_err(|error| Error::io("write", &description)(error.into()))?;
        json.push(b'\n');
        let mut tensors = TensorWriter::default();
        self.model.write(&mut tensors);
        let columns = self.description.feature_count;
        match &self.scaler {
            Scaler::None => {}
            Scaler::Standard(scaler) => {
                tensors.f64("scaler.mean", &[columns], &scaler.mean);
                tensors.f64("scaler.scale", &[columns], &scaler.scale);
            }
            Scaler::MaxAbs(scaler) => tensors.f64("scaler.scale", &[columns], &scaler.scale),
        }
        let path = folder.join(TENSOR_FILE);
        std::fs::write(&path, tensors.to_bytes(TENSOR_FILE)?).map_err(Error::io("write", &path))?;
        std::fs::write(&description, json).map_err(Error::io("write", &description))
    }

    fn load(folder: &Path, description: &[u8]) -> Result<Self> {
        let damaged = |problem: String| {
            let hint = "fit the classifier again, or point to a folder written by this program";
            Error::model(folder.display().to_string(), problem, hint)
        };
        let description: Description = serde_json::from_slice(description)
            .map_err(|error| damaged(format!("{DESCRIPTION_FILE}: {error}")))?;
        if description.format_version != FORMAT_VERSION {
            let version = description.format_version;
            return Err(damaged(format!("{DESCRIPTION_FILE} has version {version}, not {FORMAT_VERSION}")));
        }
        let path = folder.join(TENSOR_FILE);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let head = Self::from_tensors(description, &bytes).and_then(|head| head.check().map(|()| head));
        head.map_err(|problem| damaged(format!("{TENSOR_FILE}: {problem}")))
    }

    fn from_tensors(description: Description, bytes: &[u8]) -> Result<Self, String> {
        let tensors = TensorReader::new(bytes)?;
        let columns = description.feature_count;
        let scaler = match description.scaling {
            Scaling::None => Scaler::None,
            Scaling::Standard => Scaler::Standard(StandardScaler {
                mean: tensors.f64("scaler.mean", &[columns])?,
                scale: tensors.f64("scaler.scale", &[columns])?,
            }),
            Scaling::MaxAbs => {
                Scaler::MaxAbs(MaxAbsScaler { scale: tensors.f64("scaler.scale", &[columns])? })
            }
        };
        let model = FittedModel::read(&description.model, &tensors, columns)?;
        Ok(Self { description, scaler, model })
    }

    /// Whether sizes and numbers fit together.
    fn check(&self) -> Result<(), String> {
        let description = &self.description;
        let classes = description.classes.len();
        let expected = match description.task {
            Task::Regression if classes == 0 => 1,
            Task::SingleLabel if classes >= 2 => classes,
            Task::MultiLabel if classes >= 1 => classes,
            _ => return Err(format!("{classes} class names do not fit the task")),
        };
        let found = self.model.output_count();
        if found != expected || self.model.columns() != description.feature_count {
            return Err(format!("{found} outputs do not fit {expected}, or the columns do not"));
        }
        let names = description.feature_names.len();
        if names > 0 && names != description.feature_count {
            return Err(format!("{names} feature names for {} columns", description.feature_count));
        }
        let scale = match &self.scaler {
            Scaler::None => &[][..],
            Scaler::Standard(scaler) if scaler.mean.iter().all(|mean| mean.is_finite()) => &scaler.scale,
            Scaler::Standard(_) => return Err("the scaler is not finite".to_owned()),
            Scaler::MaxAbs(scaler) => &scaler.scale,
        };
        if scale.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err("the scaler is not finite and positive".to_owned());
        }
        let Some(calibration) = &description.calibration else { return Ok(()) };
        let decisions = if self.calibrated_outputs() == Outputs::Binary { 1 } else { expected };
        let is_linear = matches!(self.model, FittedModel::Linear(_));
        let sound = calibration.curves.iter().all(crate::learners::calibration::Curve::is_sound);
        if is_linear && sound && calibration.curves.len() == decisions {
            return Ok(());
        }
        Err("the calibration does not fit the model".to_owned())
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
