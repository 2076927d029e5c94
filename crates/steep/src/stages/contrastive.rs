//! Training an encoder's vectors on labels, and then a classifier on the vectors (SetFit, Tunstall et al. 2022).

use super::adapt::{remove_work, rows_digest, work_folder};
use super::classify::{ClassifySettings, EmbeddingRecipe, classifier_of_vectors, write_classifier_folder};
use super::finetune::{FinetuneInput, FinetuneReport, save_text_recipe};
use super::key::{StageAbout, finished, stage_key};
use super::model_folder::{ADAPTER_FOLDER, ModelFolder};
use crate::config::{Estimate, TrainingAmount, apply_dtype, estimate_training};
use crate::data::Labels;
use crate::error::{Error, Result};
use crate::features::embed::Embedder;
use crate::features::matrix::DenseMatrix;
use crate::objectives::{Embedding, EmbeddingSettings, Targets, VectorForm};
use crate::progress::{Cancel, Context};
use crate::storage::{ArtefactWriter, write_json};
use crate::training::checkpoint::Checkpoints;
use crate::training::{TrainingSettings, train};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use steep_encoder::layers::is_trainable;
use steep_encoder::{HeadKind, Model};

/// How to train vectors, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContrastiveSettings {
    /// The loss.
    pub embedding: EmbeddingSettings,
    /// The training loop.
    pub training: TrainingSettings,
    /// Texts are cut to so many tokens.
    pub max_seq_length: usize,
}

/// What training vectors and a classifier on them did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContrastiveReport {
    /// The vectors' training.
    pub training: FinetuneReport,
    /// The classifier's metrics on `validation` and `test` rows.
    pub metrics: BTreeMap<String, BTreeMap<String, f64>>,
    /// Seconds of embedding and of the classifier.
    pub classifier_seconds: f64,
}

/// Trains the vectors and writes the encoder's folder `output`, which has no head; returns the report of an earlier run
/// if it is there.
///
/// # Errors
/// Labels or a folder that the loss is not for, no rows, a stop on request (after a checkpoint).
pub fn contrastive(
    input: &FinetuneInput,
    settings: &ContrastiveSettings,
    output: &Path,
    ctx: &Context,
) -> Result<FinetuneReport> {
    let key = key("contrastive", input, &[], settings);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    let started = Instant::now();
    let (mut model, objective) = begin(input, settings)?;
    let work = work_folder(output);
    let limit = settings.training.save_total_limit;
    let checkpoints = Checkpoints::new(work.join("checkpoints"), key.clone(), limit);
    let outcome = train(&mut model, &objective, &settings.training, Some(&checkpoints), ctx)?;
    let report = FinetuneReport::of(outcome, input.train_rows.len(), started.elapsed().as_secs_f64());
    let writer = ArtefactWriter::create(output)?;
    input.model.save_trained(&mut model, writer.path())?;
    write_json(&writer.path().join("trainer_log.json"), &report.log_history)?;
    commit(writer, "contrastive", key, settings, &report)?;
    remove_work(&work)?;
    Ok(report)
}

/// The same, and a classifier on the vectors: writes a folder `output` that takes texts, and is one of
/// sentence-transformers too.
pub fn contrastive_classifier(
    input: &FinetuneInput,
    test_rows: &[u32],
    settings: &ContrastiveSettings,
    classifier: &ClassifySettings,
    output: &Path,
    ctx: &Context,
) -> Result<ContrastiveReport> {
    let both = (settings, classifier);
    let key = key("contrastive classifier", input, test_rows, &both);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    let encoder = work_folder(output).join("encoder");
    let training = contrastive(input, settings, &encoder, ctx)?;
    let started = Instant::now();
    let model = ModelFolder::open(&encoder)?;
    let recipe = EmbeddingRecipe {
        embed: model.embed_settings(settings.training.dtype),
        max_seq_length: settings.max_seq_length,
        prompt: None,
    };
    let parts = [&input.train_rows, &input.validation_rows, test_rows];
    let vectors = vectors(&model, &recipe, input, &parts.concat(), ctx)?;
    let (head, metrics) = classifier_of_vectors(
        vectors,
        labels(input, &parts.concat()),
        parts.map(<[u32]>::len),
        classifier,
        ctx,
    )?;
    let report = ContrastiveReport { training, metrics, classifier_seconds: started.elapsed().as_secs_f64() };
    let writer = ArtefactWriter::create(output)?;
    write_classifier_folder(&model, &head, None, &recipe, writer.path())?;
    save_text_recipe(input, settings.max_seq_length, writer.path())?;
    write_json(&writer.path().join("trainer_log.json"), &report.training.log_history)?;
    copy_adapter(&encoder, writer.path())?;
    commit(writer, "contrastive classifier", key, &both, &report)?;
    remove_work(&work_folder(output))?;
    Ok(report)
}

