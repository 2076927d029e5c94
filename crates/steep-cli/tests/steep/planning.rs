//! Comparisons that choose an encoder, keep within a time, try adapting first, or measure every row out of fold.

use crate::schema::conforms;
use crate::workplace::Workplace;
use serde_json::Value;

/// Rows, texts, and two encoders.
fn workplace(rows: usize) -> Workplace {
    let place = Workplace::new();
    place.write_labelled("rows.csv", rows);
    place.write_texts("texts.txt", 80);
    place.add_model("other", "encoders/distilbert/base");
    let config = "labelled_file = 'rows.csv'\noutput_dir = 'out'\nadapt_max_steps = 4\nfinetune_max_steps = 4\n\
        seeds = [42, 43]\nresamples = 200\nc_grid = [0.1, 10]\ncv_folds = 3\nlabel_curve = false\n";
    place.write("compare.toml", config);
    place
}

fn run(place: &Workplace, flags: &[&str]) -> (String, Value) {
    let text = place.succeed(&[&["compare", "--config", "compare.toml"], flags].concat());
    let bytes = std::fs::read(place.path("out/results.json")).expect("results");
    let results = serde_json::from_slice(&bytes).expect("JSON");
    conforms(&results);
    (text, results)
}

fn ids(results: &Value) -> Vec<&str> {
    results["routes"].as_array().expect("routes").iter().filter_map(|route| route["id"].as_str()).collect()
}

fn report(place: &Workplace) -> String {
    std::fs::read_to_string(place.path("out/report.html")).expect("a report")
}

#[test]
fn encoders_are_ranked_and_the_best_is_compared() {
    let place = workplace(200);
    let flags = ["--models", "model,other", "--routes", "tfidf,frozen"];
    let (text, results) = run(&place, &flags);
    assert!(text.contains("2 encoders were ranked"), "{text}");
    let models = results["ranking"]["models"].as_array().expect("models");
    assert_eq!(models.len(), 2);
    assert_eq!((models[0]["is_kept"].as_bool(), models[1]["is_kept"].as_bool()), (Some(true), Some(false)));
    assert!(models[0]["score"].as_f64() >= models[1]["score"].as_f64());
    for model in models {
        let number = |field: &str| model[field].as_f64().expect(field);
        assert!(number("low") <= number("score") && number("score") <= number("high"), "{model}");
        assert!(number("tokens_per_second") > 0.0 && number("parameters") > 1000.0, "{model}");
    }
    assert_eq!(results["model"]["name"], models[0]["name"]);
    assert_eq!(ids(&results), ["tfidf", "frozen"]);
    assert!(report(&place).contains("id=\"planning\""));
    // The saved request is for all encoders, and gives the same.
    let saved = std::fs::read_to_string(place.path("out/resolved.toml")).expect("the request");
    assert!(saved.contains("models = [") && !saved.contains("max_seq_length"), "{saved}");
    place.succeed(&["compare", "--config", "out/resolved.toml"]);
    let (_, again) = run(&place, &flags);
    for part in ["ranking", "routes", "comparisons", "verdict"] {
        assert_eq!(results[part], again[part], "{part}");
    }
}

#[test]
fn several_encoders_that_are_kept_are_compared_on_the_same_rows() {
    let place = workplace(200);
    let (text, results) =
        run(&place, &["--models", "model,other", "--models_kept", "2", "--routes", "tfidf,frozen,finetuned"]);
    let second = results["ranking"]["models"][1]["name"].as_str().expect("a name");
    let (frozen, own_head) = (format!("frozen [{second}]"), format!("finetuned [{second}] (own head)"));
    let expected = [
        "tfidf",
        "frozen",
        "finetuned",
        "finetuned (own head)",
        &frozen,
        &format!("finetuned [{second}]"),
        &own_head,
    ];
    assert_eq!(ids(&results), expected);
    assert_eq!(results["comparisons"].as_array().map(Vec::len), Some(7 * 6 / 2));
    assert_eq!(results["routes"][4]["encoder"], second);
    assert!(text.contains(&frozen), "{text}");
}

