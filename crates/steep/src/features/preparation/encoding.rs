//! The categorical columns as numbers, by one of the encodings.

use super::arrays::Visit;
use super::categories::{Categories, Frequency};
use super::hashing::hashed;
use super::imputation::Imputation;
use super::numbers::{NumberPart, NumberPlan};
use super::one_hot::one_hot;
use super::ordinal::ordinal;
use super::settings::{CategoricalEncoding, PreparationSettings};
use super::target::{TargetTable, Targets};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The categorical columns with what was learned of them. Codes and means are scaled as numbers are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum CategoryPart {
    OneHot { columns: Vec<Categories> },
    Ordinal { columns: Vec<Categories>, codes: NumberPart },
    Target { columns: Vec<Categories>, tables: Vec<TargetTable>, codes: NumberPart },
    Hashing { columns: Vec<String>, width: usize },
    Codes { columns: Vec<Categories> },
}

/// Columns by name: their values, one a row.
pub(super) type NamedValues<'a> = Vec<(&'a str, &'a [Option<String>])>;

impl CategoryPart {
    /// Learns from training rows; the second result holds their columns where they differ from what
    /// [`Self::apply`] gives, because each row's were learned from other rows.
    pub(super) fn fit(
        training: &NamedValues<'_>,
        targets: Option<&Targets>,
        settings: &PreparationSettings,
    ) -> Result<(Self, Option<Vec<Vec<f64>>>)> {
        let names = || training.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        let categories = |frequency: Frequency| -> Vec<Categories> {
            training.iter().map(|(name, values)| Categories::fit(name, values, frequency)).collect()
        };
        let frequent =
            Frequency { min_count: settings.min_category_count, max_categories: settings.max_categories };
        Ok(match settings.categorical_encoding {
            CategoricalEncoding::OneHot => (Self::OneHot { columns: categories(frequent) }, None),
            CategoricalEncoding::Hashing => {
                (Self::Hashing { columns: names(), width: settings.hashing_features }, None)
            }
            CategoricalEncoding::Embedding => (Self::Codes { columns: categories(frequent) }, None),
            CategoricalEncoding::Ordinal => {
                let columns = categories(frequent);
                let codes: Vec<Vec<f64>> = columns
                    .iter()
                    .zip(training)
                    .map(|(categories, (_, values))| ordinal(categories, values))
                    .collect();
                let codes = scaled_part(names(), codes, settings);
                (Self::Ordinal { columns, codes }, None)
            }
            CategoricalEncoding::Target => {
                let Some(targets) = targets else {
                    let problem = "target encoding needs labels";
                    return Err(Error::config(
                        "categorical_encoding",
                        problem,
                        "choose one_hot, ordinal or hashing",
                    ));
                };
                target(categories(Frequency::ANY), training, targets, settings)?
            }
        })
    }

    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::OneHot { columns } => columns.iter().flat_map(Categories::names).collect(),
            Self::Ordinal { codes, .. } | Self::Target { codes, .. } => codes.names().collect(),
            Self::Hashing { columns, .. } if columns.is_empty() => Vec::new(),
            Self::Hashing { width, .. } => (0..*width).map(|at| format!("hashed_{at}")).collect(),
            Self::Codes { columns } => columns.iter().map(|categories| categories.column.clone()).collect(),
        }
    }

    /// The columns of rows.
    pub(super) fn apply(&self, values: &NamedValues<'_>) -> Vec<Vec<f64>> {
        match self {
            Self::OneHot { columns } => columns
                .iter()
                .zip(values)
                .flat_map(|(categories, (_, values))| one_hot(categories, values))
                .collect(),
            Self::Ordinal { columns, codes } => codes.apply(
                columns
                    .iter()
                    .zip(values)
                    .map(|(categories, (_, values))| ordinal(categories, values))
                    .collect(),
            ),
            Self::Target { columns, tables, codes } => {
                let mut encoded = Vec::new();
                for ((categories, table), (_, values)) in columns.iter().zip(tables).zip(values) {
                    encoded.extend(table.apply(categories, values));
                }
                codes.apply(encoded)
            }
            Self::Hashing { columns, .. } if columns.is_empty() => Vec::new(),
            Self::Hashing { columns, width } => {
                let values: Vec<&[Option<String>]> = values.iter().map(|(_, values)| *values).collect();
                hashed(columns, &values, *width)
            }
            Self::Codes { columns } => columns
                .iter()
                .zip(values)
                .map(|(categories, (_, values))| codes(categories, values))
                .collect(),
        }
    }

    /// How many columns come in.
    pub(super) fn columns(&self) -> usize {
        match self {
            Self::OneHot { columns }
            | Self::Ordinal { columns, .. }
            | Self::Target { columns, .. }
            | Self::Codes { columns } => columns.len(),
            Self::Hashing { columns, .. } => columns.len(),
        }
    }

    /// Of columns of plain codes, how many categories each has.
    pub(super) fn code_counts(&self) -> Option<Vec<usize>> {
        match self {
            Self::Codes { columns } => Some(columns.iter().map(Categories::width).collect()),
            _ => None,
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::OneHot { columns } | Self::Codes { columns } => columns.iter().all(Categories::is_whole),
            Self::Ordinal { columns, codes } => {
                columns.iter().all(Categories::is_whole)
                    && codes.is_whole()
                    && codes.columns() == columns.len()
            }
            Self::Target { columns, tables, codes } => {
                let fits =
                    columns.iter().zip(tables).all(|(of, table)| of.is_whole() && table.is_whole(of.width()));
                let names: usize = tables.iter().map(|table| table.names("").count()).sum();
                fits && columns.len() == tables.len() && codes.is_whole() && codes.columns() == names
            }
            Self::Hashing { width, .. } => (1..=1 << 20).contains(width),
        }
    }

    pub(super) fn visit(&mut self, visit: &mut Visit<'_>) {
        match self {
            Self::OneHot { .. } | Self::Hashing { .. } | Self::Codes { .. } => {}
            Self::Ordinal { codes, .. } => codes.visit("codes", visit),
            Self::Target { tables, codes, .. } => {
                for (at, table) in tables.iter_mut().enumerate() {
                    visit(&format!("target_{at}.encodings"), &mut table.encodings);
                }
                codes.visit("codes", visit);
            }
        }
    }
}

