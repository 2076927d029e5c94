//! Does a tokenizer know the words of a corpus, and how is it taught those that it does not?
//!
//! [`WordCounts`] are the words of a corpus as the tokenizer's own rules part them, [`Fragmentation`] tells how many
//! tokens they cost, [`choose`] picks the tokens whose addition saves most, and [`Extension`] puts them into the model
//! of the tokenizer itself: WordPiece, BPE with the merges that lead to a token, or Unigram. They are not "added
//! tokens", which are cut out of a text before the model sees it, wherever they stand in a word.

mod choose;
mod extension;
mod fragmentation;
#[cfg(test)]
mod tests;
mod words;

pub use choose::{ChooseSettings, choose};
pub use extension::{Extension, NewToken};
pub use fragmentation::{CostlyWord, Fragmentation, costly_words};
pub use words::WordCounts;
