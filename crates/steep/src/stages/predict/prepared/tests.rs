//! From raw columns to predictions.

use super::*;
use crate::evaluation::metrics::Metric;
use crate::features::engineered::EngineeredSettings;
use crate::features::preparation::{CategoricalEncoding, PreparationSettings};
use crate::features::scaling::Scaling;
use crate::learners::labels::ClassWeight;
use crate::stages::output::testing::{input, model_folder, quietly, settings as extract_settings};
use crate::stages::{
    ClassifyInput, ClassifyReport, ClassifySettings, ModelFolder, OutputFormat, PreparedFeatures, classify,
    extract, predict,
};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Rows whose label follows from colour and price, with gaps, a date, tags and a text.
fn raw_file(folder: &Path, name: &str, rows: std::ops::Range<usize>) -> String {
    let mut csv = "text,price,colour,made,tags,label,split\n".to_owned();
    for row in rows {
        let hash = row * 7919 % 1000;
        let colour = ["red", "green", "blue", "unique"][if row == 155 { 3 } else { hash % 3 }];
        let price = if hash % 11 == 0 { String::new() } else { hash.to_string() };
        let label = if colour == "red" {
            "a"
        } else if hash > 500 {
            "b"
        } else {
            "c"
        };
        let split = if row % 4 == 3 { "test" } else { "train" };
        let text = "a bad cab! ".repeat(hash % 3 + 1);
        writeln!(csv, "{text},{price},{colour},2024-0{}-11,x|t{},{label},{split}", hash % 9 + 1, hash % 4)
            .unwrap();
    }
    let path = folder.join(name);
    fs::write(&path, csv).unwrap();
    path.to_str().unwrap().to_owned()
}

fn classify_settings(encoding: CategoricalEncoding) -> ClassifySettings {
    ClassifySettings {
        feature_columns: vec!["*".to_owned()],
        preparation: Some(PreparedFeatures {
            kinds: Vec::new(),
            text_columns: vec!["text".to_owned()],
            text_column_delimiter: " ".to_owned(),
            engineered: Some(EngineeredSettings::default()),
            preparation: PreparationSettings {
                categorical_encoding: encoding,
                ..PreparationSettings::default()
            },
        }),
        label_column: "label".to_owned(),
        task: None,
        group_column: None,
        split_column: Some("split".to_owned()),
        c_grid: vec![1.0, 10.0],
        folds: 3,
        metric: Metric::LogLoss,
        learner: crate::stages::LearnerSettings::default(),
        class_weight: ClassWeight::None,
        scaling: Scaling::None,
        seed: 1,
        max_iterations: 500,
        tolerance: 1e-4,
    }
}

fn predict_settings() -> PredictSettings {
    PredictSettings {
        max_seq_length: None,
        dtype: None,
        max_tokens: 64,
        keep_columns: true,
        format: OutputFormat::Jsonl,
        all_probabilities: true,
        calibrated: true,
        shard_rows: 7,
    }
}

fn predicted(model: &Path, source: &str, output: &Path) -> Vec<Value> {
    let input =
        PredictInput { model, source, text_columns: Vec::new(), text_column_delimiter: None, limit: None };
    quietly(|ctx| predict(&input, &predict_settings(), output, ctx)).unwrap();
    fs::read_to_string(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The share of test rows that the predictions have right, which must be what classify measured.
fn check_accuracy(rows: &[Value], report: &ClassifyReport) {
    let test: Vec<&Value> = rows.iter().filter(|row| row["split"] == "test").collect();
    let right = test.iter().filter(|row| row["predicted_label"] == row["label"]).count();
    let accuracy = right as f64 / test.len() as f64;
    assert!((accuracy - report.metrics["test"]["accuracy"]).abs() < 1e-12, "{accuracy} {:?}", report.metrics);
    assert!(accuracy > 0.75, "{accuracy}");
}

#[test]
fn raw_rows_are_predicted_as_they_were_measured() {
    let place = tempfile::tempdir().unwrap();
    let source = raw_file(place.path(), "raw.csv", 0..240);
    for (name, encoding) in CategoricalEncoding::ALL {
        let folder = place.path().join(name);
        let input = ClassifyInput { features: &source, labels: None, encoder: None, limit: None };
        let report = quietly(|ctx| classify(&input, &classify_settings(encoding), &folder, ctx)).unwrap();
        let notes = report.preparation.join("\n");
        for expected in ["price: numerical", "colour: categorical", "made: datetime", "tags: tags"] {
            assert!(notes.contains(expected), "{notes}");
        }
        assert!(!notes.contains("label") && !notes.contains("split"), "{notes}");
        let rows = predicted(&folder, &source, &place.path().join(format!("{name}.jsonl")));
        check_accuracy(&rows, &report);
    }
}

#[test]
fn new_rows_need_no_labels_and_may_hold_what_was_never_seen() {
    let place = tempfile::tempdir().unwrap();
    let source = raw_file(place.path(), "raw.csv", 0..120);
    let folder = place.path().join("classifier");
    let input = ClassifyInput { features: &source, labels: None, encoder: None, limit: None };
    quietly(|ctx| classify(&input, &classify_settings(CategoricalEncoding::OneHot), &folder, ctx)).unwrap();
    let new = place.path().join("new.csv");
    fs::write(&new, "tags,made,text,colour,price\n,,,violet,\nq|t1,2031-12-31,hi,red,1e12\n").unwrap();
    let rows = predicted(&folder, new.to_str().unwrap(), &place.path().join("new.jsonl"));
    assert_eq!(rows.len(), 2);
    for row in &rows {
        let sum: f64 = row["probabilities"].as_object().unwrap().values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{row}");
    }
    fs::write(&new, "text,colour\nhi,red\n").unwrap();
    let of_new = PredictInput {
        model: &folder,
        source: new.to_str().unwrap(),
        text_columns: Vec::new(),
        text_column_delimiter: None,
        limit: None,
    };
    let output = place.path().join("none.jsonl");
    let error = quietly(|ctx| predict(&of_new, &predict_settings(), &output, ctx)).unwrap_err();
    assert!(error.to_string().contains("'price'") && error.hint().is_some(), "{error}");
}

#[test]
fn an_encoders_vectors_stand_beside_raw_columns() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = raw_file(place.path(), "raw.csv", 0..240);
    let recipe = extract_settings(OutputFormat::Parquet);
    let features: PathBuf = place.path().join("features.parquet");
    quietly(|ctx| extract(&input(&model, &source), &recipe, &features, ctx)).unwrap();
    let features = features.to_str().unwrap();
    let folder = place.path().join("classifier");
    let of_features = ClassifyInput { features, labels: None, encoder: Some((&model, &recipe)), limit: None };
    let mut settings = classify_settings(CategoricalEncoding::Target);
    if let Some(prepared) = &mut settings.preparation {
        prepared.preparation.pca_components = Some(4);
    }
    let report = quietly(|ctx| classify(&of_features, &settings, &folder, ctx)).unwrap();
    assert!(report.preparation.iter().any(|note| note == "embedding: vectors"), "{:?}", report.preparation);
    // The texts and columns alone: the vectors are the encoder's.
    let rows = predicted(&folder, &source, &place.path().join("rows.jsonl"));
    check_accuracy(&rows, &report);
    let predictor = Predictor::open(&folder, None).unwrap();
    let encodings = predictor.tokenizer().encode(&["a cab"], &predictor.encode_options()).unwrap();
    let error = quietly(|ctx| predictor.predict(&encodings, &[0], ctx)).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
}
