//! New tokens in a model folder: in its tokenizer, and a row for each in its matrices; and the way back.

mod weights;

use super::key::{StageAbout, stage_key};
use super::model_folder::ModelFolder;
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::storage::{ArtefactWriter, MANIFEST, read_json, write_json};
use crate::text::Tokenizer;
use crate::text::vocabulary::{ChooseSettings, Fragmentation, NewToken, WordCounts, choose};
use crate::training::NewRows;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder inside an extended model folder that has what [`restore_vocabulary`] needs.
pub const EXTENSION_FOLDER: &str = "vocabulary_extension";
const RECORD: &str = "new_tokens.json";

/// Files that say which tokens there are. An extended folder has new ones of those that can be written, and keeps the
/// old ones beside them.
const REPLACED: [&str; 3] = ["config.json", "tokenizer.json", "vocab.txt"];
const LEFT_OUT: [&str; 6] =
    ["vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model"];

/// What an extended folder says of its extension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VocabularyExtension {
    /// Rows of the embedding matrix before.
    pub old_vocab_size: usize,
    /// Ids from here on are new.
    pub first_new_id: u32,
    /// The new tokens in the order of their ids.
    pub new_tokens: Vec<NewToken>,
    /// The tensors that got a row for each.
    pub tensors: Vec<String>,
    /// The words of the corpus before.
    pub before: Fragmentation,
    /// And now.
    pub after: Fragmentation,
}

