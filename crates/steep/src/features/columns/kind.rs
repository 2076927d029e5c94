//! What a column holds, by its type in the file and its values.

use super::moments::parse_moment;
use crate::data::{Chunk, booleans, numbers, text};
use crate::error::{Error, Result};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Numbers.
    Numerical,
    /// One of some values, as strings.
    Categorical,
    /// True or false.
    Boolean,
    /// A date or time.
    Datetime {
        /// Whether 02/03/2024 is the second of March.
        day_first: bool,
    },
    /// A list of strings.
    Tags,
}

impl ColumnKind {
    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numerical => "numerical",
            Self::Categorical => "categorical",
            Self::Boolean => "boolean",
            Self::Datetime { .. } => "datetime",
            Self::Tags => "tags",
        }
    }
}

/// A column and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnPlan {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Why it was taken for that: `given`, or what was seen.
    pub reason: String,
}

/// More different strings than this in the rows looked at, and more than half of all of them different, are no
/// categories but free text.
const MOST_CATEGORIES: usize = 50;

/// What a column holds, from the first rows of a source; `None` for free text, which has a place elsewhere, and for
/// columns of vectors or structures. The second result says why.
///
/// # Errors
/// A column that is not there.
pub fn infer(rows: &[Chunk], name: &str) -> Result<(Option<ColumnKind>, String)> {
    let Some(first) = rows.first() else { return Ok((None, "there are no rows".to_owned())) };
    let schema = first.batch.schema();
    let field = schema.field_with_name(name).map_err(|_| {
        Error::data(&first.file, format!("there is no column '{name}'"), "check the names of the columns")
    })?;
    let kind = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        kind => kind,
    };
    let by_type = |kind: ColumnKind| Ok((Some(kind), "the file's own type".to_owned()));
    match kind {
        DataType::Boolean => by_type(ColumnKind::Boolean),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            by_type(ColumnKind::Datetime { day_first: false })
        }
        kind if kind.is_numeric() => by_type(ColumnKind::Numerical),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match item.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => by_type(ColumnKind::Tags),
                kind => Ok((None, format!("lists of {kind} are no single values"))),
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => of_strings(rows, name),
        kind => Ok((None, format!("the type {kind} has no use"))),
    }
}

fn of_strings(rows: &[Chunk], name: &str) -> Result<(Option<ColumnKind>, String)> {
    let mut values: Vec<String> = Vec::new();
    for chunk in rows {
        let read = text(chunk, name)?;
        values.extend(
            read.iter().flatten().map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned),
        );
    }
    if values.is_empty() {
        return Ok((None, "all values looked at are missing".to_owned()));
    }
    let found = |kind: ColumnKind, reason: &str| Ok((Some(kind), reason.to_owned()));
    if rows.iter().all(|chunk| numbers(chunk, name).is_ok()) {
        return found(ColumnKind::Numerical, "all values are numbers");
    }
    if rows.iter().all(|chunk| booleans(chunk, name).is_ok()) {
        return found(ColumnKind::Boolean, "all values are true or false");
    }
    if values.iter().all(|value| parse_moment(value, false).is_some() || parse_moment(value, true).is_some())
    {
        let day_first = is_day_first(&values);
        let order = if day_first { "day before month" } else { "month before day where both could be" };
        return found(ColumnKind::Datetime { day_first }, &format!("all values are dates, {order}"));
    }
    if values.iter().all(|value| value.starts_with('[') && value.ends_with(']')) {
        return found(ColumnKind::Tags, "all values are lists");
    }
    if values.iter().filter(|value| value.contains('|')).count() * 2 > values.len() {
        return found(ColumnKind::Tags, "most values are parted by |");
    }
    let different = values.iter().collect::<HashSet<_>>().len();
    if different > MOST_CATEGORIES && different * 2 > values.len() {
        return Ok((None, format!("free text: {different} different strings in {} rows", values.len())));
    }
    found(ColumnKind::Categorical, &format!("{different} different strings in {} rows", values.len()))
}

/// Whether a date of the column has a day above 12 in the first place, or points between its parts, and none a day
/// above 12 in the second.
fn is_day_first(values: &[String]) -> bool {
    let parts = |value: &String| -> Option<(u32, u32)> {
        let mut parts = value.split(['/', '.', '-', ' ']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let pairs: Vec<(u32, u32)> = values.iter().filter_map(parts).filter(|(first, _)| *first <= 31).collect();
    if pairs.iter().any(|(_, second)| *second > 12) {
        return false;
    }
    pairs.iter().any(|(first, _)| *first > 12)
        || values.iter().any(|value| value.get(..6).is_some_and(|start| start.matches('.').count() == 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ReadOptions, open};

    fn kind(values: &[&str]) -> Option<ColumnKind> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let lines: Vec<String> =
            values.iter().map(|value| format!("\"{}\",x", value.replace('"', "\"\""))).collect();
        std::fs::write(&path, format!("c,d\n{}\n", lines.join("\n"))).unwrap();
        let rows: Vec<Chunk> =
            open(path.to_str().unwrap(), &ReadOptions::default()).unwrap().collect::<Result<_>>().unwrap();
        infer(&rows, "c").unwrap().0
    }

    #[test]
    fn strings_are_what_all_of_them_are() {
        assert_eq!(kind(&["1", "2.5", ""]), Some(ColumnKind::Numerical));
        assert_eq!(kind(&["1", "0", "1"]), Some(ColumnKind::Numerical));
        assert_eq!(kind(&["yes", "No"]), Some(ColumnKind::Boolean));
        assert_eq!(kind(&["red", "blue", "1"]), Some(ColumnKind::Categorical));
        assert_eq!(
            kind(&["2024-01-31", "2023-02-01T10:00:00Z"]),
            Some(ColumnKind::Datetime { day_first: false })
        );
        assert_eq!(kind(&["31/01/2024", "01/02/2024"]), Some(ColumnKind::Datetime { day_first: true }));
        assert_eq!(kind(&["01.02.2024"]), Some(ColumnKind::Datetime { day_first: true }));
        assert_eq!(kind(&["01/31/2024", "01/02/2024"]), Some(ColumnKind::Datetime { day_first: false }));
        assert_eq!(kind(&["a|b", "c|d", "e"]), Some(ColumnKind::Tags));
        assert_eq!(kind(&["[\"a\"]", "[]"]), Some(ColumnKind::Tags));
        assert_eq!(kind(&["", ""]), None);
        let sentences: Vec<String> = (0..200).map(|at| format!("sentence number {at}")).collect();
        assert_eq!(kind(&sentences.iter().map(String::as_str).collect::<Vec<_>>()), None);
    }
}
