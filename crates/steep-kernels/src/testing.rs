//! What the unit tests share: numbers, comparisons and thread pools.

/// `length` reproducible numbers in [-1, 1).
pub(crate) fn numbers(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Panics where `values` and `expected` differ by more than `tolerance · (1 + |expected|)`.
pub(crate) fn assert_close(values: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(values.len(), expected.len());
    for (index, (value, expected)) in values.iter().zip(expected).enumerate() {
        let difference = (f64::from(*value) - expected).abs();
        assert!(
            difference <= tolerance * (1.0 + expected.abs()),
            "element {index}: {value} instead of {expected} (difference {difference:e})"
        );
    }
}

/// Runs `work` in pools of 1, 2 and 3 threads and panics unless all results have the same bits.
pub(crate) fn same_for_any_thread_count(work: impl Fn() -> Vec<f32> + Sync) {
    let results: Vec<Vec<u32>> = [1, 2, 3]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
            bits(&pool.install(&work))
        })
        .collect();
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

/// Central finite differences of `loss` at `point`.
pub(crate) fn finite_differences(point: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut moved = point.to_vec();
    (0..point.len())
        .map(|index| {
            moved[index] = point[index] + step;
            let above = loss(&moved);
            moved[index] = point[index] - step;
            let below = loss(&moved);
            moved[index] = point[index];
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// The weighted sum that turns any output into a loss.
pub(crate) fn dot(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum()
}
