//! A comparison from end to end, with columns beside the text, on an encoder of two layers.

use crate::schema::conforms;
use crate::workplace::Workplace;
use serde_json::Value;
use std::fmt::Write;

/// Rows whose label follows from a word of the text and a number beside it, either alone being unsure.
fn write_rows(place: &Workplace, count: usize) {
    let mut csv = "text,price,colour,copy,nothing,label\n".to_owned();
    for row in 0..count {
        let label = row % 3;
        let word = ["good", "bad", "weak"][if row % 5 == 0 { (label + 1) % 3 } else { label }];
        let price = label as f64 + [0.0, 0.4, -0.4, 0.9, -0.9][row % 5];
        let colour = ["red", "green", ""][row * 7 % 3];
        let name = ["yes", "no", "maybe"][label];
        let filler = ["tea", "milk", "water", "sugar", "lemon"][row * 11 % 5];
        writeln!(csv, "the {filler} is {word} {row},{price:.1},{colour},c{label},same,{name}")
            .expect("a string");
    }
    place.write("rows.csv", &csv);
}

fn results(place: &Workplace) -> Value {
    let bytes = std::fs::read(place.path("out/results.json")).expect("results");
    let results = serde_json::from_slice(&bytes).expect("JSON");
    conforms(&results);
    results
}

fn ids(results: &Value) -> Vec<&str> {
    results["routes"].as_array().expect("routes").iter().filter_map(|route| route["id"].as_str()).collect()
}

const CONFIG: &str = "model_name_or_path = 'model'\nlabelled_file = 'rows.csv'\nunlabelled_file = 'texts.txt'\n\
    output_dir = 'out'\nfeature_columns = ['price', 'colour']\nadapt_max_steps = 4\nfinetune_max_steps = 4\n\
    seeds = [42, 43]\nresamples = 200\nc_grid = [0.1, 10]\ncv_folds = 3\n";

#[test]
fn every_route_is_measured_with_columns_and_a_second_start_repeats_the_numbers() {
    let place = Workplace::new();
    write_rows(&place, 240);
    place.write_texts("texts.txt", 60);
    place.write("compare.toml", CONFIG);
    let text = place.succeed(&["compare", "--config", "compare.toml"]);
    assert!(text.contains("frozen (+columns)") && text.contains("stacked"), "{text}");
    let first = results(&place);
    let expected = [
        "majority",
        "tfidf",
        "table_only",
        "frozen",
        "frozen (+columns)",
        "table_as_text",
        "adapted",
        "adapted (+columns)",
        "finetuned",
        "finetuned (+columns)",
        "finetuned (own head)",
        "adapted+finetuned",
        "adapted+finetuned (+columns)",
        "adapted+finetuned (own head)",
        "finetuned+adapted",
        "finetuned+adapted (+columns)",
        "joint (own head)",
        "adapted+joint (own head)",
        "late_average",
        "stacked",
    ];
    assert_eq!(ids(&first), expected);
    for route in first["routes"].as_array().expect("routes") {
        assert_eq!(route["status"]["state"], "done", "{route}");
    }
    let frozen = &first["routes"][4];
    assert_eq!(
        (frozen["features"].as_str(), frozen["learner"].as_str()),
        (Some("text+columns"), Some("logistic_regression"))
    );
    assert!(first["comparisons"][0]["disagreement"]["holm_p"].is_number());
    assert!(first["label_curves"][0]["points"].as_array().is_some_and(|points| points.len() > 3));
    assert_eq!(first["maps"].as_array().map(Vec::len), Some(3));
    assert!(
        std::fs::read_to_string(place.path("out/report.html")).expect("a report").contains("id=\"slices\"")
    );
    place.succeed(&["compare", "--config", "compare.toml"]);
    let second = results(&place);
    for part in ["routes", "comparisons", "verdict", "label_curves", "maps", "mistakes", "checks"] {
        assert_eq!(first[part], second[part], "{part}");
    }
}

