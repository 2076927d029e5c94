//! Which files of a model are wanted, and which names are harmless.

use crate::error::{Error, Result};
use crate::storage::read_json;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The configuration, without which a folder is no model.
pub(super) const CONFIG: &str = "config.json";
/// The weights in one file.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The list of weight files, where there is more than one.
pub(super) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// Weights in a format that can run code on loading, and is never read.
pub(super) const PICKLED_WEIGHTS: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// Files that are fetched where the model has them. Nothing else is, except weights.
pub(super) const OPTIONAL: [&str; 27] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "2_Normalize/config.json",
    "3_Dense/config.json",
    "3_Dense/model.safetensors",
    "3_Normalize/config.json",
    "4_Normalize/config.json",
    "generation_config.json",
    "config_setfit.json",
    "adapter_config.json",
];

/// More weight files than this no model has.
const MAX_SHARDS: usize = 1000;

/// Whether a text is one plain component of a path: letters, digits, `-`, `_`, `.`, not beginning or ending
/// with `.` or beginning with `-`.
pub(super) fn is_plain_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
}

/// Whether a text can be a commit: 7 to 64 letters and digits, as in `git` and its likes.
pub(super) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The weight files that an index names.
///
/// # Errors
/// When a name is anything but a plain file name that ends in `.safetensors`.
pub(super) fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let shards: BTreeSet<String> = read_json::<Index>(index)?.weight_map.into_values().collect();
    if let Some(bad) = shards.iter().find(|name| !is_plain_name(name) || !name.ends_with(".safetensors")) {
        return Err(Error::data(
            index,
            format!("names the weight file '{bad}', which is not a plain name that ends in .safetensors"),
            "do not use this model; it tries to reach other files",
        ));
    }
    if shards.len() > MAX_SHARDS {
        return Err(Error::data(
            index,
            format!("names {} weight files", shards.len()),
            "do not use this model",
        ));
    }
    Ok(shards)
}

/// Whether a folder has a configuration and all its weights.
pub(super) fn is_complete(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has(CONFIG)
        && (has(WEIGHTS)
            || (has(WEIGHTS_INDEX)
                && shards(&folder.join(WEIGHTS_INDEX))
                    .is_ok_and(|shards| shards.iter().all(|shard| has(shard)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_where_they_are() {
        for good in ["model-00001-of-00002.safetensors", "a", "v1.0"] {
            assert!(is_plain_name(good), "{good}");
        }
        for bad in
            ["", ".", "..", "../a", "/a", "a/b", "a\\b", ".hidden", "-rf", "a\0", "C:", "a.", "é", "a b"]
        {
            assert!(!is_plain_name(bad), "{bad}");
        }
        assert!(!is_plain_name(&"a".repeat(129)));
    }

    #[test]
    fn commits_are_letters_and_digits() {
        assert!(is_commit("0123456789abcdef0123456789abcdef01234567"));
        for bad in ["", "..", "abc", "../../abcdef", "main branch", &"a".repeat(65)] {
            assert!(!is_commit(bad), "{bad}");
        }
    }

    #[test]
    fn an_index_may_name_plain_weight_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS_INDEX);
        let write = |shard: &str| {
            let index = serde_json::json!({"weight_map": {"a": "model-1.safetensors", "b": shard}});
            std::fs::write(&path, index.to_string()).unwrap();
        };
        write("model-2.safetensors");
        assert_eq!(shards(&path).unwrap().len(), 2);
        for bad in [
            "../model.safetensors",
            "/etc/model.safetensors",
            "sub/model.safetensors",
            "pytorch_model.bin",
            "",
        ] {
            write(bad);
            assert!(shards(&path).is_err(), "{bad}");
        }
    }
}
