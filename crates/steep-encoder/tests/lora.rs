//! Low-rank adapters against PEFT: `goldens/tuning.py` made the numbers and the folders.

mod reference;

use burn::Tensor;
use reference::{Reference, assert_close, goldens, largest_difference, values};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use steep_encoder::{
    Adapter, Config, Gradients, HeadKind, LoraSettings, Model, Parameter, Pass, Value, default_targets, ops,
};

const FAMILIES: [&str; 7] = ["bert", "roberta", "mpnet", "gpt2", "albert", "deberta-v2", "modernbert"];
const CLASSIFICATION: HeadKind = HeadKind::SequenceClassification { num_labels: 3 };
/// As in `goldens.rs`.
const LOGITS: f32 = 3e-5;
const GRADIENT: f32 = 2e-5;

fn settings() -> serde_json::Value {
    let text = std::fs::read_to_string(goldens("tuning").join("reference.json")).expect("settings");
    serde_json::from_str(&text).expect("settings are JSON")
}

fn folder(family: &str) -> String {
    settings()["families"][family]["folder"].as_str().expect("a folder").to_owned()
}

fn adapter(family: &str) -> Adapter {
    Adapter::load(&goldens("tuning").join(family)).expect("PEFT's folder")
}

fn adapted(family: &str) -> Model {
    let classification = goldens(&folder(family)).join("classification");
    let (mut model, _) = Model::load(&classification, CLASSIFICATION, 0).expect("loads");
    model.attach_adapter(&adapter(family)).expect("fits");
    model
}

/// Texts and labels of a family.
fn texts(family: &str) -> Reference {
    Reference::load(&goldens(&folder(family)))
}

struct Numbers(Vec<u8>);

impl Numbers {
    fn of(family: &str) -> Self {
        Self(std::fs::read(goldens("tuning").join(family).join("reference.safetensors")).expect("numbers"))
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.0).expect("numbers");
        let view = tensors.tensor(name).ok()?;
        Some(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

fn logits(model: &Model, pass: &Pass, texts: &Reference) -> Tensor<2> {
    let batch = texts.batch();
    model.classification_logits(pass, model.last_hidden_state(pass, &batch), &batch)
}

fn summed_loss(model: &Model, pass: &Pass, texts: &Reference) -> (Tensor<1>, f32) {
    let labels: Arc<[u32]> = texts.integers("class_labels").iter().map(|&id| id as u32).collect();
    let count = labels.len() as f32;
    (ops::cross_entropy(logits(model, pass, texts), labels, 0.0).sum(), count)
}

#[test]
fn logits_loss_and_every_gradient_equal_peft() {
    let mut worst = 0.0f32;
    for family in FAMILIES {
        let (model, texts, numbers) = (adapted(family), texts(family), Numbers::of(family));
        let found = values(logits(&model, &Pass::evaluate(&model.parameters), &texts));
        assert_close(&found, &numbers.floats("logits").expect("logits"), LOGITS, family);
        let pass = Pass::train_without_dropout(&model.parameters);
        let (loss, count) = summed_loss(&model, &pass, &texts);
        let mean = loss.clone().inner().into_scalar::<f32>() / count;
        let expected = numbers.floats("loss").expect("a loss")[0];
        assert!((mean - expected).abs() < 1e-5, "{family}: {mean} against {expected}");
        let gradients = pass.gradients(loss);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            let name = &parameter.spec.name;
            assert_eq!(gradient.is_some(), parameter.trainable, "{family} {name}");
            let expected = numbers.floats(&format!("gradient.{name}"));
            assert_eq!(expected.is_some(), parameter.trainable, "{family} {name} learns as with PEFT");
            if let (Some(gradient), Some(expected)) = (gradient, expected) {
                let found: Vec<f32> = gradient.to_vec().iter().map(|value| value / count).collect();
                worst = worst.max(largest_difference(&found, &expected));
                assert_close(&found, &expected, GRADIENT, &format!("{family} {name}"));
            }
        }
    }
    assert!(worst > 0.0, "two different computations differ in rounding");
}

#[test]
fn merged_weights_equal_peft_and_give_the_same_bits() {
    for family in FAMILIES {
        let (mut model, texts, numbers) = (adapted(family), texts(family), Numbers::of(family));
        let before = values(logits(&model, &Pass::evaluate(&model.parameters), &texts));
        model.merge_lora();
        assert!(model.lora().is_none());
        assert_eq!(values(logits(&model, &Pass::evaluate(&model.parameters), &texts)), before, "{family}");
        let mut merged = 0;
        for parameter in model.own_parameters() {
            if let Some(expected) = numbers.floats(&format!("merged.{}", parameter.spec.name)) {
                assert_close(&parameter.value.to_vec(), &expected, 1e-6, &parameter.spec.name);
                merged += 1;
            }
        }
        assert_eq!(Some(merged), settings()["families"][family]["modules"].as_u64(), "{family}");
        let saved = tempfile::tempdir().expect("a folder");
        model.save(saved.path()).expect("saves");
        let (again, report) = Model::load(saved.path(), CLASSIFICATION, 0).expect("loads");
        assert_eq!((report.initialised, report.unexpected), (Vec::new(), Vec::new()), "{family}");
        assert_eq!(values(logits(&again, &Pass::evaluate(&again.parameters), &texts)), before, "{family}");
    }
}

/// Names, shapes and bytes of an adapter's tensors.
fn stored(folder: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(folder.join("adapter_model.safetensors")).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("weights");
    let views = tensors.iter();
    views.map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec()))).collect()
}

