//! The tokenizer of a model folder.

use super::length::{LengthFacts, MaxSeqLength, resolve_max_seq_length};
use super::sources::{self, Source};
use super::special_tokens::{NamedToken, SpecialTokens, find_tokens};
use super::word_piece::AsciiWordPiece;
use crate::error::{Error, Result};
use crate::storage::digest_file;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tokenizers::models::ModelWrapper;
use tokenizers::{AddedToken, Encoding, NormalizedString, Normalizer, Token};

/// The algorithm that cuts words into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TokenizerKind {
    /// Longest match from the left, as in BERT.
    WordPiece,
    /// Merges of frequent pairs, as in RoBERTa, BART and ModernBERT.
    #[serde(rename = "BPE")]
    Bpe,
    /// The most probable split, as in XLM-R and ALBERT.
    Unigram,
    /// Whole words only.
    WordLevel,
}

/// What is worth telling about a tokenizer.
#[derive(Debug, Clone, Serialize)]
pub struct TokenizerFacts {
    /// The algorithm.
    pub kind: TokenizerKind,
    /// The number of tokens, added ones included.
    pub vocab_size: usize,
    /// Role (`cls_token`, …) to token and id.
    pub special_tokens: BTreeMap<&'static str, (String, u32)>,
    /// Whether capital letters are lost.
    pub lower_cases: bool,
    /// The greatest length of a sequence and where the figure comes from.
    pub max_seq_length: MaxSeqLength,
    /// The files the tokenizer was read from.
    pub files: Vec<&'static str>,
}

/// Turns texts into token ids as transformers does with the same folder.
///
/// Truncation and padding that a `tokenizer.json` asks for are switched off; the length is chosen when
/// encoding, and nothing is ever padded. A merge dropout in the file is switched off too: the same text
/// gives the same tokens.
pub struct Tokenizer {
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) folder: PathBuf,
    pub(super) config: Map<String, Value>,
    pub(super) named: [Option<NamedToken>; 7],
    /// The tokens before and after the text.
    pub(super) prefix: Vec<u32>,
    pub(super) suffix: Vec<u32>,
    special: SpecialTokens,
    special_ids: Vec<bool>,
    largest_id: u32,
    /// The quick way for plain ASCII, with tokenizers of the BERT family.
    pub(super) ascii: Option<AsciiWordPiece>,
    facts: TokenizerFacts,
    digest: String,
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder from `tokenizer.json`, or `vocab.txt` (BERT), or `vocab.json`
    /// with `merges.txt` (RoBERTa), and `tokenizer_config.json` and its neighbours where they are there.
    pub fn load(model_dir: &Path) -> Result<Self> {
        let source = sources::find(model_dir)?;
        let model = model_dir.display().to_string();
        let mut inner = parse(&model, &source)?;
        let named = find_tokens(&[&source.config, &source.special_tokens_map], |token| {
            inner.token_to_id(token).is_some()
        });
        let named = if source.files[0] == "vocab.json" { named.map(with_usual_flags) } else { named };
        register(&mut inner, &named).map_err(|reason| refused(&model, reason.as_ref()))?;
        let special = SpecialTokens::from_ids(
            named.each_ref().map(|token| token.as_ref().and_then(|token| inner.token_to_id(&token.content))),
        );
        let (prefix, suffix) = frame(&model, &inner)?;
        let facts = TokenizerFacts {
            kind: kind(&inner),
            vocab_size: inner.get_vocab_size(true),
            special_tokens: describe(special, &inner),
            lower_cases: lower_cases(&inner),
            max_seq_length: resolve_max_seq_length(&length_facts(model_dir, &source.config)?),
            files: source.files,
        };
        let largest_id = inner.get_vocab(true).into_values().max().unwrap_or(0);
        Ok(Self {
            folder: model_dir.to_path_buf(),
            config: source.config,
            prefix,
            suffix,
            special_ids: special_ids(&inner, special, largest_id),
            largest_id,
            ascii: AsciiWordPiece::of(&inner),
            special,
            facts,
            digest: digest(model_dir)?,
            named,
            inner,
        })
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// Whether an id belongs to a special token: one with a role, or one the tokenizer marks as special.
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.get(id as usize).copied().unwrap_or(false)
    }

    /// The number of tokens, added ones included, as transformers' `len(tokenizer)`.
    pub fn vocab_size(&self) -> usize {
        self.facts.vocab_size
    }

    /// The greatest id that can come out, which may exceed the number of tokens if ids were left out.
    pub fn largest_id(&self) -> u32 {
        self.largest_id
    }

    /// The text of a token, as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token, as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The text of some ids, special tokens left out.
    ///
    /// # Errors
    /// A tokenizer whose decoder cannot put its tokens together.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guarded(&self.folder.display().to_string(), || self.inner.decode(ids, true))
    }

    /// The greatest length of a sequence that the model folder allows.
    pub fn max_seq_length(&self) -> MaxSeqLength {
        self.facts.max_seq_length
    }

    /// What is worth telling about the tokenizer.
    pub fn facts(&self) -> &TokenizerFacts {
        &self.facts
    }

    /// BLAKE3 digest of the files that decide which ids come out.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Runs what reads or uses a foreign tokenizer. The library panics on some damaged files (tokenizers#2094:
