//! What a comparison will do, with nothing left open.

use crate::data::{LabelBudget, Task};
use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::columns::ColumnKind;
use crate::features::engineered::EngineeredSettings;
use crate::features::preparation::PreparationSettings;
use crate::objectives::{AdaptObjective, ClassificationSettings, EmbeddingSettings, MaskingSettings};
use crate::report::{Plan, Ranking};
use crate::stages::{HeadInit, JointSettings, LearnerSettings};
use crate::text::vocabulary::ChooseSettings;
use crate::training::TrainingSettings;
use serde::Serialize;
use std::path::PathBuf;

/// A way from texts to predictions. The order is that in which routes run: those that put others together come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Route {
    /// The most frequent class, or the mean.
    #[serde(rename = "majority")]
    Majority,
    /// Word and character n-grams.
    #[serde(rename = "tfidf")]
    Tfidf,
    /// The person's columns, without the text.
    #[serde(rename = "table_only")]
    TableOnly,
    /// Another model, of natural language inference, which reads the names of the labels.
    #[serde(rename = "zeroshot")]
    Zeroshot,
    /// The encoder as it is.
    #[serde(rename = "frozen")]
    Frozen,
    /// The encoder as it is, on texts with the columns written into them.
    #[serde(rename = "table_as_text")]
    TableAsText,
    /// The encoder after continued pretraining on the unlabelled texts.
    #[serde(rename = "adapted")]
    Adapted,
    /// The encoder after training on the labels.
    #[serde(rename = "finetuned")]
    Finetuned,
    /// Adapted, then fine-tuned.
    #[serde(rename = "adapted+finetuned")]
    AdaptedFinetuned,
    /// Fine-tuned, then adapted.
    #[serde(rename = "finetuned+adapted")]
    FinetunedAdapted,
    /// The encoder after its vectors were trained on the labels.
    #[serde(rename = "contrastive")]
    Contrastive,
    /// Adapted, then its vectors trained on the labels.
    #[serde(rename = "adapted+contrastive")]
    AdaptedContrastive,
    /// New tokens in the vocabulary, then adapted.
    #[serde(rename = "vocab+adapted")]
    VocabAdapted,
    /// New tokens in the vocabulary, then adapted, then fine-tuned.
    #[serde(rename = "vocab+adapted+finetuned")]
    VocabAdaptedFinetuned,
    /// One network over texts and columns, trained end to end.
    #[serde(rename = "joint")]
    Joint,
    /// Adapted, then one network over texts and columns.
    #[serde(rename = "adapted+joint")]
    AdaptedJoint,
    /// The mean of the columns' learner and the best route over the text.
    #[serde(rename = "late_average")]
    LateAverage,
    /// A learner on the outputs of others.
    #[serde(rename = "stacked")]
    Stacked,
}

impl Route {
    /// All routes, in their order, with the names used everywhere and a description.
    pub const ALL: [(&'static str, Self, &'static str); 18] = [
        ("majority", Self::Majority, "always the most frequent class"),
        ("tfidf", Self::Tfidf, "word and character n-grams, logistic regression"),
        ("table_only", Self::TableOnly, "the columns without the text"),
        (
            "zeroshot",
            Self::Zeroshot,
            "no training: a model of natural language inference says which label's sentence follows from the text",
        ),
        ("frozen", Self::Frozen, "the encoder as it is"),
        ("table_as_text", Self::TableAsText, "the encoder as it is, with the columns written into the text"),
        ("adapted", Self::Adapted, "the encoder after adapting to the unlabelled texts"),
        ("finetuned", Self::Finetuned, "the encoder after training on the labels"),
        (
            "adapted+finetuned",
            Self::AdaptedFinetuned,
            "adapted to the unlabelled texts, then trained on the labels",
        ),
        (
            "finetuned+adapted",
            Self::FinetunedAdapted,
            "trained on the labels, then adapted to the unlabelled texts",
        ),
        (
            "vocab+adapted",
            Self::VocabAdapted,
            "the encoder with new tokens for words of the unlabelled texts, after adapting to these texts",
        ),
        (
            "vocab+adapted+finetuned",
            Self::VocabAdaptedFinetuned,
            "new tokens for words of the unlabelled texts, adapted to these texts, then trained on the labels",
        ),
        ("joint", Self::Joint, "one network over the text and the columns, trained end to end"),
        (
            "adapted+joint",
            Self::AdaptedJoint,
            "adapted to the unlabelled texts, then one network over the text and the columns",
        ),
        (
            "contrastive",
            Self::Contrastive,
            "the encoder after its vectors were trained to bring texts of one class together",
        ),
        (
            "adapted+contrastive",
            Self::AdaptedContrastive,
            "adapted to the unlabelled texts, then its vectors trained to bring texts of one class together",
        ),
        (
            "late_average",
            Self::LateAverage,
            "the mean of table_only and of the route over the text that did best on validation rows",
        ),
        (
            "stacked",
            Self::Stacked,
            "a learner on out-of-fold outputs of table_only, of an encoder that no label changed, and of both in one",
        ),
    ];

