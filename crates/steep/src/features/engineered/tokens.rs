//! How does a model's tokenizer cut a text?

use super::view::TextView;
use crate::error::Result;
use crate::text::{EncodeOptions, Tokenizer, Truncation};

pub(super) const NAMES: [&str; 3] = ["text_tokens", "text_unknown_tokens", "text_tokens_per_word"];

/// Longer texts are cut to this many tokens before they are counted, which bounds the work.
const MOST_TOKENS: usize = 8192;

/// Tokens without special ones, unknown ones, and tokens a word, which is high where the vocabulary does not know the
/// words. `[texts]`
pub(super) fn values(tokenizer: &Tokenizer, texts: &[&str]) -> Result<Vec<[f32; 3]>> {
    let options = EncodeOptions { max_seq_length: MOST_TOKENS, prompt: None, truncation: Truncation::Head };
    let encodings = tokenizer.encode(texts, &options)?;
    let special = tokenizer.special();
    // Some tokenizers have one token for several roles; it then says nothing of unknown words.
    let unknown =
        special.unk.filter(|id| ![special.cls, special.sep, special.bos, special.eos].contains(&Some(*id)));
    let row = |(at, text): (usize, &&str)| {
        let ids = encodings.sequence(at);
        let unknowns = ids.iter().filter(|&&id| Some(id) == unknown).count();
        let tokens = ids.iter().filter(|&&id| !tokenizer.is_special(id)).count() + unknowns;
        [tokens as f32, unknowns as f32, TextView::new(text).per_word(tokens)]
    };
    Ok(texts.iter().enumerate().map(row).collect())
}
