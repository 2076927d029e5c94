//! What holds for any batch: alone = together, train ≠ evaluation, frozen stays frozen, seeds repeat.

use burn::Tensor;
use proptest::prelude::*;
use std::path::Path;
use steep_encoder::{AdamW, AdamWSettings, Gradients, HeadKind, Model, PackedBatch, Parameters, Pass, ops};

const ARCHITECTURES: [&str; 5] = ["bert", "distilbert", "roberta", "mpnet", "electra"];
const VOCABULARY: u32 = 48;
const LONGEST: usize = 20;

fn load(architecture: &str, case: &str, head: HeadKind) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/encoders");
    Model::load(&folder.join(architecture).join(case), head, 0).expect("loads").0
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn sequences() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(5..VOCABULARY, 1..=LONGEST), 1..7)
}

fn states(model: &Model, batch: &PackedBatch) -> Vec<f32> {
    values(model.last_hidden_state(&Pass::evaluate(&model.parameters), batch))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_gives_the_same_bits_alone_and_in_any_batch(texts in sequences()) {
        for architecture in ARCHITECTURES {
            let model = load(architecture, "base", HeadKind::None);
            let together = states(&model, &PackedBatch::new(texts.iter().map(Vec::as_slice)));
            let mut alone = Vec::new();
            for text in &texts {
                alone.extend(states(&model, &PackedBatch::new([text.as_slice()])));
            }
            prop_assert_eq!(&together, &alone, "{}", architecture);
        }
    }

    #[test]
    fn the_first_token_is_classified_alike_alone_and_in_any_batch(texts in sequences()) {
        let head = HeadKind::SequenceClassification { num_labels: 3 };
        for architecture in ARCHITECTURES {
            let model = load(architecture, "classification", head);
            let logits = |texts: &[Vec<u32>]| {
                let batch = PackedBatch::new(texts.iter().map(Vec::as_slice));
                let pass = Pass::evaluate(&model.parameters);
                let hidden = model.last_hidden_state(&pass, &batch);
                values(model.classification_logits(&pass, hidden, &batch))
            };
            let alone: Vec<f32> = texts.iter().flat_map(|text| logits(std::slice::from_ref(text))).collect();
            prop_assert_eq!(logits(&texts), alone, "{}", architecture);
        }
    }
}

fn batch() -> PackedBatch {
    PackedBatch::new([&[5, 9, 30, 17, 22, 8][..], &[7, 6], &[40, 41, 42, 43]])
}

/// Summed masked-LM loss of a fixed batch under a training pass.
fn loss(model: &Model, pass: &Pass) -> Tensor<1> {
    let hidden = model.last_hidden_state(pass, &batch());
    let rows = vec![1, 4, 7, 10];
    let logits = model.masked_lm_logits(pass, hidden, rows.into());
    ops::cross_entropy(logits, vec![3, 8, 20, 33].into(), 0.0).sum()
}

fn settings() -> AdamWSettings {
    AdamWSettings {
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        layerwise_lr_decay: 1.0,
    }
}

fn bits(parameters: &Parameters) -> Vec<Vec<u32>> {
    let list = parameters.list.iter();
    list.map(|parameter| parameter.value.to_vec().iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn every_trainable_parameter_gets_a_gradient_and_every_frozen_one_does_not() {
    for architecture in ARCHITECTURES {
        let mut model = load(architecture, "mlm", HeadKind::MaskedLm);
        model.parameters.set_trainable(|name| !name.contains("layer.0.") && !name.contains("position"));
        let before = model.parameters.clone();
        let pass = Pass::train(&model.parameters, 1);
        let loss = loss(&model, &pass);
        let gradients = pass.gradients(loss);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            let name = &parameter.spec.name;
            assert_eq!(gradient.is_some(), parameter.trainable, "{architecture} {name}");
        }
        let mut optimizer = AdamW::new(settings(), &model.parameters);
        optimizer.step(&mut model.parameters, gradients, 1e-2, 0.25);
        let pairs = before.list.iter().zip(&model.parameters.list);
        for (before, after) in pairs {
            let changed = before.value.to_vec() != after.value.to_vec();
            assert_eq!(changed, after.trainable, "{architecture} {}", after.spec.name);
        }
    }
}

#[test]
fn dropout_acts_in_training_only_and_repeats_with_its_seed() {
    for architecture in ARCHITECTURES {
        let model = load(architecture, "mlm", HeadKind::MaskedLm);
        let hidden = |pass: &Pass| values(model.last_hidden_state(pass, &batch()).inner());
        let evaluated = states(&model, &batch());
        let first = hidden(&Pass::train(&model.parameters, 1));
        assert_ne!(first, evaluated, "{architecture}: dropout changes the states");
        assert_eq!(first, hidden(&Pass::train(&model.parameters, 1)), "{architecture}: same seed");
        assert_ne!(first, hidden(&Pass::train(&model.parameters, 2)), "{architecture}: other seed");
        let without = hidden(&Pass::train_without_dropout(&model.parameters));
        assert_eq!(without, evaluated, "{architecture}: the tape changes no bit");
    }
}

#[test]
fn training_repeats_bit_for_bit() {
    let run = || {
        let mut model = load("bert", "mlm", HeadKind::MaskedLm);
        let mut optimizer = AdamW::new(settings(), &model.parameters);
        for step in 0..4 {
            let pass = Pass::train(&model.parameters, step);
            let loss = loss(&model, &pass);
            let gradients = pass.gradients(loss);
            optimizer.step(&mut model.parameters, gradients, 1e-2, 0.25);
        }
        bits(&model.parameters)
    };
    assert_eq!(run(), run());
}

#[test]
fn gradients_of_two_micro_batches_add_up_to_those_of_one() {
    let model = load("bert", "mlm", HeadKind::MaskedLm);
    let summed = |rows: &[u32], labels: &[u32]| {
        let pass = Pass::train_without_dropout(&model.parameters);
        let hidden = model.last_hidden_state(&pass, &batch());
        let logits = model.masked_lm_logits(&pass, hidden, rows.into());
        pass.gradients(ops::cross_entropy(logits, labels.into(), 0.0).sum())
    };
    let whole = summed(&[1, 7], &[3, 20]);
    let mut parts = Gradients::default();
    parts.add(summed(&[1], &[3]));
    parts.add(summed(&[7], &[20]));
    for (whole, parts) in whole.list.iter().flatten().zip(parts.list.iter().flatten()) {
        for (a, b) in whole.to_vec().iter().zip(parts.to_vec()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut model = load("bert", "mlm", HeadKind::MaskedLm);
    let before = bits(&model.parameters);
    let mut optimizer = AdamW::new(settings(), &model.parameters);
    let pass = Pass::train(&model.parameters, 1);
    let loss = loss(&model, &pass) * f32::NAN;
    let gradients = pass.gradients(loss);
    assert!(!optimizer.step(&mut model.parameters, gradients, 1e-2, 1.0).is_finite());
    assert_eq!(bits(&model.parameters), before);
    assert!(optimizer.states.iter().all(Option::is_none));
}
