//! A fitted linear classifier or regression with its scaler and class names, and its folder.
//!
//! The folder holds `head.json` (what it is) and `head.safetensors` (`coef` `[outputs, columns]`, `intercept`
//! `[outputs]`, and `scaler.mean`, `scaler.scale` `[columns]` where scaled). Nothing in it is executed.

use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{MaxAbsScaler, Scaler, Scaling, StandardScaler};
use crate::learners::linear_model::{LinearModel, Link};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT_VERSION: u32 = 1;
const DESCRIPTION_FILE: &str = "head.json";
const TENSOR_FILE: &str = "head.safetensors";

/// What `head.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadDescription {
    /// The version of this format.
    pub format_version: u32,
    /// How decision values become predictions.
    pub link: Link,
    /// The classes' or labels' names, in the order of their indices; empty for regression.
    pub classes: Vec<String>,
    /// The inverse penalty `C`, or `1 / alpha` of a ridge regression.
    pub c: f64,
    /// The scaler in front of the model.
    pub scaling: Scaling,
    /// The number of feature columns.
    pub feature_count: usize,
    /// The columns' names, or none where the features have none.
    pub feature_names: Vec<String>,
}

/// A scaler, a linear model and the names of its classes.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    description: HeadDescription,
    scaler: Scaler,
    model: LinearModel,
}

/// The parts of a head.
#[derive(Debug, Clone)]
pub struct HeadParts {
    /// The scaler in front of the model.
    pub scaler: Scaler,
    /// The model, for scaled features.
    pub model: LinearModel,
    /// The classes' or labels' names, in the order of their indices; empty for regression.
    pub classes: Vec<String>,
    /// The columns' names, or none where the features have none.
    pub feature_names: Vec<String>,
    /// The inverse penalty `C`, or `1 / alpha` of a ridge regression.
    pub c: f64,
}

impl LinearHead {
    /// Joins the parts; an error if their sizes do not fit together.
    pub fn new(parts: HeadParts) -> Result<Self> {
        let HeadParts { scaler, model, classes, feature_names, c } = parts;
        let description = HeadDescription {
            format_version: FORMAT_VERSION,
            link: model.link,
            classes,
            c,
            scaling: scaler.scaling(),
            feature_count: model.columns,
            feature_names,
        };
        check_sizes(&description, &scaler, &model)
            .map_err(|problem| Error::config("head", problem, "give the parts of one and the same fit"))?;
        Ok(Self { description, scaler, model })
    }

    /// What it is.
    pub fn description(&self) -> &HeadDescription {
        &self.description
    }

    /// The model, for scaled features.
    pub fn model(&self) -> &LinearModel {
        &self.model
    }

    /// Decision values `[rows, outputs]` of unscaled features.
    pub fn decision_function(&self, features: &Features) -> Result<DenseMatrix> {
        self.model.decision_function(&*self.scaled(features)?)
    }

    /// Probabilities `[rows, classes]` of unscaled features; an error for a regression.
    pub fn predict_proba(&self, features: &Features) -> Result<DenseMatrix> {
        self.model.predict_proba(&*self.scaled(features)?)
    }

    /// The most probable class of each row, the first among ties; for one label a row.
    pub fn predict(&self, features: &Features) -> Result<Vec<u32>> {
        if self.description.link == Link::MultiLabel {
            let hint = "use `predict_labels` where a row may have several labels";
            return Err(Error::config("predict", "this classifier gives several labels a row", hint));
        }
        let probabilities = self.predict_proba(features)?;
        Ok((0..probabilities.rows()).map(|row| arg_max(probabilities.row(row))).collect())
    }

    /// Whether each row has each label, `[rows, labels]`: its probability exceeds one half.
    pub fn predict_labels(&self, features: &Features) -> Result<Vec<bool>> {
        if self.description.link != Link::MultiLabel {
            let hint = "use `predict` where each row has one class";
            return Err(Error::config("predict_labels", "this classifier gives one class a row", hint));
        }
        Ok(self.decision_function(features)?.values().iter().map(|decision| *decision > 0.0).collect())
    }

    /// The predicted value of each row, for a regression.
    pub fn predict_values(&self, features: &Features) -> Result<Vec<f32>> {
        if self.description.link != Link::Identity {
            let hint = "use `predict` or `predict_proba` of a classifier";
            return Err(Error::config("predict_values", "this is a classifier", hint));
        }
        Ok(self.decision_function(features)?.values().to_vec())
    }

