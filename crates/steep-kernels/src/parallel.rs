//! How much work is one task, and how are large buffers made?

use rayon::prelude::*;

/// Elements per task of a cheap element-wise loop: some 20 µs, and small enough for the second-level cache.
pub(crate) const ELEMENTS: usize = 1 << 15;

/// Rows per task when each row has `features` elements and costs about as much as an element-wise loop.
pub(crate) fn rows_per_task(features: usize) -> usize {
    (ELEMENTS / features.max(1)).max(1)
}

/// So many zeros, set by all threads where there are many: memory that is used again has to be cleared, and the gradients
/// of a step are as large as the model.
pub(crate) fn zeros(length: usize) -> Vec<f32> {
    const FEW: usize = 1 << 18;
    if length < FEW {
        return vec![0.0; length];
    }
    rayon::iter::repeat_n(0.0, length).with_min_len(FEW / 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_however_many() {
        for length in [0, 1, 1 << 18, (1 << 18) + 7] {
            assert_eq!(zeros(length), vec![0.0; length]);
        }
    }
}
