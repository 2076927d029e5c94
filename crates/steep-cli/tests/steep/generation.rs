//! An encoder-decoder is trained on pairs, writes texts, and is compared with what should be written.

use crate::workplace::Workplace;
use std::fmt::Write;

/// A tiny BART with a tokenizer, and pairs whose target is the source's first word.
fn place() -> Workplace {
    let place = Workplace::with_model("families/bart/seq2seq");
    let mut rows = "article,summary\n".to_owned();
    for row in 0..40 {
        let first = ["tea", "cup", "milk", "water"][row % 4];
        let _ = writeln!(rows, "{first} and other words of row {row},{first}");
    }
    rows.push_str("no summary here,\n,no article here\n");
    place.write("pairs.csv", &rows);
    place
}

const TRAIN: [&str; 15] = [
    "adapt",
    "--model",
    "model",
    "--train_file",
    "pairs.csv",
    "--text_column",
    "article",
    "--target_column",
    "summary",
    "--output_dir",
    "trained",
    "--epochs",
    "2",
    "--label_smoothing_factor",
    "0.1",
];

#[test]
fn pairs_are_learned_and_texts_written_and_compared() {
    let place = place();
    let text = place.succeed(&TRAIN);
    // Two of 40 whole pairs are held out.
    assert!(text.contains("adapted to 38 texts"), "{text}");
    assert!(text.contains("held-out loss") && !text.contains("general text"), "{text}");
    let resolved = std::fs::read_to_string(place.path("trained/resolved.toml")).expect("the request");
    assert!(resolved.contains("objective = \"seq2seq\""), "{resolved}");
    let inspected = place.succeed(&["inspect", "trained"]);
    assert!(inspected.contains("writing texts"), "{inspected}");
    for (beams, file) in [("1", "greedy.csv"), ("3", "beams.jsonl")] {
        let text = place.succeed(&[
            "generate",
            "--model",
            "trained",
            "--input",
            "pairs.csv",
            "--text_column",
            "article",
            "--reference_column",
            "summary",
            "--num_beams",
            beams,
            "--max_new_tokens",
            "6",
            "--output",
            file,
        ]);
        assert!(text.contains("wrote texts for 42 rows"), "{text}");
        assert!(text.contains("ROUGE-1") && text.contains("chrF"), "{text}");
        let written = std::fs::read_to_string(place.path(file)).expect("the file");
        assert!(written.contains("generated_text") && written.contains("article"), "{written}");
        assert!(!written.contains("[SEP]") && !written.contains("[CLS]"), "special tokens are no text");
    }
}

#[test]
fn what_cannot_write_or_lacks_its_column_is_told() {
    let place = place();
    let error = |arguments: &[&str]| {
        let (code, _, errors) = place.run(arguments);
        assert_eq!(code, Some(1), "{errors}");
        errors
    };
    let generate = ["generate", "--model", "model", "--input", "pairs.csv", "--output", "out.csv"];
    let errors = error(&[&generate[..], &["--reference_column", "absent"]].concat());
    assert!(errors.contains("absent"), "{errors}");
    let errors = error(&[&generate[..], &["--num_beams", "65"]].concat());
    assert!(errors.contains("num_beams"), "{errors}");
    let errors = error(&[&generate[..6], &["out.npy"]].concat());
    assert!(errors.contains("npy"), "{errors}");
    let masked = Workplace::with_model("families/albert/base");
    masked.write_texts("texts.txt", 3);
    let (code, _, errors) =
        masked.run(&["generate", "--model", "model", "--input", "texts.txt", "--output", "out.csv"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("has no head for writing texts"), "{errors}");
}

#[test]
fn features_of_the_decoder_are_others_than_those_of_the_encoder() {
    let place = place();
    for (from, file) in [("encoder", "encoder.npy"), ("decoder_last", "decoder.npy")] {
        let text = place.succeed(&[
            "extract",
            "--model",
            "model",
            "--input",
            "pairs.csv",
            "--text_column",
            "article",
            "--features_from",
            from,
            "--output",
            file,
        ]);
        assert!(text.contains("16 dimensions"), "{text}");
    }
    let bytes = |file: &str| std::fs::read(place.path(file)).expect("the file");
    assert_ne!(bytes("encoder.npy"), bytes("decoder.npy"));
}
