//! Pairs of texts as one sequence: `[CLS] first [SEP] second [SEP]`, or however the tokenizer frames them.

use super::encode::{EncodeOptions, Truncation};
use super::tokenizer::{Tokenizer, guarded};
use crate::error::{Error, Result};
use crate::training::Sequences;
use rayon::prelude::*;
use std::sync::Arc;
use steep_encoder::PackedBatch;
use tokenizers::{Encoding, Token};

/// What a tokenizer puts around two texts, and the token types it gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFrame {
    /// Ids before the first text, between the two, and after the second.
    around: [Vec<u32>; 3],
    /// Types of these.
    around_types: [Vec<u32>; 3],
    /// Types of the two texts.
    text_types: [u32; 2],
}

impl PairFrame {
    /// Special tokens of a pair.
    pub fn special_tokens(&self) -> usize {
        self.around.iter().map(Vec::len).sum()
    }
}

/// Every first text with every second text: pair `i * seconds + j` is first `i` with second `j`.
///
/// Each text is tokenised once; a pair is put together when it is asked for. Of a first text that is too long the end is
/// left out, the second stays whole (transformers' `only_first`).
pub struct PairEncodings {
    frame: PairFrame,
    firsts: Vec<Vec<u32>>,
    seconds: Vec<Vec<u32>>,
    max_seq_length: usize,
    /// Whether the model knows token types.
    has_types: bool,
}

impl Tokenizer {
    /// How this tokenizer frames two texts.
    ///
    /// # Errors
    /// A tokenizer whose post-processor does not hold both texts once, in their order.
    pub fn pair_frame(&self) -> Result<PairFrame> {
        const SENTINELS: [u32; 2] = [u32::MAX - 1, u32::MAX];
        let model = self.folder.display().to_string();
        let processed = guarded(&model, || {
            let text =
                |id: u32, kind: u32| Encoding::from_tokens(vec![Token::new(id, "x".into(), (0, 1))], kind);
            self.inner.post_process(text(SENTINELS[0], 0), Some(text(SENTINELS[1], 1)), true)
        })?;
        let (ids, types) = (processed.get_ids(), processed.get_type_ids());
        let places = SENTINELS.map(|id| ids.iter().position(|&found| found == id));
        let (Some(first), Some(second)) = (places[0], places[1]) else {
            return Err(no_pairs(&model));
        };
        if first > second || ids.len() != types.len() {
            return Err(no_pairs(&model));
        }
        let spans = [0..first, first + 1..second, second + 1..ids.len()];
        Ok(PairFrame {
            around: spans.clone().map(|span| ids[span].to_vec()),
            around_types: spans.map(|span| types[span].to_vec()),
            text_types: [types[first], types[second]],
        })
    }

    /// The ids of every first text beside every second text.
    ///
    /// # Errors
    /// A second text that leaves no room for a first one.
    pub fn encode_pairs<A: AsRef<str> + Sync, B: AsRef<str> + Sync>(
        &self,
        firsts: &[A],
        seconds: &[B],
        max_seq_length: usize,
        has_types: bool,
    ) -> Result<PairEncodings> {
        let frame = self.pair_frame()?;
        let seconds = self.contents(seconds, max_seq_length)?;
        let longest = seconds.iter().map(Vec::len).max().unwrap_or(0);
        if longest + frame.special_tokens() >= max_seq_length {
            return Err(Error::config(
                "max_seq_length",
                format!("{max_seq_length} leaves no room for a text beside {longest} tokens of a hypothesis"),
                "shorten the labels or the template, or allow longer sequences",
            ));
        }
        let firsts = self.contents(firsts, max_seq_length)?;
        Ok(PairEncodings { frame, firsts, seconds, max_seq_length, has_types })
    }

    /// Ids without special tokens, cut to a length.
    fn contents<T: AsRef<str> + Sync>(&self, texts: &[T], max_seq_length: usize) -> Result<Vec<Vec<u32>>> {
        let special = self.prefix.len() + self.suffix.len();
        let options = EncodeOptions {
            max_seq_length: max_seq_length + special,
            prompt: None,
            truncation: Truncation::Head,
        };
        let encodings = self.encode(texts, &options)?;
        let inner = |text: &[u32]| text[self.prefix.len()..text.len() - self.suffix.len()].to_vec();
        Ok((0..encodings.len()).into_par_iter().map(|text| inner(encodings.sequence(text))).collect())
    }
}

