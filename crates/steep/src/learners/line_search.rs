//! How far to go along a direction on a convex function.

/// The slope must shrink to this share of the slope at the start (the strong Wolfe curvature condition).
const CURVATURE: f64 = 0.5;
/// The share of the promised decrease that must be reached (Armijo's condition).
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Values are trusted to this relative accuracy: exponentials are computed in 32 bits.
const VALUE_NOISE: f64 = 1e-7;
/// More trials than this mean that rounding errors hide the minimum.
const MAX_TRIALS: usize = 30;

/// A point of the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) step: f64,
    pub(crate) value: f64,
    pub(crate) slope: f64,
}

/// Finds a point that satisfies the strong Wolfe conditions, by bracketing the zero of the slope.
///
/// On a convex function the sign of the slope tells the side of the minimum, and slopes suffer less from rounding
/// than differences of values. The point returned is always the one evaluated last. `None` means that no step
/// decreases the function measurably.
pub(crate) fn search(start: Point, first_step: f64, mut evaluate: impl FnMut(f64) -> Point) -> Option<Point> {
    let (mut before, mut low, mut high) = (start, start, None);
    let mut step = first_step;
    for _ in 0..MAX_TRIALS {
        let trial = evaluate(step);
        if is_acceptable(&start, &trial) {
            return Some(trial);
        }
        if trial.value.is_finite() && trial.slope < 0.0 {
            (before, low) = (low, trial);
        } else {
            high = Some(trial);
        }
        step = high.map_or_else(|| beyond(&before, &low), |high| between(&low, &high));
    }
    (low.step > 0.0).then(|| evaluate(low.step)).filter(|point| point.value < start.value)
}

fn is_acceptable(start: &Point, trial: &Point) -> bool {
    let promised = SUFFICIENT_DECREASE * trial.step * start.slope;
    let decreases = trial.value <= start.value + promised + VALUE_NOISE * start.value.abs();
    decreases && trial.slope.abs() <= CURVATURE * start.slope.abs()
}

/// The zero of the slope beyond `low`, extrapolated, but neither timid nor wild.
fn beyond(before: &Point, low: &Point) -> f64 {
    let width = low.step - before.step;
    let zero = low.step - low.slope * width / (low.slope - before.slope);
    if zero.is_finite() && zero > low.step {
        zero.clamp(low.step * 1.2, low.step * 10.0)
    } else {
        low.step * 4.0
    }
}

/// The zero of the slope inside the bracket, away from its ends.
fn between(low: &Point, high: &Point) -> f64 {
    let width = high.step - low.step;
    if !high.value.is_finite() || !high.slope.is_finite() {
        return low.step + 0.1 * width;
    }
    let share = low.slope / (low.slope - high.slope);
    low.step + width * if share.is_finite() { share.clamp(0.1, 0.9) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimum(value: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64, first_step: f64) -> Option<Point> {
        let at = |step: f64| Point { step, value: value(step), slope: slope(step) };
        search(at(0.0), first_step, at)
    }

    #[test]
    fn far_and_near_minima_are_found() {
        for target in [1e-5, 0.3, 1.0, 5e4] {
            let found =
                minimum(|x| (x / target - 1.0).powi(2), |x| 2.0 * (x / target - 1.0) / target, 1.0).unwrap();
            assert!((found.step / target - 1.0).abs() <= 0.5, "{target}: {}", found.step);
        }
    }

    #[test]
    fn infinite_values_shorten_the_step() {
        let value = |x: f64| if x > 0.01 { f64::INFINITY } else { (x - 0.008).powi(2) };
        let found = minimum(value, |x| 2.0 * (x - 0.008), 1.0).unwrap();
        assert!(found.step < 0.01);
    }

    #[test]
    fn a_function_without_descent_gives_nothing() {
        assert!(minimum(|x| x, |_| 1.0, 1.0).is_none());
    }
}
