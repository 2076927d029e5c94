//! Whatever route wins, its folder predicts from raw rows what the comparison has scored.

use super::*;
use crate::compare::settings::CompareSettings;
use crate::config::{CompareFacts, CompareRequest, Facts, List};
use crate::evaluation::temperature::at_temperature;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::report::Calibration;
use crate::stages::testing::{model_folder, quietly};
use crate::stages::{OutputFormat, PredictInput, PredictSettings, about_trained, predict};
use serde_json::Value;
use std::fmt::Write;
use std::fs;

/// Rows with a text in two columns, and two columns beside it.
fn write_rows(folder: &Path) -> String {
    let mut csv = "title,body,price,colour,label\n".to_owned();
    for row in 0..150_usize {
        let hash = row * 7919 % 1000;
        let label = ["one", "two", "three"][row % 3];
        let word = ["cab", "feed", "ace"][if row.is_multiple_of(4) { hash % 3 } else { row % 3 }];
        let price =
            if hash.is_multiple_of(11) { String::new() } else { (row % 3 * 100 + hash % 90).to_string() };
        let colour = ["red", "green", "blue"][(row + hash % 2) % 3];
        let (more, bad) = (["me", "he", "she", "all"][hash % 4], ["bad", "dead", "be"][hash / 4 % 3]);
        writeln!(csv, "a {word},{more} {bad} of {},{price},{colour},{label}", "ab ".repeat(hash % 5))
            .unwrap();
    }
    let path = folder.join("rows.csv");
    fs::write(&path, csv).unwrap();
    path.to_str().unwrap().to_owned()
}

fn settings(place: &Path) -> CompareSettings {
    let list = |names: &[&str]| Some(List(names.iter().map(|name| (*name).to_owned()).collect()));
    let mut request = CompareRequest {
        model_name_or_path: Some("model".to_owned()),
        labelled_file: Some(write_rows(place)),
        output_dir: Some(place.join("out")),
        text_column_names: list(&["title", "body"]),
        text_column_delimiter: Some(": ".to_owned()),
        feature_columns: list(&["*"]),
        features: list(&["text", "text+columns", "text+engineered"]),
        engineered_families: list(&["length", "style"]),
        seeds: Some(List(vec![7])),
        max_seq_length: Some(16),
        finetune_max_steps: Some(3),
        c_grid: Some(List(vec![1.0])),
        cv_folds: Some(2),
        dtype: Some("f32".to_owned()),
        ..CompareRequest::default()
    };
    let facts = CompareFacts {
        name: "model".to_owned(),
        model: model_folder(place, "base"),
        labelled: Facts {
            rows: 150,
            hidden_size: 16,
            num_hidden_layers: 2,
            max_seq_length: 16,
            new_rows: None,
        },
        unlabelled_rows: 0,
        usual_objective: Some("mlm"),
        zeroshot_model: None,
    };
    request.resolve(&facts).unwrap()
}

/// The probabilities that `winner/` gives all rows, in the order of the labels.
fn predicted(settings: &CompareSettings, labels: &[String], calibrated: bool) -> DenseMatrix {
    let folder = settings.output_dir.join("winner");
    let output = settings.output_dir.join(format!("predicted-{calibrated}.jsonl"));
    let input = PredictInput {
        model: &folder,
        source: &settings.labelled.source,
        text_columns: Vec::new(),
        text_column_delimiter: None,
        limit: None,
    };
    let predict_settings = PredictSettings {
        max_seq_length: None,
        dtype: None,
        max_tokens: 128,
        keep_columns: true,
        format: OutputFormat::Jsonl,
        all_probabilities: true,
        calibrated,
        shard_rows: 40,
    };
    quietly(|ctx| predict(&input, &predict_settings, &output, ctx)).unwrap();
    let mut values = Vec::new();
    for line in fs::read_to_string(&output).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let of = |label: &String| row["predicted_probabilities"][label].as_f64().unwrap() as f32;
        values.extend(labels.iter().map(of));
    }
    DenseMatrix::new(values.len() / labels.len(), labels.len(), values).unwrap()
}

