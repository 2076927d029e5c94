//! What `steep generate` can be asked.

use super::check::{fill, one_of, required, within};
use super::choices::items;
use super::extract::{max_tokens, output_format, shard_rows};
use super::values::List;
use crate::error::Result;
use crate::generation::{EarlyStopping, GenerationDefaults, GenerationSettings};
use crate::stages::{GenerateSettings, ModelFolder};
use std::path::PathBuf;
use steep_encoder::HeadKind;

request! {
    /// Texts that an encoder-decoder writes after others.
    "generate" GenerateRequest {
        /// The model, of type bart or mbart: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        input_file: String, also ["input"], old ["test_file"];
        /// Columns of the text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// The column of what should be written: ROUGE, BLEU and chrF are told; default none
        reference_column: String, old ["summary_column", "target_column", "target_column_name"];
        /// Read only so many rows; default all
        max_samples: u64, also ["limit"], old ["max_predict_samples"];
        /// The file to write, which ends in .parquet, .csv or .jsonl; needed
        output_file: PathBuf, also ["output"];
        /// The format of the file: parquet, csv or jsonl; default: by its ending
        output_format: String;
        /// Beginnings that are followed at once, from 1 to 64; 1 always takes the likeliest token; default: what the model
        /// folder says, else 1
        num_beams: u64;
        /// Tokens of a written text at most, 1 or more; default: the max_length of the model folder, else 20
        max_new_tokens: u64, old ["max_target_length"];
        /// Before so many tokens no text ends; default: the min_length of the model folder, else 0
        min_new_tokens: u64;
        /// The sum of a beam's log-probabilities is divided by its length to this power: above 0 favours long texts; from
        /// -10 to 10; default: what the model folder says, else 1
        length_penalty: f64;
        /// No run of so many tokens is written twice; 0 allows it; default: what the model folder says, else 0
        no_repeat_ngram_size: u64;
        /// When a beam search ends: true at as many finished texts as beams, false also when the best text under way is
        /// worse than those, never when none can be better; default: what the model folder says, else false
        early_stopping: String;
        /// Write the input's columns too; default true
        keep_columns: bool;
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64, old ["max_source_length"];
        /// Tokens read at once, 1 or more; bounds the memory and changes no bit; default 2048
        max_tokens_per_micro_batch: u64, old ["max_batch_tokens"];
        /// Numbers in which the model computes: f32, bf16, int8, or auto for what is quick on this machine; default auto
        dtype: String, old ["torch_dtype"];
        /// The same as dtype = "bf16"
        bf16: bool;
        /// Rows of a shard, which is what a stop loses at most; default 16384
        shard_rows: u64;
    }
}

/// What is read and where the result goes.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateSources {
    /// The model, as the user named it.
    pub model_name_or_path: String,
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

impl GenerateRequest {
    /// What is read and written, checked as far as that needs no look at the data.
    pub fn sources(&mut self) -> Result<GenerateSources> {
        let model = required("model_name_or_path", self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")?;
        Ok(GenerateSources {
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
    ///
    /// # Errors
    /// A family that writes no texts; a value outside its range.
    pub fn resolve(&mut self, model: &ModelFolder) -> Result<GenerateSettings> {
        model.config.check_head(&model.path, HeadKind::Seq2Seq)?;
        let max_seq_length = model.max_seq_length(self.max_seq_length.map(|length| length as usize))?;
        self.max_seq_length = Some(max_seq_length as u64);
        Ok(GenerateSettings {
            generation: self.generation(model)?,
            max_seq_length,
            dtype: super::dtype::resolve(&mut self.dtype, &mut self.bf16)?,
            max_tokens: max_tokens(&mut self.max_tokens_per_micro_batch)?,
            reference_column: self.reference_column.clone(),
            keep_columns: fill(&mut self.keep_columns, || true),
            format: output_format(&mut self.output_format, self.output_file.as_ref())?,
            shard_rows: shard_rows(&mut self.shard_rows)?,
        })
    }

    fn generation(&mut self, model: &ModelFolder) -> Result<GenerationSettings> {
        let folder = GenerationDefaults::load(&model.path, &model.config.raw)?;
        let whole = |name: &str| folder.whole(name).map(|value| value.map(|value| value as u64));
        // The first token, which begins every text, counts in the folder's lengths.
        let most = whole("max_new_tokens")?.or(whole("max_length")?.map(|length| length.saturating_sub(1)));
        let fewest = whole("min_new_tokens")?.or(whole("min_length")?.map(|length| length.saturating_sub(1)));
        let (beams, run) = (whole("num_beams")?, whole("no_repeat_ngram_size")?);
        let (penalty, stopping) = (folder.number("length_penalty")?, folder.early_stopping()?);
        let positions = model.config.max_sequence_length() as u64;
        let max_new_tokens = fill(&mut self.max_new_tokens, || most.unwrap_or(20).clamp(1, positions));
        let early_stopping = fill(&mut self.early_stopping, || {
            let stopping = stopping.unwrap_or_default();
            let name = EarlyStopping::ALL.iter().find(|(_, known)| *known == stopping);
            name.map_or("false", |(name, _)| name).to_owned()
        });
        let num_beams = fill(&mut self.num_beams, || beams.unwrap_or(1));
        let min_new_tokens = fill(&mut self.min_new_tokens, || fewest.unwrap_or(0).min(max_new_tokens));
        let length_penalty = fill(&mut self.length_penalty, || penalty.unwrap_or(1.0));
        let no_repeat_ngram_size = fill(&mut self.no_repeat_ngram_size, || run.unwrap_or(0));
        Ok(GenerationSettings {
            num_beams: within("num_beams", num_beams, 1..=64)? as usize,
            max_new_tokens: within("max_new_tokens", max_new_tokens, 1..=positions)? as usize,
            min_new_tokens: within("min_new_tokens", min_new_tokens, 0..=max_new_tokens)? as usize,
            length_penalty: within("length_penalty", length_penalty, -10.0..=10.0)?,
            no_repeat_ngram_size: no_repeat_ngram_size as usize,
            early_stopping: one_of("early_stopping", &early_stopping, &EarlyStopping::ALL)?,
            tokens: folder.tokens(model.config.vocab_size)?,
        })
    }
}
