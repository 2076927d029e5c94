//! Which labelled rows train, validate and test?

use super::assign::{by_class, by_group, by_time, units};
use super::fault::row_fault;
use super::labelled::Labelled;
use super::random::Stream;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The rows (counted from 0, ascending) of each part; together all rows, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// The rows to fit on.
    pub train: Vec<u32>,
    /// The rows to choose by.
    pub validation: Vec<u32>,
    /// The rows to measure on, once.
    pub test: Vec<u32>,
}

/// How rows are dealt to the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitMethod {
    /// As a column says: train or training; validation, valid, val or dev; test (in any case).
    /// Where no row is of the validation part, it is cut from the training rows, grouped or stratified.
    Column,
    /// At random, every class in proportion.
    Stratified,
    /// At random by whole groups, classes near their proportions.
    Grouped,
    /// The earliest rows train, the latest test; groups, if given, stay whole and stand at their latest row.
    Time,
}

/// How to split.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitOptions {
    /// The method.
    pub method: SplitMethod,
    /// The share of rows that validate; with [`SplitMethod::Column`] the share of the training rows, where the
    /// column has no validation part. With 0 there is no validation part.
    pub validation_fraction: f64,
    /// The share of rows that test; unused with [`SplitMethod::Column`]. With 0 there is no test part.
    pub test_fraction: f64,
    /// Equal seeds give equal splits.
    pub seed: u64,
}

/// Splits labelled rows.
///
/// A group never has rows in two parts, whatever the method. Stratified, every class has its share of each part,
/// rounded up or down, and at least one row in train.
///
/// # Errors
/// Fractions that leave nothing to train on; a method that lacks its column; groups with a method that would part
/// them; an unknown part or a straddling group in the column, with its row; a part that ends up empty.
pub fn split(rows: &Labelled, options: &SplitOptions) -> Result<Split> {
    check_fractions(options)?;
    let fractions = [
        1.0 - options.validation_fraction - options.test_fraction,
        options.validation_fraction,
        options.test_fraction,
    ];
    let all: Vec<u32> = (0..rows.labels.len() as u32).collect();
    let split = match options.method {
        SplitMethod::Column => return by_column(rows, options),
        SplitMethod::Stratified if rows.groups.is_some() => {
            let hint = "use the grouped method, or leave the group column out";
            return Err(Error::config(
                "split_method",
                "a stratified split would part the rows of a group",
                hint,
            ));
        }
        SplitMethod::Stratified => deal_by_class(rows, &all, &fractions, options.seed),
        SplitMethod::Grouped if rows.groups.is_none() => return Err(lacks("grouped", "group_column")),
        SplitMethod::Grouped => deal_by_group(rows, &all, &fractions, options.seed),
        SplitMethod::Time => deal_by_time(rows, &all, &fractions)?,
    };
    check_filled(&split, &fractions)?;
    Ok(split)
}

fn check_fractions(options: &SplitOptions) -> Result<()> {
    let fractions =
        [("validation_fraction", options.validation_fraction), ("test_fraction", options.test_fraction)];
    for (key, value) in fractions {
        if !(0.0..1.0).contains(&value) {
            return Err(Error::config(
                key,
                format!("{value} is not a share of the rows"),
                "give 0 or more, less than 1",
            ));
        }
    }
    if options.validation_fraction + options.test_fraction >= 1.0 {
        let problem = "validation and test take all rows";
        return Err(Error::config("test_fraction", problem, "let both together be less than 1"));
    }
    Ok(())
}

pub(super) fn lacks(method: &str, key: &str) -> Error {
    Error::config(
        key,
        format!("a {method} split needs this column"),
        "name the column, or use another split method",
    )
}

pub(super) fn deal_by_class(rows: &Labelled, members: &[u32], fractions: &[f64], seed: u64) -> Split {
    let (strata, classes) = rows.labels.strata();
    let parts = by_class(members, &strata, classes, fractions, seed);
    collect(members.iter().copied().zip(parts))
}