fn largest_difference(one: &DenseMatrix, other: &DenseMatrix) -> f32 {
    assert_eq!((one.rows(), one.columns()), (other.rows(), other.columns()));
    one.values().iter().zip(other.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Tolerance 1e-6 on probabilities; measured: the same bits.
fn every_winner_predicts_what_was_scored(place: &Path, ctx: &Context) {
    let settings = settings(place);
    let measurement = Measurement::new(&settings, &settings.routes, "", ctx).unwrap();
    let measured = &measurement.measured;
    assert!(measured.others.is_empty(), "{:?}", measured.others);
    let (labels, split) = (&measurement.trial.prepared.labelled.names, &measurement.split);
    let mut folders = 0;
    for route in &measured.routes {
        let winner = write_winner(route, &measurement, ctx).unwrap();
        if route.route == Route::Majority {
            assert_eq!(winner, None);
            continue;
        }
        let winner = winner.unwrap();
        assert_eq!(winner.temperature, None, "fifteen validation rows tell nothing");
        let all = predicted(&settings, labels, true);
        let expected = &route.predictions[0].test;
        let difference = largest_difference(&all.select_rows(&split.test), expected);
        println!("{}: {difference:e}", route.result.id);
        assert!(difference < 1e-6, "{}: {difference}", route.result.id);
        let about = about_trained(&settings.output_dir.join("winner")).unwrap().expect("a trained folder");
        assert_eq!(about.labels, *labels, "{}", route.result.id);
        assert_eq!([about.text_columns, about.columns].concat(), winner.columns, "{}", route.result.id);
        let has = |name: &str| winner.columns.iter().any(|column| column == name);
        assert_eq!(has("price"), route.result.features.contains("columns"), "{}", route.result.id);
        assert_eq!(has("body"), route.route != Route::TableOnly, "{}", route.result.id);
        let temperature = 2.5;
        SavedTemperature { temperature, rows: 100 }.save(&settings.output_dir.join("winner")).unwrap();
        let softened = at_temperature(&all, temperature).unwrap();
        assert!(largest_difference(&predicted(&settings, labels, true), &softened) < 1e-6);
        assert!(largest_difference(&predicted(&settings, labels, false), &all) < 1e-6);
        // What somebody added is never replaced.
        fs::remove_file(settings.output_dir.join("winner/calibration.json")).unwrap();
        folders += 1;
    }
    let majority = measured.routes.iter().find(|route| route.route == Route::Majority).unwrap();
    assert_eq!(write_winner(majority, &measurement, ctx).unwrap(), None);
    assert!(!settings.output_dir.join("winner").exists(), "another route's folder stayed");
    // tfidf, table_only, frozen × 3, table_as_text, finetuned × 3 and own head, joint, late_average, stacked.
    assert_eq!(folders, 13);
}

#[test]
fn every_winner_predicts_from_raw_rows_what_was_scored() {
    let place = tempfile::tempdir().unwrap();
    quietly(|ctx| every_winner_predicts_what_was_scored(place.path(), ctx));
}

#[test]
fn a_temperature_is_believed_with_enough_rows_and_away_from_its_bounds() {
    let mut result = RouteResult::new("frozen", ScoredBy::Classifier, "");
    let mut with = |temperature| {
        result.calibration = Some(Calibration {
            error: 0.1,
            bins: Vec::new(),
            temperature,
            scaled_error: None,
            scaled_bins: Vec::new(),
            log_loss: 1.0,
            scaled_log_loss: None,
        });
        [99, 100].map(|rows| reliable_temperature(&result, rows).map(|saved| saved.temperature))
    };
    assert_eq!(with(Some(1.7)), [None, Some(1.7)]);
    assert_eq!(with(Some(0.05)), [None, None]);
    assert_eq!(with(None), [None, None]);
}
