//! The families that are no BERT with other names against transformers: `goldens/families.py` made the numbers.
//!
//! Tolerances are those of `goldens.rs`.

mod reference;

use burn::Tensor;
use proptest::prelude::*;
use reference::{Reference, assert_close, goldens, largest_difference, values};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Error, Gradients, HeadKind, Model, PackedBatch, Parameter, Pass, Value, ops};

const FAMILIES: [&str; 9] =
    ["modernbert", "gpt2", "qwen3", "llama", "albert", "bart", "mbart", "t5", "deberta-v2"];
const HIDDEN: f32 = 1e-5;
const LOGITS: f32 = 3e-5;
const GRADIENT: f32 = 2e-5;
/// T5's scores are not scaled: PyTorch's own float32 gradients lie up to 2.2e-5 from its float64 ones.
const GRADIENT_T5: f32 = 6e-5;

fn folder(family: &str) -> PathBuf {
    goldens("families").join(family)
}

fn tasks(reference: &Reference) -> Vec<String> {
    let tasks = reference.settings["tasks"].as_array().expect("a list of tasks");
    tasks.iter().map(|task| task.as_str().expect("a task is a string").to_owned()).collect()
}

fn head_kind(task: &str) -> HeadKind {
    match task {
        "base" => HeadKind::None,
        "mlm" => HeadKind::MaskedLm,
        "clm" => HeadKind::CausalLm,
        "seq2seq" => HeadKind::Seq2Seq,
        "classification" => HeadKind::SequenceClassification { num_labels: 3 },
        other => panic!("task {other}"),
    }
}

fn load(family: &str, task: &str) -> Model {
    let (model, report) = Model::load(&folder(family).join(task), head_kind(task), 0).expect("loads");
    assert_eq!(report.initialised, Vec::<String>::new(), "{family}/{task} is complete");
    assert_eq!(report.unexpected, Vec::<String>::new(), "{family}/{task} is fully used");
    model
}

#[test]
fn hidden_states_and_pooled_output_equal_transformers() {
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        let model = load(family, "base");
        let (pass, batch) = (Pass::evaluate(&model.parameters), reference.batch());
        let states = model.hidden_states(&pass, &batch);
        assert!(!reference.has(&format!("base.hidden_states.{}", states.len())), "{family}: all states");
        for (index, state) in states.iter().enumerate() {
            let expected = reference.packed(&format!("base.hidden_states.{index}"));
            assert_close(
                &values(state.clone()),
                &expected,
                HIDDEN,
                &format!("{family} hidden state {index}"),
            );
        }
        let last = model.last_hidden_state(&pass, &batch);
        assert_close(&values(last.clone()), &reference.packed("base.last_hidden_state"), HIDDEN, family);
        let pooled = model.pooler_output(&pass, &batch, last);
        assert_eq!(pooled.is_some(), reference.has("base.pooler_output"), "{family} has a pooler");
        if let Some(pooled) = pooled {
            assert_close(&values(pooled), &reference.floats("base.pooler_output"), HIDDEN, family);
        }
    }
}

#[test]
fn a_folder_with_a_head_has_the_same_features() {
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        for task in tasks(&reference) {
            let (model, report) = Model::load(&folder(family).join(&task), HeadKind::None, 0).expect("loads");
            assert_eq!(report.initialised, Vec::<String>::new(), "{family}/{task} is complete");
            let last = model.last_hidden_state(&Pass::evaluate(&model.parameters), &reference.batch());
            assert_close(&values(last), &reference.packed("base.last_hidden_state"), HIDDEN, family);
        }
    }
}