#[test]
fn what_is_written_holds_pefts_tensors_under_pefts_names() {
    for family in FAMILIES {
        let saved = tempfile::tempdir().expect("a folder");
        adapted(family).save_adapter(saved.path(), "base").expect("saves");
        assert!(stored(saved.path()) == stored(&goldens("tuning").join(family)), "{family}: same tensors");
        let again = Adapter::load(saved.path()).expect("reads its own");
        assert_eq!((again.base_model(), again.head_kind()), (Some("base"), CLASSIFICATION));
    }
}

#[test]
fn targets_are_pefts_where_it_names_some() {
    let families = &settings()["families"];
    for family in ["bert", "gpt2", "deberta-v2"] {
        let expected: Vec<&str> = families[family]["targets"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|name| name.as_str())
            .collect();
        let (_, model_type) =
            steep_encoder::ModelType::ALL.into_iter().find(|(name, _)| *name == family).expect("known");
        assert_eq!(default_targets(model_type), expected, "{family}");
    }
}

fn lora(dropout: f64, targets: &[&str]) -> LoraSettings {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    LoraSettings { rank: 2, alpha: 4.0, dropout, targets }
}

#[test]
fn the_low_rank_matrices_and_the_head_learn_and_nothing_else() {
    for base in [
        "encoders/bert",
        "encoders/distilbert",
        "encoders/mpnet",
        "encoders/electra",
        "encoders/roberta",
        "families/albert",
        "families/bart",
        "families/t5",
        "families/qwen3",
        "families/modernbert",
    ] {
        let texts = Reference::load(&goldens(base));
        for targets in [&[][..], &["all-linear"]] {
            let (mut model, _) =
                Model::load(&goldens(base).join("classification"), CLASSIFICATION, 0).expect("loads");
            let untouched = values(logits(&model, &Pass::evaluate(&model.parameters), &texts));
            model.attach_lora(&lora(0.1, targets), 3).expect("attaches");
            let begun = values(logits(&model, &Pass::evaluate(&model.parameters), &texts));
            assert_eq!(begun, untouched, "{base}: B begins as zero");
            let pass = Pass::train(&model.parameters, 1);
            let (loss, _) = summed_loss(&model, &pass, &texts);
            let gradients = pass.gradients(loss);
            for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
                let spec = &parameter.spec;
                assert_eq!(gradient.is_some(), parameter.trainable, "{base} {}", spec.name);
                let learns = spec.optional || spec.name.contains(".lora_");
                assert_eq!(parameter.trainable, learns, "{base} {}", spec.name);
            }
        }
    }
}

/// A copy of a folder whose config switches dropout off.
fn without_dropout(base: &str) -> tempfile::TempDir {
    let (copy, original) = (tempfile::tempdir().expect("a folder"), goldens(base).join("classification"));
    std::fs::copy(original.join("model.safetensors"), copy.path().join("model.safetensors")).expect("copies");
    let text = std::fs::read_to_string(original.join("config.json")).expect("config");
    let mut config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    for (field, value) in &mut config {
        if field.contains("drop") && value.is_number() {
            *value = serde_json::json!(0.0);
        }
    }
    let config = serde_json::Value::Object(config);
    std::fs::write(copy.path().join("config.json"), config.to_string()).expect("writes");
    copy
}

