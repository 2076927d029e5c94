//! Masked language modelling beside the labels, and everything at once, against PyTorch and PEFT: `goldens/tuning.py`.

mod common;

use burn::Tensor;
use common::Texts;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steep::encoder::layers::pool_states;
use steep::encoder::pooling::PoolingMode;
use steep::encoder::{Adapter, Gradients, HeadKind, Model, PackedBatch, Pass, Value, ops};
use steep::objectives::{
    Classification, ClassificationSettings, EmbeddingLoss, EmbeddingSettings, MaskedLm, MultiTask,
    PairLabels, Targets,
};
use steep::training::{Freezing, Objective, Position, micro_batches};

fn goldens(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(path)
}

struct Golden(Vec<u8>);

impl Golden {
    fn load(path: &str) -> Self {
        Self(std::fs::read(goldens(path)).unwrap_or_else(|_| panic!("{path}")))
    }

    fn words(&self, name: &str) -> Option<Vec<u32>> {
        let tensors = SafeTensors::deserialize(&self.0).expect("tensors");
        let view = tensors.tensor(name).ok()?;
        Some(view.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.words(name)?.into_iter().map(f32::from_bits).collect())
    }
}

/// The texts of a family without padding, their labels, and the hidden words.
struct Rows {
    batch: PackedBatch,
    labels: Vec<u32>,
    masked: Arc<[u32]>,
    answers: Arc<[u32]>,
}

impl Rows {
    fn of(folder: &str) -> Self {
        let texts = Golden::load(&format!("{folder}/reference.safetensors"));
        let words = |name: &str| texts.words(name).expect("inputs");
        let (ids, mask, answers) = (words("input_ids"), words("attention_mask"), words("mlm_labels"));
        let width = mask.len() / 4;
        let real = |row: usize| (row * width..(row + 1) * width).filter(|&at| mask[at] == 1);
        let rows: Vec<Vec<u32>> = (0..4).map(|row| real(row).map(|at| ids[at]).collect()).collect();
        let mut batch = PackedBatch::new(rows.iter().map(Vec::as_slice));
        if let Some(types) = texts.words("token_type_ids") {
            batch.token_type_ids = Some((0..4).flat_map(real).map(|at| types[at]).collect());
        }
        let hidden = (0..4).flat_map(real).enumerate().filter(|(_, at)| answers[*at] as i32 >= 0);
        let (masked, answers): (Vec<u32>, Vec<u32>) =
            hidden.map(|(row, at)| (row as u32, answers[at])).unzip();
        Self { batch, labels: words("class_labels"), masked: masked.into(), answers: answers.into() }
    }

    /// Mean loss of the labels plus half of that of the hidden words; and the last states.
    fn loss(&self, model: &Model, pass: &Pass) -> (Tensor<1>, Tensor<2>) {
        let states = model.last_hidden_state(pass, &self.batch);
        let logits = model.classification_logits(pass, states.clone(), &self.batch);
        let labels = ops::cross_entropy(logits, self.labels.clone().into(), 0.0).sum() / 4.0;
        let again = model.last_hidden_state(pass, &self.batch);
        let words = model.masked_lm_losses(pass, again, self.masked.clone(), self.answers.clone());
        (labels + words.sum() * (0.5 / self.answers.len() as f32), states)
    }
}

const CLASSIFICATION: HeadKind = HeadKind::SequenceClassification { num_labels: 3 };

/// A classifier with the head that predicts masked words beside its own.
fn with_words(folder: &str, adapter: Option<&str>) -> Model {
    let (mut model, _) =
        Model::load(&goldens(&format!("{folder}/classification")), CLASSIFICATION, 0).expect("loads");
    if let Some(adapter) = adapter {
        model.attach_adapter(&Adapter::load(&goldens(adapter)).expect("reads")).expect("fits");
    }
    model.attach_token_head(&goldens(&format!("{folder}/mlm")), 0).expect("attaches");
    model
}

/// Every gradient by its name, and none that PyTorch does not have.
fn check(model: &Model, gradients: &Gradients, golden: &Golden, prefix: &str, what: &str) {
    let mut compared = 0;
    for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
        let name = &parameter.spec.name;
        let expected = golden.floats(&format!("{prefix}gradient.{name}"));
        assert_eq!(gradient.is_some(), parameter.trainable, "{what} {name}");
        assert_eq!(gradient.is_some(), expected.is_some(), "{what} {name}");
        let (Some(gradient), Some(expected)) = (gradient, expected) else { continue };
        compared += 1;
        for (found, expected) in gradient.to_vec().iter().zip(expected) {
            assert!((found - expected).abs() < 4e-5, "{what} {name}: {found} against {expected}");
        }
    }
    assert!(compared > 5, "{what}: {compared} gradients");
}

const FAMILIES: [(&str, &str); 2] = [("bert", "encoders/bert"), ("modernbert", "families/modernbert")];

