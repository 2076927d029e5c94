//! How do texts become packed batches of tokens?
//!
//! [`Tokenizer`] reads the tokenizer of a model folder and turns texts into token ids, cut to a length and
//! framed by special tokens, one after the other without padding. [`TokenCorpus`] keeps the ids of a whole
//! corpus on the disk, memory-mapped. [`BatchPlan`] deals the rows of a corpus out to batches.

mod batches;
mod corpus;
mod encode;
mod length;
mod long_text;
mod mapped;
mod pairs;
mod save;
mod sources;
mod special_tokens;
mod tokenizer;
pub mod vocabulary;
mod word_piece;

pub use batches::{BatchPlan, BatchSize, Order};
pub use corpus::{CorpusKey, CorpusStatistics, TokenCorpus};
pub use encode::{EncodeOptions, Encodings, Truncation};
pub use length::{LengthFacts, LengthSource, MaxSeqLength, resolve_max_seq_length};
pub(crate) use mapped::map_readonly;
pub use pairs::{PairEncodings, PairFrame};
pub use special_tokens::SpecialTokens;
pub use tokenizer::{Tokenizer, TokenizerFacts, TokenizerKind};
