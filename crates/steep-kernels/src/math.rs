//! Exponential, hyperbolic tangent and normal distribution as branch-free `f32` code that compilers vectorise.
//!
//! Only plain multiplications and additions, never fused ones: every instruction set gives the same bits.
//! NaN propagates because clamps are written as comparisons.

/// How many partial sums the reductions of feature rows keep; fixed, so that the order of additions is the same
/// everywhere.
pub(crate) const LANES: usize = 32;

/// The upper 9 bits of `ln 2`, whose products with exponents are exact, and the rest.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` within 2 units in the last place, from 0 (below -104) through the subnormals to infinity (above 88.72).
///
/// Cephes `expf`: `x = n·ln 2 + r`, a polynomial of degree 5 for `e^r - 1 - r`, and two exact scalings by powers
/// of two (two, because `2^n` itself may be subnormal).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: adding it rounds to the nearest integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -110.0 { -110.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let value = (p * (r * r) + r) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = exponent >> 1;
    value * power_of_two(half) * power_of_two(exponent.wrapping_sub(half))
}

/// `2^n` for the exponent of a normal number.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `ln x` of a normal positive number within 2 units in the last place (or 1e-7 near 1); infinity and NaN pass.
///
/// Cephes `logf`: `x = 2^e · m` with `√½ ≤ m < √2`, and a polynomial of degree 8 around 1.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3F35_04F3;
    let exponent = (x.to_bits().wrapping_sub(SQRT_HALF_BITS) as i32) >> 23;
    let f = f32::from_bits(x.to_bits().wrapping_sub((exponent as u32) << 23)) - 1.0;
    let e = exponent as f32;
    let z = f * f;
    let p = 7.037_683_6e-2;
    let p = p * f - 1.151_461e-1;
    let p = p * f + 1.167_699_9e-1;
    let p = p * f - 1.242_014_1e-1;
    let p = p * f + 1.424_932_3e-1;
    let p = p * f - 1.666_805_8e-1;
    let p = p * f + 2.000_071_5e-1;
    let p = p * f - 2.499_999_4e-1;
    let p = p * f + 3.333_333_1e-1;
    let small = (p * f * z + e * LN_2_LOW) - 0.5 * z;
    let value = (f + small) + e * LN_2_HIGH;
    if x < f32::INFINITY { value } else { x }
}

/// Hyperbolic tangent (Cephes `tanhf`): an odd polynomial near 0, `1 - 2 / (e^2x + 1)` elsewhere.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_908_9e-2;
    let p = p * z - 5.373_971_6e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let small = x + x * (z * p);
    let large = (1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0)).copysign(x);
    if magnitude < 0.625 { small } else { large }
}

/// `1 / (1 + e^-x)`, with full relative accuracy for negative `x` too.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The standard normal distribution at `x`: `(Φ(x), e^(-x²/2))`.
///
/// `Φ(-|x|) = e^(-x²/2) · t · P(t)` with `t = 1 / (1 + |x| / 4)`. `P` is a minimax fit of degree 8 (relative error
/// 6.2e-8) to `erfcx(|x| / √2) / 2t` on 0 ≤ |x| ≤ 14.5. Unlike `(1 + erf) / 2` this does not cancel in the lower tail.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    let magnitude = x.abs();
    let t = 1.0 / (1.0 + 0.25 * magnitude);
    let p = 2.517_487_7e-2;
    let p = p * t - 1.501_110_5e-1;
    let p = p * t + 2.904_708_9e-1;
    let p = p * t - 1.992_158_1e-1;
    let p = p * t + 1.971_361_5e-1;
    let p = p * t + 3.494_072e-2;
    let p = p * t + 1.032_181_3e-1;
    let p = p * t + 9.859_323_5e-2;
    let p = p * t + 9.979_283_4e-2;
    let bell = exp(-0.5 * magnitude * magnitude);
    let tail = p * t * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

/// The sum of `values` in an order that depends only on their number and `N`, the number of partial sums.
#[inline(always)]
pub(crate) fn sum<const N: usize>(values: &[f32]) -> f32 {
    sum_of::<N>(values, values, |value, _| value)
}

