//! A comparison whose encoder gets new tokens before it is adapted.

use crate::schema::conforms;
use crate::workplace::Workplace;
use serde_json::Value;
use std::fmt::Write;

/// A tokenizer that cuts one word into two tokens, rows that hold it, and texts that hold it often. Texts of test rows
/// have a word of their own, which the unlabelled texts repeat.
fn place() -> Workplace {
    let place = Workplace::new();
    let vocabulary = std::fs::read_to_string(place.path("model/vocab.txt")).expect("a vocabulary");
    place.write("model/vocab.txt", &vocabulary.replace("strong\nweak\n", "kom\n##bucha\n"));
    let (mut rows, mut texts) = ("text,label,split\n".to_owned(), String::new());
    for row in 0..160 {
        let (mood, label) = if row % 2 == 0 { ("good", "yes") } else { ("bad", "no") };
        let split = ["train", "train", "validation", "test"][row / 2 % 4];
        let drink = if split == "test" { "rooibos" } else { "water" };
        let text = format!("the kombucha is {mood} and {drink} {row}");
        writeln!(rows, "{text},{label},{split}").expect("a string");
        if split == "test" {
            writeln!(texts, "{text}").expect("a string");
        }
        writeln!(texts, "a cup of kombucha and {} tea {row}", ["hot", "cold", "green"][row % 3])
            .expect("a string");
    }
    place.write("rows.csv", &rows);
    place.write("texts.txt", &texts);
    place
}

const COMPARE: [&str; 27] = [
    "compare",
    "--model",
    "model",
    "--labelled",
    "rows.csv",
    "--split_column",
    "split",
    "--unlabelled",
    "texts.txt",
    "--output",
    "out",
    "--seeds",
    "42",
    "--adapt_max_steps",
    "6",
    "--finetune_max_steps",
    "4",
    "--resamples",
    "100",
    "--min_frequency",
    "5",
    "--vocabulary_warmup_steps",
    "3",
    "--label_curve",
    "false",
    "--metric",
    "log_loss",
];

fn results(place: &Workplace) -> Value {
    let bytes = std::fs::read(place.path("out/results.json")).expect("results");
    let results = serde_json::from_slice(&bytes).expect("JSON");
    conforms(&results);
    results
}

#[test]
fn new_tokens_are_chosen_without_test_texts_learn_alone_first_and_stand_beside_the_scores() {
    let place = place();
    let routes = ["--routes", "majority,adapted,vocab+adapted,vocab+adapted+finetuned"];
    // Even where test texts are adapted to, no token is chosen by them.
    let flags = [&COMPARE[..], &routes, &["--allow_test_text_in_unlabelled", "true"]].concat();
    let text = place.succeed(&flags);
    let first = results(&place);
    let routes = first["routes"].as_array().expect("routes");
    let ids: Vec<&str> = routes.iter().filter_map(|route| route["id"].as_str()).collect();
    let expected = [
        "majority",
        "adapted",
        "vocab+adapted",
        "vocab+adapted+finetuned",
        "vocab+adapted+finetuned (own head)",
    ];
    assert_eq!(ids, expected);
    for route in routes {
        assert_eq!(route["status"]["state"], "done", "{route}");
        assert_eq!(
            route["vocabulary"].is_object(),
            route["name"].as_str().expect("a name").starts_with("vocab")
        );
    }
    let change = &routes[2]["vocabulary"];
    let number = |field: &str| change[field].as_f64().expect(field);
    // Each row has the word once: a token less a text.
    assert!((number("tokens_per_text_before") - number("tokens_per_text") - 1.0).abs() < 1e-9, "{change}");
    assert!(number("texts_per_second") > 0.0 && number("texts_per_second_before") > 0.0, "{change}");
    assert!(text.contains("tokens a text"), "{text}");
    let report = std::fs::read_to_string(place.path("out/report.html")).expect("a report");
    assert!(report.contains("tokens a text"));
    let record =
        std::fs::read(place.path("out/stages/vocab/vocabulary_extension/new_tokens.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    let tokens: Vec<&str> = record["new_tokens"]
        .as_array()
        .expect("tokens")
        .iter()
        .filter_map(|one| one["token"].as_str())
        .collect();
    assert!(tokens.contains(&"kombucha") && !tokens.contains(&"rooibos"), "{tokens:?}");
    let manifest =
        std::fs::read_to_string(place.path("out/stages/vocab+adapted/manifest.json")).expect("a manifest");
    assert!(manifest.contains("\"vocabulary_warmup\"") && manifest.contains("\"steps\": 3"), "{manifest}");

    place.succeed(&flags);
    let second = results(&place);
    for part in ["routes", "comparisons", "verdict"] {
        assert_eq!(first[part], second[part], "{part}");
    }
}

#[test]
fn the_winner_has_its_new_tokens_and_the_plan_counts_them() {
    let place = place();
    let flags = [&COMPARE[..], &["--routes", "vocab+adapted"]].concat();
    let plan = place.succeed(&[&flags[..], &["--dry-run"]].concat());
    assert!(plan.contains("vocab, 1 times") && plan.contains("adapt, 1 times"), "{plan}");
    assert!(plan.contains("num_new_tokens = 2000") && plan.contains("vocabulary_warmup_steps = 3"), "{plan}");
    let text = place.succeed(&flags);
    assert!(text.contains("winner: out/winner"), "{text}");
    assert_eq!(results(&place)["verdict"]["recommended"], "vocab+adapted");
    let inspected = place.succeed(&["inspect", "out/winner"]);
    assert!(inspected.contains("49 tokens"), "{inspected}");
    let predict = ["predict", "--model", "out/winner", "--input", "rows.csv", "--output", "labels.csv"];
    assert!(place.succeed(&predict).contains("predicted 160 rows"));
}

#[test]
fn without_a_frequent_word_the_routes_say_so_and_the_others_go_on() {
    let place = place();
    let flags =
        [&COMPARE[..], &["--routes", "majority,adapted,vocab+adapted", "--num_new_tokens", "9"]].concat();
    let flags: Vec<&str> = flags.iter().map(|flag| if *flag == "5" { "5000" } else { *flag }).collect();
    let text = place.succeed(&flags);
    assert!(text.contains("no token to add occurs 5000 times"), "{text}");
    let results = results(&place);
    assert_eq!(results["routes"][1]["status"]["state"], "done");
    assert_eq!(results["routes"][2]["status"]["state"], "failed");
}
