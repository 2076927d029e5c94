//! Extending each kind of tokenizer, on the small ones of the goldens.

use super::*;
use crate::progress::{Cancel, Context, Silent};
use crate::text::tokenizer::tests::{golden, golden_folder};
use crate::text::{EncodeOptions, Tokenizer, Truncation};
use std::path::Path;

const KINDS: [&str; 3] = ["wordpiece", "byte_level", "unigram"];

const TEXTS: [&str; 4] = [
    "kubernetes operators reconcile kubernetes manifests",
    "a kubernetes manifest for the kubernetes operator",
    "reconcile the manifests of operators",
    "tea and milk",
];

fn counted(tokenizer: &Tokenizer) -> WordCounts {
    let mut counts = WordCounts::default();
    counts.add(tokenizer, &TEXTS).unwrap();
    counts
}

fn extended(name: &str, num_new_tokens: usize) -> (Tokenizer, Extension, tempfile::TempDir) {
    let settings = ChooseSettings { num_new_tokens, min_frequency: 2 };
    let counts = counted(&golden(name));
    let extension =
        choose(&golden(name), &counts, &settings, &Context { progress: &Silent, cancel: &Cancel::default() })
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&golden_folder(name), folder.path());
    std::fs::write(folder.path().join("tokenizer.json"), extension.to_json().unwrap()).unwrap();
    (Tokenizer::load(folder.path()).unwrap(), extension, folder)
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let options = EncodeOptions { max_seq_length: 60, prompt: None, truncation: Truncation::Head };
    tokenizer.encode(&[text], &options).unwrap().sequence(0).to_vec()
}

#[test]
fn the_budget_is_kept_and_tokens_are_saved() {
    for name in KINDS {
        let (tokenizer, extension, _folder) = extended(name, 12);
        let new = extension.tokens();
        assert!(!new.is_empty() && new.len() <= 12, "{name}: {new:?}");
        let before = Fragmentation::of(&golden(name), &counted(&golden(name))).unwrap();
        let after = Fragmentation::of(&tokenizer, &counted(&tokenizer)).unwrap();
        assert!(after.tokens < before.tokens, "{name}: {} tokens after {}", after.tokens, before.tokens);
        assert_eq!((after.words, after.texts), (before.words, before.texts), "{name}");
    }
}

#[test]
fn new_ids_follow_the_old_ones_and_stand_for_the_old_tokens() {
    for name in KINDS {
        let (old, (tokenizer, extension, _folder)) = (golden(name), extended(name, 8));
        assert_eq!(extension.first_id(), old.largest_id() + 1, "{name}");
        for (id, token) in (extension.first_id()..).zip(extension.tokens()) {
            assert_eq!((token.id, tokenizer.id(&token.token)), (id, Some(id)), "{name}: {token:?}");
            assert!(!token.old_ids.is_empty() && token.old_ids.iter().all(|&id| id < extension.first_id()));
            let spelt: String = token.old_ids.iter().filter_map(|&id| old.token(id)).collect();
            assert_eq!(spelt.replace("##", ""), token.token.replace("##", ""), "{name}");
        }
        for id in 0..=old.largest_id() {
            assert_eq!(tokenizer.token(id), old.token(id), "{name}: {id}");
        }
    }
}

#[test]
fn new_tokens_come_out_and_texts_without_one_keep_their_ids() {
    for name in KINDS {
        let (old, (tokenizer, extension, _folder)) = (golden(name), extended(name, 12));
        assert!(ids(&tokenizer, TEXTS[0]).iter().any(|&id| id >= extension.first_id()), "{name}");
        let mut kept = 0;
        for text in ["tea and milk", "Milk, please! And 12 cups.", "", "the tea"] {
            let ids_now = ids(&tokenizer, text);
            if ids_now.iter().all(|&id| id < extension.first_id()) {
                assert_eq!(ids_now, ids(&old, text), "{name}: {text}");
                kept += 1;
            }
        }
        assert!(kept > 0, "{name}: no text without a new token");
    }
}

#[test]
fn the_words_that_cost_most_come_first() {
    let tokenizer = golden("wordpiece");
    let words = costly_words(&tokenizer, &counted(&tokenizer), 3).unwrap();
    assert!(words.windows(2).all(|pair| pair[0].savings() >= pair[1].savings()), "{words:?}");
    assert!(words.iter().all(|word| word.tokens.len() > 1));
}

#[test]
fn what_is_unknown_is_counted_by_word_and_by_emoji() {
    let tokenizer = golden("wordpiece");
    let mut counts = WordCounts::default();
    counts.add(&tokenizer, &["tea 🫖🫖 tea", " ", "🫖"]).unwrap();
    let facts = Fragmentation::of(&tokenizer, &counts).unwrap();
    assert_eq!((facts.texts, facts.words, facts.emoji, facts.distinct_emoji), (2, 4, 3, 1));
    assert!(facts.unknown_words > 0.0 && facts.known_emoji == Some(0.0), "{facts:?}");
}

#[test]
fn a_word_of_which_nothing_is_known_can_be_added() {
    let mut counts = WordCounts::default();
    counts.add(&golden("wordpiece"), &["🫖🫖 tea", "🫖🫖"]).unwrap();
    let settings = ChooseSettings { num_new_tokens: 1, min_frequency: 2 };
    let extension = choose(
        &golden("wordpiece"),
        &counts,
        &settings,
        &Context { progress: &Silent, cancel: &Cancel::default() },
    )
    .unwrap();
    let tokens: Vec<&str> = extension.tokens().iter().map(|token| token.token.as_str()).collect();
    assert_eq!(tokens, ["🫖🫖"]);
}
