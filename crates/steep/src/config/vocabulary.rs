//! What `steep vocab` can be asked.

use super::check::{at_least_one, fill, one_of, required, within};
use super::inspect::InspectFormat;
use super::training::Facts;
use crate::error::{Error, Result};
use crate::text::vocabulary::ChooseSettings;
use crate::training::{TrainingSettings, VocabularyWarmup};
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
        let choose = choose_settings(&mut self.num_new_tokens, &mut self.min_frequency)?;
        Ok((sources, choose, required("output_dir", self.output_dir.as_ref(), "FOLDER")?))
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

/// How new tokens are chosen; fills both keys in.
pub(super) fn choose_settings(
    num_new_tokens: &mut Option<u64>,
    min_frequency: &mut Option<u64>,
) -> Result<ChooseSettings> {
    let tokens = within("num_new_tokens", fill(num_new_tokens, || 2_000), 1..=200_000)?;
    let min_frequency = at_least_one("min_frequency", fill(min_frequency, || 10))?;
    Ok(ChooseSettings { num_new_tokens: tokens as usize, min_frequency })
}

/// The steps in which nothing but the rows of new tokens learns, of the training that `key` belongs to; fills it in.
pub(super) fn vocabulary_warmup(
    key: &mut Option<f64>,
    training: &TrainingSettings,
    facts: &Facts,
) -> Result<Option<VocabularyWarmup>> {
    let total_steps = training.total_steps(facts.rows as usize);
    let asked = within("vocabulary_warmup_steps", fill(key, || 0.0), 0.0..=total_steps as f64)?;
    let steps = VocabularyWarmup::steps_of(asked, total_steps);
    match facts.new_rows {
        _ if steps == 0 => Ok(None),
        Some(rows) => Ok(Some(VocabularyWarmup { steps, rows })),
        None => {
            let hint = "leave it out, or name a folder that `steep vocab extend` wrote";
            let problem = "needs new tokens, and this model has none";
            Err(Error::config("vocabulary_warmup_steps", problem, hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdaptRequest;
    use crate::training::NewRows;

    const FACTS: Facts =
        Facts { rows: 1000, hidden_size: 16, num_hidden_layers: 2, max_seq_length: 24, new_rows: None };

    #[test]
    fn new_tokens_learn_alone_for_steps_or_a_share_of_them() {
        let facts = Facts { new_rows: Some(NewRows { first: 48, end: 51 }), ..FACTS };
        let warmup = |asked: f64, facts: &Facts| {
            let mut request = AdaptRequest {
                vocabulary_warmup_steps: Some(asked),
                max_steps: Some(50),
                ..AdaptRequest::default()
            };
            request.resolve(facts).map(|settings| settings.training.freezing.vocabulary_warmup)
        };
        let steps = |asked: f64| warmup(asked, &facts).unwrap().map(|warmup| warmup.steps);
        assert_eq!([0.0, 0.1, 0.99, 7.0, 50.0].map(steps), [None, Some(5), Some(50), Some(7), Some(50)]);
        assert_eq!(warmup(7.0, &facts).unwrap().map(|warmup| warmup.rows), facts.new_rows);
        for (asked, facts) in [(51.0, &facts), (-0.1, &facts), (7.0, &FACTS)] {
            assert!(warmup(asked, facts).unwrap_err().to_string().starts_with("vocabulary_warmup_steps:"));
        }
        assert_eq!(warmup(0.0, &FACTS).unwrap(), None);
    }
}
