//! What is claimed of routes whose difference is known.
//!
//! A world is drawn: rows are more or less hard, and each seed of a route is lucky or not with all rows. A route gets a
//! row right with probability `1 / (1 + exp(-(skill + luck - hardness)))`.

use crate::evaluation::bootstrap::{
    BootstrapOptions, ComparisonOptions, Direction, PairedComparison, PairedSeed, paired_bootstrap,
};
use crate::evaluation::row_metric::MeanRows;
use crate::evaluation::statistics::{McNemar, Verdict};
use crate::random::Stream;

const ROWS: usize = 240;
const HARDNESS: f64 = 1.2;

struct World {
    stream: Stream,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, &[0x5349_4d55]) }
    }

    fn hardness(&mut self) -> Vec<f64> {
        (0..ROWS).map(|_| HARDNESS * self.stream.normal() - 1.0).collect()
    }

    fn run(&mut self, hardness: &[f64], skill: f64) -> MeanRows {
        let mut hit = |hardness: &f64| {
            let share = 1.0 / (1.0 + (hardness - skill).exp());
            f64::from(u8::from(self.stream.next_f64() < share))
        };
        MeanRows { values: hardness.iter().map(&mut hit).collect() }
    }

    /// Both routes with so many seeds, the candidate better by `gain` in skill.
    fn compare(&mut self, seeds: usize, luck: f64, gain: f64, rope: f64) -> PairedComparison {
        let hardness = self.hardness();
        let runs: Vec<(MeanRows, MeanRows)> = (0..seeds)
            .map(|_| {
                let (first, second) = (luck * self.stream.normal(), luck * self.stream.normal());
                (self.run(&hardness, first), self.run(&hardness, gain + second))
            })
            .collect();
        let pairs: Vec<PairedSeed<'_>> =
            runs.iter().map(|(baseline, candidate)| PairedSeed { baseline, candidate }).collect();
        let bootstrap = BootstrapOptions { resamples: 600, confidence: 0.95, seed: 1 };
        paired_bootstrap(
            &pairs,
            &ComparisonOptions { bootstrap, direction: Direction::GreaterIsBetter, rope },
        )
        .unwrap()
    }
}

/// The mean accuracy of a route over worlds.
fn expected(luck: f64, gain: f64) -> f64 {
    let mut world = World::new(77);
    let draws = 200_000;
    let share = |world: &mut World| {
        let (hardness, skill) = (HARDNESS * world.stream.normal() - 1.0, gain + luck * world.stream.normal());
        1.0 / (1.0 + (hardness - skill).exp())
    };
    (0..draws).map(|_| share(&mut world)).sum::<f64>() / f64::from(draws)
}

/// Of routes that are equal, one is called better in 5 % of the cases at most, whether seeds matter little or much, and
/// whether there are two or five; 600 worlds leave the share a standard deviation of 0.9 points.
#[test]
fn equal_routes_are_called_better_no_more_often_than_allowed() {
    for (case, (seeds, luck)) in [(1, 0.0), (3, 0.0), (2, 0.5), (3, 0.5), (5, 0.5)].into_iter().enumerate() {
        let mut world = World::new(100 + case as u64);
        let worlds = 600;
        let called = (0..worlds)
            .filter(|_| Verdict::of(&world.compare(seeds, luck, 0.0, 0.0), 0.95) == Verdict::Better)
            .count();
        let share = called as f64 / f64::from(worlds);
        assert!(share <= 0.05 + 2.0 * 0.009, "{seeds} seeds, luck {luck}: {share}");
    }
}

/// A known difference lies within the interval of 95 % in at least that share of worlds, less three standard deviations
/// of the simulation itself.
#[test]
fn the_interval_covers_a_known_difference() {
    for (case, (seeds, luck)) in [(1, 0.0), (3, 0.3), (5, 0.3)].into_iter().enumerate() {
        let truth = expected(luck, 0.4) - expected(luck, 0.0);
        let mut world = World::new(500 + case as u64);
        let worlds = 500;
        let covered = (0..worlds)
            .filter(|_| {
                let found = world.compare(seeds, luck, 0.4, 0.0).difference;
                found.low <= truth && truth <= found.high
            })
            .count();
        let share = covered as f64 / f64::from(worlds);
        assert!(share >= 0.95 - 3.0 * 0.0098, "{seeds} seeds, luck {luck}: {share}");
    }
}

/// The other side of the coin: a large difference is found, and routes far closer than the rope are called equal.
#[test]
fn large_differences_are_found_and_none_is_called_equal() {
    let mut world = World::new(900);
    let verdicts = |world: &mut World, gain: f64, rope: f64, wanted: Verdict| {
        (0..60).filter(|_| Verdict::of(&world.compare(3, 0.02, gain, rope), 0.95) == wanted).count()
    };
    assert!(verdicts(&mut world, 1.5, 0.01, Verdict::Better) >= 57);
    assert!(verdicts(&mut world, -1.5, 0.01, Verdict::Worse) >= 57);
    assert!(verdicts(&mut world, 0.0, 0.25, Verdict::PracticallyEqual) >= 55);
}

/// The exact test is conservative, the mid-p test hardly ever too bold.
#[test]
fn mcnemar_keeps_its_level() {
    let mut world = World::new(1300);
    let worlds = 2_000;
    let (mut exact, mut mid) = (0, 0);
    for _ in 0..worlds {
        let hardness = world.hardness();
        let hits = |run: MeanRows| run.values.iter().map(|value| *value > 0.5).collect::<Vec<bool>>();
        let (first, second) = (hits(world.run(&hardness, 0.0)), hits(world.run(&hardness, 0.0)));
        let test = McNemar::from_hits(&first, &second).unwrap();
        exact += u32::from(test.exact_p <= 0.05);
        mid += u32::from(test.mid_p <= 0.05);
    }
    let share = |count: u32| f64::from(count) / f64::from(worlds);
    assert!(share(exact) <= 0.05, "{}", share(exact));
    assert!(share(mid) <= 0.06 && mid >= exact, "{}", share(mid));
}