#[test]
fn a_winner_with_columns_predicts_from_raw_rows() {
    let place = Workplace::new();
    write_rows(&place, 240);
    place.write("compare.toml", CONFIG);
    let config = ["compare", "--config", "compare.toml", "--unlabelled_file", "texts.txt"];
    place.write_texts("texts.txt", 20);
    // The learner on both kinds of features is far ahead of what guesses.
    let flags = ["--routes", "majority,frozen", "--metric", "log_loss", "--label_curve", "false"];
    let text = place.succeed(&[&config[..], &flags[..]].concat());
    assert!(text.contains("winner: out/winner"), "{text}");
    assert_eq!(results(&place)["verdict"]["recommended"], "frozen (+columns)");
    let text =
        place.succeed(&["predict", "--model", "out/winner", "--input", "rows.csv", "--output", "labels.csv"]);
    assert!(text.contains("predicted 240 rows"), "{text}");
}

#[test]
fn suspicious_columns_are_told_before_anything_runs() {
    let place = Workplace::new();
    write_rows(&place, 240);
    place.write("compare.toml", &CONFIG.replace("'colour'", "'copy', 'nothing'"));
    place.write_texts("texts.txt", 20);
    let plan = place.succeed(&["compare", "--config", "compare.toml", "--dry-run"]);
    assert!(
        plan.contains("1 column with which the label is nearly known") && plan.contains("(copy)"),
        "{plan}"
    );
    assert!(plan.contains("1 column with a single value, of no use (nothing)"), "{plan}");
    // Two seeds of joint and of adapted+joint.
    assert!(plan.contains("joint, 4 times"), "{plan}");
    assert!(!place.path("out").join("results.json").exists());
}

#[test]
fn a_network_over_text_and_counts_of_it_needs_no_columns() {
    let place = Workplace::new();
    write_rows(&place, 240);
    let config =
        ["compare", "--model", "model", "--labelled", "rows.csv", "--output", "out", "--seeds", "42"];
    let flags = ["--features", "text+engineered", "--routes", "majority,joint", "--resamples", "100"];
    let keys = ["--finetune_max_steps", "4", "--combine_feat_method", "attention_on_cat_and_numerical_feats"];
    place.succeed(&[&config[..], &flags, &keys].concat());
    let results = results(&place);
    assert_eq!(ids(&results), ["majority", "joint (own head)"]);
    assert_eq!(results["routes"][1]["features"], "text+engineered");
    let note = results["data"]["columns"][0].as_str().expect("a note");
    assert!(note.contains("table_only, table_as_text, adapted+joint, late_average and stacked"), "{note}");
}

#[test]
fn without_columns_the_table_stays_short() {
    let place = Workplace::new();
    place.write_labelled("rows.csv", 160);
    let text = place.succeed(&[
        "compare",
        "--model",
        "model",
        "--labelled",
        "rows.csv",
        "--output",
        "out",
        "--routes",
        "majority,tfidf,frozen",
        "--resamples",
        "100",
    ]);
    assert_eq!(ids(&results(&place)), ["majority", "tfidf", "frozen"]);
    assert!(!text.contains("columns"), "{text}");
    let (code, _, errors) = place.run(&[
        "compare",
        "--model",
        "model",
        "--labelled",
        "rows.csv",
        "--output",
        "out",
        "--routes",
        "stacked",
    ]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("stacked needs columns") && errors.contains("--feature_columns"), "{errors}");
}

#[test]
fn encoders_are_adapted_by_any_objective_of_their_family() {
    for (golden, flags, objective) in [
        ("encoders/bert/base", &["--adapt_objective", "tsdae", "--deletion_ratio", "0.4"][..], "tsdae"),
        ("encoders/bert/base", &["--adapt_objective", "contrastive_tension"], "contrastive_tension"),
        ("electra/discriminator", &["--adapt_objective", "electra"], "electra"),
        ("families/gpt2/base", &[], "clm"),
        ("families/bart/base", &["--infilling_ratio", "0.2"], "denoising"),
    ] {
        let place = Workplace::with_model(golden);
        place.write_labelled("rows.csv", 120);
        place.write_texts("texts.txt", 40);
        let config = ["compare", "--model", "model", "--labelled", "rows.csv", "--unlabelled", "texts.txt"];
        let steps =
            ["--output", "out", "--adapt_max_steps", "3", "--finetune_max_steps", "2", "--seeds", "42"];
        let routes = ["--routes", "majority,adapted,finetuned+adapted", "--resamples", "100"];
        let curves = ["--label_curve", "false"];
        place.succeed(&[&config[..], &steps, &routes, &curves, flags].concat());
        let results = results(&place);
        assert_eq!(results["adapt_objective"], objective);
        for route in results["routes"].as_array().expect("routes") {
            assert_eq!(route["status"]["state"], "done", "{golden} {objective}: {route}");
        }
        let resolved = std::fs::read_to_string(place.path("out/resolved.toml")).expect("the request");
        assert!(resolved.contains(&format!("adapt_objective = \"{objective}\"")), "{resolved}");
        let rules = results["rules"].to_string();
        assert_eq!(
            rules.contains("perplexity"),
            !["simcse", "contrastive_tension", "electra"].contains(&objective),
            "{rules}"
        );
    }
}

