//! What do the words of a corpus cost in tokens?

use super::super::tokenizer::{Tokenizer, guarded};
use super::words::WordCounts;
use crate::error::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokenizers::{Model, ModelWrapper};

/// How well a tokenizer fits the words of a corpus. Shares go from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fragmentation {
    /// Texts that are not empty.
    pub texts: u64,
    /// Words, repeated ones each time.
    pub words: u64,
    /// Different words.
    pub distinct_words: u64,
    /// Tokens of all words, without special tokens.
    pub tokens: u64,
    /// Tokens of a text on average.
    pub tokens_per_text: f64,
    /// Tokens of a word on average.
    pub tokens_per_word: f64,
    /// Share of the words that are one token.
    pub whole_words: f64,
    /// Share of the words that hold something unknown.
    pub unknown_words: f64,
    /// Emoji, repeated ones each time.
    pub emoji: u64,
    /// Different emoji.
    pub distinct_emoji: u64,
    /// Share of the emoji that the tokenizer can tell from unknown ones; none where there are no emoji.
    pub known_emoji: Option<f64>,
}

/// A word that costs more than one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostlyWord {
    /// As the tokenizer's model gets it.
    pub word: String,
    /// How often it occurs.
    pub count: u64,
    /// The tokens it is cut into.
    pub tokens: Vec<String>,
}

impl CostlyWord {
    /// The tokens that the corpus would lose if the word were one token.
    pub fn savings(&self) -> u64 {
        self.count * (self.tokens.len() as u64 - 1)
    }
}

impl Fragmentation {
    /// Cuts every different word once.
    pub fn of(tokenizer: &Tokenizer, counts: &WordCounts) -> Result<Self> {
        let words: Vec<(&String, u64)> = counts.words.iter().map(|(word, &count)| (word, count)).collect();
        let cut = segment(&tokenizer.inner, &words)?;
        let (mut tokens, mut whole, mut unknown) = (0, 0, 0);
        for (ids, &(_, count)) in cut.iter().zip(&words) {
            tokens += ids.len() as u64 * count;
            whole += if ids.len() == 1 { count } else { 0 };
            unknown += if ids.iter().any(|&id| Some(id) == unknown_id(tokenizer)) { count } else { 0 };
        }
        let emoji: Vec<(&String, u64)> = counts.emoji.iter().map(|(emoji, &count)| (emoji, count)).collect();
        let mut known = 0;
        for (ids, &(_, count)) in emoji_ids(tokenizer, &emoji)?.iter().zip(&emoji) {
            known += if ids.iter().any(|&id| Some(id) == unknown_id(tokenizer)) { 0 } else { count };
        }
        let (total, all_emoji) = (counts.total(), counts.emoji.values().sum::<u64>());
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        Ok(Self {
            texts: counts.texts,
            words: total,
            distinct_words: counts.words.len() as u64,
            tokens,
            tokens_per_text: share(tokens, counts.texts),
            tokens_per_word: share(tokens, total),
            whole_words: share(whole, total),
            unknown_words: share(unknown, total),
            emoji: all_emoji,
            distinct_emoji: counts.emoji.len() as u64,
            known_emoji: (all_emoji > 0).then(|| share(known, all_emoji)),
        })
    }
}

/// The words that would save most tokens if each were one.
pub fn costly_words(tokenizer: &Tokenizer, counts: &WordCounts, most: usize) -> Result<Vec<CostlyWord>> {
    let words: Vec<(&String, u64)> = counts.words.iter().map(|(word, &count)| (word, count)).collect();
    let cut = segment(&tokenizer.inner, &words)?;
    let mut costly: Vec<(u64, usize)> = (0..words.len())
        .filter(|&index| cut[index].len() > 1)
        .map(|index| (words[index].1 * (cut[index].len() as u64 - 1), index))
        .collect();
    // Words are in their own order already, so equals stay in it.
    costly.sort_by_key(|&(savings, _)| std::cmp::Reverse(savings));
    let spelt = |ids: &[u32]| ids.iter().filter_map(|&id| tokenizer.token(id)).collect();
    let word = |index: usize| CostlyWord {
        word: words[index].0.clone(),
        count: words[index].1,
        tokens: spelt(&cut[index]),
    };
    Ok(costly.into_iter().take(most).map(|(_, index)| word(index)).collect())
}

/// The ids of each word.
pub(super) fn segment(tokenizer: &tokenizers::Tokenizer, words: &[(&String, u64)]) -> Result<Vec<Vec<u32>>> {
    let model = tokenizer.get_model();
    let parts: Vec<Vec<Vec<u32>>> = words
        .par_chunks(1024)
        .map(|words| {
            guarded("the tokenizer", || {
                let ids = |word: &str| {
                    Ok(model.tokenize(word)?.into_iter().map(|token| token.id).collect::<Vec<_>>())
                };
                words.iter().map(|(word, _)| ids(word)).collect()
            })
        })
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// The ids of each emoji standing alone in a text.
fn emoji_ids(tokenizer: &Tokenizer, emoji: &[(&String, u64)]) -> Result<Vec<Vec<u32>>> {
    guarded(&tokenizer.folder.display().to_string(), || {
        let ids = |text: &str| Ok(tokenizer.inner.encode(text, false)?.get_ids().to_vec());
        emoji.iter().map(|(text, _)| ids(text)).collect()
    })
}

/// The id that stands for whatever has none.
pub(super) fn unknown_id(tokenizer: &Tokenizer) -> Option<u32> {
    match tokenizer.inner.get_model() {
        ModelWrapper::WordPiece(model) => model.token_to_id(&model.unk_token),
        ModelWrapper::WordLevel(model) => model.token_to_id(&model.unk_token),
        ModelWrapper::BPE(model) => model.unk_token.as_ref().and_then(|token| model.token_to_id(token)),
        ModelWrapper::Unigram(_) => tokenizer.special().unk,
    }
}