#[test]
fn what_cannot_be_ranked_is_refused_with_a_cure() {
    let place = workplace(100);
    for (flags, problem, hint) in [
        (&["--models", "model,model"][..], "named twice", "once"),
        (&["--models", "model,other", "--model", "model"], "as well", "one of the two"),
        (
            &["--models", "model,other", "--validation_fraction", "0"],
            "validation rows",
            "validation_fraction",
        ),
        (&["--models", "model,other", "--models_kept", "0"], "models_kept", "1 or more"),
    ] {
        let (code, _, errors) = place.run(&[&["compare", "--config", "compare.toml"], flags].concat());
        assert!(code == Some(1) && errors.contains(problem) && errors.contains(hint), "{errors}");
    }
    assert!(!place.path("out/results.json").exists());
}

#[test]
fn a_budget_leaves_out_what_does_not_fit_and_says_so() {
    let place = workplace(160);
    let all = ["--model", "model", "--unlabelled", "texts.txt"];
    let (text, results) = run(&place, &[&all[..], &["--budget", "2h"]].concat());
    assert!(results["plan"]["left_out"].as_array().is_some_and(Vec::is_empty), "{}", results["plan"]);
    assert!(text.contains("nothing is left out"), "{text}");
    assert!(results["plan"]["taken_seconds"].as_f64() > Some(0.0));
    // A little more than n-grams take, by the plan's own figures.
    let stages = results["plan"]["stages"].as_array().expect("stages").iter();
    let tfidf = stages.into_iter().find(|stage| stage["stage"] == "tfidf").expect("n-grams");
    let tight = format!("{:.6}s", tfidf["seconds"].as_f64().expect("seconds") * 1.12);
    let (text, results) = run(&place, &[&all[..], &["--budget", &tight]].concat());
    let left_out = results["plan"]["left_out"].as_array().expect("a list");
    let what: Vec<&str> = left_out.iter().filter_map(|left| left["what"].as_str()).collect();
    assert!(
        what[0].contains("finetuned+adapted") && what.last().is_some_and(|what| what.contains("frozen")),
        "{what:?}"
    );
    let planned = results["plan"]["planned_seconds"].as_f64().expect("seconds");
    assert!(planned <= results["plan"]["budget_seconds"].as_f64().expect("seconds"));
    let skipped = |id: &str| {
        let mut routes = results["routes"].as_array().expect("routes").iter();
        routes.any(|route| route["id"] == id && route["status"]["state"] == "skipped")
    };
    assert!(skipped("frozen") && skipped("adapted") && !skipped("tfidf"));
    assert!(
        text.contains("Left out: the route") && report(&place).contains("Left out, in this order"),
        "{text}"
    );
    let (code, _, errors) = place.run(
        &[
            &["compare", "--config", "compare.toml"],
            &all[..],
            &["--budget", "0.000001s", "--routes", "frozen"],
        ]
        .concat(),
    );
    assert!(code == Some(1) && errors.contains("the least that can be done"), "{errors}");
    let plan = place.succeed(
        &[&["compare", "--config", "compare.toml"], &all[..], &["--budget", "1h", "--dry-run"]].concat(),
    );
    assert!(plan.contains("budget = \"1h\"") && plan.contains("The budget was 60 min"), "{plan}");
}

#[test]
fn a_pilot_decides_whether_adapting_goes_on() {
    let place = workplace(200);
    let flags = [
        "--model",
        "model",
        "--unlabelled",
        "texts.txt",
        "--pilot",
        "--pilot_fraction",
        "0.25",
        "--text_curve",
        "0.25,0.5",
        "--routes",
        "frozen,adapted,adapted+finetuned",
    ];
    let (text, results) = run(&place, &flags);
    let pilot = &results["pilot"];
    let number = |field: &str| pilot[field].as_f64().expect(field);
    assert!((number("adapted") - number("frozen") - number("difference")).abs() < 1e-12, "{pilot}");
    let goes_on = number("difference") > number("standard_error");
    assert_eq!(pilot["outcome"], if goes_on { "go_on" } else { "stop" });
    assert!(text.contains("tried first") && report(&place).contains(">Pilot<"), "{text}");
    let states: Vec<&str> = results["routes"]
        .as_array()
        .expect("routes")
        .iter()
        .filter(|route| route["name"] != "frozen")
        .filter_map(|route| route["status"]["state"].as_str())
        .collect();
    assert!(states.iter().all(|state| *state == if goes_on { "done" } else { "skipped" }), "{states:?}");
    assert_eq!(results["text_curve"].as_array().map(Vec::len), Some(if goes_on { 4 } else { 0 }));
}

