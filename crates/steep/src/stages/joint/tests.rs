//! From raw rows to a trained folder and back to predictions.

use super::*;
use crate::config::Dtype;
use crate::data::{LabelledOptions, Labels, Task, load_labelled};
use crate::features::columns::ColumnKind;
use crate::features::preparation::{CategoricalEncoding, PreparationSettings};
use crate::objectives::{ClassificationSettings, Targets};
use crate::stages::output::testing::{StopAfter, model_folder, quietly};
use crate::stages::{HeadInit, OutputFormat, PredictInput, PredictSettings, Predictor, predict};
use crate::text::Encodings;
use crate::training::{Freezing, LrSchedulerType, TrainingSettings};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use steep_encoder::{AdamWSettings, CombineMethod};

/// Rows whose label follows from colour and price alone, with a gap now and then.
fn raw_file(folder: &Path, labels: impl Fn(&str, usize) -> String) -> String {
    let mut csv = "text,price,colour,made,tags,label\n".to_owned();
    for row in 0..120_usize {
        let hash = row * 7919 % 1000;
        let colour = ["red", "green", "blue"][hash % 3];
        let price = if hash % 11 == 0 { String::new() } else { hash.to_string() };
        let text = "a bad cab ".repeat(hash % 3 + 1);
        let label = labels(colour, hash);
        writeln!(csv, "{text},{price},{colour},2024-0{}-11,x|t{},{label}", hash % 9 + 1, hash % 4).unwrap();
    }
    let path = folder.join("rows.csv");
    fs::write(&path, csv).unwrap();
    path.to_str().unwrap().to_owned()
}

fn settings(combine_feat_method: CombineMethod, epochs: f64) -> JointSettings {
    JointSettings {
        finetune: FinetuneSettings {
            head_init: HeadInit::Random,
            classification: ClassificationSettings { label_smoothing_factor: 0.0, class_weights: Vec::new() },
            mlm: None,
            training: TrainingSettings {
                num_train_epochs: epochs,
                max_steps: None,
                train_batch_size: 8,
                max_tokens_per_micro_batch: 64,
                learning_rate: 1e-3,
                lr_scheduler_type: LrSchedulerType::Constant,
                warmup_ratio: 0.0,
                adamw: AdamWSettings {
                    adam_beta1: 0.9,
                    adam_beta2: 0.999,
                    adam_epsilon: 1e-8,
                    weight_decay: 0.01,
                    max_grad_norm: 1.0,
                    layerwise_lr_decay: 1.0,
                },
                seed: 1,
                gradient_checkpointing: false,
                freezing: Freezing::default(),
                lora: None,
                dtype: Dtype::F32,
                logging_steps: 10,
                evaluations_per_epoch: 1,
                save_steps: 7,
                save_total_limit: 2,
                load_best_model_at_end: true,
            },
            max_seq_length: 16,
        },
        features: PreparedFeatures {
            kinds: Vec::new(),
            text_columns: vec!["text".to_owned()],
            text_column_delimiter: " ".to_owned(),
            engineered: Some(crate::features::engineered::EngineeredSettings::default()),
            preparation: PreparationSettings {
                categorical_encoding: CategoricalEncoding::Embedding,
                block_scaling: false,
                ..PreparationSettings::default()
            },
        },
        tabular: TabularSettings { combine_feat_method, mlp_hidden_size: 16, dropout: 0.1, gating_beta: 0.5 },
        tabular_learning_rate: 1e-2,
        modality_dropout: 0.1,
    }
}

/// Everything that training takes, read from a file.
struct Work {
    source: String,
    model: ModelFolder,
    columns: RawColumns,
    encodings: Encodings,
    targets: Targets,
    names: Vec<String>,
}

impl Work {
    fn load(place: &Path, source: String, task: Option<Task>, settings: &JointSettings) -> Self {
        let model = ModelFolder::open(&model_folder(place, "base")).unwrap();
        let options =
            LabelledOptions { text_columns: vec!["text".into()], task, ..LabelledOptions::default() };
        let rows = load_labelled(&source, &options).unwrap();
        let (targets, names) = match rows.labels {
            Labels::Single { names, ids } => (Targets::Classes(ids), names),
            Labels::Numbers(values) => (Targets::Numbers(values), vec!["label".to_owned()]),
            Labels::Multi { names, sets } => {
                let has = |set: &Vec<u32>, label: usize| f32::from(u8::from(set.contains(&(label as u32))));
                let flags = sets.iter().flat_map(|set| (0..names.len()).map(move |label| has(set, label)));
                (Targets::Flags(flags.collect()), names)
            }
        };
        let columns = read_columns(&[(&source, None)], &[], &["label", "text"], &settings.features).unwrap();
        let encodings = model.tokenizer.encode(&rows.texts, &model.encode_options(16)).unwrap();
        Self { source, model, columns, encodings, targets, names }
    }

