//! Training encoder and head on labels.

mod probe;

pub use probe::HeadInit;

use super::adapt::{remove_work, rows_digest, token_range, work_folder};
use super::key::{StageAbout, finished, stage_key};
use super::model_folder::ModelFolder;
use super::predict::TextRecipe;
use crate::config::{Estimate, TrainingAmount, estimate_training};
use crate::error::{Error, Result};
use crate::objectives::{
    Classification, ClassificationSettings, HeldOut, MaskedLm, MaskingSettings, MultiTask, Targets,
};
use crate::progress::{Cancel, Context};
use crate::storage::{ArtefactWriter, write_json};
use crate::training::checkpoint::Checkpoints;
use crate::training::{LogEntry, Sequences, TrainingOutcome, TrainingSettings, train};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;
use steep_encoder::{HeadKind, Model};

/// How to fine-tune, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinetuneSettings {
    /// Where the head begins.
    #[serde(default)]
    pub head_init: HeadInit,
    /// Details of the loss.
    pub classification: ClassificationSettings,
    /// Masked language modelling beside the labels, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlm: Option<MultiTaskSettings>,
    /// The training loop.
    pub training: TrainingSettings,
    /// Texts are cut to so many tokens.
    pub max_seq_length: usize,
}

/// Masked language modelling beside the labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MultiTaskSettings {
    /// Its loss counts so many times.
    pub mlm_weight: f64,
    /// How tokens are masked.
    pub masking: MaskingSettings,
}

/// What to fine-tune on.
pub struct FinetuneInput<'a> {
    /// The encoder to start from.
    pub model: &'a ModelFolder,
    /// The tokenised texts.
    pub sequences: &'a dyn Sequences,
    /// Names the texts' and targets' content.
    pub data_key: &'a str,
    /// Targets of all rows.
    pub targets: &'a Targets,
    /// Names of the labels or outputs.
    pub labels: Vec<String>,
    /// How a row becomes its text, for the folder to say so; none where nobody will ask the folder.
    pub text: Option<TextRecipe>,
    /// Rows trained on.
    pub train_rows: Vec<u32>,
    /// Rows that choose the best checkpoint.
    pub validation_rows: Vec<u32>,
}

/// What fine-tuning did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinetuneReport {
    /// Rows trained on.
    pub rows: u64,
    /// Tokens seen, over all epochs.
    pub tokens: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of the run that finished the stage; what an interrupted run did before is not in it.
    pub seconds: f64,
    /// Share of the steps' time in which the encoder waited for rows, in that run.
    #[serde(default)]
    pub waiting_share: f64,
    /// The best validation value.
    pub best_metric: Option<f64>,
    /// And its step.
    pub best_global_step: Option<u64>,
    /// The log.
    pub log_history: Vec<LogEntry>,
}

impl FinetuneReport {
    pub(super) fn of(outcome: TrainingOutcome, rows: usize, seconds: f64) -> Self {
        Self {
            rows: rows as u64,
            tokens: outcome.state.num_input_tokens_seen,
            steps: outcome.state.global_step,
            seconds,
            waiting_share: outcome.waiting_share,
            best_metric: outcome.state.best_metric,
            best_global_step: outcome.state.best_global_step,
            log_history: outcome.state.log_history,
        }
    }
}

