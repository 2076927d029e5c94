//! How do a person's files become rows?
//!
//! A **source** is a file, a glob (`data/*.csv`), a folder of files, or a folder with one subfolder per
//! label. [`open`] streams it as [`Chunk`]s of Arrow columns, so that memory is bounded by the chunk and not by
//! the corpus; [`text()`], [`numbers()`], [`booleans()`] and [`lists()`] read a column as what the caller needs and name
//! file, row and column where a value does not fit. [`load_labelled`] reads the small, labelled side whole.
//!
//! Then the rows are parted: [`split()`] and [`k_folds`] keep groups and proportions, [`label_budget`] samples,
//! and [`find_duplicates`] finds the rows that would carry one part's texts into another.

mod assign;
mod columns;
mod duplicates;
mod fault;
mod fingerprint;
mod folds;
mod labelled;
mod labels;
mod lists;
mod matches;
mod minhash;
pub(crate) mod nearest;
mod out_of_fold;
mod random;
mod readers;
mod shingles;
mod source;
mod splits;
mod texts;
mod times;

pub use columns::{booleans, default_text_column, numbers, text};
pub use duplicates::{
    DuplicateCount, DuplicateExample, DuplicateKind, DuplicateOptions, Duplicates, Part, find_duplicates,
};
pub use fingerprint::fingerprint;
pub use folds::{LabelBudget, k_folds, label_budget};
pub use labelled::{Labelled, LabelledOptions, RowOrigins, load_labelled, text_columns};
pub use labels::{Labels, Task};
pub use lists::lists;
pub use out_of_fold::out_of_fold;
pub use readers::{Chunk, Chunks, ReadOptions, open};
pub use splits::{Split, SplitMethod, SplitOptions, split};
pub use texts::{TextChunk, TextChunks, TextOptions, load_texts, stream_texts};
