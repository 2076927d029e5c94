//! Packing with registers of 512 bits.

use super::packing::SIDE;
use super::tile::fetch;
use super::{Element, Precision, TILE_COLUMNS};
use crate::dispatch::Path;
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _CMP_UNORD_Q, _mm256_maskz_loadu_epi16, _mm256_setzero_si256,
    _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_cmp_ps_mask, _mm512_cvtepu16_epi32,
    _mm512_cvtne2ps_pbh, _mm512_mask_or_epi32, _mm512_mask_storeu_epi16, _mm512_maskz_loadu_epi32,
    _mm512_maskz_loadu_ps, _mm512_or_si512, _mm512_permutex2var_epi16, _mm512_permutexvar_epi16,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32,
    _mm512_srli_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::mem::transmute;
use std::ops::Range;

/// How numbers are rounded to bf16.
///
/// # Safety
/// The processor must have AVX-512 (F and BW) and the instruction of the type.
trait Rounding {
    /// The 16 numbers of `low` in bf16, then those of `high`.
    unsafe fn round(low: __m512, high: __m512) -> __m512i;
}

/// By the instruction of AVX-512-BF16.
struct ByInstruction;

/// By arithmetic on the bits.
struct ByBits;

impl Rounding for ByInstruction {
    #[inline(always)]
    unsafe fn round(low: __m512, high: __m512) -> __m512i {
        // SAFETY: the trait's contract; both types are 512 plain bits.
        unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
    }
}

impl Rounding for ByBits {
    #[inline(always)]
    unsafe fn round(low: __m512, high: __m512) -> __m512i {
        // SAFETY: the trait's contract.
        unsafe { _mm512_permutex2var_epi16(rounded(low), indices(|i| 2 * i + 1), rounded(high)) }
    }
}

/// The bits of numbers, whose upper halves are rounded to nearest, ties to even, and of NaN made quiet.
#[inline(always)]
unsafe fn rounded(values: __m512) -> __m512i {
    // SAFETY: the caller's promise: the processor has AVX-512.
    unsafe {
        let bits = _mm512_castps_si512(values);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
        _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x0040_0000))
    }
}

/// Which of 32 (or of two times 32) halves of words go where.
#[inline(always)]
fn indices(source: impl Fn(u16) -> u16) -> __m512i {
    let mut halves = [0u16; 32];
    for i in 0..32 {
        halves[usize::from(i)] = source(i);
    }
    // SAFETY: both are 512 plain bits.
    unsafe { transmute::<[u16; 32], __m512i>(halves) }
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    if count >= SIDE { !0 } else { (1 << count) - 1 }
}

/// Up to 16 words that each take a number of one column from one row, or from two.
///
/// # Safety
/// The lanes of `mask` are readable from `rows` on; the processor has the instructions of `R`.
#[inline(always)]
unsafe fn words_of_columns<E: Element, R: Rounding>(
    rows: [Option<*const E>; 2],
    precision: Precision,
    mask: __mmask16,
) -> __m512i {
    // SAFETY: the caller's promise; an element is an f32 or, at the precision bf16, 16 bits.
    unsafe {
        match (E::PRECISION, precision) {
            (Precision::F32, Precision::F32) => match rows[0] {
                Some(row) => _mm512_maskz_loadu_epi32(mask, row.cast()),
                None => _mm512_setzero_si512(),
            },
            (Precision::F32, Precision::Bf16) => {
                let low = rows[0].map_or(_mm512_setzero_ps(), |row| _mm512_maskz_loadu_ps(mask, row.cast()));
                let high = rows[1].map_or(_mm512_setzero_ps(), |row| _mm512_maskz_loadu_ps(mask, row.cast()));
                let side_by_side = indices(|i| i / 2 + i % 2 * 16);
                _mm512_permutexvar_epi16(side_by_side, R::round(low, high))
            }
            (Precision::Bf16, _) => {
                let low =
                    rows[0].map_or(_mm256_setzero_si256(), |row| _mm256_maskz_loadu_epi16(mask, row.cast()));
                let high =
                    rows[1].map_or(_mm256_setzero_si256(), |row| _mm256_maskz_loadu_epi16(mask, row.cast()));
                let (low, high) = (_mm512_cvtepu16_epi32(low), _mm512_cvtepu16_epi32(high));
                match precision {
                    Precision::F32 => _mm512_slli_epi32::<16>(low),
                    Precision::Bf16 => _mm512_or_si512(low, _mm512_slli_epi32::<16>(high)),
                }
            }
        }
    }
}

