//! The block of vectors: scaled, or turned onto principal components.

use super::arrays::Visit;
use super::pca::Pca;
use super::settings::PreparationSettings;
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::features::scaling::StandardScaler;
use serde::{Deserialize, Serialize};

/// What is done with vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorPart {
    /// The names of the dimensions that come in.
    names: Vec<String>,
    step: VectorStep,
    /// Of the standard scaler; kept with the tensors.
    #[serde(skip)]
    mean: Vec<f64>,
    #[serde(skip)]
    scale: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VectorStep {
    None,
    Standard,
    Pca(Pca),
}

impl VectorPart {
    pub(super) fn fit(
        names: Vec<String>,
        training: &DenseMatrix,
        settings: &PreparationSettings,
    ) -> Result<Self> {
        let mut part = Self { names, step: VectorStep::None, mean: Vec::new(), scale: Vec::new() };
        if let Some(components) = settings.pca_components {
            part.step = VectorStep::Pca(Pca::fit(training, components)?);
        } else if !settings.scalers.is_empty() {
            part.step = VectorStep::Standard;
            StandardScaler { mean: part.mean, scale: part.scale } = StandardScaler::fit(training)?;
        }
        Ok(part)
    }

    /// How many dimensions come in.
    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    pub(super) fn names(&self) -> Vec<String> {
        match &self.step {
            VectorStep::None | VectorStep::Standard => self.names.clone(),
            VectorStep::Pca(pca) => (0..pca.components).map(|at| format!("component_{at}")).collect(),
        }
    }

    /// The prepared vectors, row-major.
    pub(super) fn apply(&self, rows: &DenseMatrix) -> Result<Vec<f32>> {
        match &self.step {
            VectorStep::None => Ok(rows.values().to_vec()),
            VectorStep::Standard => {
                let mut scaled = rows.clone();
                let scaler = StandardScaler { mean: self.mean.clone(), scale: self.scale.clone() };
                scaler.transform(&mut scaled)?;
                Ok(scaled.into_values())
            }
            VectorStep::Pca(pca) => Ok(pca.apply(rows)),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        let width = self.width();
        match &self.step {
            VectorStep::None => true,
            VectorStep::Standard => {
                self.mean.len() == width
                    && self.scale.len() == width
                    && self.mean.iter().all(|mean| mean.is_finite())
                    && self.scale.iter().all(|scale| scale.is_finite() && *scale > 0.0)
            }
            VectorStep::Pca(pca) => pca.is_whole(width),
        }
    }

    pub(super) fn visit(&mut self, visit: &mut Visit<'_>) {
        match &mut self.step {
            VectorStep::None => {}
            VectorStep::Standard => {
                visit("vectors.mean", &mut self.mean);
                visit("vectors.scale", &mut self.scale);
            }
            VectorStep::Pca(pca) => {
                visit("vectors.pca.mean", &mut pca.mean);
                visit("vectors.pca.directions", &mut pca.directions);
            }
        }
    }
}
