//! What a learner is to predict, and the forms in which learners take it.

use crate::error::{Error, Result};
use crate::learners::labels::Labels;
use crate::learners::network::OutputLink;
use crate::random::Stream;
use std::collections::HashMap;

/// The random stream that draws held-out rows.
const HOLDOUT: u64 = 0x484f_4c44;

/// Labels or values of rows.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// A class, or several labels, for each row.
    Classes(&'a Labels),
    /// A number for each row.
    Values(&'a [f64]),
}

/// Targets as numbers, one column an output.
pub(crate) struct OwnTargets {
    /// `[rows, width]`: 1 for a row's class or labels and 0 for others, or its value, standardised.
    pub(crate) values: Vec<f32>,
    pub(crate) width: usize,
    pub(crate) link: OutputLink,
    /// A value is `mean + scale · standardised`.
    pub(crate) mean: f64,
    pub(crate) scale: f64,
}

impl Targets<'_> {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.rows(),
            Self::Values(values) => values.len(),
        }
    }

    pub(crate) fn own(&self) -> OwnTargets {
        let one = |member: bool| f32::from(u8::from(member));
        let classes = |values, width, link| OwnTargets { values, width, link, mean: 0.0, scale: 1.0 };
        match self {
            Self::Classes(Labels::SingleLabel { indices, class_count: 2 }) => {
                classes(indices.iter().map(|&index| one(index == 1)).collect(), 1, OutputLink::Binary)
            }
            Self::Classes(Labels::SingleLabel { indices, class_count }) => {
                let row = |&index: &u32| (0..*class_count).map(move |class| one(class == index as usize));
                classes(indices.iter().flat_map(row).collect(), *class_count, OutputLink::Softmax)
            }
            Self::Classes(Labels::MultiLabel { members, label_count }) => classes(
                members.iter().map(|&member| one(member)).collect(),
                *label_count,
                OutputLink::MultiLabel,
            ),
            Self::Values(values) => {
                let count = values.len().max(1) as f64;
                let mean = values.iter().sum::<f64>() / count;
                let deviation =
                    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
                let scale = if deviation > 0.0 { deviation } else { 1.0 };
                let values = values.iter().map(|value| ((value - mean) / scale) as f32).collect();
                OwnTargets { values, width: 1, link: OutputLink::Identity, mean, scale }
            }
        }
    }
}

/// Targets of rows, and which of the rows belong together: one author's, one product's.
#[derive(Debug, Clone, Copy)]
pub struct GroupedTargets<'a> {
    /// Labels or values.
    pub targets: Targets<'a>,
    /// The number of each row's group; absent where every row stands alone.
    pub groups: Option<&'a [u32]>,
}

impl<'a> From<Targets<'a>> for GroupedTargets<'a> {
    fn from(targets: Targets<'a>) -> Self {
        Self { targets, groups: None }
    }
}

/// Numbers for names of groups, in the order in which they appear.
pub(crate) fn group_numbers<'s>(names: impl Iterator<Item = &'s str>) -> Vec<u32> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    names
        .map(|name| {
            let next = known.len() as u32;
            *known.entry(name).or_insert(next)
        })
        .collect()
}

