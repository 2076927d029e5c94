use super::*;
use crate::search::SearchMethod;
use crate::stages::output::testing::{model_folder, quietly, settings as extract_settings};
use crate::stages::{CorpusInput, ExtractSettings, IndexSettings, ModelFolder, OutputFormat};
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 6] =
    ["a bad cab", "feed me bread", "one of many cages", "qed and more", "lead a beach", "no deal made"];

fn settings() -> ExtractSettings {
    let mut settings = extract_settings(OutputFormat::Npy);
    settings.embed.normalize = true;
    settings.keep_columns = false;
    settings
}

fn model(place: &Path) -> ModelFolder {
    ModelFolder::open(&model_folder(place, "base")).unwrap()
}

fn written(place: &Path, name: &str, content: &str) -> String {
    let path = place.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn texts(source: &str) -> CorpusInput<'_> {
    CorpusInput { source, text_columns: vec!["text".into()], text_column_delimiter: " ".into(), limit: None }
}

struct Files {
    place: tempfile::TempDir,
    corpus: String,
    queries: String,
    qrels: String,
    index: PathBuf,
}

impl Files {
    /// The third query's document is not in the corpus, and to the fourth nothing belongs.
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let rows = DOCUMENTS.iter().enumerate().map(|(row, text)| format!("d{row},{text}\n"));
        let corpus = written(place.path(), "corpus.csv", &format!("_id,text\n{}", rows.collect::<String>()));
        let queries = "_id,text\nq1,a bad cab\nq2,qed and more\nq3,feed me bread\nq4,hi\n";
        let queries = written(place.path(), "queries.csv", queries);
        let qrels = "query-id\tcorpus-id\tscore\nq1\td0\t1\nq2\td3\t2\nq2\td4\t0\nq3\tlost\t1\n";
        let qrels = written(place.path(), "qrels.tsv", qrels);
        let index = place.path().join("index");
        Self { place, corpus, queries, qrels, index }
    }

    fn run<'a>(
        &'a self,
        model: Option<&ModelFolder>,
        methods: &[SearchMethod],
        change: impl FnOnce(&mut RetrievalInput<'a>),
    ) -> crate::Result<EvaluationReport> {
        let mut input = RetrievalInput {
            corpus: texts(&self.corpus),
            corpus_id_column: None,
            query_file: &self.queries,
            query_column: Some("text".into()),
            query_id_column: None,
            qrels_file: &self.qrels,
            index_dir: &self.index,
        };
        change(&mut input);
        let settings = RetrievalSettings {
            methods: methods.to_vec(),
            k_values: vec![1, 3],
            index: model.map(|_| IndexSettings { extract: settings(), lists: None }),
            query_prompt: None,
        };
        quietly(|ctx| evaluate_retrieval(&input, model, &settings, ctx))
    }
}

#[test]
fn texts_that_are_their_own_queries_are_found_by_every_method() {
    let files = Files::new();
    let model = model(files.place.path());
    let methods = [SearchMethod::Dense, SearchMethod::Bm25, SearchMethod::Hybrid];
    let report = files.run(Some(&model), &methods, |_| ()).unwrap();
    assert_eq!(report.counts["queries"], 3);
    assert_eq!((report.counts["queries_without_judgements"], report.counts["documents"]), (1, 6));
    assert_eq!(report.counts["judged_documents_not_in_the_corpus"], 1);
    assert_eq!(report.scores.keys().collect::<Vec<_>>(), ["bm25", "dense", "hybrid"]);
    for (name, scores) in &report.scores {
        assert_eq!(scores["recall@1"], Some(2.0 / 3.0), "{name}");
        assert_eq!(scores["ndcg@3"], Some(2.0 / 3.0), "{name}");
    }
    let words = files.run(None, &[SearchMethod::Bm25], |_| ()).unwrap();
    assert_eq!(words.scores["bm25"], report.scores["bm25"]);
    assert_eq!(words.model_digest, None);
    let error = files.run(None, &[SearchMethod::Dense], |_| ()).unwrap_err();
    assert!(error.to_string().contains("is needed for dense"), "{error}");
}

#[test]
fn judgements_of_other_files_are_told() {
    let files = Files::new();
    let bm25 = [SearchMethod::Bm25];
    let error = files.run(None, &bm25, |input| input.corpus_id_column = Some("text".into())).unwrap_err();
    assert!(error.hint().unwrap().contains("corpus_id_column_name"), "{error}");
    let error = files.run(None, &bm25, |input| input.qrels_file = input.query_file).unwrap_err();
    assert!(error.to_string().contains("query-id"), "{error}");
    let twice = written(files.place.path(), "twice.csv", "_id,text\nq1,a\nq1,b\n");
    let error = files.run(None, &bm25, |input| input.query_file = &twice).unwrap_err();
    assert!(error.to_string().contains("'q1' stands twice"), "{error}");
}

