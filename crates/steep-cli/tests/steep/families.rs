//! Every family of models goes the same road through the commands.

use crate::workplace::Workplace;

const MASKED: [&str; 3] = ["modernbert", "albert", "deberta-v2"];
const DECODERS: [&str; 3] = ["gpt2", "qwen3", "llama"];
const WRITERS: [&str; 2] = ["bart", "mbart"];

/// Families with the golden folder that has all weights that fine-tuning needs.
fn all() -> impl Iterator<Item = &'static str> {
    MASKED.into_iter().chain(DECODERS).chain(WRITERS).chain(["t5"])
}

fn place(family: &str) -> Workplace {
    Workplace::with_model(&format!("families/{family}/base"))
}

#[test]
fn every_family_is_inspected_and_turns_texts_into_vectors() {
    for family in all() {
        let place = place(family);
        place.write_texts("texts.txt", 20);
        let text = place.succeed(&["inspect", "model"]);
        assert!(text.contains(&format!("model_type   {family}")), "{text}");
        let pooling = if DECODERS.contains(&family) { "lasttoken" } else { "mean" };
        assert!(text.contains(&format!("pooling      {pooling}")), "{family}\n{text}");
        let text =
            place.succeed(&["extract", "--model", "model", "--input", "texts.txt", "--output", "f.npy"]);
        assert!(text.contains("extracted 20 rows") && text.contains("16 dimensions"), "{family}\n{text}");
    }
}

#[test]
fn every_family_is_fine_tuned_and_labels_texts() {
    for family in all().filter(|family| *family != "t5") {
        let place = place(family);
        place.write_labelled("rows.csv", 24);
        let folders = ["--model", "model", "--train_file", "rows.csv", "--output_dir", "tuned"];
        place.succeed(&[&["finetune"][..], &folders, &["--epochs", "1"]].concat());
        let text =
            place.succeed(&["predict", "--model", "tuned", "--input", "rows.csv", "--output", "p.csv"]);
        assert!(text.contains("predicted 24 rows"), "{family}\n{text}");
        place.succeed(&["inspect", "tuned"]);
    }
}

#[test]
fn a_t5_encoder_without_decoder_is_no_classifier() {
    let place = place("t5");
    place.write_labelled("rows.csv", 24);
    let (code, _, errors) =
        place.run(&["finetune", "--model", "model", "--train_file", "rows.csv", "--output_dir", "tuned"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("transformer.decoder."), "{errors}");
}

/// Runs `adapt` on a family's bare model with some more arguments.
fn adapt(family: &str, more: &[&str]) -> ((Option<i32>, String, String), Workplace) {
    let place = place(family);
    place.write_texts("texts.txt", 40);
    let folders = ["--model", "model", "--train_file", "texts.txt", "--output_dir", "out"];
    (place.run(&[&["adapt"][..], &folders, &["--epochs", "1"], more].concat()), place)
}

#[test]
fn every_family_is_adapted_by_what_it_was_pretrained_with() {
    for family in MASKED.into_iter().chain(DECODERS).chain(WRITERS) {
        let ((code, output, errors), place) = adapt(family, &[]);
        assert_eq!(code, Some(0), "{family}\n{output}\n{errors}");
        assert!(output.contains("adapted to 38 texts"), "{family}\n{output}");
        assert!(output.contains("perplexity"), "{family}\n{output}");
        let resolved = std::fs::read_to_string(place.path("out/resolved.toml")).expect("the request");
        let objective = match family {
            _ if DECODERS.contains(&family) => "clm",
            _ if WRITERS.contains(&family) => "denoising",
            _ => "mlm",
        };
        assert!(resolved.contains(&format!("objective = \"{objective}\"")), "{family}\n{resolved}");
        place.succeed(&["inspect", "out"]);
    }
    let ((code, _, errors), _) = adapt("t5", &[]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("objective: is needed") && errors.contains("--objective tsdae"), "{errors}");
}

#[test]
fn the_objectives_of_vectors_are_for_every_family_and_leave_an_encoder() {
    for (family, objective) in [
        ("bart", "tsdae"),
        ("t5", "tsdae"),
        ("gpt2", "simcse"),
        ("albert", "simcse"),
        ("bart", "contrastive_tension"),
        ("qwen3", "contrastive_tension"),
        ("deberta-v2", "tsdae"),
    ] {
        let ((code, output, errors), place) = adapt(family, &["--objective", objective]);
        assert_eq!(code, Some(0), "{family} {objective}\n{output}\n{errors}");
        assert!(output.contains("held-out loss"), "{family}\n{output}");
        let text = place.succeed(&["extract", "--model", "out", "--input", "texts.txt", "--output", "f.npy"]);
        assert!(text.contains("extracted 40 rows"), "{family}\n{text}");
    }
}

#[test]
fn whole_words_are_masked_and_an_objective_of_another_family_is_refused() {
    let ((code, output, errors), _) = adapt("albert", &["--whole_word_mask", "true"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let ((code, output, errors), _) =
        adapt("albert", &["--masking", "span", "--mlm_probability", "0.3", "--mlm_probability_end", "0.1"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let ((code, _, errors), _) = adapt("albert", &["--objective", "clm"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("has no head for causal language modelling"), "{errors}");
    let ((code, _, errors), _) = adapt("albert", &["--objective", "simsce"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("did you mean simcse"), "{errors}");
}

#[test]
fn replaced_tokens_are_found_with_a_generator_that_is_new_or_given() {
    for generator in [None, Some("electra/generator")] {
        let place = Workplace::with_model("electra/discriminator");
        place.write_texts("texts.txt", 40);
        let mut arguments = vec![
            "adapt",
            "--model",
            "model",
            "--train_file",
            "texts.txt",
            "--objective",
            "electra",
            "--output_dir",
            "out",
            "--epochs",
            "2",
        ];
        let folder = generator.map(|name| {
            let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name);
            golden.to_string_lossy().into_owned()
        });
        if let Some(folder) = &folder {
            arguments.extend(["--head_model_name_or_path", folder]);
        }
        let text = place.succeed(&arguments);
        assert_eq!(text.contains("began at random"), generator.is_none(), "{text}");
        assert!(text.contains("held-out loss"), "{text}");
        let config = std::fs::read_to_string(place.path("out/config.json")).expect("a configuration");
        assert!(config.contains("ElectraForPreTraining"), "{config}");
        let text = place.succeed(&["extract", "--model", "out", "--input", "texts.txt", "--output", "f.npy"]);
        assert!(text.contains("extracted 40 rows"), "{text}");
    }
    let place = Workplace::with_model("families/albert/base");
    place.write_texts("texts.txt", 20);
    let folders = ["--model", "model", "--train_file", "texts.txt", "--output_dir", "out"];
    let (code, _, errors) = place.run(&[&["adapt"][..], &folders, &["--objective", "electra"]].concat());
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("has no head for finding replaced tokens"), "{errors}");
}
