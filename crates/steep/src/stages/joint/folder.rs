//! The head over text and columns on the disk, beside the preparation of the columns.

use crate::config::{Dtype, apply_dtype};
use crate::data::Task;
use crate::error::{Error, Result};
use crate::features::embed::{EmbedSettings, FeaturesFrom};
use crate::features::matrix::DenseMatrix;
use crate::features::preparation::{
    PREPARATION_FILE, PREPARATION_TENSORS, Preparation, PreparedLayout, RawRows,
};
use crate::learners::tensors::{TensorReader, TensorWriter};
use crate::objectives::Targets;
use crate::stages::classify::HEAD_FOLDER;
use crate::stages::model_folder::ModelFolder;
use crate::storage::{digest_file, read_json, write_json};
use crate::text::{EncodeOptions, Tokenizer, Truncation};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{HeadKind, Model, Pass, RowColumns, TabularSettings, TabularShape, Value};

/// The file that says what the head is.
pub(in crate::stages) const JOINT_FILE: &str = "joint.json";
/// Its parameters.
const JOINT_TENSORS: &str = "joint.safetensors";
const FORMAT_VERSION: u32 = 1;
/// Rows that the head takes at once, in prediction.
const ROWS_AT_ONCE: usize = 1024;

/// What `joint.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredNetwork {
    pub(super) tabular: TabularSettings,
    pub(super) shape: TabularShape,
    pub(super) labels: Vec<String>,
    pub(super) task: Task,
    pub(super) pooling: Vec<PoolingMode>,
    pub(super) max_seq_length: usize,
    pub(super) text_columns: Vec<String>,
    pub(super) text_column_delimiter: String,
    pub(super) dtype: Dtype,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format_version: u32,
    network: T,
}

impl StoredNetwork {
    /// Writes the head of a model and the preparation into an existing model folder.
    pub(super) fn save(&self, model: &Model, preparation: &Preparation, folder: &Path) -> Result<()> {
        let head = folder.join(HEAD_FOLDER);
        fs::create_dir_all(&head).map_err(Error::io("create", &head))?;
        let mut tensors = TensorWriter::default();
        for parameter in model.tabular_parameters() {
            tensors.f32(&parameter.spec.name, &parameter.spec.shape, &parameter.value.to_vec());
        }
        let path = head.join(JOINT_TENSORS);
        fs::write(&path, tensors.to_bytes(JOINT_TENSORS)?).map_err(Error::io("write", &path))?;
        preparation.save(&head)?;
        write_json(&head.join(JOINT_FILE), &Versioned { format_version: FORMAT_VERSION, network: self })
    }
}

/// What the targets are.
pub(super) fn task(targets: &Targets) -> Task {
    match targets {
        Targets::Classes(_) => Task::SingleLabel,
        Targets::Flags(_) => Task::MultiLabel,
        Targets::Numbers(_) => Task::Regression,
    }
}

/// An encoder with its head over text and columns, opened to predict.
pub(in crate::stages) struct JointNetwork {
    pub(in crate::stages) model: Model,
    stored: StoredNetwork,
    preparation: Preparation,
    layout: PreparedLayout,
    /// Names the head's content.
    pub(in crate::stages) digest: String,
}

