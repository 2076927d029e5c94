//! How sure a measured value or a difference is: percentile bootstraps over rows and paired seeds.
//!
//! A handful of seeds drawn with replacement spread too little: their variance lacks the factor `seeds / (seeds − 1)`, and
//! the quantiles of so few are narrower than Student's. So what drawing seeds adds to a difference is widened by both
//! factors ([`seed_widening`]). A simulation (`simulation_tests.rs`) holds that a difference which is not there is then
//! claimed no more often than it may be.
//!
//! Every resample draws from a generator of its own, keyed by seed and resample, so results do not depend on the
//! number of threads.

use crate::error::{Error, Result};
use crate::evaluation::row_metric::RowMetric;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapOptions {
    /// How many resamples; 2,000 give interval ends that repeat to about a twentieth of the width.
    pub resamples: usize,
    /// The share of resamples inside the interval, such as 0.95.
    pub confidence: f64,
    /// What the draws depend on.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self { resamples: 10_000, confidence: 0.95, seed: 42 }
    }
}

/// A value and the interval of its resamples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value of the rows as they are.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The percentile interval of a metric over test rows.
///
/// Resamples for which the metric is not defined are left out. Errors: no rows, options out of range, a metric that
/// is not defined for the rows as they are.
pub fn bootstrap_interval(metric: &dyn RowMetric, options: &BootstrapOptions) -> Result<Interval> {
    Ok(Resampled::new(&[metric], options)?.interval())
}

/// Which way of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Accuracy, F1, correlation.
    GreaterIsBetter,
    /// Losses and errors.
    LesserIsBetter,
}

/// Two routes run with the same seed, on the same test rows in the same order.
#[derive(Clone, Copy)]
pub struct PairedSeed<'a> {
    /// The route compared with.
    pub baseline: &'a dyn RowMetric,
    /// The route in question.
    pub candidate: &'a dyn RowMetric,
}

/// What is compared, and from where on it matters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonOptions {
    /// How to resample.
    pub bootstrap: BootstrapOptions,
    /// Which way is better.
    pub direction: Direction,
    /// Differences up to this size do not matter (the region of practical equivalence), in units of the metric.
    pub rope: f64,
}

/// The difference `candidate − baseline` of two routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// The mean over seeds of the difference, with its interval.
    pub difference: Interval,
    /// The difference of each seed.
    pub seed_differences: Vec<f64>,
    /// The share of resamples in which the candidate is better at all; ties count half.
    pub probability_better: f64,
    /// The share in which it is better by more than the rope.
    pub probability_above_rope: f64,
    /// The share in which the difference is within the rope.
    pub probability_within_rope: f64,
    /// The share in which it is worse by more than the rope.
    pub probability_below_rope: f64,
}

/// One metric of one route: its value for each run, and in every resample of the rows.
///
/// The resamples depend on options and number of rows only, so those of two routes are paired. A route that no seed
/// changes has a single run, which stands for all seeds.
#[derive(Debug, Clone)]
pub struct Resampled {
    rows: usize,
    options: BootstrapOptions,
    /// `[runs]`
    values: Vec<f64>,
    /// `[runs][resamples]`; NaN where the metric is not defined.
    drawn: Vec<Vec<f64>>,
}

impl Resampled {
    /// Resamples the runs of a route, one a seed or a single one.
    ///
    /// Errors: no runs or rows, different numbers of rows, options out of range, a metric that is not defined for the
    /// rows as they are.
    pub fn new(runs: &[&dyn RowMetric], options: &BootstrapOptions) -> Result<Self> {
        let rows = runs.first().map_or(0, |run| run.rows());
        check(rows, options)?;
        if runs.iter().any(|run| run.rows() != rows) {
            return Err(different_rows());
        }
        let values = runs.iter().map(|run| run.plain_value().ok_or_else(undefined)).collect::<Result<_>>()?;
        let by_resample: Vec<Vec<f64>> = (0..options.resamples)
            .into_par_iter()
            .map_init(Vec::new, |weights, resample| {
                Draws::new(options.seed, resample).draw_weights(rows, weights);
                runs.iter().map(|run| run.value(weights).unwrap_or(f64::NAN)).collect()
            })
            .collect();
        let drawn =
            (0..runs.len()).map(|run| by_resample.iter().map(|values| values[run]).collect()).collect();
        Ok(Self { rows, options: *options, values, drawn })
    }

