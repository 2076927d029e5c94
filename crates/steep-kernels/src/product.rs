//! How are the small matrices of one attention head multiplied?
//!
//! Register-blocked loops on one thread, without packing: sequences are short, so a general product would spend its
//! time on preparation. An output element is one chain of multiply-adds in the order of the inner dimension, for any
//! tile shape; the AVX paths fuse the two operations, the baseline does so where the architecture always can.

use crate::dispatch::{Path, per_path};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
    _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

/// Whether the baseline has a fused multiply-add.
const BASELINE_FUSES: bool = cfg!(target_arch = "aarch64");

/// The left operand: `values[row · row_stride + inner · inner_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) inner_stride: usize,
}

/// The right operand: `values[inner · stride + column]`.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

/// The output: `values[row · stride + column]`.
pub(crate) struct Out<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) add: bool,
}

/// The sizes of a product.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
}

/// `out = a · b`, or `out += a · b`.
pub(crate) fn product(path: Path, out: Out, a: Left, b: Right, size: Size) {
    let Size { rows, inner, columns } = size;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * out.stride + columns <= out.values.len(), "output of a product too short");
    if inner > 0 {
        let last = (rows - 1) * a.row_stride + (inner - 1) * a.inner_stride;
        assert!(last < a.values.len(), "left operand of a product too short");
        assert!((inner - 1) * b.stride + columns <= b.values.len(), "right operand of a product too short");
    }
    product_on(path, out, a, b, size);
}

#[cfg(target_arch = "x86_64")]
per_path!(
    fn product_on(out: Out, a: Left, b: Right, size: Size)
        = body::<__m512, Fused, 8>, body::<__m256, Fused, 4>, body::<Four, Plain, 4>
);
#[cfg(not(target_arch = "x86_64"))]
per_path!(fn product_on(out: Out, a: Left, b: Right, size: Size) = body::<Four, Plain, 4>);

/// Columns in strips of two vectors, one vector, one scalar.
#[inline(always)]
fn body<V: Vector, S: Vector, const TALL: usize>(mut out: Out, a: Left, b: Right, size: Size) {
    let mut column = 0;
    while column + 2 * V::LANES <= size.columns {
        strip::<V, TALL, 2>(&mut out, a, b, size, column);
        column += 2 * V::LANES;
    }
    while column + V::LANES <= size.columns {
        strip::<V, TALL, 1>(&mut out, a, b, size, column);
        column += V::LANES;
    }
    while column < size.columns {
        strip::<S, TALL, 1>(&mut out, a, b, size, column);
        column += 1;
    }
}

/// `C` vectors of columns: rows in tiles of `TALL`, then 4 and 1.
#[inline(always)]
fn strip<V: Vector, const TALL: usize, const C: usize>(
    out: &mut Out,
    a: Left,
    b: Right,
    size: Size,
    column: usize,
) {
    let mut row = 0;
    while row + TALL <= size.rows {
        // SAFETY: `product` checked that the last row, column and inner position lie inside the slices; `V` belongs
        // to the path this was compiled for.
        unsafe { tile::<V, TALL, C>(out, a, b, size.inner, row, column) };
        row += TALL;
    }
    while TALL > 4 && row + 4 <= size.rows {
        // SAFETY: as above.
        unsafe { tile::<V, 4, C>(out, a, b, size.inner, row, column) };
        row += 4;
    }
    while row < size.rows {
        // SAFETY: as above.
        unsafe { tile::<V, 1, C>(out, a, b, size.inner, row, column) };
        row += 1;
    }
}

/// `R` rows of `C` vectors, held in registers over the whole inner dimension.
///
/// # Safety
/// The rows from `row`, the columns from `column` and the inner positions `0..inner` lie inside the three slices, and
/// the processor has the instructions of `V`.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const C: usize>(
    out: &mut Out,
    a: Left,
    b: Right,
    inner: usize,
    row: usize,
    column: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; R];
        let a_first = a.values.as_ptr().add(row * a.row_stride);
        let b_first = b.values.as_ptr().add(column);
        for position in 0..inner {
            let mut right = [V::splat(0.0); C];
            for c in 0..C {
                right[c] = V::load(b_first.add(position * b.stride + c * V::LANES));
            }
            for r in 0..R {
                let left = V::splat(*a_first.add(r * a.row_stride + position * a.inner_stride));
                for c in 0..C {
                    sums[r][c] = left.multiply_add(right[c], sums[r][c]);
                }
            }
        }
        let first = out.values.as_mut_ptr().add(row * out.stride + column);
        for r in 0..R {
            for c in 0..C {
                let target = first.add(r * out.stride + c * V::LANES);
                let sum = if out.add { V::load(target).plus(sums[r][c]) } else { sums[r][c] };
                sum.store(target);
            }
        }
    }
}

