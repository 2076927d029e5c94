//! Training one network over texts and the columns beside them, end to end.
//!
//! What is left is a Hugging Face folder with the encoder, and in `head/` the head over text and columns with the
//! preparation of the columns, which was fitted on the training rows alone. [`super::predict()`] reads raw rows with it.

mod columns;
mod folder;

pub use columns::{RawColumns, read_columns};
pub(super) use folder::{JOINT_FILE, JointNetwork};

use super::adapt::{remove_work, rows_digest, work_folder};
use super::finetune::{FinetuneInput, FinetuneReport, objective};
use super::key::{StageAbout, finished, stage_key};
use super::prepared::PreparedFeatures;
use crate::config::{Estimate, TrainingAmount, estimate_training};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::features::preparation::{Preparation, PreparedLayout, RawRows};
use crate::objectives::Joint;
use crate::progress::{Cancel, Context};
use crate::stages::{FinetuneSettings, ModelFolder};
use crate::storage::{ArtefactWriter, write_json};
use crate::training::checkpoint::Checkpoints;
use crate::training::{Objective, train};
use folder::StoredNetwork;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use steep_encoder::layers::is_trainable;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{HeadKind, Model, TabularSettings, TabularShape};

/// How to train, with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JointSettings {
    /// Loss, training loop and length, as for texts alone.
    pub finetune: FinetuneSettings,
    /// Which columns are read, and how they are prepared.
    pub features: PreparedFeatures,
    /// The head over text and columns.
    pub tabular: TabularSettings,
    /// The largest learning rate of that head, which is new where the encoder is not.
    pub tabular_learning_rate: f64,
    /// Share of the rows that are shown without their text or without their columns in training.
    pub modality_dropout: f64,
}

/// What to train on.
pub struct JointInput<'a> {
    /// Texts, targets and rows, as for texts alone.
    pub finetune: FinetuneInput<'a>,
    /// The columns beside the texts, of the same rows.
    pub columns: &'a RawColumns,
    /// The columns of the text, which a prediction reads again.
    pub text_columns: Vec<String>,
}

/// Trains and writes the folder `output`; returns the report of an earlier run if it is there.
///
/// # Errors
/// No rows to train on, columns of other rows, no column that can be learned from, an encoder that is pooled by maxima.
pub fn joint(
    input: &JointInput,
    settings: &JointSettings,
    output: &Path,
    ctx: &Context,
) -> Result<FinetuneReport> {
    let (texts, columns) = (&input.finetune, input.columns);
    let rows = rows_digest(&[&texts.train_rows, &texts.validation_rows]);
    let labels = texts.labels.join("\u{1f}");
    let named = input.text_columns.join("\u{1f}");
    let inputs = [&texts.model.digest, texts.data_key, &columns.key, &rows, &labels, &named];
    let key = stage_key("joint", &inputs, settings);
    if let Some(report) = finished(output, &key)? {
        return Ok(report);
    }
    let started = Instant::now();
    let mut network = Network::begin(input, settings)?;
    let work = work_folder(output);
    let limit = settings.finetune.training.save_total_limit;
    let checkpoints = Checkpoints::new(work.join("checkpoints"), key.clone(), limit);
    let rows = Rows { train: &texts.train_rows, evaluated: &texts.validation_rows };
    let objective = objective_of(input, settings, &network.columns, network.pooling.clone(), &rows);
    let training = &settings.finetune.training;
    let outcome = train(&mut network.model, &objective, training, Some(&checkpoints), ctx)?;
    let seconds = started.elapsed().as_secs_f64();
    let report = FinetuneReport::of(outcome, texts.train_rows.len(), seconds);
    let writer = ArtefactWriter::create(output)?;
    network.save(input, settings, writer.path())?;
    write_json(&writer.path().join("trainer_log.json"), &report.log_history)?;
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let value = serde_json::to_value(&report).expect("a report is plain data");
    writer.commit(&StageAbout { stage: "joint".into(), key, settings, report: value })?;
    remove_work(&work)?;
    Ok(report)
}

/// The held-out measures of a trained folder on some rows of the input.
///
/// # Errors
/// A folder that [`joint`] did not write; rows without the columns that it takes.
pub fn evaluate_joint(
    input: &JointInput,
    settings: &JointSettings,
    folder: &Path,
    rows: &[u32],
    ctx: &Context,
) -> Result<BTreeMap<String, f64>> {
    let opened = ModelFolder::open(folder)?;
    let network = JointNetwork::open(&opened, settings.finetune.training.dtype)?;
    let columns = network.columns(&input.columns.raw.select_rows(rows), &opened.tokenizer)?;
    // Rows that are not evaluated are not prepared: theirs stay empty.
    let width = columns.columns();
    let count = input.finetune.sequences.len();
    let mut all = DenseMatrix::new(count, width, vec![0.0; count * width])?;
    for (&row, values) in rows.iter().zip(columns.values().chunks_exact(width.max(1))) {
        all.values_mut()[row as usize * width..(row as usize + 1) * width].copy_from_slice(values);
    }
    let rows = Rows { train: &[], evaluated: rows };
    objective_of(input, settings, &all, network.pooling().to_vec(), &rows).evaluate(&network.model, ctx)
}