/// What training the vectors will take.
pub fn estimate_contrastive(
    input: &FinetuneInput,
    settings: &ContrastiveSettings,
    cancel: &Cancel,
) -> Result<Estimate> {
    let (mut model, objective) = begin(input, settings)?;
    // Each row brings its partner along.
    let mut estimate = estimate_training(
        &mut model,
        &objective,
        &settings.training,
        TrainingAmount {
            rows: input.train_rows.len() as u64,
            evaluation_rows: 2 * input.validation_rows.len() as u64,
        },
        cancel,
    )?;
    estimate.tokens *= 2;
    estimate.tokens_per_second *= 2.0;
    Ok(estimate)
}

fn key(stage: &str, input: &FinetuneInput, test_rows: &[u32], settings: &impl Serialize) -> String {
    let rows = rows_digest(&[&input.train_rows, &input.validation_rows, test_rows]);
    let labels = input.labels.join("\u{1f}");
    stage_key(stage, &[&input.model.digest, input.data_key, &rows, &labels], settings)
}

fn commit(
    writer: ArtefactWriter,
    stage: &str,
    key: String,
    settings: &impl Serialize,
    report: &impl Serialize,
) -> Result<()> {
    let [settings, report] = [serde_json::to_value(settings), serde_json::to_value(report)]
        .map(|value| value.expect("settings and reports are plain data"));
    writer.commit(&StageAbout { stage: stage.into(), key, settings, report }).map(|_| ())
}

/// The encoder and what it is trained for.
fn begin<'a>(input: &FinetuneInput<'a>, settings: &ContrastiveSettings) -> Result<(Model, Embedding<'a>)> {
    settings.embedding.loss.check(input.targets)?;
    if input.train_rows.len() < 2 {
        let hint = "give at least two labelled rows";
        return Err(Error::config("train_file", "has too few rows to train on", hint));
    }
    let form = form(input.model)?;
    let width = input.model.config.hidden_size * form.pooling.len();
    if let Some(dim) = settings.embedding.matryoshka_dims.iter().find(|dim| **dim > width) {
        let problem = format!("{dim} is more than the {width} dimensions of this encoder's vectors");
        return Err(Error::config("matryoshka_dims", problem, format!("give numbers up to {width}")));
    }
    let seed = settings.training.seed;
    let (mut model, _) = Model::load(&input.model.path, HeadKind::None, seed)?;
    settings.training.apply_to(&mut model)?;
    let rows: [&[u32]; 2] = [&input.train_rows, &input.validation_rows];
    let embedding = settings.embedding.clone();
    Ok((model, Embedding::new(input.sequences, input.targets, rows, embedding, form, seed)))
}

/// The folder's way to vectors, if it can be trained through.
fn form(model: &ModelFolder) -> Result<VectorForm> {
    let problem = |what: &str| {
        Error::model(
            model.path.display().to_string(),
            format!("{what}, through which this objective does not train"),
            "choose a folder with mean, cls or last-token pooling alone, or --objective classification",
        )
    };
    let mut pooling = model.pooling();
    pooling.sort();
    pooling.dedup();
    if !pooling.iter().all(|mode| is_trainable(*mode)) {
        return Err(problem("the folder pools by max"));
    }
    if model.modules.as_ref().is_some_and(|modules| !modules.dense.is_empty()) {
        return Err(problem("the folder has dense layers behind the pooling"));
    }
    let normalize = model.modules.as_ref().is_some_and(|modules| modules.normalize);
    Ok(VectorForm { pooling, normalize })
}

fn vectors(
    model: &ModelFolder,
    recipe: &EmbeddingRecipe,
    input: &FinetuneInput,
    rows: &[u32],
    ctx: &Context,
) -> Result<DenseMatrix> {
    let (mut weights, _) = Model::load(&model.path, HeadKind::None, 0)?;
    apply_dtype(recipe.embed.dtype, &mut weights);
    let embedder = Embedder::new(&weights, &[], recipe.embed.clone())?;
    ctx.progress.start("embedding", Some(rows.len() as u64), "texts");
    let vectors = embedder.embed(input.sequences, rows, 0, ctx)?;
    ctx.progress.finish();
    Ok(vectors)
}

/// The labels of some rows, in their order.
fn labels(input: &FinetuneInput, rows: &[u32]) -> Labels {
    let rows = rows.iter().map(|&row| row as usize);
    match input.targets {
        Targets::Classes(classes) => {
            Labels::Single { names: input.labels.clone(), ids: rows.map(|row| classes[row]).collect() }
        }
        Targets::Numbers(numbers) => Labels::Numbers(rows.map(|row| numbers[row]).collect()),
        Targets::Flags(_) => unreachable!("the targets were checked against the loss"),
    }
}

fn copy_adapter(encoder: &Path, folder: &Path) -> Result<()> {
    let (from, to) = (encoder.join(ADAPTER_FOLDER), folder.join(ADAPTER_FOLDER));
    if !from.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(&to).map_err(Error::io("create", &to))?;
    for entry in std::fs::read_dir(&from).map_err(Error::io("read", &from))? {
        let file = entry.map_err(Error::io("read", &from))?;
        let target = to.join(file.file_name());
        std::fs::copy(file.path(), &target).map_err(Error::io("write", &target))?;
    }
    Ok(())
}
