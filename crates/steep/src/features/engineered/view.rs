//! A text with what several families need of it, computed once.

use unicode_segmentation::UnicodeSegmentation;

/// A text, its words and the number of its sentences.
pub(super) struct TextView<'a> {
    pub(super) text: &'a str,
    /// Runs between the word boundaries of Unicode Standard Annex 29 that hold a letter or digit.
    pub(super) words: Vec<&'a str>,
    /// Sentences of the same annex that hold a letter or digit.
    pub(super) sentences: usize,
}

impl<'a> TextView<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let words: Vec<&str> = text.unicode_words().collect();
        let sentences = if may_end_sentences(text) {
            text.unicode_sentences().count()
        } else {
            usize::from(!words.is_empty())
        };
        Self { text, words, sentences }
    }

    /// `count` a word, 0 where there are no words.
    pub(super) fn per_word(&self, count: usize) -> f32 {
        if self.words.is_empty() { 0.0 } else { count as f32 / self.words.len() as f32 }
    }
}

/// Without one of these, ASCII text is a single sentence by the annex; the search for its bounds is slow.
fn may_end_sentences(text: &str) -> bool {
    !text.is_ascii() || text.bytes().any(|byte| matches!(byte, b'.' | b'!' | b'?' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_to_one_sentence_is_the_long_way() {
        for text in ["", "  ", "one two", "a, b; c: d", "tab\tand (so) on", "-- --", "x\u{b}y\u{c}z"] {
            assert_eq!(TextView::new(text).sentences, text.unicode_sentences().count(), "{text:?}");
        }
        assert_eq!(TextView::new("One. Two! Three? Four").sentences, 4);
    }
}
