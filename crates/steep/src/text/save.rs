//! A tokenizer into a model folder, so that every reader of the field finds what it looks for.

use super::special_tokens::{NamedToken, ROLES};
use super::tokenizer::{Tokenizer, TokenizerKind, guarded};
use crate::error::{Error, Result};
use crate::storage::{atomic_file, write_json};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Original files that are copied as they are.
const COPIED: [&str; 4] = ["vocab.txt", "vocab.json", "merges.txt", "added_tokens.json"];

/// Keys of `tokenizer_config.json` that name files of another machine or code to run.
const NOT_KEPT: [&str; 5] =
    ["name_or_path", "special_tokens_map_file", "tokenizer_file", "auto_map", "trust_remote_code"];

impl Tokenizer {
    /// Writes the tokenizer's files into an existing folder.
    ///
    /// `tokenizer.json` is always there afterwards, with truncation and padding off. `tokenizer_config.json`
    /// and `special_tokens_map.json` get the keys that fastembed and text-embeddings-inference need.
    /// `vocab.txt` is there for WordPiece, and `vocab.json` with `merges.txt` for BPE, for older readers.
    pub fn save_to(&self, folder: &Path) -> Result<()> {
        self.save_document(folder)?;
        for name in COPIED {
            copy(&self.folder.join(name), &folder.join(name))?;
        }
        self.save_vocabulary(folder)?;
        write_json(&folder.join("tokenizer_config.json"), &self.written_config())?;
        write_json(&folder.join("special_tokens_map.json"), &self.special_tokens_map())
    }

    fn save_document(&self, folder: &Path) -> Result<()> {
        let (original, target) = (self.folder.join("tokenizer.json"), folder.join("tokenizer.json"));
        if original.is_file() && is_plain(&original)? {
            return copy(&original, &target);
        }
        let text = guarded(&self.folder.display().to_string(), || self.inner.to_string(true))?;
        write_text(&target, &text)
    }

    /// The vocabulary in the older form, where the folder does not have it yet.
    fn save_vocabulary(&self, folder: &Path) -> Result<()> {
        let target = folder.join("vocab.txt");
        if self.facts().kind == TokenizerKind::WordPiece && !target.is_file() {
            // A vocabulary with gaps, or with line breaks in tokens, has no such form.
            return self.vocabulary_lines().map_or(Ok(()), |lines| write_text(&target, &lines));
        }
        if self.facts().kind == TokenizerKind::Bpe && !folder.join("merges.txt").is_file() {
            let model = self.inner.get_model();
            guarded(&self.folder.display().to_string(), || tokenizers::Model::save(model, folder, None))?;
        }
        Ok(())
    }

    fn vocabulary_lines(&self) -> Option<String> {
        let by_id: BTreeMap<u32, String> =
            self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
        let mut lines = String::new();
        for (expected, (id, token)) in (0..).zip(by_id) {
            if id != expected || token.contains(['\n', '\r']) {
                return None;
            }
            lines.push_str(&token);
            lines.push('\n');
        }
        Some(lines)
    }

    /// `tokenizer_config.json` as it was, with the keys added that some reader needs.
    fn written_config(&self) -> Map<String, Value> {
        let mut config = self.config.clone();
        config.retain(|key, _| !NOT_KEPT.contains(&key.as_str()));
        for (role, token) in self.named_roles() {
            config.insert(role.into(), token.content.clone().into());
        }
        let length = config.get("model_max_length").and_then(Value::as_f64).filter(|&length| length < 1e9);
        if length.is_none() {
            config.insert("model_max_length".into(), self.max_seq_length().length.into());
        }
        let class = self.class();
        config.entry("tokenizer_class").or_insert_with(|| class.into());
        if self.facts().kind == TokenizerKind::WordPiece {
            config.entry("do_lower_case").or_insert_with(|| self.facts().lower_cases.into());
        }
        if let Some(prefix) = self.add_prefix_space() {
            config.entry("add_prefix_space").or_insert_with(|| prefix.into());
        }
        config
    }

    /// The class under which transformers builds the same tokenizer.
    fn class(&self) -> &'static str {
        match (self.facts().kind, self.add_prefix_space()) {
            (TokenizerKind::WordPiece, _) if self.prefix.len() == 1 && self.suffix.len() == 1 => {
                "BertTokenizer"
            }
            (TokenizerKind::Bpe, Some(_)) if self.id("<mask>").is_some() && self.id("</s>").is_some() => {
                "RobertaTokenizer"
            }
            _ => "PreTrainedTokenizerFast",
        }
    }

    /// The setting of a byte-level pre-tokenizer, if the tokenizer has one at its top.
    fn add_prefix_space(&self) -> Option<bool> {
        match self.inner.get_pre_tokenizer() {
            Some(tokenizers::PreTokenizerWrapper::ByteLevel(byte_level)) => Some(byte_level.add_prefix_space),
            _ => None,
        }
    }

    fn special_tokens_map(&self) -> Map<String, Value> {
        self.named_roles().map(|(role, token)| (role.to_owned(), written_token(token))).collect()
    }

    fn named_roles(&self) -> impl Iterator<Item = (&'static str, &NamedToken)> {
        ROLES.into_iter().zip(&self.named).filter_map(|(role, token)| Some((role, token.as_ref()?)))
    }
}