    fn input(&self) -> JointInput<'_> {
        JointInput {
            finetune: FinetuneInput {
                model: &self.model,
                sequences: &self.encodings,
                data_key: "rows",
                targets: &self.targets,
                labels: self.names.clone(),
                text: None,
                train_rows: (0..90).collect(),
                validation_rows: (90..120).collect(),
            },
            columns: &self.columns,
            text_columns: vec!["text".to_owned()],
        }
    }

    fn predicted(&self, folder: &Path, output: PathBuf) -> Vec<Value> {
        let input = PredictInput {
            model: folder,
            source: &self.source,
            text_columns: Vec::new(),
            text_column_delimiter: None,
            limit: None,
        };
        let settings = PredictSettings {
            max_seq_length: None,
            dtype: None,
            max_tokens: 64,
            keep_columns: true,
            format: OutputFormat::Jsonl,
            all_probabilities: true,
            calibrated: true,
            shard_rows: 7,
        };
        quietly(|ctx| predict(&input, &settings, &output, ctx)).unwrap();
        fs::read_to_string(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn class_of(colour: &str, hash: usize) -> String {
    if colour == "red" {
        "a"
    } else if hash > 500 {
        "b"
    } else {
        "c"
    }
    .to_owned()
}

#[test]
fn what_the_text_does_not_say_is_learned_from_the_columns() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(CombineMethod::IndividualMlpsOnCatAndNumericalFeatsThenConcat, 12.0);
    let work = Work::load(place.path(), raw_file(place.path(), class_of), None, &settings);
    let kind =
        |name: &str| work.columns.inputs.columns.iter().find(|plan| plan.name == name).map(|plan| plan.kind);
    assert_eq!(kind("colour"), Some(ColumnKind::Categorical));
    assert_eq!(kind("text"), None);
    let folder = place.path().join("joint");
    let report = quietly(|ctx| joint(&work.input(), &settings, &folder, ctx)).unwrap();
    assert!(report.best_metric.unwrap() > 0.85, "{:?}", report.best_metric);

    let rows = work.predicted(&folder, place.path().join("p.jsonl"));
    let held_out = &rows[90..];
    let right = held_out.iter().filter(|row| row["predicted_label"] == row["label"]).count();
    assert!((right as f64 / 30.0 - report.best_metric.unwrap()).abs() < 1e-9, "{right} of 30");
    let rows: Vec<u32> = (90..120).collect();
    let measured = quietly(|ctx| evaluate_joint(&work.input(), &settings, &folder, &rows, ctx)).unwrap();
    assert_eq!(measured["accuracy"], report.best_metric.unwrap());

    let predictor = Predictor::open(&folder, None).unwrap();
    let raw = work.columns.raw.select_rows(&rows);
    let probabilities =
        quietly(|ctx| predictor.predict_with_columns(&work.encodings, &rows, raw, ctx)).unwrap();
    for (row, values) in held_out.iter().zip(probabilities.values().chunks_exact(3)) {
        let probability = row["predicted_probability"].as_f64().unwrap() as f32;
        assert_eq!(values.iter().copied().fold(0.0, f32::max), probability);
    }
    let error = quietly(|ctx| predictor.predict(&work.encodings, &rows, ctx)).unwrap_err();
    assert!(error.to_string().contains("columns beside the texts"), "{error}");
}

#[test]
fn a_stop_in_between_changes_no_byte() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(CombineMethod::GatingOnCatAndNumFeatsThenSum, 1.0);
    let work = Work::load(place.path(), raw_file(place.path(), class_of), None, &settings);
    let (whole, stopped) = (place.path().join("whole"), place.path().join("stopped"));
    quietly(|ctx| joint(&work.input(), &settings, &whole, ctx)).unwrap();
    let error = StopAfter::run(9, |ctx| joint(&work.input(), &settings, &stopped, ctx)).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(!stopped.exists());
    quietly(|ctx| joint(&work.input(), &settings, &stopped, ctx)).unwrap();
    for file in ["model.safetensors", "head/joint.safetensors", "head/joint.json", "head/preparation.json"] {
        assert_eq!(fs::read(whole.join(file)).unwrap(), fs::read(stopped.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn several_labels_and_numbers_are_predicted_too() {
    let place = tempfile::tempdir().unwrap();
    let method = CombineMethod::WeightedFeatureSumOnTransformerCatAndNumericalFeats;
    let settings = settings(method, 4.0);
    let source = raw_file(place.path(), |colour, hash| format!("{colour}|{}", hash % 4));
    let work = Work::load(place.path(), source, Some(Task::MultiLabel), &settings);
    let folder = place.path().join("labels");
    quietly(|ctx| joint(&work.input(), &settings, &folder, ctx)).unwrap();
    let rows = work.predicted(&folder, place.path().join("labels.jsonl"));
    assert!(rows.iter().all(|row| row["predicted_label"].is_array()));

    let source = raw_file(place.path(), |_, hash| format!("{}", hash as f64 / 100.0));
    let work = Work::load(place.path(), source, Some(Task::Regression), &settings);
    let folder = place.path().join("numbers");
    quietly(|ctx| joint(&work.input(), &settings, &folder, ctx)).unwrap();
    let rows = work.predicted(&folder, place.path().join("numbers.jsonl"));
    assert!(rows.iter().all(|row| row["prediction"].is_number()));
}

#[test]
fn damage_and_missing_columns_are_told() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(CombineMethod::Concat, 0.1);
    let work = Work::load(place.path(), raw_file(place.path(), class_of), None, &settings);
    let folder = place.path().join("joint");
    quietly(|ctx| joint(&work.input(), &settings, &folder, ctx)).unwrap();
    let path = place.path().join("texts.csv");
    fs::write(&path, "text,price\na cab,3\n").unwrap();
    let input = PredictInput {
        model: &folder,
        source: path.to_str().unwrap(),
        text_columns: Vec::new(),
        text_column_delimiter: None,
        limit: None,
    };
    let predict_settings = PredictSettings {
        max_seq_length: None,
        dtype: None,
        max_tokens: 64,
        keep_columns: true,
        format: OutputFormat::Csv,
        all_probabilities: false,
        calibrated: true,
        shard_rows: 7,
    };
    let output = place.path().join("out.csv");
    let error = quietly(|ctx| predict(&input, &predict_settings, &output, ctx)).unwrap_err();
    assert!(error.to_string().contains("colour"), "{error}");
    let head = folder.join("head/joint.json");
    let text = fs::read_to_string(&head).unwrap().replace("\"outputs\": 3", "\"outputs\": 4");
    fs::write(&head, text).unwrap();
    assert!(Predictor::open(&folder, None).is_err());
}