/// Up to 16 words from numbers that lie side by side.
///
/// # Safety
/// `count` numbers are readable from `row` on; the processor has the instructions of `R`.
#[inline(always)]
unsafe fn words_of_row<R: Rounding>(row: *const f32, count: usize, precision: Precision) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm512_maskz_loadu_ps(first(count), row);
        match precision {
            Precision::F32 => _mm512_castps_si512(low),
            Precision::Bf16 => {
                let mask = first(count.saturating_sub(SIDE));
                R::round(low, _mm512_maskz_loadu_ps(mask, row.wrapping_add(SIDE)))
            }
        }
    }
}

/// Exchanges rows and columns: pairs of words, pairs of pairs, then quarters of registers.
#[inline(always)]
unsafe fn exchange(rows: &mut [__m512i; SIDE]) {
    // SAFETY: the caller's promise: the processor has AVX-512.
    unsafe {
        for i in (0..SIDE).step_by(2) {
            let (upper, lower) = (rows[i], rows[i + 1]);
            rows[i] = _mm512_unpacklo_epi32(upper, lower);
            rows[i + 1] = _mm512_unpackhi_epi32(upper, lower);
        }
        // Then rows[4 i + j] has, of the rows 4 i .. 4 i + 4, the columns j, 4 + j, 8 + j and 12 + j.
        for i in (0..SIDE).step_by(4) {
            let pairs = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
            rows[i] = _mm512_unpacklo_epi64(pairs[0], pairs[2]);
            rows[i + 1] = _mm512_unpackhi_epi64(pairs[0], pairs[2]);
            rows[i + 2] = _mm512_unpacklo_epi64(pairs[1], pairs[3]);
            rows[i + 3] = _mm512_unpackhi_epi64(pairs[1], pairs[3]);
        }
        for j in 0..4 {
            let quads = [rows[j], rows[4 + j], rows[8 + j], rows[12 + j]];
            let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(quads[0], quads[1]);
            let odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(quads[0], quads[1]);
            let even_below = _mm512_shuffle_i32x4::<0b10_00_10_00>(quads[2], quads[3]);
            let odd_below = _mm512_shuffle_i32x4::<0b11_01_11_01>(quads[2], quads[3]);
            rows[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even, even_below);
            rows[4 + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd, odd_below);
            rows[8 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even, even_below);
            rows[12 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd, odd_below);
        }
    }
}

/// The start of `rows[index]` at `column`, where there is such a row.
#[inline(always)]
fn at<E>(rows: &[&[E]], index: usize, column: usize) -> Option<*const E> {
    rows.get(index).map(|row| row[column..].as_ptr())
}

/// Asks for the numbers of a row that will be packed soon. Rows lie far apart in memory, so that the processor does not
/// guess which line comes next.
#[inline(always)]
fn fetch_columns<E>(rows: &[&[E]], index: usize, columns: &Range<usize>) {
    if let Some(row) = rows.get(index) {
        fetch(&row[columns.clone()]);
    }
}

/// Rows between the one that is packed and the one that is asked for.
const AHEAD: usize = 2 * SIDE;

/// See [`super::packing::interleave`], which checks.
#[inline(always)]
unsafe fn interleave_body<E: Element, R: Rounding>(
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    panel: &mut [u32],
) {
    let per_word = precision.per_word();
    for (position, words) in panel.chunks_exact_mut(TILE_COLUMNS).enumerate() {
        let first_row = position * per_word;
        for row in 0..per_word {
            fetch_columns(rows, first_row + row + AHEAD, &columns);
        }
        for (index, words) in words.chunks_exact_mut(SIDE).enumerate() {
            let column = (columns.start + index * SIDE).min(columns.end);
            let rows = [at(rows, first_row, column), at(rows, first_row + 1, column)];
            // SAFETY: all rows reach to the end of the columns (checked by the caller); the path has the instructions.
            unsafe {
                let packed = words_of_columns::<E, R>(rows, precision, first(columns.end - column));
                _mm512_storeu_si512(words.as_mut_ptr().cast(), packed);
            }
        }
    }
}

/// See [`super::packing::transpose`].
#[inline(always)]
unsafe fn transpose_body<R: Rounding>(columns: &[&[f32]], precision: Precision, panel: &mut [u32]) {
    let numbers = SIDE * precision.per_word();
    for lane in (0..TILE_COLUMNS).step_by(SIDE) {
        for (index, words) in panel.chunks_mut(SIDE * TILE_COLUMNS).enumerate() {
            // SAFETY: only the numbers that the columns have are read; the path has the instructions.
            unsafe {
                let mut block = [_mm512_setzero_si512(); SIDE];
                for row in 0..SIDE {
                    if let Some(column) = columns.get(lane + row) {
                        let rest = &column[index * numbers..];
                        block[row] = words_of_row::<R>(rest.as_ptr(), rest.len(), precision);
                    }
                }
                exchange(&mut block);
                let words = words.chunks_exact_mut(TILE_COLUMNS);
                for (row, words) in words.enumerate() {
                    let words = &mut words[lane..lane + SIDE];
                    _mm512_storeu_si512(words.as_mut_ptr().cast(), block[row]);
                }
            }
        }
    }
}