/// A plain string, unless the token has a property that a string cannot carry.
fn written_token(token: &NamedToken) -> Value {
    if !(token.lstrip || token.rstrip || token.single_word) {
        return token.content.clone().into();
    }
    json!({
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": false,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
    })
}

/// Whether a `tokenizer.json` asks for neither truncation nor padding.
fn is_plain(path: &Path) -> Result<bool> {
    let document: Map<String, Value> = crate::storage::read_json(path)?;
    Ok(["truncation", "padding"].iter().all(|key| document.get(*key).is_none_or(Value::is_null)))
}

/// Copies a file if it is there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", from)(error)),
    };
    // A folder saved over itself needs no copying, and must not be cut off while it is read.
    if matches!((fs::canonicalize(from), fs::canonicalize(to)), (Ok(from), Ok(to)) if from == to) {
        return Ok(());
    }
    atomic_file(to, |writer| io::copy(&mut source, writer).map(|_| ()).map_err(Error::io("write", to)))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    atomic_file(path, |writer| writer.write_all(text.as_bytes()).map_err(Error::io("write", path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::read_json;
    use crate::text::tokenizer::tests::{golden, golden_folder};
    use crate::text::{EncodeOptions, Truncation};

    const ALL: [&str; 7] = [
        "byte_level",
        "byte_level_prefix_vocab",
        "byte_level_vocab",
        "unigram",
        "wordpiece",
        "wordpiece_cased_vocab",
        "wordpiece_vocab",
    ];

    #[test]
    fn a_saved_tokenizer_gives_the_same_ids() {
        let expected: Value = read_json(&golden_folder("expected.json")).unwrap();
        let texts: Vec<String> = serde_json::from_value(expected["texts"].clone()).unwrap();
        let options = EncodeOptions { max_seq_length: 400, prompt: None, truncation: Truncation::Head };
        for name in ALL {
            let original = golden(name);
            let folder = tempfile::tempdir().unwrap();
            original.save_to(folder.path()).unwrap();
            let saved = Tokenizer::load(folder.path()).unwrap();
            assert_eq!(
                saved.encode(&texts, &options).unwrap(),
                original.encode(&texts, &options).unwrap(),
                "{name}"
            );
            assert_eq!(saved.special(), original.special(), "{name}");
            // The older files alone give the same ids as well.
            if name != "unigram" {
                fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
                let old = Tokenizer::load(folder.path()).unwrap();
                assert_eq!(
                    old.encode(&texts, &options).unwrap(),
                    original.encode(&texts, &options).unwrap(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn every_reader_finds_its_keys() {
        for name in ALL {
            let folder = tempfile::tempdir().unwrap();
            golden(name).save_to(folder.path()).unwrap();
            let json = |file: &str| read_json::<Value>(&folder.path().join(file)).unwrap();
            let (config, map, document) =
                (json("tokenizer_config.json"), json("special_tokens_map.json"), json("tokenizer.json"));
            assert!(config["model_max_length"].as_f64().unwrap() < 1e9, "{name}");
            for role in &ROLES[..5] {
                assert!(config[role].is_string(), "{name} {role}");
                assert!(map[role].is_string() || map[role]["content"].is_string(), "{name} {role}");
            }
            assert!(config["tokenizer_class"].is_string(), "{name}");
            assert!(document["truncation"].is_null() && document["padding"].is_null(), "{name}");
        }
    }

    #[test]
    fn an_untouched_document_is_copied_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        golden("byte_level").save_to(folder.path()).unwrap();
        let read = |path: &Path| fs::read(path.join("tokenizer.json")).unwrap();
        assert!(read(folder.path()) == read(&golden_folder("byte_level")));
    }

    #[test]
    fn paths_and_code_of_other_machines_are_not_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        golden("wordpiece_vocab").save_to(folder.path()).unwrap();
        let path = folder.path().join("tokenizer_config.json");
        let mut config: Map<String, Value> = read_json(&path).unwrap();
        config.insert("auto_map".into(), json!({"AutoTokenizer": "code.py"}));
        config.insert("name_or_path".into(), json!("somewhere/else"));
        write_json(&path, &config).unwrap();
        Tokenizer::load(folder.path()).unwrap().save_to(folder.path()).unwrap();
        let config: Map<String, Value> = read_json(&path).unwrap();
        assert!(!config.contains_key("auto_map") && !config.contains_key("name_or_path"));
    }
}