/// Losses of a task, summed in two ways that must agree, and the count that makes them a mean.
fn summed_loss(task: &str, model: &Model, pass: &Pass, reference: &Reference) -> (Tensor<1>, f32) {
    let batch = reference.batch();
    if task == "seq2seq" {
        let target = reference.written();
        let count = target.num_tokens() as f32;
        return (model.seq2seq_losses(pass, &batch, &target, 0.0).sum(), count);
    }
    let hidden = model.last_hidden_state(pass, &batch);
    if task == "classification" {
        let labels: Arc<[u32]> = reference.integers("class_labels").iter().map(|&id| id as u32).collect();
        let logits = model.classification_logits(pass, hidden, &batch);
        return (ops::cross_entropy(logits, labels.clone(), 0.0).sum(), labels.len() as f32);
    }
    let (rows, labels) = if task == "mlm" { reference.masked() } else { batch.next_tokens() };
    let logits = model.masked_lm_logits(pass, hidden.clone(), rows.clone());
    let apart = ops::cross_entropy(logits, labels.clone(), 0.0).sum();
    let at_once = model.masked_lm_losses(pass, hidden, rows, labels.clone()).sum();
    let count = labels.len() as f32;
    let difference = (apart - at_once.clone()).inner().into_scalar::<f32>().abs();
    assert!(difference < 1e-5 * count, "{task}: both ways of computing the loss differ by {difference}");
    (at_once, count)
}

#[test]
fn logits_of_every_head_equal_transformers() {
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        let batch = reference.batch();
        for task in tasks(&reference) {
            let model = load(family, &task);
            let pass = Pass::evaluate(&model.parameters);
            let hidden = model.last_hidden_state(&pass, &batch);
            let what = format!("{family} {task}");
            if task == "seq2seq" {
                let target = reference.written();
                let logits = values(model.seq2seq_logits(&pass, &batch, &target));
                assert_close(&logits, &reference.packed_like("seq2seq.logits", &target), LOGITS, &what);
            } else if task == "classification" {
                let logits = values(model.classification_logits(&pass, hidden, &batch));
                assert_close(&logits, &reference.floats("classification.logits"), LOGITS, &what);
                assert_eq!(model.config.labels, ["red", "green", "blue"]);
            } else {
                let all: Arc<[u32]> = (0..batch.num_tokens() as u32).collect();
                let logits = values(model.masked_lm_logits(&pass, hidden, all));
                assert_close(&logits, &reference.packed(&format!("{task}.logits")), LOGITS, &what);
            }
        }
    }
}

/// The parameters that a gradient can reach, with theirs.
fn used<'a>(
    model: &'a Model,
    gradients: &'a Gradients,
) -> impl Iterator<Item = (&'a Parameter, &'a Option<Value>)> {
    let pairs = model.parameters.list.iter().zip(&gradients.list);
    pairs.filter(|(parameter, _)| parameter.spec.used)
}

#[test]
fn loss_and_every_gradient_equal_pytorch() {
    let mut worst = 0.0f32;
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        for task in tasks(&reference) {
            let model = load(family, &task);
            let pass = Pass::train_without_dropout(&model.parameters);
            let (loss, count) = summed_loss(&task, &model, &pass, &reference);
            let mean = loss.clone().inner().into_scalar::<f32>() / count;
            let expected = reference.floats(&format!("{task}.loss"))[0];
            assert!((mean - expected).abs() < 1e-5, "{family} {task}: {mean} against {expected}");
            let gradients = pass.gradients(loss);
            for (parameter, gradient) in used(&model, &gradients) {
                let name = &parameter.spec.name;
                let gradient = gradient.as_ref().unwrap_or_else(|| panic!("{family} {task} {name}: none"));
                let found: Vec<f32> = gradient.to_vec().iter().map(|value| value / count).collect();
                let expected = reference.floats(&format!("{task}.gradient.{name}"));
                worst = worst.max(largest_difference(&found, &expected));
                let tolerance = if family == "t5" { GRADIENT_T5 } else { GRADIENT };
                assert_close(&found, &expected, tolerance, &format!("{family} {task} {name}"));
            }
        }
    }
    // Measured 2.7e-5 for T5 and 7e-6 for the others, with AVX-512.
    assert!(worst > 0.0, "two different computations differ in rounding");
}

/// Names, shapes and bytes of a folder's tensors.
fn stored(folder: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("weights");
    let views = tensors.iter();
    views.map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec()))).collect()
}

