//! The nearest rows by way of lists: rows are parted by the nearest of some centres, and a query looks at the rows of the
//! nearest centres only (an inverted file; Sivic and Zisserman 2003, Jégou et al. 2011).
//!
//! The centres are those of spherical k-means (Dhillon and Modha 2001) on a sample. Vectors stay where they are, so that a
//! search reads of the disk what it looks at. Everything is drawn from the seed: the same vectors give the same bytes.

use super::exact::{BLOCK, check_width, keep_nearest};
use super::{Hit, Vectors};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::products::product_of_rows;
use crate::learners::tensors::{TensorReader, TensorWriter};
use crate::progress::Context;
use crate::random::Stream;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use steep_encoder::pooling::normalize;

/// The file that [`Lists::save`] writes.
pub(crate) const LISTS_FILE: &str = "lists.safetensors";
/// Rows of the sample for each centre, at most; more move the centres little.
const SAMPLED: usize = 256;
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Name of the random stream.
const SAMPLE: u64 = 0x6c69_7374;

/// How rows are parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSettings {
    /// Centres; absent, the square root of the number of rows.
    pub n_lists: Option<usize>,
    /// Seed of the sample.
    pub seed: u64,
}

/// Rows parted by centres.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lists {
    /// `[lists, width]`, of unit length.
    centres: Vec<f32>,
    width: usize,
    /// All rows, list after list, ascending in each.
    rows: Vec<u32>,
    /// List `i` holds `rows[offsets[i]..offsets[i + 1]]`.
    offsets: Vec<u32>,
}

impl Lists {
    /// Parts the rows of an index.
    ///
    /// # Errors
    /// More rows than fit into 32 bits; a stop on request.
    pub(crate) fn build(vectors: &Vectors, settings: ListSettings, ctx: &Context) -> Result<Self> {
        let (rows, width) = (vectors.rows(), vectors.width());
        if u32::try_from(rows).is_err() {
            let problem = format!("{rows} rows are more than an index of lists can hold");
            return Err(Error::config("index_type", problem, "part the corpus"));
        }
        let count =
            settings.n_lists.unwrap_or_else(|| (rows as f64).sqrt().ceil() as usize).clamp(1, rows.max(1));
        let mut order = Stream::new(settings.seed, &[SAMPLE]).permutation(rows as u32);
        order.truncate(count * SAMPLED);
        let mut centres = gathered(vectors, &order[..count.min(order.len())]);
        order.sort_unstable();
        ctx.progress.start("parting rows", Some(ROUNDS as u64 + 1), "rounds");
        for _ in 0..ROUNDS {
            centres = moved(vectors, &order, &centres, ctx)?;
            ctx.progress.advance(1);
        }
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); centres.len() / width.max(1)];
        for start in (0..rows).step_by(BLOCK) {
            ctx.cancel.check()?;
            let block = vectors.block(start..(start + BLOCK).min(rows));
            for (row, centre) in (start as u32..).zip(nearest_centres(&block, &centres, width)) {
                members[centre].push(row);
            }
        }
        ctx.progress.finish();
        let ends = members.iter().scan(0, |end, list| {
            *end += list.len() as u32;
            Some(*end)
        });
        let offsets = std::iter::once(0).chain(ends).collect();
        Ok(Self { centres, width, rows: members.concat(), offsets })
    }

    /// The number of lists.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Writes the lists into an existing folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let mut tensors = TensorWriter::default();
        tensors.f32("centres", &[self.len(), self.width], &self.centres);
        tensors.u32("rows", &[self.rows.len()], &self.rows);
        tensors.u32("offsets", &[self.offsets.len()], &self.offsets);
        let path = folder.join(LISTS_FILE);
        std::fs::write(&path, tensors.to_bytes(LISTS_FILE)?).map_err(Error::io("write", &path))
    }

    /// Reads the lists of an index of this shape.
    ///
    /// # Errors
    /// A file that is not there, is damaged, or is of another index.
    pub(crate) fn load(folder: &Path, rows: usize, width: usize) -> Result<Self> {
        let path = folder.join(LISTS_FILE);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let damaged = |problem: String| Error::data(&path, problem, "delete the index and make it anew");
        let tensors = TensorReader::new(&bytes).map_err(damaged)?;
        let count = tensors.length("centres").map_err(damaged)?;
        let lists = Self {
            centres: tensors.f32("centres", &[count, width]).map_err(damaged)?,
            width,
            rows: tensors.u32("rows", &[rows]).map_err(damaged)?,
            offsets: tensors.u32("offsets", &[count + 1]).map_err(damaged)?,
        };
        let fits = lists.offsets.first() == Some(&0)
            && lists.offsets.last().is_some_and(|end| *end as usize == rows)
            && lists.offsets.windows(2).all(|pair| pair[0] <= pair[1])
            && lists.rows.iter().all(|row| (*row as usize) < rows);
        if fits { Ok(lists) } else { Err(damaged("the lists do not fit the rows".to_owned())) }
    }

    /// Up to `top_k` rows near each query, of the `n_probe` lists whose centres are nearest, the nearest first.
    ///
    /// # Errors
    /// Queries of another width; a stop on request.
    pub(crate) fn nearest(
        &self,
        vectors: &Vectors,
        queries: &DenseMatrix,
        [top_k, n_probe]: [usize; 2],
        ctx: &Context,
    ) -> Result<Vec<Vec<Hit>>> {
        check_width(vectors, queries)?;
        let search = |query: &[f32]| -> Result<Vec<Hit>> {
            ctx.cancel.check()?;
            let mut near = Vec::new();
            keep_nearest(&mut near, &scores(query, &self.centres), 0, n_probe);
            let mut hits = Vec::new();
            for list in near {
                let rows = self.list(list.row as usize);
                let scores = scores(query, &gathered(vectors, rows));
                hits.extend(rows.iter().zip(scores).map(|(&row, score)| Hit { row, score }));
            }
            hits.sort_unstable_by(|a, b| a.order(*b));
            hits.truncate(top_k);
            Ok(hits)
        };
        queries.values().par_chunks_exact(queries.columns().max(1)).map(search).collect()
    }

    fn list(&self, list: usize) -> &[u32] {
        &self.rows[self.offsets[list] as usize..self.offsets[list + 1] as usize]
    }
}

