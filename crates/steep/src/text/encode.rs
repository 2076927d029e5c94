//! Texts to token ids, in parallel, cut and framed.

use super::long_text::{BYTES_PER_TOKEN, head_piece, tail_piece};
use super::tokenizer::{Tokenizer, guarded};
use crate::error::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which part of a text that is too long is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The beginning.
    #[default]
    Head,
    /// A quarter from the beginning and the rest from the end: 128 + 382 of 510 tokens in
    /// Sun et al., 2019, "How to fine-tune BERT for text classification".
    HeadTail,
}

/// How texts become ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodeOptions {
    /// The greatest number of tokens of a sequence, special tokens and prompt included.
    pub max_seq_length: usize,
    /// Put before every text, as sentence-transformers does.
    pub prompt: Option<String>,
    /// What is kept of texts that are too long.
    pub truncation: Truncation,
}

/// The ids of some texts, one text after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encodings {
    /// The ids of all texts, special tokens included. `[total_tokens]`
    pub input_ids: Vec<u32>,
    /// Text `i` is `input_ids[offsets[i]..offsets[i + 1]]`. `[texts + 1]`
    pub offsets: Vec<u32>,
    /// The number of texts that were too long.
    pub truncated: u64,
    /// The number of tokens that were cut off. Of a text longer than is ever read, only those of the part
    /// that was read are counted, so this is a lower bound.
    pub dropped_tokens: u64,
    /// The number of tokens at the beginning of every text that belong to the prompt, the first special
    /// token included; 0 without a prompt. With `include_prompt: false`, pooling leaves these out.
    pub prompt_tokens: u32,
}

impl Encodings {
    /// The number of texts.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of one text.
    pub fn sequence(&self, index: usize) -> &[u32] {
        &self.input_ids[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

/// So many texts are one unit of parallel work.
const TEXTS_PER_TASK: usize = 128;

/// Tokens demanded beyond those kept before the rest of a long text is left unread.
const MARGIN: usize = 64;

/// At least so many bytes of a text are read before it counts as long.
const MIN_BYTES_READ: usize = 2048;

/// How often the part that is read of a long text is doubled when it holds too few tokens.
const MAX_DOUBLINGS: u32 = 3;

/// What was cut off a text.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    dropped: u64,
    truncated: bool,
}

/// What one unit of parallel work gives.
#[derive(Default)]
struct Part {
    ids: Vec<u32>,
    lengths: Vec<u32>,
    truncated: u64,
    dropped: u64,
}

impl Tokenizer {
    /// The ids of `texts`, in their order.
    ///
    /// An empty text becomes the special tokens alone; it has no tokens at all with a tokenizer that adds
    /// none. Of a text with more than 16 bytes per token kept (and more than 2048 bytes) only as much is
    /// read as is needed to fill the sequence, eight times that at most: ten megabytes without a space cost
    /// no more than a page does. The ids are those of the whole text all the same.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T], options: &EncodeOptions) -> Result<Encodings> {
        let budget = self.budget(options)?;
        let parts: Vec<Part> = texts
            .par_chunks(TEXTS_PER_TASK)
            .map(|texts| self.encode_part(texts, options, budget))
            .collect::<Result<_>>()?;
        let mut encodings = join(parts)?;
        encodings.prompt_tokens = self.prompt_tokens(options)?;
        Ok(encodings)
    }

    /// The number of tokens that the text itself may have.
    fn budget(&self, options: &EncodeOptions) -> Result<usize> {
        let special = self.prefix.len() + self.suffix.len();
        match options.max_seq_length.checked_sub(special) {
            Some(budget) if budget > 0 => Ok(budget),
            _ => Err(Error::config(
                "max_seq_length",
                format!("{} leaves no room for text beside {special} special tokens", options.max_seq_length),
                format!("set it to {} or more", special + 1),
            )),
        }
    }

    fn encode_part<T: AsRef<str>>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        budget: usize,
    ) -> Result<Part> {
        guarded(&self.folder.display().to_string(), || {
            let (mut part, mut prompted) = (Part::default(), String::new());
            for text in texts {
                let text = match &options.prompt {
                    Some(prompt) => {
                        prompted.clear();
                        prompted.push_str(prompt);
                        prompted.push_str(text.as_ref());
                        &prompted
                    }
                    None => text.as_ref(),
                };
                let before = part.ids.len();
                part.ids.extend_from_slice(&self.prefix);
                let cut = self.append_content(text, budget, options.truncation, &mut part.ids)?;
                part.ids.extend_from_slice(&self.suffix);
                part.lengths.push((part.ids.len() - before) as u32);
                part.truncated += u64::from(cut.truncated);
                part.dropped += cut.dropped;
            }
            Ok(part)
        })
    }

