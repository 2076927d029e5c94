//! Which rows of a corpus are near a vector, or have the words of a query?
//!
//! [`Vectors`] are those of a corpus on the disk, of unit length and memory-mapped. [`nearest`] compares a query with all of
//! them and is the reference; `lists` looks at few of them and may miss some, which [`recall`] measures. [`near_pairs`] finds
//! rows that say almost the same. A [`WordIndex`] finds rows by the words of a query, and [`fuse`] makes one list of what both
//! have found.

mod duplicates;
mod exact;
mod fusion;
pub(crate) mod lists;
mod vectors;
mod words;

pub use duplicates::{NearPair, near_pairs};
pub use exact::nearest;
pub use fusion::{FusedHit, RANK_CONSTANT, Ranked, fuse, fused_depth};
pub use lists::ListSettings;
pub use vectors::Vectors;
pub(crate) use words::WordIndexBuilder;
pub use words::{WordIndex, WordTotals};

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its number, from 0.
    pub row: u32,
    /// The cosine of the angle between it and the query, or how well its words answer those of the query.
    pub score: f32,
}

/// By what rows are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchMethod {
    /// By their vectors.
    Dense,
    /// By the words of the query.
    Bm25,
    /// By both, fused.
    Hybrid,
}

impl SearchMethod {
    /// Their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("dense", Self::Dense), ("bm25", Self::Bm25), ("hybrid", Self::Hybrid)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Bm25 => "bm25",
            Self::Hybrid => "hybrid",
        }
    }
}

impl Hit {
    /// The nearest first, of equally near ones the first row.
    fn order(self, other: Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.row.cmp(&other.row))
    }
}

/// The mean share of the exact hits that were found, over all queries; 1 where there are none.
pub fn recall(found: &[Vec<Hit>], exact: &[Vec<Hit>]) -> f64 {
    let shares = exact.iter().zip(found).filter(|(exact, _)| !exact.is_empty()).map(|(exact, found)| {
        let has = |hit: &&Hit| found.iter().any(|other| other.row == hit.row);
        exact.iter().filter(has).count() as f64 / exact.len() as f64
    });
    let shares: Vec<f64> = shares.collect();
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

#[cfg(test)]
mod tests;
