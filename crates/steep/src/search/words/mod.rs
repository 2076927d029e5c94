//! Which rows hold the words of a query, and how well does each answer it?
//!
//! An inverted index: for every word the rows that hold it, and how often ([`WordIndexBuilder`] writes it, [`WordIndex`] maps
//! it into memory and searches it by BM25). Words are those of Unicode (UAX 29), in lower case; nothing is stemmed and no word
//! is left out, since both would have to know the language.
//!
//! Four files, all numbers little-endian:
//!
//! | file | holds |
//! |---|---|
//! | `words.bin` | the distinct words in the order of their bytes, one after the other |
//! | `word_table.bin` | a record a word: where it ends in `words.bin` and its list in `postings.bin` (64 bits each), and the rows in the list (32 bits) |
//! | `postings.bin` | for each row of a list, ascending: twice the rows passed over, plus one where the word stands there once, else followed by how often; numbers of seven bits a byte, the lowest first, the eighth bit set where more follow |
//! | `row_lengths.bin` | the words of each row (32 bits) |

mod build;
mod index;
mod postings;
#[cfg(test)]
mod tests;

pub(crate) use build::WordIndexBuilder;
pub use build::WordTotals;
pub use index::WordIndex;

use unicode_segmentation::UnicodeSegmentation;

const WORDS_FILE: &str = "words.bin";
const TABLE_FILE: &str = "word_table.bin";
const POSTINGS_FILE: &str = "postings.bin";
const LENGTHS_FILE: &str = "row_lengths.bin";
/// Bytes of a record of the table.
const RECORD: usize = 20;

/// Visits the words of a text, as often as they stand there.
fn for_each_word(text: &str, visit: impl FnMut(&str)) {
    text.to_lowercase().unicode_words().for_each(visit);
}
