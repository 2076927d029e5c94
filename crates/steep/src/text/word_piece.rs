//! BERT's tokenizer on plain ASCII, without the allocations of the general way.
//!
//! The texts of most corpora are ASCII but for some words. On ASCII, the tokenizers of the BERT family lower-case, cut at
//! white space and around each punctuation mark, and then take the longest entry of the vocabulary from the left; that is
//! done here on bytes. Whatever else there is, the library tokenises, a piece between two white spaces at a time: nothing
//! that those tokenizers do reaches across white space. The tests hold both ways against each other.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use tokenizers::{Model, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

/// What a tokenizer of the BERT family needs for ASCII.
pub(super) struct AsciiWordPiece {
    /// Entries that begin a word.
    beginnings: Entries,
    /// Entries that go on with one, without their prefix.
    continuations: Entries,
    unknown: u32,
    lowercase: bool,
    longest_word: usize,
    /// Tokens that are found whole in the raw text, such as `[MASK]`.
    added_tokens: Vec<String>,
}

/// Entries of the vocabulary by their bytes.
#[derive(Default)]
struct Entries {
    ids: HashMap<Box<[u8]>, u32, BuildHasherDefault<Fnv>>,
    longest: usize,
}

/// The hash of Fowler, Noll and Vo, 64 bits, 1a: entries are a few bytes long.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.write(&[length as u8]);
    }
}

impl Entries {
    fn insert(&mut self, entry: &str, id: u32) {
        self.longest = self.longest.max(entry.len());
        self.ids.insert(entry.as_bytes().into(), id);
    }

    /// The longest entry that the bytes begin with, and its length.
    fn longest_match(&self, bytes: &[u8]) -> Option<(u32, usize)> {
        let most = bytes.len().min(self.longest);
        (1..=most).rev().find_map(|length| Some((*self.ids.get(&bytes[..length])?, length)))
    }
}

