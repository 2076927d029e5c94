//! Continued pretraining on unlabelled texts.

use super::key::{StageAbout, finished, stage_key};
use super::model_folder::ModelFolder;
use crate::error::{Error, Result};
use crate::objectives::{HeldOut, MaskedLm, MaskingSettings, TokenRange};
use crate::progress::Context;
use crate::storage::{ArtefactWriter, write_json};
use crate::text::Encodings;
use crate::training::checkpoint::Checkpoints;
use crate::training::{LogEntry, Sequences, TrainingSettings, train};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;
use steep_encoder::{HeadKind, LoadReport, Model};

/// How to adapt, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptSettings {
    /// How tokens are masked.
    pub masking: MaskingSettings,
    /// The training loop.
    pub training: TrainingSettings,
    /// Texts are cut to so many tokens.
    pub max_seq_length: usize,
}

/// What to adapt to.
pub struct AdaptInput<'a> {
    /// The encoder to start from.
    pub model: &'a ModelFolder,
    /// A folder to take the masked-LM head from where `model` has none, such as the one that
    /// `model` was fine-tuned from.
    pub head_source: Option<&'a Path>,
    /// The tokenised corpus.
    pub sequences: &'a dyn Sequences,
    /// Names the corpus' content.
    pub corpus_key: &'a str,
    /// Rows trained on.
    pub train_rows: Vec<u32>,
    /// Rows whose loss is followed.
    pub held_out_rows: Vec<u32>,
    /// General text, to see what is forgotten; none to leave that out.
    pub general: Option<&'a Encodings>,
}

/// What adapting did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptReport {
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
    /// Parameters that had to be initialised because the folder lacks them.
    pub initialised: Vec<String>,
    /// The log: losses, held-out losses, perplexities.
    pub log_history: Vec<LogEntry>,
}

impl AdaptReport {
    /// A held-out measure before the first step and at the end.
    pub fn before_and_after(&self, name: &str) -> Option<(f64, f64)> {
        let mut values = self.log_history.iter().filter_map(|entry| entry.values.get(name));
        let first = *values.next()?;
        Some((first, *values.next_back().unwrap_or(&first)))
    }
}

/// Adapts and writes the model folder `output`; returns the report of an earlier run if it is there.
///
/// # Errors
/// A tokenizer without a mask token, too few rows, a stop on request (after a checkpoint).
pub fn adapt(
    input: &AdaptInput,
    settings: &AdaptSettings,
    output: &Path,
    ctx: &Context,
) -> Result<AdaptReport> {
    let key = adapt_key(input, settings);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    if input.train_rows.is_empty() {
        return Err(Error::config("train_file", "has no texts to adapt to", "give at least one text"));
    }
    let started = Instant::now();
    let (mut model, load_report) = load(input, &settings.training)?;
    let objective = objective(input, settings)?;
    let work = work_folder(output);
    let limit = settings.training.save_total_limit;
    let checkpoints = Checkpoints::new(work.join("checkpoints"), key.clone(), limit);
    let outcome = train(&mut model, &objective, &settings.training, Some(&checkpoints), ctx)?;
    let report = AdaptReport {
        rows: input.train_rows.len() as u64,
        tokens: outcome.state.num_input_tokens_seen,
        steps: outcome.state.global_step,
        seconds: started.elapsed().as_secs_f64(),
        waiting_share: outcome.waiting_share,
        initialised: load_report.initialised,
        log_history: outcome.state.log_history,
    };
    let writer = ArtefactWriter::create(output)?;
    input.model.save_with(&model, writer.path())?;
    write_json(&writer.path().join("trainer_log.json"), &report.log_history)?;
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    writer.commit(&StageAbout { stage: "adapt".into(), key, settings, report: value })?;
    remove_work(&work)?;
    Ok(report)
}

fn adapt_key(input: &AdaptInput, settings: &AdaptSettings) -> String {
    let rows = rows_digest(&[&input.train_rows, &input.held_out_rows]);
    let general = input.general.map_or_else(String::new, |general| rows_digest(&[&general.input_ids]));
    stage_key("adapt", &[&input.model.digest, input.corpus_key, &rows, &general], settings)
}

/// Names lists of row numbers.
pub(super) fn rows_digest(lists: &[&[u32]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for list in lists {
        hasher.update(&(list.len() as u64).to_le_bytes());
        for row in *list {
            hasher.update(&row.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The model with its masked-LM head.
pub(crate) fn load(input: &AdaptInput, settings: &TrainingSettings) -> Result<(Model, LoadReport)> {
    let seed = settings.seed;
    let (mut model, mut report) = Model::load(&input.model.path, HeadKind::MaskedLm, seed)?;
    if let Some(source) = input.head_source
        && !report.initialised.is_empty()
    {
        let (donor, donor_report) = Model::load(source, HeadKind::MaskedLm, seed)?;
        for parameter in &mut model.parameters.list {
            let name = &parameter.spec.name;
            if report.initialised.contains(name)
                && let Some(found) = donor.parameters.get(name)
            {
                parameter.set_value(found.value.clone());
            }
        }
        report.initialised = donor_report.initialised;
    }
    settings.apply_to(&mut model);
    Ok((model, report))
}

/// What is trained for.
pub(crate) fn objective<'a>(input: &AdaptInput<'a>, settings: &AdaptSettings) -> Result<MaskedLm<'a>> {
    let mut held_out =
        vec![HeldOut { name: "", sequences: input.sequences, rows: input.held_out_rows.clone() }];
    if let Some(general) = input.general {
        let rows = (0..general.len() as u32).collect();
        held_out.push(HeldOut { name: "general", sequences: general, rows });
    }
    Ok(MaskedLm {
        sequences: input.sequences,
        rows: input.train_rows.clone(),
        masking: settings.masking,
        tokens: token_range(input.model)?,
        seed: settings.training.seed,
        held_out,
        max_tokens: settings.training.max_tokens_per_micro_batch,
    })
}

fn token_range(model: &ModelFolder) -> Result<TokenRange> {
    let tokenizer = &model.tokenizer;
    let mask = tokenizer.special().mask.ok_or_else(|| {
        Error::model(
            model.path.display().to_string(),
            "the tokenizer has no mask token, which masked language modelling needs",
            "choose an encoder that was pretrained with masked language modelling",
        )
    })?;
    let vocab_size = tokenizer.vocab_size() as u32;
    let special_ids = (0..vocab_size).filter(|&id| tokenizer.is_special(id)).collect();
    Ok(TokenRange { vocab_size, mask_token_id: mask, special_ids })
}

/// Where checkpoints lie while a stage is under way: beside its output.
pub(super) fn work_folder(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".work");
    output.with_file_name(name)
}

pub(super) fn remove_work(work: &Path) -> Result<()> {
    if work.exists() {
        std::fs::remove_dir_all(work).map_err(Error::io("remove", work))?;
    }
    Ok(())
}