    /// Appends the ids of a text without special tokens, at most `budget` of them.
    fn append_content(
        &self,
        text: &str,
        budget: usize,
        truncation: Truncation,
        ids: &mut Vec<u32>,
    ) -> tokenizers::Result<Cut> {
        let start = ids.len();
        let mut limit = budget.saturating_mul(BYTES_PER_TOKEN).max(MIN_BYTES_READ);
        for doublings in 0.. {
            if text.len() <= limit {
                break;
            }
            let last = doublings == MAX_DOUBLINGS;
            let long = match truncation {
                Truncation::Head => self.append_long_head(text, limit, budget, last, ids)?,
                Truncation::HeadTail => self.append_long_head_tail(text, limit, budget, last, ids)?,
            };
            if let Some(cut) = long {
                return Ok(cut);
            }
            ids.truncate(start);
            limit = limit.saturating_mul(2);
        }
        self.append_tokens(text, ids)?;
        Ok(cut(ids, start, budget, truncation))
    }

    /// The beginning of a long text; `None` if the text is not long, or gave too few tokens to be sure.
    fn append_long_head(
        &self,
        text: &str,
        limit: usize,
        budget: usize,
        last: bool,
        ids: &mut Vec<u32>,
    ) -> tokenizers::Result<Option<Cut>> {
        let Some(piece) = head_piece(text, limit) else { return Ok(None) };
        let start = ids.len();
        self.append_tokens(piece, ids)?;
        let enough = ids.len() - start >= budget + MARGIN;
        Ok((enough || last).then(|| Cut { truncated: true, ..cut(ids, start, budget, Truncation::Head) }))
    }

    /// The beginning and the end of a long text, under the same conditions.
    fn append_long_head_tail(
        &self,
        text: &str,
        limit: usize,
        budget: usize,
        last: bool,
        ids: &mut Vec<u32>,
    ) -> tokenizers::Result<Option<Cut>> {
        // Below twice the limit the two pieces would meet.
        if text.len() <= limit.saturating_mul(2) {
            return Ok(None);
        }
        let (Some(head), Some(tail)) = (head_piece(text, limit), tail_piece(text, limit)) else {
            return Ok(None);
        };
        let start = ids.len();
        self.append_tokens(head, ids)?;
        let middle = ids.len();
        self.append_tokens(tail, ids)?;
        let fewer = (middle - start).min(ids.len() - middle);
        if !last && fewer < budget + MARGIN {
            return Ok(None);
        }
        Ok(Some(Cut { truncated: true, ..cut(ids, start, budget, Truncation::HeadTail) }))
    }

    fn append_tokens(&self, text: &str, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        match &self.ascii {
            Some(ascii) if !ascii.is_special(text) => {
                ascii.append(text, ids, |piece, ids| self.append_by_library(piece, ids))
            }
            _ => self.append_by_library(text, ids),
        }
    }

    fn append_by_library(&self, text: &str, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        ids.extend_from_slice(self.inner.encode_fast(text, false)?.get_ids());
        Ok(())
    }

    /// As sentence-transformers counts: the framed prompt without the last special token.
    fn prompt_tokens(&self, options: &EncodeOptions) -> Result<u32> {
        let Some(prompt) = &options.prompt else { return Ok(0) };
        let mut ids = Vec::new();
        guarded(&self.folder.display().to_string(), || self.append_tokens(prompt, &mut ids))?;
        Ok((self.prefix.len() + ids.len()).min(options.max_seq_length) as u32)
    }
}

/// Cuts the ids from `start` on.
fn cut(ids: &mut Vec<u32>, start: usize, budget: usize, truncation: Truncation) -> Cut {
    let dropped = (ids.len() - start).saturating_sub(budget);
    if dropped > 0 {
        match truncation {
            Truncation::Head => ids.truncate(start + budget),
            Truncation::HeadTail => {
                let head = start + budget / 4;
                ids.drain(head..head + dropped);
            }
        }
    }
    Cut { dropped: dropped as u64, truncated: dropped > 0 }
}

