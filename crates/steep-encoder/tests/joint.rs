//! Networks over text and columns against plain PyTorch: `goldens/joint.py` made the numbers.
//!
//! The encoder is trained with the head, so that logits, loss, every gradient by name and five AdamW steps are those of
//! one network. Largest differences measured with AVX-512 on Zen 4: see the constants.

use burn::Tensor;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{
    AdamW, AdamWSettings, CombineMethod, HeadKind, Model, PackedBatch, Pass, RowColumns, TabularSettings,
    TabularShape, Value, ops,
};

const LOGITS: f32 = 1e-5;
const GRADIENT: f32 = 2e-5;
const AFTER_FIVE_STEPS: f32 = 2e-4;
/// Their true gradient is zero, because softmax cancels them, and AdamW amplifies rounding.
const KEY_BIAS_AFTER: f32 = 3e-3;

struct Tensors(Vec<u8>);

impl Tensors {
    fn load(path: impl AsRef<Path>) -> Self {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens");
        Self(std::fs::read(goldens.join(path)).expect("the file is there"))
    }

    fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0).expect("tensors").tensor(name).is_ok()
    }

    fn words(&self, name: &str) -> (Vec<usize>, Vec<u32>) {
        let tensors = SafeTensors::deserialize(&self.0).expect("tensors");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}"));
        let words = view.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        (view.shape().to_vec(), words.collect())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).1.into_iter().map(f32::from_bits).collect()
    }
}

fn shape() -> TabularShape {
    TabularShape { text: 16, numerical: 3, indicators: 2, categories: vec![4, 9], outputs: 3 }
}

fn settings(combine_feat_method: CombineMethod) -> TabularSettings {
    TabularSettings { combine_feat_method, mlp_hidden_size: 5, dropout: 0.0, gating_beta: 1.0 }
}

/// Rows as the head takes them: numbers, indicators, codes.
fn rows() -> Vec<f32> {
    let columns = Tensors::load("joint/columns.safetensors");
    let (numbers, indicators) = (columns.floats("numerical"), columns.floats("indicators"));
    let codes = columns.words("codes").1;
    let row = |at: usize| {
        let codes = codes[at * 2..at * 2 + 2].iter().map(|code| *code as f32);
        numbers[at * 3..at * 3 + 3].iter().chain(&indicators[at * 2..at * 2 + 2]).copied().chain(codes)
    };
    (0..4).flat_map(row).collect()
}

/// The batch and the labels of `goldens/encoders/bert`.
fn batch() -> (PackedBatch, Arc<[u32]>) {
    let reference = Tensors::load("encoders/bert/reference.safetensors");
    let (shape, ids) = reference.words("input_ids");
    let (mask, types) = (reference.words("attention_mask").1, reference.words("token_type_ids").1);
    let real: Vec<usize> = (0..ids.len()).filter(|&at| mask[at] == 1).collect();
    let sequences: Vec<Vec<u32>> = (0..shape[0])
        .map(|row| real.iter().filter(|&&at| at / shape[1] == row).map(|&at| ids[at]).collect())
        .collect();
    let mut batch = PackedBatch::new(sequences.iter().map(Vec::as_slice));
    batch.token_type_ids = Some(real.iter().map(|&at| types[at]).collect());
    (batch, reference.words("class_labels").1.into())
}

fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/encoders/bert/base")
}

/// The network with the reference's values in its head.
fn network(method: CombineMethod, reference: &Tensors) -> Model {
    let (mut model, _) = Model::load(&encoder(), HeadKind::None, 0).expect("loads");
    model.attach_tabular(&shape(), &settings(method), 0);
    for parameter in model.tabular_parameters_mut() {
        let (shape, _) = reference.words(&format!("start.{}", parameter.spec.name));
        assert_eq!(shape, parameter.spec.shape, "{}", parameter.spec.name);
        let values = reference.floats(&format!("start.{}", parameter.spec.name));
        parameter.set_value(Value::new(values, &shape));
        parameter.learning_rate_scale = 4.0;
    }
    model
}

