//! One list of rows out of two.

use super::Hit;
use serde::Serialize;
use std::collections::BTreeMap;

/// The constant of [`fuse`]: how little the first ranks count for more than the next.
pub const RANK_CONSTANT: f64 = 60.0;
/// Rows of each list that are fused, at least.
const FUSED: usize = 100;

/// So many rows of each list are fused into one of `top_k`.
pub fn fused_depth(top_k: usize) -> usize {
    top_k.max(FUSED)
}

/// A row's place in one list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    /// From 1 on.
    pub rank: u32,
    /// The list's own score.
    pub score: f32,
}

/// A row of two lists.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FusedHit {
    /// Its number, from 0.
    pub row: u32,
    /// The fused score.
    pub score: f64,
    /// Its place among the rows near the query's vector.
    pub dense: Option<Ranked>,
    /// Its place among the rows with the query's words.
    pub bm25: Option<Ranked>,
}

/// Up to `top_k` rows by reciprocal-rank fusion (Cormack, Clarke and Büttcher 2009): a row's score is the sum of
/// `1 / (60 + rank)` over the lists in which it is, ranks from 1 on. The best first, of equally good ones the first row.
pub fn fuse(dense: &[Hit], bm25: &[Hit], top_k: usize) -> Vec<FusedHit> {
    let mut rows: BTreeMap<u32, FusedHit> = BTreeMap::new();
    let mut add = |hits: &[Hit], place: fn(&mut FusedHit) -> &mut Option<Ranked>| {
        for (hit, rank) in hits.iter().zip(1..) {
            let empty = FusedHit { row: hit.row, score: 0.0, dense: None, bm25: None };
            let fused = rows.entry(hit.row).or_insert(empty);
            fused.score += 1.0 / (RANK_CONSTANT + f64::from(rank));
            *place(fused) = Some(Ranked { rank, score: hit.score });
        }
    };
    add(dense, |hit| &mut hit.dense);
    add(bm25, |hit| &mut hit.bm25);
    let mut fused: Vec<FusedHit> = rows.into_values().collect();
    // Stable, so that rows of equal scores keep their order.
    fused.sort_by(|a, b| b.score.total_cmp(&a.score));
    fused.truncate(top_k);
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(rows: &[u32]) -> Vec<Hit> {
        rows.iter().map(|&row| Hit { row, score: 1.0 / (row as f32 + 1.0) }).collect()
    }

    #[test]
    fn rows_of_both_lists_come_first_and_equal_ones_by_row() {
        let fused = fuse(&hits(&[7, 3, 5]), &hits(&[5, 9, 3]), 10);
        let rows: Vec<u32> = fused.iter().map(|hit| hit.row).collect();
        assert_eq!(rows, [5, 3, 7, 9]);
        assert_eq!(fused[0].score, 1.0 / 63.0 + 1.0 / 61.0);
        assert_eq!(fused[1].dense, Some(Ranked { rank: 2, score: 0.25 }));
        assert_eq!(fused[1].bm25.map(|place| place.rank), Some(3));
        assert_eq!(fused[2].bm25, None);
        let tied: Vec<u32> = fuse(&hits(&[9]), &hits(&[2]), 10).iter().map(|hit| hit.row).collect();
        assert_eq!(tied, [2, 9]);
        assert_eq!(fuse(&hits(&[7, 3, 5]), &[], 2).len(), 2);
        assert!(fuse(&[], &[], 2).is_empty());
    }
}
