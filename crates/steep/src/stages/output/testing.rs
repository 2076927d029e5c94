//! A tiny encoder, texts, and a stop at a chosen moment, for tests of the stages.

use crate::config::Dtype;
use crate::features::embed::{EmbedSettings, FeaturesFrom};
use crate::progress::{Cancel, Context, Progress, Silent};
use crate::stages::{ExtractInput, ExtractSettings, ModelFolder, OutputFormat, OutputValue};
use crate::text::Truncation;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use steep_encoder::pooling::PoolingMode;

/// A folder of the goldens with a tokenizer of letters: a word becomes its letters, `##` before all but the first.
pub(crate) fn model_folder(target: &Path, golden: &str) -> PathBuf {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/encoders/bert")).join(golden);
    let folder = target.join(golden);
    fs::create_dir_all(&folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = ('a'..='z').map(|letter| letter.to_string());
    let pieces = ('a'..='q').map(|letter| format!("##{letter}"));
    let vocabulary: Vec<String> = special.into_iter().chain(letters).chain(pieces).collect();
    assert_eq!(vocabulary.len(), 48, "the golden's vocab_size");
    fs::write(folder.join("vocab.txt"), vocabulary.join("\n") + "\n").unwrap();
    folder
}

/// Texts of different lengths, some of them too long, one of them empty.
pub(in crate::stages) fn texts(rows: usize) -> Vec<String> {
    let words = ["a bad cab", "feed me", "", "one of many cages", "hi", "qed and more of all the like here"];
    (0..rows).map(|row| format!("{}{}", words[row % 6], " ab".repeat(row / 6 % 5))).collect()
}

/// A CSV file with the columns `id` and `text`.
pub(in crate::stages) fn text_file(folder: &Path, rows: usize) -> String {
    let path = folder.join("texts.csv");
    let lines = texts(rows).into_iter().enumerate().map(|(id, text)| format!("{id},{text}\n"));
    fs::write(&path, format!("id,text\n{}", lines.collect::<String>())).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Mean and first token of the last layer, shards of five rows.
pub(in crate::stages) fn settings(format: OutputFormat) -> ExtractSettings {
    ExtractSettings {
        embed: EmbedSettings {
            features_from: FeaturesFrom::Encoder,
            pooling: vec![PoolingMode::Cls, PoolingMode::Mean],
            layers: vec![-1],
            normalize: false,
            truncate_dim: None,
            include_prompt: true,
            dtype: Dtype::F32,
            max_tokens: 64,
        },
        max_seq_length: 16,
        truncation: Truncation::Head,
        prompt: None,
        output_value: OutputValue::SentenceEmbedding,
        format,
        shard_rows: 5,
        keep_columns: true,
        engineered: None,
    }
}

pub(in crate::stages) fn input<'a>(model: &'a ModelFolder, source: &'a str) -> ExtractInput<'a> {
    ExtractInput {
        model,
        source,
        text_columns: vec!["text".to_owned()],
        text_column_delimiter: " ".to_owned(),
        limit: None,
    }
}

/// Runs without progress and without a stop.
pub(crate) fn quietly<T>(work: impl FnOnce(&Context) -> T) -> T {
    work(&Context { progress: &Silent, cancel: &Cancel::default() })
}

/// Asks for a stop once so many rows are done, and counts the rows.
pub(in crate::stages) struct StopAfter {
    rows: u64,
    seen: AtomicU64,
    cancel: Cancel,
}

impl StopAfter {
    pub(in crate::stages) fn run<T>(rows: u64, work: impl FnOnce(&Context) -> T) -> T {
        let stop = Self { rows, seen: AtomicU64::new(0), cancel: Cancel::default() };
        work(&Context { progress: &stop, cancel: &stop.cancel })
    }
}

impl Progress for StopAfter {
    fn start(&self, _: &str, _: Option<u64>, _: &'static str) {}
    fn advance(&self, amount: u64) {
        if self.seen.fetch_add(amount, Ordering::SeqCst) + amount >= self.rows {
            self.cancel.cancel();
        }
    }
    fn note(&self, _: &str) {}
    fn finish(&self) {}
    fn line(&self, _: &str) {}
}
