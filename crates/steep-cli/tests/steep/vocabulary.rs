//! `steep vocab`, from the command line.

use crate::workplace::Workplace;

/// Texts with a word that the tiny tokenizer does not know.
fn place() -> Workplace {
    let place = Workplace::new();
    place.write("texts.txt", &"hot kombucha in a cup\nkombucha is sweet\ngreen tea\n".repeat(6));
    place.write("old.txt", "green tea is good\nhot water and a cup of tea\n");
    place
}

fn file(place: &Workplace, name: &str) -> Vec<u8> {
    std::fs::read(place.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn words_are_reported_added_and_taken_out_again() {
    let place = place();
    let report = place.succeed(&["vocab", "report", "--model", "model", "--input", "texts.txt"]);
    assert!(report.contains("tokens per text") && report.contains("general text"), "{report}");
    let flags = ["vocab", "report", "--model", "model", "--input", "texts.txt", "--format", "json"];
    let facts: serde_json::Value = serde_json::from_str(&place.succeed(&flags)).expect("JSON");
    assert!(facts["texts"]["unknown_words"].as_f64() > Some(0.1), "{facts}");

    let extend = ["vocab", "extend", "--model", "model", "--input", "texts.txt", "--output", "extended"];
    let text = place.succeed(&extend);
    assert!(text.contains("1 tokens added") && text.contains("kombucha"), "{text}");
    let inspected = place.succeed(&["inspect", "extended"]);
    assert!(inspected.contains("49 tokens"), "{inspected}");

    place.succeed(&["vocab", "undo", "--model", "extended", "--output", "original"]);
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        assert_eq!(
            file(&place, &format!("original/{name}")),
            file(&place, &format!("model/{name}")),
            "{name}"
        );
    }
    assert!(!place.path("original/tokenizer.json").exists(), "a file that was not there before");
}

#[test]
fn texts_without_a_new_word_keep_their_vectors_and_the_model_can_be_adapted() {
    let place = place();
    place.succeed(&["vocab", "extend", "--model", "model", "--input", "texts.txt", "--output", "extended"]);
    for model in ["model", "extended"] {
        let output = format!("{model}.npy");
        place.succeed(&["extract", "--model", model, "--input", "old.txt", "--output", &output]);
    }
    assert_eq!(file(&place, "model.npy"), file(&place, "extended.npy"));
    let adapt = ["adapt", "--model", "extended", "--train_file", "texts.txt", "--output_dir", "adapted"];
    place.succeed(&[&adapt[..], &["--max_steps", "2"]].concat());
    assert!(place.succeed(&["inspect", "adapted"]).contains("49 tokens"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let place = place();
    let extend = ["vocab", "extend", "--model", "model", "--input", "old.txt", "--output", "extended"];
    let (code, _, errors) = place.run(&extend);
    assert!(code == Some(1) && errors.contains("no token to add") && errors.contains("hint:"), "{errors}");
    let (code, _, errors) = place.run(&["vocab", "undo", "--model", "model", "--output", "original"]);
    assert!(code == Some(1) && errors.contains("was not extended"), "{errors}");
    assert!(!place.path("extended").exists() && !place.path("original").exists());
}

#[test]
fn new_rows_learn_alone_first_and_an_encoder_decoder_has_them_too() {
    for golden in ["encoders/bert/base", "families/bart/base", "families/gpt2/base"] {
        let place = Workplace::with_model(golden);
        place.write("texts.txt", &"hot kombucha in a cup\nkombucha is sweet\ngreen tea\n".repeat(6));
        let extend = ["vocab", "extend", "--model", "model", "--input", "texts.txt", "--output", "extended"];
        place.succeed(&extend);
        let adapt = ["adapt", "--train_file", "texts.txt", "--output_dir", "adapted", "--max_steps", "3"];
        let warmup = ["--vocabulary_warmup_steps", "2"];
        place.succeed(&[&adapt[..], &["--model", "extended"], &warmup].concat());
        let resolved = std::fs::read_to_string(place.path("adapted/resolved.toml")).expect("the request");
        assert!(resolved.contains("vocabulary_warmup_steps = 2"), "{golden}\n{resolved}");
        let (code, _, errors) = place.run(&[&adapt[..], &["--model", "model"], &warmup].concat());
        assert!(code == Some(1) && errors.contains("this model has none"), "{golden}\n{errors}");
    }
}
