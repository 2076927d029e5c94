//! A head that begins from a probe says at first what the probe says.

use super::super::{load, objective};
use super::*;
use crate::config::Dtype;
use crate::features::scaling::Scaler;
use crate::learners::head::HeadNames;
use crate::learners::linear_head::{HeadParts, LinearHead};
use crate::objectives::ClassificationSettings;
use crate::stages::output::testing::{model_folder, quietly, texts};
use crate::stages::{FinetuneReport, ModelFolder, finetune};
use crate::text::Encodings;
use crate::training::{Freezing, LrSchedulerType, Objective, TrainingSettings};
use std::path::Path;
use steep_encoder::AdamWSettings;

fn settings(head_init: HeadInit, steps: u64) -> FinetuneSettings {
    FinetuneSettings {
        head_init,
        mlm: None,
        classification: ClassificationSettings { label_smoothing_factor: 0.0, class_weights: Vec::new() },
        training: TrainingSettings {
            num_train_epochs: 1.0,
            max_steps: Some(steps),
            train_batch_size: 8,
            max_tokens_per_micro_batch: 64,
            learning_rate: 1e-6,
            lr_scheduler_type: LrSchedulerType::Constant,
            warmup_ratio: 0.0,
            adamw: AdamWSettings {
                adam_beta1: 0.9,
                adam_beta2: 0.999,
                adam_epsilon: 1e-8,
                weight_decay: 0.0,
                max_grad_norm: 1.0,
                layerwise_lr_decay: 1.0,
            },
            seed: 1,
            gradient_checkpointing: false,
            dtype: Dtype::F32,
            freezing: Freezing::default(),
            lora: None,
            logging_steps: 10,
            evaluations_per_epoch: 1,
            save_steps: 100,
            save_total_limit: 2,
            load_best_model_at_end: false,
        },
        max_seq_length: 16,
    }
}

struct Work {
    model: ModelFolder,
    encodings: Encodings,
    targets: Targets,
    labels: Vec<String>,
}

impl Work {
    /// Texts of six kinds, and what follows from each text's kind.
    fn new(folder: &Path, targets: impl Fn(Vec<u32>) -> Targets, labels: usize) -> Self {
        let model = ModelFolder::open(&model_folder(folder, "base")).unwrap();
        let texts: Vec<String> = texts(72).into_iter().filter(|text| !text.is_empty()).collect();
        let encodings = model.tokenizer.encode(&texts, &model.encode_options(16)).unwrap();
        let labels = (0..labels).map(|label| format!("label {label}")).collect();
        let kind = |text: &String| "afohq ".find(&text[..1]).unwrap() as u32;
        Self { targets: targets(texts.iter().map(kind).collect()), model, encodings, labels }
    }

    fn input(&self) -> FinetuneInput<'_> {
        FinetuneInput {
            model: &self.model,
            sequences: &self.encodings,
            data_key: "texts",
            targets: &self.targets,
            labels: self.labels.clone(),
            text: None,
            train_rows: (0..45).collect(),
            validation_rows: (45..60).collect(),
        }
    }

    /// Outputs of the network for all rows.
    fn logits(&self, model: &Model) -> DenseMatrix {
        let pass = Pass::evaluate(&model.parameters);
        let rows: Vec<u32> = (0..60).collect();
        let batch = crate::training::Sequences::pack(&self.encodings, &rows);
        let hidden = model.last_hidden_state(&pass, &batch);
        let logits = Value::Matrix(model.classification_logits(&pass, hidden, &batch)).to_vec();
        DenseMatrix::new(60, self.labels.len(), logits).unwrap()
    }

    /// The network before its first step, and what the logistic regression says of the same features.
    fn before_the_first_step(&self) -> (DenseMatrix, Probe, DenseMatrix) {
        let settings = settings(HeadInit::LinearProbe, 1);
        let mut model = load(&self.input(), &settings).unwrap();
        let random = self.logits(&model);
        let of = |rows: &[u32]| quietly(|ctx| features(&model, &self.input(), rows, 64, ctx)).unwrap();
        let all: Vec<u32> = (0..60).collect();
        let (all, training, validation) = (of(&all), of(&all[..45]), of(&all[45..]));
        let input = self.input();
        let probe = quietly(|ctx| Probe::fit(training, validation, &input, &[], ctx)).unwrap();
        quietly(|ctx| begin(&mut model, &input, &settings, ctx)).unwrap();
        let logits = self.logits(&model);
        let changed = logits.values().iter().zip(random.values()).any(|(a, b)| (a - b).abs() > 0.1);
        assert!(changed, "the head was begun anew");
        (logits, probe, all)
    }
}

