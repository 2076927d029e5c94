//! Folds for cross-validation, and samples for a label budget.

use super::assign::{by_group, largest_remainder, units};
use super::labels::Labels;
use super::random::{Stream, shuffled};
use crate::error::{Error, Result};

/// The fold (0 to `folds` - 1) of each row, classes in proportion.
///
/// Without groups, the sizes of folds, and of a class among folds, differ by one at most. With groups, a group
/// lies in one fold and the proportions are kept as well as that allows.
///
/// # Errors
/// Fewer than two folds; fewer rows, or groups, than folds; groups that are not one a row.
pub fn k_folds(labels: &Labels, groups: Option<&[String]>, folds: u32, seed: u64) -> Result<Vec<u32>> {
    let rows: Vec<u32> = (0..labels.len() as u32).collect();
    if groups.is_some_and(|groups| groups.len() != rows.len()) {
        return Err(Error::config(
            "group_column",
            "there is not one group for each row",
            "give every row a group",
        ));
    }
    let (strata, classes) = labels.strata();
    let units = units(&rows, &strata, groups);
    if folds < 2 || units.len() < folds as usize {
        let what = if groups.is_some() { "groups" } else { "rows" };
        let problem = format!("{} {what} cannot be dealt to {folds} folds", units.len());
        return Err(Error::config(
            "folds",
            problem,
            format!("give 2 folds or more, and not more than there are {what}"),
        ));
    }
    if groups.is_none() {
        return Ok(dealt(&rows, &strata, folds, seed));
    }
    let fractions = vec![1.0 / f64::from(folds); folds as usize];
    let parts = by_group(&units, classes, &fractions, seed, Stream::Folds);
    let mut fold_of = vec![0; rows.len()];
    for (unit, part) in units.iter().zip(parts) {
        for row in &unit.rows {
            fold_of[*row as usize] = part;
        }
    }
    Ok(fold_of)
}

/// Deals the rows like cards, class after class, each class shuffled.
fn dealt(rows: &[u32], strata: &[u32], folds: u32, seed: u64) -> Vec<u32> {
    let mut order = shuffled(rows.to_vec(), seed, Stream::Folds);
    order.sort_by_key(|row| strata[*row as usize]);
    let mut fold_of = vec![0; rows.len()];
    for (card, row) in order.iter().enumerate() {
        fold_of[*row as usize] = card as u32 % folds;
    }
    fold_of
}

/// How many of the training labels may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LabelBudget {
    /// So many rows.
    Rows(usize),
    /// This share of the training rows, more than 0 and at most 1.
    Fraction(f64),
}

