//! Inner products in 64 bits, the same for any number of threads.

use rayon::prelude::*;

/// Values handled by one task.
const CHUNK: usize = 1 << 15;
/// Sums kept side by side, so that additions need not wait for each other.
const LANES: usize = 8;

/// The inner product of two equally long slices of any width.
pub(crate) fn dot<A: Copy + Into<f64>, B: Copy + Into<f64>>(left: &[A], right: &[B]) -> f64 {
    let mut sums = [0.0; LANES];
    let (left, right) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f64 = rest.map(|(&a, &b)| a.into() * b.into()).sum();
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += a[lane].into() * b[lane].into();
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// [`dot`] of long slices on all threads.
pub(crate) fn inner_product<A, B>(left: &[A], right: &[B]) -> f64
where
    A: Copy + Into<f64> + Sync,
    B: Copy + Into<f64> + Sync,
{
    let chunks = left.par_chunks(CHUNK).zip(right.par_chunks(CHUNK));
    chunks.map(|(left, right)| dot(left, right)).collect::<Vec<_>>().iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_once() {
        for length in [0, 1, 7, 8, 9, 100_000] {
            let (left, right) = (vec![1.0f32; length], vec![2.0f64; length]);
            assert_eq!(inner_product(&left, &right), 2.0 * length as f64);
        }
    }
}