struct Case {
    batch: PackedBatch,
    labels: Arc<[u32]>,
    rows: Vec<f32>,
    keep_text: Vec<f32>,
    keep_columns: Vec<f32>,
}

impl Case {
    fn of(reference: &Tensors) -> Self {
        let (batch, labels) = batch();
        let keep = |name: &str| if reference.has(name) { reference.floats(name) } else { Vec::new() };
        Self { batch, labels, rows: rows(), keep_text: keep("keep_text"), keep_columns: keep("keep_columns") }
    }

    fn logits(&self, model: &Model, pass: &Pass) -> Tensor<2> {
        let hidden = model.last_hidden_state(pass, &self.batch);
        let text = pool_states(&hidden, &self.batch, &[PoolingMode::Mean]);
        let rows =
            RowColumns { values: &self.rows, keep_text: &self.keep_text, keep_columns: &self.keep_columns };
        model.tabular_logits(pass, text, &rows)
    }

    fn loss(&self, model: &Model, pass: &Pass) -> Tensor<1> {
        ops::cross_entropy(self.logits(model, pass), self.labels.clone(), 0.0).sum()
    }
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference <= tolerance, "{what}: differs by {difference:e}, allowed {tolerance:e}");
}

/// All cases: every method, and one with text or columns withheld.
fn cases() -> Vec<(&'static str, CombineMethod)> {
    let mut cases = CombineMethod::ALL.to_vec();
    cases.push(("modality_dropout", CombineMethod::Concat));
    cases
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn every_trainable_parameter_gets_a_gradient() {
    let (batch, labels) = batch();
    for (name, method) in CombineMethod::ALL {
        let (mut model, _) = Model::load(&encoder(), HeadKind::None, 0).expect("loads");
        let before = model.parameters.list.len();
        model.attach_tabular(&shape(), &settings(method), 3);
        assert_eq!(model.parameters.list.len() - before, model.tabular_parameters().len());
        let case = Case {
            batch: batch.clone(),
            labels: labels.clone(),
            rows: rows(),
            keep_text: vec![],
            keep_columns: vec![],
        };
        let pass = Pass::train(&model.parameters, 1);
        let gradients = pass_gradients(&case, &model, pass);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            if parameter.trainable {
                let gradient = gradient.as_ref().unwrap_or_else(|| panic!("{name}: {}", parameter.spec.name));
                let is_moved = gradient.to_vec().iter().any(|value| *value != 0.0);
                assert!(is_moved, "{name}: the gradient of {} is zero", parameter.spec.name);
            }
        }
    }
}

fn pass_gradients(case: &Case, model: &Model, pass: Pass) -> steep_encoder::Gradients {
    let loss = case.loss(model, &pass);
    pass.gradients(loss)
}

#[test]
fn logits_loss_and_every_gradient_equal_pytorch() {
    for (name, method) in cases() {
        let reference = Tensors::load(format!("joint/{name}.safetensors"));
        let (model, case) = (network(method, &reference), Case::of(&reference));
        let evaluated = case.logits(&model, &Pass::evaluate(&model.parameters));
        assert_close(&values(evaluated), &reference.floats("logits"), LOGITS, name);
        let pass = Pass::train_without_dropout(&model.parameters);
        let loss = case.loss(&model, &pass);
        let count = case.labels.len() as f32;
        let mean = loss.clone().inner().into_scalar::<f32>() / count;
        assert!((mean - reference.floats("loss")[0]).abs() < 1e-5, "{name}: {mean}");
        let gradients = pass.gradients(loss);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            let wanted = format!("gradient.{}", parameter.spec.name);
            let Some(gradient) = gradient else {
                assert!(!reference.has(&wanted), "{name}: no {wanted}");
                continue;
            };
            let found: Vec<f32> = gradient.to_vec().iter().map(|value| value / count).collect();
            assert_close(&found, &reference.floats(&wanted), GRADIENT, &format!("{name} {wanted}"));
        }
    }
}

