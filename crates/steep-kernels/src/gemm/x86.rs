//! The steps and tiles of x86-64.

use super::step::Step;
use super::tile::{Kernel, LeftRows, Sums, tile_of_rows};
use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512bh, __m512i, _mm256_add_epi32, _mm256_and_si256, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_slli_epi16,
    _mm256_slli_epi32, _mm256_srai_epi16, _mm256_storeu_ps, _mm256_storeu_si256, _mm512_and_si512,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
};
use std::mem::transmute;

/// The upper of two bf16 in a word.
const HIGH: i32 = 0xFFFF_0000_u32 as i32;

/// f32 on registers of 512 bits.
pub(super) struct F32On512;
/// f32 on registers of 256 bits.
pub(super) struct F32On256;
/// bf16 on registers of 512 bits, by the instruction that adds two products to a sum.
pub(super) struct Bf16On512;
/// bf16 on registers of 512 bits, widened to f32.
pub(super) struct WidenedOn512;
/// bf16 on registers of 256 bits, widened to f32.
pub(super) struct WidenedOn256;

/// Bytes on registers of 512 bits, by the instruction that adds four products to a sum.
pub(super) struct Int8On512;
/// Bytes on registers of 256 bits, widened to 16 bits.
pub(super) struct Int8On256;

/// Implements [`Step`] with sums in registers of one kind.
macro_rules! step {
    ($name:ty, $scalar:ty, $lanes:literal, $words:ty, $sums:ty, $zero:ident, $store:ident,
        splat($word:ident) $splat:expr, load($source:ident) $load:expr,
        multiply_add($left:ident, $right:ident, $total:ident) $multiply_add:expr) => {
        impl Step for $name {
            const LANES: usize = $lanes;
            type Words = $words;
            type Sums = $sums;
            type Scalar = $scalar;

            #[inline(always)]
            unsafe fn zero() -> Self::Sums {
                // SAFETY: the trait's contract.
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn splat($word: u32) -> Self::Words {
                // SAFETY: the trait's contract.
                unsafe { $splat }
            }
            #[inline(always)]
            unsafe fn load($source: *const u32) -> Self::Words {
                // SAFETY: the trait's contract.
                unsafe { $load }
            }
            #[inline(always)]
            unsafe fn multiply_add(
                $left: Self::Words,
                $right: Self::Words,
                $total: Self::Sums,
            ) -> Self::Sums {
                // SAFETY: the trait's contract.
                unsafe { $multiply_add }
            }
            #[inline(always)]
            unsafe fn store(sums: Self::Sums, target: *mut $scalar) {
                // SAFETY: the trait's contract.
                unsafe { $store(target.cast(), sums) }
            }
        }
    };
}

step!(F32On512, f32, 16, __m512, __m512, _mm512_setzero_ps, _mm512_storeu_ps,
    splat(word) _mm512_set1_ps(f32::from_bits(word)),
    load(words) _mm512_loadu_ps(words.cast()),
    multiply_add(left, right, sums) _mm512_fmadd_ps(left, right, sums));

step!(F32On256, f32, 8, __m256, __m256, _mm256_setzero_ps, _mm256_storeu_ps,
    splat(word) _mm256_set1_ps(f32::from_bits(word)),
    load(words) _mm256_loadu_ps(words.cast()),
    multiply_add(left, right, sums) _mm256_fmadd_ps(left, right, sums));

step!(Bf16On512, f32, 16, __m512bh, __m512, _mm512_setzero_ps, _mm512_storeu_ps,
    splat(word) transmute::<__m512i, __m512bh>(_mm512_set1_epi32(word.cast_signed())),
    load(words) transmute::<__m512i, __m512bh>(_mm512_loadu_si512(words.cast())),
    multiply_add(left, right, sums) _mm512_dpbf16_ps(sums, left, right));

step!(WidenedOn512, f32, 16, [__m512; 2], __m512, _mm512_setzero_ps, _mm512_storeu_ps,
    splat(word) [_mm512_set1_ps(f32::from_bits(word << 16)), _mm512_set1_ps(f32::from_bits(word & HIGH as u32))],
    load(words) {
        let words = _mm512_castps_si512(_mm512_loadu_ps(words.cast()));
        [
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)),
            _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(HIGH))),
        ]
    },
    multiply_add(left, right, sums)
        _mm512_fmadd_ps(left[1], right[1], _mm512_fmadd_ps(left[0], right[0], sums)));

