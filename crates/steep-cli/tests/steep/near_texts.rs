//! Search and labels without training, from the command line.

use crate::workplace::Workplace;
use std::path::Path;

#[test]
fn an_index_is_made_once_and_asked_by_text() {
    let place = Workplace::new();
    place.write_texts("texts.txt", 60);
    let index = ["search", "--index_dir", "index"];
    let made = place.succeed(
        &[&index[..], &["--model", "model", "--input", "texts.txt", "--index_type", "ivf"]].concat(),
    );
    assert!(
        made.contains("60 rows of 16 dimensions, in 8 lists, ") && made.contains(" different words: index"),
        "{made}"
    );
    let asked = ["--model", "model", "--query", "green tea is good", "--top_k", "5"];
    let text = place.succeed(&[&index[..], &asked].concat());
    assert!(text.contains("recall@5") && text.contains("1 queries, 5 rows for each"), "{text}");
    place.succeed(&[&index[..], &asked, &["--exact", "--output_file", "hits.csv"]].concat());
    let hits = std::fs::read_to_string(place.path("hits.csv")).expect("the hits");
    assert!(hits.starts_with("query,rank,row,score,text\ngreen tea is good,1,"), "{hits}");
    assert_eq!(hits.lines().count(), 6);

    let pairs = ["--near_duplicates", "0.999", "--output_file", "pairs.jsonl"];
    let text = place.succeed(&[&index[..], &pairs].concat());
    assert!(text.contains("pairs of rows have a cosine of 0.999 or more"), "{text}");
    for line in std::fs::read_to_string(place.path("pairs.jsonl")).expect("the pairs").lines() {
        let pair: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(pair["first"].as_u64() < pair["second"].as_u64());
    }
    let (code, _, errors) = place.run(&["search", "--index_dir", "none", "--near_duplicates", "0.9"]);
    assert!(code == Some(1) && errors.contains("there is no index"), "{errors}");
}

#[test]
fn words_are_searched_without_a_model_and_fused_with_vectors() {
    let place = Workplace::new();
    place.write_texts("texts.txt", 60);
    let words = ["search", "--index_dir", "index", "--method", "bm25", "--input", "texts.txt"];
    let made = place.succeed(&words);
    assert!(made.contains("index: 60 rows, ") && made.contains(" different words: index"), "{made}");
    let query = ["--query", "green tea", "--top_k", "4", "--output_file", "hits.jsonl"];
    let text = place.succeed(&[&words[..], &query].concat());
    assert!(text.contains("1 queries, 4 rows for each"), "{text}");
    let read = |name: &str| std::fs::read_to_string(place.path(name)).expect("the hits");
    let hits: Vec<serde_json::Value> =
        read("hits.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(hits.len(), 4);
    assert!(hits.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64()));

    let hybrid = ["search", "--index_dir", "index", "--method", "hybrid", "--model", "model"];
    let (code, _, errors) = place.run(&[&hybrid[..], &query].concat());
    assert!(code == Some(1) && errors.contains("no vectors") && errors.contains("--method bm25"), "{errors}");
    let both = [&hybrid[..], &["--input", "texts.txt"], &query].concat();
    place.succeed(&both);
    let first: serde_json::Value =
        serde_json::from_str(read("hits.jsonl").lines().next().expect("a hit")).expect("JSON");
    let part =
        |name: &str| first[format!("{name}_rank")].as_u64().map_or(0.0, |rank| 1.0 / (60.0 + rank as f64));
    assert!(
        (first["score"].as_f64().expect("a score") - part("dense") - part("bm25")).abs() < 1e-12,
        "{first}"
    );
    let file = ["--query", "green tea", "--top_k", "4", "--output_file", "hits.csv"];
    place.succeed(&[&hybrid[..], &file].concat());
    let names = "query,rank,row,score,dense_rank,dense_score,bm25_rank,bm25_score,text\n";
    assert!(read("hits.csv").starts_with(names) && !read("hits.csv").contains("null"));
    let (code, _, errors) = place.run(&["search", "--index_dir", "index", "--query", "tea"]);
    assert!(code == Some(1) && errors.contains("model_name_or_path"), "{errors}");
}

#[test]
fn texts_are_labelled_without_training() {
    let place = Workplace::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/zeroshot/bert");
    let model = golden.to_str().expect("a path");
    place.write_texts("texts.txt", 9);
    let flags = ["zeroshot", "--model", model, "--input", "texts.txt", "--labels", "hot tea,cold water"];
    let text = place.succeed(&[&flags[..], &["--output", "labels.csv"]].concat());
    assert!(text.contains("labelled 9 rows"), "{text}");
    let labels = std::fs::read_to_string(place.path("labels.csv")).expect("the labels");
    assert!(
        labels.starts_with("text,label,probability,probability_hot tea,probability_cold water"),
        "{labels}"
    );
    let plan = place.succeed(&[&flags[..], &["--output", "labels.csv", "--dry-run"]].concat());
    assert!(plan.contains("which names entailment") && plan.contains("read 2 times"), "{plan}");
    let template = ["--output", "no.csv", "--template", "about tea"];
    let (code, _, errors) = place.run(&[&flags[..], &template].concat());
    assert!(code == Some(1) && errors.contains("hypothesis_template"), "{errors}");
}
