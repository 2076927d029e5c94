//! What is frozen stays byte for byte, costs no backward pass below what learns, and is freed when it should be.

mod common;

use burn::Tensor;
use burn::backend::{Autodiff, Flex};
use common::{Golden, Texts, a_stop_changes_no_byte, bits, model, objective, texts_of_bert, train_in};
use std::path::Path;
use std::sync::Arc;
use steep::encoder::{AdamW, AdamWSettings, HeadKind, LoraSettings, Model, PackedBatch, Pass, ops};
use steep::error::Error;
use steep::training::{Freezing, GradualUnfreezing, Objective, Position, TrainerState, TrainingSettings};

fn settings(freezing: Freezing) -> TrainingSettings {
    TrainingSettings { save_steps: 2, freezing, ..common::settings() }
}

fn freezing(freeze: &[&str], train_only: &[&str]) -> Freezing {
    let patterns = |list: &[&str]| list.iter().map(|text| text.parse().expect("a pattern")).collect();
    Freezing { freeze: patterns(freeze), train_only: patterns(train_only), ..Freezing::default() }
}

/// Trains until done or stopped; the model and its state.
fn run(settings: &TrainingSettings, folder: &Path, stop_after: u64) -> Result<(Model, TrainerState), Error> {
    let (mut model, texts) = (model(), Texts);
    settings.apply_to(&mut model)?;
    let state = train_in(folder, stop_after, &mut model, &objective(&texts), settings)?;
    Ok((model, state))
}

#[test]
fn what_is_frozen_stays_byte_for_byte_and_the_rest_learns() {
    let head = "cls.predictions";
    for (freezing, learns) in [
        (freezing(&["embeddings", "layers:0"], &[]), &["layer.1.", head][..]),
        (freezing(&["layers:0-"], &[]), &["embeddings", head]),
        (freezing(&["head", "embeddings"], &[]), &["layer."]),
        (freezing(&[], &["embeddings"]), &["embeddings"]),
        (freezing(&["*.bias"], &["layers:1", "head"]), &["layer.1.", head]),
    ] {
        let (folder, before) = (tempfile::tempdir().expect("a folder"), bits(&model()));
        let (trained, _) = run(&settings(freezing.clone()), folder.path(), u64::MAX).expect("trains");
        for ((name, before), (_, after)) in before.iter().zip(bits(&trained)) {
            let biases_stay = freezing.freeze.iter().any(|pattern| pattern.to_string() == "*.bias");
            let frozen_bias = biases_stay && name.rsplit('.').next() == Some("bias");
            let expected = learns.iter().any(|part| name.contains(part)) && !frozen_bias;
            assert_eq!(*before != after, expected, "{freezing:?} {name}");
        }
    }
}

#[test]
fn each_trainable_parameter_and_no_other_gets_a_gradient_and_the_tape_begins_with_the_lowest() {
    let batch = PackedBatch::new([&[1_u32, 7, 9, 2][..], &[1, 8, 2]]);
    let tracked =
        |state: Tensor<2>| state.try_into_primitive::<Autodiff<Flex>>().is_ok_and(|state| state.is_tracked());
    for (pattern, first_tracked) in [("embeddings", 1), ("layers:0-", 3), ("layers:0", 0), ("none", 0)] {
        let mut model = model();
        let freeze: &[&str] = match pattern {
            "none" => &[],
            "embeddings" => &["embeddings"],
            "layers:0-" => &["embeddings", "layers:0-"],
            other => &[other],
        };
        freezing(freeze, &[]).apply(&mut model, Position::END);
        let pass = Pass::train(&model.parameters, 1);
        let states = model.hidden_states(&pass, &batch);
        for (index, state) in states.into_iter().enumerate() {
            assert_eq!(tracked(state), index >= first_tracked, "{pattern}: state {index}");
        }
        let texts = Texts;
        let objective = objective(&texts);
        let prepared = objective.prepare(&[0, 1, 2, 3], 0);
        let (loss, _) = objective.loss(&model, &pass, prepared).expect("something to learn");
        let gradients = pass.gradients(loss);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            assert_eq!(gradient.is_some(), parameter.trainable, "{pattern} {}", parameter.spec.name);
        }
    }
}

