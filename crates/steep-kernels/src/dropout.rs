//! Which activations does a training step drop?
//!
//! Whether an element is kept is a hash of the seed and the element's index, so masks need no memory, are equal in
//! forward and backward, and do not depend on threads. The hash works on 32-bit words, which vectorise: two rounds of
//! the `lowbias32` finaliser (Wellons, "Prospecting for Hash Functions", 2018) with a key from SplitMix64 before each.

use crate::dispatch::{Path, per_path};
use crate::parallel::ELEMENTS;
use rayon::prelude::*;

/// Dropout with inverse scaling: an element is zero with `probability`, else divided by `1 - probability`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of dropped elements, at least 0 and less than 1.
    pub probability: f32,
    /// Distinguishes masks; each layer and each step needs its own.
    pub seed: u64,
}

impl Dropout {
    /// Keeps everything as it is.
    pub const NONE: Self = Self { probability: 0.0, seed: 0 };

    /// What the element at `index` is multiplied by: 0 or `1 / (1 - probability)`; 1 if nothing is dropped.
    pub fn keep_scale(self, index: u64) -> f32 {
        self.mask((index >> 32) as u32).map_or(1.0, |mask| mask.factor(index as u32))
    }

    /// The mask over the indices whose upper half is `high`; `None` if nothing is dropped.
    pub(crate) fn mask(self, high: u32) -> Option<Mask> {
        assert!(
            (0.0..1.0).contains(&self.probability),
            "a dropout probability must be at least 0 and less than 1"
        );
        if self.probability == 0.0 {
            return None;
        }
        let first = split_mix(self.seed);
        let key = split_mix(first ^ u64::from(high));
        Some(Mask {
            first_key: key as u32,
            second_key: (key >> 32) as u32,
            threshold: (f64::from(self.probability) * 4_294_967_296.0).round() as u32,
            scale: 1.0 / (1.0 - self.probability),
        })
    }

    /// The mask over a slice of `length` elements, indexed from 0.
    pub(crate) fn flat_mask(self, length: usize) -> Option<Mask> {
        assert!(u32::try_from(length).is_ok(), "dropout works on fewer than 2^32 elements at a time");
        self.mask(0)
    }
}

/// The step of SplitMix64 (Steele, Lea & Flood, 2014).
fn split_mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The random part of a [`Dropout`] for one upper half of the index.
#[derive(Clone, Copy)]
pub(crate) struct Mask {
    first_key: u32,
    second_key: u32,
    threshold: u32,
    scale: f32,
}

impl Mask {
    #[inline(always)]
    fn keeps(self, low: u32) -> bool {
        low_bias(low_bias(low ^ self.first_key).wrapping_add(self.second_key)) >= self.threshold
    }

    /// 0 or the scale.
    #[inline(always)]
    pub(crate) fn factor(self, low: u32) -> f32 {
        if self.keeps(low) { self.scale } else { 0.0 }
    }

    /// 0 or the scaled value; a dropped infinity is 0 too.
    #[inline(always)]
    pub(crate) fn apply(self, low: u32, value: f32) -> f32 {
        if self.keeps(low) { value * self.scale } else { 0.0 }
    }
}

#[inline(always)]
fn low_bias(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// `y = dropout(x)`; the index of an element is its position in `x`. Serves forward and backward alike. With
/// probability 0 it copies.
pub fn apply(dropout: Dropout, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "input and output of dropout must be equally long");
    let mask = dropout.flat_mask(x.len());
    let path = Path::best();
    y.par_chunks_mut(ELEMENTS).zip(x.par_chunks(ELEMENTS)).enumerate().for_each(
        |(chunk, (y, x))| match mask {
            Some(mask) => apply_on(path, mask, (chunk * ELEMENTS) as u32, x, y),
            None => y.copy_from_slice(x),
        },
    );
}

per_path!(fn apply_on(mask: Mask, first: u32, x: &[f32], y: &mut [f32]) = apply_body);

#[inline(always)]
fn apply_body(mask: Mask, first: u32, x: &[f32], y: &mut [f32]) {
    for (index, (y, x)) in y.iter_mut().zip(x).enumerate() {
        *y = mask.apply(first.wrapping_add(index as u32), *x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, numbers, same_for_any_thread_count};

    #[test]
    fn probability_zero_is_the_identity() {
        let x = [f32::NAN, f32::INFINITY, -0.0, 1.5];
        let mut y = [9.0; 4];
        apply(Dropout { probability: 0.0, seed: 7 }, &x, &mut y);
        assert_eq!(bits(&x), bits(&y));
        assert_eq!(Dropout::NONE.keep_scale(u64::MAX), 1.0);
    }

    #[test]
    fn apply_follows_keep_scale() {
        let dropout = Dropout { probability: 0.3, seed: 11 };
        let x = numbers(70_000, 1);
        let mut y = vec![0.0; x.len()];
        apply(dropout, &x, &mut y);
        for (index, (x, y)) in x.iter().zip(&y).enumerate() {
            assert_eq!(*y, x * dropout.keep_scale(index as u64));
        }
        same_for_any_thread_count(|| {
            let mut y = vec![0.0; x.len()];
            apply(dropout, &x, &mut y);
            y
        });
        let mask = dropout.mask(0).expect("a probability above 0");
        for path in Path::available() {
            let mut other = vec![0.0; x.len()];
            apply_on(path, mask, 0, &x, &mut other);
            assert_eq!(bits(&other), bits(&y));
        }
    }

    fn kept(dropout: Dropout, indices: impl Iterator<Item = u64>) -> Vec<bool> {
        indices.map(|index| dropout.keep_scale(index) != 0.0).collect()
    }

    fn share(values: impl ExactSizeIterator<Item = bool>) -> f64 {
        let length = values.len() as f64;
        values.filter(|value| *value).count() as f64 / length
    }

    #[test]
    fn the_share_of_dropped_elements_is_right() {
        for probability in [0.1, 0.5, 0.9] {
            let kept = kept(Dropout { probability, seed: 3 }, 0..200_000);
            // Five standard deviations of 200 000 draws are at most 0.0056.
            assert!((share(kept.into_iter()) - (1.0 - f64::from(probability))).abs() < 0.0056);
        }
    }

    #[test]
    fn masks_are_independent_of_each_other_and_of_themselves_shifted() {
        let base = kept(Dropout { probability: 0.5, seed: 3 }, 0..100_000);
        let next_seed = kept(Dropout { probability: 0.5, seed: 4 }, 0..100_000);
        let high = kept(Dropout { probability: 0.5, seed: 3 }, (1 << 32)..(1 << 32) + 100_000);
        let agree = |a: &[bool], b: &[bool]| share(a.iter().zip(b).map(|(a, b)| a == b));
        for other in [&next_seed, &high] {
            assert!((agree(&base, other) - 0.5).abs() < 0.008);
        }
        for shift in [1, 2, 64, 384, 4096] {
            assert!(
                (agree(&base[shift..], &base[..base.len() - shift]) - 0.5).abs() < 0.009,
                "shift {shift}"
            );
        }
    }
}
