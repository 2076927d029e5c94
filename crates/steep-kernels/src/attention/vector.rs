//! What does attention do with a register of f32?
//!
//! A register also carries words, the operands of products: an f32, or two bf16 in the same 32 bits.

use crate::gemm::Element;
#[cfg(target_arch = "x86_64")]
use crate::gemm::Precision;
#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "intrinsics carry their prefix")]
use std::arch::x86_64::*;

/// Base-2 logarithm of the probability of a key that a query does not see: finite, so that differences are no NaN.
pub(super) const HIDDEN: f32 = -1e30;

/// `2^x` on [-½, ½] within 1.2e-7 of itself: a minimax polynomial, its constant set to 1.
const EXP2: [f32; 6] = [1.0, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_542, 0.001_327_647_2];

/// Floats that an instruction set handles together. Written out, because loops over arrays of this size are not
/// reliably turned into registers by the compiler.
///
/// # Safety
/// Every method needs a processor with the instructions of the type; `load` and `store` touch `LANES` floats,
/// `load_some` and `store_some` `count` elements.
pub(super) trait Vector: Copy {
    const LANES: usize;
    /// Registers that the instruction set has; decides how many sums a product keeps.
    const REGISTERS: usize;
    /// An exponent for which [`Self::scale`] gives 0.
    const LOWEST: f32;
    /// `[Self; LANES]`.
    type Square: Copy + AsRef<[Self]> + AsMut<[Self]>;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(source: *const f32) -> Self;
    unsafe fn store(self, target: *mut f32);
    unsafe fn plus(self, other: Self) -> Self;
    unsafe fn minus(self, other: Self) -> Self;
    unsafe fn times(self, other: Self) -> Self;
    /// `self · b + c`.
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self;
    /// The larger of both, or `other` if one is NaN.
    unsafe fn larger(self, other: Self) -> Self;
    /// The nearest integers, as floats; valid from -2^22 to 2^22.
    unsafe fn round(self) -> Self;
    /// `self · 2^exponent` for an integer from [`Self::LOWEST`] to 127.
    unsafe fn scale(self, exponent: Self) -> Self;
    /// Where `low ≤ position ≤ high`, `self`, elsewhere [`HIDDEN`].
    unsafe fn between(self, position: Self, low: Self, high: Self) -> Self;
    unsafe fn square() -> Self::Square;
    unsafe fn transpose(square: Self::Square) -> Self::Square;
    /// Elements as f32; the lanes from `count` on are 0.
    unsafe fn load_some<E: Element>(source: *const E, count: usize) -> Self;
    unsafe fn store_some<E: Element>(self, target: *mut E, count: usize);

    /// `2^self`, at least to 1.5e-7 of itself, down to 2^-126; 0 below. NaN passes.
    #[inline(always)]
    unsafe fn exp2(self) -> Self {
        // SAFETY: the trait's contract.
        unsafe {
            let x = Self::splat(Self::LOWEST).larger(self);
            let exponent = x.round();
            let x = x.minus(exponent);
            let mut value = Self::splat(EXP2[5]);
            for coefficient in EXP2[..5].iter().rev() {
                value = value.multiply_add(x, Self::splat(*coefficient));
            }
            value.scale(exponent)
        }
    }

