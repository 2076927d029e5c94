//! The person's columns of a table, by what is done with them.

use super::encoding::NamedValues;
use super::imputation::Imputation;
use super::numbers::{NumberPart, NumberPlan};
use super::settings::PreparationSettings;
use crate::features::columns::{ColumnKind, ColumnPlan, DATE_PARTS, DateParts, Table, Values};

/// The first parts of a date are scaled as numbers are, the others are points on circles already.
pub(super) const SCALED_DATE_PARTS: usize = 2;

/// Numbers, and of dates the year and the trend.
pub(super) fn numbers_part(table: &Table, settings: &PreparationSettings) -> NumberPart {
    let (mut names, mut flags) = (Vec::new(), Vec::new());
    for (plan, _) in table.columns() {
        match plan.kind {
            ColumnKind::Numerical => {
                names.push(plan.name.clone());
                flags.push(settings.missing_flags);
            }
            ColumnKind::Datetime { .. } => {
                names.extend(
                    DATE_PARTS[..SCALED_DATE_PARTS].iter().map(|part| format!("{}_{part}", plan.name)),
                );
                // One flag for a date is enough.
                flags.extend([false, settings.missing_flags]);
            }
            _ => {}
        }
    }
    let plan = NumberPlan { imputation: settings.imputation, scalers: &settings.scalers, flags: &flags };
    NumberPart::fit(names, numbers_of(table), &plan)
}

pub(super) fn booleans_part(table: &Table, settings: &PreparationSettings) -> NumberPart {
    let is_boolean = |plan: &ColumnPlan| plan.kind == ColumnKind::Boolean;
    let names: Vec<String> =
        table.columns().filter(|(plan, _)| is_boolean(plan)).map(|(plan, _)| plan.name.clone()).collect();
    let flags = vec![settings.missing_flags; names.len()];
    let plan = NumberPlan { imputation: Imputation::MostFrequent, scalers: &[], flags: &flags };
    NumberPart::fit(names, booleans_of(table), &plan)
}

/// The points on circles of dates; a missing date is at their centres.
pub(super) fn cycles_part(table: &Table) -> NumberPart {
    let mut names = Vec::new();
    for (plan, _) in table.columns().filter(|(plan, _)| matches!(plan.kind, ColumnKind::Datetime { .. })) {
        names.extend(DATE_PARTS[SCALED_DATE_PARTS..].iter().map(|part| format!("{}_{part}", plan.name)));
    }
    let flags = vec![false; names.len()];
    let plan = NumberPlan { imputation: Imputation::Constant(0.0), scalers: &[], flags: &flags };
    NumberPart::fit(names, cycles_of(table), &plan)
}

pub(super) fn numbers_of(table: &Table) -> Vec<Vec<f64>> {
    let mut columns = Vec::new();
    for (plan, values) in table.columns() {
        match (plan.kind, values) {
            (ColumnKind::Numerical, Values::Numbers(values)) => columns.push(values.clone()),
            (ColumnKind::Datetime { .. }, Values::Numbers(values)) => {
                columns.extend((0..SCALED_DATE_PARTS).map(|part| date_part(values, part)));
            }
            _ => {}
        }
    }
    columns
}

pub(super) fn booleans_of(table: &Table) -> Vec<Vec<f64>> {
    let boolean = |(plan, values): (&ColumnPlan, &Values)| match (plan.kind, values) {
        (ColumnKind::Boolean, Values::Numbers(values)) => Some(values.clone()),
        _ => None,
    };
    table.columns().filter_map(boolean).collect()
}

pub(super) fn cycles_of(table: &Table) -> Vec<Vec<f64>> {
    let mut columns = Vec::new();
    for (plan, values) in table.columns() {
        if let (ColumnKind::Datetime { .. }, Values::Numbers(values)) = (plan.kind, values) {
            columns.extend((SCALED_DATE_PARTS..DATE_PARTS.len()).map(|part| date_part(values, part)));
        }
    }
    columns
}

fn date_part(seconds: &[f64], part: usize) -> Vec<f64> {
    seconds.iter().map(|&seconds| DateParts::of(seconds).0[part]).collect()
}

pub(super) fn categories_of(table: &Table) -> NamedValues<'_> {
    let categories = table.columns().filter_map(|(plan, values)| match values {
        Values::Categories(values) => Some((plan.name.as_str(), values.as_slice())),
        _ => None,
    });
    categories.collect()
}

pub(super) fn tags_of(table: &Table) -> impl Iterator<Item = (&str, &[Vec<String>])> {
    table.columns().filter_map(|(plan, values)| match values {
        Values::Tags(values) => Some((plan.name.as_str(), values.as_slice())),
        _ => None,
    })
}
