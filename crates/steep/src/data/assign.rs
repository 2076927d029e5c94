//! How rows are dealt to parts: by class, by group, by time.

use super::random::{Stream, draw, shuffled};
use std::collections::BTreeMap;

/// Rows that stay together, with the strata of the rows.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// The rows, ascending.
    pub(super) rows: Vec<u32>,
    /// How many of the rows are of each stratum, by ascending stratum.
    counts: Vec<(u32, u32)>,
}

/// The groups of some rows in the order of their first rows; without groups each row is its own.
pub(super) fn units(rows: &[u32], strata: &[u32], groups: Option<&[String]>) -> Vec<Unit> {
    let mut units: Vec<Vec<u32>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        let place = match groups {
            Some(groups) => *places.entry(groups[*row as usize].as_str()).or_insert(units.len()),
            None => units.len(),
        };
        match units.get_mut(place) {
            Some(unit) => unit.push(*row),
            None => units.push(vec![*row]),
        }
    }
    let with_counts = |rows: Vec<u32>| Unit { counts: count(&rows, strata), rows };
    units.into_iter().map(with_counts).collect()
}

fn count(rows: &[u32], strata: &[u32]) -> Vec<(u32, u32)> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(strata[*row as usize]).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// Parts `total` seats among classes in proportion to their sizes by largest remainders (Hamilton's method),
/// no class getting more than its most. Ties go to the larger class, then to the lower number.
///
/// Every class gets its share rounded down or up, or its most where that is less.
pub(super) fn largest_remainder(sizes: &[usize], total: usize, most: &[usize]) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    if all == 0 {
        return vec![0; sizes.len()];
    }
    let share = |size: usize| size as u128 * total as u128;
    let mut seats: Vec<usize> = sizes.iter().map(|size| (share(*size) / all as u128) as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|class| {
        let remainder = share(sizes[*class]) % all as u128;
        (std::cmp::Reverse((remainder, sizes[*class])), *class)
    });
    let left = total - seats.iter().sum::<usize>();
    let open = |class: &&usize| share(sizes[**class]) % all as u128 > 0 && seats[**class] < most[**class];
    let winners: Vec<usize> = order.iter().filter(open).take(left).copied().collect();
    for class in winners {
        seats[class] += 1;
    }
    seats.iter().zip(most).map(|(seats, most)| *seats.min(most)).collect()
}

