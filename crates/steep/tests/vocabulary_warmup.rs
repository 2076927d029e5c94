//! New rows of the vocabulary learn alone, before everything does.

mod common;

use common::{Golden, Texts, a_stop_changes_no_byte, bits, model, objective, texts_of_bert, train_in};
use std::path::Path;
use std::sync::Arc;
use steep::encoder::{AdamW, AdamWSettings, LoraSettings, Model, PackedBatch, Pass, ops};
use steep::error::Error;
use steep::training::{
    Freezing, GradualUnfreezing, NewRows, Objective, Position, TrainerState, TrainingSettings,
    VocabularyWarmup,
};

/// The last tokens of the small model's vocabulary of 48, but one.
const NEW: NewRows = NewRows { first: 40, end: 47 };
const TABLE: &str = "bert.embeddings.word_embeddings.weight";
const BIAS: &str = "cls.predictions.bias";

fn settings(steps: u64, freezing: Freezing) -> TrainingSettings {
    let vocabulary_warmup = Some(VocabularyWarmup { steps, rows: NEW });
    TrainingSettings {
        save_steps: 2,
        freezing: Freezing { vocabulary_warmup, ..freezing },
        ..common::settings()
    }
}

fn freezing(freeze: &[&str]) -> Freezing {
    let freeze = freeze.iter().map(|text| text.parse().expect("a pattern")).collect();
    Freezing { freeze, ..Freezing::default() }
}

/// Trains until done or stopped; the model and its state.
fn run(settings: &TrainingSettings, folder: &Path, stop_after: u64) -> Result<(Model, TrainerState), Error> {
    let (mut model, texts) = (model(), Texts);
    settings.apply_to(&mut model)?;
    let state = train_in(folder, stop_after, &mut model, &objective(&texts), settings)?;
    Ok((model, state))
}

/// Rows of the new tokens in a tensor with so many values a row.
fn is_new(at: usize, width: usize) -> bool {
    (NEW.first..NEW.end).contains(&(at / width))
}

#[test]
fn while_new_rows_learn_alone_everything_else_stays_to_the_bit() {
    for (freeze, learning) in
        [(&[][..], &[TABLE, BIAS][..]), (&["embeddings"], &[BIAS]), (&["head", "layers:0"], &[TABLE])]
    {
        let (folder, before) = (tempfile::tempdir().expect("a folder"), model());
        let (trained, _) =
            run(&settings(u64::MAX, freezing(freeze)), folder.path(), u64::MAX).expect("trains");
        for ((name, before), (_, after)) in bits(&before).into_iter().zip(bits(&trained)) {
            let width = before.len() / 48;
            for (at, (before, after)) in before.iter().zip(&after).enumerate() {
                let learns = learning.contains(&name.as_str()) && is_new(at, width);
                assert_eq!(before != after, learns, "{freeze:?} {name} {at}");
            }
        }
    }
}

#[test]
fn every_new_row_has_a_gradient_and_old_rows_have_no_share_in_norm_and_moments() {
    let (mut model, texts) = (model(), Texts);
    let settings = settings(1, Freezing::default());
    settings.freezing.apply(&mut model, Position { step: 0, steps_per_epoch: 4, total_steps: 12 });
    let objective = objective(&texts);
    let pass = Pass::train(&model.parameters, 1);
    let prepared = objective.prepare(&(0..20).collect::<Vec<u32>>(), 0);
    let (loss, weight) = objective.loss(&model, &pass, prepared).expect("something to learn");
    let gradients = pass.gradients(loss);
    let mut squares = 0.0;
    for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
        let name = parameter.spec.name.as_str();
        assert_eq!(gradient.is_some(), [TABLE, BIAS].contains(&name), "{name}");
        let Some(gradient) = gradient else { continue };
        let width = gradient.to_vec().len() / 48;
        for (row, values) in gradient.to_vec().chunks(width).enumerate().filter(|(row, _)| is_new(*row, 1)) {
            let square: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
            assert!(square > 0.0, "{name} row {row}");
            squares += square;
        }
    }
    let mut optimizer = AdamW::new(settings.adamw, &model.parameters);
    let norm = optimizer.step(&mut model.parameters, gradients, 1e-3, (1.0 / weight) as f32);
    assert!((norm - squares.sqrt() / weight).abs() < 1e-5 * norm, "{norm}");
    for (parameter, state) in model.parameters.list.iter().zip(&optimizer.states) {
        let Some(state) = state else { continue };
        let moments = state.first_moment.to_vec();
        let width = moments.len() / 48;
        for (at, moment) in moments.into_iter().enumerate() {
            assert!(is_new(at, width) || moment == 0.0, "{} {at}: {moment}", parameter.spec.name);
        }
    }
    settings.freezing.apply(&mut model, Position { step: 1, steps_per_epoch: 4, total_steps: 12 });
    let list = &model.parameters.list;
    assert!(list.iter().all(|one| one.trainable == one.spec.used && one.learning_rows.is_none()));
}

