//! New tokens inside the model of a tokenizer.

use super::super::sources;
use super::super::tokenizer::{Tokenizer, guarded};
use super::fragmentation::unknown_id;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;

/// A token that the tokenizer did not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// As the vocabulary spells it.
    pub token: String,
    /// Its id: the number of tokens before it.
    pub id: u32,
    /// The ids of the old tokens into which it was cut.
    pub old_ids: Vec<u32>,
}

/// A tokenizer with new tokens, under way.
pub struct Extension {
    document: Value,
    folder: String,
    /// Ids from here on are new.
    first_id: u32,
    /// The id that stands for whatever has none.
    unknown_id: Option<u32>,
    old: HashSet<String>,
    new: HashSet<String>,
    tokens: Vec<NewToken>,
}

impl Extension {
    /// An extension of a tokenizer that adds nothing yet.
    ///
    /// # Errors
    /// A tokenizer of whole words only, or one whose model cannot take a token at the end of its vocabulary.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        let folder = &tokenizer.folder;
        let document = sources::find(folder)?.document;
        let document: Value = serde_json::from_slice(&document)
            .map_err(|error| unsupported(folder, &format!("tokenizer.json cannot be read: {error}")))?;
        let model = &document["model"];
        let has = |key: &str| model[key].as_str().is_some_and(|text| !text.is_empty());
        let first_id = tokenizer.largest_id() + 1;
        match model["type"].as_str().unwrap_or_default() {
            "BPE" if has("continuing_subword_prefix") || has("end_of_word_suffix") => {
                return Err(unsupported(folder, "a BPE model that marks the inside or the end of words"));
            }
            "WordPiece" | "BPE" => {}
            // The id of a piece is its place in the list.
            "Unigram" if model["vocab"].as_array().map(Vec::len) == Some(first_id as usize) => {}
            "Unigram" => {
                return Err(unsupported(folder, "a Unigram model with added tokens after its pieces"));
            }
            other => return Err(unsupported(folder, &format!("a model of the kind '{other}'"))),
        }
        Ok(Self {
            unknown_id: unknown_id(tokenizer),
            old: tokenizer.inner.get_vocab(true).into_keys().collect(),
            new: HashSet::new(),
            folder: folder.display().to_string(),
            tokens: Vec::new(),
            document,
            first_id,
        })
    }

    /// The new tokens in the order of their ids.
    pub fn tokens(&self) -> &[NewToken] {
        &self.tokens
    }

    /// Ids from here on are new.
    pub fn first_id(&self) -> u32 {
        self.first_id
    }

    /// The tokenizer as it is by now.
    pub(super) fn tokenizer(&self) -> Result<tokenizers::Tokenizer> {
        guarded(&self.folder, || tokenizers::Tokenizer::from_bytes(self.document.to_string()))
    }

    /// Its `tokenizer.json`.
    pub fn to_json(&self) -> Result<String> {
        let tokenizer = self.tokenizer()?;
        guarded(&self.folder, || tokenizer.to_string(true))
    }

    /// The id that stands for whatever has none.
    pub(super) fn unknown_id(&self) -> Option<u32> {
        self.unknown_id
    }

    /// Joins tokens that follow each other in a word, old or new ones, to one. With BPE, the tokens between become
    /// tokens as well. Returns how many tokens that added: none where one of them is an old one, which is then spelt
    /// by other merges, in texts that must stay as they are.
    pub(super) fn join(&mut self, tokenizer: &tokenizers::Tokenizer, ids: &[u32]) -> usize {
        let parts: Vec<String> = ids.iter().filter_map(|&id| self.spelling(tokenizer, id)).collect();
        let steps =
            if self.document["model"]["type"] == "BPE" { 2..=parts.len() } else { parts.len()..=parts.len() };
        let texts: Vec<(usize, String)> =
            steps.map(|end| (end, joined(&parts[..end], self.prefix()))).collect();
        if parts.len() != ids.len() || texts.iter().any(|(_, text)| self.old.contains(text)) {
            return 0;
        }
        let before = self.tokens.len();
        for (end, text) in texts {
            if self.new.insert(text.clone()) {
                self.merge(&parts[..end - 1].concat(), &parts[end - 1]);
                self.add(text, &ids[..end]);
            }
        }
        self.tokens.len() - before
    }

    /// Adds a whole word of which the tokenizer knows nothing; only a WordPiece model has such words.
    pub(super) fn add_unknown_word(&mut self, word: &str, unknown: u32) -> usize {
        if self.document["model"]["type"] != "WordPiece"
            || self.old.contains(word)
            || !self.new.insert(word.to_owned())
        {
            return 0;
        }
        self.add(word.to_owned(), &[unknown]);
        1
    }

    /// What the joined tokens would be called.
    pub(super) fn spelling_of(&self, tokenizer: &tokenizers::Tokenizer, ids: &[u32]) -> String {
        let parts: Vec<String> = ids.iter().filter_map(|&id| self.spelling(tokenizer, id)).collect();
        joined(&parts, self.prefix())
    }

    /// How the vocabulary marks what does not begin a word; empty but for WordPiece.
    pub(super) fn prefix(&self) -> &str {
        self.document["model"]["continuing_subword_prefix"].as_str().unwrap_or_default()
    }

    fn spelling(&self, tokenizer: &tokenizers::Tokenizer, id: u32) -> Option<String> {
        match id.checked_sub(self.first_id) {
            Some(index) => self.tokens.get(index as usize).map(|token| token.token.clone()),
            None => tokenizer.id_to_token(id),
        }
    }

    fn add(&mut self, token: String, ids: &[u32]) {
        let id = self.first_id + self.tokens.len() as u32;
        match &mut self.document["model"]["vocab"] {
            Value::Object(vocab) => _ = vocab.insert(token.clone(), json!(id)),
            Value::Array(pieces) => {
                let score: f64 =
                    ids.iter().map(|&id| pieces[id as usize][1].as_f64().unwrap_or_default()).sum();
                // A little more probable than its parts, so that it wins over them, and over nothing else.
                pieces.push(json!([token, score + 1e-4]));
            }
            _ => unreachable!("a model that was read has a vocabulary"),
        }
        let old_ids = ids.iter().flat_map(|&id| self.old_ids(id)).collect();
        self.tokens.push(NewToken { token, id, old_ids });
    }

    /// The old tokens that a token consists of.
    fn old_ids(&self, id: u32) -> Vec<u32> {
        match id.checked_sub(self.first_id) {
            Some(index) => self.tokens[index as usize].old_ids.clone(),
            None => vec![id],
        }
    }

    /// Adds a merge after all others, in the form in which the file has them: a pair, or two tokens and a space. Only
    /// BPE has merges.
    fn merge(&mut self, left: &str, right: &str) {
        let Some(merges) = self.document["model"]["merges"].as_array_mut() else { return };
        let pair = match merges.first() {
            Some(Value::String(_)) => json!(format!("{left} {right}")),
            _ => json!([left, right]),
        };
        merges.push(pair);
    }
}

/// Several tokens as one: all but the first without the mark of what goes on with a word.
fn joined(parts: &[String], prefix: &str) -> String {
    let mut parts = parts.iter();
    let first = parts.next().cloned().unwrap_or_default();
    parts.fold(first, |joined, part| joined + part.strip_prefix(prefix).unwrap_or(part))
}

fn unsupported(folder: &Path, what: &str) -> Error {
    Error::model(
        folder.display().to_string(),
        format!("the vocabulary cannot be extended: {what}"),
        "choose an encoder with a WordPiece, BPE or Unigram tokenizer",
    )
}