/// Deals rows to parts by class: each part after the first gets its fraction of every class by largest
/// remainders, the first gets the rest and at least one row of every class. Gives the part of each row.
pub(super) fn by_class(
    rows: &[u32],
    strata: &[u32],
    classes: usize,
    fractions: &[f64],
    seed: u64,
) -> Vec<u32> {
    let mut members = vec![Vec::new(); classes];
    for row in rows {
        members[strata[*row as usize] as usize].push(*row);
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut free: Vec<usize> = sizes.iter().map(|size| size.saturating_sub(1)).collect();
    let mut seats = vec![Vec::new(); classes];
    for fraction in &fractions[1..] {
        let total = (rows.len() as f64 * fraction).round() as usize;
        for (class, taken) in largest_remainder(&sizes, total, &free).into_iter().enumerate() {
            free[class] -= taken;
            seats[class].push(taken);
        }
    }
    let mut part_of = BTreeMap::new();
    for (class, members) in members.into_iter().enumerate() {
        let mut order = shuffled(members, seed, Stream::Split).into_iter();
        for (part, taken) in seats[class].iter().enumerate() {
            part_of.extend(order.by_ref().take(*taken).map(|row| (row, part as u32 + 1)));
        }
    }
    rows.iter().map(|row| part_of.get(row).copied().unwrap_or(0)).collect()
}

/// Deals units to parts so that sizes and class counts come near their fractions; gives the part of each unit.
///
/// Large units come first, in random order among equals. Each goes where it least raises the sum, over parts, of
/// (count − target)² / target for the class counts and for the size (the idea of scikit-learn's
/// `StratifiedGroupKFold`, for parts of unequal sizes).
pub(super) fn by_group(
    units: &[Unit],
    classes: usize,
    fractions: &[f64],
    seed: u64,
    stream: Stream,
) -> Vec<u32> {
    let mut totals = vec![0_f64; classes];
    for (class, count) in units.iter().flat_map(|unit| &unit.counts) {
        totals[*class as usize] += f64::from(*count);
    }
    let mut parts: Vec<Filling> = fractions.iter().map(|fraction| Filling::new(*fraction, &totals)).collect();
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_cached_key(|at| {
        (std::cmp::Reverse(units[*at].rows.len()), draw(seed, stream, *at as u64), *at)
    });
    let mut part_of = vec![0; units.len()];
    for at in order {
        let scored = parts.iter().enumerate().filter(|(_, part)| part.target > 0.0);
        let costs = scored.map(|(number, part)| (part.cost(&units[at]), number));
        let best = costs.min_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        let best = best.map_or(0, |(_, number)| number);
        parts[best].add(&units[at]);
        part_of[at] = best as u32;
    }
    part_of
}

/// How full a part is, in all and by class.
struct Filling {
    target: f64,
    size: f64,
    targets: Vec<f64>,
    counts: Vec<f64>,
}

impl Filling {
    fn new(fraction: f64, totals: &[f64]) -> Self {
        Self {
            target: fraction * totals.iter().sum::<f64>(),
            size: 0.0,
            targets: totals.iter().map(|total| total * fraction).collect(),
            counts: vec![0.0; totals.len()],
        }
    }

    /// By how much a unit raises (count − target)² / target, summed over its classes and the size.
    fn cost(&self, unit: &Unit) -> f64 {
        let raise = |count: f64, target: f64, more: f64| more * (2.0 * (count - target) + more) / target;
        let of_class = |(class, more): &(u32, u32)| {
            raise(self.counts[*class as usize], self.targets[*class as usize], f64::from(*more))
        };
        unit.counts.iter().map(of_class).sum::<f64>() + raise(self.size, self.target, unit.rows.len() as f64)
    }

    fn add(&mut self, unit: &Unit) {
        for (class, count) in &unit.counts {
            self.counts[*class as usize] += f64::from(*count);
        }
        self.size += unit.rows.len() as f64;
    }
}

/// Deals units to parts by time: the earliest to the first part, the latest to the last. A unit stands at the
/// time of its latest row; equal times are in the order of rows. Gives the part of each unit.
pub(super) fn by_time(units: &[Unit], times: &[f64], fractions: &[f64]) -> Vec<u32> {
    let latest =
        |unit: &Unit| unit.rows.iter().map(|row| times[*row as usize]).fold(f64::NEG_INFINITY, f64::max);
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by(|a, b| latest(&units[*a]).total_cmp(&latest(&units[*b])).then(a.cmp(b)));
    let all: usize = units.iter().map(|unit| unit.rows.len()).sum();
    let mut part_of = vec![0; units.len()];
    let (mut part, mut until, mut dealt) = (0, fractions[0] * all as f64, 0_usize);
    for at in order {
        while part + 1 < fractions.len() && dealt as f64 >= until - 0.5 {
            part += 1;
            until += fractions[part] * all as f64;
        }
        part_of[at] = part as u32;
        dealt += units[at].rows.len();
    }
    part_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seats_follow_the_largest_remainders() {
        let free = [100, 100, 100];
        assert_eq!(largest_remainder(&[47, 16, 37], 10, &free), [5, 1, 4]);
        assert_eq!(largest_remainder(&[1, 1, 1], 1, &free), [1, 0, 0]);
        assert_eq!(largest_remainder(&[1, 9], 2, &[0, 8]), [0, 2]);
        assert_eq!(largest_remainder(&[0, 0], 0, &[0, 0]), [0, 0]);
    }

    proptest! {
        #[test]
        fn every_class_gets_its_share_rounded(sizes in prop::collection::vec(0_usize..50, 1..20), share in 0.0..1.0) {
            let all: usize = sizes.iter().sum();
            let total = (all as f64 * share) as usize;
            let seats = largest_remainder(&sizes, total, &sizes);
            prop_assert_eq!(seats.iter().sum::<usize>(), total);
            for (seats, size) in seats.iter().zip(&sizes) {
                let exact = *size as f64 * total as f64 / all.max(1) as f64;
                prop_assert!((*seats as f64 - exact).abs() < 1.0);
            }
        }
    }

    #[test]
    fn times_part_at_the_fractions() {
        let strata = vec![0; 10];
        let rows: Vec<u32> = (0..10).collect();
        let times: Vec<f64> = (0..10).rev().map(f64::from).collect();
        let parts = by_time(&units(&rows, &strata, None), &times, &[0.6, 0.2, 0.2]);
        assert_eq!(parts, [2, 2, 1, 1, 0, 0, 0, 0, 0, 0]);
    }
}
