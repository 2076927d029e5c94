//! What does an instruction set do with one word of the left operand and a register of words of the right one?
//!
//! A word is 32 bits: one f32, two bf16 or four bytes along the inner dimension. So all precisions have the same
//! layout, the same tile and the same loops, and differ in this step only.

/// The step of a product.
///
/// # Safety
/// Every method needs a processor with the instructions of the type; `load` reads and `store` writes `LANES` items.
pub(super) trait Step {
    /// Columns in a register.
    const LANES: usize;
    type Words: Copy;
    type Sums: Copy;
    type Scalar: Copy + Default;
    unsafe fn zero() -> Self::Sums;
    unsafe fn splat(word: u32) -> Self::Words;
    unsafe fn load(words: *const u32) -> Self::Words;
    /// `sums + left · right`, where words hold several numbers their products added.
    unsafe fn multiply_add(left: Self::Words, right: Self::Words, sums: Self::Sums) -> Self::Sums;
    unsafe fn store(sums: Self::Sums, target: *mut Self::Scalar);
}

/// Numbers in a register of the baseline (SSE2, NEON).
const LANES: usize = 4;

/// The baseline's f32: arrays that the compiler turns into registers.
pub(super) struct PlainF32;

/// The baseline's bf16: both halves of a word are widened and multiplied in f32, the lower one first.
pub(super) struct PlainBf16;

#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    // Only where the architecture always has the instruction; elsewhere `mul_add` would be a function call.
    if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn low(word: u32) -> f32 {
    f32::from_bits(word << 16)
}

#[inline(always)]
fn high(word: u32) -> f32 {
    f32::from_bits(word & 0xFFFF_0000)
}

impl Step for PlainF32 {
    const LANES: usize = LANES;
    type Words = [f32; LANES];
    type Sums = [f32; LANES];
    type Scalar = f32;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self::Words {
        [f32::from_bits(word); LANES]
    }
    #[inline(always)]
    unsafe fn load(words: *const u32) -> Self::Words {
        // SAFETY: the trait's contract.
        unsafe { words.cast::<[f32; LANES]>().read() }
    }
    #[inline(always)]
    unsafe fn multiply_add(left: Self::Words, right: Self::Words, sums: Self::Sums) -> Self::Sums {
        std::array::from_fn(|lane| multiply_add(left[lane], right[lane], sums[lane]))
    }
    #[inline(always)]
    unsafe fn store(sums: Self::Sums, target: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { target.cast::<[f32; LANES]>().write(sums) }
    }
}

impl Step for PlainBf16 {
    const LANES: usize = LANES;
    type Words = [[f32; LANES]; 2];
    type Sums = [f32; LANES];
    type Scalar = f32;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self::Words {
        [[low(word); LANES], [high(word); LANES]]
    }
    #[inline(always)]
    unsafe fn load(words: *const u32) -> Self::Words {
        // SAFETY: the trait's contract.
        let words = unsafe { words.cast::<[u32; LANES]>().read() };
        [words.map(low), words.map(high)]
    }
    #[inline(always)]
    unsafe fn multiply_add(left: Self::Words, right: Self::Words, sums: Self::Sums) -> Self::Sums {
        std::array::from_fn(|lane| {
            let sum = multiply_add(left[0][lane], right[0][lane], sums[lane]);
            multiply_add(left[1][lane], right[1][lane], sum)
        })
    }
    #[inline(always)]
    unsafe fn store(sums: Self::Sums, target: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { target.cast::<[f32; LANES]>().write(sums) }
    }
}

/// The baseline's bytes: unsigned on the left, signed on the right.
pub(super) struct PlainInt8;

impl Step for PlainInt8 {
    const LANES: usize = LANES;
    type Words = [u32; LANES];
    type Sums = [i32; LANES];
    type Scalar = i32;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0; LANES]
    }
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self::Words {
        [word; LANES]
    }
    #[inline(always)]
    unsafe fn load(words: *const u32) -> Self::Words {
        // SAFETY: the trait's contract.
        unsafe { words.cast::<[u32; LANES]>().read() }
    }
    #[inline(always)]
    unsafe fn multiply_add(left: Self::Words, right: Self::Words, sums: Self::Sums) -> Self::Sums {
        std::array::from_fn(|lane| {
            let (left, right) = (left[lane].to_le_bytes(), right[lane].to_le_bytes());
            let product = |at: usize| i32::from(left[at]) * i32::from(right[at].cast_signed());
            sums[lane] + product(0) + product(1) + product(2) + product(3)
        })
    }
    #[inline(always)]
    unsafe fn store(sums: Self::Sums, target: *mut i32) {
        // SAFETY: the trait's contract.
        unsafe { target.cast::<[i32; LANES]>().write(sums) }
    }
}
