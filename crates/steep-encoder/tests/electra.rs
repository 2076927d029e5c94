//! Replaced-token detection against transformers: `goldens/electra.py` made the numbers. Tolerances are those of
//! `goldens.rs`, times the discriminator's weight for gradients.

mod reference;

use reference::{Reference, assert_close, goldens, values};
use std::sync::Arc;
use steep_encoder::{GeneratorShape, HeadKind, Model, PackedBatch, Pass, ops};

const SHAPE: GeneratorShape =
    GeneratorShape { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 1, intermediate_size: 12 };
const WITH_GENERATOR: HeadKind = HeadKind::ReplacedTokens { generator: Some(SHAPE) };
const LOGITS: f32 = 3e-5;
const GRADIENT: f32 = 50.0 * 2e-5;

/// The discriminator with the generator's weights beside it.
fn model() -> Model {
    let folder = goldens("electra");
    let (mut model, report) = Model::load(&folder.join("discriminator"), WITH_GENERATOR, 0).expect("loads");
    assert!(report.initialised.iter().all(|name| name.starts_with("generator.")), "{report}");
    let (generator, report) = Model::load(&folder.join("generator"), HeadKind::MaskedLm, 0).expect("loads");
    assert_eq!(report.initialised, Vec::<String>::new());
    for parameter in &mut model.parameters.list {
        let Some(name) = parameter.spec.name.strip_prefix("generator.") else { continue };
        let own =
            generator.parameters.get(name).or_else(|| generator.parameters.get(&format!("electra.{name}")));
        parameter.set_value(own.unwrap_or_else(|| panic!("{name}")).value.clone());
    }
    model
}

/// The texts with what the generator filled in, and whether each token was replaced.
fn corrupted(reference: &Reference) -> (PackedBatch, Vec<f32>) {
    let real = reference.real_positions();
    let at = |name: &str| {
        let padded = reference.integers(name);
        real.iter().map(|&at| padded[at]).collect::<Vec<i32>>()
    };
    let input_ids: Arc<[u32]> = at("corrupted_ids").iter().map(|&id| id as u32).collect();
    let replaced = at("replaced").iter().map(|&flag| flag as f32).collect();
    (PackedBatch { input_ids, ..reference.batch() }, replaced)
}

fn column(tensor: burn::Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn logits_losses_and_every_gradient_equal_transformers() {
    let (model, reference) = (model(), Reference::load(&goldens("electra")));
    let ((rows, labels), (corrupted, replaced)) = (reference.masked(), corrupted(&reference));
    let pass = Pass::train_without_dropout(&model.parameters);

    let logits = model.generator_logits(&pass, &reference.batch(), rows.clone());
    let expected = reference.packed("generator.logits");
    let width = model.config.vocab_size;
    let expected: Vec<f32> =
        rows.iter().flat_map(|&row| expected[row as usize * width..][..width].to_vec()).collect();
    assert_close(&values(logits.clone().inner()), &expected, LOGITS, "generator");
    let generator = ops::cross_entropy(logits, labels, 0.0).mean();
    let found = generator.clone().inner().into_scalar::<f32>();
    assert!((found - reference.floats("generator.loss")[0]).abs() < 1e-5);

    let hidden = model.last_hidden_state(&pass, &corrupted);
    let logits = model.replaced_token_logits(&pass, hidden);
    assert_close(
        &column(logits.clone().inner()),
        &reference.packed("discriminator.logits"),
        LOGITS,
        "discriminator",
    );
    let targets = burn::tensor::TensorData::new(replaced.clone(), [replaced.len()]);
    let targets = burn::Tensor::<1>::from_data(targets, &logits.device());
    // softplus(x) - x y, well enough for logits of this size.
    let discriminator = ((logits.clone().exp() + 1.0).log() - logits * targets).mean();
    let found = discriminator.clone().inner().into_scalar::<f32>();
    assert!((found - reference.floats("discriminator.loss")[0]).abs() < 1e-5);

    let gradients = pass.gradients(generator + discriminator * 50.0);
    for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
        let name = &parameter.spec.name;
        let found = gradient.as_ref().unwrap_or_else(|| panic!("{name}: none")).to_vec();
        assert_close(&found, &reference.floats(&format!("gradient.{name}")), GRADIENT, name);
    }
}

#[test]
fn the_folder_that_is_left_is_the_discriminator() {
    let saved = tempfile::tempdir().expect("temporary folder");
    model().without_generator().save(saved.path()).expect("saves");
    let bytes = |folder: &std::path::Path| {
        let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
        let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("weights");
        let views = tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec()));
        views.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert!(bytes(saved.path()) == bytes(&goldens("electra").join("discriminator")));
    let text = std::fs::read_to_string(saved.path().join("config.json")).expect("config");
    assert!(text.contains("ElectraForPreTraining"), "{text}");
    let (again, report) =
        Model::load(saved.path(), HeadKind::ReplacedTokens { generator: None }, 0).expect("loads");
    assert_eq!(report.initialised, Vec::<String>::new());
    assert_eq!(again.parameters.list.len(), report.loaded.len());
}

#[test]
fn a_family_without_such_a_head_is_told() {
    let base = goldens("families").join("albert").join("base");
    let error = Model::load(&base, WITH_GENERATOR, 0).expect_err("no discriminator").to_string();
    assert!(error.contains("finding replaced tokens"), "{error}");
}
