//! Continued pretraining on unlabelled texts.

use super::key::{StageAbout, finished, stage_key};
use super::model_folder::ModelFolder;
use crate::error::{Error, Result};
use crate::objectives::{
    AdaptObjective, Adaptation, CausalLm, ContrastiveTension, Denoising, Electra, EncoderProbe, HeldOut,
    MaskedLm, MaskingSettings, MaskingUnit, NoiseTokens, Probed, Seq2Seq, SimCse, TokenRange, Tsdae, Words,
    full_stops, generator_shape,
};
use crate::progress::Context;
use crate::storage::{ArtefactWriter, write_json};
use crate::text::Encodings;
use crate::training::checkpoint::Checkpoints;
use crate::training::{LogEntry, Sequences, TrainingSettings, train};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;
use steep_encoder::layers::is_trainable;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Config, HeadKind, LoadReport, Model};

/// How to adapt, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptSettings {
    /// What is trained for.
    #[serde(default, skip_serializing_if = "AdaptObjective::is_mlm")]
    pub objective: AdaptObjective,
    /// How tokens are masked, in masked language modelling.
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
    /// A folder to take the head from where `model` has none, such as the one that
    /// `model` was fine-tuned from.
    pub head_source: Option<&'a Path>,
    /// The tokenised corpus.
    pub sequences: &'a dyn Sequences,
    /// What is to be written after each of them, for sequence to sequence.
    pub targets: Option<&'a dyn Sequences>,
    /// Names the corpus' content, targets included.
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
    adapt_probed(input, settings, None, output, ctx)
}

