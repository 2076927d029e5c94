//! What a person should know about the data before hours are spent on it.

mod columns;
mod noise;

pub(super) use noise::label_noise;

use super::data::Prepared;
use crate::data::{Labels, Part};
use crate::report::{Check, CheckKind, CheckedRow};
use std::collections::BTreeMap;

/// Rows that a check names at most.
const MOST_ROWS: usize = 25;
/// Columns of a text that is shown.
const SHOWN: usize = 160;
/// Training rows of a class below which little can be learned, and test rows below which little can be told.
const FEW_TRAINING_ROWS: usize = 8;
const FEW_TEST_ROWS: usize = 5;

/// Everything that can be told from the data alone.
pub(super) fn checks(prepared: &Prepared) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(leakage(prepared));
    checks.extend(validation_leakage(prepared));
    checks.extend(time(prepared));
    checks.extend(conflicting_labels(prepared));
    checks.extend(blank_texts(prepared));
    checks.extend(rare_classes(prepared));
    if let Some(data) = &prepared.table {
        checks.extend(columns::checks(&data.table, &prepared.labelled));
    }
    checks
}

/// One row in words.
fn checked_row(prepared: &Prepared, row: u32, note: String) -> CheckedRow {
    let rows = &prepared.labelled.rows;
    let (file, number) = rows.origins.locate(u64::from(row));
    CheckedRow { file: file.display().to_string(), row: number, text: shown(&rows.texts[row as usize]), note }
}

/// The beginning of a text on one line.
pub(super) fn shown(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().take(SHOWN).collect();
    let line = line.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

fn plural(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn leakage(prepared: &Prepared) -> Option<Check> {
    let leaked = &prepared.duplicates.train_rows_in_test;
    let count = leaked.len() as u64;
    let rows = leaked.iter().take(MOST_ROWS);
    (count > 0).then(|| Check {
        kind: CheckKind::Leakage,
        sentence: format!(
            "{} the text of a test row, exactly or nearly; left out of training.",
            plural(count, "training row repeats", "training rows repeat")
        ),
        count,
        rows: rows.map(|&row| checked_row(prepared, row, "also in the test part".to_owned())).collect(),
    })
}

fn validation_leakage(prepared: &Prepared) -> Option<Check> {
    let counts = prepared.duplicates.counts.iter();
    let count = counts
        .filter(|found| found.from == Part::Train && found.to == Part::Validation)
        .map(|found| found.exact_rows + found.near_rows)
        .sum();
    let examples = prepared.duplicates.examples.iter();
    let pairs = examples.filter(|pair| pair.from == Part::Train && pair.to == Part::Validation);
    (count > 0).then(|| Check {
        kind: CheckKind::ValidationLeakage,
        sentence: format!(
            "{} the text of a validation row: stopping points and temperatures are chosen a little too hopefully.",
            plural(count, "training row repeats", "training rows repeat")
        ),
        count,
        rows: pairs
            .map(|pair| checked_row(prepared, pair.from_row as u32, "also in the validation part".to_owned()))
            .collect(),
    })
}

/// Training rows that are later than the first test row, where the rows have times and a split of their own.
fn time(prepared: &Prepared) -> Option<Check> {
    let (labelled, split) = (&prepared.labelled, &prepared.labelled.split);
    let time = labelled.rows.time.as_ref().filter(|_| labelled.rows.splits.is_some())?;
    let first = split.test.iter().map(|&row| time[row as usize]).fold(f64::INFINITY, f64::min);
    let later: Vec<u32> = split.train.iter().copied().filter(|&row| time[row as usize] > first).collect();
    let count = later.len() as u64;
    (count > 0).then(|| Check {
        kind: CheckKind::Time,
        sentence: format!(
            "{} than the first test row: what is learned from the future will be missing in use.",
            plural(count, "training row is later", "training rows are later")
        ),
        count,
        rows: later
            .into_iter()
            .take(MOST_ROWS)
            .map(|row| checked_row(prepared, row, "later than a test row".to_owned()))
            .collect(),
    })
}

/// Rows whose text, in small letters and with white space folded, also stands with another label.
fn conflicting_labels(prepared: &Prepared) -> Option<Check> {
    let rows = &prepared.labelled.rows;
    let Labels::Single { names, ids } = &rows.labels else { return None };
    let mut by_text: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (row, text) in rows.texts.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let folded = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
        by_text.entry(folded).or_default().push(row as u32);
    }
    let class = |row: &u32| ids[*row as usize];
    let conflicts = by_text.values().filter(|rows| rows.iter().any(|row| class(row) != class(&rows[0])));
    let conflicting: Vec<u32> = conflicts.flatten().copied().collect();
    let count = conflicting.len() as u64;
    (count > 0).then(|| Check {
        kind: CheckKind::ConflictingLabels,
        sentence: format!(
            "{count} rows share their text with a row of another label: no model can have all of them right."
        ),
        count,
        rows: conflicting
            .iter()
            .take(MOST_ROWS)
            .map(|&row| checked_row(prepared, row, format!("labelled {}", names[class(&row) as usize])))
            .collect(),
    })
}

fn blank_texts(prepared: &Prepared) -> Option<Check> {
    let texts = prepared.labelled.rows.texts.iter().enumerate();
    let blank: Vec<u32> =
        texts.filter(|(_, text)| text.trim().is_empty()).map(|(row, _)| row as u32).collect();
    let count = blank.len() as u64;
    (count > 0).then(|| Check {
        kind: CheckKind::BlankTexts,
        sentence: format!("{} no text.", plural(count, "labelled row has", "labelled rows have")),
        count,
        rows: blank
            .into_iter()
            .take(MOST_ROWS)
            .map(|row| checked_row(prepared, row, "no text".to_owned()))
            .collect(),
    })
}

fn rare_classes(prepared: &Prepared) -> Option<Check> {
    let labelled = &prepared.labelled;
    let Labels::Single { names, ids } = &labelled.rows.labels else { return None };
    let counts = |rows: &[u32]| {
        let mut counts = vec![0usize; names.len()];
        rows.iter().for_each(|&row| counts[ids[row as usize] as usize] += 1);
        counts
    };
    let (train, test) = (counts(&labelled.split.train), counts(&labelled.split.test));
    let mut rare: Vec<usize> = (0..names.len())
        .filter(|&class| train[class] < FEW_TRAINING_ROWS || test[class] < FEW_TEST_ROWS)
        .collect();
    rare.sort_by_key(|&class| (train[class] + test[class], class));
    let count = rare.len() as u64;
    let row = |class: usize| CheckedRow {
        file: String::new(),
        row: 0,
        text: names[class].clone(),
        note: format!("{} to train on, {} to test on", train[class], test[class]),
    };
    (count > 0).then(|| Check {
        kind: CheckKind::RareClasses,
        sentence: format!(
            "{} of {} classes have fewer than {FEW_TRAINING_ROWS} training rows or fewer than {FEW_TEST_ROWS} test rows; \
             what is said of them says little.",
            count,
            names.len()
        ),
        count,
        rows: rare.into_iter().take(MOST_ROWS).map(row).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_texts_are_one_short_line() {
        assert_eq!(shown("a\n b\t c "), "a b c");
        let long = shown(&"word ".repeat(100));
        assert!(long.ends_with('…') && long.chars().count() <= SHOWN + 1);
    }
}
