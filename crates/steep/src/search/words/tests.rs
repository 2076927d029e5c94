use super::*;
use crate::progress::{Cancel, Context, Silent};
use crate::search::Hit;
use crate::storage::{Artefact, ArtefactWriter};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

fn written(folder: &Path, texts: &[String]) -> WordIndex {
    let mut builder = WordIndexBuilder::default();
    texts.iter().for_each(|text| builder.add(text).unwrap());
    let writer = ArtefactWriter::create(folder).unwrap();
    let totals = builder.save(&writer).unwrap();
    let artefact = writer.commit(&"words").unwrap();
    assert!(totals.distinct <= totals.words);
    WordIndex::open(&artefact, texts.len()).unwrap()
}

fn search(index: &WordIndex, queries: &[String], top_k: usize) -> Vec<Vec<Hit>> {
    let ctx = Context { progress: &Silent, cancel: &Cancel::default() };
    index.search(queries, top_k, &ctx).unwrap()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    queries: Vec<String>,
    /// The scores of all rows, for each query.
    scores: Vec<Vec<f64>>,
}

/// Tolerance 1e-6 of the score; bm25s sums in 32 bits too, in another order of operations.
#[test]
fn scores_equal_those_of_bm25s() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/bm25/reference.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let place = tempfile::tempdir().unwrap();
    let index = written(&place.path().join("index"), &golden.texts);
    let found = search(&index, &golden.queries, golden.texts.len());
    for ((query, hits), scores) in golden.queries.iter().zip(&found).zip(&golden.scores) {
        assert_eq!(hits.len(), scores.iter().filter(|score| **score > 0.0).count(), "{query}");
        for hit in hits {
            let expected = scores[hit.row as usize];
            assert!(
                (f64::from(hit.score) - expected).abs() <= 1e-6 * expected,
                "{query}: {hit:?}, {expected}"
            );
        }
    }
    for (hits, all) in search(&index, &golden.queries, 3).iter().zip(&found) {
        assert_eq!(hits[..], all[..all.len().min(3)]);
    }
}

/// The formula, row by row, without an index.
fn scored(texts: &[String], query: &str) -> Vec<f64> {
    let words = |text: &str| {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(word.to_owned()));
        words
    };
    let rows: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
    let count = rows.len() as f64;
    let mean = rows.iter().map(Vec::len).sum::<usize>() as f64 / count;
    let mut with: BTreeMap<&str, f64> = BTreeMap::new();
    for row in &rows {
        let mut distinct: Vec<&str> = row.iter().map(String::as_str).collect();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.into_iter().for_each(|word| *with.entry(word).or_default() += 1.0);
    }
    let score = |row: &Vec<String>| {
        let of = |word: &String| {
            let times = row.iter().filter(|other| *other == word).count() as f64;
            let with = with.get(word.as_str()).copied().unwrap_or_default();
            let idf = ((count - with + 0.5) / (with + 0.5)).ln_1p();
            idf * times / (times + 1.2 * (0.25 + 0.75 * row.len() as f64 / mean))
        };
        words(query).iter().map(of).sum()
    };
    rows.iter().map(score).collect()
}

#[test]
fn rows_of_many_windows_are_scored_and_equal_ones_come_in_their_order() {
    let place = tempfile::tempdir().unwrap();
    let text = |row: usize| match row % 7 {
        0 => "tea and water".to_owned(),
        1 => format!("water {}", row / 3000),
        2 => String::new(),
        _ => format!("word{} and {}", row % 11, "more ".repeat(row % 5)),
    };
    let texts: Vec<String> = (0..10_000).map(text).collect();
    let index = written(&place.path().join("index"), &texts);
    let queries = strings(&["Tea", "water and", "word3 3 water", "nothing here", "", "and and tea"]);
    for (query, hits) in queries.iter().zip(search(&index, &queries, 12)) {
        let scores = scored(&texts, query);
        let mut rows: Vec<usize> = (0..texts.len()).filter(|&row| scores[row] > 0.0).collect();
        rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        rows.truncate(12);
        assert_eq!(hits.len(), rows.len(), "{query}");
        for (hit, &row) in hits.iter().zip(&rows) {
            assert!((f64::from(hit.score) - scores[row]).abs() < 1e-5, "{query}");
        }
        assert!(hits.windows(2).all(|pair| pair[0].score > pair[1].score || pair[0].row < pair[1].row));
    }
    let first = search(&index, &queries, 3);
    assert_eq!(first[0].iter().map(|hit| hit.row).collect::<Vec<_>>(), [0, 7, 14]);
}

#[test]
fn words_are_those_of_unicode_in_lower_case() {
    let place = tempfile::tempdir().unwrap();
    let texts = strings(&["Größe; CAFÉ don't 3.14", "東京 タワー", "привет, МИР!", "", "😀 --"]);
    let index = written(&place.path().join("index"), &texts);
    for (query, row) in [("GRÖSSE größe", 0), ("café", 0), ("Don't", 0), ("3.14", 0), ("京", 1), ("мир", 2)]
    {
        let hits = search(&index, &strings(&[query]), 5);
        assert_eq!(hits[0].iter().map(|hit| hit.row).collect::<Vec<_>>(), [row], "{query}");
    }
    assert!(search(&index, &strings(&["😀", "--", "tokyo", "3"]), 5).iter().all(Vec::is_empty));
    let empty = written(&place.path().join("none"), &[]);
    assert!(search(&empty, &strings(&["a"]), 5)[0].is_empty());
}

#[test]
fn damage_is_told() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("index");
    let texts: Vec<String> = (0..300).map(|row| format!("word{} tea", row % 9)).collect();
    drop(written(&folder, &texts));
    let open = || WordIndex::open(&Artefact::open(&folder).unwrap().unwrap(), texts.len());
    assert!(WordIndex::open(&Artefact::open(&folder).unwrap().unwrap(), 299).is_err());
    for name in [POSTINGS_FILE, TABLE_FILE, WORDS_FILE, LENGTHS_FILE] {
        let path = folder.join(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![0xff; whole.len()]).unwrap();
        let ctx = Context { progress: &Silent, cancel: &Cancel::default() };
        // Other words and lengths are no damage that could be seen; they may not panic.
        let result = open().and_then(|index| index.search(&["tea"], 3, &ctx));
        assert!(result.is_err() || name == WORDS_FILE || name == LENGTHS_FILE, "{name}");
        std::fs::write(&path, whole).unwrap();
    }
    assert!(open().is_ok());
}
