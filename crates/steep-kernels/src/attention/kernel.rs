//! Which operands do the products of attention have on an instruction set, and how are they packed?
//!
//! The inner dimension of a product advances by words. A word is one f32, or, where the processor multiplies bf16, two
//! bf16 that are neighbours along the inner dimension.

use super::vector::Vector;
use crate::gemm::Element;
#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "intrinsics carry their prefix")]
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// The arithmetic of attention.
///
/// # Safety
/// Every method needs a processor with the instructions of the type, and pointers to as many elements and words as it
/// says.
pub(super) trait Kernel {
    type Element: Element;
    type Vector: Vector;
    /// Inner elements in a word: 1 or 2.
    const STEP: usize;

    /// `a · b + sum` per lane, `a` and `b` being words.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector;

    /// The words of `count` (at most `LANES · STEP`) neighbouring elements, and zeros.
    unsafe fn load(source: *const Self::Element, count: usize) -> Self::Vector;

    /// Writes `count` (at most `LANES`) sums as elements.
    unsafe fn store(values: Self::Vector, target: *mut Self::Element, count: usize);

    /// Words along two rows, `count` (at most `LANES · STEP`) columns of them: for each `STEP` rows `LANES · STEP`
    /// words at `target`, at distance `stride`. If the second is null it counts as zeros.
    unsafe fn pack_rows(rows: [*const Self::Element; 2], count: usize, target: *mut f32, stride: usize);

    /// Words along two rows of `LANES` sums: for each `STEP` rows `LANES` words at `target`, at distance `stride`.
    unsafe fn store_across(rows: [Self::Vector; 2], target: *mut f32, stride: usize);

    /// Words along each of two rows of `LANES` sums: `LANES / STEP` words at `target`, at distance `stride`.
    unsafe fn store_along(rows: [Self::Vector; 2], target: *mut f32, stride: usize);
}

/// Everything in f32, whatever the elements are.
pub(super) struct Wide<V, E>(PhantomData<(V, E)>);

impl<V: Vector, E: Element> Kernel for Wide<V, E> {
    type Element = E;
    type Vector = V;
    const STEP: usize = 1;

    #[inline(always)]
    unsafe fn multiply_add(a: V, b: V, sum: V) -> V {
        // SAFETY: the trait's contract, here and below.
        unsafe { a.multiply_add(b, sum) }
    }
    #[inline(always)]
    unsafe fn load(source: *const E, count: usize) -> V {
        // SAFETY: as above.
        unsafe { V::load_some(source, count) }
    }
    #[inline(always)]
    unsafe fn store(values: V, target: *mut E, count: usize) {
        // SAFETY: as above.
        unsafe { values.store_some(target, count) }
    }
    #[inline(always)]
    unsafe fn pack_rows(rows: [*const E; 2], count: usize, target: *mut f32, stride: usize) {
        // SAFETY: as above.
        unsafe {
            for (index, row) in rows.into_iter().enumerate() {
                let words = if row.is_null() { V::splat(0.0) } else { V::load_some(row, count) };
                words.store(target.add(index * stride));
            }
        }
    }
    #[inline(always)]
    unsafe fn store_across(rows: [V; 2], target: *mut f32, stride: usize) {
        // SAFETY: as above.
        unsafe {
            rows[0].store(target);
            rows[1].store(target.add(stride));
        }
    }
    #[inline(always)]
    unsafe fn store_along(rows: [V; 2], target: *mut f32, stride: usize) {
        // SAFETY: as above.
        unsafe { Self::store_across(rows, target, stride) }
    }
}

/// Products of bf16 pairs. The elements are bf16; the parameter only says so to the generic code.
#[cfg(target_arch = "x86_64")]
pub(super) struct Pairs<E>(PhantomData<E>);

/// A mask of the first `count` of 32 elements.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_elements(count: usize) -> u32 {
    if count >= 32 { u32::MAX } else { (1u32 << count) - 1 }
}

#[cfg(target_arch = "x86_64")]
impl<E: Element> Kernel for Pairs<E> {
    type Element = E;
    type Vector = __m512;
    const STEP: usize = 2;

    #[inline(always)]
    unsafe fn multiply_add(a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: the trait's contract, here and below; the types are the same 512 bits.
        unsafe {
            let [a, b] = std::mem::transmute::<[__m512; 2], [__m512bh; 2]>([a, b]);
            _mm512_dpbf16_ps(sum, a, b)
        }
    }
    #[inline(always)]
    unsafe fn load(source: *const E, count: usize) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(first_elements(count), source.cast())) }
    }
    #[inline(always)]
    unsafe fn store(values: __m512, target: *mut E, count: usize) {
        // SAFETY: as above.
        unsafe {
            let elements = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values));
            _mm256_mask_storeu_epi16(target.cast(), first_elements(count) as u16, elements);
        }
    }
    #[inline(always)]
    unsafe fn pack_rows(rows: [*const E; 2], count: usize, target: *mut f32, _stride: usize) {
        // SAFETY: as above; a mask without bits loads nothing.
        unsafe {
            let mask = first_elements(count);
            let load =
                |row: *const E| _mm512_maskz_loadu_epi16(if row.is_null() { 0 } else { mask }, row.cast());
            let (even, odd) = (load(rows[0]), load(rows[1]));
            let low = _mm512_permutex2var_epi16(even, _mm512_loadu_si512(LOWER.as_ptr().cast()), odd);
            let high = _mm512_permutex2var_epi16(even, _mm512_loadu_si512(UPPER.as_ptr().cast()), odd);
            _mm512_castsi512_ps(low).store(target);
            _mm512_castsi512_ps(high).store(target.add(16));
        }
    }
    #[inline(always)]
    unsafe fn store_across(rows: [__m512; 2], target: *mut f32, _stride: usize) {
        // SAFETY: as above.
        unsafe {
            let both = both(rows);
            _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_loadu_si512(HALVES.as_ptr().cast()), both))
                .store(target);
        }
    }
    #[inline(always)]
    unsafe fn store_along(rows: [__m512; 2], target: *mut f32, stride: usize) {
        // SAFETY: as above.
        unsafe {
            let both = both(rows);
            _mm256_storeu_si256(target.cast(), _mm512_castsi512_si256(both));
            _mm256_storeu_si256(target.add(stride).cast(), _mm512_extracti64x4_epi64::<1>(both));
        }
    }
}

/// Two rows of sums as bf16, one after the other.
///
/// # Safety
/// The processor has AVX-512-BF16.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn both(rows: [__m512; 2]) -> __m512i {
    // SAFETY: the caller's promise; the types are the same 512 bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(rows[1], rows[0])) }
}

/// Indices of a permutation that pairs element `first + i` with element `second + i`.
#[cfg(target_arch = "x86_64")]
const fn pairing(first: u16, second: u16) -> [u16; 32] {
    let mut indices = [0; 32];
    let mut pair = 0;
    while pair < 16 {
        indices[2 * pair] = first + pair as u16;
        indices[2 * pair + 1] = second + pair as u16;
        pair += 1;
    }
    indices
}

/// The lower and the upper halves of two registers, whose elements count on from one to the other.
#[cfg(target_arch = "x86_64")]
const LOWER: [u16; 32] = pairing(0, 32);
#[cfg(target_arch = "x86_64")]
const UPPER: [u16; 32] = pairing(16, 48);

/// The two halves of one register.
#[cfg(target_arch = "x86_64")]
const HALVES: [u16; 32] = pairing(0, 16);