    fn scaled<'a>(&self, features: &'a Features) -> Result<Scaled<'a>> {
        if self.scaler == Scaler::None {
            return Ok(Scaled::AsGiven(features));
        }
        let mut copy = features.clone();
        self.scaler.transform(&mut copy)?;
        Ok(Scaled::Copy(copy))
    }

    /// Writes `head.json` and `head.safetensors` into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let description = folder.join(DESCRIPTION_FILE);
        let mut json = serde_json::to_vec_pretty(&self.description)
            .map_err(|error| Error::io("write", &description)(error.into()))?;
        json.push(b'\n');
        let tensors = folder.join(TENSOR_FILE);
        std::fs::write(&tensors, self.tensor_bytes()?).map_err(Error::io("write", &tensors))?;
        std::fs::write(&description, json).map_err(Error::io("write", &description))
    }

    fn tensor_bytes(&self) -> Result<Vec<u8>> {
        let (outputs, columns) = (self.model.outputs(), self.model.columns);
        let mut tensors: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        tensors.insert("coef", (Dtype::F32, vec![outputs, columns], bytes_f32(&self.model.coefficients)));
        tensors.insert("intercept", (Dtype::F32, vec![outputs], bytes_f32(&self.model.intercepts)));
        let (mean, scale) = match &self.scaler {
            Scaler::None => (None, None),
            Scaler::Standard(scaler) => (Some(&scaler.mean), Some(&scaler.scale)),
            Scaler::MaxAbs(scaler) => (None, Some(&scaler.scale)),
        };
        for (name, values) in [("scaler.mean", mean), ("scaler.scale", scale)] {
            if let Some(values) = values {
                tensors.insert(name, (Dtype::F64, vec![columns], bytes_f64(values)));
            }
        }
        let views = tensors
            .iter()
            .map(|(name, (dtype, shape, bytes))| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        views.and_then(|views| safetensors::serialize(views, None)).map_err(|error| {
            Error::model(TENSOR_FILE, error.to_string(), "the fitted weights cannot be written")
        })
    }

    /// Reads a folder written by [`Self::save`]; an error if anything in it does not fit together.
    pub fn load(folder: &Path) -> Result<Self> {
        let damaged = |problem: String| {
            let hint = "fit the head again, or point to a folder written by this program";
            Error::model(folder.display().to_string(), problem, hint)
        };
        let description: HeadDescription = serde_json::from_slice(&read(&folder.join(DESCRIPTION_FILE))?)
            .map_err(|error| damaged(format!("{DESCRIPTION_FILE}: {error}")))?;
        if description.format_version != FORMAT_VERSION {
            let version = description.format_version;
            return Err(damaged(format!("{DESCRIPTION_FILE} has version {version}, not {FORMAT_VERSION}")));
        }
        let bytes = read(&folder.join(TENSOR_FILE))?;
        let (scaler, model) = read_tensors(&bytes, &description).map_err(damaged)?;
        check_sizes(&description, &scaler, &model).map_err(damaged)?;
        Ok(Self { description, scaler, model })
    }
}

/// Features after the scaler, copied only where it changes them.
enum Scaled<'a> {
    AsGiven(&'a Features),
    Copy(Features),
}

impl std::ops::Deref for Scaled<'_> {
    type Target = Features;

    fn deref(&self) -> &Features {
        match self {
            Self::AsGiven(features) => features,
            Self::Copy(features) => features,
        }
    }
}

fn check_sizes(
    description: &HeadDescription,
    scaler: &Scaler,
    model: &LinearModel,
) -> std::result::Result<(), String> {
    let (columns, outputs, classes) = (description.feature_count, model.outputs(), description.classes.len());
    let outputs_fit = match description.link {
        Link::Softmax => classes == outputs && classes >= 3,
        Link::Binary => classes == 2 && outputs == 1,
        Link::MultiLabel => classes == outputs && classes >= 1,
        Link::Identity => classes == 0 && outputs == 1,
    };
    if !outputs_fit {
        return Err(format!("{classes} class names do not fit {outputs} outputs"));
    }
    if !description.feature_names.is_empty() && description.feature_names.len() != columns {
        return Err(format!("{} feature names for {columns} columns", description.feature_names.len()));
    }
    let scale = match scaler {
        Scaler::None => None,
        Scaler::Standard(scaler) => (scaler.mean.len() == columns
            && scaler.mean.iter().all(|mean| mean.is_finite()))
        .then_some(&scaler.scale),
        Scaler::MaxAbs(scaler) => Some(&scaler.scale),
    };
    let scale_fits = scale.map_or(*scaler == Scaler::None, |scale| {
        scale.len() == columns && scale.iter().all(|scale| scale.is_finite() && *scale > 0.0)
    });
    if !scale_fits {
        return Err(format!("the scaler does not fit {columns} columns"));
    }
    let finite = model.coefficients.iter().chain(&model.intercepts).all(|weight| weight.is_finite());
    let coefficients_fit = outputs.checked_mul(columns) == Some(model.coefficients.len());
    if finite && coefficients_fit { Ok(()) } else { Err("the weights do not fit, or are not finite".into()) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io("read", path))
}