/// a merge longer than any token), and a damaged file is the user's fault to fix and not ours to die of.
pub(super) fn guarded<T>(model: &str, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(reason)) => Err(refused(model, reason.as_ref())),
        Err(_) => Err(Error::model(model, "the tokenizer is damaged", REPAIR)),
    }
}

const REPAIR: &str =
    "download the tokenizer's files again, or save them anew with transformers' save_pretrained";

fn refused(model: &str, reason: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    Error::model(model, format!("the tokenizer cannot be used: {reason}"), REPAIR)
}

fn parse(model: &str, source: &Source) -> Result<tokenizers::Tokenizer> {
    guarded(model, || {
        let mut inner = tokenizers::Tokenizer::from_bytes(&source.document)?;
        inner.with_truncation(None)?;
        inner.with_padding(None);
        if let ModelWrapper::BPE(bpe) = inner.get_model()
            && bpe.dropout.is_some()
        {
            let mut bpe = bpe.clone();
            bpe.dropout = None;
            inner.with_model(bpe);
        }
        Ok(inner)
    })
}

/// RoBERTa's mask token takes the space before it; files that name it by a plain string mean that too.
fn with_usual_flags(token: Option<NamedToken>) -> Option<NamedToken> {
    token.map(|mut token| {
        token.lstrip |= token.content == "<mask>";
        token
    })
}

/// Makes the special tokens known as such, so that they are found whole inside texts, as transformers does.
fn register(inner: &mut tokenizers::Tokenizer, named: &[Option<NamedToken>; 7]) -> tokenizers::Result<()> {
    let known: Vec<String> =
        inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    let missing: Vec<AddedToken> = named
        .iter()
        .flatten()
        .filter(|token| !known.contains(&token.content))
        .map(|token| {
            AddedToken::from(token.content.clone(), true)
                .lstrip(token.lstrip)
                .rstrip(token.rstrip)
                .single_word(token.single_word)
        })
        .collect();
    inner.add_special_tokens(missing).map(|_| ())
}

/// What the post-processor puts before and after a text, found by processing a text of one unlikely token.
fn frame(model: &str, inner: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>)> {
    const SENTINEL: u32 = u32::MAX;
    let processed = guarded(model, || {
        let text = Encoding::from_tokens(vec![Token::new(SENTINEL, "x".into(), (0, 1))], 0);
        inner.post_process(text, None, true)
    })?;
    let ids = processed.get_ids();
    match ids.iter().position(|&id| id == SENTINEL) {
        Some(at) if !ids[at + 1..].contains(&SENTINEL) => Ok((ids[..at].to_vec(), ids[at + 1..].to_vec())),
        _ => Err(Error::model(
            model,
            "the tokenizer's post-processor does not hold the text exactly once",
            "use a model whose template is like '[CLS] $A [SEP]'",
        )),
    }
}

fn kind(inner: &tokenizers::Tokenizer) -> TokenizerKind {
    match inner.get_model() {
        ModelWrapper::BPE(_) => TokenizerKind::Bpe,
        ModelWrapper::WordPiece(_) => TokenizerKind::WordPiece,
        ModelWrapper::WordLevel(_) => TokenizerKind::WordLevel,
        ModelWrapper::Unigram(_) => TokenizerKind::Unigram,
    }
}

fn lower_cases(inner: &tokenizers::Tokenizer) -> bool {
    let Some(normalizer) = inner.get_normalizer() else { return false };
    let mut probe = NormalizedString::from("A");
    normalizer.normalize(&mut probe).is_ok() && probe.get().contains('a')
}

fn describe(special: SpecialTokens, inner: &tokenizers::Tokenizer) -> BTreeMap<&'static str, (String, u32)> {
    special
        .by_role()
        .into_iter()
        .filter_map(|(role, id)| id.and_then(|id| Some((role, (inner.id_to_token(id)?, id)))))
        .collect()
}