#[test]
fn masked_words_beside_the_labels_have_pytorchs_loss_and_gradients() {
    for (family, folder) in FAMILIES {
        let (model, rows) = (with_words(folder, None), Rows::of(folder));
        let golden = Golden::load(&format!("tuning/combined/{family}/reference.safetensors"));
        let pass = Pass::train_without_dropout(&model.parameters);
        let (loss, _) = rows.loss(&model, &pass);
        let found = loss.clone().inner().into_scalar::<f32>();
        let expected = golden.floats("multi_task.loss").expect("a loss")[0];
        assert!((found - expected).abs() < 1e-5, "{family}: {found} against {expected}");
        check(&model, &pass.gradients(loss), &golden, "multi_task.", family);
    }
}

#[test]
fn adapters_frozen_layers_labels_words_and_vectors_at_once_have_pytorchs_gradients() {
    for (family, folder) in FAMILIES {
        let mut model = with_words(folder, Some(&format!("tuning/combined/{family}")));
        let rows = Rows::of(folder);
        let golden = Golden::load(&format!("tuning/combined/{family}/reference.safetensors"));
        let freezing =
            Freezing { freeze: vec!["layers:0".parse().expect("a pattern")], ..Freezing::default() };
        freezing.apply(&mut model, Position::END);
        let pass = Pass::train_without_dropout(&model.parameters);
        let (loss, states) = rows.loss(&model, &pass);
        let vectors = pool_states(&states, &rows.batch, &[PoolingMode::Mean]);
        let settings = EmbeddingSettings {
            loss: EmbeddingLoss::SupervisedContrastive { temperature: 0.3 },
            matryoshka_dims: vec![16, 5],
        };
        let of_vectors = settings.mean_loss(&vectors, &PairLabels::Classes(rows.labels.clone()));
        let total = loss + of_vectors.expect("two texts of a class") * 2.0;
        let found = total.clone().inner().into_scalar::<f32>();
        let expected = golden.floats("loss").expect("a loss")[0];
        assert!((found - expected).abs() < 2e-5, "{family}: {found} against {expected}");
        check(&model, &pass.gradients(total), &golden, "", family);
    }
}

/// The objective over the first rows of [`Texts`].
fn multi_task<'a>(texts: &'a Texts, targets: &'a Targets, class_weights: Vec<f32>) -> MultiTask<'a> {
    let masked: MaskedLm = common::objective(texts);
    let classification = Classification {
        sequences: texts,
        targets,
        num_labels: 3,
        rows: (0..20).collect(),
        validation_rows: vec![20, 21],
        settings: ClassificationSettings { label_smoothing_factor: 0.0, class_weights },
        max_tokens: 64,
    };
    MultiTask { classification, masked, mlm_weight: 0.3 }
}

#[test]
fn both_means_are_over_the_whole_step_however_it_is_cut() {
    let (texts, targets) = (Texts, Targets::Classes((0..23).map(|row| row % 3).collect()));
    let objective = multi_task(&texts, &targets, vec![0.5, 1.0, 2.0]);
    let model = with_words("encoders/bert", None);
    let rows: Vec<u32> = vec![3, 9, 0, 14, 7, 1, 12];
    let mean = |tensor: Tensor<1>, weight: f64| f64::from(tensor.into_scalar::<f32>()) / weight;
    let pass = Pass::evaluate(&model.parameters);
    let (labels, weight) = objective
        .classification
        .loss(&model, &pass, objective.classification.prepare(&rows, 2))
        .expect("labels");
    let (words, count) =
        objective.masked.loss(&model, &pass, objective.masked.prepare(&rows, 2)).expect("words");
    let expected = mean(labels, weight) + 0.3 * mean(words, count);
    for budget in [7, 15, 1_000] {
        let length = |row: u32| steep::training::Sequences::length(&texts, row as usize);
        let parts = micro_batches(&rows, budget, length);
        let mut step: Vec<_> = parts.iter().map(|rows| objective.prepare(rows, 2)).collect();
        objective.complete(&mut step);
        let (mut sum, mut total) = (0.0, 0.0);
        for part in step {
            let (loss, weight) = objective.loss(&model, &pass, part).expect("a loss");
            sum += f64::from(loss.into_scalar::<f32>());
            total += weight;
        }
        assert!((sum / total - expected).abs() < 1e-5, "{budget}: {} against {expected}", sum / total);
    }
}

#[test]
fn the_words_head_is_not_left_in_the_model() {
    let model = with_words("encoders/bert", None);
    let saved = tempfile::tempdir().expect("a folder");
    model.save(saved.path()).expect("saves");
    let names = |folder: &Path| -> BTreeMap<String, Vec<usize>> {
        let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
        let tensors = SafeTensors::deserialize(&bytes).expect("weights");
        tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect()
    };
    assert_eq!(names(saved.path()), names(&goldens("encoders/bert/classification")));
    assert!(model.attached_parameters().iter().all(|parameter| parameter.spec.name.starts_with("mlm.")));
    let values =
        |model: &Model| model.own_parameters().iter().flat_map(|one| Value::to_vec(&one.value)).sum::<f32>();
    let (again, _) = Model::load(saved.path(), CLASSIFICATION, 0).expect("loads");
    assert_eq!(values(&again), values(&model));
}
