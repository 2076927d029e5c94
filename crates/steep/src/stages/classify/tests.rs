use super::features::read_features;
use super::*;
use crate::learners::cross_validation::LogisticRegressionCv;
use crate::stages::output::testing::{input, model_folder, quietly, settings as extract_settings, text_file};
use crate::stages::{OutputFormat, extract};
use std::fs;
use std::path::PathBuf;

pub(in crate::stages) fn settings() -> ClassifySettings {
    ClassifySettings {
        feature_columns: Vec::new(),
        preparation: None,
        label_column: "label".to_owned(),
        task: None,
        group_column: None,
        split_column: None,
        c_grid: vec![0.01, 1.0, 100.0],
        folds: 3,
        metric: Metric::LogLoss,
        learner: LearnerSettings::default(),
        class_weight: ClassWeight::None,
        scaling: Scaling::Standard,
        seed: 1,
        max_iterations: 500,
        tolerance: 1e-5,
    }
}

fn input_of(features: &str) -> ClassifyInput<'_> {
    ClassifyInput { features, labels: None, encoder: None, limit: None }
}

/// Two features that part three classes, and a number that follows from them.
fn feature_file(folder: &Path, rows: usize) -> PathBuf {
    let mut csv = "a,b,label,number,tags,split,group\n".to_owned();
    for row in 0..rows {
        let class = row % 3;
        let noise = |shift: usize| ((row * 7919 + shift * 104_729) % 1000) as f64 / 1000.0 - 0.5;
        let (a, b) = (class as f64 + noise(1), (class as f64 - 1.0).powi(2) + noise(2));
        let tags = ["[]", "\"[\"\"x\"\"]\"", "\"[\"\"x\"\",\"\"y\"\"]\""][class];
        let split = ["train", "train", "train", "dev", "test"][row / 3 % 5];
        let number = 2.0 * a - b + 0.01 * noise(3);
        let label = ["r", "g", "b"][class].to_owned();
        let group = format!("g{}\n", row / 3);
        let fields =
            [a.to_string(), b.to_string(), label, number.to_string(), tags.into(), split.into(), group];
        csv.push_str(&fields.join(","));
    }
    let path = folder.join("features.csv");
    fs::write(&path, csv).unwrap();
    path
}

fn numbers() -> ClassifySettings {
    ClassifySettings { feature_columns: vec!["a".to_owned(), "b".to_owned()], ..settings() }
}

#[test]
fn all_formats_hold_the_same_numbers() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 23);
    let formats = [
        ("a.parquet", OutputFormat::Parquet),
        ("a.npy", OutputFormat::Npy),
        ("a.csv", OutputFormat::Csv),
        ("a.jsonl", OutputFormat::Jsonl),
    ];
    let read = formats.map(|(name, format)| {
        let output = place.path().join(name);
        quietly(|ctx| extract(&input(&model, &source), &extract_settings(format), &output, ctx)).unwrap();
        read_features(output.to_str().unwrap(), &[], None).unwrap()
    });
    assert_eq!((read[0].matrix.rows(), read[0].matrix.columns()), (23, 32));
    for features in &read {
        assert_eq!(features.matrix, read[0].matrix);
        assert_eq!(features.names, read[0].names);
    }
}

#[test]
fn held_out_parts_are_measured_and_the_head_is_that_of_the_training_rows() {
    let place = tempfile::tempdir().unwrap();
    let features = feature_file(place.path(), 150);
    let output = place.path().join("head");
    let mut settings = ClassifySettings { split_column: Some("split".to_owned()), ..numbers() };
    settings.group_column = Some("group".to_owned());
    let input = input_of(features.to_str().unwrap());
    let report = quietly(|ctx| classify(&input, &settings, &output, ctx)).unwrap();
    assert_eq!((report.rows, report.columns, report.selection.candidates.len()), (90, 2, 3));
    assert_eq!(report.classes, ["b", "g", "r"]);
    for part in ["validation", "test"] {
        assert!(report.metrics[part]["accuracy"] > 0.8, "{:?}", report.metrics);
    }
    let Head::Linear(head) = Head::load(&output).unwrap() else { panic!("not linear") };
    assert_eq!(head.description().feature_names, ["a", "b"]);
    assert_eq!(head.description().c, report.selection.c);
    let again = quietly(|ctx| classify(&input, &settings, &output, ctx)).unwrap();
    assert_eq!(again, report, "the same seconds: nothing was fitted again");
    let about: serde_json::Value = crate::storage::read_json(&output.join(CLASSIFY_FILE)).unwrap();
    assert_eq!(about["settings"]["feature_columns"][1], "b");
    assert_eq!(about["metrics"]["test"]["accuracy"], report.metrics["test"]["accuracy"]);
}