/// The same, with a look at the encoder at every evaluation; it changes no weight, and its time is not counted.
pub(crate) fn adapt_probed(
    input: &AdaptInput,
    settings: &AdaptSettings,
    probe: Option<&dyn EncoderProbe>,
    output: &Path,
    ctx: &Context,
) -> Result<AdaptReport> {
    let mut key = adapt_key(input, settings);
    if let Some(probe) = probe {
        key = stage_key("probed", &[&key, &probe.key()], &());
    }
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    if input.train_rows.is_empty() {
        return Err(Error::config("train_file", "has no texts to adapt to", "give at least one text"));
    }
    let started = Instant::now();
    let (mut model, load_report) = load(input, settings)?;
    let objective = Probed::new(objective(input, settings)?, probe);
    let work = work_folder(output);
    let limit = settings.training.save_total_limit;
    let checkpoints = Checkpoints::new(work.join("checkpoints"), key.clone(), limit);
    let outcome = train(&mut model, &objective, &settings.training, Some(&checkpoints), ctx)?;
    let report = AdaptReport {
        rows: input.train_rows.len() as u64,
        tokens: outcome.state.num_input_tokens_seen,
        steps: outcome.state.global_step,
        seconds: started.elapsed().as_secs_f64() - objective.probe_seconds(),
        waiting_share: outcome.waiting_share,
        initialised: load_report.initialised,
        log_history: outcome.state.log_history,
    };
    let writer = ArtefactWriter::create(output)?;
    input.model.merge_adapter(&mut model, writer.path())?;
    model = match model.head_kind() {
        HeadKind::Autoencoder => model.without_head(),
        HeadKind::ReplacedTokens { .. } => model.without_generator(),
        _ => model,
    };
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
    let mut inputs = vec![input.model.digest.as_str(), input.corpus_key, &rows, &general];
    let generator = match settings.objective {
        AdaptObjective::Electra { .. } => input.head_source.map(|folder| folder.display().to_string()),
        _ => None,
    };
    inputs.extend(generator.as_deref());
    stage_key("adapt", &inputs, settings)
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

/// The model with the head, or the second encoder, that the objective needs.
pub fn load(input: &AdaptInput, settings: &AdaptSettings) -> Result<(Model, LoadReport)> {
    let (head_kind, seed) = (head_kind(input, settings)?, settings.training.seed);
    let (mut model, mut report) = Model::load(&input.model.path, head_kind, seed)?;
    if let (Some(source), HeadKind::ReplacedTokens { .. }) = (input.head_source, head_kind) {
        take_generator(&mut model, source, &mut report)?;
    } else if let Some(source) = input.head_source
        && !report.initialised.is_empty()
    {
        let (donor, donor_report) = Model::load(source, head_kind, seed)?;
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
    if let AdaptObjective::ContrastiveTension { .. } = settings.objective {
        model.attach_twin();
    }
    settings.training.apply_to(&mut model)?;
    Ok((model, report))
}

/// The head that the encoder trains with; a generator that is taken from a folder has its size.
fn head_kind(input: &AdaptInput, settings: &AdaptSettings) -> Result<HeadKind> {
    let config = &input.model.config;
    match (settings.objective, input.head_source) {
        (AdaptObjective::Electra { .. }, Some(source)) => {
            let config = Config::load(source)?;
            config.check_head(source, HeadKind::ReplacedTokens { generator: None })?;
            Ok(HeadKind::ReplacedTokens { generator: Some(generator_shape(&config, 1.0)) })
        }
        (objective, _) => Ok(objective.head_kind(config)),
    }
}

/// The generator of a folder with an `ElectraForMaskedLM`; the tables that both halves share stay the encoder's.
fn take_generator(model: &mut Model, source: &Path, report: &mut LoadReport) -> Result<()> {
    let (donor, donor_report) = Model::load(source, HeadKind::MaskedLm, 0)?;
    for parameter in &mut model.parameters.list {
        let Some(name) = parameter.spec.name.strip_prefix("generator.") else { continue };
        let is_head = name.starts_with("generator_");
        let name = if is_head { name.to_owned() } else { format!("electra.{name}") };
        let found = donor.parameters.get(&name).filter(|found| found.spec.shape == parameter.spec.shape);
        let found = found.ok_or_else(|| {
            let problem = format!("is no generator for this encoder: {name} is missing or of another shape");
            let hint = "name the generator that the encoder was pretrained with, or leave the key out";
            Error::model(source.display().to_string(), problem, hint)
        })?;
        parameter.set_value(found.value.clone());
        if !donor_report.initialised.contains(&name) {
            report.initialised.retain(|initialised| *initialised != parameter.spec.name);
        }
    }
    Ok(())
}

/// What is trained for.
pub fn objective<'a>(input: &AdaptInput<'a>, settings: &AdaptSettings) -> Result<Adaptation<'a>> {
    let (sequences, rows) = (input.sequences, input.train_rows.clone());
    let (seed, max_tokens) = (settings.training.seed, settings.training.max_tokens_per_micro_batch);
    let held_out = held_out(input);
    Ok(match settings.objective {
        AdaptObjective::Mlm => Adaptation::MaskedLm(MaskedLm {
            sequences,
            rows,
            masking: settings.masking,
            tokens: token_range(input.model, &settings.masking)?,
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Clm => Adaptation::CausalLm(CausalLm { sequences, rows, held_out, max_tokens }),
        AdaptObjective::Simcse { temperature } => {
            check_dropout(input.model)?;
            let pooling = pooling(input.model)?;
            Adaptation::SimCse(SimCse { sequences, rows, pooling, temperature, seed, held_out })
        }
        AdaptObjective::ContrastiveTension { pos_neg_ratio } => {
            let pooling = pooling(input.model)?;
            let tension = ContrastiveTension { sequences, rows, pooling, pos_neg_ratio, held_out };
            Adaptation::ContrastiveTension(tension)
        }
        AdaptObjective::Tsdae { deletion_ratio } => Adaptation::Tsdae(Tsdae {
            sequences,
            rows,
            pooling: pooling(input.model)?,
            deletion_ratio,
            special_ids: special_ids(input.model),
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Denoising(noise) => Adaptation::Denoising(Denoising {
            sequences,
            rows,
            noise,
            tokens: NoiseTokens {
                mask_token_id: mask_token(input.model, "denoising")?,
                special_ids: special_ids(input.model),
                full_stops: full_stops(&input.model.tokenizer),
            },
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Electra { discriminator_weight, .. } => Adaptation::Electra(Electra {
            sequences,
            rows,
            masking: settings.masking,
            tokens: token_range(input.model, &settings.masking)?,
            discriminator_weight,
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Seq2seq { label_smoothing } => {
            let targets = input.targets.ok_or_else(|| {
                Error::config("target_column_name", "is needed", "give the column of the texts to write")
            })?;
            let sources = sequences;
            Adaptation::Seq2Seq(Seq2Seq { sources, targets, rows, label_smoothing, held_out, max_tokens })
        }
    })
}

fn held_out<'a>(input: &AdaptInput<'a>) -> Vec<HeldOut<'a>> {
    let mut sets = vec![HeldOut { name: "", sequences: input.sequences, rows: input.held_out_rows.clone() }];
    if let Some(general) = input.general {
        let rows = (0..general.len() as u32).collect();
        sets.push(HeldOut { name: "general", sequences: general, rows });
    }
    sets
}

/// The folder's way to one vector a text.
fn pooling(model: &ModelFolder) -> Result<PoolingMode> {
    match model.pooling()[..] {
        [mode] if is_trainable(mode) => Ok(mode),
        _ => Err(Error::model(
            model.path.display().to_string(),
            "the folder pools by max, or in several ways at once, which this objective does not",
            "choose a folder with one other pooling, or --objective mlm",
        )),
    }
}

/// Without dropout both views of a text were the same.
fn check_dropout(model: &ModelFolder) -> Result<()> {
    let config = &model.config;
    if config.hidden_dropout_prob > 0.0 || config.attention_probs_dropout_prob > 0.0 {
        return Ok(());
    }
    Err(Error::model(
        model.path.display().to_string(),
        "config.json switches dropout off, and simcse tells two views of a text apart by dropout alone",
        "set the dropout of config.json to 0.1, or choose --objective tsdae",
    ))
}

fn special_ids(model: &ModelFolder) -> BTreeSet<u32> {
    (0..=model.tokenizer.largest_id()).filter(|&id| model.tokenizer.is_special(id)).collect()
}

fn mask_token(model: &ModelFolder, purpose: &str) -> Result<u32> {
    model.tokenizer.special().mask.ok_or_else(|| {
        Error::model(
            model.path.display().to_string(),
            format!("the tokenizer has no mask token, which {purpose} needs"),
            format!("choose a model that was pretrained with {purpose}"),
        )
    })
}

pub(super) fn token_range(model: &ModelFolder, masking: &MaskingSettings) -> Result<TokenRange> {
    let tokenizer = &model.tokenizer;
    Ok(TokenRange {
        vocab_size: tokenizer.vocab_size() as u32,
        mask_token_id: mask_token(model, "masked language modelling")?,
        special_ids: special_ids(model),
        words: (masking.unit != MaskingUnit::Token).then(|| Words::of(tokenizer)),
    })
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