/// The code of each row's category; the number of categories for one that was not seen in training.
fn codes(categories: &Categories, values: &[Option<String>]) -> Vec<f64> {
    let code =
        |value: &Option<String>| categories.code(value.as_deref()).unwrap_or(categories.width()) as f64;
    values.iter().map(code).collect()
}

fn target(
    columns: Vec<Categories>,
    training: &NamedValues<'_>,
    targets: &Targets,
    settings: &PreparationSettings,
) -> Result<(CategoryPart, Option<Vec<Vec<f64>>>)> {
    let target_columns = targets.target.columns();
    let (mut tables, mut crossed, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (categories, (name, values)) in columns.iter().zip(training) {
        let (table, rows) = TargetTable::cross_fitted(categories, values, &target_columns, &targets.folds)?;
        names.extend(table.names(name));
        tables.push(table);
        crossed.extend(rows);
    }
    let codes = scaled_part(names, crossed.clone(), settings);
    let crossed = codes.apply(crossed);
    Ok((CategoryPart::Target { columns, tables, codes }, Some(crossed)))
}

/// Codes have no missing values; they are scaled only.
fn scaled_part(names: Vec<String>, columns: Vec<Vec<f64>>, settings: &PreparationSettings) -> NumberPart {
    let flags = vec![false; names.len()];
    let plan =
        NumberPlan { imputation: Imputation::Constant(0.0), scalers: &settings.scalers, flags: &flags };
    NumberPart::fit(names, columns, &plan)
}
