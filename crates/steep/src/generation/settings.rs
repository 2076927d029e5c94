//! How a text is written, and what a model folder says of it.

use crate::error::{Error, Result};
use crate::storage::read_json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// When a beam search ends before `max_new_tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyStopping {
    /// When the best text under way, scored at its present length, is worse than the worst finished one.
    #[default]
    Heuristic,
    /// When as many texts are finished as there are beams.
    Always,
    /// When no text under way can be better than the worst finished one at any length.
    Never,
}

impl EarlyStopping {
    /// transformers' values.
    pub const ALL: [(&'static str, Self); 3] =
        [("false", Self::Heuristic), ("true", Self::Always), ("never", Self::Never)];
}

/// Tokens that begin and end texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialIds {
    /// What the decoder reads before the first token.
    pub decoder_start: u32,
    /// Ends a text.
    pub eos: Option<u32>,
    /// The first token, whatever the model says.
    pub forced_bos: Option<u32>,
    /// The last token of a text that is still under way at `max_new_tokens`.
    pub forced_eos: Option<u32>,
}

/// How to write, with nothing left open. Names are transformers'.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationSettings {
    /// Beginnings that are followed at once; 1 is greedy search.
    pub num_beams: usize,
    /// Tokens of a text at most.
    pub max_new_tokens: usize,
    /// Before so many tokens no text ends.
    pub min_new_tokens: usize,
    /// Scores of finished beams are divided by their length to this power.
    pub length_penalty: f64,
    /// No run of so many tokens is written twice; 0 allows it.
    pub no_repeat_ngram_size: usize,
    /// When a beam search ends.
    pub early_stopping: EarlyStopping,
    /// Tokens that begin and end texts.
    pub tokens: SpecialIds,
}

/// What a model folder says of generation, in `generation_config.json` or, in older folders, in `config.json`.
#[derive(Debug, Clone)]
pub struct GenerationDefaults {
    model: String,
    fields: Map<String, Value>,
}

impl GenerationDefaults {
    /// Reads both files; the former wins. `config` is the folder's `config.json`.
    ///
    /// # Errors
    /// A file that is no JSON object.
    pub fn load(folder: &Path, config: &Map<String, Value>) -> Result<Self> {
        let path = folder.join(Self::FILE);
        let mut fields = config.clone();
        if path.is_file() {
            fields.extend(read_json::<Map<String, Value>>(&path)?);
        }
        fields.retain(|_, value| !value.is_null());
        Ok(Self { model: folder.display().to_string(), fields })
    }

    /// The file of a folder that says how its model writes.
    pub const FILE: &'static str = "generation_config.json";

    /// A whole number.
    ///
    /// # Errors
    /// Something else in its place.
    pub fn whole(&self, name: &str) -> Result<Option<usize>> {
        self.read(name, "a whole number", |value| {
            value.as_u64().and_then(|value| usize::try_from(value).ok())
        })
    }

    /// A number.
    ///
    /// # Errors
    /// Something else in its place.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", Value::as_f64)
    }

    /// transformers' `early_stopping`: true, false, or `never`.
    ///
    /// # Errors
    /// Something else in its place.
    pub fn early_stopping(&self) -> Result<Option<EarlyStopping>> {
        self.read("early_stopping", "true, false or \"never\"", |value| {
            let text = value
                .as_bool()
                .map_or_else(|| value.as_str().map(str::to_owned), |flag| Some(flag.to_string()));
            let found = EarlyStopping::ALL.iter().find(|(name, _)| text.as_deref() == Some(name));
            found.map(|(_, stopping)| *stopping)
        })
    }

    fn token(&self, name: &str) -> Result<Option<u32>> {
        self.read(name, "a token's id", |value| {
            // A list of several is read by its first.
            let value = value.as_array().map_or(Some(value), |list| list.first())?;
            value.as_u64().and_then(|id| u32::try_from(id).ok())
        })
    }

    /// The tokens that begin and end texts; `vocab_size` is the model's.
    ///
    /// # Errors
    /// A folder that does not say what the decoder begins with; an id that the vocabulary does not have.
    pub fn tokens(&self, vocab_size: usize) -> Result<SpecialIds> {
        let start = self.token("decoder_start_token_id")?.or(self.token("bos_token_id")?);
        let ids = SpecialIds {
            decoder_start: start.ok_or_else(|| {
                let hint = "add \"decoder_start_token_id\" to its config.json";
                Error::model(&self.model, "the folder has no decoder_start_token_id", hint)
            })?,
            eos: self.token("eos_token_id")?,
            forced_bos: self.token("forced_bos_token_id")?,
            forced_eos: self.token("forced_eos_token_id")?,
        };
        let all = [Some(ids.decoder_start), ids.eos, ids.forced_bos, ids.forced_eos];
        if let Some(id) = all.into_iter().flatten().find(|id| *id as usize >= vocab_size) {
            let problem =
                format!("token {id} of its generation settings is not in the vocabulary of {vocab_size}");
            return Err(Error::model(&self.model, problem, "take settings and weights of the same model"));
        }
        Ok(ids)
    }

    fn read<T>(&self, name: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.fields.get(name) else { return Ok(None) };
        let problem = || format!("{name} is {value}, expected {expected}");
        let hint = "mend generation_config.json or config.json";
        read(value).map(Some).ok_or_else(|| Error::model(&self.model, problem(), hint))
    }
}
