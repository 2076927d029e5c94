//! What `steep zeroshot` can be asked.

use super::check::{fill, required};
use super::choices::items;
use super::extract::{max_tokens, output_format, shard_rows};
use super::predict::PredictSources;
use super::values::List;
use crate::error::Result;
use crate::stages::{PredictSettings, ZeroShotSettings};
use std::path::PathBuf;

request! {
    /// Labels of texts without training, from a model of natural language inference.
    "zeroshot" ZeroshotRequest {
        /// A model trained to tell whether a sentence follows from a text: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        input_file: String, also ["input"], old ["test_file"];
        /// The labels, parted by commas; needed
        candidate_labels: List<String>, also ["labels"];
        /// The sentence that a label becomes, with {} in its place; default "This example is {}."
        hypothesis_template: String, also ["template"];
        /// Judge each label by itself, so that several or none may fit; default false
        multi_label: bool, old ["multi_class"];
        /// Columns of the text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// Read only so many rows; default all
        max_samples: u64, also ["limit"];
        /// The file to write, which ends in .parquet, .csv or .jsonl; needed
        output_file: PathBuf, also ["output"];
        /// The format of the file: parquet, csv or jsonl; default: by its ending
        output_format: String;
        /// Write the score of every label, not only of the predicted one; default true
        all_probabilities: bool, old ["return_all_scores"];
        /// Write the input's columns too; default true
        keep_columns: bool;
        /// Of longer pairs of text and sentence the text is cut, to so many tokens, at least 3; default: what the model
        /// folder says
        max_seq_length: u64;
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

/// The sentence that a label becomes by default, as in transformers.
pub(super) const TEMPLATE: &str = "This example is {}.";

impl ZeroshotRequest {
    /// What is read and written, checked as far as that needs no look at the data.
    pub fn sources(&mut self) -> Result<PredictSources> {
        let model = required("model_name_or_path", self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")?;
        Ok(PredictSources {
            model_name_or_path: model,
            model_revision: self.model_revision.clone(),
            input_file: required("input_file", self.input_file.as_ref(), "FILE")?,
            text_column_names: items(self.text_column_names.as_ref()),
            text_column_delimiter: Some(fill(&mut self.text_column_delimiter, || " ".to_owned())),
            limit: self.max_samples,
            output_file: required("output_file", self.output_file.as_ref(), "FILE")?,
        })
    }

    /// What the stage does; fills every key in.
    pub fn resolve(&mut self) -> Result<ZeroShotSettings> {
        let format = output_format(&mut self.output_format, self.output_file.as_ref())?;
        let labels = required("candidate_labels", self.candidate_labels.as_ref(), "LABEL,LABEL")?;
        Ok(ZeroShotSettings {
            predict: PredictSettings {
                max_seq_length: self.max_seq_length.map(|length| length as usize),
                dtype: super::dtype::asked(&mut self.dtype, &mut self.bf16)?,
                max_tokens: max_tokens(&mut self.max_tokens_per_micro_batch)?,
                keep_columns: fill(&mut self.keep_columns, || true),
                format,
                all_probabilities: fill(&mut self.all_probabilities, || true),
                calibrated: false,
                shard_rows: shard_rows(&mut self.shard_rows)?,
            },
            candidate_labels: labels.0,
            hypothesis_template: fill(&mut self.hypothesis_template, || TEMPLATE.to_owned()),
            multi_label: fill(&mut self.multi_label, || false),
        })
    }
}
