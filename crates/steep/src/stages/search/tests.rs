use super::*;
use crate::search::ListSettings;
use crate::search::recall;
use crate::stages::OutputFormat;
use crate::stages::output::testing::{
    StopAfter, input, model_folder, quietly, settings as extract_settings, text_file, texts,
};
use std::fs;

fn settings(from_rows: u64) -> IndexSettings {
    let mut extract = extract_settings(OutputFormat::Npy);
    extract.embed.normalize = true;
    extract.keep_columns = false;
    let settings = ListSettings { n_lists: Some(5), seed: 1 };
    IndexSettings { extract, lists: Some(ListChoice { from_rows, settings }) }
}

/// The letters that the encoder reads of a text: each is a token, and two of sixteen are special ones.
fn read(text: &str) -> String {
    text.chars().filter(|letter| *letter != ' ').take(14).collect()
}

#[test]
fn a_text_finds_itself_and_its_repetitions() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 40);
    let folder = place.path().join("index");
    let report = quietly(|ctx| build_index(&input(&model, &source), &settings(10), &folder, ctx)).unwrap();
    let vectors = report.vectors.as_ref().unwrap();
    assert_eq!((report.rows, vectors.width, vectors.lists), (40, 32, Some(5)));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "the model, the texts and the index alone");
    let again = quietly(|ctx| build_index(&input(&model, &source), &settings(10), &folder, ctx)).unwrap();
    assert_eq!(again, report);

    let index = SearchIndex::open(&folder).unwrap();
    let texts = texts(40);
    assert_eq!((0..40).map(|row| index.text(row)).collect::<Vec<_>>(), texts);
    assert_eq!(index.text(40), "");
    let queries = quietly(|ctx| index.embed(&model, &texts, None, ctx)).unwrap();
    let exact = quietly(|ctx| index.search_vectors(&queries, 3, VectorSearch::Exact, ctx)).unwrap();
    for (row, hits) in exact.iter().enumerate() {
        assert_eq!(read(&index.text(hits[0].row)), read(&texts[row]), "row {row}");
        assert!((hits[0].score - 1.0).abs() < 1e-5);
    }
    let search = VectorSearch::Lists { n_probe: 5 };
    let found = quietly(|ctx| index.search_vectors(&queries, 3, search, ctx)).unwrap();
    assert_eq!(recall(&found, &exact), 1.0);
    let pairs = quietly(|ctx| index.near_duplicates(0.9999, ctx)).unwrap();
    let same = |pair: &NearPair| index.text(pair.first) == index.text(pair.second);
    assert!(pairs.iter().any(same), "texts repeat after thirty rows: {pairs:?}");
}

#[test]
fn what_does_not_fit_is_told() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 12);
    let folder = place.path().join("index");
    assert!(SearchIndex::open(&folder).err().unwrap().hint().unwrap().contains("input_file"));
    quietly(|ctx| build_index(&input(&model, &source), &settings(1_000), &folder, ctx)).unwrap();
    let index = SearchIndex::open(&folder).unwrap();
    assert_eq!(index.about().vectors.as_ref().unwrap().lists, None);
    let queries = quietly(|ctx| index.embed(&model, &["a bad cab"], None, ctx)).unwrap();
    let search = VectorSearch::Lists { n_probe: 1 };
    assert!(quietly(|ctx| index.search_vectors(&queries, 3, search, ctx)).is_err());
    let other = ModelFolder::open(&model_folder(place.path(), "mlm")).unwrap();
    let error = quietly(|ctx| index.embed(&other, &["a bad cab"], None, ctx)).unwrap_err();
    assert!(error.to_string().contains("not the encoder of the index"), "{error}");
    fs::write(folder.join(OFFSETS_FILE), vec![9_u8; 13 * 8]).unwrap();
    assert!(SearchIndex::open(&folder).is_err());
}

fn corpus(source: &str) -> CorpusInput<'_> {
    let (text_columns, text_column_delimiter) = (vec!["text".to_owned()], " ".to_owned());
    CorpusInput { source, text_columns, text_column_delimiter, limit: None }
}

#[test]
fn words_need_no_encoder_and_leave_vectors_of_the_same_texts_alone() {
    let place = tempfile::tempdir().unwrap();
    let source = text_file(place.path(), 40);
    let folder = place.path().join("index");
    let report = quietly(|ctx| build_word_index(&corpus(&source), &folder, ctx)).unwrap();
    assert_eq!((report.rows, report.vectors.is_none()), (40, true));
    let index = SearchIndex::open(&folder).unwrap();
    let hits = quietly(|ctx| index.search_words(&["CAGES, many"], 3, ctx)).unwrap();
    assert_eq!(index.text(hits[0][0].row), "one of many cages", "the shortest of those that hold both words");
    assert_eq!(hits[0].len(), 3);
    let error = quietly(|ctx| index.near_duplicates(0.9, ctx)).unwrap_err();
    assert!(error.hint().unwrap().contains("--method bm25"), "{error}");

    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let with_vectors =
        quietly(|ctx| build_index(&input(&model, &source), &settings(1_000), &folder, ctx)).unwrap();
    assert_eq!(with_vectors.words, report.words);
    let again = quietly(|ctx| build_word_index(&corpus(&source), &folder, ctx)).unwrap();
    assert_eq!(again, with_vectors, "an index of the same texts serves");
    let index = SearchIndex::open(&folder).unwrap();
    assert_eq!(quietly(|ctx| index.search_words(&["CAGES, many"], 3, ctx)).unwrap(), hits);
    let few = CorpusInput { limit: Some(7), ..corpus(&source) };
    assert_eq!(quietly(|ctx| build_word_index(&few, &folder, ctx)).unwrap().rows, 7);
}

#[test]
fn a_stop_leaves_no_index_of_words() {
    let place = tempfile::tempdir().unwrap();
    let source = text_file(place.path(), 20_000);
    let folder = place.path().join("index");
    let stopped = StopAfter::run(1, |ctx| build_word_index(&corpus(&source), &folder, ctx));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "the texts alone");
}
