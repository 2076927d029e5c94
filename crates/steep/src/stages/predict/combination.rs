//! Folders that put the outputs of several models together: their mean, or a learner on top of them.

use super::columns::PredictionColumns;
use super::predictor::{Predictor, labels_of};
use super::prepared::raw_rows;
use super::text::text_columns;
use super::{Job, PredictInput, PredictReport, PredictSettings, STAGE, files_digest};
use crate::config::Dtype;
use crate::data::Task;
use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::preparation::{PREPARATION_FILE, PREPARATION_TENSORS, Preparation, RawRows};
use crate::learners::head::Head;
use crate::learners::stacking::{logits_beside, mean_of};
use crate::progress::Context;
use crate::stages::classify::HEAD_FOLDER;
use crate::stages::output::{Emit, PreparedTexts, RowBuffer, RowCounts, TextPreparation};
use crate::stages::prepared::{RawReader, VectorSource};
use crate::storage::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file that says what is put together.
pub(super) const COMBINATION_FILE: &str = "combination.json";

/// How the outputs of the members become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombinationMethod {
    /// The mean of two.
    Average,
    /// A learner on their logits side by side; it lies in `head/`.
    Stacked,
}

/// One of the models that are put together, in a folder of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CombinationMember {
    /// A learner on the columns of a row.
    Columns {
        /// Its folder.
        folder: String,
    },
    /// A model of texts.
    Texts {
        /// Its folder.
        folder: String,
    },
    /// A learner on columns and on the vectors that the model of texts makes.
    Vectors {
        /// Its folder.
        folder: String,
    },
}

impl CombinationMember {
    pub(super) fn folder(&self) -> &str {
        match self {
            Self::Columns { folder } | Self::Texts { folder } | Self::Vectors { folder } => folder,
        }
    }
}

/// What is put together, and how. The model of texts comes before the learner on its vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combination {
    /// How.
    pub method: CombinationMethod,
    /// What, in the order of the outputs.
    pub members: Vec<CombinationMember>,
}

impl Combination {
    /// Writes it into an existing folder beside the members' folders, where [`super::predict()`] finds it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(COMBINATION_FILE), self)
    }
}

/// A member that was opened.
enum Member {
    Columns(Head, Box<Preparation>),
    Texts(Box<Predictor>),
    Vectors(Head, Box<Preparation>),
}

/// A folder that was opened.
struct Opened {
    method: CombinationMethod,
    members: Vec<Member>,
    /// The learner on top.
    head: Option<Head>,
    digest: String,
}

impl Opened {
    fn open(folder: &Path, dtype: Option<Dtype>) -> Result<Self> {
        let combination: Combination = read_json(&folder.join(COMBINATION_FILE))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(files_digest(folder, &[COMBINATION_FILE])?.as_bytes());
        let mut members = Vec::new();
        for member in &combination.members {
            let name = member.folder();
            if name.contains(['/', '\\']) || name.starts_with('.') || name.is_empty() {
                return Err(damaged(folder, &format!("'{name}' is no name of a member's folder")));
            }
            let place = folder.join(name);
            let (member, digest) = match member {
                CombinationMember::Texts { .. } => {
                    let predictor = Predictor::open(&place, dtype)?;
                    let digest = predictor.digest().to_owned();
                    (Member::Texts(Box::new(predictor)), digest)
                }
                kind => {
                    let (head, preparation) = (Head::load(&place)?, Box::new(Preparation::load(&place)?));
                    super::prepared::check_width(&place, &preparation, head.feature_count())?;
                    let files = ["head.json", "head.safetensors", PREPARATION_FILE, PREPARATION_TENSORS];
                    let digest = files_digest(&place, &files)?;
                    let is_columns = matches!(kind, CombinationMember::Columns { .. });
                    let member = if is_columns {
                        Member::Columns(head, preparation)
                    } else {
                        Member::Vectors(head, preparation)
                    };
                    (member, digest)
                }
            };
            hasher.update(digest.as_bytes());
            members.push(member);
        }
        let place = folder.join(HEAD_FOLDER);
        let head = match combination.method {
            CombinationMethod::Average => None,
            CombinationMethod::Stacked => {
                hasher.update(files_digest(&place, &["head.json", "head.safetensors"])?.as_bytes());
                Some(Head::load(&place)?)
            }
        };
        let digest = hasher.finalize().to_hex().to_string();
        let opened = Self { method: combination.method, members, head, digest };
        opened.check().map_err(|problem| damaged(folder, problem))?;
        Ok(opened)
    }