/// Rows to train on and about a share of rows held out, both ascending; the classes of the held-out rows are in
/// proportion, and no group is on both sides. Where groups are so large that the share has room for none, the smallest
/// is held out; a single group leaves none to hold out.
///
/// An error if that leaves no row to train on.
pub(crate) fn holdout(rows: GroupedTargets<'_>, fraction: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>)> {
    let GroupedTargets { targets, groups } = rows;
    let mut members = members(targets.rows(), groups);
    let order = Stream::new(seed, &[HOLDOUT]).permutation(members.len() as u32);
    let mut ordered: Vec<Vec<u32>> =
        order.into_iter().map(|at| std::mem::take(&mut members[at as usize])).collect();
    if let Targets::Classes(Labels::SingleLabel { indices, .. }) = targets {
        ordered.sort_by_cached_key(|rows| most_frequent(rows, indices));
    }
    // Every so-many-th of the ordered rows: evenly from all classes.
    let (mut held_out, mut training): (Vec<u32>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
    let mut seen = 0;
    for rows in ordered {
        seen += rows.len();
        let room = (seen as f64 * fraction + 0.5 * rows.len() as f64).floor();
        if room >= (held_out.len() + rows.len()) as f64 { held_out.extend(rows) } else { training.push(rows) }
    }
    if groups.is_some() && held_out.is_empty() && fraction > 0.0 && training.len() > 1 {
        let smallest = (0..training.len()).min_by_key(|&at| training[at].len()).unwrap_or(0);
        held_out = training.remove(smallest);
    }
    let mut training = training.concat();
    training.sort_unstable();
    held_out.sort_unstable();
    if training.is_empty() {
        let problem = format!("{} rows leave none to train on", targets.rows());
        return Err(Error::config("labels", problem, "give more rows"));
    }
    Ok((training, held_out))
}

/// The rows of each group; of each row where there are no groups.
fn members(rows: usize, groups: Option<&[u32]>) -> Vec<Vec<u32>> {
    let Some(groups) = groups else { return (0..rows as u32).map(|row| vec![row]).collect() };
    let mut members: Vec<Vec<u32>> = Vec::new();
    let mut place: HashMap<u32, usize> = HashMap::new();
    for (row, &group) in (0..).zip(groups) {
        let at = *place.entry(group).or_insert(members.len());
        if at == members.len() {
            members.push(Vec::new());
        }
        members[at].push(row);
    }
    members
}

/// The class that most rows have, the first among ties.
fn most_frequent(rows: &[u32], classes: &[u32]) -> u32 {
    let mut found: Vec<u32> = rows.iter().map(|&row| classes[row as usize]).collect();
    found.sort_unstable();
    let runs = found.chunk_by(|left, right| left == right);
    runs.rev().max_by_key(|run| run.len()).map_or(0, |run| run[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_rows_are_in_proportion() {
        let labels = Labels::single_label((0..200).map(|row| u32::from(row % 4 == 0)).collect(), 2).unwrap();
        let (training, held_out) = holdout(Targets::Classes(&labels).into(), 0.1, 3).unwrap();
        assert_eq!((training.len(), held_out.len()), (180, 20));
        assert_eq!(held_out.iter().filter(|row| *row % 4 == 0).count(), 5);
        let mut all = [training, held_out].concat();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        assert!(holdout(Targets::Values(&[1.0, 2.0, 3.0]).into(), 0.0, 1).unwrap().1.is_empty());
    }

    #[test]
    fn groups_never_straddle_the_inner_split() {
        let labels = Labels::single_label((0..300).map(|row| row / 100).collect(), 3).unwrap();
        // Groups of 1 to 9 rows, each of one class or two.
        let groups: Vec<u32> = (0..300_u32).map(|row| row / (row % 100 / 20 * 2 + 1)).collect();
        for seed in 0..20 {
            let rows = GroupedTargets { targets: Targets::Classes(&labels), groups: Some(&groups) };
            let (training, held_out) = holdout(rows, 0.1, seed).unwrap();
            let of = |rows: &[u32]| -> std::collections::BTreeSet<u32> {
                rows.iter().map(|&row| groups[row as usize]).collect()
            };
            assert!(of(&training).is_disjoint(&of(&held_out)));
            assert_eq!(training.len() + held_out.len(), 300);
            assert!((20..=40).contains(&held_out.len()), "{}", held_out.len());
            let classes = (0..3).map(|class| held_out.iter().filter(|row| **row / 100 == class).count());
            assert!(classes.into_iter().all(|rows| rows > 2), "{held_out:?}");
        }
    }

    #[test]
    fn large_groups_leave_the_smallest_and_a_single_one_nothing_to_hold_out() {
        let values = [0.0; 10];
        let held_out = |groups: &[u32]| {
            let rows = GroupedTargets { targets: Targets::Values(&values), groups: Some(groups) };
            holdout(rows, 0.1, 1).unwrap().1
        };
        assert_eq!(held_out(&[7, 7, 7, 7, 7, 7, 3, 3, 3, 3]), [6, 7, 8, 9]);
        assert!(held_out(&[5; 10]).is_empty());
    }

    #[test]
    fn groups_are_numbered_as_they_appear() {
        assert_eq!(group_numbers(["b", "a", "b", "c"].into_iter()), [0, 1, 0, 2]);
    }
}
