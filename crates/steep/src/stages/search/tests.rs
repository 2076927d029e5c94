use super::*;
use crate::search::recall;
use crate::stages::OutputFormat;
use crate::stages::output::testing::{
    input, model_folder, quietly, settings as extract_settings, text_file, texts,
};

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
    assert_eq!((report.rows, report.width, report.lists), (40, 32, Some(5)));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "the model, the texts and the index alone");
    let again = quietly(|ctx| build_index(&input(&model, &source), &settings(10), &folder, ctx)).unwrap();
    assert_eq!(again, report);

    let index = SearchIndex::open(&folder).unwrap();
    let texts = texts(40);
    assert_eq!((0..40).map(|row| index.text(row)).collect::<Vec<_>>(), texts);
    assert_eq!(index.text(40), "");
    let queries = quietly(|ctx| index.embed(&model, &texts, None, ctx)).unwrap();
    let exact = quietly(|ctx| index.search(&queries, 3, SearchMethod::Exact, ctx)).unwrap();
    for (row, hits) in exact.iter().enumerate() {
        assert_eq!(read(&index.text(hits[0].row)), read(&texts[row]), "row {row}");
        assert!((hits[0].score - 1.0).abs() < 1e-5);
    }
    let method = SearchMethod::Lists { n_probe: 5 };
    let found = quietly(|ctx| index.search(&queries, 3, method, ctx)).unwrap();
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
    assert_eq!(index.about().lists, None);
    let queries = quietly(|ctx| index.embed(&model, &["a bad cab"], None, ctx)).unwrap();
    let method = SearchMethod::Lists { n_probe: 1 };
    assert!(quietly(|ctx| index.search(&queries, 3, method, ctx)).is_err());
    let other = ModelFolder::open(&model_folder(place.path(), "mlm")).unwrap();
    let error = quietly(|ctx| index.embed(&other, &["a bad cab"], None, ctx)).unwrap_err();
    assert!(error.to_string().contains("not the encoder of the index"), "{error}");
    fs::write(folder.join(OFFSETS_FILE), vec![9_u8; 13 * 8]).unwrap();
    assert!(SearchIndex::open(&folder).is_err());
}