/// Copies of rows, one after the other.
fn gathered(vectors: &Vectors, rows: &[u32]) -> Vec<f32> {
    rows.iter().flat_map(|&row| vectors.block(row as usize..row as usize + 1)).collect()
}

/// The products of one vector with each of some.
fn scores(query: &[f32], others: &[f32]) -> Vec<f32> {
    let count = others.len() / query.len().max(1);
    let mut scores = vec![0.0; count];
    if count > 0 {
        product_of_rows(query, others, [1, query.len(), count], &mut scores);
    }
    scores
}

/// For each row of a block, the centre with the largest product, of equal ones the first.
fn nearest_centres(block: &[f32], centres: &[f32], width: usize) -> Vec<usize> {
    let sizes = [block.len() / width, width, centres.len() / width];
    let mut scores = vec![0.0; sizes[0] * sizes[2]];
    product_of_rows(block, centres, sizes, &mut scores);
    let best = |scores: &[f32]| {
        let larger = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
        (1..scores.len()).fold(0, larger)
    };
    scores.chunks_exact(sizes[2]).map(best).collect()
}

/// The centres' next places: the directions of the sums of their rows. A centre without rows stays where it is.
fn moved(vectors: &Vectors, sample: &[u32], centres: &[f32], ctx: &Context) -> Result<Vec<f32>> {
    let width = vectors.width();
    let mut sums = vec![0.0_f64; centres.len()];
    for rows in sample.chunks(BLOCK) {
        ctx.cancel.check()?;
        let block = gathered(vectors, rows);
        for (row, centre) in block.chunks_exact(width).zip(nearest_centres(&block, centres, width)) {
            let sum = &mut sums[centre * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
    }
    let mut next = centres.to_vec();
    for (centre, sum) in next.chunks_exact_mut(width).zip(sums.chunks_exact(width)) {
        if sum.iter().any(|value| *value != 0.0) {
            centre.iter_mut().zip(sum).for_each(|(x, sum)| *x = *sum as f32);
            normalize(centre);
        }
    }
    Ok(next)
}
