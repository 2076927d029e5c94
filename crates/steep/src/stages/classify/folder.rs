//! An encoder and a classifier of its embeddings in one folder that takes texts.

use crate::error::{Error, Result};
use crate::features::embed::EmbedSettings;
use crate::features::preparation::Preparation;
use crate::learners::head::Head;
use crate::stages::extract::ExtractSettings;
use crate::stages::model_folder::ModelFolder;
use crate::storage::{read_json, write_json};
use crate::text::{EncodeOptions, Truncation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the classifier within the encoder's.
pub(in crate::stages) const HEAD_FOLDER: &str = "head";
/// How the embeddings are made that the classifier takes.
pub(in crate::stages) const RECIPE_FILE: &str = "embedding.json";

/// How texts become the embeddings that a classifier was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingRecipe {
    /// How token states become an embedding.
    pub embed: EmbedSettings,
    /// Texts are cut to so many tokens.
    pub max_seq_length: usize,
    /// Put before every text.
    pub prompt: Option<String>,
}

/// What `embedding.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::stages) struct StoredRecipe {
    /// How embeddings are made.
    #[serde(flatten)]
    pub(in crate::stages) recipe: EmbeddingRecipe,
    /// What is kept of texts that are too long.
    #[serde(default)]
    truncation: Truncation,
}

impl StoredRecipe {
    /// As sentence embeddings were extracted.
    pub(super) fn of(settings: &ExtractSettings) -> Self {
        let recipe = EmbeddingRecipe {
            embed: settings.embed.clone(),
            max_seq_length: settings.max_seq_length,
            prompt: settings.prompt.clone(),
        };
        Self { recipe, truncation: settings.truncation }
    }

    /// How texts become tokens.
    pub(in crate::stages) fn encode_options(&self) -> EncodeOptions {
        EncodeOptions {
            max_seq_length: self.recipe.max_seq_length,
            prompt: self.recipe.prompt.clone(),
            truncation: self.truncation,
        }
    }
}

/// Writes encoder, tokenizer, modules, classifier and what prepares its features into an existing folder, from which
/// [`crate::stages::Predictor`] classifies texts. Of texts that are too long the beginning is kept.
///
/// # Errors
/// A classifier of other features than these embeddings; files that cannot be copied.
pub fn write_classifier_folder(
    model: &ModelFolder,
    head: &Head,
    preparation: Option<&Preparation>,
    embedding: &EmbeddingRecipe,
    folder: &Path,
) -> Result<()> {
    let stored = StoredRecipe { recipe: embedding.clone(), truncation: Truncation::Head };
    write_folder(model, head, preparation, &stored, folder)
}

/// The same with what is kept of long texts.
pub(super) fn write_folder(
    model: &ModelFolder,
    head: &Head,
    preparation: Option<&Preparation>,
    embedding: &StoredRecipe,
    folder: &Path,
) -> Result<()> {
    let width = embedding_width(model, &embedding.recipe.embed);
    let columns = match preparation {
        Some(preparation) => preparation.inputs().vector_names.len(),
        None => head.feature_count(),
    };
    if width != columns {
        let problem = format!("the classifier takes {columns} features, the encoder makes {width}");
        return Err(Error::config("head", problem, "give the encoder whose embeddings it was trained on"));
    }
    copy_encoder(model, folder)?;
    let head_folder = folder.join(HEAD_FOLDER);
    fs::create_dir_all(&head_folder).map_err(Error::io("create", &head_folder))?;
    head.save(&head_folder)?;
    preparation.map_or(Ok(()), |preparation| preparation.save(&head_folder))?;
    write_json(&head_folder.join(RECIPE_FILE), embedding)
}

/// Copies a trained folder, with what lies in its `head/`, into an existing one.
///
/// # Errors
/// Files that cannot be copied.
pub fn copy_trained_folder(model: &ModelFolder, folder: &Path) -> Result<()> {
    copy_encoder(model, folder)?;
    let head = model.path.join(HEAD_FOLDER);
    if !head.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&head).map_err(Error::io("read", &head))? {
        let file = entry.map_err(Error::io("read", &head))?;
        if file.path().is_file() {
            copy(&file.path(), &folder.join(HEAD_FOLDER).join(file.file_name()))?;
        }
    }
    Ok(())
}

fn copy_encoder(model: &ModelFolder, folder: &Path) -> Result<()> {
    for name in encoder_files(&model.path)? {
        copy(&model.path.join(&name), &folder.join(&name))?;
    }
    model.tokenizer.save_to(folder)
}

/// Dimensions of the embeddings that a folder makes.
pub(super) fn embedding_width(model: &ModelFolder, embed: &EmbedSettings) -> usize {
    let modes: BTreeSet<_> = embed.pooling.iter().collect();
    let pooled = model.config.hidden_size * modes.len();
    let dense = model.modules.as_ref().and_then(|modules| modules.dense.last());
    embed.truncate_dim.unwrap_or_else(|| dense.map_or(pooled, |dense| dense.out_features))
}

/// Configuration, weights and modules by relative path; the tokenizer is saved by its own rules.
fn encoder_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut names: Vec<PathBuf> =
        ["config.json", "modules.json", "config_sentence_transformers.json"].map(PathBuf::from).into();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let name = PathBuf::from(entry.map_err(Error::io("read", folder))?.file_name());
        let text = name.to_string_lossy();
        if text.starts_with("sentence_") && text.ends_with("_config.json") {
            names.push(name);
        }
    }
    names.extend(weight_files(folder)?);
    for module in module_folders(folder)? {
        names.extend(["config.json", "model.safetensors"].map(|file| module.join(file)));
    }
    names.retain(|name| folder.join(name).is_file());
    Ok(names)
}

/// The single file of weights, or the index and the shards it names; the encoder's loader has checked them.
fn weight_files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let index = "model.safetensors.index.json";
    if folder.join("model.safetensors").is_file() || !folder.join(index).is_file() {
        return Ok(BTreeSet::from(["model.safetensors".into()]));
    }
    let content: Value = read_json(&folder.join(index))?;
    let map = content.get("weight_map").and_then(Value::as_object);
    let shards = map.into_iter().flat_map(|map| map.values()).filter_map(Value::as_str);
    // A name with folders in it could lead out of this one.
    let plain = shards.filter(|name| !name.contains(['/', '\\']) && *name != "..");
    Ok(plain.map(PathBuf::from).chain([index.into()]).collect())
}

/// The folders that `modules.json` names; names that could leave the folder were refused on loading.
fn module_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = folder.join("modules.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let modules: Value = read_json(&path)?;
    let paths = modules.as_array().into_iter().flatten().filter_map(|module| module.get("path")?.as_str());
    Ok(paths.filter(|path| !path.is_empty()).map(PathBuf::from).collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    fs::copy(from, to).map(|_| ()).map_err(Error::io("write", to))
}