/// See [`super::packing::columns_to_rows`], which checks.
#[inline(always)]
unsafe fn columns_body<E: Element, R: Rounding>(
    rows: &[&[E]],
    columns: Range<usize>,
    precision: Precision,
    left: &mut [u32],
    stride: usize,
) {
    let per_word = precision.per_word();
    let height = SIDE * per_word;
    for index in 0..rows.len().div_ceil(height) {
        let first_row = index * height;
        for row in 0..height {
            fetch_columns(rows, first_row + row + height, &columns);
        }
        for (group, column) in columns.clone().step_by(SIDE).enumerate() {
            let count = columns.end - column;
            // SAFETY: all rows reach to the end of the columns, and `left` has `stride` words for each column, which
            // are enough for a block (checked by the caller); the path has the instructions.
            unsafe {
                let mut block = [_mm512_setzero_si512(); SIDE];
                let target = left.as_mut_ptr().add(group * SIDE * stride + index * SIDE);
                if count >= SIDE && first_row + height <= rows.len() {
                    for row in 0..SIDE {
                        let upper = first_row + per_word * row;
                        let low = rows.get_unchecked(upper).as_ptr().add(column);
                        let high = rows.get_unchecked(upper + per_word - 1).as_ptr().add(column);
                        block[row] = words_of_columns::<E, R>([Some(low), Some(high)], precision, !0);
                    }
                    exchange(&mut block);
                    for row in 0..SIDE {
                        _mm512_storeu_si512(target.add(row * stride).cast(), block[row]);
                    }
                } else {
                    for row in 0..SIDE {
                        let upper = first_row + per_word * row;
                        let rows = [at(rows, upper, column), at(rows, upper + 1, column)];
                        block[row] = words_of_columns::<E, R>(rows, precision, first(count));
                    }
                    exchange(&mut block);
                    for row in 0..SIDE.min(count) {
                        _mm512_storeu_si512(target.add(row * stride).cast(), block[row]);
                    }
                }
            }
        }
    }
}

/// `on_512!(fn name(…) = body)` makes `fn name(path: Path, …)`, compiled with and without AVX-512-BF16.
macro_rules! on_512 {
    (fn $name:ident $(<$generic:ident: $bound:path>)? ($($argument:ident: $kind:ty),* $(,)?)
        = $instruction:expr, $bits:expr) => {
        /// See [`super::packing`]. `path` must be one of AVX-512.
        pub(super) fn $name $(<$generic: $bound>)? (path: Path, $($argument: $kind),*) {
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
            unsafe fn by_instruction $(<$generic: $bound>)? ($($argument: $kind),*) {
                // SAFETY: the caller's promise.
                unsafe { $instruction($($argument),*) }
            }
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            unsafe fn by_bits $(<$generic: $bound>)? ($($argument: $kind),*) {
                // SAFETY: the caller's promise.
                unsafe { $bits($($argument),*) }
            }
            assert_eq!(path.level(), crate::dispatch::Level::Avx512);
            // SAFETY: a path of this level (and with bf16) exists only after the processor reported the features; the
            // caller checked the sizes.
            unsafe {
                if path.has_bf16() { by_instruction($($argument),*) } else { by_bits($($argument),*) }
            }
        }
    };
}

on_512!(fn interleave<E: Element>(rows: &[&[E]], columns: Range<usize>, precision: Precision, panel: &mut [u32])
    = interleave_body::<E, ByInstruction>, interleave_body::<E, ByBits>);
on_512!(fn transpose(columns: &[&[f32]], precision: Precision, panel: &mut [u32])
    = transpose_body::<ByInstruction>, transpose_body::<ByBits>);
on_512!(fn columns_to_rows<E: Element>(
    rows: &[&[E]], columns: Range<usize>, precision: Precision, left: &mut [u32], stride: usize,
) = columns_body::<E, ByInstruction>, columns_body::<E, ByBits>);

/// `target = source` in bf16, by the instruction.
///
/// # Safety
/// The processor must have AVX-512-BF16.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn convert(source: &[f32], target: &mut [half::bf16]) {
    assert_eq!(source.len(), target.len());
    let numbers = 2 * SIDE;
    for (source, target) in source.chunks(numbers).zip(target.chunks_mut(numbers)) {
        // SAFETY: only the numbers of the chunk are read and written.
        unsafe {
            let words = words_of_row::<ByInstruction>(source.as_ptr(), source.len(), Precision::Bf16);
            let mask = if target.len() == numbers { !0 } else { (1 << target.len()) - 1 };
            _mm512_mask_storeu_epi16(target.as_mut_ptr().cast(), mask, words);
        }
    }
}