#[test]
fn pairs_of_equal_texts_are_alike_and_near() {
    let place = tempfile::tempdir().unwrap();
    let model = model(place.path());
    let pairs = "sentence1,sentence2,score\na bad cab,a bad cab,5\nfeed me,feed me,5\na bad cab,qed and more,1\n\
                 one of many,lead a beach,0\n";
    let source = written(place.path(), "pairs.csv", pairs);
    let input = PairInput {
        model: &model,
        source: &source,
        first_column: None,
        second_column: None,
        score_column: None,
        limit: None,
    };
    let report = quietly(|ctx| evaluate_sts(&input, &settings(), ctx)).unwrap();
    assert_eq!(report.counts["pairs"], 4);
    assert_eq!(report.scores.keys().collect::<Vec<_>>(), ["cosine", "dot", "euclidean", "manhattan"]);
    assert!(report.scores["cosine"]["pearson"].unwrap() > 0.5, "{report:?}");
    let near = quietly(|ctx| evaluate_alignment(&input, Some(5.0), &settings(), ctx)).unwrap();
    assert_eq!((near.counts["positive_pairs"], near.counts["texts"]), (2, 5));
    assert!(near.scores["vectors"]["alignment"].unwrap() < 1e-9);
    assert!(near.scores["vectors"]["uniformity"].unwrap() < 0.0);
    let all = quietly(|ctx| evaluate_alignment(&input, None, &settings(), ctx)).unwrap();
    assert!(all.scores["vectors"]["alignment"].unwrap() > 1e-3);
    let error = quietly(|ctx| evaluate_alignment(&input, Some(9.0), &settings(), ctx)).unwrap_err();
    assert!(error.hint().unwrap().contains("belong together"), "{error}");
    let missing = PairInput { first_column: Some("left".into()), ..input };
    assert!(quietly(|ctx| evaluate_sts(&missing, &settings(), ctx)).is_err());
    let gap = written(place.path(), "gap.csv", "sentence1,sentence2,score\na,b,1\na,b,\n");
    let gap = PairInput { source: &gap, first_column: None, ..missing };
    let error = quietly(|ctx| evaluate_sts(&gap, &settings(), ctx)).unwrap_err().to_string();
    assert!(error.contains("score") && error.contains("missing"), "{error}");
}

#[test]
fn an_encoder_has_not_drifted_from_itself() {
    let place = tempfile::tempdir().unwrap();
    let model = model(place.path());
    let other = ModelFolder::open(&model_folder(place.path(), "mlm")).unwrap();
    let line = |row: usize| format!("{}{}\n", DOCUMENTS[row % 6], " ab".repeat(row / 6));
    let rows = (0..18).map(line).collect::<Vec<_>>().concat();
    let source = written(place.path(), "texts.csv", &format!("text\n{rows}{rows}"));
    let drifted = |shorter: usize| {
        let first = EvaluatedModel { model: &model, settings: settings() };
        let mut second = EvaluatedModel { model: &other, settings: settings() };
        second.settings.max_seq_length = shorter;
        quietly(|ctx| evaluate_drift(&texts(&source), [&first, &second], 3, ctx)).unwrap()
    };
    // Both folders hold the same encoder.
    let same = drifted(16);
    assert_eq!(same.counts["texts"], 18, "equal texts count once");
    assert_eq!(same.scores["vectors"]["neighbour_overlap@3"], Some(1.0));
    assert!((same.scores["vectors"]["cka"].unwrap() - 1.0).abs() < 1e-9);
    let cut = drifted(6);
    assert!(cut.scores["vectors"]["neighbour_overlap@3"].unwrap() < 1.0, "{cut:?}");
    assert!(cut.scores["vectors"]["procrustes_cosine"].unwrap() < 1.0);
}

#[test]
fn repeated_texts_are_clusters() {
    let place = tempfile::tempdir().unwrap();
    let model = model(place.path());
    let rows: Vec<String> =
        (0..30).map(|row| format!("{},label {}\n", DOCUMENTS[row % 6], row % 6)).collect();
    let rows = rows.concat();
    let source = written(place.path(), "texts.csv", &format!("text,label\n{rows}"));
    let input = LabelledTexts { texts: texts(&source), label_column: "label".into() };
    let evaluated = EvaluatedModel { model: &model, settings: settings() };
    let report = quietly(|ctx| evaluate_clustering(&input, &evaluated, None, 1, ctx)).unwrap();
    assert_eq!((report.counts["labels"], report.counts["clusters"]), (6, 6));
    assert!(report.scores["vectors"]["v_measure"].unwrap() > 0.999, "{report:?}");
    let one = quietly(|ctx| evaluate_clustering(&input, &evaluated, Some(1), 1, ctx)).unwrap();
    assert_eq!(one.scores["vectors"]["homogeneity"], Some(0.0));
    assert!(quietly(|ctx| evaluate_clustering(&input, &evaluated, Some(31), 1, ctx)).is_err());
}