#[test]
fn a_stop_before_or_after_the_warm_up_ends_changes_no_byte() {
    let gradual = Freezing { gradual_unfreezing: GradualUnfreezing::EachEpoch, ..freezing(&["*LayerNorm*"]) };
    for (name, settings) in [
        ("stopped within", settings(8, Freezing::default())),
        ("stopped after", settings(3, Freezing::default())),
        ("then layer by layer", settings(3, gradual)),
    ] {
        a_stop_changes_no_byte(name, |folder, stop_after| run(&settings, folder, stop_after));
    }
}

#[test]
fn rows_that_cannot_learn_are_refused() {
    let refused = |settings: &TrainingSettings| match settings.apply_to(&mut model()) {
        Err(Error::Config { key, hint, .. }) => (key, hint),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&settings(2, freezing(&["embeddings", "head"]))).0, "vocabulary_warmup_steps");
    let lora = LoraSettings { rank: 2, alpha: 4.0, dropout: 0.0, targets: Vec::new() };
    let beside = TrainingSettings { lora: Some(lora), ..settings(2, freezing(&["*predictions.bias"])) };
    let (key, hint) = refused(&beside);
    assert!(key == "vocabulary_warmup_steps" && hint.contains("lora_rank"), "{key}: {hint}");
}

/// The four texts of `encoders/bert` without padding, the tokens that are predicted, and what they are.
fn masked_texts() -> (PackedBatch, Arc<[u32]>, Arc<[u32]>) {
    let (batch, places) = texts_of_bert();
    let labels = Golden::load("encoders/bert/reference.safetensors").words("mlm_labels");
    let ignored = (-100_i32).cast_unsigned();
    let packed = places.into_iter().map(|at| labels[at]).enumerate();
    let (places, labels): (Vec<u32>, Vec<u32>) =
        packed.filter(|(_, label)| *label != ignored).map(|(at, label)| (at as u32, label)).unzip();
    (batch, places.into(), labels.into())
}

/// As `goldens/tuning.py`: three steps alone, three of everything. Parameters agree to 2e-4 after six steps.
#[test]
fn new_rows_first_equals_pytorch() {
    let (mut model, expected) = (model(), Golden::load("tuning/vocabulary_warmup.safetensors"));
    let (batch, places, labels) = masked_texts();
    let settings = AdamWSettings {
        adam_beta1: 0.9,
        adam_beta2: 0.98,
        adam_epsilon: 1e-8,
        weight_decay: 0.1,
        max_grad_norm: 0.5,
        layerwise_lr_decay: 1.0,
    };
    let freezing =
        Freezing { vocabulary_warmup: Some(VocabularyWarmup { steps: 3, rows: NEW }), ..Freezing::default() };
    let mut optimizer = AdamW::new(settings, &model.parameters);
    let (losses, norms) = (expected.floats("losses"), expected.floats("gradient_norms"));
    let count = labels.len() as f32;
    for step in 0..losses.len() {
        let total_steps = losses.len() as u64;
        freezing.apply(&mut model, Position { step: step as u64, steps_per_epoch: 1, total_steps });
        let pass = Pass::train_without_dropout(&model.parameters);
        let hidden = model.last_hidden_state(&pass, &batch);
        let logits = model.masked_lm_logits(&pass, hidden, places.clone());
        let loss = ops::cross_entropy(logits, labels.clone(), 0.0).sum();
        let mean = loss.clone().inner().into_scalar::<f32>() / count;
        assert!((mean - losses[step]).abs() < 1e-5, "step {step}: {mean} against {}", losses[step]);
        let norm = optimizer.step(&mut model.parameters, pass.gradients(loss), 3e-3, 1.0 / count);
        assert!((norm - f64::from(norms[step])).abs() < 1e-4, "step {step}: {norm} against {}", norms[step]);
    }
    for parameter in model.parameters.list.iter().filter(|parameter| parameter.spec.used) {
        let name = &parameter.spec.name;
        // Softmax cancels the biases of keys, and AdamW amplifies the rounding that is left.
        let tolerance = if name.ends_with("key.bias") { 2e-2 } else { 2e-4 };
        for (found, expected) in
            parameter.value.to_vec().iter().zip(expected.floats(&format!("after.{name}")))
        {
            assert!((found - expected).abs() < tolerance, "{name}: {found} against {expected}");
        }
    }
}