impl AsciiWordPiece {
    /// `None` where the tokenizer is of another kind, or does more than the usual.
    #[expect(
        clippy::iter_over_hash_type,
        reason = "entries are distinct, so tables are the same in any order"
    )]
    pub(super) fn of(inner: &tokenizers::Tokenizer) -> Option<Self> {
        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = inner.get_normalizer() else { return None };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = inner.get_pre_tokenizer() else { return None };
        let ModelWrapper::WordPiece(model) = inner.get_model() else { return None };
        let added = inner.get_added_tokens_decoder();
        // Tokens that are looked for in the normalized text, or take the space beside them, reach across pieces.
        let is_plain = |token: &tokenizers::AddedToken| {
            !(token.normalized || token.lstrip || token.rstrip || token.single_word)
        };
        if !normalizer.clean_text || !added.values().all(is_plain) {
            return None;
        }
        let prefix = model.continuing_subword_prefix.as_str();
        let (mut beginnings, mut continuations) = (Entries::default(), Entries::default());
        for (entry, id) in model.get_vocab() {
            if let Some(rest) = entry.strip_prefix(prefix) {
                continuations.insert(rest, id);
            }
            beginnings.insert(&entry, id);
        }
        Some(Self {
            unknown: model.token_to_id(&model.unk_token)?,
            lowercase: normalizer.lowercase,
            longest_word: model.max_input_chars_per_word,
            added_tokens: added.into_values().map(|token| token.content).collect(),
            beginnings,
            continuations,
        })
    }

    /// Whether a text must be left to the library as a whole.
    pub(super) fn is_special(&self, text: &str) -> bool {
        self.added_tokens.iter().any(|token| text.contains(token))
    }

    /// Appends the ids of a text that is not special; `general` does that for a piece that is not plain ASCII.
    pub(super) fn append(
        &self,
        text: &str,
        ids: &mut Vec<u32>,
        mut general: impl FnMut(&str, &mut Vec<u32>) -> tokenizers::Result<()>,
    ) -> tokenizers::Result<()> {
        let mut word = Vec::with_capacity(64);
        for piece in text.split([' ', '\t', '\n', '\r']) {
            if piece.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.append_plain(piece.as_bytes(), &mut word, ids);
            } else {
                general(piece, ids)?;
            }
        }
        Ok(())
    }

    /// Cuts at punctuation marks, each of which is a word.
    fn append_plain(&self, piece: &[u8], word: &mut Vec<u8>, ids: &mut Vec<u32>) {
        word.clear();
        for byte in piece {
            if byte.is_ascii_punctuation() {
                self.append_word(word, ids);
                self.append_word(std::slice::from_ref(byte), ids);
                word.clear();
            } else {
                word.push(if self.lowercase { byte.to_ascii_lowercase() } else { *byte });
            }
        }
        self.append_word(word, ids);
    }

    /// A word that cannot be put together is one unknown token.
    fn append_word(&self, word: &[u8], ids: &mut Vec<u32>) {
        let before = ids.len();
        let (mut start, mut entries) = (0, &self.beginnings);
        while start < word.len() {
            match entries.longest_match(&word[start..]) {
                Some((id, length)) if word.len() <= self.longest_word => {
                    ids.push(id);
                    start += length;
                    entries = &self.continuations;
                }
                _ => {
                    ids.truncate(before);
                    ids.push(self.unknown);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tokenizer::tests::golden;
    use proptest::prelude::*;

    const BERT_LIKE: [&str; 3] = ["wordpiece", "wordpiece_vocab", "wordpiece_cased_vocab"];

    fn library(inner: &tokenizers::Tokenizer, text: &str) -> Vec<u32> {
        inner.encode_fast(text, false).unwrap().get_ids().to_vec()
    }

    fn fast(inner: &tokenizers::Tokenizer, fast: &AsciiWordPiece, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        fast.append(text, &mut ids, |piece, ids| {
            ids.extend(library(inner, piece));
            Ok(())
        })
        .unwrap();
        ids
    }

    #[test]
    fn the_bert_family_is_recognised_and_others_are_not() {
        for name in BERT_LIKE {
            assert!(AsciiWordPiece::of(&golden(name).inner).is_some(), "{name}");
        }
        for name in ["byte_level", "unigram"] {
            assert!(AsciiWordPiece::of(&golden(name).inner).is_none(), "{name}");
        }
    }

    #[test]
    fn odd_characters_and_long_words_are_as_the_library_has_them() {
        for name in BERT_LIKE {
            let tokenizer = golden(name);
            let plain = AsciiWordPiece::of(&tokenizer.inner).unwrap();
            let mut texts: Vec<String> = (0..=0x2ff_u32)
                .filter_map(char::from_u32)
                .flat_map(|odd| [format!("tea{odd}leaves"), format!("Tea {odd} leaves{odd}"), odd.into()])
                .collect();
            texts.extend(
                ["te\u{301}a", "tea \u{301}leaves", "茶tea茶", "tea\u{2003}leaves", "tea—leaves", "TEA…"]
                    .map(str::to_owned),
            );
            for length in 98..=103 {
                texts.push(format!("tea {} leaves", "a".repeat(length)));
                texts.push(format!("tea {}- leaves", "é".repeat(length)));
            }
            for text in &texts {
                assert_eq!(
                    fast(&tokenizer.inner, &plain, text),
                    library(&tokenizer.inner, text),
                    "{name}: {text:?}"
                );
            }
        }
    }

    #[test]
    fn tokens_that_are_found_whole_are_left_to_the_library() {
        let plain = AsciiWordPiece::of(&golden("wordpiece").inner).unwrap();
        assert!(plain.is_special("tea [MASK]leaves") && !plain.is_special("tea [mask] leaves"));
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same_ids(text in "([a-zA-Z]{1,8}|[0-9]{1,4}|[ -~]{1,4}|[ \t\n]|\\PC){0,30}", cased in any::<bool>()) {
            let tokenizer = golden(if cased { "wordpiece_cased_vocab" } else { "wordpiece_vocab" });
            let plain = AsciiWordPiece::of(&tokenizer.inner).unwrap();
            prop_assume!(!plain.is_special(&text));
            prop_assert_eq!(fast(&tokenizer.inner, &plain, &text), library(&tokenizer.inner, &text));
        }
    }
}
