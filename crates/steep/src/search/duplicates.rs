//! Pairs of rows that are almost the same.

use super::exact::BLOCK;
use super::{Hit, Vectors};
use crate::error::{Error, Result};
use crate::learners::products::product_of_rows;
use crate::progress::Context;
use serde::Serialize;

/// Rows compared with all later ones at a time.
const ROWS: usize = 512;
/// More pairs than this are a sign of a threshold that is too low, and would fill the memory.
const MOST_PAIRS: usize = 10_000_000;

/// Two rows and how near they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NearPair {
    /// The earlier row.
    pub first: u32,
    /// The later row.
    pub second: u32,
    /// The cosine of the angle between them.
    pub score: f32,
}

/// All pairs of rows whose cosine is at least `threshold`, the nearest first. Every row is compared with every other, so
/// the time grows with the square of their number.
///
/// # Errors
/// More than ten million pairs; a stop on request.
pub fn near_pairs(vectors: &Vectors, threshold: f32, ctx: &Context) -> Result<Vec<NearPair>> {
    let (rows, width) = (vectors.rows(), vectors.width());
    let mut pairs = Vec::new();
    ctx.progress.start("comparing", Some(rows as u64), "rows");
    for start in (0..rows).step_by(ROWS) {
        let end = (start + ROWS).min(rows);
        let left = vectors.block(start..end);
        for other in (start..rows).step_by(BLOCK) {
            ctx.cancel.check()?;
            let right = vectors.block(other..(other + BLOCK).min(rows));
            let sizes = [end - start, width, right.len() / width];
            let mut scores = vec![0.0; sizes[0] * sizes[2]];
            product_of_rows(&left, &right, sizes, &mut scores);
            for (first, scores) in (start..end).zip(scores.chunks_exact(sizes[2])) {
                let near = scores
                    .iter()
                    .zip(other..)
                    .filter(|(score, second)| **score >= threshold && *second > first);
                let pair = |(&score, second): (&f32, usize)| NearPair {
                    first: first as u32,
                    second: second as u32,
                    score,
                };
                pairs.extend(near.map(pair));
            }
            check_count(pairs.len(), threshold)?;
        }
        ctx.progress.advance((end - start) as u64);
    }
    ctx.progress.finish();
    let key = |pair: &NearPair| Hit { row: pair.first, score: pair.score };
    pairs.sort_by(|a, b| key(a).order(key(b)).then(a.second.cmp(&b.second)));
    Ok(pairs)
}

fn check_count(pairs: usize, threshold: f32) -> Result<()> {
    if pairs <= MOST_PAIRS {
        return Ok(());
    }
    let problem = format!("more than {MOST_PAIRS} pairs have a cosine of {threshold} or more");
    Err(Error::config("near_duplicates", problem, "give a higher threshold"))
}