    /// Whether the parts fit together.
    fn check(&self) -> std::result::Result<(), &'static str> {
        let is_texts = |member: &Member| matches!(member, Member::Texts(_));
        let texts = self.members.iter().position(is_texts).ok_or("there is no model of texts")?;
        let vectors = self.members.iter().position(|member| matches!(member, Member::Vectors(..)));
        if self.members.iter().filter(|member| is_texts(member)).count() > 1
            || vectors.is_some_and(|at| at < texts)
        {
            return Err("there is one model of texts, before the learner on its vectors");
        }
        let text = self.texts();
        if text.preparation().is_some() || (vectors.is_some() && text.vector_width().is_none()) {
            return Err("the model of texts is not one of texts alone");
        }
        let is_alike = self.members.iter().all(|member| match member {
            Member::Texts(_) => true,
            Member::Columns(head, _) | Member::Vectors(head, _) => {
                head.task() == text.task() && labels_of(head) == text.labels()
            }
        });
        let has_width = self.members.iter().all(|member| match member {
            Member::Vectors(_, preparation) => {
                Some(preparation.inputs().vector_names.len()) == text.vector_width()
            }
            _ => true,
        });
        let width = self.members.len() * text.labels().len();
        let is_whole = match (&self.head, self.method) {
            (Some(head), _) => head.feature_count() == width && labels_of(head) == text.labels(),
            (None, _) => self.members.len() == 2,
        };
        if is_alike && has_width && is_whole { Ok(()) } else { Err("the members do not fit together") }
    }

    /// The model of texts.
    fn texts(&self) -> &Predictor {
        let mut texts = self.members.iter().filter_map(|member| match member {
            Member::Texts(predictor) => Some(&**predictor),
            _ => None,
        });
        texts.next().expect("one was found on opening")
    }

    fn task(&self) -> Task {
        self.texts().task()
    }

    /// What reads the columns of each member that takes some.
    fn readers(&self, source: &str) -> Result<Vec<Option<RawReader>>> {
        let reader = |member: &Member| match member {
            Member::Texts(_) => Ok(None),
            Member::Columns(_, preparation) | Member::Vectors(_, preparation) => {
                RawReader::open(source, preparation.inputs(), VectorSource::Encoder).map(Some)
            }
        };
        self.members.iter().map(reader).collect()
    }

    /// Outputs of rows from their texts and the columns of each member.
    fn predict(
        &self,
        texts: &PreparedTexts,
        raw: Vec<Option<RawRows>>,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let tokenizer = Some(self.texts().tokenizer());
        let (mut vectors, mut outputs) = (None, Vec::with_capacity(self.members.len()));
        for (member, raw) in self.members.iter().zip(raw) {
            let features = match (member, raw) {
                (Member::Texts(predictor), _) => {
                    vectors = predictor.vectors(&texts.encodings, &texts.plan, ctx)?;
                    outputs.push(match vectors.clone() {
                        Some(vectors) => predictor.predict_vectors(vectors)?,
                        None => predictor.predict_planned(&texts.encodings, &texts.plan, ctx)?,
                    });
                    continue;
                }
                (Member::Columns(_, preparation), Some(raw)) => preparation.transform(&raw, tokenizer)?,
                (Member::Vectors(_, preparation), Some(raw)) => {
                    preparation.transform(&RawRows { vectors: vectors.clone(), ..raw }, tokenizer)?
                }
                (_, None) => unreachable!("members that take columns have a reader"),
            };
            let (Member::Columns(head, _) | Member::Vectors(head, _)) = member else { continue };
            outputs.push(head.predict(&Features::Dense(features))?);
        }
        match (&self.head, outputs.as_slice()) {
            (Some(head), outputs) => {
                let parts: Vec<&DenseMatrix> = outputs.iter().collect();
                head.predict(&Features::Dense(logits_beside(&parts, self.task())?))
            }
            (None, [one, other]) => mean_of(one, other),
            (None, _) => unreachable!("two members were found on opening"),
        }
    }
}

fn damaged(folder: &Path, problem: &str) -> Error {
    let hint = "compare again, or point to a folder written by this program";
    Error::model(folder.display().to_string(), problem, hint)
}

/// Predicts from texts and columns.
pub(super) fn predict_combination(
    input: &PredictInput,
    settings: &PredictSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    let combination = Opened::open(input.model, settings.dtype)?;
    let predictor = combination.texts();
    let settings = &PredictSettings { dtype: Some(predictor.dtype()), ..settings.clone() };
    let options = predictor.encode_options_of(settings.max_seq_length)?;
    let texts = text_columns(input, predictor.text_recipe().as_ref())?;
    let readers = combination.readers(input.source)?;
    let labels = predictor.labels().to_vec();
    let columns = PredictionColumns::of(input.model, combination.task(), labels, settings)?;
    let mut read = texts.names().to_vec();
    for name in readers.iter().flatten().flat_map(RawReader::source_columns) {
        if !read.contains(name) {
            read.push(name.clone());
        }
    }
    let preparation = TextPreparation {
        tokenizer: predictor.tokenizer(),
        columns: &texts,
        options,
        max_tokens: settings.max_tokens,
    };
    let prepare = |rows: &RowBuffer| {
        let raw =
            readers.iter().map(|reader| reader.as_ref().map(|reader| raw_rows(reader, rows)).transpose());
        Ok((preparation.prepare(rows)?, raw.collect::<Result<Vec<_>>>()?))
    };
    let compute = |(): &(), (texts, raw): (PreparedTexts, Vec<Option<RawRows>>), emit: &mut Emit<'_>| {
        let predicted = combination.predict(&texts, raw, ctx)?;
        emit(0..texts.encodings.len(), &columns.arrays(&predicted)?)?;
        Ok(RowCounts { repeated_texts: texts.plan.repeated() as u64, ..texts.counts() })
    };
    let key = format!("{} {}", texts.key(), read.join("\u{1f}"));
    let digest = &combination.digest;
    let job = Job { stage: STAGE, input, settings, digest, columns: &columns, read: &read };
    job.run(&key, prepare, compute, output, ctx)
}
