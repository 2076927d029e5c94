//! The inverse of the standard normal distribution.

/// The value below which a share of a standard normal distribution lies, to about 1e-15 relative.
///
/// A first guess from Abramowitz & Stegun 26.2.23 (error 4.5e-4), then Halley's steps on the distribution function,
/// whose tail is computed as a continued fraction.
pub(super) fn inverse_normal(share: f64) -> f64 {
    if share <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if share >= 1.0 {
        return f64::INFINITY;
    }
    // The smaller tail keeps its digits.
    let (tail, sign) = if share < 0.5 { (share, -1.0) } else { (1.0 - share, 1.0) };
    let t = (-2.0 * tail.ln()).sqrt();
    let guess = t
        - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    let mut x = guess.max(0.0);
    for _ in 0..4 {
        let step = (upper_tail(x) - tail) / density(x);
        // Halley: the second derivative of the tail is x times its first.
        x += step / (1.0 + x * step / 2.0);
    }
    sign * x
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// The share above `x`, for x of 0 or more.
fn upper_tail(x: f64) -> f64 {
    if x > 3.0 {
        // Laplace's continued fraction, from its far end; 80 terms are exact to rounding from 3 on.
        let fraction = (1..=80).rev().fold(0.0, |fraction, term| f64::from(term) / (x + fraction));
        return density(x) / (x + fraction);
    }
    // 1/2 minus the density times the series x + x³/3 + x⁵/(3·5) + …
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term > sum * 1e-18 {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 - density(x) * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_met() {
        // scipy.stats.norm.ppf
        for (share, value) in [
            (0.5, 0.0),
            (0.975, 1.959963984540054),
            (0.001, -3.090232306167813),
            (1e-7, -5.199337582187471),
            (1e-12, -7.034483825301131),
            (0.6, 0.2533471031357998),
        ] {
            assert!((inverse_normal(share) - value).abs() < 1e-11, "{share}: {}", inverse_normal(share));
        }
    }
}