#[test]
fn a_stop_in_between_changes_no_byte_while_layers_are_freed_and_matrices_are_beside() {
    let mut gradual = settings(Freezing {
        gradual_unfreezing: GradualUnfreezing::Share(0.6),
        ..freezing(&["*LayerNorm*"], &[])
    });
    gradual.adamw.layerwise_lr_decay = 0.9;
    let mut lora = settings(freezing(&["layers:0"], &[]));
    lora.lora = Some(LoraSettings { rank: 2, alpha: 4.0, dropout: 0.2, targets: Vec::new() });
    lora.load_best_model_at_end = true;
    for (name, settings) in [("gradual unfreezing", gradual), ("lora", lora)] {
        a_stop_changes_no_byte(name, |folder, stop_after| run(&settings, folder, stop_after));
    }
}

#[test]
fn a_pattern_that_names_nothing_and_a_model_that_cannot_learn_are_refused() {
    let refused = |freezing: Freezing| match freezing.check(&model()) {
        Err(Error::Config { key, problem, .. }) => (key, problem),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(freezing(&["layers:9"], &[])).0, "freeze");
    let (key, problem) = refused(freezing(&[], &["bert.encoder.layer.0"]));
    assert_eq!((key.as_str(), problem.contains("bert.encoder.layer.0")), ("train_only", true));
    assert_eq!(refused(freezing(&["*"], &[])).1, "leaves nothing to train");
    let mut bare = settings(freezing(&["head", "layers:0-", "embeddings"], &[]));
    assert!(bare.apply_to(&mut model()).is_err());
    bare.freezing = Freezing::default();
    assert!(bare.apply_to(&mut model()).is_ok());
}

/// As `goldens/tuning.py`: one step an epoch; differences measured up to 5e-6 after six steps.
#[test]
fn gradual_unfreezing_equals_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/encoders/bert/classification");
    let head = HeadKind::SequenceClassification { num_labels: 3 };
    let (mut model, _) = Model::load(&folder, head, 0).expect("loads");
    let expected = Golden::load("tuning/unfreezing.safetensors");
    let labels: Arc<[u32]> = Golden::load("encoders/bert/reference.safetensors").words("class_labels").into();
    let freezing =
        Freezing { gradual_unfreezing: GradualUnfreezing::EachEpoch, ..freezing(&["*LayerNorm*"], &[]) };
    let settings = AdamWSettings {
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        layerwise_lr_decay: 1.0,
    };
    let (mut optimizer, (batch, _)) = (AdamW::new(settings, &model.parameters), texts_of_bert());
    let (losses, norms) = (expected.floats("losses"), expected.floats("gradient_norms"));
    for step in 0..losses.len() {
        freezing.apply(
            &mut model,
            Position { step: step as u64, steps_per_epoch: 1, total_steps: losses.len() as u64 },
        );
        let pass = Pass::train_without_dropout(&model.parameters);
        let hidden = model.last_hidden_state(&pass, &batch);
        let logits = model.classification_logits(&pass, hidden, &batch);
        let loss = ops::cross_entropy(logits, labels.clone(), 0.0).sum();
        let mean = loss.clone().inner().into_scalar::<f32>() / 4.0;
        assert!((mean - losses[step]).abs() < 1e-5, "step {step}: {mean} against {}", losses[step]);
        let norm = optimizer.step(&mut model.parameters, pass.gradients(loss), 3e-3, 0.25);
        assert!((norm - f64::from(norms[step])).abs() < 1e-4, "step {step}: {norm} against {}", norms[step]);
    }
    for parameter in &model.parameters.list {
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
