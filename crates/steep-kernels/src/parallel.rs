//! How much work is one task?

/// Elements per task of a cheap element-wise loop: some 20 µs, and small enough for the second-level cache.
pub(crate) const ELEMENTS: usize = 1 << 15;

/// Rows per task when each row has `features` elements and costs about as much as an element-wise loop.
pub(crate) fn rows_per_task(features: usize) -> usize {
    (ELEMENTS / features.max(1)).max(1)
}