/// What training would take, from a few of its steps; nothing is written.
///
/// # Errors
/// What [`joint`] finds before it trains.
pub fn estimate_joint(input: &JointInput, settings: &JointSettings, cancel: &Cancel) -> Result<Estimate> {
    let mut network = Network::begin(input, settings)?;
    let texts = &input.finetune;
    let amount = TrainingAmount {
        rows: texts.train_rows.len() as u64,
        evaluation_rows: texts.validation_rows.len() as u64,
    };
    let rows = Rows { train: &texts.train_rows, evaluated: &[] };
    let objective = objective_of(input, settings, &network.columns, network.pooling.clone(), &rows);
    estimate_training(&mut network.model, &objective, &settings.finetune.training, amount, cancel)
}

/// Which rows an objective is over.
struct Rows<'a> {
    train: &'a [u32],
    evaluated: &'a [u32],
}

/// The network before and while it is trained.
struct Network {
    /// The encoder with its head over columns.
    model: Model,
    preparation: Preparation,
    pooling: Vec<PoolingMode>,
    /// The columns of all rows as the head takes them.
    columns: DenseMatrix,
}

impl Network {
    /// Fits the preparation on the training rows and puts a new head beside the encoder.
    fn begin(input: &JointInput, settings: &JointSettings) -> Result<Self> {
        let texts = &input.finetune;
        if texts.train_rows.is_empty() {
            let hint = "give at least one labelled row";
            return Err(Error::config("train_file", "has no rows to train on", hint));
        }
        check_rows(&input.columns.raw, texts.sequences.len())?;
        let pooling = pooling(texts.model)?;
        let (preparation, prepared) = Preparation::fit(
            input.columns.inputs.clone(),
            &input.columns.raw,
            &texts.train_rows,
            None,
            settings.features.engineered.as_ref(),
            &settings.features.preparation,
            Some(&texts.model.tokenizer),
        )?;
        let layout = preparation.layout()?;
        let columns = layout.arranged(&prepared);
        let training = &settings.finetune.training;
        let (mut model, _) = Model::load(&texts.model.path, HeadKind::None, training.seed)?;
        training.apply_to(&mut model)?;
        let shape = shape(&layout, model.config.hidden_size * pooling.len(), texts.labels.len());
        model.attach_tabular(&shape, &settings.tabular, training.seed);
        let scale = (settings.tabular_learning_rate / training.learning_rate) as f32;
        model.tabular_parameters_mut().iter_mut().for_each(|parameter| parameter.learning_rate_scale = scale);
        Ok(Self { model, preparation, pooling, columns })
    }

    fn save(&mut self, input: &JointInput, settings: &JointSettings, folder: &Path) -> Result<()> {
        input.finetune.model.save_trained(&mut self.model, folder)?;
        let stored = StoredNetwork {
            tabular: settings.tabular,
            shape: self.model.tabular().expect("the head was attached").shape().clone(),
            labels: input.finetune.labels.clone(),
            task: folder::task(input.finetune.targets),
            pooling: self.pooling.clone(),
            max_seq_length: settings.finetune.max_seq_length,
            text_columns: input.text_columns.clone(),
            text_column_delimiter: settings.features.text_column_delimiter.clone(),
            dtype: settings.finetune.training.dtype,
        };
        stored.save(&self.model, &self.preparation, folder)
    }
}

fn objective_of<'a>(
    input: &JointInput<'a>,
    settings: &JointSettings,
    columns: &'a DenseMatrix,
    pooling: Vec<PoolingMode>,
    rows: &Rows<'_>,
) -> Joint<'a> {
    let mut classification = objective(&input.finetune, &settings.finetune);
    classification.rows = rows.train.to_vec();
    classification.validation_rows = rows.evaluated.to_vec();
    let seed = settings.finetune.training.seed;
    Joint { classification, columns, pooling, modality_dropout: settings.modality_dropout, seed }
}

fn shape(layout: &PreparedLayout, text: usize, outputs: usize) -> TabularShape {
    TabularShape {
        text,
        numerical: layout.numerical(),
        indicators: layout.indicators(),
        categories: layout.categories().to_vec(),
        outputs,
    }
}

/// How the folder pools, if a network can be trained through that.
fn pooling(model: &ModelFolder) -> Result<Vec<PoolingMode>> {
    let mut modes = match &model.modules {
        Some(modules) => modules.pooling.clone(),
        None => vec![PoolingMode::Mean],
    };
    modes.sort();
    modes.dedup();
    match modes.iter().find(|mode| !is_trainable(**mode)) {
        None => Ok(modes),
        Some(mode) => Err(Error::model(
            model.path.display().to_string(),
            format!("is pooled by '{}', through which no network is trained here", mode.name()),
            "take a folder that is pooled by mean or cls",
        )),
    }
}

fn check_rows(raw: &RawRows, texts: usize) -> Result<()> {
    let rows = raw.table.rows();
    if rows == texts {
        return Ok(());
    }
    let problem = format!("there are {rows} rows of columns and {texts} texts");
    Err(Error::config("columns", problem, "give columns of the same rows in the same order"))
}

#[cfg(test)]
mod tests;