/// A stratified sample of the training rows, ascending.
///
/// Every class gets its share, rounded up or down; where the budget allows one row for each class, no class is
/// left out. All rows, if the budget is larger than that.
///
/// # Errors
/// A budget of nothing, or a fraction that is none.
pub fn label_budget(labels: &Labels, train: &[u32], budget: LabelBudget, seed: u64) -> Result<Vec<u32>> {
    let total = match budget {
        LabelBudget::Rows(rows) => rows.min(train.len()),
        LabelBudget::Fraction(share) if share > 0.0 && share <= 1.0 => {
            (train.len() as f64 * share).round() as usize
        }
        LabelBudget::Fraction(share) => {
            let hint = "give a share such as 0.1, or a number of rows";
            return Err(Error::config("label_budget", format!("{share} is not a share of the rows"), hint));
        }
    };
    if total == 0 {
        return Err(Error::config("label_budget", "the budget is of no rows", "allow at least one row"));
    }
    let (strata, classes) = labels.strata();
    let mut members = vec![Vec::new(); classes];
    for row in train {
        members[strata[*row as usize] as usize].push(*row);
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut chosen: Vec<u32> = Vec::with_capacity(total);
    for (members, seats) in members.into_iter().zip(seats(&sizes, total)) {
        chosen.extend(shuffled(members, seed, Stream::Budget).into_iter().take(seats));
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// The rows of each class: one each first where they suffice, the rest in proportion to what is wanting.
fn seats(sizes: &[usize], total: usize) -> Vec<usize> {
    let proportional = largest_remainder(sizes, total, sizes);
    let present = sizes.iter().filter(|size| **size > 0).count();
    if total < present {
        return proportional;
    }
    let mut seats: Vec<usize> =
        sizes.iter().zip(&proportional).map(|(size, seats)| (*seats).max(usize::from(*size > 0))).collect();
    // What the empty-handed classes were given is taken back from those with most above their one.
    for _ in 0..seats.iter().sum::<usize>() - total {
        if let Some(richest) = (0..seats.len()).max_by_key(|class| (seats[*class], std::cmp::Reverse(*class)))
        {
            seats[richest] -= 1;
        }
    }
    seats
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ids: Vec<u32>) -> Labels {
        Labels::Single { names: (0..8).map(|class| class.to_string()).collect(), ids }
    }

    fn count(ids: &[u32], class: u32, keep: impl Fn(usize) -> bool) -> usize {
        ids.iter().enumerate().filter(|(row, id)| **id == class && keep(*row)).count()
    }

    proptest! {
        #[test]
        fn folds_differ_by_one_row_at_most(ids in prop::collection::vec(0_u32..8, 10..200), folds in 2_u32..10, seed: u64) {
            let fold_of = k_folds(&labels(ids.clone()), None, folds, seed).unwrap();
            for class in (0..8).map(Some).chain([None]) {
                let sizes = (0..folds).map(|fold| {
                    (0..ids.len()).filter(|row| fold_of[*row] == fold && class.is_none_or(|class| ids[*row] == class)).count()
                });
                let (least, most) = sizes.fold((usize::MAX, 0), |(least, most), size| (least.min(size), most.max(size)));
                prop_assert!(most - least <= 1);
            }
            prop_assert_eq!(fold_of, k_folds(&labels(ids), None, folds, seed).unwrap());
        }

        #[test]
        fn groups_lie_in_one_fold(pairs in prop::collection::vec((0_u32..8, 0_u32..60), 200..400), seed: u64) {
            let (ids, groups): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
            let names: Vec<String> = groups.iter().map(u32::to_string).collect();
            let fold_of = k_folds(&labels(ids), Some(&names), 5, seed).unwrap();
            for group in 0..60 {
                let mut folds: Vec<u32> =
                    (0..groups.len()).filter(|row| groups[*row] == group).map(|row| fold_of[row]).collect();
                folds.dedup();
                prop_assert!(folds.len() <= 1);
            }
            for fold in 0..5 {
                let share = fold_of.iter().filter(|other| **other == fold).count() as f64 / groups.len() as f64;
                prop_assert!((share - 0.2).abs() < 0.07, "{}", share);
            }
        }

        #[test]
        fn a_budget_keeps_classes_and_proportions(ids in prop::collection::vec(0_u32..8, 50..300), seed: u64) {
            let all: Vec<u32> = (0..ids.len() as u32).collect();
            let of = |budget| label_budget(&labels(ids.clone()), &all, budget, seed).unwrap();
            let chosen = of(LabelBudget::Fraction(0.3));
            prop_assert_eq!(chosen.len(), (ids.len() as f64 * 0.3).round() as usize);
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            for class in 0..8 {
                let (some, size) = (count(&ids, class, |row| chosen.contains(&(row as u32))), count(&ids, class, |_| true));
                prop_assert!(some > 0 || size == 0);
                prop_assert!((some as f64 - 0.3 * size as f64).abs() < 2.5);
            }
            prop_assert_eq!(of(LabelBudget::Rows(usize::MAX)), all);
        }
    }

    #[test]
    fn budgets_take_training_rows_only() {
        let labels = labels((0..40).map(|row| row % 4).collect());
        let train: Vec<u32> = (10..30).collect();
        let chosen = label_budget(&labels, &train, LabelBudget::Rows(8), 3).unwrap();
        assert!(chosen.len() == 8 && chosen.iter().all(|row| train.contains(row)));
        assert_ne!(chosen, label_budget(&labels, &train, LabelBudget::Rows(8), 4).unwrap());
        assert_eq!(label_budget(&labels, &train, LabelBudget::Rows(2), 3).unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_dealt_is_refused() {
        let labels = labels(vec![0, 1, 2]);
        assert!(k_folds(&labels, None, 4, 0).is_err());
        assert!(k_folds(&labels, None, 1, 0).is_err());
        let groups = ["a", "a", "b"].map(str::to_owned);
        assert!(k_folds(&labels, Some(&groups), 3, 0).unwrap_err().to_string().contains("2 groups"));
        assert!(k_folds(&labels, Some(&groups[..2]), 2, 0).is_err());
        assert!(label_budget(&labels, &[0], LabelBudget::Rows(0), 0).is_err());
        assert!(label_budget(&labels, &[0], LabelBudget::Fraction(1.5), 0).is_err());
    }
}