fn read_tensors(
    bytes: &[u8],
    description: &HeadDescription,
) -> std::result::Result<(Scaler, LinearModel), String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("{TENSOR_FILE}: {error}"))?;
    let outputs = match description.link {
        Link::Binary | Link::Identity => 1,
        Link::Softmax | Link::MultiLabel => description.classes.len(),
    };
    let columns = description.feature_count;
    let single = |name: &str, shape: &[usize]| {
        tensor_bytes_of(&tensors, name, Dtype::F32, shape).map(|bytes| {
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<_>>()
        })
    };
    let double = |name: &str| {
        tensor_bytes_of(&tensors, name, Dtype::F64, &[columns]).map(|bytes| {
            bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect::<Vec<_>>()
        })
    };
    let scaler = match description.scaling {
        Scaling::None => Scaler::None,
        Scaling::Standard => {
            Scaler::Standard(StandardScaler { mean: double("scaler.mean")?, scale: double("scaler.scale")? })
        }
        Scaling::MaxAbs => Scaler::MaxAbs(MaxAbsScaler { scale: double("scaler.scale")? }),
    };
    let model = LinearModel {
        coefficients: single("coef", &[outputs, columns])?,
        intercepts: single("intercept", &[outputs])?,
        columns,
        link: description.link,
    };
    Ok((scaler, model))
}

fn tensor_bytes_of<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> std::result::Result<&'a [u8], String> {
    let tensor = tensors.tensor(name).map_err(|error| format!("{TENSOR_FILE}: {error}"))?;
    if tensor.dtype() == dtype && tensor.shape() == shape {
        return Ok(tensor.data());
    }
    let found = (tensor.dtype(), tensor.shape());
    Err(format!("{TENSOR_FILE}: `{name}` is {found:?}, expected {:?}", (dtype, shape)))
}

fn arg_max(values: &[f32]) -> u32 {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best as u32
}

fn bytes_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bytes_f64(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> LinearHead {
        let model = LinearModel {
            coefficients: vec![0.5, -0.25, 1.0, 2.0, -3.0, 0.1],
            intercepts: vec![0.1, 0.2, 0.3],
            columns: 2,
            link: Link::Softmax,
        };
        let scaler = Scaler::Standard(StandardScaler { mean: vec![0.1, 0.2], scale: vec![1.5, 1.0] });
        let classes = ["red", "green", "blue"].map(String::from).to_vec();
        LinearHead::new(HeadParts { scaler, model, classes, feature_names: vec![], c: 1.0 }).unwrap()
    }

    #[test]
    fn a_head_survives_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        head().save(folder.path()).unwrap();
        assert_eq!(LinearHead::load(folder.path()).unwrap(), head());
    }

    #[test]
    fn the_same_head_gives_the_same_bytes() {
        let [one, two] = [head().tensor_bytes().unwrap(), head().tensor_bytes().unwrap()];
        assert_eq!(one, two);
    }

    fn load_after(change: impl Fn(&mut serde_json::Value)) -> Result<LinearHead> {
        let folder = tempfile::tempdir().unwrap();
        head().save(folder.path()).unwrap();
        let path = folder.path().join(DESCRIPTION_FILE);
        let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        LinearHead::load(folder.path())
    }

    #[test]
    fn damaged_folders_are_refused() {
        assert!(load_after(|_| ()).is_ok());
        assert!(load_after(|json| json["format_version"] = 9.into()).is_err());
        assert!(load_after(|json| json["feature_count"] = 3.into()).is_err());
        assert!(load_after(|json| json["classes"] = serde_json::json!(["a", "b"])).is_err());
        assert!(load_after(|json| json["feature_names"] = serde_json::json!(["a"])).is_err());
        assert!(load_after(|json| json["unknown"] = 1.into()).is_err());
        assert!(load_after(|json| json["scaling"] = "none".into()).is_ok());
        let folder = tempfile::tempdir().unwrap();
        head().save(folder.path()).unwrap();
        let path = folder.path().join(TENSOR_FILE);
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(LinearHead::load(folder.path()).is_err(), "{length}");
        }
    }

    #[test]
    fn the_scaler_stands_before_the_model() {
        let features = Features::Dense(DenseMatrix::new(1, 2, vec![1.6, 1.2]).unwrap());
        let decisions = head().decision_function(&features).unwrap();
        let expected = [0.35, 3.2, -2.6];
        assert!(decisions.values().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(head().predict(&features).unwrap(), [1]);
        assert!(head().predict_labels(&features).is_err());
        assert!(head().predict_values(&features).is_err());
    }
}