fn special_ids(inner: &tokenizers::Tokenizer, special: SpecialTokens, largest_id: u32) -> Vec<bool> {
    let roles = special.by_role().into_iter().filter_map(|(_, id)| id);
    let marked =
        inner.get_added_tokens_decoder().into_iter().filter(|(_, token)| token.special).map(|(id, _)| id);
    let mut ids: Vec<u32> = roles.chain(marked).collect();
    ids.sort_unstable();
    // Special ids lie in the vocabulary, whose file has been read, so the table is no larger than that.
    let mut table = vec![false; (largest_id as usize + 1).min(1 << 26)];
    for id in ids {
        if let Some(entry) = table.get_mut(id as usize) {
            *entry = true;
        }
    }
    table
}

/// The names under which sentence-transformers has looked for the length, in its order.
const SENTENCE_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

fn length_facts(folder: &Path, config: &Map<String, Value>) -> Result<LengthFacts> {
    let model = sources::object(&folder.join("config.json"))?;
    let mut sentence_bert = None;
    for name in SENTENCE_CONFIGS {
        let path = folder.join(name);
        if path.is_file() {
            sentence_bert = sources::object(&path)?.get("max_seq_length").and_then(Value::as_u64);
            break;
        }
    }
    Ok(LengthFacts {
        sentence_bert,
        model_max_length: config.get("model_max_length").and_then(Value::as_f64),
        max_position_embeddings: model.get("max_position_embeddings").and_then(Value::as_u64),
        model_type: model.get("model_type").and_then(Value::as_str).map(str::to_owned),
    })
}

fn digest(folder: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for name in sources::FILES {
        let path = folder.join(name);
        if path.is_file() {
            hasher.update(name.as_bytes());
            hasher.update(digest_file(&path)?.as_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    pub(crate) fn golden_folder(name: &str) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/token_ids")).join(name)
    }

    pub(crate) fn golden(name: &str) -> Tokenizer {
        Tokenizer::load(&golden_folder(name)).unwrap()
    }

    fn with_document(document: &str) -> Result<Tokenizer> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokenizer.json"), document).unwrap();
        Tokenizer::load(folder.path())
    }

    #[test]
    fn facts_name_kind_case_and_length() {
        let facts = |name| golden(name).facts().clone();
        let uncased = facts("wordpiece_vocab");
        assert_eq!((uncased.kind, uncased.lower_cases), (TokenizerKind::WordPiece, true));
        assert_eq!(uncased.max_seq_length.length, 128);
        assert_eq!(uncased.files, ["vocab.txt"]);
        assert!(!facts("wordpiece_cased_vocab").lower_cases);
        assert_eq!(facts("byte_level_vocab").kind, TokenizerKind::Bpe);
        assert_eq!(facts("byte_level_vocab").max_seq_length.length, 512);
        let unigram = facts("unigram");
        assert_eq!((unigram.kind, unigram.max_seq_length.length), (TokenizerKind::Unigram, 64));
        assert_eq!(unigram.special_tokens["mask_token"].0, "<mask>");
    }

    #[test]
    fn special_ids_are_known() {
        let tokenizer = golden("wordpiece_vocab");
        let special = tokenizer.special();
        assert_eq!(special.cls, tokenizer.id("[CLS]"));
        assert_eq!(tokenizer.token(special.mask.unwrap()).as_deref(), Some("[MASK]"));
        for (_, id) in special.by_role() {
            assert!(id.is_none_or(|id| tokenizer.is_special(id)));
        }
        assert!(!tokenizer.is_special(tokenizer.id("tea").unwrap()));
        assert!(!tokenizer.is_special(u32::MAX));
    }

    #[test]
    fn a_merge_longer_than_any_token_is_an_error_and_no_panic() {
        let document = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":null,"post_processor":null,"decoder":null,
            "model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[["a","b"],["ab","b"]]}}"#;
        let error = with_document(document).err().expect("refused");
        assert!(error.hint().is_some(), "{error}");
    }

    #[test]
    fn damaged_documents_are_errors() {
        let good = fs::read_to_string(golden_folder("wordpiece").join("tokenizer.json")).unwrap();
        assert!(with_document("").is_err());
        assert!(with_document("{}").is_err());
        assert!(with_document(&good[..good.len() / 2]).is_err());
        assert!(with_document(&good.replace("WordPiece", "WordSalad")).is_err());
    }

    #[test]
    fn the_digest_follows_the_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["vocab.txt", "tokenizer_config.json"] {
            fs::copy(golden_folder("wordpiece_vocab").join(name), folder.path().join(name)).unwrap();
        }
        let first = Tokenizer::load(folder.path()).unwrap().digest().to_owned();
        assert_eq!(Tokenizer::load(folder.path()).unwrap().digest(), first);
        fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
        assert_ne!(Tokenizer::load(folder.path()).unwrap().digest(), first);
    }
}
