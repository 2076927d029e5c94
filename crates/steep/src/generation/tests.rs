//! `goldens/generation.py` made the texts, with transformers' `generate`.

use super::*;
use crate::progress::{Cancel, Silent};
use serde_json::Value as Json;
use steep_encoder::{HeadKind, Value};

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name)
}

fn reference() -> Json {
    let text = std::fs::read_to_string(golden("generation/reference.json")).expect("reference");
    serde_json::from_str(&text).expect("JSON")
}

fn ids(texts: &Json) -> Vec<Vec<u32>> {
    serde_json::from_value(texts.clone()).expect("lists of ids")
}

/// The model of a family, with what the script adds to the score of the token that ends a text.
fn model(family: &str, eos_bias: f32) -> Model {
    let folder = golden("families").join(family).join("seq2seq");
    let (mut model, _) = Model::load(&folder, HeadKind::Seq2Seq, 0).expect("loads");
    let bias = model.parameters.list.iter_mut().find(|parameter| parameter.spec.name == "final_logits_bias");
    let bias = bias.expect("the bias");
    let mut values = bias.value.to_vec();
    values[2] += eos_bias;
    bias.set_value(Value::new(values, &bias.spec.shape));
    model
}

/// transformers' keyword arguments, BART's configuration behind them.
fn settings(asked: &Json) -> GenerationSettings {
    let whole = |name: &str, default: usize| asked[name].as_u64().map_or(default, |value| value as usize);
    let token = |name: &str, default: Option<u32>| match asked.get(name) {
        None => default,
        Some(id) => id.as_u64().map(|id| id as u32),
    };
    GenerationSettings {
        num_beams: whole("num_beams", 1),
        max_new_tokens: whole("max_new_tokens", 20),
        min_new_tokens: whole("min_new_tokens", 0),
        length_penalty: asked["length_penalty"].as_f64().unwrap_or(1.0),
        no_repeat_ngram_size: whole("no_repeat_ngram_size", 0),
        early_stopping: match &asked["early_stopping"] {
            Json::Bool(true) => EarlyStopping::Always,
            Json::String(_) => EarlyStopping::Never,
            _ => EarlyStopping::Heuristic,
        },
        tokens: SpecialIds {
            decoder_start: 2,
            eos: Some(2),
            forced_bos: token("forced_bos_token_id", None),
            forced_eos: token("forced_eos_token_id", Some(2)),
        },
    }
}

fn written(model: &Model, rows: &[Vec<u32>], settings: &GenerationSettings) -> Vec<Vec<u32>> {
    let ctx = Context { progress: &Silent, cancel: &Cancel::default() };
    let source = PackedBatch::new(rows.iter().map(Vec::as_slice));
    generate(model, &Pass::evaluate(&model.parameters), &source, settings, &ctx).expect("writes")
}

#[test]
fn texts_equal_those_of_transformers_token_by_token() {
    let reference = reference();
    let eos_bias = reference["eos_bias"].as_f64().expect("a number") as f32;
    let cases = reference["cases"].as_array().expect("cases");
    let (mut rows, mut loaded) = (Vec::new(), None);
    assert!(cases.len() > 20);
    for case in cases {
        let family = case["family"].as_str().expect("a family");
        if !case["rows"].is_null() {
            rows = ids(&case["rows"]);
            loaded = Some(model(family, eos_bias));
        }
        let model = loaded.as_ref().expect("the first case of a family has its rows");
        let mut expected = ids(&case["texts"]);
        for text in &mut expected {
            text.pop_if(|last| *last == 2);
        }
        let settings = settings(&case["settings"]);
        assert_eq!(written(model, &rows, &settings), expected, "{family} {}", case["settings"]);
    }
}

#[test]
fn a_text_is_written_the_same_alone_and_beside_others() {
    let reference = reference();
    let rows = ids(&reference["cases"][0]["rows"]);
    let model = model("bart", 1.5);
    for asked in
        [serde_json::json!({"num_beams": 1}), serde_json::json!({"num_beams": 3, "length_penalty": 0.5})]
    {
        let settings = settings(&asked);
        let alone: Vec<Vec<u32>> =
            rows.iter().flat_map(|row| written(&model, std::slice::from_ref(row), &settings)).collect();
        assert_eq!(written(&model, &rows, &settings), alone, "{asked}");
    }
}

#[test]
fn no_run_is_written_twice_and_forced_tokens_stand_where_they_should() {
    let asked = serde_json::json!({"no_repeat_ngram_size": 3, "forced_bos_token_id": 4});
    let settings = settings(&asked);
    let mut scores = vec![0.0; 8];
    // 2 begins the text: 5 6 would be the third of 2 5 6 …
    settings.rule(&[5, 6, 7, 5, 6], &mut scores);
    assert_eq!(scores[7], f32::NEG_INFINITY);
    assert_eq!(scores.iter().filter(|score| score.is_finite()).count(), 7);
    settings.rule(&[], &mut scores);
    assert_eq!((scores[4], scores[5]), (0.0, f32::NEG_INFINITY));
    settings.rule(&[9; 19], &mut scores[..]);
    assert_eq!((scores[2], scores[4]), (0.0, f32::NEG_INFINITY));
}

#[test]
fn a_folder_says_how_it_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = serde_json::json!({"num_beams": 4, "eos_token_id": [2, 7], "decoder_start_token_id": 2});
    let config = config.as_object().expect("an object");
    let generation = serde_json::json!({"num_beams": 3, "early_stopping": true, "length_penalty": null});
    std::fs::write(folder.path().join(GenerationDefaults::FILE), generation.to_string()).expect("writes");
    let defaults = GenerationDefaults::load(folder.path(), config).expect("loads");
    assert_eq!(defaults.whole("num_beams").expect("a number"), Some(3));
    assert_eq!(defaults.number("length_penalty").expect("nothing"), None);
    assert_eq!(defaults.early_stopping().expect("a flag"), Some(EarlyStopping::Always));
    let tokens = defaults.tokens(10).expect("ids");
    assert_eq!((tokens.decoder_start, tokens.eos, tokens.forced_bos), (2, Some(2), None));
    let error = defaults.tokens(2).expect_err("an id beyond the vocabulary").to_string();
    assert!(error.contains("token 2"), "{error}");
    assert!(defaults.number("early_stopping").is_err());
}
