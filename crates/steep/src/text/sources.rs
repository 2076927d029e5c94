//! Where a tokenizer comes from: `tokenizer.json`, or the older files, which are turned into the same document.

use crate::error::{Error, Result};
use crate::storage::read_json;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files that a tokenizer may consist of, in the order in which they count for its digest.
pub(super) const FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// A tokenizer as found in a model folder.
pub(super) struct Source {
    /// The text of a `tokenizer.json`.
    pub(super) document: Vec<u8>,
    /// The names of the files it was made of.
    pub(super) files: Vec<&'static str>,
    /// `tokenizer_config.json`, empty if there is none.
    pub(super) config: Map<String, Value>,
    /// `special_tokens_map.json`, empty if there is none.
    pub(super) special_tokens_map: Map<String, Value>,
}

/// Finds the tokenizer of a folder: `tokenizer.json`, else `vocab.txt`, else `vocab.json` with `merges.txt`.
pub(super) fn find(folder: &Path) -> Result<Source> {
    if !folder.is_dir() {
        return Err(Error::model(
            folder.display().to_string(),
            "no such folder",
            "name a folder with a tokenizer in it, or a model's name on the hub",
        ));
    }
    let config = object(&folder.join("tokenizer_config.json"))?;
    let special_tokens_map = object(&folder.join("special_tokens_map.json"))?;
    let has = |name: &str| folder.join(name).is_file();
    let (document, files) = if has("tokenizer.json") {
        (read(&folder.join("tokenizer.json"))?, vec!["tokenizer.json"])
    } else if has("vocab.txt") {
        (to_bytes(&word_piece(folder, &config)?), vec!["vocab.txt"])
    } else if has("vocab.json") && has("merges.txt") {
        (to_bytes(&byte_level(folder, &config)?), vec!["vocab.json", "merges.txt"])
    } else {
        return Err(nothing_found(folder));
    };
    Ok(Source { document, files, config, special_tokens_map })
}

fn nothing_found(folder: &Path) -> Error {
    let sentencepiece = ["sentencepiece.bpe.model", "tokenizer.model", "spiece.model", "spm.model"]
        .iter()
        .any(|name| folder.join(name).is_file());
    let hint = if sentencepiece {
        "the folder has a SentencePiece model only; load it with transformers' AutoTokenizer and call \
         save_pretrained, which writes tokenizer.json"
    } else {
        "the folder needs tokenizer.json, or vocab.txt, or vocab.json with merges.txt"
    };
    Error::model(folder.display().to_string(), "has no tokenizer", hint)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io("read", path))
}

/// A JSON object from a file, empty if the file is missing.
pub(super) fn object(path: &Path) -> Result<Map<String, Value>> {
    if path.is_file() { read_json(path) } else { Ok(Map::new()) }
}

fn to_bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

/// BERT's tokenizer from `vocab.txt`, one token a line, as transformers' `BertTokenizer` builds it.
fn word_piece(folder: &Path, config: &Map<String, Value>) -> Result<Value> {
    let path = folder.join("vocab.txt");
    let vocab: BTreeMap<String, u32> = lines(&path)?.into_iter().zip(0..).collect();
    let flag = |name: &str| config.get(name).and_then(Value::as_bool);
    let token = |role: &str, usual: &str| token_text(config, role, usual);
    let frame = [token("cls_token", "[CLS]"), token("sep_token", "[SEP]")];
    let ids = frame_ids(&path, &vocab, &frame)?;
    let [cls, sep] = &frame;
    let special = |token: &str, type_id: u32| json!({"SpecialToken": {"id": token, "type_id": type_id}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(folder, &vocab)?,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": flag("strip_accents"),
            "lowercase": flag("do_lower_case").unwrap_or(true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special(cls, 0), sequence("A", 0), special(sep, 0)],
            "pair": [special(cls, 0), sequence("A", 0), special(sep, 0), sequence("B", 1), special(sep, 1)],
            "special_tokens": {
                cls: {"id": cls, "ids": [ids[0]], "tokens": [cls]},
                sep: {"id": sep, "ids": [ids[1]], "tokens": [sep]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": token("unk_token", "[UNK]"),
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }))
}

/// RoBERTa's tokenizer from `vocab.json` and `merges.txt`, as transformers' `RobertaTokenizer` builds it.
fn byte_level(folder: &Path, config: &Map<String, Value>) -> Result<Value> {
    let path = folder.join("vocab.json");
    let vocab: BTreeMap<String, u32> = read_json(&path)?;
    let frame = [token_text(config, "cls_token", "<s>"), token_text(config, "sep_token", "</s>")];
    let ids = frame_ids(&path, &vocab, &frame)?;
    let flag = |name: &str, usual: bool| config.get(name).and_then(Value::as_bool).unwrap_or(usual);
    let (prefix, trim) = (flag("add_prefix_space", false), flag("trim_offsets", true));
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": true});
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(folder, &vocab)?,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [&frame[1], ids[1]],
            "cls": [&frame[0], ids[0]],
            "trim_offsets": trim,
            "add_prefix_space": prefix,
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocab,
            "merges": merges(&folder.join("merges.txt"))?,
        },
    }))
}

