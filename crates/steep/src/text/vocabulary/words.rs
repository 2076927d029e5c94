//! The words of a corpus, counted.

use super::super::tokenizer::{Tokenizer, guarded};
use crate::error::Result;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};
use unicode_segmentation::UnicodeSegmentation;

/// The words of a corpus, normalised and parted as the tokenizer does before its model cuts them into tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WordCounts {
    /// How often each word occurs. A word is spelt as the model gets it, with `Ġ` or `▁` for the space before it.
    pub words: BTreeMap<String, u64>,
    /// How often each emoji occurs.
    pub emoji: BTreeMap<String, u64>,
    /// Texts counted; empty ones are not.
    pub texts: u64,
}

/// So many texts are one unit of parallel work.
const TEXTS_PER_TASK: usize = 1024;

impl WordCounts {
    /// Adds the words of some texts.
    pub fn add<T: AsRef<str> + Sync>(&mut self, tokenizer: &Tokenizer, texts: &[T]) -> Result<()> {
        let parts: Vec<Part> = texts
            .par_chunks(TEXTS_PER_TASK)
            .map(|texts| Part::of(tokenizer, texts))
            .collect::<Result<_>>()?;
        for part in parts {
            self.texts += part.texts;
            merge(&mut self.words, part.words);
            merge(&mut self.emoji, part.emoji);
        }
        Ok(())
    }

    /// All occurrences of all words.
    pub fn total(&self) -> u64 {
        self.words.values().sum()
    }
}

#[expect(clippy::iter_over_hash_type, reason = "sums are the same in any order")]
fn merge(counts: &mut BTreeMap<String, u64>, more: HashMap<String, u64>) {
    for (word, count) in more {
        *counts.entry(word).or_default() += count;
    }
}

/// The words of a few texts.
#[derive(Default)]
struct Part {
    words: HashMap<String, u64>,
    emoji: HashMap<String, u64>,
    texts: u64,
}

impl Part {
    fn of<T: AsRef<str>>(tokenizer: &Tokenizer, texts: &[T]) -> Result<Self> {
        let mut part = Self::default();
        guarded(&tokenizer.folder.display().to_string(), || {
            for text in texts.iter().map(AsRef::as_ref).filter(|text| !text.trim().is_empty()) {
                part.texts += 1;
                part.add_words(&tokenizer.inner, text)?;
                part.add_emoji(text);
            }
            Ok(())
        })?;
        Ok(part)
    }

    fn add_words(&mut self, tokenizer: &tokenizers::Tokenizer, text: &str) -> tokenizers::Result<()> {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = tokenizer.get_normalizer() {
            normalizer.normalize(&mut normalized)?;
        }
        let mut parted = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut parted)?;
        }
        for (word, _, _) in parted.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            match self.words.get_mut(word) {
                Some(count) => *count += 1,
                None => _ = self.words.insert(word.to_owned(), 1),
            }
        }
        Ok(())
    }

    fn add_emoji(&mut self, text: &str) {
        if text.is_ascii() {
            return;
        }
        for emoji in text.graphemes(true).filter(|grapheme| emojis::get(grapheme).is_some()) {
            *self.emoji.entry(emoji.to_owned()).or_default() += 1;
        }
    }
}