    /// The route of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(_, route, _)| *route)
    }

    /// The name used everywhere.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The route in words.
    pub fn description(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (&'static str, Self, &'static str) {
        Self::ALL.iter().find(|(_, route, _)| *route == self).expect("every route is listed")
    }

    /// Whether it needs the unlabelled texts.
    pub fn adapts(self) -> bool {
        matches!(
            self,
            Self::Adapted
                | Self::AdaptedFinetuned
                | Self::FinetunedAdapted
                | Self::AdaptedContrastive
                | Self::AdaptedJoint
        ) || self.extends_vocabulary()
    }

    /// Whether its encoder has new tokens.
    pub fn extends_vocabulary(self) -> bool {
        matches!(self, Self::VocabAdapted | Self::VocabAdaptedFinetuned)
    }

    /// Whether it is measured only where it is named.
    pub fn is_measured_where_named(self) -> bool {
        self.trains_vectors() || self.extends_vocabulary()
    }

    /// Whether its encoder is trained on the labels.
    pub fn finetunes(self) -> bool {
        self.trains_head() || self.trains_vectors()
    }

    /// Whether its encoder is trained on the labels through a head.
    pub fn trains_head(self) -> bool {
        self.has_own_head() || self == Self::FinetunedAdapted
    }

    /// Whether its vectors are trained on the labels, without a head.
    pub fn trains_vectors(self) -> bool {
        matches!(self, Self::Contrastive | Self::AdaptedContrastive)
    }

    /// Whether training leaves a head that predicts by itself; adapting afterwards leaves it behind.
    pub fn has_own_head(self) -> bool {
        matches!(self, Self::Finetuned | Self::AdaptedFinetuned | Self::VocabAdaptedFinetuned)
    }

    /// Whether it trains one network over texts and columns.
    pub fn is_joint(self) -> bool {
        matches!(self, Self::Joint | Self::AdaptedJoint)
    }

    /// Whether each seed trains it anew on the labels.
    pub fn varies_with_seed(self) -> bool {
        self.finetunes() || self.is_joint()
    }

    /// Whether it is an encoder of its own, whose vectors may be joined with columns.
    pub fn has_encoder(self) -> bool {
        self == Self::Frozen || self.finetunes() || (self.adapts() && !self.is_joint())
    }

    /// Whether it needs the person's columns.
    pub fn needs_columns(self) -> bool {
        matches!(self, Self::TableOnly | Self::TableAsText | Self::LateAverage | Self::Stacked)
    }
}

/// What the learner of a route over an encoder is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum FeatureSet {
    /// The vectors of the text.
    #[serde(rename = "text")]
    Text,
    /// And columns engineered from it.
    #[serde(rename = "text+engineered")]
    TextEngineered,
    /// The vectors and the person's columns.
    #[serde(rename = "text+columns")]
    TextColumns,
    /// All three.
    #[serde(rename = "text+engineered+columns")]
    TextEngineeredColumns,
}

