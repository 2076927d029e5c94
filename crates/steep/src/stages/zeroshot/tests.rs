use super::*;
use crate::config::Dtype;
use crate::stages::OutputFormat;
use crate::stages::output::testing::quietly;
use serde_json::Value as Json;
use std::fs;
use std::path::PathBuf;

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/zeroshot")).join(name)
}

fn reference() -> Json {
    serde_json::from_str(&fs::read_to_string(golden("reference.json")).unwrap()).unwrap()
}

fn strings(value: &Json) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn settings(labels: Vec<String>, template: &str, multi_label: bool) -> ZeroShotSettings {
    ZeroShotSettings {
        predict: PredictSettings {
            max_seq_length: None,
            dtype: Some(Dtype::F32),
            max_tokens: 40,
            keep_columns: false,
            format: OutputFormat::Jsonl,
            all_probabilities: true,
            calibrated: true,
            shard_rows: 2,
        },
        candidate_labels: labels,
        hypothesis_template: template.to_owned(),
        multi_label,
    }
}

/// `goldens/zeroshot.py` made the numbers. Tolerance 2e-6 on scores.
#[test]
fn scores_equal_those_of_the_pipeline_of_transformers() {
    let reference = reference();
    let texts = strings(&reference["texts"]);
    for case in reference["cases"].as_array().unwrap() {
        let template = case["hypothesis_template"].as_str().unwrap();
        let multi_label = case["multi_label"].as_bool().unwrap();
        let settings = settings(strings(&case["candidate_labels"]), template, multi_label);
        let model = ZeroShot::open(&golden(case["model"].as_str().unwrap()), &settings).unwrap();
        assert!(model.names_entailment());
        let found = quietly(|ctx| model.scores(&texts, ctx)).unwrap();
        let expected: Vec<Vec<f64>> = serde_json::from_value(case["scores"].clone()).unwrap();
        assert_eq!(found.rows(), expected.len());
        for (row, expected) in expected.iter().enumerate() {
            for (found, expected) in found.row(row).iter().zip(expected) {
                let difference = (f64::from(*found) - expected).abs();
                assert!(difference < 2e-6, "row {row} of {case}: {found} and {expected}");
            }
        }
    }
}

#[test]
fn a_file_is_labelled_row_by_row() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let case = &reference["cases"][0];
    let texts = strings(&reference["texts"]).into_iter().map(|text| format!("\"{text}\"\n"));
    let source = place.path().join("texts.csv");
    fs::write(&source, format!("text\n{}", texts.collect::<String>())).unwrap();
    let input = PredictInput {
        model: &golden("bert"),
        source: source.to_str().unwrap(),
        text_columns: Vec::new(),
        text_column_delimiter: None,
        limit: None,
    };
    let settings = settings(strings(&case["candidate_labels"]), "This example is {}.", false);
    let output = place.path().join("labels.jsonl");
    let report = quietly(|ctx| zeroshot(&input, &settings, &output, ctx)).unwrap();
    assert_eq!((report.counts.rows, report.counts.truncated), (5, 1));
    let rows = fs::read_to_string(&output).unwrap();
    for (row, expected) in rows.lines().zip(case["scores"].as_array().unwrap()) {
        let row: Json = serde_json::from_str(row).unwrap();
        let scores: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
        let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(row["label"].as_str().unwrap(), settings.candidate_labels[best]);
        assert!((row["probability"].as_f64().unwrap() - scores[best]).abs() < 2e-6);
    }
}

#[test]
fn what_cannot_work_is_told_before_anything_is_read() {
    let labels = vec!["tea".to_owned()];
    let template = settings(labels.clone(), "about tea", false);
    let error = ZeroShot::open(&golden("bert"), &template).err().unwrap();
    assert!(error.to_string().starts_with("hypothesis_template"), "{error}");
    let empty = ZeroShot::open(&golden("bert"), &settings(Vec::new(), "{}", false)).err().unwrap();
    assert!(empty.to_string().starts_with("candidate_labels"), "{empty}");
    let place = tempfile::tempdir().unwrap();
    let encoder = crate::stages::output::testing::model_folder(place.path(), "base");
    let error = ZeroShot::open(&encoder, &settings(labels, "{}", false)).err().unwrap();
    assert!(error.hint().unwrap().contains("natural language inference"), "{error}");
}
