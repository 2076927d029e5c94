//! An opened folder that turns texts' tokens into probabilities.

use super::text::TextRecipe;
use crate::config::{Dtype, apply_dtype, default_dtype};
use crate::data::Task;
use crate::error::{Error, Result};
use crate::features::distinct::DistinctRows;
use crate::features::embed::{EmbedSettings, Embedder};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::preparation::{PREPARATION_FILE, PREPARATION_TENSORS, Preparation, RawRows};
use crate::learners::head::Head;
use crate::progress::Context;
use crate::stages::classify::{HEAD_FOLDER, RECIPE_FILE, StoredRecipe};
use crate::stages::joint::{JOINT_FILE, JointNetwork};
use crate::stages::model_folder::ModelFolder;
use crate::storage::{digest_file, read_json};
use crate::text::{EncodeOptions, Tokenizer};
use crate::training::Sequences;
use std::path::Path;
use steep_encoder::{Config, HeadKind, Model, Pass, ProblemType, Value};

/// Tokens computed at once where nothing else is said, as for embeddings.
const DEFAULT_MAX_TOKENS: usize = EmbedSettings::DEFAULT_MAX_TOKENS;

/// An encoder with what was trained on top of it.
pub struct Predictor {
    folder: ModelFolder,
    scorer: Scorer,
    labels: Vec<String>,
    task: Task,
    max_tokens: usize,
    digest: String,
    dtype: Dtype,
    /// The columns of the text, where the folder says which.
    text: Option<TextRecipe>,
}

/// What turns token states into outputs.
enum Scorer {
    /// The network's own head.
    Network(Box<Model>),
    /// A learner over embeddings.
    Learned(Box<LearnedScorer>),
    /// A head over the text and columns, trained with the encoder; the model is its own.
    Joint(Box<JointNetwork>),
}

/// A classifier of embeddings.
struct LearnedScorer {
    model: Model,
    head: Head,
    stored: StoredRecipe,
    prompt_tokens: usize,
    /// What makes features of the embeddings and of other columns.
    preparation: Option<Preparation>,
}

impl Predictor {
    /// Opens a folder with a classifier in `head/`, or with a `…ForSequenceClassification` model. Without a `dtype` it
    /// computes as the classifier's features were made, and else as is quick on this machine.
    ///
    /// # Errors
    /// A folder that is not there, not whole, or holds an encoder without anything trained on top.
    pub fn open(folder: &Path, dtype: Option<Dtype>) -> Result<Self> {
        let fault =
            |problem: &str, hint: &str| Err(Error::model(folder.display().to_string(), problem, hint));
        if !folder.is_dir() {
            return fault("there is no such folder", "name a folder that finetune or classify wrote");
        }
        if super::is_head_only(folder) {
            let hint = "give a feature file to predict, or let classify know the encoder";
            return fault("holds a classifier of features and no encoder for texts", hint);
        }
        let opened = ModelFolder::open(folder)?;
        let text = TextRecipe::load(folder)?;
        let predictor = match on_top(&opened) {
            Some(OnTop::Learner) => Self::with_learned_head(opened, dtype),
            Some(OnTop::JointNetwork) => Self::with_joint_head(opened, dtype),
            Some(OnTop::Network) => {
                let saved = text.as_ref().and_then(|text| text.dtype);
                Self::with_network_head(opened, dtype.or(saved).unwrap_or_else(default_dtype))
            }
            None => fault("holds an encoder without a classifier", "run finetune or classify first"),
        }?;
        Ok(Self { text, ..predictor })
    }

    fn with_network_head(folder: ModelFolder, dtype: Dtype) -> Result<Self> {
        // transformers leaves the labels out where they are its two default ones.
        let mut labels = folder.config.labels.clone();
        if labels.is_empty() {
            labels = ["LABEL_0", "LABEL_1"].map(str::to_owned).to_vec();
        }
        let head_kind = HeadKind::SequenceClassification { num_labels: labels.len() };
        let (mut model, report) = Model::load(&folder.path, head_kind, 0)?;
        apply_dtype(dtype, &mut model);
        if let Some(name) = report.initialised.first() {
            return Err(Error::model(
                folder.path.display().to_string(),
                format!("the weights lack the classifier that config.json names: there is no {name}"),
                "run finetune or classify first, or download the model again",
            ));
        }
        let task = match folder.config.problem_type {
            Some(ProblemType::MultiLabelClassification) => Task::MultiLabel,
            Some(ProblemType::Regression) => Task::Regression,
            // As transformers decides where the config does not say.
            None if labels.len() == 1 => Task::Regression,
            Some(ProblemType::SingleLabelClassification) | None => Task::SingleLabel,
        };
        let digest = folder.digest.clone();
        let scorer = Scorer::Network(Box::new(model));
        Ok(Self { folder, scorer, labels, task, max_tokens: DEFAULT_MAX_TOKENS, digest, dtype, text: None })
    }

