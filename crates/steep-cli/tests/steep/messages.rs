//! What the program says when something is wrong, and its help.

use crate::workplace::Workplace;

const COMMANDS: [(&str, &[&str]); 7] = [
    ("compare", &["--model_name_or_path", "--label_column_name", "--seeds", "--c_grid"]),
    (
        "adapt",
        &["--mlm_probability", "--per_device_train_batch_size", "--num_train_epochs", "--warmup_ratio"],
    ),
    (
        "finetune",
        &["--learning_rate", "--label_smoothing_factor", "--load_best_model_at_end", "--max_seq_length"],
    ),
    ("extract", &["--pooling", "--normalize_embeddings", "--truncate_dim", "--output_value"]),
    ("classify", &["--class_weight", "--cv_folds", "--max_iterations"]),
    ("predict", &["--model_name_or_path", "--text_column_names"]),
    ("inspect", &["--model_name_or_path", "--format"]),
];

#[test]
fn help_speaks_the_names_of_transformers() {
    let place = Workplace::new();
    for (command, names) in COMMANDS {
        let help = place.succeed(&[command, "--help"]);
        for name in
            names.iter().chain(&["--config", "--dry-run", "--threads", "--offline", "--quiet", "--cache-dir"])
        {
            assert!(help.contains(name), "{command}: {name} in\n{help}");
        }
        assert!(!help.contains("overwrite_output_dir"), "{command}: ignored flags are not shown");
    }
    assert!(place.succeed(&["--version"]).starts_with("steep "));
}

#[test]
fn an_unknown_key_names_file_line_and_nearest_key() {
    let place = Workplace::new();
    place.write("run.toml", "model_name_or_path = 'model'\n# the rate\nlearning_rat = 1e-4\n");
    let (code, output, errors) = place.run(&["adapt", "--config", "run.toml"]);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    let expected = "error: run.toml, line 3: 'learning_rat' is not a key of `steep adapt`\n\
                    hint: did you mean learning_rate?\n";
    assert_eq!(errors, expected);
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let place = Workplace::new();
    let (code, _, errors) = place.run(&["adapt", "--learning_rat", "1e-4"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("--learning_rate"), "{errors}");
    assert_eq!(place.run(&["adapt", "--lr", "fast"]).0, Some(2));
    assert_eq!(place.run(&["adopt"]).0, Some(2));
}

#[test]
fn what_is_missing_is_named_with_a_hint() {
    let place = Workplace::new();
    let start = ["adapt", "--model", "model", "--output", "out", "--train_file"];
    let (code, _, errors) = place.run(&[&start[..], &["nowhere.txt"]].concat());
    assert_eq!(code, Some(1));
    assert!(
        errors.starts_with("error: nowhere.txt: there is no such file") && errors.contains("\nhint: "),
        "{errors}"
    );
    let (code, _, errors) = place.run(&["adapt"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        errors,
        "error: model_name_or_path: is needed\nhint: give --model_name_or_path FOLDER_OR_NAME\n"
    );
    let (code, _, errors) = place.run(&["inspect", "modell"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("hint: "), "{errors}");
    let (code, _, errors) = place.run(&["adapt", "--config", "nowhere.toml"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("nowhere.toml") && errors.contains("hint: check the path"), "{errors}");
}

#[test]
fn impossible_values_are_told_before_anything_is_read() {
    let place = Workplace::new();
    let start = ["adapt", "--model", "model", "--output", "out", "--train_file", "nowhere.txt"];
    let (code, _, errors) = place.run(&[&start[..], &["--mlm_probability", "1.5"]].concat());
    assert_eq!(code, Some(1));
    assert_eq!(errors, "error: mlm_probability: 1.5 is not possible\nhint: give a value from 0 to 0.9\n");
}
