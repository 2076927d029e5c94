//! In which precision are operands held, and how do numbers get there?

use crate::dispatch::{Path, per_path};
use half::bf16;

/// What an operand of a product is held in; sums are always f32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// 32 bits, 24 of them significant.
    F32,
    /// 16 bits, 8 of them significant, with the range of f32: half the memory and up to twice the speed.
    Bf16,
}

/// A number that can be an operand of a product.
pub trait Element: Upper + Copy + Default + Send + Sync + 'static {
    /// The precision it stands for.
    const PRECISION: Precision;
    /// The number itself: every element is an f32.
    fn to_f32(self) -> f32;
    /// The nearest element, ties to even; NaN stays NaN.
    fn from_f32(value: f32) -> Self;
}

/// The private half of [`Element`]; nobody else can implement it.
pub trait Upper {
    /// The bits of the nearest bf16, above 16 zeros.
    fn upper(self) -> u32;
}

impl Upper for f32 {
    #[inline(always)]
    fn upper(self) -> u32 {
        rounded(self) & 0xFFFF_0000
    }
}

impl Upper for bf16 {
    #[inline(always)]
    fn upper(self) -> u32 {
        u32::from(self.to_bits()) << 16
    }
}

impl Element for f32 {
    const PRECISION: Precision = Precision::F32;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    const PRECISION: Precision = Precision::Bf16;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_bits((rounded(value) >> 16) as u16)
    }
}

/// The bits of `value`, whose upper half is the nearest bf16, ties to even. Without branches, so that loops over it
/// vectorise.
#[inline(always)]
fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    let up = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    // A NaN keeps its sign and becomes quiet; rounding could carry it into infinity or zero.
    if value.is_nan() { bits | 0x0040_0000 } else { up }
}

/// `target = source` in bf16, rounded to nearest, ties to even; NaN stays NaN. Numbers below 2⁻¹²⁶, where f32 loses
/// precision, may become zero, as they do in the products.
///
/// # Shapes
/// Both slices have one length.
pub fn convert_rows(source: &[f32], target: &mut [bf16]) {
    convert_on(Path::best(), source, target);
}

pub(super) fn convert_on(path: Path, source: &[f32], target: &mut [bf16]) {
    assert_eq!(source.len(), target.len(), "source and target of a conversion differ in length");
    #[cfg(target_arch = "x86_64")]
    if path.has_bf16() {
        // SAFETY: the path says that the processor has the instruction.
        return unsafe { super::packing_x86::convert(source, target) };
    }
    convert_per_path(path, source, target);
}

per_path!(fn convert_per_path(source: &[f32], target: &mut [bf16]) = convert_body);

#[inline(always)]
fn convert_body(source: &[f32], target: &mut [bf16]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target = bf16::from_f32(*source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbers;

    #[test]
    fn conversion_rounds_to_nearest_even_on_every_path() {
        let mut source = numbers(1003, 1);
        // Ties to even in both directions, a carry into the exponent, infinities and the largest number.
        let special =
            [0x3F80_8000, 0x3F81_8000, 0x3FFF_8000, 0x7F80_0000, 0xFF80_0000, 0x7F7F_FFFF, 0x8000_0000];
        source.extend(special.map(f32::from_bits));
        for path in Path::available() {
            let mut target = vec![bf16::ZERO; source.len()];
            convert_on(path, &source, &mut target);
            for (value, converted) in source.iter().zip(&target) {
                assert_eq!(converted.to_bits(), bf16::from_f32(*value).to_bits(), "{value} on {path:?}");
            }
        }
    }

    #[test]
    fn the_reference_rounding_is_that_of_half() {
        for value in numbers(10_000, 2) {
            assert_eq!(<bf16 as Element>::from_f32(value).to_bits(), bf16::from_f32(value).to_bits());
        }
    }

    #[test]
    fn no_number_becomes_nan_and_no_nan_a_number() {
        let nans = [0x7F80_0001, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FC0_0000, 0xFF80_0001].map(f32::from_bits);
        let source: Vec<f32> = nans.into_iter().cycle().take(67).collect();
        for path in Path::available() {
            let mut target = vec![bf16::ZERO; source.len()];
            convert_on(path, &source, &mut target);
            assert!(target.iter().all(|value| value.is_nan()), "{path:?}");
        }
    }
}