/// Floats that an instruction set handles together. Written out, because loops over arrays of this size are not
/// reliably turned into registers by the compiler.
///
/// # Safety
/// Every method needs a processor with the instructions of the type; `load` and `store` touch `LANES` floats.
trait Vector: Copy {
    const LANES: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(source: *const f32) -> Self;
    unsafe fn store(self, target: *mut f32);
    unsafe fn plus(self, other: Self) -> Self;
    /// `self · b + c`.
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self;
}

/// Implements [`Vector`] by the intrinsics of a register type.
#[cfg(target_arch = "x86_64")]
macro_rules! register {
    ($kind:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $multiply_add:ident) => {
        impl Vector for $kind {
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the trait's contract.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(source: *const f32) -> Self {
                // SAFETY: the trait's contract.
                unsafe { $load(source) }
            }
            #[inline(always)]
            unsafe fn store(self, target: *mut f32) {
                // SAFETY: the trait's contract.
                unsafe { $store(target, self) }
            }
            #[inline(always)]
            unsafe fn plus(self, other: Self) -> Self {
                // SAFETY: the trait's contract.
                unsafe { $add(self, other) }
            }
            #[inline(always)]
            unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the trait's contract.
                unsafe { $multiply_add(self, b, c) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
register!(__m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps);
#[cfg(target_arch = "x86_64")]
register!(__m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps);

/// Implements [`Vector`] by an array and a scalar multiply-add.
macro_rules! array {
    ($name:ident, $lanes:literal, $doc:literal, $multiply_add:expr) => {
        #[doc = $doc]
        #[derive(Clone, Copy)]
        struct $name([f32; $lanes]);

        impl Vector for $name {
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                Self([value; $lanes])
            }
            #[inline(always)]
            unsafe fn load(source: *const f32) -> Self {
                // SAFETY: the trait's contract.
                Self(unsafe { source.cast::<[f32; $lanes]>().read() })
            }
            #[inline(always)]
            unsafe fn store(self, target: *mut f32) {
                // SAFETY: the trait's contract.
                unsafe { target.cast::<[f32; $lanes]>().write(self.0) }
            }
            #[inline(always)]
            unsafe fn plus(self, other: Self) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
            }
            #[inline(always)]
            unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
                Self(std::array::from_fn(|lane| $multiply_add(self.0[lane], b.0[lane], c.0[lane])))
            }
        }
    };
}

array!(Four, 4, "The baseline's vector.", baseline_multiply_add);
array!(Plain, 1, "The baseline's remaining columns.", baseline_multiply_add);
#[cfg(target_arch = "x86_64")]
array!(Fused, 1, "The remaining columns where multiply-adds are fused.", f32::mul_add);

#[inline(always)]
fn baseline_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if BASELINE_FUSES { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, bits, numbers};

    #[test]
    fn products_match_the_reference_on_every_path() {
        for (rows, inner, columns) in
            [(0, 1, 1), (1, 0, 3), (1, 1, 1), (7, 5, 3), (13, 33, 61), (16, 64, 32), (9, 2, 40)]
        {
            for transposed in [false, true] {
                let a = numbers(rows * inner, 1);
                let b = numbers(inner * (columns + 3), 2);
                let left = if transposed {
                    Left { values: &a, row_stride: 1, inner_stride: rows }
                } else {
                    Left { values: &a, row_stride: inner, inner_stride: 1 }
                };
                let at = |r: usize, k: usize| f64::from(a[r * left.row_stride + k * left.inner_stride]);
                let expected: Vec<f64> = (0..rows * columns)
                    .map(|i| {
                        let (r, c) = (i / columns, i % columns);
                        2.0 + (0..inner).map(|k| at(r, k) * f64::from(b[k * (columns + 3) + c])).sum::<f64>()
                    })
                    .collect();
                let results: Vec<Vec<f32>> = Path::available()
                    .into_iter()
                    .map(|path| {
                        let mut values = vec![2.0; rows * columns];
                        let right = Right { values: &b, stride: columns + 3 };
                        let out = Out { values: &mut values, stride: columns, add: true };
                        product(path, out, left, right, Size { rows, inner, columns });
                        values
                    })
                    .collect();
                for result in &results {
                    assert_close(result, &expected, 1e-5);
                }
                // The fused paths agree to the last bit whatever their tiles; the baseline rounds twice.
                for pair in results.windows(2).skip(1) {
                    assert_eq!(bits(&pair[0]), bits(&pair[1]));
                }
            }
        }
    }
}
