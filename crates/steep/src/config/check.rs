//! Checks of single keys, with errors that name the key.

use crate::data::nearest::nearest;
use crate::error::{Error, Result};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// The value of a key that has no default.
pub(super) fn required<T: Clone>(key: &str, value: Option<&T>, example: &str) -> Result<T> {
    value.cloned().ok_or_else(|| Error::config(key, "is needed", format!("give --{key} {example}")))
}

/// Fills a key in with its default and gives its value.
pub(super) fn fill<T: Clone>(value: &mut Option<T>, default: impl FnOnce() -> T) -> T {
    value.get_or_insert_with(default).clone()
}

/// Refuses a value outside a range.
pub(super) fn within<T: PartialOrd + Display + Copy>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let hint = format!("give a value from {} to {}", range.start(), range.end());
    Err(Error::config(key, format!("{value} is not possible"), hint))
}

/// Refuses zero, negative and infinite numbers.
pub(super) fn positive(key: &str, value: f64) -> Result<f64> {
    if value > 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Error::config(key, format!("{value} is not possible"), "give a number above 0"))
}

/// Refuses zero.
pub(super) fn at_least_one(key: &str, value: u64) -> Result<u64> {
    if value > 0 {
        return Ok(value);
    }
    Err(Error::config(key, "0 is not possible", "give 1 or more"))
}

/// The value of this name in a table of names.
pub(super) fn one_of<T: Clone>(key: &str, name: &str, known: &[(&str, T)]) -> Result<T> {
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    found.ok_or_else(|| {
        let names = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let near = nearest(name, &known.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let hint = match near {
            Some(near) => format!("did you mean {near}? Known are {names}"),
            None => format!("choose one of {names}"),
        };
        Error::config(key, format!("'{name}' is not known"), hint)
    })
}
