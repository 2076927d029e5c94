//! Which tokens have a meaning of their own?

use serde::Serialize;
use serde_json::{Map, Value};

/// The roles in the order in which they are listed, as `tokenizer_config.json` names them.
pub(super) const ROLES: [&str; 7] =
    ["cls_token", "sep_token", "mask_token", "pad_token", "unk_token", "bos_token", "eos_token"];

/// What a role's token is usually called, when no file says it.
const USUAL: [(&str, &[&str]); 7] = [
    ("cls_token", &["[CLS]", "<s>", "<cls>"]),
    ("sep_token", &["[SEP]", "</s>", "<sep>"]),
    ("mask_token", &["[MASK]", "<mask>"]),
    ("pad_token", &["[PAD]", "<pad>"]),
    ("unk_token", &["[UNK]", "<unk>", "<|endoftext|>"]),
    ("bos_token", &["<s>", "<|endoftext|>"]),
    ("eos_token", &["</s>", "<|endoftext|>"]),
];

/// The ids of the special tokens. `None` where the vocabulary has no such token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SpecialTokens {
    /// Begins a sequence (`[CLS]`, `<s>`).
    pub cls: Option<u32>,
    /// Ends a sequence (`[SEP]`, `</s>`).
    pub sep: Option<u32>,
    /// Stands in for a token to be predicted.
    pub mask: Option<u32>,
    /// Fills up a padded batch.
    pub pad: Option<u32>,
    /// Stands in for what the vocabulary cannot spell.
    pub unk: Option<u32>,
    /// Begins a sequence that is generated.
    pub bos: Option<u32>,
    /// Ends a sequence that is generated.
    pub eos: Option<u32>,
}

impl SpecialTokens {
    /// The ids with their names in `tokenizer_config.json`, in a fixed order.
    pub fn by_role(&self) -> [(&'static str, Option<u32>); 7] {
        let ids = [self.cls, self.sep, self.mask, self.pad, self.unk, self.bos, self.eos];
        std::array::from_fn(|role| (ROLES[role], ids[role]))
    }

    pub(super) fn from_ids(ids: [Option<u32>; 7]) -> Self {
        let [cls, sep, mask, pad, unk, bos, eos] = ids;
        Self { cls, sep, mask, pad, unk, bos, eos }
    }
}

/// One special token as a file describes it: its text, and whether it takes the space before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedToken {
    pub(super) content: String,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    pub(super) single_word: bool,
}

/// Reads a token that is written as a string or as an object with a `content`.
pub(super) fn named_token(value: &Value) -> Option<NamedToken> {
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let content = value.as_str().or_else(|| value.get("content").and_then(Value::as_str))?;
    Some(NamedToken {
        content: content.to_owned(),
        lstrip: flag("lstrip"),
        rstrip: flag("rstrip"),
        single_word: flag("single_word"),
    })
}

/// The token of every role: from the first of `configs` that names one that is in the vocabulary, else the
/// first usual one that is.
pub(super) fn find_tokens(
    configs: &[&Map<String, Value>],
    in_vocabulary: impl Fn(&str) -> bool,
) -> [Option<NamedToken>; 7] {
    USUAL.map(|(role, usual)| {
        configs
            .iter()
            .filter_map(|config| config.get(role).and_then(named_token))
            .chain(usual.iter().filter_map(|&content| named_token(&Value::from(content))))
            .find(|token| in_vocabulary(&token.content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contents(config: &Value, vocabulary: &[&str]) -> Vec<Option<String>> {
        let config = config.as_object().unwrap();
        find_tokens(&[config], |token| vocabulary.contains(&token))
            .into_iter()
            .map(|token| token.map(|token| token.content))
            .collect()
    }

    #[test]
    fn strings_and_objects_are_read() {
        let config = json!({"cls_token": "<cls>", "mask_token": {"content": "<mask>", "lstrip": true}});
        let found = find_tokens(&[config.as_object().unwrap()], |_| true);
        assert_eq!(found[0].as_ref().unwrap().content, "<cls>");
        let mask = found[2].as_ref().unwrap();
        assert!(mask.lstrip && !mask.rstrip && mask.content == "<mask>");
    }

    #[test]
    fn the_usual_names_are_tried_where_no_file_speaks() {
        let found = contents(&json!({}), &["<s>", "</s>", "<mask>", "tea"]);
        let expected = [Some("<s>"), Some("</s>"), Some("<mask>"), None, None, Some("<s>"), Some("</s>")];
        assert_eq!(found, expected.map(|token| token.map(str::to_owned)));
    }

    #[test]
    fn a_named_token_outside_the_vocabulary_is_not_believed() {
        let found = contents(&json!({"pad_token": "[NOTHING]"}), &["[PAD]"]);
        assert_eq!(found[3].as_deref(), Some("[PAD]"));
    }

    #[test]
    fn nonsense_is_no_token() {
        for value in [json!(null), json!(3), json!([]), json!({"content": 3})] {
            assert_eq!(named_token(&value), None);
        }
    }
}
