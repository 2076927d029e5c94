//! A model folder as the stages need it: configuration, tokenizer, and how it makes embeddings.

use crate::config::Dtype;
use crate::error::{Error, Result};
use crate::features::embed::{EmbedSettings, FeaturesFrom};
use crate::generation::GenerationDefaults;
use crate::storage::{Artefact, digest_file};
use crate::text::{EncodeOptions, Tokenizer, Truncation};
use std::path::{Path, PathBuf};
use steep_encoder::pooling::PoolingMode;
use steep_encoder::sentence_transformer::SentenceModules;
use steep_encoder::{Config, HeadKind, Model};

/// Where the folder of a model that was trained by low-rank matrices has these by themselves.
pub const ADAPTER_FOLDER: &str = "adapter";

/// An opened model folder; the weights are loaded by the stage that knows the head.
pub struct ModelFolder {
    /// Where it lies.
    pub path: PathBuf,
    /// `config.json`.
    pub config: Config,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// sentence-transformers' modules, if the folder has them.
    pub modules: Option<SentenceModules>,
    /// Names the folder's content.
    pub digest: String,
}

impl ModelFolder {
    /// Opens a local folder and checks that its parts fit together.
    pub fn open(path: &Path) -> Result<Self> {
        // The weights are the most to hash; the tokenizer, the most to parse.
        let (digest, tokenizer) = rayon::join(|| content_digest(path), || Tokenizer::load(path));
        let (config, tokenizer) = (Config::load(path)?, tokenizer?);
        if tokenizer.largest_id() as usize >= config.vocab_size {
            return Err(Error::model(
                path.display().to_string(),
                format!(
                    "the tokenizer has ids up to {}, the model has {} embeddings",
                    tokenizer.largest_id(),
                    config.vocab_size
                ),
                "take tokenizer and weights of the same model",
            ));
        }
        let modules = SentenceModules::load(path)?;
        Ok(Self { path: path.to_path_buf(), config, tokenizer, modules, digest: digest? })
    }

    /// The sequence length to work with: what was asked, if the model can, or what the folder says.
    pub fn max_seq_length(&self, asked: Option<usize>) -> Result<usize> {
        let largest = self.config.max_sequence_length();
        let stated = self.tokenizer.max_seq_length().length.min(largest);
        match asked {
            None => Ok(stated),
            Some(length) if (3..=largest).contains(&length) => Ok(length),
            Some(length) => Err(Error::config(
                "max_seq_length",
                format!("{length} is not possible with this model"),
                format!("choose a length from 3 to {largest}"),
            )),
        }
    }

    /// How texts become ids for this model.
    pub fn encode_options(&self, max_seq_length: usize) -> EncodeOptions {
        EncodeOptions { max_seq_length, prompt: None, truncation: Truncation::Head }
    }

    /// How the folder says embeddings are made; the family's default pooling where it says nothing.
    pub fn embed_settings(&self, dtype: Dtype) -> EmbedSettings {
        let modules = self.modules.as_ref();
        EmbedSettings {
            features_from: FeaturesFrom::Encoder,
            pooling: self.pooling(),
            layers: vec![-1],
            normalize: modules.is_some_and(|modules| modules.normalize),
            truncate_dim: None,
            include_prompt: modules.is_none_or(|modules| modules.include_prompt),
            dtype,
            max_tokens: EmbedSettings::DEFAULT_MAX_TOKENS,
        }
    }

    /// The modes whose vectors are concatenated: the folder's, or the family's default.
    pub fn pooling(&self) -> Vec<PoolingMode> {
        self.modules.as_ref().map_or_else(|| self.default_pooling(), |modules| modules.pooling.clone())
    }

    fn default_pooling(&self) -> Vec<PoolingMode> {
        vec![self.config.default_pooling()]
    }

    /// Writes a trained model as [`Self::save_with`] does, with its adapter as [`Self::merge_adapter`] does.
    pub(crate) fn save_trained(&self, model: &mut Model, folder: &Path) -> Result<()> {
        self.merge_adapter(model, folder)?;
        self.save_with(model, folder)
    }

    /// Writes the low-rank matrices of a model, if it has some, into a folder of their own within `folder`, as PEFT
    /// reads them beside the model of this folder, and adds them to the weights.
    pub(crate) fn merge_adapter(&self, model: &mut Model, folder: &Path) -> Result<()> {
        if model.lora().is_some() {
            let adapter = folder.join(ADAPTER_FOLDER);
            std::fs::create_dir_all(&adapter).map_err(Error::io("create", &adapter))?;
            model.save_adapter(&adapter, &self.path.display().to_string())?;
            model.merge_lora();
        }
        Ok(())
    }

    /// Writes a model with this folder's tokenizer, modules and sequence length into an existing folder; that
    /// training cut texts shorter does not bind later use.
    pub fn save_with(&self, model: &Model, folder: &Path) -> Result<()> {
        model.save(folder)?;
        self.tokenizer.save_to(folder)?;
        let generation = self.path.join(GenerationDefaults::FILE);
        if model.head_kind() == HeadKind::Seq2Seq && generation.is_file() {
            let target = folder.join(GenerationDefaults::FILE);
            std::fs::copy(&generation, &target).map_err(Error::io("write", &target))?;
        }
        let modules = self.modules.clone().unwrap_or_else(|| SentenceModules {
            pooling: self.default_pooling(),
            include_prompt: true,
            dense: Vec::new(),
            normalize: false,
            max_seq_length: None,
            prompts: Vec::new(),
            default_prompt_name: None,
        });
        // The tokenizer itself lower-cases where it should.
        let lower_case = false;
        modules.save(folder, model.config.hidden_size, self.max_seq_length(None)?, lower_case)?;
        Ok(())
    }
}

/// Names the content of a folder: by its manifest's digests where steep wrote it, by hashing its
/// configuration, weights and tokenizer otherwise.
fn content_digest(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    if let Ok(Some(artefact)) = Artefact::open(path) {
        let files = serde_json::to_string(&artefact.manifest().files).expect("file records are plain data");
        return Ok(hasher.update(files.as_bytes()).finalize().to_hex().to_string());
    }
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("read", path))? {
        let file = entry.map_err(Error::io("read", path))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("json" | "safetensors" | "txt")) {
            names.push(file);
        }
    }
    names.sort();
    for file in names {
        hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(digest_file(&file)?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