/// The sum of `term(a, b)` over pairs, in an order that depends only on their number and `N`.
#[inline(always)]
pub(crate) fn sum_of<const N: usize>(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; N];
    let (a, a_rest) = a.as_chunks::<N>();
    let (b, b_rest) = b.as_chunks::<N>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..N {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += term(*a, *b);
    }
    fold_lanes(lanes, |a, b| a + b)
}

/// Halves the lanes until one is left.
#[inline(always)]
fn fold_lanes<const N: usize>(mut lanes: [f32; N], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = N / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = combine(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest of `values` (NaN is passed over; the exponentials that follow bring it back).
#[inline(always)]
pub(crate) fn maximum<const N: usize>(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; N];
    let (chunks, rest) = values.as_chunks::<N>();
    for chunk in chunks {
        for lane in 0..N {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, *value);
    }
    fold_lanes(lanes, larger)
}

/// The larger number, or `a` if `b` is NaN.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of the `f32` next to `expected`.
    fn units(value: f32, expected: f64) -> f64 {
        let near = expected as f32;
        let unit = f64::from(near.abs().next_up() - near.abs());
        (f64::from(value) - expected).abs() / unit
    }

    /// The error function's complement in f64: the Taylor series near 0, a continued fraction in the tail.
    fn erfc(x: f64) -> f64 {
        if x < 2.5 {
            let (mut term, mut total) = (x, x);
            for n in 1..120 {
                term *= -x * x / f64::from(n);
                total += term / f64::from(2 * n + 1);
            }
            return 1.0 - total * std::f64::consts::FRAC_2_SQRT_PI;
        }
        let tail = (1..200).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
        (-x * x).exp() / std::f64::consts::PI.sqrt() / tail
    }

    fn grid(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=200_000).map(move |i| from + (to - from) * i as f32 / 200_000.0)
    }

    #[test]
    fn exp_is_within_two_units() {
        let worst = grid(-87.0, 88.7).map(|x| units(exp(x), f64::from(x).exp())).fold(0.0, f64::max);
        assert!(worst < 2.0, "{worst}");
        let subnormal = grid(-103.0, -87.0).map(|x| units(exp(x), f64::from(x).exp())).fold(0.0, f64::max);
        assert!(subnormal < 2.0, "{subnormal}");
    }

    #[test]
    fn exp_reaches_its_limits() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn ln_is_within_few_units() {
        for x in grid(-80.0, 88.0).map(f32::exp).chain(grid(0.5, 3.0)) {
            let expected = f64::from(x).ln();
            let error = (f64::from(ln(x)) - expected).abs();
            assert!(error <= 1.2e-7 * expected.abs().max(0.7), "{x}: {error:e}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_within_few_units() {
        let worst = grid(-12.0, 12.0)
            .filter(|x| *x != 0.0)
            .map(|x| units(tanh(x), f64::from(x).tanh()))
            .fold(0.0, f64::max);
        assert!(worst < 3.0, "{worst}");
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(-1e30), -1.0);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn normal_keeps_its_relative_accuracy_in_the_tail() {
        for x in grid(-10.0, 10.0).step_by(7) {
            let expected = 0.5
                * if x <= 0.0 {
                    erfc(-f64::from(x) / std::f64::consts::SQRT_2)
                } else {
                    2.0 - erfc(f64::from(x) / std::f64::consts::SQRT_2)
                };
            // The rounding of x² grows with it.
            let allowed = 6e-7 + 1.2e-7 * f64::from(x * x) / 2.0;
            let error = (f64::from(normal(x).0) / expected - 1.0).abs();
            assert!(error < allowed, "{x}: {error:e}");
        }
        assert_eq!(normal(-1e30), (0.0, 0.0));
        assert_eq!(normal(1e30), (1.0, 0.0));
        assert!(normal(f32::NAN).0.is_nan());
    }

    #[test]
    fn reductions_take_every_element() {
        for length in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..length).map(|i| i as f32 - 40.0).collect();
            assert_eq!(sum::<16>(&values), values.iter().sum::<f32>());
            assert_eq!(maximum::<32>(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
