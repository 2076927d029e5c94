//! What stages leave for each other: embeddings, predictions, and what was measured.

use super::learning::LearnerChosen;
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::stages::{StageAbout, finished};
use crate::storage::{Artefact, ArtefactWriter};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What goes with a stored matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MatrixReport {
    /// Seconds that making it took.
    pub(super) seconds: f64,
    /// Seconds of predicting with it, where that is apart.
    pub(super) predict_seconds: f64,
    /// The learner that was chosen, where the matrix holds predictions of one.
    pub(super) learner: Option<LearnerChosen>,
}

const FILE: &str = "matrix.safetensors";

/// The matrix at `folder` if it has this key; else makes it and stores it.
pub(super) fn stored_or(
    folder: &Path,
    key: &str,
    make: impl FnOnce() -> Result<(DenseMatrix, MatrixReport)>,
) -> Result<(DenseMatrix, MatrixReport)> {
    if let Some(artefact) = Artefact::open(folder)?
        && let Ok(about) = artefact.about::<StageAbout>()
        && about.key == key
        && let Ok(report) = serde_json::from_value(about.report)
    {
        artefact.verify()?;
        return Ok((read(&folder.join(FILE))?, report));
    }
    let (matrix, report) = make()?;
    let writer = ArtefactWriter::create(folder)?;
    write(&writer.path().join(FILE), &matrix)?;
    let value = serde_json::to_value(&report).expect("a report is plain data");
    let settings = serde_json::Value::Null;
    writer.commit(&StageAbout { stage: "matrix".into(), key: key.to_owned(), settings, report: value })?;
    Ok((matrix, report))
}

/// What was measured at `folder` if it has this key; else measures and stores it.
pub(super) fn report_or<R: Serialize + DeserializeOwned>(
    folder: &Path,
    key: &str,
    make: impl FnOnce() -> Result<R>,
) -> Result<R> {
    if let Some(report) = finished(folder, key)? {
        return Ok(report);
    }
    let measured = make()?;
    let report = serde_json::to_value(&measured).expect("a report is plain data");
    let settings = serde_json::Value::Null;
    let about = StageAbout { stage: "report".into(), key: key.to_owned(), settings, report };
    ArtefactWriter::create(folder)?.commit(&about)?;
    Ok(measured)
}

fn write(path: &Path, matrix: &DenseMatrix) -> Result<()> {
    let bytes: Vec<u8> = matrix.values().iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![matrix.rows(), matrix.columns()], &bytes);
    let view = view.expect("four bytes a value");
    safetensors::serialize_to_file([("matrix", view)], None, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::io("write", path)(source),
        other => Error::data(path, other.to_string(), ""),
    })
}

fn read(path: &Path) -> Result<DenseMatrix> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |problem: String| Error::data(path, problem, "remove the folder and start again");
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let view = tensors.tensor("matrix").map_err(|error| damaged(error.to_string()))?;
    let &[rows, columns] = view.shape() else { return Err(damaged("is not a matrix".into())) };
    let values = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    DenseMatrix::new(rows, columns, values)
}