#[test]
fn five_adamw_steps_equal_pytorch() {
    for (name, method) in cases() {
        let reference = Tensors::load(format!("joint/{name}.safetensors"));
        let (mut model, case) = (network(method, &reference), Case::of(&reference));
        let settings = AdamWSettings {
            adam_beta1: 0.9,
            adam_beta2: 0.98,
            adam_epsilon: 1e-6,
            weight_decay: 0.1,
            max_grad_norm: 1.5,
            layerwise_lr_decay: 1.0,
        };
        let mut optimizer = AdamW::new(settings, &model.parameters);
        let (losses, norms) = (reference.floats("step.losses"), reference.floats("step.gradient_norms"));
        for step in 0..5 {
            let pass = Pass::train_without_dropout(&model.parameters);
            let loss = case.loss(&model, &pass);
            let count = case.labels.len() as f32;
            let mean = loss.clone().inner().into_scalar::<f32>() / count;
            assert!((mean - losses[step]).abs() < 1e-4, "{name} step {step}: {mean} and {}", losses[step]);
            let gradients = pass.gradients(loss);
            let norm = optimizer.step(&mut model.parameters, gradients, 5e-3, 1.0 / count) as f32;
            assert!((norm - norms[step]).abs() < 1e-3 * norms[step], "{name} step {step}: norm {norm}");
        }
        for parameter in model.parameters.list.iter().filter(|parameter| parameter.trainable) {
            let wanted = format!("after.{}", parameter.spec.name);
            let tolerance = if wanted.ends_with("key.bias") { KEY_BIAS_AFTER } else { AFTER_FIVE_STEPS };
            let found = parameter.value.to_vec();
            assert_close(&found, &reference.floats(&wanted), tolerance, &format!("{name} {wanted}"));
        }
    }
}

#[test]
fn an_unseen_category_says_nothing_and_rows_do_not_depend_on_their_company() {
    let (mut model, _) = Model::load(&encoder(), HeadKind::None, 0).expect("loads");
    model.attach_tabular(&shape(), &settings(CombineMethod::Concat), 3);
    let table = model.tabular_parameters()[0].value.to_vec();
    assert!(
        table[4 * 3..].iter().all(|value| *value == 0.0) && table[..4 * 3].iter().all(|value| *value != 0.0)
    );

    let (batch, _) = batch();
    let (rows, pass) = (rows(), Pass::evaluate(&model.parameters));
    let logits = |sequences: &[usize]| {
        let span = |at: usize| batch.offsets[at] as usize..batch.offsets[at + 1] as usize;
        let part = PackedBatch::new(sequences.iter().map(|&at| &batch.input_ids[span(at)]));
        let hidden = model.last_hidden_state(&pass, &part);
        let text = pool_states(&hidden, &part, &[PoolingMode::Cls, PoolingMode::Mean]).narrow(1, 16, 16);
        let values: Vec<f32> = sequences.iter().flat_map(|&at| rows[at * 7..at * 7 + 7].to_vec()).collect();
        self::values(model.tabular_logits(&pass, text, &RowColumns::whole(&values)))
    };
    let together = logits(&[0, 1, 2, 3]);
    for at in 0..4 {
        assert_eq!(logits(&[at]), together[at * 3..at * 3 + 3], "row {at}");
    }
}

#[test]
fn the_encoder_is_saved_without_the_head() {
    let (mut model, _) = Model::load(&encoder(), HeadKind::None, 0).expect("loads");
    model.attach_tabular(&shape(), &settings(CombineMethod::GatingOnCatAndNumFeatsThenSum), 3);
    let folder = tempfile::tempdir().expect("a folder");
    model.save(folder.path()).expect("saves");
    let (_, report) = Model::load(folder.path(), HeadKind::None, 0).expect("loads");
    assert_eq!((report.unexpected, report.initialised), (Vec::<String>::new(), Vec::<String>::new()));
}