/// Fine-tunes and writes the model folder `output`; returns the report of an earlier run if it is
/// there.
pub fn finetune(
    input: &FinetuneInput,
    settings: &FinetuneSettings,
    output: &Path,
    ctx: &Context,
) -> Result<FinetuneReport> {
    let rows = rows_digest(&[&input.train_rows, &input.validation_rows]);
    let labels = input.labels.join("\u{1f}");
    let key = stage_key("finetune", &[&input.model.digest, input.data_key, &rows, &labels], settings);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    if input.train_rows.is_empty() {
        return Err(Error::config("train_file", "has no rows to train on", "give at least one labelled row"));
    }
    let started = Instant::now();
    let mut model = load(input, settings)?;
    if settings.head_init == HeadInit::LinearProbe {
        probe::begin(&mut model, input, settings, ctx)?;
    }
    let work = work_folder(output);
    let limit = settings.training.save_total_limit;
    let checkpoints = Checkpoints::new(work.join("checkpoints"), key.clone(), limit);
    let checkpoints = Some(&checkpoints);
    let outcome = match multi_task(input, settings)? {
        None => train(&mut model, &objective(input, settings), &settings.training, checkpoints, ctx)?,
        Some(objective) => train(&mut model, &objective, &settings.training, checkpoints, ctx)?,
    };
    let report = FinetuneReport::of(outcome, input.train_rows.len(), started.elapsed().as_secs_f64());
    let writer = ArtefactWriter::create(output)?;
    input.model.save_trained(&mut model, writer.path())?;
    save_text_recipe(input, settings.max_seq_length, writer.path())?;
    write_json(&writer.path().join("trainer_log.json"), &report.log_history)?;
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    writer.commit(&StageAbout { stage: "finetune".into(), key, settings, report: value })?;
    remove_work(&work)?;
    Ok(report)
}

/// Writes how a row becomes its text, cut as in training.
pub(super) fn save_text_recipe(input: &FinetuneInput, max_seq_length: usize, folder: &Path) -> Result<()> {
    let Some(text) = &input.text else { return Ok(()) };
    TextRecipe { max_seq_length: Some(max_seq_length), ..text.clone() }.save(folder)
}

/// What is trained for.
pub(crate) fn objective<'a>(input: &FinetuneInput<'a>, settings: &FinetuneSettings) -> Classification<'a> {
    Classification {
        sequences: input.sequences,
        targets: input.targets,
        num_labels: input.labels.len(),
        rows: input.train_rows.clone(),
        validation_rows: input.validation_rows.clone(),
        settings: settings.classification.clone(),
        max_tokens: settings.training.max_tokens_per_micro_batch,
    }
}

/// The encoder with a new head for these labels.
pub(crate) fn load(input: &FinetuneInput, settings: &FinetuneSettings) -> Result<Model> {
    let mut config = input.model.config.clone();
    config.set_labels(input.labels.clone(), input.targets.problem_type());
    let head = HeadKind::SequenceClassification { num_labels: input.labels.len() };
    let (mut model, _) = Model::load_with(&input.model.path, config, head, settings.training.seed)?;
    settings.training.apply_to(&mut model)?;
    if settings.mlm.is_some() {
        model.attach_token_head(&input.model.path, settings.training.seed)?;
    }
    Ok(model)
}

/// What is trained for with masked language modelling beside it, if it is.
fn multi_task<'a>(input: &FinetuneInput<'a>, settings: &FinetuneSettings) -> Result<Option<MultiTask<'a>>> {
    let Some(MultiTaskSettings { mlm_weight, masking }) = settings.mlm else { return Ok(None) };
    let validation = HeldOut { name: "mlm", sequences: input.sequences, rows: input.validation_rows.clone() };
    let masked = MaskedLm {
        sequences: input.sequences,
        rows: input.train_rows.clone(),
        masking,
        tokens: token_range(input.model, &masking)?,
        seed: settings.training.seed,
        held_out: vec![validation],
        max_tokens: settings.training.max_tokens_per_micro_batch,
    };
    Ok(Some(MultiTask { classification: objective(input, settings), masked, mlm_weight }))
}

/// What fine-tuning will take.
pub fn estimate_finetune(
    input: &FinetuneInput,
    settings: &FinetuneSettings,
    cancel: &Cancel,
) -> Result<Estimate> {
    let (mut model, training) = (load(input, settings)?, &settings.training);
    let amount = TrainingAmount {
        rows: input.train_rows.len() as u64,
        evaluation_rows: input.validation_rows.len() as u64,
    };
    match multi_task(input, settings)? {
        None => estimate_training(&mut model, &objective(input, settings), training, amount, cancel),
        Some(objective) => estimate_training(&mut model, &objective, training, amount, cancel),
    }
}