    /// The value of each run on the rows as they are.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The percentile interval of the mean over runs: every resample draws runs and rows, both with replacement. What
    /// drawing runs adds is widened to its unbiased variance, and no further than what was drawn.
    pub fn interval(&self) -> Interval {
        let (seeds, resamples) = (self.values.len(), self.options.resamples);
        let widening = unbiased(seeds);
        let value = |seed: usize, resample: usize| self.drawn[seed][resample];
        let drawn = two_level(seeds, resamples, self.options.seed, widening, value);
        let (low, high) = ends(&drawn, self.options.confidence);
        let all = || self.drawn.iter().flatten().copied().filter(|value| !value.is_nan());
        let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        Interval { estimate: mean(&self.values), low: low.max(least), high: high.min(most) }
    }

    fn at(&self, seed: usize) -> usize {
        if self.values.len() == 1 { 0 } else { seed }
    }
}

/// The two-level paired bootstrap of two procedures: every resample draws seeds and rows, both with replacement, and
/// uses the same draw for both routes.
///
/// Errors: routes of different rows, resamples or numbers of seeds; a rope that is no size.
pub fn compare_resampled(
    candidate: &Resampled,
    baseline: &Resampled,
    direction: Direction,
    rope: f64,
) -> Result<PairedComparison> {
    let seeds = candidate.values.len().max(baseline.values.len());
    let is_paired = |route: &Resampled| route.values.len() == 1 || route.values.len() == seeds;
    let same = candidate.rows == baseline.rows && candidate.options == baseline.options;
    if !(same && is_paired(candidate) && is_paired(baseline)) {
        return Err(different_rows());
    }
    check_rope(rope)?;
    let seed_differences: Vec<f64> = (0..seeds)
        .map(|seed| candidate.values[candidate.at(seed)] - baseline.values[baseline.at(seed)])
        .collect();
    let options = &candidate.options;
    let value = |seed: usize, resample: usize| {
        candidate.drawn[candidate.at(seed)][resample] - baseline.drawn[baseline.at(seed)][resample]
    };
    let differences = two_level(seeds, options.resamples, options.seed, seed_widening(seeds), value);
    let options = ComparisonOptions { bootstrap: *options, direction, rope };
    Ok(summarize(mean(&seed_differences), seed_differences, &differences, &options))
}

