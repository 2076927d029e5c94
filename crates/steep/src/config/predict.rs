//! What `steep predict` can be asked.

use super::check::{fill, required};
use super::choices::items;
use super::extract::{max_tokens, output_format, shard_rows};
use super::values::List;
use crate::error::Result;
use crate::stages::PredictSettings;
use std::path::PathBuf;

request! {
    /// Labels and probabilities of texts, from a trained folder.
    "predict" PredictRequest {
        /// The folder that finetune, classify or compare wrote, or a classification model's folder or name on the hub;
        /// needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        input_file: String, also ["input"], old ["test_file"];
        /// Columns of the text; default: those of the training where the folder knows them, else text, or the only column
        /// of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default: as in training where the folder knows it, else a space
        text_column_delimiter: String;
        /// Read only so many rows; default all
        max_samples: u64, also ["limit"], old ["max_predict_samples"];
        /// The file to write, which ends in .parquet, .csv or .jsonl; needed
        output_file: PathBuf, also ["output"];
        /// The format of the file: parquet, csv or jsonl; default: by its ending
        output_format: String;
        /// Write the probability of every label, not only of the predicted one; default true
        all_probabilities: bool, old ["return_all_scores"];
        /// Make probabilities honest with the temperature that compare leaves in its winner's folder; default true
        calibrated: bool;
        /// Write the input's columns too; default true
        keep_columns: bool;
        /// Longer texts are cut to so many tokens, at least 3; default: as in training
        max_seq_length: u64;
        /// Tokens that a thread computes at once, 1 or more; bounds the memory and changes no bit; default 2048
        max_tokens_per_micro_batch: u64, old ["max_batch_tokens"];
        /// Numbers in which the encoder computes: f32, bf16, int8, or auto for those in which a classifier's features were
        /// made, and else what is quick on this machine; default auto
        dtype: String, old ["torch_dtype"];
        /// The same as dtype = "bf16"
        bf16: bool;
        /// Rows of a shard, which is what a stop loses at most; default 16384
        shard_rows: u64;
    }
}

/// What is read and where the result goes.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictSources {
    /// The trained folder, as the user named it.
    pub model_name_or_path: String,
    /// Its revision on the hub.
    pub model_revision: Option<String>,
    /// The texts.
    pub input_file: String,
    /// Their columns; none for the default column.
    pub text_column_names: Vec<String>,
    /// Put between the texts of several columns, where it is given.
    pub text_column_delimiter: Option<String>,
    /// Only so many rows are read.
    pub limit: Option<u64>,
    /// Where the result goes.
    pub output_file: PathBuf,
}

impl PredictRequest {
    /// What is read and written, checked as far as that needs no look at the data.
    pub fn sources(&mut self) -> Result<PredictSources> {
        Ok(PredictSources {
            model_name_or_path: required(
                "model_name_or_path",
                self.model_name_or_path.as_ref(),
                "FOLDER_OR_NAME",
            )?,
            model_revision: self.model_revision.clone(),
            input_file: required("input_file", self.input_file.as_ref(), "FILE")?,
            text_column_names: items(self.text_column_names.as_ref()),
            text_column_delimiter: self.text_column_delimiter.clone(),
            limit: self.max_samples,
            output_file: required("output_file", self.output_file.as_ref(), "FILE")?,
        })
    }

    /// What the stage does; fills every key in.
    pub fn resolve(&mut self) -> Result<PredictSettings> {
        let format = output_format(&mut self.output_format, self.output_file.as_ref())?;
        Ok(PredictSettings {
            max_seq_length: self.max_seq_length.map(|length| length as usize),
            dtype: super::dtype::asked(&mut self.dtype, &mut self.bf16)?,
            max_tokens: max_tokens(&mut self.max_tokens_per_micro_batch)?,
            keep_columns: fill(&mut self.keep_columns, || true),
            format,
            all_probabilities: fill(&mut self.all_probabilities, || true),
            calibrated: fill(&mut self.calibrated, || true),
            shard_rows: shard_rows(&mut self.shard_rows)?,
        })
    }
}
