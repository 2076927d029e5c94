//! What `steep extract` can be asked.

use super::check::{at_least_one, fill, one_of, required, within};
use super::choices::items;
use super::engineered::engineered;
use super::values::List;
use crate::error::{Error, Result};
use crate::features::embed::{EmbedSettings, FeaturesFrom};
use crate::stages::{
    EngineerSettings, EngineeredColumns, ExtractSettings, ModelFolder, OutputFormat, OutputValue,
};
use crate::text::Truncation;
use std::path::PathBuf;
use steep_encoder::pooling::PoolingMode;

request! {
    /// Vectors of texts.
    "extract" ExtractRequest {
        /// The encoder: a folder, or a name on the hub; needed, but for engineered features alone
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        input_file: String, also ["input"], old ["train_file", "test_file"];
        /// Columns of the text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// Read only so many rows; default all
        max_samples: u64, also ["limit"], old ["max_predict_samples", "max_train_samples"];
        /// The file to write, which ends in .parquet, .npy, .csv or .jsonl; needed
        output_file: PathBuf, also ["output"];
        /// The format of the file: parquet, npy, csv or jsonl; default: by its ending
        output_format: String;
        /// How tokens become a vector: cls, max, mean, mean_sqrt_len, weightedmean, lasttoken; several are put one after
        /// the other; default: what the model folder says, else mean
        pooling: List<String>, old ["pooling_mode"];
        /// Of an encoder-decoder (bart, mbart, t5): encoder for the states of its encoder, decoder_last for the last ones of
        /// its decoder, which reads the text again and whose default pooling is lasttoken; default encoder
        features_from: String;
        /// Layers whose states are averaged, 0 being the embeddings and -1 the last; default -1
        layers: List<i64>;
        /// Bring vectors to length one; default: what the model folder says
        normalize_embeddings: bool, also ["normalize"];
        /// Keep only so many leading dimensions, 1 or more; default all
        truncate_dim: u64;
        /// Put before every text; default: the prompt that the model folder names as its default
        prompt: String;
        /// Put this prompt of the model folder before every text
        prompt_name: String;
        /// Pool the prompt's tokens too; default: what the model folder says
        include_prompt: bool;
        /// sentence_embedding for a vector a text, token_embeddings for one a token; default sentence_embedding
        output_value: String;
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64;
        /// What is kept of longer texts: head, or head_tail for a quarter from the beginning and the rest from the end;
        /// default head
        truncation: String;
        /// Write the input's columns too; default true, but false for .npy
        keep_columns: bool;
        /// Count things in the text (words, emoji, language …) and write them as columns text_…; default false
        engineered_features: bool;
        /// Which: length, style, links, emoji, emoticons, readability, scripts, language, tokens; default all
        engineered_families: List<String>;
        /// So many of the most frequent hashtags, emoji and languages get a column each; default 20
        engineered_top_k: u64;
        /// The file OUTPUT.engineered.json of another run, to write the same columns; default: they are learned here
        engineered_features_file: PathBuf;
        /// The column that says train for the rows from which it is learned what is frequent; default: from all rows
        split_column: String;
        /// Tokens that a thread computes at once, 1 or more; bounds the memory and changes no bit; default 2048
        max_tokens_per_micro_batch: u64, old ["max_batch_tokens"];
        /// Numbers in which the encoder computes: f32, bf16, int8, or auto for what is quick on this machine; default auto
        dtype: String, old ["torch_dtype"];
        /// The same as dtype = "bf16"
        bf16: bool;
        /// Rows of a shard, which is what a stop loses at most; default 16384
        shard_rows: u64;
    }
}

/// What is read and where the result goes.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractSources {
    /// The encoder, as the user named it; none where columns are engineered and nothing else.
    pub model_name_or_path: Option<String>,
    /// Its revision on the hub.
    pub model_revision: Option<String>,
    /// The texts.
    pub input_file: String,
    /// Their columns; none for the default column.
    pub text_column_names: Vec<String>,
    /// Put between the texts of several columns.
    pub text_column_delimiter: String,
    /// Only so many rows are read.
    pub limit: Option<u64>,
    /// Where the result goes.
    pub output_file: PathBuf,
}