fn token_text(config: &Map<String, Value>, role: &str, usual: &str) -> String {
    let named = config.get(role).and_then(super::special_tokens::named_token);
    named.map_or_else(|| usual.to_owned(), |token| token.content)
}

/// The ids of the tokens that frame a sequence; without them the model would see texts it was not trained on.
fn frame_ids(path: &Path, vocab: &BTreeMap<String, u32>, frame: &[String; 2]) -> Result<[u32; 2]> {
    let id = |token: &String| {
        vocab.get(token).copied().ok_or_else(|| {
            Error::model(
                path.display().to_string(),
                format!("lacks the token {token}, which frames every sequence"),
                "name the right cls_token and sep_token in tokenizer_config.json, or get the model's tokenizer.json",
            )
        })
    };
    Ok([id(&frame[0])?, id(&frame[1])?])
}

/// `added_tokens.json` maps tokens that were added after training to their ids.
fn added_tokens(folder: &Path, vocab: &BTreeMap<String, u32>) -> Result<Vec<Value>> {
    let path = folder.join("added_tokens.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let added: BTreeMap<String, u32> = read_json(&path)?;
    let mut by_id: Vec<(u32, String)> = added.into_iter().map(|(token, id)| (id, token)).collect();
    by_id.sort();
    Ok(by_id
        .into_iter()
        .filter(|(id, token)| vocab.get(token).is_none_or(|known| known == id))
        .map(|(id, token)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": false})
        })
        .collect())
}

/// The lines of a text file without their line ends.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8(read(path)?).map_err(|error| {
        let row = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|&byte| byte == b'\n').count();
        Error::Data {
            file: PathBuf::from(path),
            row: Some(row as u64),
            column: None,
            problem: "is not UTF-8".into(),
            hint: "download the file again".into(),
        }
    })?;
    Ok(text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect())
}

/// The pairs of `merges.txt`, one a line, after a version line.
fn merges(path: &Path) -> Result<Vec<[String; 2]>> {
    let mut pairs = Vec::new();
    for (index, line) in lines(path)?.iter().enumerate() {
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        let Some((left, right)) = line.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
            return Err(Error::Data {
                file: path.to_path_buf(),
                row: Some(index as u64 + 1),
                column: None,
                problem: format!("'{line}' is not two tokens with a space between them"),
                hint: "download the file again".into(),
            });
        };
        pairs.push([left.to_owned(), right.to_owned()]);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_merge_is_reported_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("merges.txt");
        fs::write(&path, "#version: 0.2\na b\na b c\n").unwrap();
        assert!(merges(&path).unwrap_err().to_string().contains("row 3"));
        fs::write(&path, "#version: 0.2\r\na b\r\n# b\r\n").unwrap();
        assert_eq!(merges(&path).unwrap(), [["a", "b"], ["#", "b"]]);
    }

    #[test]
    fn a_vocabulary_that_is_not_text_is_reported_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vocab.txt"), b"[PAD]\n[UNK]\n\xff\xfe\n").unwrap();
        let error = find(folder.path()).err().unwrap();
        assert!(error.to_string().contains("row 3"), "{error}");
    }

    #[test]
    fn a_folder_without_a_tokenizer_gets_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(folder.path()).err().unwrap().hint().unwrap().contains("tokenizer.json"));
        fs::write(folder.path().join("spiece.model"), "").unwrap();
        assert!(find(folder.path()).err().unwrap().hint().unwrap().contains("SentencePiece"));
    }

    #[test]
    fn a_vocabulary_without_frame_tokens_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vocab.txt"), "tea\nmilk\n").unwrap();
        assert!(find(folder.path()).err().unwrap().to_string().contains("[CLS]"));
    }
}
