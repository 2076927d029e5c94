use super::*;
use crate::config::Dtype;
use crate::learners::labels::ClassWeight;
use crate::stages::output::testing::{
    input, model_folder, quietly, settings as extract_settings, text_file, texts,
};
use crate::stages::{
    ClassifyInput, ClassifySettings, ExtractInput, LearnerSettings, ModelFolder, classify, extract,
};
use crate::text::{Encodings, Truncation};
use safetensors::SafeTensors;
use std::fs;

fn settings(format: OutputFormat) -> PredictSettings {
    PredictSettings {
        max_seq_length: None,
        dtype: None,
        max_tokens: 64,
        keep_columns: true,
        format,
        all_probabilities: true,
        calibrated: true,
        shard_rows: 5,
    }
}

fn input_of<'a>(model: &'a Path, source: &'a str) -> PredictInput<'a> {
    PredictInput {
        model,
        source,
        text_columns: vec!["text".to_owned()],
        text_column_delimiter: None,
        limit: None,
    }
}

fn classify_settings() -> ClassifySettings {
    ClassifySettings {
        feature_columns: Vec::new(),
        preparation: None,
        label_column: "label".to_owned(),
        task: None,
        group_column: None,
        split_column: None,
        c_grid: vec![1.0, 10.0],
        folds: 2,
        metric: crate::evaluation::metrics::Metric::LogLoss,
        learner: LearnerSettings::default(),
        class_weight: ClassWeight::None,
        scaling: crate::features::scaling::Scaling::Standard,
        seed: 1,
        max_iterations: 200,
        tolerance: 1e-4,
    }
}

