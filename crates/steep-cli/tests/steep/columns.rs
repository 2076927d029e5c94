//! Columns beside the text, from the command line.

use crate::workplace::Workplace;
use std::fmt::Write;

/// Rows whose label follows from a colour and a price; one price is missing.
fn write_rows(place: &Workplace, name: &str) {
    let mut csv = "text,price,colour,made,label\n".to_owned();
    for row in 0..80 {
        let colour = ["red", "green", "blue"][row % 3];
        let price = if row == 40 { String::new() } else { (row * 37 % 80).to_string() };
        let label = if colour == "red" || row * 37 % 80 > 50 { "yes" } else { "no" };
        writeln!(csv, "a cup of tea {row}!,{price},{colour},{:02}.03.2024,{label}", row % 28 + 1)
            .expect("a string");
    }
    place.write(name, &csv);
}

#[test]
fn raw_columns_are_told_apart_prepared_and_predicted() {
    let place = Workplace::new();
    write_rows(&place, "rows.csv");
    let flags = ["--features_file", "rows.csv", "--feature_columns", "*", "--text_columns", "text"];
    let start = ["classify", "--output-dir", "classifier", "--c_grid", "1,10", "--cv-folds", "2"];
    let settings = ["--scaler", "log1p,standard", "--engineered_features", "--categorical_encoding=one_hot"];
    let text = place.succeed(&[&start[..], &flags, &settings].concat());
    for note in ["price: numerical", "colour: categorical (3 different", "made: datetime", "day before month"]
    {
        assert!(text.contains(note), "{note} in\n{text}");
    }
    let resolved = std::fs::read_to_string(place.path("classifier/resolved.toml")).expect("the request");
    assert!(
        resolved.contains("imputation = \"median\"") && resolved.contains("scaling = \"none\""),
        "{resolved}"
    );
    place.succeed(&["classify", "--config", "classifier/resolved.toml", "--output_dir", "again"]);
    for file in ["preparation.json", "preparation.safetensors", "head.safetensors"] {
        let read = |folder: &str| std::fs::read(place.path(folder).join(file)).expect("a file");
        assert_eq!(read("classifier"), read("again"), "{file}");
    }
    place.succeed(&[
        "predict",
        "--model",
        "classifier",
        "--input",
        "rows.csv",
        "--output",
        "predictions.csv",
    ]);
    let predictions = std::fs::read_to_string(place.path("predictions.csv")).expect("the predictions");
    assert_eq!(predictions.lines().count(), 81);
    let (code, _, errors) =
        place.run(&["classify", "--features", "rows.csv", "--output", "none", "--scaler", "standart"]);
    assert!(code == Some(1) && errors.contains("did you mean standard?"), "{errors}");
}

#[test]
fn counts_of_texts_are_written_with_and_without_an_encoder() {
    let place = Workplace::new();
    write_rows(&place, "rows.csv");
    let arguments =
        ["extract", "--engineered_features", "true", "--input_file", "rows.csv", "--text_columns", "text"];
    let alone = place.succeed(&[&arguments[..], &["--output_file", "alone.csv"]].concat());
    assert!(alone.contains("80 rows") && alone.contains("alone.csv.engineered.json"), "{alone}");
    place.succeed(&[&arguments[..], &["--output_file", "both.csv", "--model", "model"]].concat());
    let header = |name: &str| {
        let content = std::fs::read_to_string(place.path(name)).expect("the file");
        content.lines().next().expect("a header").to_owned()
    };
    assert!(header("alone.csv").contains("text_words") && !header("alone.csv").contains("embedding_0"));
    assert!(
        header("both.csv").contains("embedding_15,text_characters")
            && header("both.csv").contains("text_tokens")
    );
    let (code, _, errors) = place.run(&["extract", "--input_file", "rows.csv", "--output_file", "none.csv"]);
    assert!(code == Some(1) && errors.contains("--model_name_or_path"), "{errors}");
}

#[test]
fn text_and_columns_are_trained_as_one_network() {
    let place = Workplace::new();
    write_rows(&place, "rows.csv");
    let flags =
        ["finetune", "--joint", "--model", "model", "--train_file", "rows.csv", "--text_columns", "text"];
    let plan =
        place.succeed(&[&flags[..], &["--output_dir", "joint", "--epochs", "2", "--dry-run"]].concat());
    assert!(
        plan.contains("combine_feat_method = \"concat\"") && plan.contains("colour: categorical"),
        "{plan}"
    );
    let method = "attention_on_cat_and_numerical_feats";
    let settings =
        ["--epochs", "2", "--combine_feat_method", method, "--test_fraction", "0.2", "--dtype", "f32"];
    let text = place.succeed(&[&flags[..], &["--output_dir", "joint"], &settings].concat());
    for part in ["made: datetime", "best validation accuracy", "test\n", "model: joint"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    place.succeed(&["finetune", "--config", "joint/resolved.toml", "--output_dir", "again"]);
    for file in ["model.safetensors", "head/joint.safetensors", "head/preparation.json"] {
        let read = |folder: &str| std::fs::read(place.path(folder).join(file)).expect("a file");
        assert_eq!(read("joint"), read("again"), "{file}");
    }
    place.succeed(&["predict", "--model", "joint", "--input", "rows.csv", "--output", "predictions.csv"]);
    let predictions = std::fs::read_to_string(place.path("predictions.csv")).expect("the predictions");
    assert_eq!(predictions.lines().count(), 81);
    place.succeed(&["extract", "--model", "joint", "--input", "rows.csv", "--output_file", "vectors.npy"]);
    let (code, _, errors) =
        place.run(&[&flags[..1], &flags[2..], &["--output_dir", "none", "--cat_cols", "colour"]].concat());
    assert!(code == Some(1) && errors.contains("add --joint"), "{errors}");
}
