//! What any learner leaves: numbers that turn rows of features into outputs, and their form on disk.

use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::learners::boosted_trees::{BoostedTrees, FlatTrees};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::neighbors::{Distance, NeighborTargets, NeighborWeights, Neighbors};
use crate::learners::network::{Layer, Network, OutputLink};
use crate::learners::tensors::{TensorReader, TensorWriter};
use serde::{Deserialize, Serialize};

/// A fitted model, for scaled features.
#[derive(Debug, Clone, PartialEq)]
pub enum FittedModel {
    /// Weights and intercepts.
    Linear(LinearModel),
    /// Training rows.
    Neighbors(Neighbors),
    /// Trees.
    Trees(BoostedTrees),
    /// Layers.
    Network(Network),
    /// The same outputs for every row, of so many columns.
    Constant(Vec<f32>, usize),
}

/// What is said of a model beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ModelForm {
    Linear { link: Link },
    Neighbors { n_neighbors: usize, metric: Distance, weights: NeighborWeights },
    Trees { link: OutputLink },
    Network { link: OutputLink },
    Constant,
}

impl FittedModel {
    /// The number of feature columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Linear(model) => model.columns,
            Self::Neighbors(model) => model.rows.columns(),
            Self::Trees(model) => model.columns(),
            Self::Network(model) => {
                model.layers.first().map_or(0, |layer| layer.weight.len() / layer.bias.len().max(1))
            }
            Self::Constant(_, columns) => *columns,
        }
    }

    /// Decisions of the linear models that are calibrated, `[rows, outputs]`.
    pub(crate) fn decisions(&self, features: &Features) -> Result<DenseMatrix> {
        match self {
            Self::Linear(model) => model.decision_function(features),
            _ => Err(Error::config("decisions", "this learner gives probabilities", "use them as they are")),
        }
    }

    /// Probabilities `[rows, classes]` or `[rows, labels]`, or values `[rows, 1]`.
    pub(crate) fn outputs(&self, features: &Features) -> Result<DenseMatrix> {
        if features.columns() != self.columns() {
            let problem = format!(
                "the model was fitted on {} columns, the features have {}",
                self.columns(),
                features.columns()
            );
            let hint = "give the columns that were used for fitting, in the same order";
            return Err(Error::config("features", problem, hint));
        }
        match self {
            Self::Linear(model) if model.link == Link::Identity => model.decision_function(features),
            Self::Linear(model) => model.predict_proba(features),
            Self::Neighbors(model) => model.outputs_of(dense(features)?),
            Self::Trees(model) => model.outputs_of(dense(features)?),
            Self::Network(model) => model.outputs_of(dense(features)?),
            Self::Constant(row, _) => {
                DenseMatrix::new(features.rows(), row.len(), row.repeat(features.rows()))
            }
        }
    }

    /// How many columns [`Self::outputs`] has.
    pub(crate) fn output_count(&self) -> usize {
        let of_link = |link: OutputLink, width: usize| if link == OutputLink::Binary { 2 } else { width };
        match self {
            Self::Linear(model) if model.link == Link::Binary => 2,
            Self::Linear(model) => model.outputs(),
            Self::Neighbors(model) => model.outputs(),
            Self::Trees(model) => of_link(model.link(), model.width()),
            Self::Network(model) => {
                of_link(model.link, model.layers.last().map_or(0, |layer| layer.bias.len()))
            }
            Self::Constant(row, _) => row.len(),
        }
    }

    pub(crate) fn form(&self) -> ModelForm {
        match self {
            Self::Linear(model) => ModelForm::Linear { link: model.link },
            Self::Neighbors(model) => ModelForm::Neighbors {
                n_neighbors: model.count,
                metric: model.metric,
                weights: model.weights,
            },
            Self::Trees(model) => ModelForm::Trees { link: model.link() },
            Self::Network(model) => ModelForm::Network { link: model.link },
            Self::Constant(..) => ModelForm::Constant,
        }
    }

    pub(crate) fn write(&self, tensors: &mut TensorWriter) {
        match self {
            Self::Linear(model) => {
                tensors.f32("coef", &[model.outputs(), model.columns], &model.coefficients);
                tensors.f32("intercept", &[model.outputs()], &model.intercepts);
            }
            Self::Neighbors(model) => write_neighbors(model, tensors),
            Self::Trees(model) => write_trees(&model.flat(), tensors),
            Self::Network(model) => {
                for (at, layer) in model.layers.iter().enumerate() {
                    let shape = [layer.bias.len(), layer.weight.len() / layer.bias.len()];
                    tensors.f32(&format!("layers.{at}.weight"), &shape, &layer.weight);
                    tensors.f32(&format!("layers.{at}.bias"), &shape[..1], &layer.bias);
                }
                tensors.f64("value", &[2], &[model.value_mean, model.value_scale]);
            }
            Self::Constant(row, _) => tensors.f32("outputs", &[row.len()], row),
        }
    }

    /// The inverse of [`Self::form`] and [`Self::write`]; the error says what does not fit.
    pub(crate) fn read(form: &ModelForm, tensors: &TensorReader<'_>, columns: usize) -> Result<Self, String> {
        let model = match form {
            ModelForm::Linear { link } => {
                let outputs = tensors.length("intercept")?;
                Self::Linear(LinearModel {
                    coefficients: finite("coef", tensors.f32("coef", &[outputs, columns])?)?,
                    intercepts: finite("intercept", tensors.f32("intercept", &[outputs])?)?,
                    columns,
                    link: *link,
                })
            }
            ModelForm::Neighbors { n_neighbors, metric, weights } => {
                let rows = tensors.length("rows")?;
                let values = finite("rows", tensors.f32("rows", &[rows, columns])?)?;
                let matrix = DenseMatrix::new(rows, columns, values).map_err(|error| error.to_string())?;
                let targets = read_neighbor_targets(tensors, rows)?;
                if *n_neighbors == 0 || *n_neighbors > rows {
                    return Err(format!("{n_neighbors} neighbours of {rows} rows"));
                }
                let (count, metric, weights) = (*n_neighbors, *metric, *weights);
                Self::Neighbors(Neighbors { rows: matrix, targets, count, metric, weights })
            }
            ModelForm::Trees { link } => {
                Self::Trees(BoostedTrees::from_flat(columns, *link, &read_trees(tensors)?)?)
            }
            ModelForm::Network { link } => read_network(tensors, columns, *link)?,
            ModelForm::Constant => {
                let outputs = tensors.length("outputs")?;
                Self::Constant(finite("outputs", tensors.f32("outputs", &[outputs])?)?, columns)
            }
        };
        Ok(model)
    }
}

