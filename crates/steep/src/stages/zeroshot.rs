//! Labels without training: a model of natural language inference says which label's sentence follows from a text.
//!
//! As transformers' `zero-shot-classification` pipeline: each label becomes a hypothesis by the template, the model reads
//! text and hypothesis as a pair, and the scores are a softmax of the entailments over the labels, or, where several labels
//! may fit, of entailment against contradiction for each label (Yin, Hay and Roth 2019).

use super::model_folder::ModelFolder;
use super::output::{Emit, RowBuffer, RowCounts, TextColumns};
use super::predict::{Job, PredictInput, PredictReport, PredictSettings, PredictionColumns, softmax};
use crate::config::{apply_dtype, default_dtype};
use crate::data::Task;
use crate::error::{Error, Result};
use crate::features::distinct::DistinctRows;
use crate::features::matrix::DenseMatrix;
use crate::progress::{Context, Silent};
use crate::text::PairEncodings;
use crate::training::Sequences;
use serde::{Deserialize, Serialize};
use std::path::Path;
use steep_encoder::{HeadKind, Model, Pass, Value};

/// How to label, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroShotSettings {
    /// What is the same as for trained folders.
    pub predict: PredictSettings,
    /// The labels, in the order of the outputs.
    pub candidate_labels: Vec<String>,
    /// The sentence that a label becomes, with `{}` in the label's place.
    pub hypothesis_template: String,
    /// Whether each label is judged by itself.
    pub multi_label: bool,
}

/// A model of natural language inference, opened to label texts.
pub struct ZeroShot {
    folder: ModelFolder,
    model: Model,
    hypotheses: Vec<String>,
    multi_label: bool,
    max_seq_length: usize,
    max_tokens: usize,
    /// Outputs of the model.
    classes: usize,
    entailment: usize,
    /// transformers' choice: the last class where entailment is the first, else the first.
    contradiction: usize,
}

impl ZeroShot {
    /// Opens a folder with a `…ForSequenceClassification` model.
    ///
    /// # Errors
    /// No labels, a template without `{}`; a folder that holds no classifier of pairs.
    pub fn open(folder: &Path, settings: &ZeroShotSettings) -> Result<Self> {
        if settings.candidate_labels.is_empty() {
            return Err(Error::config("candidate_labels", "is empty", "give labels, parted by commas"));
        }
        let template = &settings.hypothesis_template;
        if template.matches("{}").count() != 1 {
            let problem = format!("'{template}' does not have one place for the label");
            return Err(Error::config("hypothesis_template", problem, "write {} where the label belongs"));
        }
        let hypotheses =
            settings.candidate_labels.iter().map(|label| template.replace("{}", label)).collect();
        let folder = ModelFolder::open(folder)?;
        let labels = folder.config.labels.clone();
        if labels.len() < 2 {
            return Err(no_inference(&folder, "its configuration names fewer than two labels"));
        }
        let head = HeadKind::SequenceClassification { num_labels: labels.len() };
        let (mut model, report) = Model::load(&folder.path, head, 0)?;
        if let Some(name) = report.initialised.first() {
            return Err(no_inference(
                &folder,
                &format!("the weights lack the classifier: there is no {name}"),
            ));
        }
        apply_dtype(settings.predict.dtype.unwrap_or_else(default_dtype), &mut model);
        let entailment = labels
            .iter()
            .position(|label| label.to_lowercase().starts_with("entail"))
            .unwrap_or(labels.len() - 1);
        let contradiction = if entailment == 0 { labels.len() - 1 } else { 0 };
        Ok(Self {
            max_seq_length: folder.max_seq_length(settings.predict.max_seq_length)?,
            max_tokens: settings.predict.max_tokens,
            multi_label: settings.multi_label || settings.candidate_labels.len() == 1,
            classes: labels.len(),
            folder,
            model,
            hypotheses,
            entailment,
            contradiction,
        })
    }

    /// Whether the folder's labels name entailment; without such a name the last one is taken for it.
    pub fn names_entailment(&self) -> bool {
        self.folder.config.labels[self.entailment].to_lowercase().starts_with("entail")
    }

    /// Scores of texts: `[texts, labels]`.
    ///
    /// # Errors
    /// A stop on request; labels that leave no room for a text.
    pub fn scores<T: AsRef<str> + Sync>(&self, texts: &[T], ctx: &Context) -> Result<DenseMatrix> {
        self.scores_of(&self.pairs(texts)?, texts.len(), ctx)
    }

