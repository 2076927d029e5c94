//! Categories as what their rows have as labels: `TargetEncoder(smooth="auto")`, cross-fitted.
//!
//! Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical attributes in classification and
//! prediction problems", equations 5 and 6.

use super::affine::moments;
use super::categories::Categories;
use crate::data::Labels;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The labels of training rows, as far as preparing features looks at them.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// What is to be predicted.
    pub target: Target,
    /// The fold of each row, from 0; what is fitted on labels is applied to a training row from the other folds.
    pub folds: Vec<u32>,
}

/// Labels of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// One of some classes a row.
    Classes {
        /// The class of each row.
        ids: Vec<u32>,
        /// The names of the classes.
        names: Vec<String>,
    },
    /// Any number of labels a row: for each label, 1 for the rows that have it.
    Members {
        /// `[labels][rows]`
        columns: Vec<Vec<f64>>,
        /// The names of the labels.
        names: Vec<String>,
    },
    /// A number a row.
    Numbers(Vec<f64>),
}

impl Target {
    /// The labels of the given rows.
    pub fn of(labels: &Labels, rows: &[u32]) -> Self {
        let picked = || rows.iter().map(|&row| row as usize);
        match labels {
            Labels::Single { names, ids } => {
                Self::Classes { ids: picked().map(|row| ids[row]).collect(), names: names.clone() }
            }
            Labels::Multi { names, sets } => {
                let member = |label: u32| {
                    picked().map(|row| f64::from(u8::from(sets[row].contains(&label)))).collect()
                };
                Self::Members { columns: (0..names.len() as u32).map(member).collect(), names: names.clone() }
            }
            Labels::Numbers(values) => Self::Numbers(picked().map(|row| f64::from(values[row])).collect()),
        }
    }

    /// The columns that are encoded, with what is put behind a column's name: one a class, but only the second of two.
    pub(super) fn columns(&self) -> Vec<(String, Vec<f64>)> {
        match self {
            Self::Classes { ids, names } => {
                let classes = if names.len() == 2 { 1..2 } else { 0..names.len() };
                let column =
                    |class: usize| ids.iter().map(|&id| f64::from(u8::from(id as usize == class))).collect();
                classes.map(|class| (format!("_is_{}", names[class]), column(class))).collect()
            }
            Self::Members { columns, names } => names
                .iter()
                .zip(columns)
                .map(|(name, column)| (format!("_is_{name}"), column.clone()))
                .collect(),
            Self::Numbers(values) => vec![("_mean".to_owned(), values.clone())],
        }
    }
}

/// The encodings of one column's categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetTable {
    /// What stands behind the column's name, one a target column.
    suffixes: Vec<String>,
    /// The targets' means, for categories that were not seen.
    means: Vec<f64>,
    /// `[targets, categories]`; kept with the tensors.
    #[serde(skip)]
    pub(super) encodings: Vec<f64>,
}

impl TargetTable {
    /// Learns from rows; `codes` are those of their categories.
    fn fit(
        codes: &[Option<usize>],
        categories: usize,
        targets: &[(String, Vec<f64>)],
        rows: &[usize],
    ) -> Self {
        let mut table = Self {
            suffixes: targets.iter().map(|(suffix, _)| suffix.clone()).collect(),
            means: Vec::new(),
            encodings: Vec::new(),
        };
        for (_, target) in targets {
            let values: Vec<f64> = rows.iter().map(|&row| target[row]).collect();
            let (mean, variance) = moments(&values);
            table.means.push(mean);
            let coded = || rows.iter().zip(&values).filter_map(|(&row, value)| Some((codes[row]?, *value)));
            table.encodings.extend(smoothed(coded, categories, mean, variance));
        }
        table
    }

    /// The table of all training rows, and what each of them gets from the other folds: `[targets][rows]`.
    pub(super) fn cross_fitted(
        categories: &Categories,
        values: &[Option<String>],
        targets: &[(String, Vec<f64>)],
        folds: &[u32],
    ) -> Result<(Self, Vec<Vec<f64>>)> {
        let codes: Vec<Option<usize>> =
            values.iter().map(|value| categories.code(value.as_deref())).collect();
        let all: Vec<usize> = (0..codes.len()).collect();
        let width = categories.width();
        let mut crossed = vec![vec![0.0; codes.len()]; targets.len()];
        for fold in 0..=folds.iter().copied().max().unwrap_or(0) {
            let (held_out, others): (Vec<usize>, Vec<usize>) =
                all.iter().partition(|&&row| folds[row] == fold);
            if others.is_empty() {
                let problem = "there is one fold only, so no row can be encoded from the others";
                return Err(Error::config(
                    "categorical_encoding",
                    problem,
                    "give more rows, or encode by one_hot",
                ));
            }
            let table = Self::fit(&codes, width, targets, &others);
            for row in held_out {
                for (target, column) in crossed.iter_mut().enumerate() {
                    column[row] = table.value(target, codes[row], width);
                }
            }
        }
        Ok((Self::fit(&codes, width, targets, &all), crossed))
    }

    fn value(&self, target: usize, code: Option<usize>, width: usize) -> f64 {
        code.map_or(self.means[target], |code| self.encodings[target * width + code])
    }

    /// The encodings of any rows: `[targets][rows]`.
    pub(super) fn apply(&self, categories: &Categories, values: &[Option<String>]) -> Vec<Vec<f64>> {
        let width = categories.width();
        let column = |target: usize| {
            values.iter().map(|value| self.value(target, categories.code(value.as_deref()), width)).collect()
        };
        (0..self.means.len()).map(column).collect()
    }

    pub(super) fn names(&self, column: &str) -> impl Iterator<Item = String> {
        self.suffixes.iter().map(move |suffix| format!("{column}{suffix}"))
    }

    pub(super) fn is_whole(&self, categories: usize) -> bool {
        self.suffixes.len() == self.means.len()
            && self.means.len().checked_mul(categories) == Some(self.encodings.len())
            && self.means.iter().chain(&self.encodings).all(|value| value.is_finite())
    }
}

/// The mean of each category, drawn towards the mean of all the more, the fewer and the more scattered its rows are.
fn smoothed<I: Iterator<Item = (usize, f64)>>(
    coded: impl Fn() -> I,
    categories: usize,
    mean: f64,
    variance: f64,
) -> impl Iterator<Item = f64> {
    let (mut counts, mut means, mut squares) =
        (vec![0.0; categories], vec![0.0; categories], vec![0.0; categories]);
    for (code, value) in coded() {
        counts[code] += 1.0;
        means[code] += value;
    }
    means.iter_mut().zip(&counts).for_each(|(mean, count)| *mean /= count);
    for (code, value) in coded() {
        squares[code] += (value - means[code]) * (value - means[code]);
    }
    (0..categories).map(move |code| {
        let weight = variance * counts[code] / (variance * counts[code] + squares[code] / counts[code]);
        // Not a number where the category has no row here, or all targets are alike.
        if weight.is_nan() { mean } else { weight * means[code] + (1.0 - weight) * mean }
    })
}
