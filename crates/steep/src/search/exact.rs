//! The nearest rows, found by looking at all of them.

use super::{Hit, Vectors};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::products::product_of_rows;
use crate::progress::Context;

/// Queries compared at a time, and rows they are compared with: their products stay in the cache.
const QUERIES: usize = 128;
pub(super) const BLOCK: usize = 4096;

/// The `top_k` rows nearest to each query, the nearest first; fewer where there are fewer rows.
///
/// # Errors
/// Queries of another width; a stop on request.
pub fn nearest(
    vectors: &Vectors,
    queries: &DenseMatrix,
    top_k: usize,
    ctx: &Context,
) -> Result<Vec<Vec<Hit>>> {
    check_width(vectors, queries)?;
    let width = vectors.width();
    let mut found: Vec<Vec<Hit>> = vec![Vec::new(); queries.rows()];
    for start in (0..vectors.rows()).step_by(BLOCK) {
        ctx.cancel.check()?;
        let end = (start + BLOCK).min(vectors.rows());
        let block = vectors.block(start..end);
        let parts = queries.values().chunks(QUERIES * width).zip(found.chunks_mut(QUERIES));
        for (queries, found) in parts {
            let sizes = [queries.len() / width, width, end - start];
            let mut scores = vec![0.0; sizes[0] * sizes[2]];
            product_of_rows(queries, &block, sizes, &mut scores);
            for (scores, hits) in scores.chunks_exact(sizes[2]).zip(found) {
                keep_nearest(hits, scores, start as u32, top_k);
            }
        }
    }
    Ok(found)
}

pub(super) fn check_width(vectors: &Vectors, queries: &DenseMatrix) -> Result<()> {
    if queries.columns() == vectors.width() {
        return Ok(());
    }
    let problem = format!("the queries have {} dimensions, the index {}", queries.columns(), vectors.width());
    Err(Error::config("query", problem, "use the encoder that the index was made with"))
}

/// Adds the rows of a block that are among the nearest so far.
pub(super) fn keep_nearest(hits: &mut Vec<Hit>, scores: &[f32], first: u32, top_k: usize) {
    keep_above(hits, scores, first, top_k, f32::NEG_INFINITY);
}

/// The same for rows whose scores are above `least`.
pub(super) fn keep_above(hits: &mut Vec<Hit>, scores: &[f32], first: u32, top_k: usize, least: f32) {
    let threshold = if hits.len() < top_k { least } else { hits[hits.len() - 1].score };
    let better = scores.iter().zip(first..).filter(|(score, _)| **score > threshold);
    hits.extend(better.map(|(&score, row)| Hit { row, score }));
    hits.sort_unstable_by(|a, b| a.order(*b));
    hits.truncate(top_k);
}
