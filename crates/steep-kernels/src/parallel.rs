//! How much work is one task, how are large buffers made, and where does a chain of kernels run?

use rayon::prelude::*;

/// Elements per task of a cheap element-wise loop: some 20 µs, and small enough for the second-level cache.
pub(crate) const ELEMENTS: usize = 1 << 15;

/// Rows per task when each row has `features` elements and costs about as much as an element-wise loop.
pub(crate) fn rows_per_task(features: usize) -> usize {
    (ELEMENTS / features.max(1)).max(1)
}

/// So many zeros, set by all threads where there are many: memory that is used again has to be cleared, and the gradients
/// of a step are as large as the model.
pub(crate) fn zeros<T: Copy + Default + Send + Sync>(length: usize) -> Vec<T> {
    const FEW_BYTES: usize = 256 << 10;
    if length * size_of::<T>() < FEW_BYTES {
        return vec![T::default(); length];
    }
    rayon::iter::repeat_n(T::default(), length).with_min_len(FEW_BYTES / 4 / size_of::<T>()).collect()
}

/// Runs `work` on one of the threads that the kernels' loops are dealt to.
///
/// A thread from outside falls asleep at every loop and is woken at its end; a step of training has hundreds of them.
pub fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_however_many() {
        for length in [0, 1, 1 << 18, (1 << 18) + 7] {
            assert_eq!(zeros::<f32>(length), vec![0.0; length]);
        }
    }
}
