//! Engineered columns in files.

use super::*;
use crate::stages::output::testing::{input, model_folder, quietly, settings as extract_settings, text_file};
use crate::stages::{ModelFolder, extract};
use std::fs;

const TEXTS: &str =
    "text,split\n\"Go #rust 🚀!\",train\nlearn #rust,train\n\"so much #go #go, #go\",test\n#go again,test\n";

fn asked() -> EngineeredColumns {
    let settings = EngineeredSettings { top_k: 1, ..EngineeredSettings::default() };
    EngineeredColumns { settings, spec_file: None, split_column: Some("split".to_owned()) }
}

fn settings(engineered: EngineeredColumns) -> EngineerSettings {
    EngineerSettings { engineered, format: OutputFormat::Csv, shard_rows: 3, keep_columns: true }
}

fn input_of(source: &str) -> EngineerInput<'_> {
    EngineerInput { source, text_columns: Vec::new(), text_column_delimiter: " ".to_owned(), limit: None }
}

#[test]
fn what_is_frequent_is_learned_from_training_rows_and_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("texts.csv");
    fs::write(&source, TEXTS).unwrap();
    let source = source.to_str().unwrap();
    let output = folder.path().join("out.csv");
    let report = quietly(|ctx| engineer(&input_of(source), &settings(asked()), &output, ctx)).unwrap();
    let written = fs::read_to_string(&output).unwrap();
    let header = written.lines().next().unwrap();
    assert!(header.starts_with("text,split,text_characters"), "{header}");
    assert!(header.contains("text_has_hashtag_rust") && !header.contains("text_has_hashtag_go"), "{header}");
    assert_eq!(written.lines().count(), 5);
    // The saved columns give the same file, whatever the rows say of frequency.
    let again = EngineeredColumns { spec_file: Some(report.files[1].clone()), split_column: None, ..asked() };
    let second = folder.path().join("second.csv");
    quietly(|ctx| engineer(&input_of(source), &settings(again), &second, ctx)).unwrap();
    assert_eq!(fs::read(&second).unwrap(), fs::read(&output).unwrap());
}

#[test]
fn columns_stand_beside_vectors_and_change_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(folder.path(), "base")).unwrap();
    let source = text_file(folder.path(), 12);
    let plain = folder.path().join("plain.csv");
    let both = folder.path().join("both.csv");
    let usual = extract_settings(OutputFormat::Csv);
    quietly(|ctx| extract(&input(&model, &source), &usual, &plain, ctx)).unwrap();
    let asked = EngineeredColumns { split_column: None, ..asked() };
    let wanted = crate::stages::ExtractSettings { engineered: Some(asked), ..usual };
    let report = quietly(|ctx| extract(&input(&model, &source), &wanted, &both, ctx)).unwrap();
    assert_eq!(report.files.len(), 2);
    let (plain, both) = (fs::read_to_string(&plain).unwrap(), fs::read_to_string(&both).unwrap());
    for (plain, both) in plain.lines().zip(both.lines()) {
        assert!(both.starts_with(&format!("{plain},")), "{both}");
    }
    assert!(
        both.lines().next().unwrap().contains("text_tokens_per_word"),
        "the encoder's tokenizer is there"
    );
    let spec = EngineeredSpec::load(&report.files[1]).unwrap();
    let alone = settings(EngineeredColumns {
        spec_file: Some(report.files[1].clone()),
        ..wanted.engineered.unwrap()
    });
    assert!(spec.needs_tokenizer());
    let input = input_of(&source);
    let error = quietly(|ctx| engineer(&input, &alone, &folder.path().join("alone.csv"), ctx)).unwrap_err();
    assert!(error.hint().unwrap().contains("model"), "{error}");
}

#[test]
fn a_matrix_has_no_names_for_columns() {
    let folder = tempfile::tempdir().unwrap();
    let source = text_file(folder.path(), 3);
    let npy = EngineerSettings { format: OutputFormat::Npy, ..settings(asked()) };
    let error =
        quietly(|ctx| engineer(&input_of(&source), &npy, &folder.path().join("a.npy"), ctx)).unwrap_err();
    assert!(error.hint().unwrap().contains("parquet"), "{error}");
}
