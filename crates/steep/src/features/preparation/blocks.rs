//! Blocks of columns, each scaled to the same total variance.

use super::affine::moments;
use serde::{Deserialize, Serialize};

/// Where columns come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Vectors, such as embeddings.
    Vectors,
    /// The person's own columns.
    Columns,
    /// Columns engineered from the text.
    Engineered,
}

impl Block {
    /// All blocks with their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("vectors", Self::Vectors), ("columns", Self::Columns), ("engineered", Self::Engineered)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Columns => "columns",
            Self::Engineered => "engineered",
        }
    }
}

/// The factor of each block that makes its total variance `weight²` times its share of all columns' number, so that the
/// mean variance of a column stays 1 and a learner's penalty means the same with and without the blocks.
///
/// `columns` holds the training values of each column with its block. A block without variance keeps the factor 1.
pub(super) fn block_factors<'a>(
    columns: impl Iterator<Item = (Block, &'a [f64])>,
    weights: &[(Block, f64)],
) -> Vec<(Block, f64)> {
    let mut totals: Vec<(Block, f64)> = Vec::new();
    let mut count = 0;
    for (block, values) in columns {
        count += 1;
        let variance = moments(values).1;
        match totals.iter_mut().find(|(known, _)| *known == block) {
            Some((_, total)) => *total += variance,
            None => totals.push((block, variance)),
        }
    }
    let share = f64::from(count) / totals.len().max(1) as f64;
    let weight =
        |block: Block| weights.iter().find(|(of, _)| *of == block).map_or(1.0, |(_, weight)| *weight);
    let factor = |(block, total): (Block, f64)| {
        (block, if total > 0.0 { weight(block) * (share / total).sqrt() } else { 1.0 })
    };
    totals.into_iter().map(factor).collect()
}