    /// The sum of the lanes of each of `LANES` registers; the order of additions is the same for each.
    #[inline(always)]
    unsafe fn sums(square: Self::Square) -> Self {
        // SAFETY: the trait's contract.
        unsafe {
            let square = Self::transpose(square);
            let mut sum = square.as_ref()[0];
            for lane in 1..Self::LANES {
                sum = sum.plus(square.as_ref()[lane]);
            }
            sum
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const LOWEST: f32 = -300.0;
    type Square = [Self; 16];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's contract, here and in all methods below.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(source) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(target, self) }
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_sub_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(self, b, c) }
    }
    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_max_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) }
    }
    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_scalef_ps(self, exponent) }
    }
    #[inline(always)]
    unsafe fn between(self, position: Self, low: Self, high: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(position, low);
            let inside = _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(above, position, high);
            _mm512_mask_blend_ps(inside, _mm512_set1_ps(HIDDEN), self)
        }
    }
    #[inline(always)]
    unsafe fn square() -> Self::Square {
        // SAFETY: as above.
        unsafe { [_mm512_setzero_ps(); 16] }
    }
    #[inline(always)]
    unsafe fn transpose(rows: Self::Square) -> Self::Square {
        // SAFETY: as above.
        unsafe {
            let mut pairs = rows;
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            let mut fours = rows;
            for i in 0..4 {
                for half in 0..2 {
                    let (low, high) =
                        (_mm512_castps_pd(pairs[4 * i + half]), _mm512_castps_pd(pairs[4 * i + half + 2]));
                    fours[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
                    fours[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
                }
            }
            let mut lines = rows;
            for i in 0..4 {
                let low = _mm512_shuffle_f32x4::<0x88>(fours[i], fours[i + 4]);
                let high = _mm512_shuffle_f32x4::<0xDD>(fours[i], fours[i + 4]);
                let upper_low = _mm512_shuffle_f32x4::<0x88>(fours[i + 8], fours[i + 12]);
                let upper_high = _mm512_shuffle_f32x4::<0xDD>(fours[i + 8], fours[i + 12]);
                lines[i] = _mm512_shuffle_f32x4::<0x88>(low, upper_low);
                lines[i + 4] = _mm512_shuffle_f32x4::<0x88>(high, upper_high);
                lines[i + 8] = _mm512_shuffle_f32x4::<0xDD>(low, upper_low);
                lines[i + 12] = _mm512_shuffle_f32x4::<0xDD>(high, upper_high);
            }
            lines
        }
    }
    #[inline(always)]
    unsafe fn load_some<E: Element>(source: *const E, count: usize) -> Self {
        // SAFETY: as above; an element of 2 bytes is a bf16, one of 4 an f32, and the mask covers `count` of them.
        unsafe {
            let mask = first_lanes(count);
            if E::PRECISION == Precision::Bf16 {
                let halves = _mm256_maskz_loadu_epi16(mask, source.cast());
                return _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)));
            }
            _mm512_maskz_loadu_ps(mask, source.cast())
        }
    }
    #[inline(always)]
    unsafe fn store_some<E: Element>(self, target: *mut E, count: usize) {
        // SAFETY: as in `load_some`.
        unsafe {
            let mask = first_lanes(count);
            if E::PRECISION == Precision::Bf16 {
                let mut values = [0.0; 16];
                self.store(values.as_mut_ptr());
                let halves = values.map(|value| E::from_f32(value));
                _mm256_mask_storeu_epi16(target.cast(), mask, _mm256_loadu_si256(halves.as_ptr().cast()));
                return;
            }
            _mm512_mask_storeu_ps(target.cast(), mask, self);
        }
    }
}

