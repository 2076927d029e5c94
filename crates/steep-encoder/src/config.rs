//! `config.json`: read by the field's names, checked before anything is allocated.

use crate::error::{Error, Result};
use crate::ops::Activation;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The supported architectures, named as in `config.json: model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelType {
    /// Devlin et al. 2018
    Bert,
    /// Sanh et al. 2019
    DistilBert,
    /// Liu et al. 2019
    Roberta,
    /// Conneau et al. 2019
    XlmRoberta,
    /// Martin et al. 2019
    Camembert,
    /// Song et al. 2020
    Mpnet,
    /// Clark et al. 2020
    Electra,
}

impl ModelType {
    /// All of them, with their names in `config.json`.
    pub const ALL: [(&'static str, Self); 7] = [
        ("bert", Self::Bert),
        ("distilbert", Self::DistilBert),
        ("roberta", Self::Roberta),
        ("xlm-roberta", Self::XlmRoberta),
        ("camembert", Self::Camembert),
        ("mpnet", Self::Mpnet),
        ("electra", Self::Electra),
    ];

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, model_type)| *model_type == self);
        found.map_or("", |(name, _)| name)
    }

    /// RoBERTa's code with other vocabularies.
    pub fn is_roberta(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta | Self::Camembert)
    }

    /// Prefix of the transformers classes: `Bert` of `BertForMaskedLM`.
    pub fn class_prefix(self) -> &'static str {
        match self {
            Self::Bert => "Bert",
            Self::DistilBert => "DistilBert",
            Self::Roberta => "Roberta",
            Self::XlmRoberta => "XLMRoberta",
            Self::Camembert => "Camembert",
            Self::Mpnet => "MPNet",
            Self::Electra => "Electra",
        }
    }
}

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
    /// Width of the embeddings; differs from the hidden size in ELECTRA only.
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
    /// The file as it was read; unknown fields survive saving.
    pub raw: Map<String, Value>,
}

/// Reads fields of one file, with errors that name the field.
struct Fields<'a> {
    raw: &'a Map<String, Value>,
    path: &'a Path,
}

impl Fields<'_> {
    fn error(&self, problem: String, hint: &str) -> Error {
        Error::Config { path: self.path.to_path_buf(), problem, hint: hint.into() }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.raw.get(name).filter(|value| !value.is_null())
    }

    /// An integer of `1..=largest` (or `0..=`, if `default` is 0).
    fn size(&self, name: &str, default: usize, largest: usize) -> Result<usize> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let smallest = usize::from(default != 0);
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (smallest..=largest).contains(size)).ok_or_else(|| {
            self.error(
                format!("{name} is {value}, expected an integer from {smallest} to {largest}"),
                "the file may be damaged; download the model again",
            )
        })
    }

    fn number(&self, name: &str, default: f32, range: std::ops::RangeInclusive<f32>) -> Result<f32> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.as_f64().map(|number| number as f32);
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.error(
                format!("{name} is {value}, expected a number from {low} to {high}"),
                "the file may be damaged; download the model again",
            )
        })
    }

    fn activation(&self, name: &str) -> Result<Activation> {
        let value = self.get(name).and_then(Value::as_str).unwrap_or("gelu");
        Ok(match value {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "tanh" => Activation::Tanh,
            "silu" | "swish" => Activation::Silu,
            other => {
                return Err(self.error(
                    format!("{name} '{other}' is not supported"),
                    "supported: gelu, gelu_new, gelu_pytorch_tanh, relu, tanh, silu",
                ));
            }
        })
    }

    /// Refuses a field whose value means a computation that is not implemented.
    fn refuse(&self, name: &str, supported: &Value) -> Result<()> {
        match self.get(name) {
            Some(value) if value != supported => Err(self.error(
                format!("{name} = {value} is not supported (only {supported})"),
                "choose a plain encoder checkpoint",
            )),
            _ => Ok(()),
        }
    }

    fn labels(&self) -> Result<Vec<String>> {
        let Some(map) = self.get("id2label").and_then(Value::as_object) else { return Ok(Vec::new()) };
        let label = |id: usize| map.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned);
        let labels: Option<Vec<String>> = (0..map.len()).map(label).collect();
        labels.ok_or_else(|| {
            self.error(
                "id2label does not name the labels 0, 1, 2 …".into(),
                "write id2label as {\"0\": \"first\", \"1\": \"second\"}",
            )
        })
    }

    fn problem_type(&self) -> Result<Option<ProblemType>> {
        let Some(value) = self.get("problem_type") else { return Ok(None) };
        serde_json::from_value(value.clone()).map(Some).map_err(|_| {
            self.error(
                format!("problem_type is {value}"),
                "use single_label_classification, multi_label_classification or regression",
            )
        })
    }

    fn model_type(&self) -> Result<ModelType> {
        let names = ModelType::ALL.map(|(name, _)| name).join(", ");
        let Some(value) = self.get("model_type").and_then(Value::as_str) else {
            return Err(
                self.error("model_type is missing".into(), &format!("add \"model_type\", one of {names}"))
            );
        };
        let found = ModelType::ALL.iter().find(|(name, _)| *name == value);
        found.map(|(_, model_type)| *model_type).ok_or_else(|| {
            self.error(format!("model_type '{value}' is not supported"), &format!("supported: {names}"))
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
        let distil = model_type == ModelType::DistilBert;
        let name = |usual: &'static str, distil_name: &'static str| if distil { distil_name } else { usual };
        let roberta = model_type.is_roberta() || model_type == ModelType::Mpnet;
        let dropout = 0.0..=0.99;

        let hidden_size = fields.size(name("hidden_size", "dim"), 768, MAX_WIDTH)?;
        let num_attention_heads = fields.size(name("num_attention_heads", "n_heads"), 12, MAX_WIDTH)?;
        if !hidden_size.is_multiple_of(num_attention_heads) {
            let problem =
                format!("hidden_size {hidden_size} is not a multiple of {num_attention_heads} heads");
            return Err(fields.error(problem, "the file may be damaged; download the model again"));
        }
        let hidden_dropout_prob =
            fields.number(name("hidden_dropout_prob", "dropout"), 0.1, dropout.clone())?;
        let classifier_default = if distil { 0.2 } else { hidden_dropout_prob };
        let electra = model_type == ModelType::Electra;
        let no_types = distil || model_type == ModelType::Mpnet;
        let type_default = if model_type.is_roberta() { 1 } else { 2 };
        let embedding_size =
            if electra { fields.size("embedding_size", 128, MAX_WIDTH)? } else { hidden_size };
        Ok(Self {
            model_type,
            vocab_size: fields.size("vocab_size", 30_522, MAX_VOCABULARY)?,
            hidden_size,
            embedding_size,
            num_hidden_layers: fields.size(
                name("num_hidden_layers", "n_layers"),
                if distil { 6 } else { 12 },
                MAX_LAYERS,
            )?,
            num_attention_heads,
            intermediate_size: fields.size(
                name("intermediate_size", "hidden_dim"),
                3072,
                MAX_INTERMEDIATE,
            )?,
            hidden_act: fields.activation(name("hidden_act", "activation"))?,
            hidden_dropout_prob,
            attention_probs_dropout_prob: fields.number(
                name("attention_probs_dropout_prob", "attention_dropout"),
                0.1,
                dropout.clone(),
            )?,
            classifier_dropout: fields.number(
                name("classifier_dropout", "seq_classif_dropout"),
                classifier_default,
                dropout,
            )?,
            max_position_embeddings: fields.size("max_position_embeddings", 512, MAX_POSITIONS)?,
            type_vocab_size: if no_types { 0 } else { fields.size("type_vocab_size", type_default, 1024)? },
            initializer_range: fields.number("initializer_range", 0.02, 0.0..=10.0)?,
            layer_norm_eps: if distil { 1e-12 } else { fields.number("layer_norm_eps", 1e-12, 0.0..=1.0)? },
            pad_token_id: fields.size("pad_token_id", usize::from(roberta), MAX_VOCABULARY)? as u32,
            relative_attention_num_buckets: fields.size("relative_attention_num_buckets", 32, 4096)?,
            labels: fields.labels()?,
            problem_type: fields.problem_type()?,
            tie_word_embeddings: fields.get("tie_word_embeddings").is_none_or(|value| value != &json!(false)),
            raw,
        })
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