#[test]
fn labels_without_training_are_scored_as_any_other_route() {
    let place = Workplace::new();
    place.write_labelled("rows.csv", 160);
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/zeroshot/bert");
    let config =
        ["compare", "--model", "model", "--labelled", "rows.csv", "--output", "out", "--resamples", "100"];
    let model = ["--zeroshot_model", golden.to_str().expect("a path")];
    let routes = ["--routes", "majority,zeroshot,frozen", "--label_curve", "false"];
    let words = ["--candidate_labels", "yes=good tea", "--hypothesis_template", "it is {}."];
    place.succeed(&[&config[..], &model, &routes, &words].concat());
    let first = results(&place);
    assert_eq!(ids(&first), ["majority", "zeroshot (own head)", "frozen"]);
    let zeroshot = &first["routes"][1];
    assert_eq!(zeroshot["status"]["state"], "done", "{zeroshot}");
    assert!(zeroshot["seconds"]["predict"].as_f64() > Some(0.0) && zeroshot["validation_score"].is_number());
    assert!(
        first["verdict"]["sentences"].to_string().contains("Your labels, instead of the names"),
        "{first}"
    );

    // The same as the command's labels of the same rows.
    place.write("labels.toml", "candidate_labels = ['no', 'good tea']\nhypothesis_template = 'it is {}.'\n");
    let model = golden.to_str().expect("a path");
    let rows = std::fs::read_to_string(place.path("rows.csv")).expect("rows");
    let texts = rows.lines().skip(1).filter_map(|row| Some(row.rsplit_once(',')?.0));
    place.write("only.txt", &texts.collect::<Vec<_>>().join("\n"));
    let label = ["zeroshot", "--config", "labels.toml", "--model", model, "--input", "only.txt", "--dtype"];
    let resolved = std::fs::read_to_string(place.path("out/resolved.toml")).expect("the request");
    let dtype = if resolved.contains("dtype = \"bf16\"") { "bf16" } else { "f32" };
    place.succeed(&[&label[..], &[dtype, "--output", "labels.jsonl"]].concat());
    let lines = std::fs::read_to_string(place.path("labels.jsonl")).expect("labels");
    let probability: Vec<f64> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["probabilities"]["no"].as_f64())
        .collect();
    assert_eq!(probability.len(), 160);
    let matrix =
        std::fs::read(place.path("out/stages/zeroshot.predictions/matrix.safetensors")).expect("a matrix");
    let header = u64::from_le_bytes(matrix[..8].try_into().expect("eight bytes")) as usize;
    let values: Vec<f32> =
        matrix[8 + header..].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(values.len(), 2 * (16 + 32));
    for pair in values.chunks(2) {
        let found = probability.iter().any(|value| (value - f64::from(pair[0])).abs() < 1e-5);
        assert!(found && (pair[0] + pair[1] - 1.0).abs() < 1e-5, "{pair:?}");
    }

    let wrong = ["--candidate_labels", "perhaps=tea"];
    let (code, _, errors) = place.run(&[&config[..], &["--zeroshot_model", model], &routes, &wrong].concat());
    assert!(
        code == Some(1) && errors.contains("'perhaps' is no label") && errors.contains("no, yes"),
        "{errors}"
    );
    let (code, _, errors) = place.run(&[&config[..], &routes].concat());
    assert!(code == Some(1) && errors.contains("--zeroshot_model_name_or_path"), "{errors}");
}