#[test]
fn what_is_saved_holds_the_same_tensors_under_the_same_names() {
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        for task in tasks(&reference).into_iter().chain(["base".to_owned()]) {
            let saved = tempfile::tempdir().expect("temporary folder");
            load(family, &task).save(saved.path()).expect("saves");
            let original = folder(family).join(&task);
            assert!(stored(saved.path()) == stored(&original), "{family}/{task}: same tensors");
            let class = |folder: &Path| {
                let text = std::fs::read_to_string(folder.join("config.json")).expect("config");
                let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                config["architectures"][0].as_str().expect("a class").to_owned()
            };
            assert_eq!(class(saved.path()), class(&original), "{family}/{task}");
        }
    }
}

#[test]
fn weight_decay_spares_what_transformers_spares() {
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        for task in tasks(&reference) {
            let spared =
                reference.settings["without_weight_decay"][&task].as_array().expect("a list").clone();
            for parameter in load(family, &task).parameters.list {
                if !parameter.spec.used {
                    continue;
                }
                let name = parameter.spec.name;
                let is_spared = spared.iter().any(|spared| *spared == *name);
                assert_eq!(parameter.spec.decays, !is_spared, "{family} {task} {name}");
            }
        }
    }
}

#[test]
fn every_trainable_parameter_learns_under_dropout_and_the_seed_repeats() {
    for family in FAMILIES {
        let reference = Reference::load(&folder(family));
        for task in tasks(&reference) {
            let model = load(family, &task);
            let gradients = |seed| {
                let pass = Pass::train(&model.parameters, seed);
                let (loss, _) = summed_loss_at_once(&task, &model, &pass, &reference);
                pass.gradients(loss)
            };
            let (first, again, other) = (gradients(1), gradients(1), gradients(2));
            for (index, parameter) in model.parameters.list.iter().enumerate() {
                if !parameter.spec.used {
                    continue;
                }
                let name = &parameter.spec.name;
                let of = |all: &Gradients| all.list[index].as_ref().map(Value::to_vec);
                assert!(of(&first).is_some(), "{family} {task} {name} has a gradient");
                assert_eq!(of(&first), of(&again), "{family} {task} {name}: same seed, same gradient");
                assert_ne!(of(&first), of(&other), "{family} {task} {name}: other seed, other gradient");
            }
        }
    }
}

/// As [`summed_loss`], one way only: each draws its own dropout.
fn summed_loss_at_once(task: &str, model: &Model, pass: &Pass, reference: &Reference) -> (Tensor<1>, f32) {
    let batch = reference.batch();
    if task == "seq2seq" {
        return (model.seq2seq_losses(pass, &batch, &reference.written(), 0.1).sum(), 1.0);
    }
    let hidden = model.last_hidden_state(pass, &batch);
    if task == "classification" {
        let labels: Arc<[u32]> = reference.integers("class_labels").iter().map(|&id| id as u32).collect();
        let logits = model.classification_logits(pass, hidden, &batch);
        return (ops::cross_entropy(logits, labels, 0.0).sum(), 1.0);
    }
    let (rows, labels) = if task == "mlm" { reference.masked() } else { batch.next_tokens() };
    (model.masked_lm_losses(pass, hidden, rows, labels).sum(), 1.0)
}

#[test]
fn a_text_is_written_again_from_its_vector_and_every_parameter_learns() {
    for family in FAMILIES {
        let batch = Reference::load(&folder(family)).batch();
        let (model, report) =
            Model::load(&folder(family).join("base"), HeadKind::Autoencoder, 3).expect("loads");
        assert!(report.initialised.iter().all(|name| name.starts_with("autoencoder.")), "{family}");
        let pass = Pass::train(&model.parameters, 1);
        let hidden = model.last_hidden_state(&pass, &batch);
        let vectors = pool_states(&hidden, &batch, &[PoolingMode::Mean]);
        let losses = model.autoencoder_losses(&pass, vectors, &batch);
        assert_eq!(losses.dims(), [batch.num_tokens() - batch.len()]);
        let gradients = pass.gradients(losses.sum());
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            let name = &parameter.spec.name;
            assert_eq!(gradient.is_some(), parameter.spec.used, "{family} {name}");
            // Softmax cancels the biases of keys, so that rounding alone is left of their gradients.
            let moves = gradient.as_ref().is_none_or(|g| g.to_vec().iter().any(|value| *value != 0.0));
            assert!(moves, "{family} {name} learns");
        }
        let saved = tempfile::tempdir().expect("temporary folder");
        model.without_head().save(saved.path()).expect("saves");
        assert!(stored(saved.path()) == stored(&folder(family).join("base")), "{family}: the encoder alone");
    }
}

