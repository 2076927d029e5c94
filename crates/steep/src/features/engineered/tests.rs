//! The columns as a whole.

use super::{EngineeredSettings, EngineeredSpec, Family};
use crate::text::Tokenizer;
use proptest::prelude::*;
use std::path::Path;

const TEXTS: [&str; 6] = [
    "GREAT library!!! #rust #Rust 🚀 https://example.org",
    "A parser for #rust and #go, made with 👍🏽",
    "Eine sehr lange Beschreibung der Bibliothek. Sie hat zwei Sätze 👍",
    "@someone: sooo slow :( mail me@example.org",
    "библиотека для чтения файлов",
    "",
];

fn tokenizer() -> Tokenizer {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/token_ids/wordpiece_vocab");
    Tokenizer::load(&folder).unwrap()
}

fn fitted(top_k: usize) -> EngineeredSpec {
    EngineeredSpec::fit(&EngineeredSettings { top_k, ..EngineeredSettings::default() }, &TEXTS, None)
}

fn value(spec: &EngineeredSpec, text: &str, name: &str) -> f32 {
    let column = spec.names().iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
    spec.compute(&[text], None).unwrap().row(0)[column]
}

#[test]
fn the_most_frequent_values_get_indicators() {
    let spec = fitted(1);
    let names = spec.names();
    assert!(names.contains(&"text_has_hashtag_rust".to_owned()));
    assert!(!names.contains(&"text_has_hashtag_go".to_owned()), "a text with both spellings counts once");
    assert!(names.contains(&"text_has_emoji_thumbs_up".to_owned()), "skin tones are left aside");
    assert_eq!(value(&spec, "learn #RUST", "text_has_hashtag_rust"), 1.0);
    assert_eq!(value(&spec, "👍🏿", "text_has_emoji_thumbs_up"), 1.0);
    assert_eq!(value(&spec, "learn #go", "text_has_hashtag_rust"), 0.0);
    assert_eq!(value(&fitted(5), TEXTS[4], "text_language_rus"), 1.0);
}

#[test]
fn names_are_different_and_begin_alike() {
    let mut names = fitted(20).names();
    let count = names.len();
    assert!(names.iter().all(|name| name.starts_with("text_")));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_spec_survives_its_file_and_a_foreign_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engineered.json");
    fitted(3).save(&path).unwrap();
    assert_eq!(EngineeredSpec::load(&path).unwrap(), fitted(3));
    let content = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, content.replace("\"format_version\": 1", "\"format_version\": 9")).unwrap();
    assert!(EngineeredSpec::load(&path).unwrap_err().hint().is_some());
}

#[test]
fn token_columns_need_a_tokenizer() {
    let tokenizer = tokenizer();
    let settings = EngineeredSettings { families: vec![Family::Tokens], top_k: 1 };
    let spec = EngineeredSpec::fit(&settings, &TEXTS, Some(&tokenizer));
    let matrix = spec.compute(&["tea 漢", ""], Some(&tokenizer)).unwrap();
    assert_eq!(matrix.row(0), [2.0, 1.0, 1.0]);
    assert_eq!(matrix.row(1), [0.0, 0.0, 0.0]);
    assert!(spec.compute(&["tea"], None).unwrap_err().hint().is_some());
    assert!(EngineeredSpec::fit(&settings, &TEXTS, None).names().is_empty());
}

proptest! {
    #[test]
    fn any_text_gives_the_same_finite_numbers_alone_and_in_company(texts in prop::collection::vec(".{0,80}", 1..8)) {
        let spec = fitted(20);
        let together = spec.compute(&texts, None).unwrap();
        for (row, text) in texts.iter().enumerate() {
            let alone = spec.compute(&[text], None).unwrap();
            prop_assert_eq!(alone.row(0), together.row(row));
            prop_assert!(alone.values().iter().all(|value| value.is_finite()));
        }
    }
}