#[test]
fn layers_by_steps_give_the_gradients_of_the_fused_ones() {
    for family in ["bert", "mpnet", "albert", "gpt2"] {
        let (copy, texts) = (without_dropout(&folder(family)), texts(family));
        let config = Config::load(copy.path()).expect("config");
        assert_eq!((config.hidden_dropout_prob, config.attention_probs_dropout_prob), (0.0, 0.0));
        let (mut model, _) = Model::load(copy.path(), CLASSIFICATION, 0).expect("loads");
        model.attach_adapter(&adapter(family)).expect("fits");
        let fused = gradients(&model, &texts);
        // So seldom that nothing is dropped, but the layers are computed by steps.
        let (mut steps, _) = Model::load(copy.path(), CLASSIFICATION, 0).expect("loads");
        let targets: Vec<String> = model.lora().expect("attached").targets.clone();
        let alike = LoraSettings { dropout: 1e-9, ..model.lora().expect("attached").clone() };
        steps.attach_lora(&LoraSettings { targets, ..alike }, 0).expect("attaches");
        for (to, from) in steps.parameters.list.iter_mut().zip(&model.parameters.list) {
            assert_eq!(to.spec.name, from.spec.name);
            to.set_value(from.value.clone());
        }
        let by_steps = gradients(&steps, &texts);
        for (index, parameter) in model.parameters.list.iter().enumerate() {
            let of = |all: &Gradients| all.list[index].as_ref().map(Value::to_vec);
            if let (Some(one), Some(other)) = (of(&fused), of(&by_steps)) {
                assert_close(&one, &other, 4.0 * GRADIENT, &format!("{family} {}", parameter.spec.name));
            }
        }
    }
}

fn gradients(model: &Model, texts: &Reference) -> Gradients {
    let pass = Pass::train(&model.parameters, 5);
    let (loss, _) = summed_loss(model, &pass, texts);
    pass.gradients(loss)
}

#[test]
fn dropout_acts_on_the_input_of_the_low_rank_matrices_alone() {
    let (copy, texts) = (without_dropout("encoders/bert"), texts("bert"));
    let loss = |dropout: f64, seed: u64, moved: bool| {
        let (mut model, _) = Model::load(copy.path(), CLASSIFICATION, 0).expect("loads");
        model.attach_lora(&lora(dropout, &["query", "value"]), 0).expect("attaches");
        let matrices = model.attached_parameters_mut().iter_mut().filter(|_| moved);
        matrices.for_each(|parameter: &mut Parameter| {
            let count = parameter.spec.shape.iter().product();
            parameter.set_value(Value::new(vec![0.3; count], &parameter.spec.shape));
        });
        summed_loss(&model, &Pass::train(&model.parameters, seed), &texts).0.inner().into_scalar::<f32>()
    };
    assert_eq!(loss(0.5, 1, false), loss(0.5, 2, false), "B is zero: nothing comes through");
    assert_ne!(loss(0.5, 1, true), loss(0.5, 2, true));
    assert_eq!(loss(0.5, 1, true), loss(0.5, 1, true));
    assert_eq!(loss(0.0, 1, true), loss(0.0, 2, true));
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    let (mut model, _) =
        Model::load(&goldens("encoders/bert/classification"), CLASSIFICATION, 0).expect("loads");
    let error = model.attach_lora(&lora(0.0, &["q_proj"]), 0).expect_err("BERT has none");
    assert!(error.to_string().contains("'q_proj'"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("query, value")), "{:?}", error.hint());
    let error = model.attach_adapter(&adapter("gpt2")).expect_err("another family");
    assert!(error.to_string().contains("c_attn"), "{error}");

    let copy = tempfile::tempdir().expect("a folder");
    let original = goldens("tuning/bert");
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(original.join(file), copy.path().join(file)).expect("copies");
    }
    for (field, value) in [
        ("peft_type", serde_json::json!("IA3")),
        ("use_dora", serde_json::json!(true)),
        ("bias", serde_json::json!("all")),
        ("rank_pattern", serde_json::json!({"query": 4})),
        ("r", serde_json::json!(0)),
    ] {
        let text = std::fs::read_to_string(original.join("adapter_config.json")).expect("config");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        config[field] = value;
        std::fs::write(copy.path().join("adapter_config.json"), config.to_string()).expect("writes");
        let error = Adapter::load(copy.path()).err().expect(field).to_string();
        assert!(error.contains(field), "{error}");
    }
}