/// Learners that look at whole rows take dense features only.
pub(crate) fn dense(features: &Features) -> Result<&DenseMatrix> {
    match features {
        Features::Dense(matrix) => Ok(matrix),
        Features::Sparse(_) => Err(Error::config(
            "features",
            "this learner takes dense features only",
            "take logistic_regression, linear_svm or ridge for sparse ones",
        )),
    }
}

fn finite(name: &str, values: Vec<f32>) -> Result<Vec<f32>, String> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(format!("`{name}` holds a number that is not finite"))
}

fn write_neighbors(model: &Neighbors, tensors: &mut TensorWriter) {
    let (rows, columns) = (model.rows.rows(), model.rows.columns());
    tensors.f32("rows", &[rows, columns], model.rows.values());
    match &model.targets {
        NeighborTargets::Classes(classes, count) => {
            tensors.u32("classes", &[rows], classes);
            tensors.u32("class_count", &[1], &[*count as u32]);
        }
        NeighborTargets::Labels(members, count) => {
            let members: Vec<u32> = members.iter().map(|&member| u32::from(member)).collect();
            tensors.u32("labels", &[rows, *count], &members);
            tensors.u32("label_count", &[1], &[*count as u32]);
        }
        NeighborTargets::Values(values) => tensors.f32("values", &[rows], values),
    }
}