    fn with_joint_head(folder: ModelFolder, dtype: Option<Dtype>) -> Result<Self> {
        let network = JointNetwork::open(&folder, dtype)?;
        Ok(Self {
            labels: network.labels().to_vec(),
            task: network.task(),
            max_tokens: DEFAULT_MAX_TOKENS,
            digest: format!("{} {}", folder.digest, network.digest),
            dtype: dtype.unwrap_or(network.dtype()),
            scorer: Scorer::Joint(Box::new(network)),
            folder,
            text: None,
        })
    }

    fn with_learned_head(folder: ModelFolder, dtype: Option<Dtype>) -> Result<Self> {
        let head_folder = folder.path.join(HEAD_FOLDER);
        let head = Head::load(&head_folder)?;
        let stored: StoredRecipe = read_json(&head_folder.join(RECIPE_FILE))?;
        let (mut model, _) = Model::load(&folder.path, stored.recipe.embed.features_from.head_kind(), 0)?;
        let dtype = dtype.unwrap_or(stored.recipe.embed.dtype);
        apply_dtype(dtype, &mut model);
        let width = Embedder::new(&model, dense(&folder), stored.recipe.embed.clone())?.width();
        let preparation = if head_folder.join(PREPARATION_FILE).is_file() {
            Some(Preparation::load(&head_folder)?)
        } else {
            None
        };
        let columns = match &preparation {
            Some(preparation) => preparation.inputs().vector_names.len(),
            None => head.feature_count(),
        };
        if width != columns {
            return Err(Error::model(
                head_folder.display().to_string(),
                format!("the classifier takes {columns} features, the encoder makes {width}"),
                "run classify again with this encoder",
            ));
        }
        if let Some(preparation) = &preparation {
            super::prepared::check_width(&head_folder, preparation, head.feature_count())?;
        }
        let no_texts: [&str; 0] = [];
        let options = stored.encode_options();
        let prompt_tokens = folder.tokenizer.encode(&no_texts, &options)?.prompt_tokens as usize;
        let mut hasher = blake3::Hasher::new();
        hasher.update(folder.digest.as_bytes());
        let tables: &[&str] =
            if preparation.is_some() { &[PREPARATION_FILE, PREPARATION_TENSORS] } else { &[] };
        for file in ["head.json", "head.safetensors", RECIPE_FILE].iter().chain(tables) {
            hasher.update(digest_file(&head_folder.join(file))?.as_bytes());
        }
        Ok(Self {
            labels: labels_of(&head),
            task: head.task(),
            max_tokens: stored.recipe.embed.max_tokens,
            digest: hasher.finalize().to_hex().to_string(),
            scorer: Scorer::Learned(Box::new(LearnedScorer {
                model,
                head,
                stored,
                prompt_tokens,
                preparation,
            })),
            folder,
            dtype,
            text: None,
        })
    }

