//! Parts of an encoder, low-rank matrices, vectors, and words beside the labels.

use crate::workplace::Workplace;
use std::fs;

const FILES: [&str; 6] = ["--model", "model", "--train_file", "rows.csv", "--output_dir", "tuned"];

fn place() -> Workplace {
    let place = Workplace::new();
    place.write_labelled("rows.csv", 40);
    place
}

fn finetune(place: &Workplace, more: &[&str]) -> (Option<i32>, String, String) {
    place.run(&[&["finetune"][..], &FILES, &["--epochs", "2"], more].concat())
}

fn predictions(place: &Workplace, model: &str) -> String {
    place.succeed(&["predict", "--model", model, "--input", "rows.csv", "--output", "p.csv"]);
    fs::read_to_string(place.path("p.csv")).expect("predictions")
}

#[test]
fn a_merged_adapter_is_the_model_that_training_left() {
    let place = place();
    let (code, output, errors) = finetune(&place, &["--lora_rank", "2", "--lora_targets", "all-linear"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let expected = predictions(&place, "tuned");
    let text = place.succeed(&["merge", "--adapter", "tuned/adapter", "--output_dir", "merged"]);
    assert!(text.contains("rank 2, alpha 2, 12 layers, and a head of 2 outputs"), "{text}");
    let weights = |folder: &str| fs::read(place.path(folder).join("model.safetensors")).expect("weights");
    assert!(weights("merged") == weights("tuned"), "the same bytes");
    let probabilities = |text: &str| -> Vec<String> {
        text.lines().skip(1).filter_map(|line| line.rsplit(',').next().map(str::to_owned)).collect()
    };
    assert_eq!(probabilities(&predictions(&place, "merged")), probabilities(&expected));
    let adapted = place.path("adapted");
    place.write_texts("texts.txt", 40);
    place.succeed(&[
        "adapt",
        "--model",
        "model",
        "--train_file",
        "texts.txt",
        "--output_dir",
        "adapted",
        "--epochs",
        "1",
        "--lora_rank",
        "2",
        "--freeze",
        "layers:0",
    ]);
    assert!(adapted.join("adapter/adapter_config.json").is_file());
    place.succeed(&["merge", "--adapter", "adapted/adapter", "--output_dir", "again"]);
}

#[test]
fn vectors_are_trained_and_a_classifier_on_them_labels_texts() {
    for objective in ["multiple_negatives_ranking", "triplet", "supervised_contrastive", "cosent"] {
        let place = place();
        let more = ["--objective", objective, "--matryoshka_dims", "16,8", "--test_fraction", "0.2"];
        let (code, output, errors) = finetune(&place, &more);
        assert_eq!(code, Some(0), "{objective}\n{output}\n{errors}");
        assert!(output.contains("test\n") && output.contains("accuracy"), "{output}");
        assert!(place.path("tuned/modules.json").is_file() && place.path("tuned/1_Pooling").is_dir());
        assert!(predictions(&place, "tuned").lines().count() == 41, "{objective}");
        let again = finetune(&place, &more);
        assert_eq!(again, (code, output, again.2.clone()), "a second start repeats the numbers");
    }
}

#[test]
fn words_beside_the_labels_are_followed_in_the_log() {
    let place = place();
    let (code, output, errors) =
        finetune(&place, &["--mlm_weight", "0.5", "--gradual_unfreezing", "0.5", "--lora_rank", "2"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let log = fs::read_to_string(place.path("tuned/trainer_log.json")).expect("a log");
    assert!(log.contains("eval_mlm_loss") && log.contains("eval_accuracy"), "{log}");
    predictions(&place, "tuned");
}

#[test]
fn what_cannot_be_is_told_with_its_key() {
    let place = place();
    for (more, message) in [
        (&["--freeze", "layers:7"][..], "freeze: 'layers:7' names no parameter"),
        (&["--freeze", "layers:x"], "freeze: 'layers:x'"),
        (&["--gradual_unfreezing", "2"], "gradual_unfreezing: '2' is not possible"),
        (&["--lora_alpha", "2"], "lora_alpha: means nothing without lora_rank"),
        (&["--lora_rank", "2", "--lora_targets", "q_proj"], "lora_targets: no linear layer"),
        (&["--objective", "triplet", "--mlm_weight", "1"], "mlm_weight: means nothing"),
        (&["--objective", "cosent", "--matryoshka_dims", "17"], "matryoshka_dims: 17 is more than the 16"),
        (&["--mlm_probability", "0.2"], "mlm_probability: means nothing without mlm_weight"),
    ] {
        let (code, _, errors) = finetune(&place, more);
        assert_eq!(code, Some(1), "{more:?}\n{errors}");
        assert!(errors.contains(message) && errors.contains("hint:"), "{more:?}\n{errors}");
    }
    let (code, output, _) = finetune(&place, &["--objective", "triplet", "--dry-run"]);
    assert!(code == Some(0) && output.contains("optimizer steps"), "{output}");
    let (code, output, _) = finetune(&place, &["--mlm_weight", "0.1", "--lora_rank", "4", "--dry-run"]);
    assert!(code == Some(0) && output.contains("lora_alpha = 4.0"), "{output}");
}

#[test]
fn contrastive_routes_are_measured_where_they_are_named() {
    let place = place();
    place.write_texts("texts.txt", 40);
    let text = place.succeed(&[
        "compare",
        "--model",
        "model",
        "--labelled",
        "rows.csv",
        "--unlabelled",
        "texts.txt",
        "--output_dir",
        "out",
        "--routes",
        "frozen,finetuned,contrastive,adapted+contrastive",
        "--finetune_max_steps",
        "4",
        "--adapt_max_steps",
        "2",
        "--num_seeds",
        "2",
        "--resamples",
        "200",
        "--cv_folds",
        "2",
        "--label_curve",
        "false",
    ]);
    assert!(text.contains("contrastive") && text.contains("adapted+contrastive"), "{text}");
    let results = fs::read_to_string(place.path("out/results.json")).expect("results");
    assert!(results.contains("Plain fine-tuning, instead of training the vectors"), "{results}");
}
