//! How many operations a second does a processor do that has nothing to load or store?

#![allow(unsafe_code, reason = "instructions that only some processors have")]
#![allow(dead_code, reason = "not every benchmark needs every kind")]

use std::time::Instant;

/// The instruction whose rate is the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Multiply-add of f32.
    F32,
    /// Two multiply-adds of bf16.
    Bf16,
    /// Four multiply-adds of bytes.
    Int8,
}

/// Rounds of a loop; some 2 ms. Shorter ones may run in a burst that a shared machine does not sustain.
const ROUNDS: usize = 400_000;

/// Operations a second that all threads of the pool do together, or none where the loop is not written.
pub(crate) fn operations_per_second(kind: Kind) -> Option<f64> {
    let per_round = per_round(kind)?;
    let start = Instant::now();
    let threads = rayon::broadcast(|_| run(kind)).len();
    Some((threads * ROUNDS * per_round) as f64 / start.elapsed().as_secs_f64())
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kind, ROUNDS};
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_dpbf16_ps, _mm512_dpbusd_epi32,
        _mm512_fmadd_ps, _mm512_set1_epi32, _mm512_set1_ps,
    };
    use std::hint::black_box;
    use std::mem::transmute;

    fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
    }

    pub(super) fn per_round(kind: Kind) -> Option<usize> {
        match kind {
            Kind::F32 if has_avx512() => Some(24 * 32),
            Kind::F32 => is_x86_feature_detected!("fma").then_some(12 * 16),
            Kind::Bf16 => is_x86_feature_detected!("avx512bf16").then_some(24 * 64),
            Kind::Int8 => is_x86_feature_detected!("avx512vnni").then_some(24 * 128),
        }
    }

    pub(super) fn run(kind: Kind) {
        // SAFETY: `per_round` found the instructions.
        unsafe {
            match kind {
                Kind::F32 if has_avx512() => f32_on_512(),
                Kind::F32 => f32_on_256(),
                Kind::Bf16 => bf16(),
                Kind::Int8 => int8(),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn f32_on_512() {
        let (a, b) = (black_box(_mm512_set1_ps(1.5)), black_box(_mm512_set1_ps(0.5)));
        let mut sums = [a; 24];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn f32_on_256() {
        let (a, b) = (black_box(_mm256_set1_ps(1.5)), black_box(_mm256_set1_ps(0.5)));
        let mut sums = [a; 12];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16() {
        let words = black_box(_mm512_set1_epi32(0x3F80_3F80));
        // SAFETY: both are 512 plain bits.
        let (a, b) =
            unsafe { (transmute::<__m512i, __m512bh>(words), transmute::<__m512i, __m512bh>(words)) };
        let mut sums = [black_box(_mm512_set1_ps(0.0)); 24];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn int8() {
        let words = black_box(_mm512_set1_epi32(0x0101_0101));
        let mut sums = [black_box(_mm512_set1_epi32(0)); 24];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, words, words);
            }
        }
        black_box(sums);
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{per_round, run};

#[cfg(not(target_arch = "x86_64"))]
fn per_round(_: Kind) -> Option<usize> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn run(_: Kind) {}