    /// The labels in the order of the outputs; of a regression, the outputs' names.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The folder's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.folder.tokenizer
    }

    /// Numbers in which it computes.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Names the folder's content.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How texts must become tokens: as in training.
    pub fn encode_options(&self) -> EncodeOptions {
        match &self.scorer {
            Scorer::Network(_) => {
                let saved = self.text.as_ref().and_then(|text| text.max_seq_length);
                let stated = saved.unwrap_or_else(|| self.folder.tokenizer.max_seq_length().length);
                self.folder.encode_options(stated.min(self.folder.config.max_sequence_length()))
            }
            Scorer::Learned(learned) => learned.stored.encode_options(),
            Scorer::Joint(network) => network.encode_options(),
        }
    }

    /// The columns of the text in training; none where the folder does not say.
    pub(super) fn text_recipe(&self) -> Option<TextRecipe> {
        let (columns, delimiter) = match (&self.text, &self.scorer) {
            (Some(text), _) => return Some(text.clone()),
            (None, Scorer::Joint(network)) => network.text_columns(),
            (None, Scorer::Learned(learned)) => {
                let inputs = learned.preparation.as_ref()?.inputs();
                (&inputs.text_columns[..], inputs.text_column_delimiter.as_str())
            }
            (None, Scorer::Network(_)) => return None,
        };
        let (text_columns, text_column_delimiter) = (columns.to_vec(), delimiter.to_owned());
        let recipe = TextRecipe { text_columns, text_column_delimiter, ..TextRecipe::default() };
        (!columns.is_empty()).then_some(recipe)
    }

    /// The same with another sequence length, where one is asked for.
    pub(super) fn encode_options_of(&self, max_seq_length: Option<usize>) -> Result<EncodeOptions> {
        let options = self.encode_options();
        match max_seq_length {
            None => Ok(options),
            asked => Ok(EncodeOptions { max_seq_length: self.folder.max_seq_length(asked)?, ..options }),
        }
    }

    /// Predicts for rows of sequences, in their order: probabilities `[rows, labels]`, or a regression's values
    /// `[rows, outputs]`. The sequences must have been made with [`Self::encode_options`].
    ///
    /// # Errors
    /// A stop on request; a classifier that takes other columns beside the texts, for which there is
    /// [`crate::stages::predict()`].
    pub fn predict(&self, sequences: &dyn Sequences, rows: &[u32], ctx: &Context) -> Result<DenseMatrix> {
        self.predict_planned(sequences, &DistinctRows::new(sequences, rows, self.max_tokens), ctx)
    }

    /// The same for rows whose batches were planned before.
    pub(super) fn predict_planned(
        &self,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        match &self.scorer {
            Scorer::Network(model) => self.network_outputs(model, sequences, plan, ctx),
            Scorer::Learned(learned) => self.learned_outputs(learned, sequences, plan, ctx),
            Scorer::Joint(_) => Err(self.needs_columns()),
        }
    }

    fn needs_columns(&self) -> Error {
        let hint = "predict for a file that has these columns";
        Error::model(self.folder.path.display().to_string(), "takes columns beside the texts", hint)
    }

    fn learned_outputs(
        &self,
        learned: &LearnedScorer,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        if learned.preparation.is_some() {
            return Err(self.needs_columns());
        }
        self.predict_vectors(self.embeddings(learned, sequences, plan, ctx)?)
    }

    fn embeddings(
        &self,
        learned: &LearnedScorer,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let embedder =
            Embedder::new(&learned.model, dense(&self.folder), learned.stored.recipe.embed.clone())?;
        embedder.embed_planned(sequences, plan, learned.prompt_tokens, ctx)
    }

    /// Dimensions of the vectors that the classifier takes; none where there is no classifier of vectors.
    pub(super) fn vector_width(&self) -> Option<usize> {
        match &self.scorer {
            Scorer::Learned(learned) => Some(match &learned.preparation {
                Some(preparation) => preparation.inputs().vector_names.len(),
                None => learned.head.feature_count(),
            }),
            Scorer::Network(_) | Scorer::Joint(_) => None,
        }
    }

    /// The vectors that the classifier takes; none where there is no classifier of vectors.
    pub(super) fn vectors(
        &self,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        ctx: &Context,
    ) -> Result<Option<DenseMatrix>> {
        match &self.scorer {
            Scorer::Learned(learned) => self.embeddings(learned, sequences, plan, ctx).map(Some),
            Scorer::Network(_) | Scorer::Joint(_) => Ok(None),
        }
    }

    /// What the classifier says of vectors alone.
    pub(super) fn predict_vectors(&self, vectors: DenseMatrix) -> Result<DenseMatrix> {
        match &self.scorer {
            Scorer::Learned(learned) if learned.preparation.is_none() => {
                learned.head.predict(&Features::Dense(vectors))
            }
            _ => Err(self.needs_columns()),
        }
    }

    /// The preparation, where features are made of more than embeddings.
    pub(super) fn preparation(&self) -> Option<&Preparation> {
        match &self.scorer {
            Scorer::Learned(learned) => learned.preparation.as_ref(),
            Scorer::Joint(network) => Some(network.preparation()),
            Scorer::Network(_) => None,
        }
    }

    /// Predicts for rows of sequences with columns beside them, as [`Self::predict`] does for texts alone; `raw` holds
    /// the columns of these rows, in their order.
    ///
    /// # Errors
    /// A stop on request; a folder that takes texts alone; columns of other rows, or other columns than in training.
    pub fn predict_with_columns(
        &self,
        sequences: &dyn Sequences,
        rows: &[u32],
        raw: RawRows,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        if raw.table.rows() != rows.len() {
            let problem = format!("there are {} rows of columns and {} texts", raw.table.rows(), rows.len());
            return Err(Error::config("columns", problem, "give the columns of these rows"));
        }
        let plan = DistinctRows::new(sequences, rows, self.max_tokens);
        self.predict_prepared(sequences, &plan, raw, ctx)
    }

    /// The same for rows whose batches were planned before.
    pub(super) fn predict_prepared(
        &self,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        mut raw: RawRows,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        match &self.scorer {
            Scorer::Learned(learned) => {
                let Some(preparation) = &learned.preparation else { return Err(self.takes_texts_alone()) };
                raw.vectors = Some(self.embeddings(learned, sequences, plan, ctx)?);
                learned.head.predict(&Features::Dense(preparation.transform(&raw, Some(self.tokenizer()))?))
            }
            Scorer::Joint(network) => {
                let embedder = Embedder::new(&network.model, &[], network.embed_settings())?;
                let texts = embedder.embed_planned(sequences, plan, 0, ctx)?;
                let logits = network.logits(&texts, &raw, self.tokenizer())?;
                let width = self.labels.len();
                let outputs = logits.chunks_exact(width).flat_map(|logits| linked(self.task, logits));
                DenseMatrix::new(texts.rows(), width, outputs.collect())
            }
            Scorer::Network(_) => Err(self.takes_texts_alone()),
        }
    }

    fn takes_texts_alone(&self) -> Error {
        let folder = self.folder.path.display().to_string();
        Error::model(folder, "takes texts alone", "predict without columns")
    }

    fn network_outputs(
        &self,
        model: &Model,
        sequences: &dyn Sequences,
        plan: &DistinctRows,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let width = self.labels.len();
        let pass = Pass::evaluate(&model.parameters);
        let of_batch = |rows: &[u32]| {
            let batch = sequences.pack(rows);
            let hidden = model.last_hidden_state(&pass, &batch);
            let logits = Value::Matrix(model.classification_logits(&pass, hidden, &batch)).to_vec();
            logits.chunks_exact(width).flat_map(|logits| linked(self.task, logits)).collect()
        };
        plan.spread(&plan.compute(of_batch, ctx)?, width)
    }
}

