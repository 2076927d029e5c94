//! `config.json`: read by the field's names, checked before anything is allocated.

mod fields;
mod model_type;
mod names;

pub(crate) use fields::Fields;
pub use model_type::ModelType;

use crate::architectures::{self, albert, bart, deberta_v2, gpt2, modernbert, qwen3, t5};
use crate::error::{Error, Result};
use crate::heads::HeadKind;
use crate::ops::Activation;
use crate::pooling::PoolingMode;
use names::Names;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What the labels are, as in `config.json: problem_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemType {
    /// One class of several.
    SingleLabelClassification,
    /// Any subset of the classes.
    MultiLabelClassification,
    /// Numbers.
    Regression,
}

/// A checked `config.json`. Field names are transformers'; DistilBERT's own names are mapped.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which architecture.
    pub model_type: ModelType,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the encoder.
    pub hidden_size: usize,
    /// Width of the embeddings; differs from the hidden size in ELECTRA and ALBERT only.
    pub embedding_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads per layer.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Activation of the feed-forward part.
    pub hidden_act: Activation,
    /// Dropout after embeddings, attention output and feed-forward.
    pub hidden_dropout_prob: f32,
    /// Dropout on attention probabilities.
    pub attention_probs_dropout_prob: f32,
    /// Dropout in the classification head.
    pub classifier_dropout: f32,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding; 0 where the architecture has none.
    pub type_vocab_size: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f32,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f32,
    /// The padding token's id.
    pub pad_token_id: u32,
    /// Buckets of MPNet's relative positions.
    pub relative_attention_num_buckets: usize,
    /// Names of the labels, in order; empty when the file has none.
    pub labels: Vec<String>,
    /// What the labels are.
    pub problem_type: Option<ProblemType>,
    /// Whether the masked-LM decoder is the word embedding.
    pub tie_word_embeddings: bool,
    /// What only this family has.
    pub(crate) family: Family,
    /// The file as it was read; unknown fields survive saving.
    pub raw: Map<String, Value>,
}

/// What only one family has.
#[derive(Debug, Clone)]
pub(crate) enum Family {
    /// Nothing.
    Common,
    ModernBert(modernbert::Settings),
    Gpt2(gpt2::Settings),
    Qwen3(qwen3::Settings),
    Albert(albert::Settings),
    Bart(bart::Settings),
    T5(t5::Settings),
    DebertaV2(deberta_v2::Settings),
}

/// Sizes that a family's own fields are checked against.
pub(crate) struct Sizes {
    pub(crate) hidden_size: usize,
    num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    max_position_embeddings: usize,
}

impl Family {
    fn read(model_type: ModelType, fields: &Fields, sizes: &Sizes) -> Result<Self> {
        let layers = sizes.num_hidden_layers;
        Ok(match model_type {
            ModelType::ModernBert => Self::ModernBert(modernbert::Settings::read(fields, layers)?),
            ModelType::Gpt2 => Self::Gpt2(gpt2::Settings::read(fields)?),
            ModelType::Qwen3 | ModelType::Llama => {
                Self::Qwen3(qwen3::Settings::read(fields, model_type, sizes)?)
            }
            ModelType::Albert => Self::Albert(albert::Settings::read(fields, layers)?),
            ModelType::Bart | ModelType::Mbart => {
                Self::Bart(bart::Settings::read(fields, sizes.hidden_size)?)
            }
            ModelType::T5 => Self::T5(t5::Settings::read(fields, layers)?),
            ModelType::DebertaV2 => Self::DebertaV2(deberta_v2::Settings::read(
                fields,
                sizes.hidden_size,
                sizes.max_position_embeddings,
            )?),
            _ => Self::Common,
        })
    }
}

const MAX_VOCABULARY: usize = 4 << 20;
const MAX_POSITIONS: usize = 1 << 20;
const MAX_WIDTH: usize = 16_384;
const MAX_INTERMEDIATE: usize = 131_072;
const MAX_LAYERS: usize = 256;

impl Config {
    /// Reads and checks `folder/config.json`.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let raw: Map<String, Value> = serde_json::from_str(&text).map_err(|error| Error::Config {
            path: path.clone(),
            problem: error.to_string(),
            hint: "config.json must be one JSON object".into(),
        })?;
        Self::parse(raw, &path)
    }

    /// Checks the fields of a parsed `config.json`; `path` is for messages.
    pub fn parse(raw: Map<String, Value>, path: &Path) -> Result<Self> {
        let fields = Fields { raw: &raw, path };
        let model_type = fields.model_type()?;
        fields.refuse("is_decoder", &json!(false))?;
        fields.refuse("add_cross_attention", &json!(false))?;
        fields.refuse("position_embedding_type", &json!("absolute"))?;
        let names = Names::of(model_type);
        let size = |(name, default), largest| fields.size(name, default, largest);
        let dropout = |(name, default)| fields.number(name, default, 0.0..=0.99);

        let hidden_size = size(names.hidden_size, MAX_WIDTH)?;
        let num_hidden_layers = size(names.num_hidden_layers, MAX_LAYERS)?;
        let num_attention_heads = size(names.num_attention_heads, MAX_WIDTH)?;
        let max_position_embeddings = size(names.max_position_embeddings, MAX_POSITIONS)?;
        let sizes = Sizes { hidden_size, num_hidden_layers, num_attention_heads, max_position_embeddings };
        let has_own_head_dim = matches!(model_type, ModelType::Qwen3 | ModelType::Llama | ModelType::T5);
        if !has_own_head_dim && !hidden_size.is_multiple_of(num_attention_heads) {
            let problem =
                format!("hidden_size {hidden_size} is not a multiple of {num_attention_heads} heads");
            return Err(fields.error(problem, fields::DAMAGED));
        }
        let hidden_dropout_prob = dropout(names.hidden_dropout)?;
        let (classifier_name, classifier_default) = names.classifier_dropout;
        let is_roberta = model_type.is_roberta();
        let padding = usize::from(is_roberta || model_type == ModelType::Mpnet);
        let no_types = matches!(
            model_type,
            ModelType::DistilBert
                | ModelType::Mpnet
                | ModelType::ModernBert
                | ModelType::Gpt2
                | ModelType::Qwen3
                | ModelType::Llama
                | ModelType::Bart
                | ModelType::Mbart
                | ModelType::T5
        );
        let type_default = match model_type {
            ModelType::DebertaV2 => 0,
            _ if is_roberta => 1,
            _ => 2,
        };
        let embedding_size = match model_type {
            ModelType::Electra | ModelType::Albert => fields.size("embedding_size", 128, MAX_WIDTH)?,
            _ => hidden_size,
        };
        let intermediate_size = match size(names.intermediate_size, MAX_INTERMEDIATE)? {
            0 => 4 * hidden_size,
            size => size,
        };
        Ok(Self {
            model_type,
            vocab_size: fields.size("vocab_size", 30_522, MAX_VOCABULARY)?,
            hidden_size,
            embedding_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act: fields.activation(names.hidden_act.0, names.hidden_act.1)?,
            hidden_dropout_prob,
            attention_probs_dropout_prob: dropout(names.attention_dropout)?,
            classifier_dropout: dropout((
                classifier_name,
                classifier_default.unwrap_or(hidden_dropout_prob),
            ))?,
            max_position_embeddings,
            type_vocab_size: if no_types { 0 } else { fields.size("type_vocab_size", type_default, 1024)? },
            initializer_range: fields.number("initializer_range", 0.02, 0.0..=10.0)?,
            layer_norm_eps: fields.number(names.layer_norm_eps.0, names.layer_norm_eps.1, 0.0..=1.0)?,
            pad_token_id: fields.size("pad_token_id", padding, MAX_VOCABULARY)? as u32,
            relative_attention_num_buckets: fields.size("relative_attention_num_buckets", 32, 4096)?,
            labels: fields.labels()?,
            problem_type: fields.problem_type()?,
            tie_word_embeddings: fields.flag(names.tie_word_embeddings.0, names.tie_word_embeddings.1)?,
            family: Family::read(model_type, &fields, &sizes)?,
            raw,
        })
    }

    /// Refuses a head that the family does not have; `folder` is for the message.
    pub fn check_head(&self, folder: &Path, head_kind: HeadKind) -> Result<()> {
        let architecture = architectures::of(self.model_type);
        let predicts = architecture.predicts();
        let has_head = match head_kind {
            HeadKind::MaskedLm | HeadKind::CausalLm | HeadKind::Seq2Seq => head_kind == predicts,
            HeadKind::DecoderFeatures => architecture.has_decoder(),
            HeadKind::ReplacedTokens { .. } => architecture.finds_replaced_tokens(),
            _ => true,
        };
        if has_head {
            return Ok(());
        }
        let hint = match predicts {
            HeadKind::None => "take it for features and classification".to_owned(),
            other => format!("the family has a head for {}", other.words()),
        };
        let name = self.model_type.name();
        let problem = format!("model_type '{name}' has no head for {}", head_kind.words());
        Err(Error::Config { path: Self::file(folder), problem, hint })
    }

    /// The head that predicts tokens in this family: [`HeadKind::MaskedLm`], [`HeadKind::CausalLm`],
    /// [`HeadKind::Seq2Seq`], or [`HeadKind::None`].
    pub fn token_head(&self) -> HeadKind {
        architectures::of(self.model_type).predicts()
    }

    /// Pooling where a model folder says nothing: the last token of a decoder, which alone has listened to the whole
    /// text, else the mean.
    pub fn default_pooling(&self) -> PoolingMode {
        match self.token_head() {
            HeadKind::CausalLm => PoolingMode::LastToken,
            _ => PoolingMode::Mean,
        }
    }

    /// The longest sequence the position embedding allows.
    pub fn max_sequence_length(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position() as usize)
    }

    /// Position id of the first token.
    pub fn first_position(&self) -> u32 {
        match self.model_type {
            // transformers' MPNet has the padding id 1 in its code, whatever the config says.
            ModelType::Mpnet => 2,
            model_type if model_type.is_roberta() => self.pad_token_id + 1,
            _ => 0,
        }
    }

    /// Sets the labels, for a new classification head.
    pub fn set_labels(&mut self, labels: Vec<String>, problem_type: ProblemType) {
        self.labels = labels;
        self.problem_type = Some(problem_type);
    }

    /// The folder that a message about this config should name.
    pub(crate) fn file(folder: &Path) -> PathBuf {
        folder.join("config.json")
    }

    /// The JSON to save: the file as read, with what changed since.
    pub fn to_json(&self, architecture: &str) -> Value {
        let mut map = self.raw.clone();
        map.insert("architectures".into(), json!([architecture]));
        map.insert("model_type".into(), json!(self.model_type.name()));
        map.insert("vocab_size".into(), json!(self.vocab_size));
        map.remove("dtype");
        map.insert("torch_dtype".into(), json!("float32"));
        if !self.labels.is_empty() {
            let labels = || self.labels.iter().enumerate();
            let id2label: Map<_, _> = labels().map(|(id, label)| (id.to_string(), json!(label))).collect();
            let label2id: Map<_, _> = labels().map(|(id, label)| (label.clone(), json!(id))).collect();
            map.insert("id2label".into(), Value::Object(id2label));
            map.insert("label2id".into(), Value::Object(label2id));
        }
        if let Some(problem_type) = self.problem_type {
            map.insert("problem_type".into(), json!(problem_type));
        }
        Value::Object(map)
    }
}