impl JointNetwork {
    /// Opens a folder that [`super::joint`] wrote.
    ///
    /// # Errors
    /// Files that are not there, or do not fit together.
    pub(in crate::stages) fn open(folder: &ModelFolder, dtype: impl Into<Option<Dtype>>) -> Result<Self> {
        let head = folder.path.join(HEAD_FOLDER);
        let damaged = |problem: String| {
            let hint = "run finetune again, or point to a folder written by this program";
            Error::model(head.display().to_string(), problem, hint)
        };
        let stored: Versioned<StoredNetwork> = read_json(&head.join(JOINT_FILE))?;
        if stored.format_version != FORMAT_VERSION {
            let version = stored.format_version;
            return Err(damaged(format!("{JOINT_FILE} has version {version}, not {FORMAT_VERSION}")));
        }
        let stored = stored.network;
        let preparation = Preparation::load(&head)?;
        let layout = preparation.layout()?;
        let text = folder.config.hidden_size * stored.pooling.len();
        if stored.shape != super::shape(&layout, text, stored.labels.len()) {
            return Err(damaged("the head, the preparation and the encoder do not fit together".into()));
        }
        let (mut model, _) = Model::load(&folder.path, HeadKind::None, 0)?;
        model.attach_tabular(&stored.shape, &stored.tabular, 0);
        let path = head.join(JOINT_TENSORS);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let tensors = TensorReader::new(&bytes).map_err(damaged)?;
        for parameter in model.tabular_parameters_mut() {
            let shape = parameter.spec.shape.clone();
            let values = tensors.f32(&parameter.spec.name, &shape).map_err(damaged)?;
            parameter.set_value(Value::new(values, &shape));
        }
        apply_dtype(dtype.into().unwrap_or(stored.dtype), &mut model);
        let mut hasher = blake3::Hasher::new();
        for file in [JOINT_FILE, JOINT_TENSORS, PREPARATION_FILE, PREPARATION_TENSORS] {
            hasher.update(digest_file(&head.join(file))?.as_bytes());
        }
        let digest = hasher.finalize().to_hex().to_string();
        Ok(Self { model, stored, preparation, layout, digest })
    }

    pub(super) fn pooling(&self) -> &[PoolingMode] {
        &self.stored.pooling
    }

    pub(in crate::stages) fn labels(&self) -> &[String] {
        &self.stored.labels
    }

    pub(in crate::stages) fn task(&self) -> Task {
        self.stored.task
    }

    /// Numbers in which it was trained.
    pub(in crate::stages) fn dtype(&self) -> Dtype {
        self.stored.dtype
    }

    pub(in crate::stages) fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// The columns of the text in training, and what was put between them.
    pub(in crate::stages) fn text_columns(&self) -> (&[String], &str) {
        (&self.stored.text_columns, &self.stored.text_column_delimiter)
    }

    pub(in crate::stages) fn encode_options(&self) -> EncodeOptions {
        EncodeOptions {
            max_seq_length: self.stored.max_seq_length,
            prompt: None,
            truncation: Truncation::Head,
        }
    }

    /// How the text vectors are made, which the head takes as they are pooled.
    pub(in crate::stages) fn embed_settings(&self) -> EmbedSettings {
        EmbedSettings {
            features_from: FeaturesFrom::Encoder,
            pooling: self.stored.pooling.clone(),
            layers: vec![-1],
            normalize: false,
            truncate_dim: None,
            include_prompt: true,
            dtype: self.stored.dtype,
            max_tokens: EmbedSettings::DEFAULT_MAX_TOKENS,
        }
    }

    /// Columns as the head takes them.
    pub(super) fn columns(&self, raw: &RawRows, tokenizer: &Tokenizer) -> Result<DenseMatrix> {
        Ok(self.layout.arranged(&self.preparation.transform(raw, Some(tokenizer))?))
    }

    /// Outputs `[rows, labels]` from text vectors and the columns of the same rows.
    pub(in crate::stages) fn logits(
        &self,
        texts: &DenseMatrix,
        raw: &RawRows,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<f32>> {
        let columns = self.columns(raw, tokenizer)?;
        let pass = Pass::evaluate(&self.model.parameters);
        let (text_width, width) = (texts.columns(), columns.columns());
        let mut logits = Vec::with_capacity(texts.rows() * self.stored.labels.len());
        let parts = texts.values().chunks(ROWS_AT_ONCE * text_width);
        for (texts, columns) in parts.zip(columns.values().chunks(ROWS_AT_ONCE * width.max(1))) {
            let value = Value::new(texts.to_vec(), &[texts.len() / text_width, text_width]);
            let Value::Matrix(texts) = value else { unreachable!("two sizes make a matrix") };
            let rows = self.model.tabular_logits(&pass, texts, &RowColumns::whole(columns));
            logits.extend(Value::Matrix(rows).to_vec());
        }
        Ok(logits)
    }
}
