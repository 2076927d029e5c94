//! What a learner is to predict, and the forms in which learners take it.

use crate::error::{Error, Result};
use crate::learners::labels::Labels;
use crate::learners::network::OutputLink;
use crate::random::Stream;

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

/// Rows to train on and a share of rows held out, both ascending; the classes of the held-out rows are in proportion.
///
/// An error if that leaves no row to train on.
pub(crate) fn holdout(targets: Targets<'_>, fraction: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>)> {
    let rows = targets.rows();
    let mut order = Stream::new(seed, &[HOLDOUT]).permutation(rows as u32);
    if let Targets::Classes(Labels::SingleLabel { indices, .. }) = targets {
        order.sort_by_key(|&row| indices[row as usize]);
    }
    // Every so-many-th of the ordered rows: evenly from all classes.
    let is_held_out = |at: usize| {
        let share = |count: usize| (count as f64 * fraction + 0.5).floor();
        share(at + 1) > share(at)
    };
    let (mut held_out, mut training) = (Vec::new(), Vec::new());
    for (at, row) in order.into_iter().enumerate() {
        if is_held_out(at) { held_out.push(row) } else { training.push(row) }
    }
    training.sort_unstable();
    held_out.sort_unstable();
    if training.is_empty() {
        let problem = format!("{rows} rows leave none to train on");
        return Err(Error::config("labels", problem, "give more rows"));
    }
    Ok((training, held_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_rows_are_in_proportion() {
        let labels = Labels::single_label((0..200).map(|row| u32::from(row % 4 == 0)).collect(), 2).unwrap();
        let (training, held_out) = holdout(Targets::Classes(&labels), 0.1, 3).unwrap();
        assert_eq!((training.len(), held_out.len()), (180, 20));
        assert_eq!(held_out.iter().filter(|row| *row % 4 == 0).count(), 5);
        let mut all = [training, held_out].concat();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        assert!(holdout(Targets::Values(&[1.0, 2.0, 3.0]), 0.0, 1).unwrap().1.is_empty());
    }
}
