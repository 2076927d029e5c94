//! What can be counted in a text, as columns beside its vectors?
//!
//! One file a family of columns; names begin with `text_` and stay. All is a function of the text alone, but for the
//! indicators of the most frequent hashtags, emoji and languages: which those are is learned from training texts and
//! kept in the [`EngineeredSpec`], one JSON file. Texts are worked off in parallel and give the same numbers alone or
//! in any company.

mod emoji;
mod emoticons;
mod language;
mod length;
mod links;
mod readability;
mod scripts;
mod spec;
mod style;
mod tokens;
mod view;

pub(crate) use emoji::has_emoji;
pub use spec::{EngineeredFitter, EngineeredSettings, EngineeredSpec, Family};

#[cfg(test)]
mod tests;
