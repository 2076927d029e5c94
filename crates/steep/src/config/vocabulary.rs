//! What `steep vocab` can be asked.

use super::check::{at_least_one, fill, one_of, required, within};
use super::inspect::InspectFormat;
use crate::error::Result;
use crate::text::vocabulary::ChooseSettings;
use std::path::PathBuf;

request! {
    /// How well a tokenizer knows the words of a corpus.
    "vocab report" VocabReportRequest {
        /// The model: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        train_file: String, also ["input"];
        /// The column of the texts; default text, or the only column of strings, or the first
        text_column_name: String, also ["text_column"];
        /// Read only so many texts; default all
        max_train_samples: u64, also ["limit"];
        /// General text to compare with, one text a line; default: a sample that comes with steep
        general_file: String;
        /// So many of the words that cost most tokens are shown; default 20
        num_words: u64;
        /// How it is told: text or json; default text
        format: String;
    }
}

request! {
    /// New tokens for a model, chosen by the tokens they save.
    "vocab extend" VocabExtendRequest {
        /// The model: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        train_file: String, also ["input"];
        /// The column of the texts; default text, or the only column of strings, or the first
        text_column_name: String, also ["text_column"];
        /// Read only so many texts; default all
        max_train_samples: u64, also ["limit"];
        /// The folder to write the extended model into; needed
        output_dir: PathBuf, also ["output"];
        /// Tokens to add at most, from 1 to 200000; default 2000
        num_new_tokens: u64;
        /// A new token must occur so often in the texts; default 10
        min_frequency: u64;
        /// So many of the new tokens are shown; default 20
        num_words: u64;
    }
}

request! {
    /// A model without the tokens that were added to it.
    "vocab undo" VocabUndoRequest {
        /// The folder that `steep vocab extend` wrote; needed
        model_name_or_path: String, also ["model"];
        /// The folder to write the original model into; needed
        output_dir: PathBuf, also ["output"];
    }
}

/// Which model, and which texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VocabSources {
    /// The model as the user named it.
    pub model_name_or_path: String,
    /// Its revision on the hub.
    pub model_revision: Option<String>,
    /// The texts.
    pub train_file: String,
    /// Their column; none for the default one.
    pub text_column_name: Option<String>,
    /// Only so many are read.
    pub limit: Option<u64>,
    /// So many words or tokens are shown.
    pub num_words: usize,
}

impl VocabSources {
    /// Checks what is needed, and fills `num_words` in.
    fn new(
        model: Option<&String>,
        model_revision: Option<&String>,
        train_file: Option<&String>,
        text_column_name: Option<&String>,
        limit: Option<u64>,
        num_words: &mut Option<u64>,
    ) -> Result<Self> {
        Ok(Self {
            model_name_or_path: required("model_name_or_path", model, "FOLDER_OR_NAME")?,
            model_revision: model_revision.cloned(),
            train_file: required("train_file", train_file, "FILE")?,
            text_column_name: text_column_name.cloned(),
            limit,
            num_words: fill(num_words, || SHOWN) as usize,
        })
    }
}

impl VocabReportRequest {
    /// What is read, and how the facts are told; fills every key in.
    pub fn resolve(&mut self) -> Result<(VocabSources, InspectFormat)> {
        let format = fill(&mut self.format, || "text".to_owned());
        let known = [("text", InspectFormat::Text), ("json", InspectFormat::Json)];
        let sources = VocabSources::new(
            self.model_name_or_path.as_ref(),
            self.model_revision.as_ref(),
            self.train_file.as_ref(),
            self.text_column_name.as_ref(),
            self.max_train_samples,
            &mut self.num_words,
        )?;
        Ok((sources, one_of("format", &format, &known)?))
    }
}

impl VocabExtendRequest {
    /// What is read, how tokens are chosen, and where the model goes; fills every key in.
    pub fn resolve(&mut self) -> Result<(VocabSources, ChooseSettings, PathBuf)> {
        let sources = VocabSources::new(
            self.model_name_or_path.as_ref(),
            self.model_revision.as_ref(),
            self.train_file.as_ref(),
            self.text_column_name.as_ref(),
            self.max_train_samples,
            &mut self.num_words,
        )?;
        let tokens = within("num_new_tokens", fill(&mut self.num_new_tokens, || 2_000), 1..=200_000)?;
        let min_frequency = at_least_one("min_frequency", fill(&mut self.min_frequency, || 10))?;
        let output = required("output_dir", self.output_dir.as_ref(), "FOLDER")?;
        Ok((sources, ChooseSettings { num_new_tokens: tokens as usize, min_frequency }, output))
    }
}

impl VocabUndoRequest {
    /// The extended folder, and where the original goes.
    pub fn resolve(&self) -> Result<(PathBuf, PathBuf)> {
        let folder = required("model_name_or_path", self.model_name_or_path.as_ref(), "FOLDER")?;
        Ok((PathBuf::from(folder), required("output_dir", self.output_dir.as_ref(), "FOLDER")?))
    }
}

/// Words that are shown by default.
const SHOWN: u64 = 20;
