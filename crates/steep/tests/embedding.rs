//! Training vectors on labels: losses and gradients of `goldens/embedding.py`, and what the training does.

mod common;

use burn::Tensor;
use common::{Golden, Texts, a_stop_changes_no_byte, held_out_loss_falls, train_in};
use std::path::Path;
use steep::encoder::pooling::PoolingMode;
use steep::encoder::{HeadKind, Model, Pass, Value};
use steep::objectives::{
    Embedding, EmbeddingLoss, EmbeddingSettings, PairLabels, Targets, TripletMining, VectorForm,
};
use steep::training::{LrSchedulerType, Objective, TrainingSettings};

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name)
}

const RANKING: EmbeddingLoss = EmbeddingLoss::MultipleNegativesRanking { temperature: 0.05 };

fn triplet(mining: TripletMining, margin: f64) -> EmbeddingLoss {
    EmbeddingLoss::Triplet { mining, margin }
}

/// Loss and gradient of 12 vectors of 8 dimensions against PyTorch's.
fn check(golden: &Golden, case: &str, settings: &EmbeddingSettings, labels: &PairLabels) -> f32 {
    let Value::Matrix(vectors) = Value::new(golden.floats("vectors"), &[12, 8]) else { unreachable!() };
    let vectors = Tensor::from_inner(vectors).require_grad();
    let loss = settings.mean_loss(&vectors, labels).expect("something to learn");
    let (found, expected) =
        (loss.clone().inner().into_scalar::<f32>(), golden.floats(&format!("{case}.loss"))[0]);
    assert!((found - expected).abs() < 2e-6 * expected.max(1.0), "{case}: {found} against {expected}");
    let gradient = Value::Matrix(vectors.grad_remove(&mut loss.backward()).expect("a gradient")).to_vec();
    let expected = golden.floats(&format!("{case}.gradient"));
    let differences = gradient.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
    let largest = differences.fold(0.0, f32::max);
    let size = expected.iter().fold(1.0_f32, |size, value| size.max(value.abs()));
    assert!(largest < 5e-6 * size, "{case}: gradients of up to {size} differ by {largest}");
    largest
}

#[test]
fn losses_and_gradients_equal_those_of_sentence_transformers() {
    let golden = Golden::load("embedding/reference.safetensors");
    let classes = |name: &str| PairLabels::Classes(golden.words(name));
    let (of_classes, mixed, apart) = (classes("classes"), classes("mixed"), classes("apart"));
    let numbers = PairLabels::Numbers(golden.floats("numbers"));
    let whole = |loss| EmbeddingSettings { loss, matryoshka_dims: Vec::new() };
    let cut = |loss| EmbeddingSettings { loss, matryoshka_dims: vec![8, 5, 2] };
    let supervised = |temperature| EmbeddingLoss::SupervisedContrastive { temperature };
    let cosent = |temperature| EmbeddingLoss::Cosent { temperature };
    let (hard, all) = (TripletMining::Hard, TripletMining::All);
    let worst = [
        check(&golden, "ranking.apart", &whole(RANKING), &apart),
        check(&golden, "ranking.classes", &whole(RANKING), &of_classes),
        check(&golden, "triplet_hard.classes", &whole(triplet(hard, 1.5)), &of_classes),
        check(&golden, "triplet_hard.mixed", &whole(triplet(hard, 5.0)), &mixed),
        check(&golden, "triplet_all.classes", &whole(triplet(all, 1.5)), &of_classes),
        check(&golden, "triplet_all.mixed", &whole(triplet(all, 5.0)), &mixed),
        check(&golden, "supervised_contrastive.classes", &whole(supervised(0.07)), &of_classes),
        check(&golden, "supervised_contrastive.mixed", &whole(supervised(0.3)), &mixed),
        check(&golden, "cosent.mixed", &whole(cosent(0.05)), &mixed),
        check(&golden, "cosent.numbers", &whole(cosent(0.2)), &numbers),
        check(&golden, "matryoshka.ranking", &cut(RANKING), &of_classes),
        check(&golden, "matryoshka.triplet_all", &cut(triplet(all, 1.5)), &of_classes),
        check(&golden, "matryoshka.cosent", &cut(cosent(0.05)), &mixed),
    ];
    assert!(worst.iter().any(|difference| *difference > 0.0), "two different computations");
}

