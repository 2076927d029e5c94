//! `MinHash` signatures in bands: alike sets share a band's key with known probability (Broder 1997;
//! Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, 3.4).

use super::random::{Stream, draw};
use super::shingles::Scheme;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash functions of a signature.
const PERMUTATIONS: usize = 128;
/// Two sets exactly at the threshold share a band with at least this probability.
const RECALL: f64 = 0.995;

/// The hash functions and how they are banded.
#[derive(Debug, Clone)]
pub(super) struct MinHasher {
    multipliers: Vec<u64>,
    offsets: Vec<u64>,
    rows: usize,
}

impl MinHasher {
    /// Hash functions banded for a Jaccard threshold.
    pub(super) fn new(threshold: f64, seed: u64) -> Self {
        let rows = rows_of_a_band(threshold);
        let used = PERMUTATIONS / rows * rows;
        let numbers = |from: usize| (from..from + used).map(|at| draw(seed, Stream::MinHash, at as u64));
        // An odd multiplier keeps the low bits of a piece from being lost.
        let multipliers = numbers(0).map(|number| number | 1).collect();
        Self { multipliers, offsets: numbers(PERMUTATIONS).collect(), rows }
    }

    /// One key a band; a key also tells the band and the scheme.
    pub(super) fn band_keys(&self, shingles: &[u32], scheme: Scheme) -> Vec<u64> {
        let signature = self.signature(shingles);
        let mut bytes = Vec::with_capacity(self.rows * 4);
        let key = |(band, values): (usize, &[u32])| {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            xxh3_64_with_seed(&bytes, (band as u64) << 1 | u64::from(scheme == Scheme::Words))
        };
        signature.chunks_exact(self.rows).enumerate().map(key).collect()
    }

    /// For each hash function the least value over the set: the high half of multiplier · piece + offset.
    fn signature(&self, shingles: &[u32]) -> Vec<u32> {
        let mut least = vec![u32::MAX; self.multipliers.len()];
        for piece in shingles {
            let piece = u64::from(*piece);
            for ((least, multiplier), offset) in least.iter_mut().zip(&self.multipliers).zip(&self.offsets) {
                let value = (multiplier.wrapping_mul(piece).wrapping_add(*offset) >> 32) as u32;
                *least = (*least).min(value);
            }
        }
        least
    }
}

/// The longest bands (fewest candidates) that still find sets at the threshold: they share one of b bands of r
/// rows with probability 1 − (1 − tʳ)ᵇ.
fn rows_of_a_band(threshold: f64) -> usize {
    let found = |rows: usize| {
        let bands = (PERMUTATIONS / rows) as i32;
        1.0 - (1.0 - threshold.powi(rows as i32)).powi(bands)
    };
    (1..=32).rev().find(|rows| found(*rows) >= RECALL).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_fit_the_threshold() {
        assert_eq!(rows_of_a_band(0.8), 6);
        assert!(rows_of_a_band(0.5) < 6 && rows_of_a_band(0.95) > 6);
        assert_eq!(rows_of_a_band(0.01), 1);
    }

    #[test]
    fn equal_values_estimate_the_jaccard_index() {
        let hasher = MinHasher::new(0.8, 0);
        let mut difference = 0.0;
        for trial in 0..200_u64 {
            let piece = |at: u64| draw(9, Stream::Split, trial << 32 | at) as u32;
            let (left, right): (Vec<u32>, Vec<u32>) =
                ((0..90).map(piece).collect(), (10..100).map(piece).collect());
            let (left, right) = (hasher.signature(&left), hasher.signature(&right));
            let equal = left.iter().zip(&right).filter(|(left, right)| left == right).count();
            difference += equal as f64 / left.len() as f64 - 0.8;
        }
        // The standard error of the mean of 200 estimates from 126 values is 0.0025.
        assert!((difference / 200.0_f64).abs() < 0.01, "{}", difference / 200.0);
    }
}