impl FeatureSet {
    /// All sets with their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("text", Self::Text),
        ("text+engineered", Self::TextEngineered),
        ("text+columns", Self::TextColumns),
        ("text+engineered+columns", Self::TextEngineeredColumns),
    ];

    /// The name used everywhere.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, set)| *set == self).map_or("", |(name, _)| name)
    }

    /// What is put behind the name of a route.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::TextEngineered => " (+engineered)",
            Self::TextColumns => " (+columns)",
            Self::TextEngineeredColumns => " (+engineered+columns)",
        }
    }

    /// Its part of the names of folders.
    pub(super) fn folder_part(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::TextEngineered => "engineered.",
            Self::TextColumns => "columns.",
            Self::TextEngineeredColumns => "engineered+columns.",
        }
    }

    /// Whether the person's columns are in it.
    pub fn has_columns(self) -> bool {
        matches!(self, Self::TextColumns | Self::TextEngineeredColumns)
    }

    /// Whether columns engineered from the text are in it.
    pub fn has_engineered(self) -> bool {
        matches!(self, Self::TextEngineered | Self::TextEngineeredColumns)
    }
}

/// A model that labels without training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZeroshotSettings {
    /// Its folder (hub names are resolved before).
    pub model: PathBuf,
    /// As the user named it.
    pub model_name: String,
    /// The sentence that a label becomes, with `{}` in its place.
    pub hypothesis_template: String,
    /// Labels as the data spells them, with what is written in their place.
    pub candidate_labels: Vec<(String, String)>,
}

impl ZeroshotSettings {
    /// What is written for each of these labels.
    ///
    /// # Errors
    /// A candidate for a label that the data does not have.
    pub(super) fn candidates(&self, names: &[String]) -> Result<Vec<String>> {
        if let Some((name, _)) = self.candidate_labels.iter().find(|(name, _)| !names.contains(name)) {
            let hint = format!("the labels are {}", names.join(", "));
            return Err(Error::config("candidate_labels", format!("'{name}' is no label of the rows"), hint));
        }
        let words = |name: &String| {
            let given = self.candidate_labels.iter().find(|(label, _)| label == name);
            given.map_or_else(|| name.clone(), |(_, words)| words.clone())
        };
        Ok(names.iter().map(words).collect())
    }
}

/// How routes add tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VocabularySettings {
    /// Which ones.
    pub choose: ChooseSettings,
    /// Optimizer steps of adapting in which their rows learn alone; below 1 a share of all steps.
    pub warmup_steps: f64,
}

/// The person's columns that routes may use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableSettings {
    /// Names, `beginning*`, or `*` for all that have no other meaning.
    pub columns: Vec<String>,
    /// Columns whose kind is given and not inferred.
    pub kinds: Vec<(String, ColumnKind)>,
}

/// Where the labelled rows come from and what their columns mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelledSource {
    /// A file, a folder or a glob.
    pub source: String,
    /// Columns of the text; empty for the default column.
    pub text_columns: Vec<String>,
    /// Put between several text columns.
    pub text_column_delimiter: String,
    /// The column of the labels.
    pub label_column: String,
    /// What the labels are; inferred where absent.
    pub task: Option<Task>,
    /// Rows of one group stay on one side of the split.
    pub group_column: Option<String>,
    /// train, validation or test for each row.
    pub split_column: Option<String>,
    /// Earlier rows train, later rows test.
    pub time_column: Option<String>,
    /// Share of the rows to test on, where no split column is given.
    pub test_fraction: f64,
    /// Share of the rows to validate on.
    pub validation_fraction: f64,
    /// Only so many training labels are used.
    #[serde(skip)]
    pub label_budget: Option<LabelBudget>,
}

/// Where the unlabelled texts come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnlabelledSource {
    /// A file, a folder or a glob.
    pub source: String,
    /// The column of the text; the default column where absent.
    pub text_column: Option<String>,
    /// Only so many texts are read.
    pub limit: Option<u64>,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own that a person sets")]