impl ExtractRequest {
    /// What is read and written, checked as far as that needs no look at the data.
    pub fn sources(&mut self) -> Result<ExtractSources> {
        let model = match (&self.model_name_or_path, self.asks_for_engineered()) {
            (None, true) => None,
            (model, _) => Some(required("model_name_or_path", model.as_ref(), "FOLDER_OR_NAME")?),
        };
        Ok(ExtractSources {
            model_name_or_path: model,
            model_revision: self.model_revision.clone(),
            input_file: required("input_file", self.input_file.as_ref(), "FILE")?,
            text_column_names: items(self.text_column_names.as_ref()),
            text_column_delimiter: fill(&mut self.text_column_delimiter, || " ".to_owned()),
            limit: self.max_samples,
            output_file: required("output_file", self.output_file.as_ref(), "FILE")?,
        })
    }

    /// What the stage does; fills every key in.
    pub fn resolve(&mut self, model: &ModelFolder) -> Result<ExtractSettings> {
        let max_seq_length = model.max_seq_length(self.max_seq_length.map(|length| length as usize))?;
        self.max_seq_length = Some(max_seq_length as u64);
        let format = self.format()?;
        let truncation = fill(&mut self.truncation, || "head".to_owned());
        let value = fill(&mut self.output_value, || "sentence_embedding".to_owned());
        Ok(ExtractSettings {
            embed: self.embed(model)?,
            max_seq_length,
            truncation: one_of("truncation", &truncation, &TRUNCATIONS)?,
            prompt: self.prompt(model)?,
            output_value: one_of("output_value", &value, &OUTPUT_VALUES)?,
            format,
            shard_rows: shard_rows(&mut self.shard_rows)?,
            keep_columns: fill(&mut self.keep_columns, || format != OutputFormat::Npy),
            engineered: self.engineered()?,
        })
    }

    /// What is done without an encoder; fills the keys in that it needs.
    pub fn resolve_engineered(&mut self) -> Result<EngineerSettings> {
        let Some(engineered) = self.engineered()? else {
            return Err(Error::config(
                "model_name_or_path",
                "is needed",
                "give --model_name_or_path FOLDER_OR_NAME",
            ));
        };
        Ok(EngineerSettings {
            engineered,
            format: self.format()?,
            shard_rows: shard_rows(&mut self.shard_rows)?,
            keep_columns: fill(&mut self.keep_columns, || true),
        })
    }

    fn asks_for_engineered(&self) -> bool {
        self.engineered_features.unwrap_or(self.engineered_features_file.is_some())
    }

    fn engineered(&mut self) -> Result<Option<EngineeredColumns>> {
        if !self.asks_for_engineered() {
            let others = self.engineered_families.is_some() || self.engineered_top_k.is_some();
            if others && self.engineered_features.is_none() {
                let problem = "is needed for engineered_families and engineered_top_k";
                return Err(Error::config("engineered_features", problem, "set it to true"));
            }
            return Ok(None);
        }
        self.engineered_features = Some(true);
        if self.engineered_features_file.is_some() && self.engineered_families.is_some() {
            let problem = "says already which columns there are";
            return Err(Error::config("engineered_features_file", problem, "leave engineered_families out"));
        }
        let (mut families, mut top_k) = (self.engineered_families.clone(), self.engineered_top_k);
        let settings = engineered(&mut families, &mut top_k)?;
        if self.engineered_features_file.is_none() {
            (self.engineered_families, self.engineered_top_k) = (families, top_k);
        }
        Ok(Some(EngineeredColumns {
            settings,
            spec_file: self.engineered_features_file.clone(),
            split_column: self.split_column.clone(),
        }))
    }

    fn format(&mut self) -> Result<OutputFormat> {
        output_format(&mut self.output_format, self.output_file.as_ref())
    }

    fn embed(&mut self, model: &ModelFolder) -> Result<EmbedSettings> {
        let dtype = super::dtype::resolve(&mut self.dtype, &mut self.bf16)?;
        let folder = model.embed_settings(dtype);
        let names = |modes: &[PoolingMode]| modes.iter().map(|mode| mode.name().to_owned()).collect();
        let features_from = fill(&mut self.features_from, || "encoder".to_owned());
        let features_from = one_of("features_from", &features_from, &FeaturesFrom::ALL)?;
        model.config.check_head(&model.path, features_from.head_kind())?;
        let usual = match features_from {
            FeaturesFrom::Encoder => folder.pooling,
            FeaturesFrom::DecoderLast => vec![PoolingMode::LastToken],
        };
        let pooling = fill(&mut self.pooling, || List(names(&usual))).0;
        let known = PoolingMode::ALL.map(|(mode, name, _)| (name, mode));
        let pooling = pooling.iter().map(|name| match PoolingMode::from_name(name) {
            Some(mode) => Ok(mode),
            None => one_of("pooling", name, &known),
        });
        let truncate_dim = self.truncate_dim.map(|dim| at_least_one("truncate_dim", dim)).transpose()?;
        Ok(EmbedSettings {
            features_from,
            pooling: pooling.collect::<Result<_>>()?,
            layers: fill(&mut self.layers, || List(folder.layers)).0,
            normalize: fill(&mut self.normalize_embeddings, || folder.normalize),
            truncate_dim: truncate_dim.map(|dim| dim as usize),
            include_prompt: fill(&mut self.include_prompt, || folder.include_prompt),
            dtype,
            max_tokens: max_tokens(&mut self.max_tokens_per_micro_batch)?,
        })
    }

