//! A partner for a row, drawn when it is needed.

use crate::objectives::Targets;
use crate::random::Stream;

/// Rows in the order of their classes: all that drawing needs.
pub(super) struct Partners {
    /// Class by class, in each in ascending order. Numbers are of one class.
    order: Vec<u32>,
    /// Where each class begins in it, and where the last one ends.
    starts: Vec<usize>,
    /// Of all rows that there are.
    classes: Vec<u32>,
}

/// Name of the random stream.
const PARTNER: u64 = 0x7061_7274;

impl Partners {
    pub(super) fn new(targets: &Targets, rows: &[u32]) -> Self {
        let classes = match targets {
            Targets::Classes(classes) => classes.clone(),
            Targets::Flags(_) | Targets::Numbers(_) => Vec::new(),
        };
        let class = |row: u32| classes.get(row as usize).copied().unwrap_or(0);
        let mut order = rows.to_vec();
        order.sort_unstable_by_key(|&row| (class(row), row));
        let count = order.last().map_or(0, |&row| class(row) as usize + 1);
        let starts = (0..=count).map(|one| order.partition_point(|&row| (class(row) as usize) < one));
        Self { starts: starts.collect(), order, classes }
    }

    /// Another row of the same class, or itself where there is no other. With `unlike`, of another class as often as of
    /// the same, if there is another one.
    pub(super) fn draw(&self, row: u32, unlike: bool, seed: u64, epoch: u64) -> u32 {
        let mut stream = Stream::new(seed, &[PARTNER, epoch, u64::from(row)]);
        let class = self.classes.get(row as usize).copied().unwrap_or(0) as usize;
        let (start, end) = (self.starts[class], self.starts[class + 1]);
        let others = self.order.len() - (end - start);
        if unlike && others > 0 && stream.next_f64() < 0.5 {
            let drawn = stream.below(others as u64) as usize;
            return self.order[if drawn < start { drawn } else { drawn + (end - start) }];
        }
        let same = &self.order[start..end];
        let own = same.partition_point(|&other| other < row);
        if same.len() < 2 {
            return row;
        }
        let drawn = stream.below(same.len() as u64 - 1) as usize;
        same[if drawn < own { drawn } else { drawn + 1 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn partners_are_of_the_same_class_each_as_often_and_never_the_row_itself() {
        let targets = Targets::Classes(vec![0, 2, 0, 2, 0, 2, 0, 3, 1, 0]);
        let rows = [9, 0, 1, 2, 3, 4, 6, 7];
        let partners = Partners::new(&targets, &rows);
        let mut drawn: BTreeMap<u32, u32> = BTreeMap::new();
        for epoch in 0..4_000 {
            *drawn.entry(partners.draw(2, false, 1, epoch)).or_default() += 1;
        }
        assert_eq!(drawn.keys().copied().collect::<Vec<_>>(), [0, 4, 6, 9]);
        assert!(drawn.values().all(|&times| (850..1_150).contains(&times)), "{drawn:?}");
        assert_eq!(partners.draw(1, false, 1, 0), 3, "the only other one in use");
        assert_eq!(partners.draw(7, false, 1, 0), 7, "alone in its class");
        assert_eq!(partners.draw(2, false, 1, 5), partners.draw(2, false, 1, 5));
    }

    #[test]
    fn half_of_the_partners_are_unlike_where_that_is_asked_for() {
        let targets = Targets::Classes(vec![0, 1, 0, 2, 0, 2, 1]);
        let partners = Partners::new(&targets, &[0, 1, 2, 3, 4, 5, 6]);
        let mut unlike: BTreeMap<u32, u32> = BTreeMap::new();
        for epoch in 0..4_000 {
            let drawn = partners.draw(3, true, 1, epoch);
            if drawn != 5 {
                *unlike.entry(drawn).or_default() += 1;
            }
        }
        assert_eq!(unlike.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 6]);
        assert!((1_850..2_150).contains(&unlike.values().sum::<u32>()), "{unlike:?}");
        assert!(unlike.values().all(|&times| (320..480).contains(&times)), "{unlike:?}");
        let numbers = Partners::new(&Targets::Numbers(vec![0.5; 4]), &[0, 2, 3]);
        let drawn: Vec<u32> = (0..40).map(|epoch| numbers.draw(2, true, 1, epoch)).collect();
        assert!(drawn.contains(&0) && drawn.contains(&3) && !drawn.contains(&2) && !drawn.contains(&1));
    }
}