pub(super) fn deal_by_group(rows: &Labelled, members: &[u32], fractions: &[f64], seed: u64) -> Split {
    let (strata, classes) = rows.labels.strata();
    let units = units(members, &strata, rows.groups.as_deref());
    let parts = by_group(&units, classes, fractions, seed, Stream::Split);
    collect(units.iter().zip(parts).flat_map(|(unit, part)| unit.rows.iter().map(move |row| (*row, part))))
}

pub(super) fn deal_by_time(rows: &Labelled, members: &[u32], fractions: &[f64]) -> Result<Split> {
    let times = rows.time.as_deref().ok_or_else(|| lacks("time", "time_column"))?;
    let (strata, _) = rows.labels.strata();
    let units = units(members, &strata, rows.groups.as_deref());
    let parts = by_time(&units, times, fractions);
    Ok(collect(
        units.iter().zip(parts).flat_map(|(unit, part)| unit.rows.iter().map(move |row| (*row, part))),
    ))
}

fn collect(parts: impl Iterator<Item = (u32, u32)>) -> Split {
    let mut split = Split::default();
    for (row, part) in parts {
        match part {
            0 => split.train.push(row),
            1 => split.validation.push(row),
            _ => split.test.push(row),
        }
    }
    for rows in [&mut split.train, &mut split.validation, &mut split.test] {
        rows.sort_unstable();
    }
    split
}

pub(super) fn check_filled(split: &Split, fractions: &[f64; 3]) -> Result<()> {
    let parts = [("train", &split.train), ("validation", &split.validation), ("test", &split.test)];
    for ((name, rows), fraction) in parts.into_iter().zip(fractions) {
        if rows.is_empty() && *fraction > 0.0 {
            let problem = format!("no row is left for {name}");
            let hint = "give more rows or groups, larger fractions, or a column that names the parts";
            return Err(Error::config("split_method", problem, hint));
        }
    }
    Ok(())
}

fn by_column(rows: &Labelled, options: &SplitOptions) -> Result<Split> {
    let written = rows.splits.as_deref().ok_or_else(|| lacks("given", "split_column"))?;
    let read = |(at, value): (usize, &String)| {
        part_of(value).map(|part| (at as u32, part)).ok_or_else(|| unknown_part(rows, at, value))
    };
    let parts: Vec<(u32, u32)> = written.iter().enumerate().map(read).collect::<Result<_>>()?;
    check_groups(rows, &parts)?;
    let mut split = collect(parts.into_iter());
    let mut fractions = [1.0, 0.0, 1.0];
    if split.validation.is_empty() && options.validation_fraction > 0.0 {
        fractions[1] = options.validation_fraction;
        let cut = [1.0 - options.validation_fraction, options.validation_fraction];
        let train = std::mem::take(&mut split.train);
        let parts = match rows.groups {
            Some(_) => deal_by_group(rows, &train, &cut, options.seed),
            None => deal_by_class(rows, &train, &cut, options.seed),
        };
        (split.train, split.validation) = (parts.train, parts.validation);
    }
    check_filled(&split, &fractions)?;
    Ok(split)
}

fn part_of(value: &str) -> Option<u32> {
    match value.trim().to_lowercase().as_str() {
        "train" | "training" => Some(0),
        "validation" | "valid" | "val" | "dev" => Some(1),
        "test" => Some(2),
        _ => None,
    }
}

fn unknown_part(rows: &Labelled, at: usize, value: &str) -> Error {
    let (file, row) = rows.origins.locate(at as u64);
    let problem = format!("the split column says {}", super::fault::shown(value));
    row_fault(&file, row, problem, "write train, validation or test")
}

fn check_groups(rows: &Labelled, parts: &[(u32, u32)]) -> Result<()> {
    let Some(groups) = &rows.groups else { return Ok(()) };
    let mut seen: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (row, part) in parts {
        let group = groups[*row as usize].as_str();
        let (first, its_part) = *seen.entry(group).or_insert((*row, *part));
        if its_part != *part {
            let (file, number) = rows.origins.locate(u64::from(*row));
            let (other_file, other) = rows.origins.locate(u64::from(first));
            let group = super::fault::shown(group);
            let problem = format!(
                "the group {group} is in another part of the split at row {other} of {}",
                other_file.display()
            );
            let hint = "put all rows of a group into one part, or use the grouped split method";
            return Err(row_fault(&file, number, problem, hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
