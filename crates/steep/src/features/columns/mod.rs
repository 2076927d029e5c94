//! What are the columns beside the text, and what do they hold?
//!
//! A column's kind is inferred from the file's own types and its first rows ([`infer`]), or given. [`Table`] holds the
//! values of some rows, read chunk by chunk; `as_texts` writes them into texts.

mod as_text;
mod kind;
mod moments;
mod table;

pub(crate) use as_text::as_texts;
pub use kind::{ColumnKind, ColumnPlan, infer};
pub use moments::{DATE_PARTS, DateParts, parse_moment};
pub use table::{Table, Values};