fn no_pairs(model: &str) -> Error {
    Error::model(
        model,
        "the tokenizer does not frame pairs of texts",
        "take a model that was trained on pairs, such as one for natural language inference",
    )
}

impl PairEncodings {
    /// The first and the second text of a pair.
    fn parts(&self, pair: usize) -> (&[u32], &[u32]) {
        let second = &self.seconds[pair % self.seconds.len()];
        let first = &self.firsts[pair / self.seconds.len()];
        let room = self.max_seq_length - self.frame.special_tokens() - second.len();
        (&first[..first.len().min(room)], second)
    }

    /// First texts that at least one second text leaves too little room for.
    pub fn truncated(&self) -> u64 {
        let longest = self.seconds.iter().map(Vec::len).max().unwrap_or(0);
        let room = self.max_seq_length - self.frame.special_tokens() - longest;
        self.firsts.iter().filter(|first| first.len() > room).count() as u64
    }

    fn append_types(&self, pair: usize, types: &mut Vec<u32>) {
        let (first, second) = self.parts(pair);
        let [before, between, after] = &self.frame.around_types;
        types.extend(before);
        types.extend(std::iter::repeat_n(self.frame.text_types[0], first.len()));
        types.extend(between);
        types.extend(std::iter::repeat_n(self.frame.text_types[1], second.len()));
        types.extend(after);
    }
}

impl Sequences for PairEncodings {
    fn len(&self) -> usize {
        self.firsts.len() * self.seconds.len()
    }

    fn length(&self, pair: usize) -> usize {
        let (first, second) = self.parts(pair);
        first.len() + second.len() + self.frame.special_tokens()
    }

    fn append(&self, pair: usize, tokens: &mut Vec<u32>) {
        let (first, second) = self.parts(pair);
        let [before, between, after] = &self.frame.around;
        for part in [before, first, between, second, after] {
            tokens.extend_from_slice(part);
        }
    }

    fn pack(&self, pairs: &[u32]) -> PackedBatch {
        let (mut input_ids, mut offsets, mut types) = (Vec::new(), vec![0], Vec::new());
        for &pair in pairs {
            self.append(pair as usize, &mut input_ids);
            self.append_types(pair as usize, &mut types);
            offsets.push(input_ids.len() as u32);
        }
        PackedBatch {
            input_ids: Arc::from(input_ids),
            offsets: Arc::from(offsets),
            token_type_ids: self.has_types.then(|| Arc::from(types)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tokenizer::tests::golden;

    #[test]
    fn pairs_are_what_the_library_makes_of_them() {
        let (firsts, seconds) = (["green tea", "a cup of very hot water with milk", ""], ["good tea", "x"]);
        for name in ["wordpiece", "wordpiece_vocab", "byte_level_vocab", "unigram"] {
            let tokenizer = golden(name);
            let pairs = tokenizer.encode_pairs(&firsts, &seconds, 64, true).unwrap();
            assert_eq!(pairs.len(), 6);
            for pair in 0..6 {
                let texts = (firsts[pair / 2], seconds[pair % 2]);
                let expected = tokenizer.inner.encode(texts, true).unwrap();
                let batch = pairs.pack(&[pair as u32]);
                assert_eq!(batch.input_ids.as_ref(), expected.get_ids(), "{name} {texts:?}");
                assert_eq!(
                    batch.token_type_ids.unwrap().as_ref(),
                    expected.get_type_ids(),
                    "{name} {texts:?}"
                );
                assert_eq!(pairs.length(pair), expected.get_ids().len());
            }
        }
    }

    #[test]
    fn only_the_first_text_is_cut() {
        let tokenizer = golden("wordpiece");
        let pairs =
            tokenizer.encode_pairs(&["tea tea tea tea tea tea tea tea"], &["tea tea"], 8, true).unwrap();
        let tea = tokenizer.id("tea").unwrap();
        let mut ids = Vec::new();
        pairs.append(0, &mut ids);
        assert_eq!((ids.len(), ids.iter().filter(|id| **id == tea).count(), pairs.truncated()), (8, 5, 1));
        let error = tokenizer.encode_pairs(&["tea"], &["tea tea tea tea tea"], 8, true).err().unwrap();
        assert!(error.to_string().contains("leaves no room"), "{error}");
    }
}
