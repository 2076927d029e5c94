//! The categories of a column: frequent ones, a place for rare ones, a place for missing values.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The categories of a column, learned from training rows. Codes count through the values, then the place of missing
/// values, then that of rare ones, as scikit-learn's encoders do with `None` and with infrequent categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Categories {
    pub(super) column: String,
    /// The frequent values in the order of their code points.
    values: Vec<String>,
    has_missing: bool,
    has_rare: bool,
}

/// Which categories get a place of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frequency {
    /// In so many training rows at least.
    pub(super) min_count: u64,
    /// So many at most, the place of rare ones counted in.
    pub(super) max_categories: usize,
}

impl Frequency {
    /// All categories.
    pub(super) const ANY: Self = Self { min_count: 1, max_categories: usize::MAX };
}

impl Categories {
    pub(super) fn fit(column: &str, training: &[Option<String>], frequency: Frequency) -> Self {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for value in training.iter().flatten() {
            *counts.entry(value).or_default() += 1;
        }
        let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
        counts.sort_unstable();
        let all = counts.len();
        counts.retain(|(_, count)| *count >= frequency.min_count);
        // The place of rare ones is counted even where there is none yet, as in scikit-learn.
        if counts.len() >= frequency.max_categories {
            counts = most_frequent(&counts, frequency.max_categories);
        }
        Self {
            column: column.to_owned(),
            has_rare: counts.len() < all,
            values: counts.into_iter().map(|(value, _)| value.to_owned()).collect(),
            has_missing: training.iter().any(Option::is_none),
        }
    }

    /// How many codes there are.
    pub(super) fn width(&self) -> usize {
        self.values.len() + usize::from(self.has_missing) + usize::from(self.has_rare)
    }

    /// The code of a value that was seen in training, a rare one being the last; `None` for one that was not.
    ///
    /// Rare values are not kept, so with a place for them an unseen value is one of them.
    pub(super) fn code(&self, value: Option<&str>) -> Option<usize> {
        let rare = || self.has_rare.then(|| self.width() - 1);
        match value {
            None if self.has_missing => Some(self.values.len()),
            None => rare(),
            Some(value) => self.values.binary_search_by(|known| known.as_str().cmp(value)).ok().or_else(rare),
        }
    }

    /// The codes in words.
    pub(super) fn names(&self) -> Vec<String> {
        let named = |what: &str| format!("{}={what}", self.column);
        let values = self.values.iter().map(|value| named(value));
        let missing = self.has_missing.then(|| format!("{}_missing", self.column));
        let rare = self.has_rare.then(|| format!("{}_rare", self.column));
        values.chain(missing).chain(rare).collect()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.values.windows(2).all(|pair| pair[0] < pair[1])
    }
}

/// The most frequent categories with one place left over; of equally frequent ones those last in order, as
/// scikit-learn has it.
fn most_frequent<'a>(counts: &[(&'a str, u64)], max_categories: usize) -> Vec<(&'a str, u64)> {
    let mut by_count: Vec<usize> = (0..counts.len()).collect();
    by_count.sort_by_key(|&at| (std::cmp::Reverse(counts[at].1), std::cmp::Reverse(at)));
    by_count.truncate(max_categories.saturating_sub(1));
    by_count.sort_unstable();
    by_count.into_iter().map(|at| counts[at]).collect()
}