/// A file of labelled texts, one of three labels each.
fn labelled_file(folder: &Path, rows: usize) -> String {
    let path = folder.join("labelled.csv");
    let label = |row: usize| ["red", "green", "blue"][row % 3];
    let lines = texts(rows).into_iter().enumerate();
    let lines = lines.map(|(row, text)| format!("{text},{}\n", label(row))).collect::<Vec<_>>().concat();
    fs::write(&path, format!("text,label\n{lines}")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn json_rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_classifier_folder_predicts_what_its_head_says() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = labelled_file(place.path(), 24);
    let mut recipe = extract_settings(OutputFormat::Parquet);
    recipe.embed.normalize = true;
    recipe.embed.include_prompt = false;
    recipe.truncation = Truncation::HeadTail;
    recipe.prompt = Some("a feed ".to_owned());
    let features = place.path().join("features.parquet");
    quietly(|ctx| extract(&input(&model, &source), &recipe, &features, ctx)).unwrap();
    let features = features.to_str().unwrap();
    let folder = place.path().join("classifier");
    let input = ClassifyInput { features, labels: None, encoder: Some((&model, &recipe)), limit: None };
    quietly(|ctx| classify(&input, &classify_settings(), &folder, ctx)).unwrap();
    let (output, from_features) = (place.path().join("p.jsonl"), place.path().join("f.jsonl"));
    let report =
        quietly(|ctx| predict(&input_of(&folder, &source), &settings(OutputFormat::Jsonl), &output, ctx))
            .unwrap();
    assert_eq!(report.labels, ["blue", "green", "red"]);
    let head_only = place.path().join("head");
    let without_encoder = ClassifyInput { encoder: None, ..input };
    quietly(|ctx| classify(&without_encoder, &classify_settings(), &head_only, ctx)).unwrap();
    let of_features = PredictInput { source: features, ..input_of(&head_only, features) };
    quietly(|ctx| predict(&of_features, &settings(OutputFormat::Jsonl), &from_features, ctx)).unwrap();
    let (rows, expected) = (json_rows(&output), json_rows(&from_features));
    assert_eq!(rows.len(), 24);
    for (row, expected) in rows.iter().zip(&expected) {
        for name in ["predicted_label", "predicted_probability", "predicted_probabilities", "label", "text"] {
            assert_eq!(row[name], expected[name], "{name}");
        }
        let label = row["predicted_label"].as_str().unwrap();
        assert_eq!(row["predicted_probability"], row["predicted_probabilities"][label]);
        let all = row["predicted_probabilities"].as_object().unwrap();
        let sum: f64 = all.values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
    assert!(rows.iter().any(|row| row["predicted_label"] == row["label"]));
}

/// The golden's second sequence, whose token types are all zero as they are here, against transformers' logits.
/// Tolerance 1e-6 on probabilities; measured 7e-8 at most.
#[test]
fn a_network_gives_the_probabilities_of_its_logits() {
    let place = tempfile::tempdir().unwrap();
    let predictor = Predictor::open(&model_folder(place.path(), "classification"), Some(Dtype::F32)).unwrap();
    assert_eq!(predictor.labels(), ["red", "green", "blue"]);
    assert_eq!(predictor.task(), crate::data::Task::SingleLabel);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/encoders/bert/reference.safetensors");
    let bytes = fs::read(golden).unwrap();
    let logits =
        SafeTensors::deserialize(&bytes).unwrap().tensor("classification.logits").unwrap().data().to_vec();
    let logits: Vec<f32> = logits.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let encodings =
        Encodings { input_ids: vec![2, 40, 3, 2, 4, 3], offsets: vec![0, 3, 6], ..Encodings::default() };
    let found = quietly(|ctx| predictor.predict(&encodings, &[1, 0], ctx)).unwrap();
    let exponentials: Vec<f64> = logits[3..6].iter().map(|&logit| f64::from(logit).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    for (found, expected) in found.row(0).iter().zip(exponentials) {
        assert!((f64::from(*found) - expected / sum).abs() < 1e-6, "{found} {}", expected / sum);
    }
    assert!((found.row(1).iter().sum::<f32>() - 1.0).abs() < 1e-6);
}

#[test]
fn a_fine_tuned_folder_predicts_texts_in_any_format() {
    let place = tempfile::tempdir().unwrap();
    let folder = model_folder(place.path(), "classification");
    let source = text_file(place.path(), 13);
    let run = |format: OutputFormat, name: &str| {
        let output = place.path().join(name);
        quietly(|ctx| predict(&input_of(&folder, &source), &settings(format), &output, ctx)).unwrap();
        output
    };
    let rows = json_rows(&run(OutputFormat::Jsonl, "a.jsonl"));
    let csv = fs::read_to_string(run(OutputFormat::Csv, "a.csv")).unwrap();
    let header = "id,text,label,probability,probability_red,probability_green,probability_blue";
    assert_eq!(csv.lines().next().unwrap(), header);
    for (row, line) in rows.iter().zip(csv.lines().skip(1)) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[2], row["label"]);
        assert_eq!(fields[3].parse::<f64>().unwrap(), row["probability"].as_f64().unwrap());
        assert_eq!(fields[6].parse::<f64>().unwrap(), row["probabilities"]["blue"].as_f64().unwrap());
    }
    let parquet = run(OutputFormat::Parquet, "a.parquet");
    let chunks = open(parquet.to_str().unwrap(), &ReadOptions::default()).unwrap();
    let names: Vec<String> = chunks.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "text", "label", "probability", "probabilities"]);
    let labels = crate::data::text(&chunks.map(Result::unwrap).next().unwrap(), "label").unwrap();
    assert_eq!(labels.value(7), rows[7]["label"]);
}

#[test]
fn repeated_texts_get_the_same_prediction_as_alone() {
    let place = tempfile::tempdir().unwrap();
    let folder = model_folder(place.path(), "classification");
    let source = place.path().join("repeated.csv");
    fs::write(&source, "text\nhi\na cab\nHI\nhi\nqed\nhi\n").unwrap();
    let output = place.path().join("a.jsonl");
    let source = source.to_str().unwrap();
    let report =
        quietly(|ctx| predict(&input_of(&folder, source), &settings(OutputFormat::Jsonl), &output, ctx))
            .unwrap();
    assert_eq!((report.counts.rows, report.counts.repeated_texts), (6, 2));
    let predictor = Predictor::open(&folder, None).unwrap();
    for row in json_rows(&output) {
        let text = row["text"].as_str().unwrap();
        let encodings = predictor.tokenizer().encode(&[text], &predictor.encode_options()).unwrap();
        let alone = quietly(|ctx| predictor.predict(&encodings, &[0], ctx)).unwrap();
        for (label, expected) in predictor.labels().iter().zip(alone.row(0)) {
            assert_eq!(row["probabilities"][label].as_f64().unwrap() as f32, *expected, "{text} {label}");
        }
    }
}

