//! Tests and rules that turn measured differences into verdicts.

use crate::error::{Error, Result};
use crate::evaluation::bootstrap::PairedComparison;
use serde::{Deserialize, Serialize};

/// McNemar's test of two fixed models on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows that only the first model has right.
    pub only_first: u64,
    /// Rows that only the second model has right.
    pub only_second: u64,
    /// The exact two-sided p-value, from the binomial distribution with share one half.
    pub exact_p: f64,
    /// The mid-p value (Fagerland, Lydersen & Laake 2013), which is less conservative.
    pub mid_p: f64,
}

impl McNemar {
    /// Tests two models by whether each has each row right; an error if lengths differ.
    pub fn from_hits(first: &[bool], second: &[bool]) -> Result<Self> {
        if first.len() != second.len() {
            let problem = format!("{} and {} rows", first.len(), second.len());
            return Err(Error::config("predictions", problem, "evaluate both models on the same rows"));
        }
        let only = |left: &[bool], right: &[bool]| -> u64 {
            left.iter().zip(right).filter(|(left, right)| **left && !**right).count() as u64
        };
        Ok(Self::from_counts(only(first, second), only(second, first)))
    }

    /// Tests the numbers of rows that only one of the models has right.
    pub fn from_counts(only_first: u64, only_second: u64) -> Self {
        let (fewer, discordant) = (only_first.min(only_second), only_first + only_second);
        let at_fewer = half_binomial(fewer, discordant);
        let (mut tail, mut term) = (at_fewer, at_fewer);
        for count in (1..=fewer).rev() {
            term *= count as f64 / (discordant - count + 1) as f64;
            tail += term;
        }
        let mid_p = if only_first == only_second { 1.0 - 0.5 * at_fewer } else { 2.0 * tail - at_fewer };
        Self { only_first, only_second, exact_p: (2.0 * tail).min(1.0), mid_p: mid_p.min(1.0) }
    }
}

/// The probability of `count` heads in `total` fair throws. The logarithm is summed factor by factor, so that its
/// rounding error stays near 1e-12 for a hundred thousand throws.
fn half_binomial(count: u64, total: u64) -> f64 {
    let logarithm: f64 =
        (1..=count).map(|factor| ((total - count + factor) as f64 / factor as f64).ln()).sum();
    (logarithm - total as f64 * std::f64::consts::LN_2).exp()
}

/// Holm's correction (1979): p-values that keep the chance of any false claim among all at the level of one.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0f64;
    for (rank, &test) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[test]).min(1.0);
        adjusted[test] = largest;
    }
    adjusted
}

/// What a comparison says about the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better by more than the rope, with the asked probability.
    Better,
    /// Different by no more than the rope, with the asked probability: take the cheaper route.
    PracticallyEqual,
    /// None of the others: more rows or seeds are needed to tell.
    Undecided,
    /// Worse by more than the rope, with the asked probability.
    Worse,
}

impl Verdict {
    /// Decides where one of the three outcomes holds in at least `certainty` of the resamples, such as 0.95; a
    /// `certainty` above one half makes them exclude each other.
    pub fn of(comparison: &PairedComparison, certainty: f64) -> Self {
        if comparison.probability_above_rope >= certainty {
            Self::Better
        } else if comparison.probability_below_rope >= certainty {
            Self::Worse
        } else if comparison.probability_within_rope >= certainty {
            Self::PracticallyEqual
        } else {
            Self::Undecided
        }
    }
}

/// The smallest difference in accuracy that McNemar's test finds at level 0.05 with probability 0.8, as a fraction:
/// `(1.960 + 0.842) · √(disagreement / rows)`, `disagreement` being the share of rows on which the models disagree.
/// `None` without rows.
pub fn detectable_difference(rows: u64, disagreement: f64) -> Option<f64> {
    const QUANTILES: f64 = 1.959_963_984_540_054 + 0.841_621_233_572_914_3;
    (rows > 0).then(|| QUANTILES * (disagreement.clamp(0.0, 1.0) / rows as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::bootstrap::Interval;

    #[test]
    fn only_disagreements_count() {
        let (first, second) = ([true, true, false, false, true], [true, false, true, false, false]);
        let test = McNemar::from_hits(&first, &second).unwrap();
        assert_eq!((test.only_first, test.only_second), (2, 1));
        assert_eq!(test.exact_p, 1.0);
        assert_eq!(McNemar::from_counts(0, 0).exact_p, 1.0);
        assert!(McNemar::from_hits(&first, &second[..4]).is_err());
    }

    #[test]
    fn corrections_keep_the_order_of_p_values() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    fn verdict([above, within, below]: [f64; 3]) -> Verdict {
        let comparison = PairedComparison {
            difference: Interval { estimate: 0.0, low: 0.0, high: 0.0 },
            seed_differences: vec![],
            probability_better: 0.5,
            probability_above_rope: above,
            probability_within_rope: within,
            probability_below_rope: below,
        };
        Verdict::of(&comparison, 0.95)
    }

    #[test]
    fn verdicts_need_the_asked_certainty() {
        assert_eq!(verdict([0.96, 0.04, 0.0]), Verdict::Better);
        assert_eq!(verdict([0.0, 0.03, 0.97]), Verdict::Worse);
        assert_eq!(verdict([0.01, 0.98, 0.01]), Verdict::PracticallyEqual);
        assert_eq!(verdict([0.94, 0.06, 0.0]), Verdict::Undecided);
    }

    #[test]
    fn the_power_table_is_reproduced() {
        // Rows, disagreement and points from the table of what a test set can show.
        for (rows, disagreement, points) in [(500, 0.02, 1.77), (1821, 0.05, 1.47), (50_000, 0.1, 0.40)] {
            let found = detectable_difference(rows, disagreement).unwrap() * 100.0;
            assert!((found - points).abs() < 0.006, "{found}");
        }
        assert_eq!(detectable_difference(0, 0.1), None);
    }
}
