//! Random order as a pure function of a seed: the same on every machine, whatever ran before.

/// Different purposes draw from different streams, so that they do not repeat each other's choices.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// The order in which rows of a class, or groups, are dealt to the parts of a split.
    Split = 1,
    /// The same for folds.
    Folds = 2,
    /// The choice of a label budget.
    Budget = 3,
    /// The multipliers of `MinHash`.
    MinHash = 4,
}

/// A uniform 64-bit number for the `index`-th draw.
pub(super) fn draw(seed: u64, stream: Stream, index: u64) -> u64 {
    crate::random::hash(seed, &[stream as u64, index])
}

/// The items in random order. An item's place depends on the seed and on the items, not on their order.
pub(super) fn shuffled(mut items: Vec<u32>, seed: u64, stream: Stream) -> Vec<u32> {
    items.sort_by_cached_key(|item| (draw(seed, stream, u64::from(*item)), *item));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_depends_on_seed_and_stream_only() {
        let order = |seed, stream| shuffled((0..50).collect(), seed, stream);
        assert_eq!(order(1, Stream::Split), shuffled((0..50).rev().collect(), 1, Stream::Split));
        assert_ne!(order(1, Stream::Split), order(2, Stream::Split));
        assert_ne!(order(1, Stream::Split), order(1, Stream::Folds));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mean =
            (0..10_000).map(|i| draw(0, Stream::Split, i) as f64 / u64::MAX as f64).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
