//! How is randomness a function and not a state?
//!
//! Every random number is drawn from `hash(seed, stream, counter)`. Nothing is carried from one step to
//! the next, so a resumed run, or one with another number of workers, draws what the uninterrupted run drew.
//! The mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014, "Fast splittable
//! pseudorandom number generators"), applied twice per draw.

/// The odd constant of SplitMix64: the golden ratio's fraction in 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of the 64-bit numbers in which each input bit changes about half of the output bits.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A 64-bit number that depends on `seed` and on every element of `stream`, its order and its length.
///
/// Not for secrets: it is fast, not one-way.
pub fn hash(seed: u64, stream: &[u64]) -> u64 {
    let mut state = mix(seed.wrapping_add(GOLDEN));
    for &element in stream {
        state = mix(state.wrapping_mul(GOLDEN) ^ mix(element.wrapping_add(GOLDEN)));
    }
    mix(state ^ stream.len() as u64)
}

/// A hash as a number in `[0, 1)`, a multiple of 2⁻⁵³.
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A sequence of random numbers named by a seed and a path such as `[EPOCH, epoch, row]`.
///
/// The `n`-th number is a function of the name and of `n`; two streams with the same name are the same.
#[derive(Debug, Clone)]
pub struct Stream {
    key: u64,
    counter: u64,
}

impl Stream {
    /// The stream of that name, at its start.
    pub fn new(seed: u64, stream: &[u64]) -> Self {
        Self { key: hash(seed, stream), counter: 0 }
    }

    /// A uniform 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        mix(self.key ^ mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN))))
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻²⁴.
    pub fn next_f32(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound`, without bias (Lemire, 2019, "Fast random integer generation in an interval").
    /// A bound of zero gives zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let threshold = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// From the normal distribution with mean 0 and variance 1 (Box and Muller, 1958). Uses two draws.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next_f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next_f64()).cos()
    }

    /// Puts the items into a random order, each order equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            items.swap(last, chosen);
        }
    }

    /// The numbers `0..length` in a random order.
    pub fn permutation(&mut self, length: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..length).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn hash_depends_on_seed_order_and_length() {
        let values = [
            hash(1, &[1, 2]),
            hash(1, &[2, 1]),
            hash(2, &[1, 2]),
            hash(1, &[1, 2, 0]),
            hash(1, &[]),
            hash(1, &[0]),
            hash(1, &[0, 0]),
        ];
        let distinct: std::collections::BTreeSet<u64> = values.into_iter().collect();
        assert_eq!(distinct.len(), values.len());
    }

    /// The figures come from a second writing of the formulas in Python. A change here changes every seeded
    /// result users have: it needs a line in the change log.
    #[test]
    fn the_function_never_changes() {
        assert_eq!(hash(42, &[1, 2, 3]), 0xd94d_83c6_8c21_d5ab);
        assert_eq!(Stream::new(42, &[7]).next_u64(), 0x7a89_52fa_68f5_4971);
    }

    #[test]
    fn one_bit_of_the_seed_changes_half_of_the_bits() {
        let mut changed = 0;
        for seed in 0..64u64 {
            for bit in 0..64 {
                changed += (hash(seed, &[3]) ^ hash(seed ^ (1 << bit), &[3])).count_ones();
            }
        }
        let share = f64::from(changed) / (64.0 * 64.0 * 64.0);
        assert!((share - 0.5).abs() < 0.005, "{share}");
    }

    #[test]
    fn draws_fill_the_unit_interval_evenly() {
        let mut stream = Stream::new(1, &[]);
        let mut counts = [0u32; 16];
        for _ in 0..160_000 {
            let value = stream.next_f32();
            assert!((0.0..1.0).contains(&value));
            counts[(value * 16.0) as usize] += 1;
        }
        // Chi-squared with 15 degrees of freedom; 40 has a probability of 5e-4 under uniformity.
        let statistic: f64 = counts.iter().map(|&count| (f64::from(count) - 1e4).powi(2) / 1e4).sum();
        assert!(statistic < 40.0, "{statistic}");
    }

    #[test]
    fn neighbouring_streams_are_not_correlated() {
        let values: Vec<f64> = (0..100_000).map(|row| Stream::new(5, &[row]).next_f64() - 0.5).collect();
        let product: f64 = values.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let correlation = product / values.iter().map(|value| value * value).sum::<f64>();
        assert!(correlation.abs() < 0.015, "{correlation}");
    }

    #[test]
    fn below_is_even_and_within_its_bound() {
        let mut stream = Stream::new(3, &[1]);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut stream = Stream::new(9, &[2]);
        let values: Vec<f64> = (0..100_000).map(|_| stream.normal()).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e5;
        let beyond_two = values.iter().filter(|value| value.abs() > 1.959_964).count() as f64 / 1e5;
        assert!(mean.abs() < 0.015 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((beyond_two - 0.05).abs() < 0.004, "{beyond_two}");
    }

    #[test]
    fn shuffle_reaches_every_order_equally() {
        let mut counts: BTreeMap<[u8; 3], u32> = BTreeMap::new();
        for trial in 0..60_000 {
            let mut items = [0, 1, 2];
            Stream::new(11, &[trial]).shuffle(&mut items);
            *counts.entry(items).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
    }

    #[test]
    fn permutation_holds_every_number_once() {
        let mut order = Stream::new(1, &[4]).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