    fn pairs<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<PairEncodings> {
        let types = self.folder.config.raw.get("type_vocab_size").and_then(serde_json::Value::as_u64);
        let has_types = types.is_some_and(|types| types > 1);
        self.folder.tokenizer.encode_pairs(texts, &self.hypotheses, self.max_seq_length, has_types)
    }

    fn scores_of(&self, pairs: &PairEncodings, texts: usize, ctx: &Context) -> Result<DenseMatrix> {
        let all: Vec<u32> = (0..pairs.len() as u32).collect();
        let plan = DistinctRows::new(pairs, &all, self.max_tokens);
        let pass = Pass::evaluate(&self.model.parameters);
        let of_batch = |batch: &[u32]| {
            let batch = pairs.pack(batch);
            let hidden = self.model.last_hidden_state(&pass, &batch);
            Value::Matrix(self.model.classification_logits(&pass, hidden, &batch)).to_vec()
        };
        // Progress is told in texts, not in pairs.
        let silent = Context { progress: &Silent, cancel: ctx.cancel };
        let logits = plan.spread(&plan.compute(of_batch, &silent)?, self.classes)?;
        let labels = self.hypotheses.len();
        let scores =
            (0..texts).flat_map(|text| self.text_scores(&logits, text * labels..(text + 1) * labels));
        DenseMatrix::new(texts, labels, scores.collect())
    }

    /// The scores of one text's pairs.
    fn text_scores(&self, logits: &DenseMatrix, pairs: std::ops::Range<usize>) -> Vec<f32> {
        let entailment = |pair: usize| logits.row(pair)[self.entailment];
        if self.multi_label {
            let against = |pair: usize| softmax(&[logits.row(pair)[self.contradiction], entailment(pair)])[1];
            return pairs.map(against).collect();
        }
        softmax(&pairs.map(entailment).collect::<Vec<_>>())
    }
}

fn no_inference(folder: &ModelFolder, problem: &str) -> Error {
    let hint = "name a model for natural language inference, such as one trained on MNLI";
    Error::model(folder.path.display().to_string(), problem, hint)
}

/// Labels every row of a source and writes the file `output`, with the columns of [`super::predict()`]; where several
/// labels may fit, those whose score exceeds one half.
///
/// # Errors
/// What [`ZeroShot::open`] and reading the source give; a stop on request (finished shards stay).
pub fn zeroshot(
    input: &PredictInput,
    settings: &ZeroShotSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    let dtype = settings.predict.dtype.unwrap_or_else(default_dtype);
    let settings = &ZeroShotSettings {
        predict: PredictSettings { dtype: Some(dtype), ..settings.predict.clone() },
        ..settings.clone()
    };
    let model = ZeroShot::open(input.model, settings)?;
    let delimiter = input.text_column_delimiter.as_deref().unwrap_or(" ");
    let texts = TextColumns::resolve(input.source, &input.text_columns, delimiter)?;
    let columns = PredictionColumns {
        task: if settings.multi_label { Task::MultiLabel } else { Task::SingleLabel },
        labels: settings.candidate_labels.clone(),
        all_probabilities: settings.predict.all_probabilities,
        temperature: None,
    };
    let prepare = |rows: &RowBuffer| {
        let (texts, empty_texts) = texts.of(rows)?;
        let pairs = model.pairs(&texts)?;
        let counts = RowCounts { truncated: pairs.truncated(), empty_texts, ..RowCounts::default() };
        Ok((pairs, texts.len(), counts))
    };
    let compute = |(): &(), (pairs, rows, counts): (PairEncodings, usize, RowCounts), emit: &mut Emit<'_>| {
        let scores = model.scores_of(&pairs, rows, ctx)?;
        emit(0..rows, &columns.arrays(&scores)?)?;
        ctx.progress.advance(rows as u64);
        let tokens = (0..pairs.len()).map(|pair| pairs.length(pair) as u64).sum();
        Ok(RowCounts { tokens, ..counts })
    };
    let asked = (&settings.candidate_labels, &settings.hypothesis_template, settings.multi_label);
    let key = format!("{} {}", texts.key(), serde_json::to_string(&asked).expect("plain data"));
    let job = Job {
        stage: "zeroshot",
        input,
        settings: &settings.predict,
        digest: &model.folder.digest,
        columns: &columns,
        read: texts.names(),
    };
    job.run(&key, prepare, compute, output, ctx)
}

#[cfg(test)]
mod tests;