/// A mask of the first `count` of 16 lanes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_lanes(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1u16 << count).wrapping_sub(1) }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m256 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const LOWEST: f32 = -127.0;
    type Square = [Self; 8];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's contract, here and in all methods below.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(source) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(target, self) }
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_sub_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(self, b, c) }
    }
    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_max_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) }
    }
    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let bits = _mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127));
            _mm256_mul_ps(self, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits)))
        }
    }
    #[inline(always)]
    unsafe fn between(self, position: Self, low: Self, high: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GE_OQ>(position, low);
            let inside = _mm256_and_ps(above, _mm256_cmp_ps::<_CMP_LE_OQ>(position, high));
            _mm256_blendv_ps(_mm256_set1_ps(HIDDEN), self, inside)
        }
    }
    #[inline(always)]
    unsafe fn square() -> Self::Square {
        // SAFETY: as above.
        unsafe { [_mm256_setzero_ps(); 8] }
    }
    #[inline(always)]
    unsafe fn transpose(rows: Self::Square) -> Self::Square {
        // SAFETY: as above.
        unsafe {
            let mut pairs = rows;
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            let mut fours = rows;
            for i in 0..2 {
                for half in 0..2 {
                    let (low, high) =
                        (_mm256_castps_pd(pairs[4 * i + half]), _mm256_castps_pd(pairs[4 * i + half + 2]));
                    fours[4 * i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                    fours[4 * i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
                }
            }
            let mut lines = rows;
            for i in 0..4 {
                lines[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
                lines[i + 4] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
            }
            lines
        }
    }
    #[inline(always)]
    unsafe fn load_some<E: Element>(source: *const E, count: usize) -> Self {
        // SAFETY: as above; `widen` copies `count` elements.
        unsafe { Self::load(widen::<E, 8>(source, count).as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_some<E: Element>(self, target: *mut E, count: usize) {
        // SAFETY: as above; `narrow` writes `count` elements.
        unsafe {
            let mut values = [0.0; 8];
            self.store(values.as_mut_ptr());
            narrow(values, target, count);
        }
    }
}

/// The baseline's vector.
#[derive(Clone, Copy)]
pub(super) struct Four([f32; 4]);

impl Four {
    #[inline(always)]
    fn with(self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| combine(self.0[lane], other.0[lane])))
    }
}

/// Plain arithmetic; nothing here needs a feature of the processor.
impl Vector for Four {
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    const LOWEST: f32 = -127.0;
    type Square = [Self; 4];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { source.cast::<[f32; 4]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { target.cast::<[f32; 4]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        // Only where the architecture always fuses is this not a call.
        if cfg!(target_arch = "aarch64") {
            return Self(std::array::from_fn(|lane| self.0[lane].mul_add(b.0[lane], c.0[lane])));
        }
        Self(std::array::from_fn(|lane| self.0[lane] * b.0[lane] + c.0[lane]))
    }
    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // 1.5 · 2^23: adding it rounds to the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        Self(self.0.map(|value| (value + ROUND) - ROUND))
    }
    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        self.with(exponent, |value, exponent| {
            value * f32::from_bits(((exponent as i32).wrapping_add(127) as u32) << 23)
        })
    }
    #[inline(always)]
    unsafe fn between(self, position: Self, low: Self, high: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            let inside = low.0[lane] <= position.0[lane] && position.0[lane] <= high.0[lane];
            if inside { self.0[lane] } else { HIDDEN }
        }))
    }
    #[inline(always)]
    unsafe fn square() -> Self::Square {
        [Self([0.0; 4]); 4]
    }
    #[inline(always)]
    unsafe fn transpose(rows: Self::Square) -> Self::Square {
        std::array::from_fn(|line| Self(std::array::from_fn(|row| rows[row].0[line])))
    }
    #[inline(always)]
    unsafe fn load_some<E: Element>(source: *const E, count: usize) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { widen::<E, 4>(source, count) })
    }
    #[inline(always)]
    unsafe fn store_some<E: Element>(self, target: *mut E, count: usize) {
        // SAFETY: the trait's contract.
        unsafe { narrow(self.0, target, count) }
    }
}

/// `count`, at most N, elements as f32, and zeros.
///
/// # Safety
/// The elements can be read.
#[inline(always)]
unsafe fn widen<E: Element, const N: usize>(source: *const E, count: usize) -> [f32; N] {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= N {
            return source.cast::<[E; N]>().read().map(Element::to_f32);
        }
        let mut values = [0.0; N];
        for (lane, value) in values.iter_mut().enumerate().take(count) {
            *value = (*source.add(lane)).to_f32();
        }
        values
    }
}

/// Writes the first `count`, at most N, values.
///
/// # Safety
/// The elements can be written.
#[inline(always)]
unsafe fn narrow<E: Element, const N: usize>(values: [f32; N], target: *mut E, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= N {
            target.cast::<[E; N]>().write(values.map(|value| E::from_f32(value)));
            return;
        }
        for (lane, value) in values.iter().enumerate().take(count) {
            *target.add(lane) = E::from_f32(*value);
        }
    }
}