#[test]
fn several_labels_and_numbers_are_learned_too() {
    let place = tempfile::tempdir().unwrap();
    let features = feature_file(place.path(), 150);
    let input = input_of(features.to_str().unwrap());
    let split_column = Some("split".to_owned());
    let several = ClassifySettings { label_column: "tags".into(), split_column, ..numbers() };
    let report = quietly(|ctx| classify(&input, &several, &place.path().join("several"), ctx)).unwrap();
    assert_eq!(report.classes, ["x", "y"]);
    assert!(report.metrics["test"]["micro_f1"] > 0.8, "{:?}", report.metrics);
    let regression = ClassifySettings {
        label_column: "number".into(),
        task: Some(Task::Regression),
        metric: Metric::MeanSquaredError,
        c_grid: LogisticRegressionCv::default().c_grid,
        ..several
    };
    let report = quietly(|ctx| classify(&input, &regression, &place.path().join("number"), ctx)).unwrap();
    assert!(report.metrics["test"]["r_squared"] > 0.999, "{:?}", report.metrics);
    assert_eq!(report.selection.c, 100.0, "a line without noise wants no penalty");
    assert!(report.classes.is_empty() && report.fit.is_none());
}

#[test]
fn lists_of_labels_need_no_other_column() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.jsonl");
    let line = |row: usize| {
        let labels = ["[\"y\"]", "[\"x\",\"y\"]", "[]"][row % 3];
        format!("{{\"embedding\":[{},{}],\"label\":{labels}}}\n", row % 3, row % 7)
    };
    fs::write(&path, (0..30).map(line).collect::<Vec<_>>().concat()).unwrap();
    let input = input_of(path.to_str().unwrap());
    let report = quietly(|ctx| classify(&input, &settings(), &place.path().join("head"), ctx)).unwrap();
    assert_eq!((report.rows, report.classes), (30, vec!["x".to_owned(), "y".to_owned()]));
}

#[test]
fn an_array_takes_its_labels_from_another_file() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 24);
    let array = place.path().join("a.npy");
    let npy = extract_settings(OutputFormat::Npy);
    quietly(|ctx| extract(&input(&model, &source), &npy, &array, ctx)).unwrap();
    let output = place.path().join("head");
    let run = |labels: Option<&str>| {
        let input = ClassifyInput { labels, ..input_of(array.to_str().unwrap()) };
        quietly(|ctx| classify(&input, &settings(), &output, ctx))
    };
    assert!(run(None).unwrap_err().hint().unwrap().contains("same order"));
    let labels = place.path().join("labels.csv");
    let put = |rows: usize| {
        let lines = (0..rows).map(|row| if row % 2 == 0 { "even\n" } else { "odd\n" });
        fs::write(&labels, format!("label\n{}", lines.collect::<String>())).unwrap();
    };
    put(23);
    let error = run(labels.to_str()).unwrap_err();
    assert!(error.to_string().contains("24 rows") && error.hint().is_some(), "{error}");
    put(24);
    assert_eq!(run(labels.to_str()).unwrap().classes, ["even", "odd"]);
}

#[test]
fn faults_of_the_request_have_hints() {
    let place = tempfile::tempdir().unwrap();
    let features = feature_file(place.path(), 30);
    let input = input_of(features.to_str().unwrap());
    let error = |settings: &ClassifySettings| {
        let error = quietly(|ctx| classify(&input, settings, &place.path().join("x"), ctx)).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    assert!(error(&settings()).contains("column 'embedding'"));
    assert!(error(&ClassifySettings { label_column: "lable".into(), ..numbers() }).contains("'label'"));
    assert!(error(&ClassifySettings { folds: 1, ..numbers() }).contains("folds"));
    assert!(error(&ClassifySettings { c_grid: Vec::new(), ..numbers() }).contains("c_grid"));
    assert!(error(&ClassifySettings { split_column: Some("label".into()), ..numbers() }).contains("'r'"));
    let regression =
        ClassifySettings { task: Some(Task::Regression), label_column: "number".into(), ..numbers() };
    assert!(error(&regression).contains("LogLoss"));
    assert!(error(&ClassifySettings { c_grid: vec![0.0], ..regression }).contains("c_grid"));
}
