//! How do the rows of a source, with columns computed for them, become one file, resumably?
//!
//! The rows are cut into shards in their order. A finished shard is a part file and a small record
//! beside it, in `<output>.parts`; a run that is started again with the same key skips those. At
//! the end the parts are streamed together into the output, which appears all at once. Only some
//! ten thousand rows are held at a time, whatever the size of the source: those that are computed, those that are read
//! and tokenised for then, and those that are written.

mod cells;
mod delimited;
mod format;
mod join;
mod json_lines;
mod layout;
mod npy;
mod parquet_rows;
mod part_files;
mod parts;
mod pieces;
mod result_file;
mod rows;
mod run;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod writer;

pub use format::OutputFormat;
pub(super) use layout::{Layout, Spread, taken, vector_column, vector_field, vectors};
pub use parts::RowCounts;
pub(super) use result_file::{finished_file, record_file};
pub(super) use rows::RowBuffer;
pub(super) use run::{Emit, ShardedOutput, Written, known_rows, write_sharded};
pub(super) use texts::{PreparedTexts, TextColumns, TextPreparation};