fn join(parts: Vec<Part>) -> Result<Encodings> {
    let total: usize = parts.iter().map(|part| part.ids.len()).sum();
    if u32::try_from(total).is_err() {
        return Err(Error::config(
            "texts",
            format!("{total} tokens at once are more than can be counted"),
            "encode the texts in smaller chunks",
        ));
    }
    let mut joined = Encodings { offsets: vec![0], ..Encodings::default() };
    joined.input_ids.reserve_exact(total);
    let mut end = 0;
    for part in parts {
        joined.input_ids.extend_from_slice(&part.ids);
        joined.offsets.extend(part.lengths.iter().map(|length| {
            end += length;
            end
        }));
        joined.truncated += part.truncated;
        joined.dropped_tokens += part.dropped;
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tokenizer::tests::{golden, golden_folder};
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Deserialize)]
    struct Expected {
        max_length: usize,
        texts: Vec<String>,
        folders: BTreeMap<String, ExpectedFolder>,
    }

    #[derive(Deserialize)]
    struct ExpectedFolder {
        vocab_size: usize,
        mask_token_id: u32,
        pad_token_id: u32,
        ids: Vec<Vec<u32>>,
        truncated_ids: Vec<Vec<u32>>,
    }

    fn expected() -> Expected {
        crate::storage::read_json(&golden_folder("expected.json")).unwrap()
    }

    fn options(max_seq_length: usize) -> EncodeOptions {
        EncodeOptions { max_seq_length, prompt: None, truncation: Truncation::Head }
    }

    fn head_tail(max_seq_length: usize) -> EncodeOptions {
        EncodeOptions { truncation: Truncation::HeadTail, ..options(max_seq_length) }
    }

    fn ids(tokenizer: &Tokenizer, text: &str, options: &EncodeOptions) -> Vec<u32> {
        tokenizer.encode(&[text], options).unwrap().input_ids
    }

    /// Equality is exact.
    #[test]
    fn ids_are_those_of_transformers() {
        let expected = expected();
        for (name, folder) in &expected.folders {
            let tokenizer = golden(name);
            assert_eq!(tokenizer.vocab_size(), folder.vocab_size, "{name}");
            assert_eq!(tokenizer.special().mask, Some(folder.mask_token_id), "{name}");
            assert_eq!(tokenizer.special().pad, Some(folder.pad_token_id), "{name}");
            let full = tokenizer.encode(&expected.texts, &options(1000)).unwrap();
            let short = tokenizer.encode(&expected.texts, &options(expected.max_length)).unwrap();
            for (index, text) in expected.texts.iter().enumerate() {
                assert_eq!(full.sequence(index), folder.ids[index], "{name}: {text:?}");
                assert_eq!(short.sequence(index), folder.truncated_ids[index], "{name}: {text:?}");
            }
            let cut = folder.ids.iter().filter(|ids| ids.len() > expected.max_length);
            assert_eq!(short.truncated, cut.clone().count() as u64, "{name}");
            let dropped: usize = cut.map(|ids| ids.len() - expected.max_length).sum();
            assert_eq!(short.dropped_tokens, dropped as u64, "{name}");
            assert_eq!((full.truncated, full.dropped_tokens), (0, 0), "{name}");
        }
    }

    #[test]
    fn many_texts_keep_their_order() {
        let tokenizer = golden("wordpiece_vocab");
        let texts: Vec<String> = (0..1000).map(|row| format!("tea {row}")).collect();
        let together = tokenizer.encode(&texts, &options(32)).unwrap();
        assert_eq!(together.len(), 1000);
        for (row, text) in texts.iter().enumerate() {
            assert_eq!(together.sequence(row), ids(&tokenizer, text, &options(32)));
        }
    }

    #[test]
    fn head_and_tail_keep_both_ends() {
        let tokenizer = golden("wordpiece_vocab");
        let text = "one two three four five six seven eight nine ten eleven twelve tea";
        let full = ids(&tokenizer, text, &options(100));
        let short = ids(&tokenizer, text, &head_tail(10));
        assert_eq!(short.len(), 10);
        assert_eq!(short[..3], full[..3], "two tokens of the head after the first special token");
        assert_eq!(short[3..], full[full.len() - 7..]);
        assert_eq!(ids(&tokenizer, "tea", &head_tail(10)), ids(&tokenizer, "tea", &options(10)));
    }

    /// The whole text is tokenised here with a budget so large that nothing counts as long.
    #[test]
    fn a_long_text_read_in_part_gives_the_tokens_of_the_whole() {
        let texts = expected().texts;
        for name in expected().folders.keys() {
            let tokenizer = golden(name);
            for joiner in [" ", "\n\n", ""] {
                let text = texts.join(joiner).repeat(40);
                let full = ids(&tokenizer, &text, &options(1_000_000));
                for length in [3, 8, 64, 200] {
                    assert!(text.len() > 16 * length && text.len() > MIN_BYTES_READ * 4);
                    let short = ids(&tokenizer, &text, &options(length));
                    let body = length - 1;
                    assert_eq!(short[..body], full[..body], "{name}, {length} tokens, joined by {joiner:?}");
                    let short = ids(&tokenizer, &text, &head_tail(length));
                    let tail = length - 1 - (length - 2) / 4;
                    assert_eq!(
                        short[length - tail..],
                        full[full.len() - tail..],
                        "{name}, last {tail} tokens"
                    );
                    assert_eq!(short[..length - tail], full[..length - tail], "{name}");
                }
            }
        }
    }

    /// Words of 150 letters are one unknown token each, so that the first 2048 bytes hold 13 tokens.
    #[test]
    fn a_long_text_of_few_tokens_is_read_further() {
        let tokenizer = golden("wordpiece");
        let text = format!("{} tea ", "x".repeat(150)).repeat(300);
        let full = ids(&tokenizer, &text, &options(1_000_000));
        for length in [32, 64, 128] {
            assert_eq!(
                ids(&tokenizer, &text, &options(length))[..length - 1],
                full[..length - 1],
                "{length}"
            );
            let (short, tail) = (ids(&tokenizer, &text, &head_tail(length)), length / 2);
            assert_eq!(short[length - tail..], full[full.len() - tail..], "{length}");
        }
    }

    #[test]
    fn ten_megabytes_without_a_space_cost_little() {
        for name in ["wordpiece", "byte_level", "unigram"] {
            let tokenizer = golden(name);
            for unit in ["x", "é", "茶", "\u{301}", "\u{200b}", "👍🏽"] {
                let text = unit.repeat(10_000_000 / unit.len());
                let start = std::time::Instant::now();
                for options in [options(128), head_tail(128)] {
                    let encodings = tokenizer.encode(&[&text], &options).unwrap();
                    assert_eq!(encodings.truncated, 1);
                    assert!(encodings.input_ids.len() <= 128);
                }
                assert!(start.elapsed().as_secs() < 2, "{name} {unit:?}: {:?}", start.elapsed());
            }
        }
    }

    #[test]
    fn a_prompt_is_part_of_the_text_and_counted() {
        let tokenizer = golden("wordpiece_vocab");
        let prompted = EncodeOptions { prompt: Some("tea: ".into()), ..options(64) };
        let encodings = tokenizer.encode(&["green leaves", ""], &prompted).unwrap();
        assert_eq!(encodings.sequence(0), ids(&tokenizer, "tea: green leaves", &options(64)));
        assert_eq!(encodings.prompt_tokens, 3, "[CLS] tea :");
        assert_eq!(tokenizer.encode(&["x"], &options(64)).unwrap().prompt_tokens, 0);
    }

    #[test]
    fn a_length_without_room_for_text_is_refused() {
        let tokenizer = golden("wordpiece_vocab");
        for length in 0..=2 {
            assert!(tokenizer.encode(&["tea"], &options(length)).unwrap_err().hint().is_some());
        }
        assert_eq!(ids(&tokenizer, "tea tea", &options(3)).len(), 3);
    }

    #[test]
    fn no_texts_give_no_sequences() {
        let encodings = golden("wordpiece").encode::<&str>(&[], &options(8)).unwrap();
        assert!(encodings.is_empty());
        assert_eq!(encodings.offsets, [0]);
    }
}