#[test]
fn a_step_of_one_class_has_nothing_to_learn_and_equal_vectors_have_finite_slopes() {
    let equal = Tensor::<2>::from_inner(match Value::new(vec![0.5; 32], &[4, 8]) {
        Value::Matrix(matrix) => matrix,
        Value::Vector(_) => unreachable!(),
    })
    .require_grad();
    let losses = [
        RANKING,
        triplet(TripletMining::Hard, 5.0),
        triplet(TripletMining::All, 5.0),
        EmbeddingLoss::SupervisedContrastive { temperature: 0.07 },
        EmbeddingLoss::Cosent { temperature: 0.05 },
    ];
    for loss in losses {
        let settings = EmbeddingSettings { loss, matryoshka_dims: Vec::new() };
        assert!(settings.mean_loss(&equal, &PairLabels::Classes(vec![1; 4])).is_none(), "{loss:?}");
        let labels = PairLabels::Classes(vec![0, 1, 0, 2]);
        let value = settings.mean_loss(&equal, &labels).unwrap_or_else(|| panic!("{loss:?}"));
        let gradient = equal.grad_remove(&mut value.backward()).expect("a gradient");
        let gradient = Value::Matrix(gradient).to_vec();
        assert!(gradient.iter().all(|slope| slope.is_finite()), "{loss:?}: {gradient:?}");
    }
}

fn settings() -> TrainingSettings {
    let (lr_scheduler_type, warmup_ratio) = (LrSchedulerType::Linear, 0.1);
    TrainingSettings {
        num_train_epochs: 6.0,
        learning_rate: 3e-3,
        lr_scheduler_type,
        warmup_ratio,
        ..common::settings()
    }
}

const LOSSES: [EmbeddingLoss; 4] = [
    EmbeddingLoss::MultipleNegativesRanking { temperature: 0.2 },
    EmbeddingLoss::Triplet { mining: TripletMining::All, margin: 1.0 },
    EmbeddingLoss::SupervisedContrastive { temperature: 0.2 },
    EmbeddingLoss::Cosent { temperature: 0.2 },
];

fn model() -> Model {
    Model::load(&golden("encoders/bert/base"), HeadKind::None, 5).expect("loads").0
}

/// The first 20 texts by their length, which a vector can tell; the same held out.
fn embedding<'a>(loss: EmbeddingLoss, texts: &'a Texts, targets: &'a Targets) -> Embedding<'a> {
    let rows: Vec<u32> = (0..20).collect();
    let settings = EmbeddingSettings { loss, matryoshka_dims: vec![16, 8] };
    let form = VectorForm { pooling: vec![PoolingMode::Mean], normalize: false };
    Embedding::new(texts, targets, [&rows, &rows], settings, form, 7)
}

fn targets() -> Targets {
    Targets::Classes((0..23).map(|row| row % 7 / 3).collect())
}

#[test]
fn every_loss_learns_and_a_stop_in_between_changes_no_byte() {
    for loss in LOSSES {
        let (name, texts, targets) = (format!("{loss:?}"), Texts, targets());
        let state = a_stop_changes_no_byte(&name, |folder, stop_after| {
            let (mut model, objective) = (model(), embedding(loss, &texts, &targets));
            let state = train_in(folder, stop_after, &mut model, &objective, &settings())?;
            Ok((model, state))
        });
        held_out_loss_falls(&name, &state);
    }
}

#[test]
fn every_trainable_parameter_gets_a_gradient() {
    for loss in LOSSES {
        let (model, texts, targets) = (model(), Texts, targets());
        let embedding = embedding(loss, &texts, &targets);
        let pass = Pass::train(&model.parameters, 1);
        let prepared = embedding.prepare(&[0, 1, 2, 3, 4, 5], 0);
        let (value, weight) = embedding.loss(&model, &pass, prepared).expect("something to learn");
        assert_eq!(weight, 1.0);
        let gradients = pass.gradients(value);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            let name = &parameter.spec.name;
            assert_eq!(gradient.is_some(), parameter.trainable, "{loss:?} {name}");
            let moves = gradient.as_ref().is_none_or(|gradient| gradient.to_vec().iter().any(|g| *g != 0.0));
            assert!(moves, "{loss:?} {name} learns");
        }
    }
}

#[test]
fn labels_that_a_loss_is_not_for_are_refused() {
    let (flags, numbers) = (Targets::Flags(vec![0.0; 4]), Targets::Numbers(vec![0.0; 4]));
    for loss in LOSSES {
        assert!(loss.check(&flags).is_err() && loss.check(&targets()).is_ok());
        assert_eq!(loss.check(&numbers).is_ok(), matches!(loss, EmbeddingLoss::Cosent { .. }), "{loss:?}");
    }
}