fn sequences() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(5u32..48, 1..=20), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_gives_the_same_bits_alone_and_in_any_batch(texts in sequences()) {
        for family in FAMILIES {
            let model = load(family, "classification");
            let run = |texts: &[Vec<u32>]| {
                let batch = PackedBatch::new(texts.iter().map(Vec::as_slice));
                let pass = Pass::evaluate(&model.parameters);
                let hidden = model.last_hidden_state(&pass, &batch);
                let logits = model.classification_logits(&pass, hidden.clone(), &batch);
                (values(hidden), values(logits))
            };
            let mut alone = (Vec::new(), Vec::new());
            for text in &texts {
                let (hidden, logits) = run(std::slice::from_ref(text));
                alone.0.extend(hidden);
                alone.1.extend(logits);
            }
            prop_assert_eq!(run(&texts), alone, "{}", family);
        }
    }
}

/// Loads a copy of a family's bare model with one field of its config changed.
fn with_field(family: &str, field: &str, value: serde_json::Value) -> Result<(), Error> {
    let copy = tempfile::tempdir().expect("temporary folder");
    let original = folder(family).join("base");
    std::fs::copy(original.join("model.safetensors"), copy.path().join("model.safetensors")).expect("copies");
    let text = std::fs::read_to_string(original.join("config.json")).expect("config");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config[field] = value;
    std::fs::write(copy.path().join("config.json"), config.to_string()).expect("writes");
    Model::load(copy.path(), HeadKind::None, 0).map(|_| ())
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let scaled = serde_json::json!({
        "full_attention": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}
    });
    let cases = [
        (
            "modernbert",
            "layer_types",
            serde_json::json!(["full_attention", "chunked_attention", "full_attention"]),
        ),
        ("modernbert", "classifier_pooling", serde_json::json!("last")),
        ("modernbert", "hidden_activation", serde_json::json!("laplace")),
        ("modernbert", "rope_parameters", scaled),
        ("gpt2", "scale_attn_by_inverse_layer_idx", serde_json::json!(true)),
        ("gpt2", "add_cross_attention", serde_json::json!(true)),
        ("qwen3", "use_sliding_window", serde_json::json!(true)),
        ("qwen3", "rope_parameters", serde_json::json!({"rope_type": "yarn", "rope_theta": 1e4})),
        ("qwen3", "num_key_value_heads", serde_json::json!(3)),
        ("albert", "inner_group_num", serde_json::json!(2)),
        ("bart", "tie_word_embeddings", serde_json::json!(false)),
        ("bart", "decoder_attention_heads", serde_json::json!(3)),
        ("mbart", "tie_word_embeddings", serde_json::json!(false)),
        ("llama", "rope_parameters", serde_json::json!({"rope_type": "llama3", "rope_theta": 1e4})),
        ("t5", "feed_forward_proj", serde_json::json!("gated-tanh")),
        ("deberta-v2", "relative_attention", serde_json::json!(false)),
        ("deberta-v2", "pos_att_type", serde_json::json!("p2p")),
        ("deberta-v2", "conv_kernel_size", serde_json::json!(3)),
        ("deberta-v2", "norm_rel_ebd", serde_json::json!("batch_norm")),
    ];
    for (family, field, value) in cases {
        let error = with_field(family, field, value).expect_err(field).to_string();
        let named = if field == "rope_parameters" { "rope_type" } else { field };
        assert!(error.contains(named), "{family}: {error}");
    }
}

#[test]
fn a_head_that_the_family_lacks_is_refused() {
    let base = folder("modernbert").join("base");
    let error = Model::load(&base, HeadKind::CausalLm, 0).expect_err("a masked-LM family").to_string();
    assert!(error.contains("'modernbert' has no head for causal language modelling"), "{error}");
}
