//! An adapter of PEFT's added to the weights that it belongs to.

use super::key::{StageAbout, stage_key};
use super::model_folder::ModelFolder;
use crate::error::Result;
use crate::storage::{ArtefactWriter, digest_file};
use serde::{Deserialize, Serialize};
use std::path::Path;
use steep_encoder::{Adapter, HeadKind, LoraSettings, Model, ProblemType};

/// What was merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeReport {
    /// Rank, scaling, and the layers that had low-rank matrices.
    pub lora: LoraSettings,
    /// Outputs of the classification head that the adapter brought along, if it did.
    pub num_labels: Option<usize>,
}

/// Adds the low-rank matrices of a folder that PEFT saved to the weights of a model, takes the adapter's head if it has
/// one, and writes the model folder `output`.
///
/// # Errors
/// An adapter of another model, or of a kind that is not supported.
pub fn merge(model: &ModelFolder, adapter_folder: &Path, output: &Path) -> Result<MergeReport> {
    let adapter = Adapter::load(adapter_folder)?;
    let (mut config, head_kind) = (model.config.clone(), adapter.head_kind());
    let num_labels = match head_kind {
        HeadKind::SequenceClassification { num_labels } => Some(num_labels),
        _ => None,
    };
    if let Some(count) = num_labels.filter(|count| *count != config.labels.len()) {
        let labels = (0..count).map(|label| format!("LABEL_{label}")).collect();
        config.set_labels(labels, config.problem_type.unwrap_or(ProblemType::SingleLabelClassification));
    }
    let (mut merged, _) = Model::load_with(&model.path, config, head_kind, 0)?;
    merged.attach_adapter(&adapter)?;
    let lora = merged.lora().expect("an adapter was attached").clone();
    merged.merge_lora();
    let report = MergeReport { lora, num_labels };
    let digest = digest_file(&adapter_folder.join("adapter_model.safetensors"))?;
    let writer = ArtefactWriter::create(output)?;
    model.save_with(&merged, writer.path())?;
    let settings = serde_json::to_value(&report.lora).expect("settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    let key = stage_key("merge", &[&model.digest, &digest], &settings);
    writer.commit(&StageAbout { stage: "merge".into(), key, settings, report: value })?;
    Ok(report)
}