pub struct CompareSettings {
    /// What the report is called.
    pub title: String,
    /// The encoder: a local folder (hub names are resolved before).
    pub model: PathBuf,
    /// The encoder as the user named it.
    pub model_name: String,
    /// The labelled rows.
    pub labelled: LabelledSource,
    /// The unlabelled texts; without them no route adapts.
    pub unlabelled: Option<UnlabelledSource>,
    /// Whether the training rows' own texts are adapted to as well.
    pub adapt_on_training_texts: bool,
    /// Whether texts of the test rows may stay among the unlabelled ones; the report says so.
    pub allow_test_text_in_unlabelled: bool,
    /// Routes, in the order of [`Route::ALL`].
    pub routes: Vec<Route>,
    /// What the learners of routes over an encoder are given, in the order of [`FeatureSet::ALL`].
    pub features: Vec<FeatureSet>,
    /// The person's columns, if any are named.
    pub table: Option<TableSettings>,
    /// How columns are prepared.
    pub preparation: PreparationSettings,
    /// Which columns are engineered from the texts.
    pub engineered: EngineeredSettings,
    /// How one network over texts and columns is trained, where there are columns; its seed is replaced by the run's.
    pub joint: Option<JointSettings>,
    /// Which learners are tried, the same for every route.
    pub learner: LearnerSettings,
    /// Whether the score is measured with fewer labels as well.
    pub label_curve: bool,
    /// Columns by whose values scores are told apart.
    pub slice_columns: Vec<String>,
    /// One run of each trained route a seed.
    pub seeds: Vec<u64>,
    /// Texts are cut to so many tokens.
    pub max_seq_length: Option<usize>,
    /// The main metric; the task's usual one where absent.
    pub metric: Option<Metric>,
    /// What encoders are adapted by.
    pub objective: AdaptObjective,
    /// How tokens are masked, in objectives that do.
    pub masking: MaskingSettings,
    /// Adaptation's training loop; its seed is replaced by the run's.
    pub adapt: TrainingSettings,
    /// What labels without training, where a route does.
    pub zeroshot: Option<ZeroshotSettings>,
    /// How tokens are added, where a route does.
    pub vocabulary: Option<VocabularySettings>,
    /// Share of the unlabelled texts held out to follow the loss, at most 2,000 texts.
    pub held_out_fraction: f64,
    /// Where the heads of fine-tuned encoders begin.
    pub head_init: HeadInit,
    /// Fine-tuning's loss.
    pub classification: ClassificationSettings,
    /// Fine-tuning's training loop; its seed is replaced by the run's.
    pub finetune: TrainingSettings,
    /// The loss of routes that train vectors; their training loop is fine-tuning's.
    pub contrastive: EmbeddingSettings,
    /// So many folds, each tested on by routes trained on the others, instead of one test part.
    pub out_of_fold: Option<u32>,
    /// Candidates for the classifier on embeddings.
    pub c_grid: Vec<f64>,
    /// Folds that choose among them.
    pub folds: u32,
    /// Differences in the main metric up to this size do not matter.
    pub rope: f64,
    /// Probability from which on a verdict is given.
    pub certainty: f64,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Everything is written here.
    pub output_dir: PathBuf,
    /// Seconds to plan within; no limit where absent.
    pub budget: Option<f64>,
    /// Share of the unlabelled texts on which adapting is tried first, to decide whether it is worth the rest.
    pub pilot: Option<f64>,
    /// Whether the vectors are judged while adapting.
    pub adaptation_curve: bool,
    /// Parts of the unlabelled texts that are adapted to as well, for the curve over their number.
    pub text_curve: Vec<f64>,
    /// What the budget is spent on; told in the report.
    #[serde(skip)]
    pub plan: Option<Plan>,
    /// How this encoder was chosen among several; told in the report.
    #[serde(skip)]
    pub ranking: Option<Ranking>,
    /// The same comparison with further encoders, whose routes are measured beside this one's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<CompareSettings>,
}
