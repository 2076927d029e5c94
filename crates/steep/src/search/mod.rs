//! Which rows of a corpus are near a vector?
//!
//! [`Vectors`] are those of a corpus on the disk, of unit length and memory-mapped. [`nearest`] compares a query with all of
//! them and is the reference; `lists` looks at few of them and may miss some, which [`recall`] measures. [`near_pairs`] finds
//! rows that say almost the same.

mod duplicates;
mod exact;
pub(crate) mod lists;
mod vectors;

pub use duplicates::{NearPair, near_pairs};
pub use exact::nearest;
pub use lists::ListSettings;
pub use vectors::Vectors;

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its number, from 0.
    pub row: u32,
    /// The cosine of the angle between it and the query.
    pub score: f32,
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