/// [`compare_resampled`] of runs that were not resampled yet. With one seed it is the paired bootstrap over rows of two
/// fixed models.
///
/// Errors: no seeds or rows, different numbers of rows, options out of range, a metric that is not defined for the rows
/// as they are.
pub fn paired_bootstrap(seeds: &[PairedSeed<'_>], options: &ComparisonOptions) -> Result<PairedComparison> {
    let candidates: Vec<&dyn RowMetric> = seeds.iter().map(|seed| seed.candidate).collect();
    let baselines: Vec<&dyn RowMetric> = seeds.iter().map(|seed| seed.baseline).collect();
    let candidate = Resampled::new(&candidates, &options.bootstrap)?;
    let baseline = Resampled::new(&baselines, &options.bootstrap)?;
    compare_resampled(&candidate, &baseline, options.direction, options.rope)
}

/// The sorted values of all resamples in which `value` (of a seed and a resample of the rows) is defined.
/// Deviations that come from drawing seeds are `widening` times as large.
fn two_level(
    seeds: usize,
    resamples: usize,
    key: u64,
    widening: f64,
    value: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let mut weights = Vec::new();
    let mut one = |resample: usize| -> f64 {
        Draws::new(key ^ SEED_DRAWS, resample).draw_weights(seeds, &mut weights);
        let (mut sum, mut drawn) = (0.0, 0.0);
        for (seed, &weight) in weights.iter().enumerate() {
            let value = value(seed, resample);
            sum += value;
            drawn += f64::from(weight) * value;
        }
        (sum + widening * (drawn - sum)) / seeds as f64
    };
    let mut values: Vec<f64> = (0..resamples).map(&mut one).filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Keeps the draws of seeds apart from those of rows.
const SEED_DRAWS: u64 = 0x5345_4544_5345_4544;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// By how much the deviations that come from drawing so many seeds are widened:
/// `√(seeds / (seeds − 1)) · t / z`, with the 95 % quantiles of Student's distribution with `seeds − 1` degrees of freedom
/// and of the normal one. 1 for a single seed, which knows nothing of others.
pub fn seed_widening(seeds: usize) -> f64 {
    const NORMAL: f64 = 1.644_853_626_951_472_2;
    const STUDENT: [f64; 9] = [
        6.313_751_514_675_037,
        2.919_985_580_353_724_2,
        2.353_363_434_801_823_3,
        2.131_846_786_326_649_5,
        2.015_048_373_333_023_3,
        1.943_180_280_515_304_2,
        1.894_578_605_090_006_2,
        1.859_548_037_530_897_3,
        1.833_112_932_656_237,
    ];
    let Some(degrees) = seeds.checked_sub(1).filter(|degrees| *degrees > 0) else { return 1.0 };
    let student = STUDENT.get(degrees - 1).copied().unwrap_or_else(|| {
        // Cornish and Fisher's expansion, within 1e-3 from ten degrees on.
        NORMAL + (NORMAL.powi(3) + NORMAL) / (4.0 * degrees as f64)
    });
    unbiased(seeds) * student / NORMAL
}

/// What makes the variance of means of drawn seeds unbiased: `√(seeds / (seeds − 1))`.
fn unbiased(seeds: usize) -> f64 {
    if seeds > 1 { (seeds as f64 / (seeds - 1) as f64).sqrt() } else { 1.0 }
}

fn summarize(
    estimate: f64,
    seed_differences: Vec<f64>,
    differences: &[f64],
    options: &ComparisonOptions,
) -> PairedComparison {
    let sign = match options.direction {
        Direction::GreaterIsBetter => 1.0,
        Direction::LesserIsBetter => -1.0,
    };
    let share = |holds: &dyn Fn(f64) -> bool| -> f64 {
        differences.iter().filter(|&&difference| holds(sign * difference)).count() as f64
            / differences.len() as f64
    };
    let (low, high) = ends(differences, options.bootstrap.confidence);
    PairedComparison {
        difference: Interval { estimate, low, high },
        seed_differences,
        probability_better: share(&|gain| gain > 0.0) + 0.5 * share(&|gain| gain == 0.0),
        probability_above_rope: share(&|gain| gain > options.rope),
        probability_within_rope: share(&|gain| gain.abs() <= options.rope),
        probability_below_rope: share(&|gain| gain < -options.rope),
    }
}

fn check(rows: usize, options: &BootstrapOptions) -> Result<()> {
    if rows == 0 {
        return Err(Error::config("rows", "there are no test rows to resample", "check filters and splits"));
    }
    let confident = options.confidence > 0.0 && options.confidence < 1.0;
    if options.resamples > 0 && confident {
        return Ok(());
    }
    let problem = format!("{} resamples at confidence {}", options.resamples, options.confidence);
    Err(Error::config("bootstrap", problem, "take 2000 resamples or more, and a confidence such as 0.95"))
}

fn different_rows() -> Error {
    let hint = "evaluate all routes and seeds on the same test rows, in the same order";
    Error::config("predictions", "routes or seeds have different numbers of rows", hint)
}

fn check_rope(rope: f64) -> Result<()> {
    if rope.is_finite() && rope >= 0.0 {
        return Ok(());
    }
    let problem = format!("{rope} is not a size of differences");
    Err(Error::config("rope", problem, "give the largest difference that does not matter, such as 0.0025"))
}

fn undefined() -> Error {
    let hint = "test on rows of at least two classes, or with values that vary";
    Error::config("metric", "the metric is not defined for these rows", hint)
}

/// The ends of the central share of sorted values, by linear interpolation; the values are not empty in practice,
/// since the rows as they are have a value, and an empty list gives NaN.
fn ends(sorted: &[f64], confidence: f64) -> (f64, f64) {
    let tail = (1.0 - confidence) / 2.0;
    (quantile(sorted, tail), quantile(sorted, 1.0 - tail))
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = share * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// SplitMix64 (Steele, Lea & Flood 2014), started anew for each resample.
struct Draws {
    state: u64,
}

impl Draws {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new(seed: u64, resample: usize) -> Self {
        let mut keyed = Self { state: seed };
        let mixed = keyed.next();
        keyed.state = mixed ^ (resample as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
        keyed.state = keyed.next();
        keyed
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Self::GAMMA);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws `count` of `count` with replacement; `weights[i]` becomes how often `i` was drawn.
    fn draw_weights(&mut self, count: usize, weights: &mut Vec<u32>) {
        weights.clear();
        weights.resize(count, 0);
        for _ in 0..count {
            // The high half of the product is uniform below `count` up to a bias of count / 2^64.
            let drawn = (u128::from(self.next()) * count as u128) >> 64;
            weights[drawn as usize] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::row_metric::MeanRows;

    fn uniform(draws: &mut Draws) -> f64 {
        (draws.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn hits(rows: usize, share: f64, draws: &mut Draws) -> MeanRows {
        MeanRows { values: (0..rows).map(|_| f64::from(u8::from(uniform(draws) < share))).collect() }
    }

    /// With 1,000 samples the share covered has a standard deviation of 0.7 points.
    #[test]
    fn a_95_percent_interval_covers_the_truth_in_about_95_percent_of_samples() {
        let options = BootstrapOptions { resamples: 400, confidence: 0.95, seed: 1 };
        let mut draws = Draws::new(99, 0);
        let covered = (0..1000)
            .filter(|_| {
                let interval = bootstrap_interval(&hits(200, 0.7, &mut draws), &options).unwrap();
                interval.low <= 0.7 && 0.7 <= interval.high
            })
            .count();
        assert!((920..=970).contains(&covered), "{covered}");
    }

    #[test]
    fn a_paired_interval_covers_the_true_difference() {
        let bootstrap = BootstrapOptions { resamples: 300, confidence: 0.95, seed: 1 };
        let options = ComparisonOptions { bootstrap, direction: Direction::GreaterIsBetter, rope: 0.0 };
        let mut draws = Draws::new(7, 0);
        let covered = (0..400)
            .filter(|_| {
                let (baseline, candidate) = (hits(150, 0.6, &mut draws), hits(150, 0.7, &mut draws));
                let seeds = [PairedSeed { baseline: &baseline, candidate: &candidate }];
                let difference = paired_bootstrap(&seeds, &options).unwrap().difference;
                difference.low <= 0.1 && 0.1 <= difference.high
            })
            .count();
        assert!((364..=393).contains(&covered), "{covered}");
    }

    fn compare(gain: f64, direction: Direction) -> PairedComparison {
        let mut draws = Draws::new(5, 1);
        let runs: Vec<(MeanRows, MeanRows)> = (0..5)
            .map(|_| {
                let baseline = hits(300, 0.5, &mut draws);
                let values =
                    baseline.values.iter().map(|value| value + gain + 0.01 * uniform(&mut draws) - 0.005);
                let candidate = MeanRows { values: values.collect() };
                (baseline, candidate)
            })
            .collect();
        let seeds: Vec<PairedSeed<'_>> =
            runs.iter().map(|(baseline, candidate)| PairedSeed { baseline, candidate }).collect();
        let bootstrap = BootstrapOptions { resamples: 500, confidence: 0.95, seed: 3 };
        paired_bootstrap(&seeds, &ComparisonOptions { bootstrap, direction, rope: 0.01 }).unwrap()
    }

    #[test]
    fn the_pairing_removes_what_rows_have_in_common() {
        // The hits alone spread by 0.03 between resamples; the paired difference by far less.
        let comparison = compare(0.02, Direction::GreaterIsBetter);
        assert!(comparison.difference.high - comparison.difference.low < 0.002);
        assert_eq!(comparison.probability_above_rope, 1.0);
    }

    #[test]
    fn a_lesser_loss_is_better() {
        let comparison = compare(0.02, Direction::LesserIsBetter);
        assert!(comparison.difference.estimate > 0.0);
        assert_eq!((comparison.probability_better, comparison.probability_below_rope), (0.0, 1.0));
        assert_eq!(compare(0.0, Direction::LesserIsBetter).probability_within_rope, 1.0);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let rows = hits(100, 0.5, &mut Draws::new(1, 2));
        let options = BootstrapOptions { resamples: 200, ..BootstrapOptions::default() };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap_interval(&rows, &options).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0], 0.975), 1.0);
    }

    #[test]
    fn unusable_input_is_refused() {
        let empty = MeanRows { values: vec![] };
        assert!(bootstrap_interval(&empty, &BootstrapOptions::default()).is_err());
        let one = MeanRows { values: vec![1.0] };
        let options = BootstrapOptions { confidence: 1.0, ..BootstrapOptions::default() };
        assert!(bootstrap_interval(&one, &options).is_err());
        let options = ComparisonOptions {
            bootstrap: BootstrapOptions::default(),
            direction: Direction::GreaterIsBetter,
            rope: 0.0,
        };
        assert!(paired_bootstrap(&[], &options).is_err());
        let two = MeanRows { values: vec![1.0, 2.0] };
        assert!(paired_bootstrap(&[PairedSeed { baseline: &one, candidate: &two }], &options).is_err());
    }
}