    /// The prompt, from the name if one is given; the name is then replaced by what it stands for.
    fn prompt(&mut self, model: &ModelFolder) -> Result<Option<String>> {
        let modules = model.modules.as_ref();
        let default_name = modules.and_then(|modules| modules.default_prompt_name.clone());
        let name = match (&self.prompt, self.prompt_name.take()) {
            (Some(prompt), None) => return Ok(Some(prompt.clone()).filter(|prompt| !prompt.is_empty())),
            (Some(_), Some(_)) => {
                return Err(Error::config("prompt_name", "there is a prompt as well", "give one of the two"));
            }
            (None, name) => name.or(default_name),
        };
        let Some(name) = name else { return Ok(None) };
        let prompts: Vec<(&str, &String)> = modules
            .iter()
            .flat_map(|modules| &modules.prompts)
            .map(|(name, prompt)| (name.as_str(), prompt))
            .collect();
        let prompt = one_of("prompt_name", &name, &prompts)?.clone();
        self.prompt = Some(prompt.clone());
        Ok(Some(prompt).filter(|prompt| !prompt.is_empty()))
    }
}

/// The format of an output file: as asked, else by its ending.
pub(super) fn output_format(asked: &mut Option<String>, file: Option<&PathBuf>) -> Result<OutputFormat> {
    if let Some(name) = asked {
        return one_of("output_format", name, &FORMATS);
    }
    let file = file.ok_or_else(|| Error::config("output_file", "is needed", "give --output_file FILE"))?;
    let format = OutputFormat::from_path(file)?;
    *asked = FORMATS.iter().find(|(_, known)| *known == format).map(|(name, _)| (*name).to_owned());
    Ok(format)
}

/// Tokens computed at once without gradients.
pub(super) fn max_tokens(asked: &mut Option<u64>) -> Result<usize> {
    let tokens = fill(asked, || EmbedSettings::DEFAULT_MAX_TOKENS as u64);
    Ok(within("max_tokens_per_micro_batch", tokens, 1..=1 << 24)? as usize)
}

/// Rows of a shard.
pub(super) fn shard_rows(asked: &mut Option<u64>) -> Result<usize> {
    let rows = fill(asked, || ExtractSettings::DEFAULT_SHARD_ROWS as u64);
    Ok(within("shard_rows", rows, 1..=1 << 24)? as usize)
}

const FORMATS: [(&str, OutputFormat); 4] = [
    ("parquet", OutputFormat::Parquet),
    ("npy", OutputFormat::Npy),
    ("csv", OutputFormat::Csv),
    ("jsonl", OutputFormat::Jsonl),
];

const TRUNCATIONS: [(&str, Truncation); 2] =
    [("head", Truncation::Head), ("head_tail", Truncation::HeadTail)];

const OUTPUT_VALUES: [(&str, OutputValue); 2] = [
    ("sentence_embedding", OutputValue::SentenceEmbedding),
    ("token_embeddings", OutputValue::TokenEmbeddings),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_asked_for_or_told_by_the_ending() {
        let (npy, odd) = (PathBuf::from("a.npy"), PathBuf::from("a.dat"));
        let mut asked = None;
        assert_eq!(output_format(&mut asked, Some(&npy)).unwrap(), OutputFormat::Npy);
        assert_eq!(asked.as_deref(), Some("npy"));
        assert_eq!(output_format(&mut Some("csv".into()), Some(&odd)).unwrap(), OutputFormat::Csv);
        assert!(output_format(&mut None, Some(&odd)).is_err());
        assert!(output_format(&mut Some("xls".into()), Some(&npy)).is_err());
    }
}
