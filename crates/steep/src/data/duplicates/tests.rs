use super::*;
use crate::data::random::{Stream, draw};
use crate::data::shingles::{Scheme, jaccard, normal_form, shingles};
use crate::progress::{Cancel, Silent};
use arrow::array::StringArray;
use std::path::Path;
use std::sync::Arc;

fn chunks(texts: &[String], size: usize) -> Vec<Result<TextChunk>> {
    let chunk = |(at, texts): (usize, &[String])| {
        let texts = texts.iter().map(|text| Some(text.as_str()).filter(|text| *text != "null"));
        let texts = texts.collect::<StringArray>();
        Ok(TextChunk { file: Arc::from(Path::new("pool.txt")), first_row: (at * size) as u64 + 1, texts })
    };
    texts.chunks(size).enumerate().map(chunk).collect()
}

fn find(texts: &[String], split: &Split, pool: &[String]) -> Duplicates {
    let context = Context { progress: &Silent, cancel: &Cancel::default() };
    find_duplicates(texts, split, chunks(pool, 7).into_iter(), &DuplicateOptions::default(), &context)
        .unwrap()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn count(found: &Duplicates, from: Part, to: Part) -> (u64, u64) {
    let count = found.counts.iter().find(|count| (count.from, count.to) == (from, to)).unwrap();
    (count.exact_rows, count.near_rows)
}

/// Sixty texts of 8 to 20 words, each of them in ten versions with one word more changed.
fn versions(seed: u64) -> Vec<String> {
    let word = |number: u64| format!("w{:x}", number % 5000 + 300);
    let mut texts = Vec::new();
    for text in 0..60_u64 {
        let length = 8 + draw(seed, Stream::Split, text) % 13;
        let mut words: Vec<String> =
            (0..length).map(|at| word(draw(seed, Stream::Folds, text * 100 + at))).collect();
        for version in 0..10 {
            texts.push(words.join(" "));
            let change = draw(seed, Stream::Budget, text * 100 + version);
            words[(change % length) as usize] = word(change >> 32);
        }
    }
    texts
}

#[test]
fn near_duplicates_are_those_of_brute_force() {
    let (mut wanted, mut got) = (0, 0);
    for seed in 0..3 {
        let texts = versions(seed);
        let test: Vec<u32> = (0..texts.len() as u32).filter(|row| row % 2 == 1).collect();
        let pool: Vec<String> = texts.iter().step_by(2).cloned().collect();
        let split = Split { test: test.clone(), ..Split::default() };
        let found = find(&texts, &split, &pool).pool_rows_in_validation_or_test;
        let sets: Vec<Vec<u32>> =
            texts.iter().map(|text| shingles(&normal_form(text), Scheme::Characters)).collect();
        for row in 0..pool.len() {
            let alike = |other: &u32| jaccard(&sets[row * 2], &sets[*other as usize]) >= 0.8;
            let (expected, is_found) = (test.iter().any(alike), found.contains(&(row as u64)));
            assert!(expected || !is_found, "row {row} has no duplicate and was found");
            wanted += usize::from(expected);
            got += usize::from(is_found);
        }
    }
    // Of each pair exactly at the threshold 99.8 % are found (21 bands of 6), of nearer ones more.
    assert!(wanted > 100, "{wanted}");
    assert!(got as f64 >= 0.99 * wanted as f64, "{got} of {wanted}");
}

#[test]
fn every_part_is_compared_with_the_parts_that_matter() {
    let long = "the quick brown fox jumps over the lazy dog near the old river bank on a sunny afternoon";
    let texts = owned(&[
        long,
        "alpha beta gamma",
        "ok",
        "Alpha  Beta GAMMA",
        "ok",
        &format!("{long}s"),
        "",
        "unique row",
    ]);
    let split = Split { train: vec![0, 1, 2, 7], validation: vec![3], test: vec![4, 5, 6] };
    let pool =
        owned(&["OK", "null", "", &long.to_uppercase(), "nothing of the kind", "ok ", "alpha beta gamma"]);
    let found = find(&texts, &split, &pool);
    assert_eq!(count(&found, Part::Train, Part::Test), (1, 1));
    assert_eq!(found.train_rows_in_test, [0, 2]);
    assert_eq!(count(&found, Part::Train, Part::Validation), (1, 0));
    assert_eq!(count(&found, Part::Validation, Part::Test), (0, 0));
    assert_eq!(count(&found, Part::Pool, Part::Test), (2, 1));
    assert_eq!(count(&found, Part::Pool, Part::Train), (4, 0));
    assert_eq!(count(&found, Part::Pool, Part::Validation), (1, 0));
    assert_eq!(count(&found, Part::Pool, Part::Pool), (1, 0));
    assert_eq!(found.pool_rows_in_validation_or_test, [0, 3, 5, 6]);
    assert_eq!(found.pool_repeats, [5]);
    assert_eq!(found.pool_rows, 7);
    assert_eq!(found.pool_origins.locate(5), (Path::new("pool.txt").to_path_buf(), 6));
}

#[test]
fn examples_are_few_and_show_the_test_part_first() {
    let texts: Vec<String> = (0..40).map(|row| format!("some text that is number {}", row / 2)).collect();
    let (train, test) = (0..40).partition(|row| row % 2 == 0);
    let split = Split { train, validation: Vec::new(), test };
    let found = find(&texts, &split, &texts);
    assert!(found.examples.len() <= 20 && found.examples.len() >= 8);
    assert_eq!(found.examples[0].to, Part::Test);
    let exact = found.examples.iter().find(|example| example.from == Part::Train).unwrap();
    assert_eq!(
        (exact.from_row, exact.to_row, exact.kind, exact.similarity),
        (0, 1, DuplicateKind::Exact, 1.0)
    );
    assert_eq!(exact.from_text, exact.to_text);
}

#[test]
fn the_number_of_threads_and_the_chunks_do_not_matter() {
    let texts = versions(5);
    let split =
        Split { train: (0..200).collect(), validation: (200..300).collect(), test: (300..600).collect() };
    let pool: Vec<String> = texts.iter().rev().cloned().collect();
    let run = |threads: usize, size: usize| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let context = Context { progress: &Silent, cancel: &Cancel::default() };
        let pool = chunks(&pool, size).into_iter();
        let found =
            threads.install(|| find_duplicates(&texts, &split, pool, &DuplicateOptions::default(), &context));
        format!("{:?}", found.unwrap())
    };
    assert_eq!(run(1, 10), run(3, 64));
}