#[test]
fn curves_over_texts_and_steps_stand_beside_what_is_forgotten() {
    let place = workplace(200);
    let flags = [
        "--model",
        "model",
        "--unlabelled",
        "texts.txt",
        "--text_curve",
        "0.5,0.25",
        "--routes",
        "frozen,adapted",
    ];
    let (_, results) = run(&place, &flags);
    let points = results["text_curve"].as_array().expect("points");
    let texts: Vec<u64> = points.iter().filter_map(|point| point["texts"].as_u64()).collect();
    assert!(texts.len() == 4 && texts[0] == 0 && texts.is_sorted(), "{texts:?}");
    assert!(
        points.iter().all(|point| point["general_loss"].is_number() && point["held_out_loss"].is_number())
    );
    let score = |id: &str| {
        let mut routes = results["routes"].as_array().expect("routes").iter();
        routes.find(|route| route["id"] == id).map(|route| route["scores"]["accuracy"]["mean"].clone())
    };
    assert_eq!(Some(points[0]["score"].clone()), score("frozen"));
    assert_eq!(Some(points[3]["score"].clone()), score("adapted"));
    let curves = results["curves"].as_array().expect("curves");
    let of = |kind: &str| curves.iter().find(|curve| curve["kind"] == kind && curve["stage"] == "adapted");
    let (probe, forgetting) = (of("probe_score").expect("a probe"), of("forgetting").expect("a meter"));
    let steps = |curve: &Value| -> Vec<u64> {
        curve["points"].as_array().expect("points").iter().filter_map(|point| point[0].as_u64()).collect()
    };
    assert_eq!(steps(probe), steps(forgetting));
    assert!(
        report(&place).contains("While adapting: accuracy")
            && report(&place).contains("More texts: accuracy")
    );
    for plot in ["scores", "more-texts-accuracy", "while-adapting-accuracy", "map-frozen"] {
        let svg = std::fs::read_to_string(place.path("out/plots").join(format!("{plot}.svg"))).expect(plot);
        assert!(svg.starts_with("<svg xmlns="), "{plot}");
    }
    let (_, again) = run(&place, &flags);
    for part in ["routes", "text_curve", "curves"] {
        assert_eq!(results[part], again[part], "{part}");
    }
}

#[test]
fn out_of_fold_every_row_is_measured_once() {
    let place = workplace(120);
    let flags = ["--model", "model", "--folds", "3", "--routes", "majority,frozen,finetuned"];
    let (text, results) = run(&place, &flags);
    assert_eq!(results["data"]["rows"]["test"], 120);
    assert!(results["data"]["split"].as_str().is_some_and(|words| words.starts_with("3 folds")), "{text}");
    for route in results["routes"].as_array().expect("routes") {
        assert_eq!(route["status"]["state"], "done", "{route}");
        assert_eq!(route["folds"].as_array().map(Vec::len), Some(3), "{route}");
        let support: u64 = route["classes"]
            .as_array()
            .expect("classes")
            .iter()
            .filter_map(|of| of["support"].as_u64())
            .sum();
        assert_eq!(support, 120);
    }
    // Accuracy over all rows is the mean over folds of the same size.
    let frozen = &results["routes"][1];
    let folds: f64 =
        frozen["folds"].as_array().expect("folds").iter().filter_map(Value::as_f64).sum::<f64>() / 3.0;
    assert!((frozen["scores"]["accuracy"]["mean"].as_f64().expect("a score") - folds).abs() < 1e-9);
    for fold in 1..=3 {
        assert!(place.path(&format!("out/stages/fold-{fold}/finetuned-seed42")).is_dir(), "fold {fold}");
    }
    assert!(report(&place).contains("Accuracy by fold"));
    let (_, again) = run(&place, &flags);
    assert_eq!(results["routes"], again["routes"]);
    place.write("split.csv", "text,label,part\ntea,yes,train\n");
    let (code, _, errors) = place.run(&[
        "compare",
        "--model",
        "model",
        "--labelled",
        "split.csv",
        "--output",
        "none",
        "--folds",
        "3",
        "--split_column",
        "part",
    ]);
    assert!(code == Some(1) && errors.contains("split_column"), "{errors}");
}