step!(WidenedOn256, f32, 8, [__m256; 2], __m256, _mm256_setzero_ps, _mm256_storeu_ps,
    splat(word) [_mm256_set1_ps(f32::from_bits(word << 16)), _mm256_set1_ps(f32::from_bits(word & HIGH as u32))],
    load(words) {
        let words = _mm256_castps_si256(_mm256_loadu_ps(words.cast()));
        [
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)),
            _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(HIGH))),
        ]
    },
    multiply_add(left, right, sums)
        _mm256_fmadd_ps(left[1], right[1], _mm256_fmadd_ps(left[0], right[0], sums)));

step!(Int8On512, i32, 16, __m512i, __m512i, _mm512_setzero_si512, _mm512_storeu_si512,
    splat(word) _mm512_set1_epi32(word.cast_signed()),
    load(words) _mm512_loadu_si512(words.cast()),
    multiply_add(left, right, sums) _mm512_dpbusd_epi32(sums, left, right));

// Words are split into the bytes at even and at odd positions.
step!(Int8On256, i32, 8, [__m256i; 2], __m256i, _mm256_setzero_si256, _mm256_storeu_si256,
splat(word) [
    _mm256_set1_epi32((word & 0x00FF_00FF).cast_signed()),
    _mm256_set1_epi32((word >> 8 & 0x00FF_00FF).cast_signed()),
],
load(words) {
    let words = _mm256_loadu_si256(words.cast());
    [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words)), _mm256_srai_epi16::<8>(words)]
},
multiply_add(left, right, sums) {
    let even = _mm256_madd_epi16(left[0], right[0]);
    _mm256_add_epi32(sums, _mm256_add_epi32(even, _mm256_madd_epi16(left[1], right[1])))
});

/// Implements [`Kernel`] for a step: how many registers of columns and how many rows fill the registers.
macro_rules! kernel {
    ($step:ty, $features:literal, $width:literal, $most:literal, $rows:tt) => {
        impl Kernel for $step {
            const ROWS: usize = $most;

            #[inline(always)]
            unsafe fn tile(
                left: LeftRows,
                panel: *const u32,
                ahead: *const u32,
                sums: &mut Sums<Self::Scalar>,
            ) {
                #[target_feature(enable = $features)]
                unsafe fn on(
                    left: LeftRows,
                    panel: *const u32,
                    ahead: *const u32,
                    sums: &mut Sums<<$step as Step>::Scalar>,
                ) {
                    // SAFETY: the contract of `Kernel::tile`.
                    unsafe { tile_of_rows!($step, $width, $rows, left, panel, ahead, sums) }
                }
                // SAFETY: the trait's contract.
                unsafe { on(left, panel, ahead, sums) }
            }
        }
    };
}

kernel!(F32On512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", 4, 6, [1 2 3 4 5 6]);
kernel!(Bf16On512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16", 4, 6, [1 2 3 4 5 6]);
kernel!(WidenedOn512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", 4, 5, [1 2 3 4 5]);
kernel!(Int8On512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni", 4, 6, [1 2 3 4 5 6]);
kernel!(Int8On256, "avx2,fma", 2, 4, [1 2 3 4]);
kernel!(F32On256, "avx2,fma", 2, 6, [1 2 3 4 5 6]);
kernel!(WidenedOn256, "avx2,fma", 2, 4, [1 2 3 4]);