#[test]
fn a_stop_and_a_bad_threshold_are_errors() {
    let cancel = Cancel::default();
    cancel.cancel();
    let context = Context { progress: &Silent, cancel: &cancel };
    let run = |options: &DuplicateOptions| {
        let split = Split { train: vec![0], ..Split::default() };
        find_duplicates(&owned(&["some text"]), &split, std::iter::empty(), options, &context)
    };
    assert!(matches!(run(&DuplicateOptions::default()), Err(Error::Cancelled)));
    let options = DuplicateOptions { near_threshold: Some(0.0), seed: 0 };
    assert!(run(&options).unwrap_err().hint().is_some());
}

#[test]
fn long_texts_are_compared_by_words() {
    let word = |at: u64| format!("word{}", draw(1, Stream::Split, at) % 100_000);
    let long: Vec<String> = (0..400).map(word).collect();
    let mut changed = long.clone();
    changed[200] = "other".to_owned();
    let split = Split { test: vec![0], ..Split::default() };
    let found = find(&[long.join(" ")], &split, &[changed.join(" "), changed[..200].join(" ")]);
    assert_eq!(found.pool_rows_in_validation_or_test, [0]);
    assert!((found.examples[0].similarity - 395.0 / 401.0).abs() < 1e-9, "{}", found.examples[0].similarity);
}
