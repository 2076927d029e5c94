//! Each command from end to end, on an encoder of two layers.

use crate::workplace::Workplace;
use std::path::Path;
use std::time::{Duration, Instant};

fn same_bytes(left: &Path, right: &Path) -> bool {
    std::fs::read(left).expect("a file") == std::fs::read(right).expect("a file")
}

#[test]
fn inspect_tells_config_parameters_and_tokenizer() {
    let place = Workplace::new();
    let text = place.succeed(&["inspect", "model"]);
    for part in [
        "model_type   bert",
        "hidden_size = 16",
        "WordPiece, 48 tokens",
        "max_seq_length 24",
        "masked language",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.contains("initialised  cls.predictions.transform.dense.weight"), "{text}");
    let json = place.succeed(&["inspect", "--format", "json", "model"]);
    let facts: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(facts["config"]["num_hidden_layers"], 2);
    assert_eq!(facts["tokenizer"]["vocab_size"], 48);
    assert_eq!(facts["encoder"]["initialised"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_head_begins_from_a_linear_probe_where_that_is_asked_for() {
    let place = Workplace::new();
    place.write_labelled("rows.csv", 80);
    let start = ["finetune", "--model", "model", "--train_file", "rows.csv", "--dtype", "f32"];
    let train = |output: &str, init: &str, more: &[&str]| {
        let flags = ["--output_dir", output, "--head_init", init, "--max_steps", "1", "--lr", "1e-7"];
        place.run(&[&start[..], &flags, more].concat())
    };
    for init in ["linear_probe", "random"] {
        let (code, _, errors) = train(init, init, &[]);
        assert_eq!(code, Some(0), "{errors}");
        let resolved = std::fs::read_to_string(place.path(init).join("resolved.toml")).expect("the request");
        assert!(resolved.contains(&format!("head_init = \"{init}\"")), "{resolved}");
    }
    let weights = |folder: &str| place.path(folder).join("model.safetensors");
    assert!(!same_bytes(&weights("linear_probe"), &weights("random")));
    let (code, _, errors) = train("joint", "linear_probe", &["--joint", "--engineered_features"]);
    assert!(code == Some(1) && errors.contains("head_init"), "{errors}");
    let (code, _, errors) = train("none", "linear_prob", &[]);
    assert!(code == Some(1) && errors.contains("did you mean linear_probe?"), "{errors}");
}

#[test]
fn adapt_tells_losses_and_writes_a_request_that_repeats_it() {
    let place = Workplace::new();
    place.write_texts("texts.txt", 60);
    let text = place.succeed(&[
        "adapt",
        "--model",
        "model",
        "--train_file",
        "texts.txt",
        "--output_dir",
        "out/adapted",
        "--epochs",
        "2",
        "--dtype",
        "f32",
    ]);
    assert!(text.contains("adapted to 57 texts: 4 optimizer steps in f32"), "{text}");
    assert!(
        text.contains("your texts    held-out loss") && text.contains("general text  held-out loss"),
        "{text}"
    );
    assert!(place.path("out/.steep-cache/tokens").is_dir());
    let resolved = std::fs::read_to_string(place.path("out/adapted/resolved.toml")).expect("the request");
    assert!(
        resolved.contains("num_train_epochs = 2.0") && resolved.contains("mlm_probability = 0.15"),
        "{resolved}"
    );
    place.succeed(&["adapt", "--config", "out/adapted/resolved.toml", "--output-dir", "again"]);
    assert!(same_bytes(&place.path("out/adapted/model.safetensors"), &place.path("again/model.safetensors")));
    place.succeed(&["inspect", "again"]);
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let place = Workplace::new();
    place.write_texts("texts.txt", 60);
    let plan = place.succeed(&[
        "adapt",
        "--dry-run",
        "--model=model",
        "--input=texts.txt",
        "--output=out",
        "--lr=1e-3",
    ]);
    assert!(
        plan.contains("learning_rate = 0.001") && plan.contains("per_device_train_batch_size = 32"),
        "{plan}"
    );
    assert!(plan.contains("# 6 optimizer steps") && plan.contains("of memory"), "{plan}");
    assert!(!place.path("out").exists() && !place.path(".steep-cache").exists());
    place.write("plan.toml", &plan);
    place.succeed(&["adapt", "--config", "plan.toml", "--max_steps", "1"]);
}

/// The work of an interrupted run is kept, and the next start ends in the bytes of a run that was never stopped.
#[cfg(unix)]
#[test]
fn adapt_interrupted_and_started_again_gives_the_same_bytes() {
    let place = Workplace::new();
    place.write_texts("texts.txt", 60);
    let arguments = |output: &'static str| {
        let flags =
            ["--max_steps", "1500", "--batch_size", "4", "--save_steps", "40", "--eval_strategy", "no"];
        let start = ["adapt", "--model", "model", "--train_file", "texts.txt", "--output_dir", output];
        [&start[..], &flags[..]].concat()
    };
    place.succeed(&arguments("whole"));
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_steep"))
        .current_dir(place.path(""))
        .args(arguments("stopped"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let started = Instant::now();
    while !place.path("stopped.work/checkpoints/checkpoint-40").exists() {
        assert!(started.elapsed() < Duration::from_mins(1), "no checkpoint appears");
        std::thread::sleep(Duration::from_millis(2));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("the system has kill").success());
    let output = child.wait_with_output().expect("the program ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(
        errors.contains("stopping at the next safe point") && errors.contains("goes on where"),
        "{errors}"
    );
    assert!(!place.path("stopped").exists(), "no half-done model");
    place.succeed(&arguments("stopped"));
    assert!(same_bytes(&place.path("whole/model.safetensors"), &place.path("stopped/model.safetensors")));
    assert!(!place.path("stopped.work").exists());
}

#[test]
fn finetune_then_predict() {
    let place = Workplace::new();
    place.write_labelled("rows.csv", 120);
    place.write(
        "run.toml",
        "model_name_or_path = 'model'\ntrain_file = 'rows.csv'\noutput_dir = 'trained'\nlearning_rate = 5e-3\n\
         num_train_epochs = 8\ntest_fraction = 0.2\nclass_weight = 'balanced'\ndo_train = true\n",
    );
    let (code, text, notes) = place.run(&["finetune", "--config", "run.toml", "--num_train_epochs", "10"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(text.contains(" rows to train on, 12 to validate on, 24 to test on; 2 outputs"), "{text}");
    assert!(text.contains("fine-tuned: ") && text.contains("best validation accuracy"), "{text}");
    assert!(text.contains("test\n  accuracy"), "{text}");
    assert!(notes.contains("do_train is ignored"), "{notes}");
    let text =
        place.succeed(&["predict", "--model", "trained", "--input", "rows.csv", "--output", "labels.csv"]);
    assert!(text.contains("predicted 120 rows") && text.contains("file: labels.csv"), "{text}");
    let about = place.succeed(&["inspect", "trained"]);
    assert!(
        about.contains("trained      network\n  2 labels: ") && about.contains("text from: text"),
        "{about}"
    );
    let header = std::fs::read_to_string(place.path("labels.csv")).expect("the labels");
    assert!(header.starts_with("text,label,predicted_label,predicted_probability"), "{}", &header[..80]);
}

/// The trained folder knows which columns it read, and how they were joined and cut.
#[test]
fn predict_reads_the_columns_that_were_trained_on() {
    let place = Workplace::new();
    let rows: Vec<String> = (0..40).map(|row| format!("{row},w{},noise,{}\n", row % 7, row % 2)).collect();
    place.write("rows.csv", &format!("title,body,text,label\n{}", rows.concat()));
    place.succeed(&[
        "finetune",
        "--model",
        "model",
        "--input",
        "rows.csv",
        "--output",
        "trained",
        "--text_column_names",
        "title,body",
        "--text_column_delimiter",
        " | ",
        "--num_train_epochs",
        "1",
        "--max_seq_length",
        "8",
    ]);
    let saved = std::fs::read_to_string(place.path("trained/text.json")).expect("how a row becomes its text");
    let saved: serde_json::Value = serde_json::from_str(&saved).expect("JSON");
    assert_eq!(saved["text_columns"], serde_json::json!(["title", "body"]));
    assert_eq!((&saved["text_column_delimiter"], &saved["max_seq_length"]), (&" | ".into(), &8.into()));
    let by_itself = ["predict", "--model", "trained", "--input", "rows.csv", "--output", "by_itself.csv"];
    place.succeed(&by_itself);
    place.succeed(&[
        "predict",
        "--model",
        "trained",
        "--input",
        "rows.csv",
        "--output",
        "told.csv",
        "--text_column_names",
        "title,body",
        "--text_column_delimiter",
        " | ",
        "--max_seq_length",
        "8",
    ]);
    assert!(same_bytes(&place.path("by_itself.csv"), &place.path("told.csv")));
}

#[test]
fn extract_then_classify_then_predict() {
    let place = Workplace::new();
    place.write_labelled("rows.csv", 80);
    let text = place.succeed(&[
        "extract",
        "--model",
        "model",
        "--input",
        "rows.csv",
        "--output",
        "f.parquet",
        "--normalize",
        "--dtype",
        "f32",
    ]);
    assert!(text.contains("extracted 80 rows") && text.contains("16 dimensions, computed in f32"), "{text}");
    let arguments =
        ["classify", "--features", "f.parquet", "--model", "model", "--output", "head", "--cv_folds", "3"];
    let text = place.succeed(&[&arguments[..], &["--c_grid", "0.1,1"][..]].concat());
    assert!(text.contains("trained on 80 rows of 16 features") && text.contains("← chosen"), "{text}");
    assert!(text.contains("2 classes: no, yes"), "{text}");
    let text = place.succeed(&["predict", "--model", "head", "--input", "rows.csv", "--output", "p.jsonl"]);
    assert!(text.contains("predicted 80 rows"), "{text}");
    let plan = place.succeed(&[
        "extract",
        "--dry-run",
        "--model",
        "model",
        "--input",
        "rows.csv",
        "--output",
        "g.npy",
    ]);
    assert!(plan.contains("pooling = [\"mean\"]") && plan.contains("80 texts, 16 dimensions"), "{plan}");
    assert!(!place.path("g.npy").exists());
}