fn read_neighbor_targets(tensors: &TensorReader<'_>, rows: usize) -> Result<NeighborTargets, String> {
    if let Ok(count) = tensors.u32("class_count", &[1]) {
        let classes = tensors.u32("classes", &[rows])?;
        let fits = classes.iter().all(|class| *class < count[0]);
        return if fits {
            Ok(NeighborTargets::Classes(classes, count[0] as usize))
        } else {
            Err("a class does not fit".into())
        };
    }
    if let Ok(count) = tensors.u32("label_count", &[1]) {
        let count = count[0] as usize;
        let members = tensors.u32("labels", &[rows, count])?.into_iter().map(|member| member == 1).collect();
        return Ok(NeighborTargets::Labels(members, count));
    }
    Ok(NeighborTargets::Values(finite("values", tensors.f32("values", &[rows])?)?))
}

fn write_trees(flat: &FlatTrees, tensors: &mut TensorWriter) {
    let (trees, nodes) = (flat.node_counts.len(), flat.columns.len());
    tensors.f32("base", &[flat.base.len()], &flat.base);
    tensors.f64("value", &[2], &flat.value);
    tensors.u32("node_counts", &[trees], &flat.node_counts);
    tensors.u32("leaf_counts", &[trees], &flat.leaf_counts);
    tensors.u32("nodes.column", &[nodes], &flat.columns);
    tensors.f32("nodes.threshold", &[nodes], &flat.thresholds);
    tensors.u32("nodes.missing_left", &[nodes], &flat.missing_left);
    tensors.i32("nodes.children", &[nodes, 2], &flat.children);
    tensors.f32("leaves", &[flat.leaves.len() / flat.base.len().max(1), flat.base.len()], &flat.leaves);
}

fn read_trees(tensors: &TensorReader<'_>) -> Result<FlatTrees, String> {
    let [outputs, trees, nodes, leaves] =
        ["base", "node_counts", "nodes.column", "leaves"].map(|name| tensors.length(name));
    let (outputs, trees, nodes, leaves) = (outputs?, trees?, nodes?, leaves?);
    let value = tensors.f64("value", &[2])?;
    if outputs == 0 || value.iter().any(|value| !value.is_finite()) {
        return Err("the trees have no outputs, or a scale that is not finite".to_owned());
    }
    Ok(FlatTrees {
        base: tensors.f32("base", &[outputs])?,
        value: [value[0], value[1]],
        node_counts: tensors.u32("node_counts", &[trees])?,
        leaf_counts: tensors.u32("leaf_counts", &[trees])?,
        columns: tensors.u32("nodes.column", &[nodes])?,
        thresholds: tensors.f32("nodes.threshold", &[nodes])?,
        missing_left: tensors.u32("nodes.missing_left", &[nodes])?,
        children: tensors.i32("nodes.children", &[nodes, 2])?,
        leaves: tensors.f32("leaves", &[leaves, outputs])?,
    })
}

fn read_network(tensors: &TensorReader<'_>, columns: usize, link: OutputLink) -> Result<FittedModel, String> {
    let (mut layers, mut inputs) = (Vec::new(), columns);
    while let Ok(outputs) = tensors.length(&format!("layers.{}.bias", layers.len())) {
        let names = ["weight", "bias"].map(|part| format!("layers.{}.{part}", layers.len()));
        let weight = finite(&names[0], tensors.f32(&names[0], &[outputs, inputs])?)?;
        let bias = finite(&names[1], tensors.f32(&names[1], &[outputs])?)?;
        if outputs == 0 {
            return Err("a layer has no outputs".to_owned());
        }
        layers.push(Layer { weight, bias });
        inputs = outputs;
    }
    let value = tensors.f64("value", &[2])?;
    if layers.is_empty() || value.iter().any(|value| !value.is_finite()) {
        return Err("the network has no layer, or a scale that is not finite".to_owned());
    }
    Ok(FittedModel::Network(Network { layers, link, value_mean: value[0], value_scale: value[1] }))
}
