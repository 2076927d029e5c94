//! The most frequent tags of a column of lists, one column each.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The tags that get a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TagColumn {
    pub(super) column: String,
    /// In the order of their code points.
    tags: Vec<String>,
}

impl TagColumn {
    /// The `most` tags that occur in the most training rows; of equally frequent ones the first in order.
    pub(super) fn fit(column: &str, training: &[Vec<String>], most: usize) -> Self {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for tags in training {
            let mut tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            tags.sort_unstable();
            tags.dedup();
            tags.into_iter().for_each(|tag| *counts.entry(tag).or_default() += 1);
        }
        let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
        counts.sort_unstable_by_key(|(tag, count)| (std::cmp::Reverse(*count), *tag));
        let mut tags: Vec<String> = counts.into_iter().take(most).map(|(tag, _)| tag.to_owned()).collect();
        tags.sort_unstable();
        Self { column: column.to_owned(), tags }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.tags.iter().map(|tag| format!("{}={tag}", self.column)).collect()
    }

    /// 1 where a row has the tag.
    pub(super) fn apply(&self, values: &[Vec<String>]) -> Vec<Vec<f64>> {
        let mut columns = vec![vec![0.0; values.len()]; self.tags.len()];
        for (row, tags) in values.iter().enumerate() {
            for tag in tags {
                if let Ok(place) = self.tags.binary_search(tag) {
                    columns[place][row] = 1.0;
                }
            }
        }
        columns
    }

    pub(super) fn is_whole(&self) -> bool {
        self.tags.windows(2).all(|pair| pair[0] < pair[1])
    }
}
