//! How long is a text, and how varied are its words?

use super::view::TextView;
use std::hash::Hasher;
use xxhash_rust::xxh3::Xxh3Default;

pub(super) const NAMES: [&str; 5] =
    ["text_characters", "text_words", "text_sentences", "text_mean_word_length", "text_type_token_ratio"];

/// Characters (code points), words, sentences, characters a word, and different words (case left aside) a word.
pub(super) fn values(view: &TextView<'_>) -> [f32; 5] {
    let letters: usize = view.words.iter().map(|word| word.chars().count()).sum();
    [
        view.text.chars().count() as f32,
        view.words.len() as f32,
        view.sentences as f32,
        view.per_word(letters),
        view.per_word(distinct_words(&view.words)),
    ]
}

fn distinct_words(words: &[&str]) -> usize {
    let mut hashes: Vec<u64> = words.iter().map(|word| folded_hash(word)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len()
}

/// A hash that is the same for both cases of a word.
fn folded_hash(word: &str) -> u64 {
    let mut hasher = Xxh3Default::new();
    for character in word.chars().flat_map(char::to_lowercase) {
        hasher.write_u32(u32::from(character));
    }
    hasher.finish()
}