/// What was trained on top of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnTop {
    /// A learner on its vectors.
    Learner,
    /// A network's head over text and columns.
    JointNetwork,
    /// A network's own head.
    Network,
}

/// What was trained on top of a folder's encoder, if anything was.
pub(super) fn on_top(folder: &ModelFolder) -> Option<OnTop> {
    let head = folder.path.join(HEAD_FOLDER);
    if head.join("head.json").is_file() {
        return Some(OnTop::Learner);
    }
    if head.join(JOINT_FILE).is_file() {
        return Some(OnTop::JointNetwork);
    }
    is_classifier(&folder.config).then_some(OnTop::Network)
}

fn dense(folder: &ModelFolder) -> &[steep_encoder::sentence_transformer::Dense] {
    folder.modules.as_ref().map_or(&[][..], |modules| &modules.dense)
}

fn is_classifier(config: &Config) -> bool {
    let architectures = config.raw.get("architectures").and_then(serde_json::Value::as_array);
    let mut names = architectures.into_iter().flatten().filter_map(serde_json::Value::as_str);
    names.any(|name| name.ends_with("ForSequenceClassification"))
}

/// The names of a head's outputs.
pub(super) fn labels_of(head: &Head) -> Vec<String> {
    match head.task() {
        Task::Regression => vec!["value".to_owned()],
        Task::SingleLabel | Task::MultiLabel => head.classes().to_vec(),
    }
}

/// Probabilities of logits, or the values of a regression as they are.
fn linked(task: Task, logits: &[f32]) -> Vec<f32> {
    match task {
        Task::Regression => logits.to_vec(),
        Task::MultiLabel => {
            logits.iter().map(|&logit| (1.0 / (1.0 + f64::from(-logit).exp())) as f32).collect()
        }
        Task::SingleLabel => softmax(logits),
    }
}

/// Probabilities that add up to 1.
pub(in crate::stages) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|value| (value / sum) as f32).collect()
}