fn classes<const N: u32>(kinds: Vec<u32>) -> Targets {
    Targets::Classes(kinds.into_iter().map(|kind| kind % N).collect())
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// What the probe decides as a classifier of its own, scaler included.
fn decisions(probe: &Probe, features: DenseMatrix, classes: usize) -> DenseMatrix {
    let names = HeadNames {
        task: crate::data::Task::SingleLabel,
        classes: (0..classes).map(|class| class.to_string()).collect(),
        features: Vec::new(),
    };
    let parts = HeadParts {
        scaler: Scaler::Standard(probe.scaler.clone()),
        model: probe.model.clone(),
        classes: names.classes,
        feature_names: Vec::new(),
        c: 1.0,
    };
    LinearHead::new(parts).unwrap().decision_function(&Features::Dense(features)).unwrap()
}

/// Tolerance 1e-4 on logits of about 10; measured 2e-5 at most, for all kinds of targets.
#[test]
fn logits_before_the_first_step_are_the_logistic_regressions() {
    let place = tempfile::tempdir().unwrap();
    let work = Work::new(place.path(), classes::<3>, 3);
    let (logits, probe, features) = work.before_the_first_step();
    let expected = decisions(&probe, features, 3);
    let difference = largest_difference(logits.values(), expected.values());
    println!("largest difference {difference:e}");
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn the_difference_of_two_classes_logits_is_the_one_decision() {
    let place = tempfile::tempdir().unwrap();
    let work = Work::new(place.path(), classes::<2>, 2);
    let (logits, probe, features) = work.before_the_first_step();
    let expected = decisions(&probe, features, 2);
    let found: Vec<f32> = logits.values().chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
    let difference = largest_difference(&found, expected.values());
    println!("largest difference {difference:e}");
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn several_labels_and_numbers_begin_from_their_probes() {
    let place = tempfile::tempdir().unwrap();
    let flags = |kinds: Vec<u32>| {
        let row = |kind: u32| [f32::from(u8::from(kind < 2)), f32::from(u8::from(kind > 2))];
        Targets::Flags(kinds.into_iter().flat_map(row).collect())
    };
    let work = Work::new(place.path(), flags, 2);
    let (logits, probe, features) = work.before_the_first_step();
    let difference = largest_difference(logits.values(), decisions(&probe, features, 2).values());
    println!("largest difference {difference:e}");
    assert!(difference < 1e-4, "{difference}");

    let numbers =
        |kinds: Vec<u32>| Targets::Numbers(kinds.into_iter().map(|kind| kind as f32 - 1.0).collect());
    let work = Work::new(place.path(), numbers, 1);
    let (logits, probe, features) = work.before_the_first_step();
    let difference = largest_difference(logits.values(), decisions(&probe, features, 0).values());
    println!("largest difference {difference:e}");
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn a_training_that_hardly_moves_keeps_the_probes_score_and_random_heads_do_not_have_it() {
    let place = tempfile::tempdir().unwrap();
    let work = Work::new(place.path(), classes::<3>, 3);
    let accuracy = |head_init: HeadInit, name: &str| -> f64 {
        let (settings, folder) = (settings(head_init, 1), place.path().join(name));
        let report: FinetuneReport = quietly(|ctx| finetune(&work.input(), &settings, &folder, ctx)).unwrap();
        assert_eq!(report.steps, 1);
        let head = steep_encoder::HeadKind::SequenceClassification { num_labels: 3 };
        let (model, _) = Model::load(&folder, head, 0).unwrap();
        let measures = quietly(|ctx| objective(&work.input(), &settings).evaluate(&model, ctx)).unwrap();
        measures["accuracy"]
    };
    let (probed, random) = (accuracy(HeadInit::LinearProbe, "probed"), accuracy(HeadInit::Random, "random"));
    assert!(probed > 0.9 && random < 0.7, "{probed} {random}");
}
