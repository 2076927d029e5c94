//! What `steep evaluate` writes and says.

use crate::schema::conforms_to;
use crate::workplace::Workplace;
use serde_json::Value;

fn results(place: &Workplace, folder: &str) -> Value {
    let text = std::fs::read_to_string(place.path(folder).join("results.json")).expect("the results");
    let results = serde_json::from_str(&text).expect("JSON");
    conforms_to(include_str!("../../../../docs/evaluation.schema.json"), &results);
    results
}

/// A corpus of sixty texts, five of which are queries too.
fn with_queries() -> Workplace {
    let place = Workplace::new();
    place.write_texts("corpus.txt", 60);
    let corpus = std::fs::read_to_string(place.path("corpus.txt")).expect("the corpus");
    let queries: Vec<&str> = corpus.lines().take(5).collect();
    place.write("queries.txt", &(queries.join("\n") + "\n"));
    let qrels = (0..5).map(|row| format!("{row}\t{row}\n")).collect::<Vec<_>>().concat();
    place.write("qrels.tsv", &format!("query-id\tcorpus-id\n{qrels}"));
    place
}

const RETRIEVAL: [&str; 9] = [
    "evaluate",
    "--task",
    "retrieval",
    "--input_file",
    "corpus.txt",
    "--query_file",
    "queries.txt",
    "--qrels_file",
    "qrels.tsv",
];

#[test]
fn a_search_is_judged_by_vectors_words_and_both() {
    let place = with_queries();
    let asked = [&RETRIEVAL[..], &["--model", "model", "--output_dir", "all", "--k_values", "1,10"]].concat();
    let plan = place.succeed(&[&asked[..], &["--dry-run"]].concat());
    assert!(plan.contains("method = [\"dense\", \"bm25\", \"hybrid\"]"), "{plan}");
    let text = place.succeed(&asked);
    assert!(
        text.contains("60 documents") && text.contains("5 queries") && text.contains("ndcg@10"),
        "{text}"
    );
    let found = results(&place, "all");
    let methods = ["dense", "bm25", "hybrid"];
    assert!(
        methods.iter().all(|method| found["scores"][*method]["recall@10"].as_f64() > Some(0.0)),
        "{found}"
    );
    assert!(place.path("all/resolved.toml").is_file());
    let words = place.succeed(&[&RETRIEVAL[..], &["--output_dir", "words"]].concat());
    assert!(words.contains("bm25") && !words.contains("dense"), "{words}");
    assert_eq!(results(&place, "words")["model_digest"], Value::Null);
    let (code, _, errors) =
        place.run(&[&RETRIEVAL[..], &["--output_dir", "no", "--method", "dense"]].concat());
    assert!(code == Some(1) && errors.contains("model_name_or_path"), "{errors}");
    // The index serves a search.
    let index = ["search", "--index_dir", "all/index", "--method", "bm25", "--query", "green tea"];
    assert!(place.succeed(&index).contains("index: 60 rows of 16 dimensions"));
}

#[test]
fn pairs_labels_and_other_encoders_are_asked_about() {
    let place = Workplace::new();
    place.add_model("other", "encoders/bert/mlm");
    place.write(
        "pairs.csv",
        "sentence1,sentence2,score\ngreen tea,green tea,5\nhot tea,cold water,1\ntea,bad,0\n",
    );
    place.write_labelled("labelled.csv", 30);
    let run = |task: &str, input: &str, more: &[&str]| {
        let flags = ["evaluate", "--task", task, "--model", "model", "--input", input, "--output_dir", task];
        let text = place.succeed(&[&flags[..], more].concat());
        (text, results(&place, task)["scores"].clone())
    };
    let (text, scores) = run("sts", "pairs.csv", &[]);
    assert!(text.contains("spearman") && text.contains("manhattan"), "{text}");
    assert!(scores["cosine"]["pearson"].is_number());
    let (_, scores) = run("alignment", "pairs.csv", &["--positive_score", "5"]);
    assert!(
        scores["vectors"]["alignment"].as_f64() < Some(1e-9) && scores["vectors"]["uniformity"].is_number()
    );
    let (text, scores) = run("drift", "labelled.csv", &["--reference_model", "other", "--n_neighbors", "3"]);
    assert!(text.contains("30 texts") && scores["vectors"]["neighbour_overlap@3"].is_number(), "{text}");
    let (_, scores) = run("clustering", "labelled.csv", &[]);
    assert!(scores["vectors"]["v_measure"].is_number());
    let (code, _, errors) =
        place.run(&["evaluate", "--task", "clusterng", "--output_dir", "x", "--input", "y"]);
    assert!(code == Some(1) && errors.contains("did you mean clustering?"), "{errors}");
}