impl VocabularyExtension {
    /// What the folder of an extended model says; none if it is not one.
    pub fn of(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(EXTENSION_FOLDER).join(RECORD);
        if path.is_file() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// Rows of the embedding matrix now.
    fn vocab_size(&self) -> usize {
        self.old_vocab_size.max(self.new_rows().end)
    }

    /// The rows of the new tokens.
    pub fn new_rows(&self) -> NewRows {
        let first = self.first_new_id as usize;
        NewRows { first, end: first + self.new_tokens.len() }
    }
}

/// Teaches a model the tokens that save most in a corpus, and writes it to `output`.
///
/// A new token's row, in the embedding matrix and in what predicts tokens, is the mean of the rows of the old tokens into
/// which it was cut. Texts without a new token keep their tokens, and the model its numbers for them.
///
/// # Errors
/// A tokenizer that cannot be extended, a folder that was extended already, a corpus without a frequent word to add.
pub fn extend_vocabulary(
    model: &ModelFolder,
    counts: &WordCounts,
    settings: &ChooseSettings,
    output: &Path,
    ctx: &Context,
) -> Result<VocabularyExtension> {
    let about = || StageAbout {
        stage: "vocab extend".into(),
        key: stage_key("vocab extend", &[&model.digest, &digest_of(counts)], settings),
        settings: serde_json::to_value(settings).expect("resolved settings are plain data"),
        report: Value::Null,
    };
    extend_vocabulary_as(about, model, counts, settings, output, ctx)
}

/// The same, with what the folder says of itself.
pub(crate) fn extend_vocabulary_as(
    about: impl FnOnce() -> StageAbout,
    model: &ModelFolder,
    counts: &WordCounts,
    settings: &ChooseSettings,
    output: &Path,
    ctx: &Context,
) -> Result<VocabularyExtension> {
    let folder = &model.path;
    if VocabularyExtension::of(folder)?.is_some() {
        let hint = "start from the folder it was made from, with all the texts, or undo the extension first";
        return Err(Error::model(folder.display().to_string(), "the vocabulary was extended already", hint));
    }
    let before = Fragmentation::of(&model.tokenizer, counts)?;
    let chosen = choose(&model.tokenizer, counts, settings, ctx)?;
    if chosen.tokens().is_empty() {
        let hint = "give more texts, or a smaller min_frequency";
        let problem = format!("no token to add occurs {} times", settings.min_frequency);
        return Err(Error::config("min_frequency", problem, hint));
    }
    let old_vocab_size = model.config.vocab_size;
    let writer = ArtefactWriter::create(output)?;
    let target = writer.path();
    let kept = target.join(EXTENSION_FOLDER);
    fs::create_dir_all(&kept).map_err(Error::io("create", &kept))?;
    copy_tree(folder, target, &kept)?;
    let document = target.join("tokenizer.json");
    fs::write(&document, chosen.to_json()?).map_err(Error::io("write", &document))?;
    append_lines(&folder.join("vocab.txt"), &target.join("vocab.txt"), chosen.tokens())?;
    let rows = weights::NewRows { old_vocab_size, first_new_id: chosen.first_id(), tokens: chosen.tokens() };
    write_vocab_size(folder, target, rows.vocab_size())?;
    let tensors = weights::extend(folder, target, &kept, &rows)?;
    let extension = VocabularyExtension {
        old_vocab_size,
        first_new_id: chosen.first_id(),
        new_tokens: chosen.tokens().to_vec(),
        tensors,
        before,
        after: Fragmentation::of(&Tokenizer::load(target)?, counts)?,
    };
    write_json(&kept.join(RECORD), &extension)?;
    writer.commit(&about())?;
    Ok(extension)
}

/// Takes the new tokens out again and writes the folder to `output`, with every file as it was byte for byte, as long as
/// the extended model was not trained.
pub fn restore_vocabulary(folder: &Path, output: &Path) -> Result<VocabularyExtension> {
    let Some(extension) = VocabularyExtension::of(folder)? else {
        let hint = "name a folder that `steep vocab extend` wrote";
        return Err(Error::model(folder.display().to_string(), "its vocabulary was not extended", hint));
    };
    let kept = folder.join(EXTENSION_FOLDER);
    let writer = ArtefactWriter::create(output)?;
    let target = writer.path();
    for (name, path) in entries(folder)? {
        let replaced = REPLACED.contains(&name.as_str()) || is_weights(&path);
        if !replaced && name != EXTENSION_FOLDER && name != MANIFEST {
            copy(&path, &target.join(&name))?;
        }
    }
    for (name, path) in entries(&kept)? {
        if REPLACED.contains(&name.as_str()) || LEFT_OUT.contains(&name.as_str()) {
            copy(&path, &target.join(&name))?;
        }
    }
    weights::restore(folder, target, &kept, &extension)?;
    writer.commit(&StageAbout {
        stage: "vocab undo".into(),
        key: stage_key("vocab undo", &[], &extension.new_tokens),
        settings: Value::Null,
        report: Value::Null,
    })?;
    Ok(extension)
}

/// All that an extension does not change; what it does change, or what would contradict it, goes to `kept`.
fn copy_tree(folder: &Path, target: &Path, kept: &Path) -> Result<()> {
    for (name, path) in entries(folder)? {
        if is_weights(&path) || name == MANIFEST {
            continue;
        }
        let is_old = REPLACED.contains(&name.as_str()) || LEFT_OUT.contains(&name.as_str());
        copy(&path, &if is_old { kept.join(&name) } else { target.join(&name) })?;
    }
    Ok(())
}

fn is_weights(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

/// The names and paths in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort();
    Ok(entries)
}

/// Copies a file or a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ()).map_err(Error::io("copy", from));
    }
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    entries(from)?.iter().try_for_each(|(name, path)| copy(path, &to.join(name)))
}

fn write_vocab_size(folder: &Path, target: &Path, size: usize) -> Result<()> {
    let mut config: Map<String, Value> = read_json(&folder.join("config.json"))?;
    config.insert("vocab_size".into(), size.into());
    write_json(&target.join("config.json"), &config)
}

/// `vocab.txt` with a line for each new token, where there is such a file.
fn append_lines(from: &Path, to: &Path, tokens: &[NewToken]) -> Result<()> {
    if !from.is_file() {
        return Ok(());
    }
    let mut text = fs::read_to_string(from).map_err(Error::io("read", from))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for token in tokens {
        text.push_str(&token.token);
        text.push('\n');
    }
    fs::write(to, text).map_err(Error::io("write", to))
}

/// Names the words that were counted.
fn digest_of(counts: &WordCounts) -> String {
    let mut hasher = blake3::Hasher::new();
    for (word, count) in &counts.words {
        hasher
            .update(&(word.len() as u64).to_le_bytes())
            .update(word.as_bytes())
            .update(&count.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