/// Changes `config.json`.
fn reconfigured(folder: &Path, change: impl Fn(&mut Value)) {
    let path = folder.join("config.json");
    let mut config: Value = read_json(&path).unwrap();
    change(&mut config);
    fs::write(&path, config.to_string()).unwrap();
}

#[test]
fn the_problem_type_decides_what_is_written() {
    let place = tempfile::tempdir().unwrap();
    let folder = model_folder(place.path(), "classification");
    let source = text_file(place.path(), 6);
    let run = |name: &str| {
        let output = place.path().join(name);
        quietly(|ctx| predict(&input_of(&folder, &source), &settings(OutputFormat::Jsonl), &output, ctx))
            .unwrap();
        json_rows(&output)
    };
    let single = run("single.jsonl");
    reconfigured(&folder, |config| config["problem_type"] = "multi_label_classification".into());
    let multi = run("multi.jsonl");
    reconfigured(&folder, |config| config["problem_type"] = "regression".into());
    let regression = run("regression.jsonl");
    for ((single, multi), regression) in single.iter().zip(&multi).zip(&regression) {
        let logit = |label: &str| regression["prediction"][label].as_f64().unwrap();
        for label in ["red", "green", "blue"] {
            let expected = 1.0 / (1.0 + (-logit(label)).exp());
            let found = multi["probabilities"][label].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-6);
            let listed = multi["label"].as_array().unwrap().contains(&label.into());
            assert_eq!(listed, found > 0.5);
            assert!(logit(single["label"].as_str().unwrap()) >= logit(label));
        }
    }
}

#[test]
fn what_was_not_trained_is_refused_with_a_way_out() {
    let place = tempfile::tempdir().unwrap();
    let refused = |folder: &Path| {
        let error = Predictor::open(folder, None).err().expect("refused");
        format!("{error}: {}", error.hint().expect("a hint"))
    };
    let plain = model_folder(place.path(), "base");
    assert!(refused(&plain).contains("run finetune or classify first"));
    assert!(refused(&place.path().join("nowhere")).contains("there is no such folder"));
    // A config that names a classifier over weights that have none.
    reconfigured(&plain, |config| {
        config["architectures"] = serde_json::json!(["BertForSequenceClassification"]);
    });
    assert!(refused(&plain).contains("there is no classifier."), "{}", refused(&plain));
    let source = text_file(place.path(), 3);
    let folder = model_folder(place.path(), "classification");
    let error = |input: &PredictInput, settings: &PredictSettings| {
        let output = place.path().join("a.npy");
        let error = quietly(|ctx| predict(input, settings, &output, ctx)).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    assert!(error(&input_of(&folder, &source), &settings(OutputFormat::Npy)).contains("labels"));
    let wrong = PredictInput { text_columns: vec!["texts".to_owned()], ..input_of(&folder, &source) };
    assert!(error(&wrong, &settings(OutputFormat::Csv)).contains("'text'"));
    let long = PredictSettings { max_seq_length: Some(25), ..settings(OutputFormat::Csv) };
    assert!(error(&input_of(&folder, &source), &long).contains("max_seq_length"));
}

#[test]
fn an_encoder_that_did_not_make_the_features_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = labelled_file(place.path(), 12);
    let mut recipe = extract_settings(OutputFormat::Parquet);
    let features = place.path().join("features.parquet");
    let input: ExtractInput = input(&model, &source);
    quietly(|ctx| extract(&input, &recipe, &features, ctx)).unwrap();
    recipe.embed.truncate_dim = Some(8);
    let input = ClassifyInput {
        features: features.to_str().unwrap(),
        labels: None,
        encoder: Some((&model, &recipe)),
        limit: None,
    };
    let folder = place.path().join("x");
    let error = quietly(|ctx| classify(&input, &classify_settings(), &folder, ctx)).unwrap_err();
    assert!(error.to_string().contains("8 dimensions") && error.hint().is_some(), "{error}");
}
