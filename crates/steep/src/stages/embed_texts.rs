//! Texts that fit into memory, as vectors.

use super::extract::ExtractSettings;
use super::model_folder::ModelFolder;
use crate::config::apply_dtype;
use crate::error::Result;
use crate::features::embed::Embedder;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use steep_encoder::Model;

/// An encoder with its way of making vectors.
pub(super) struct TextEmbedder<'a> {
    model: &'a ModelFolder,
    network: Model,
    settings: &'a ExtractSettings,
}

impl<'a> TextEmbedder<'a> {
    /// Loads the encoder's weights.
    pub(super) fn load(model: &'a ModelFolder, settings: &'a ExtractSettings) -> Result<Self> {
        let (mut network, _) = Model::load(&model.path, settings.embed.features_from.head_kind(), 0)?;
        apply_dtype(settings.embed.dtype, &mut network);
        Ok(Self { model, network, settings })
    }

    /// A vector for each text, `[texts, width]`; another prompt than that of the settings may be given, none where it is empty.
    pub(super) fn embed<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        prompt: Option<&str>,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let mut options = self.settings.encode_options();
        if let Some(prompt) = prompt {
            options.prompt = Some(prompt.to_owned()).filter(|prompt| !prompt.is_empty());
        }
        let encodings = self.model.tokenizer.encode(texts, &options)?;
        let dense = self.model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
        let rows: Vec<u32> = (0..encodings.len() as u32).collect();
        let prompt_tokens = encodings.prompt_tokens as usize;
        ctx.progress.start("embedding", Some(rows.len() as u64), "texts");
        let vectors = Embedder::new(&self.network, dense, self.settings.embed.clone())?.embed(
            &encodings,
            &rows,
            prompt_tokens,
            ctx,
        )?;
        ctx.progress.finish();
        Ok(vectors)
    }
}
