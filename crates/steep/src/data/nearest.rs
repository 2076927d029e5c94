//! Which known name did the user probably mean?

use super::fault::column_fault;
use crate::error::Error;
use std::path::Path;
use steep_encoder::checkpoint::report::edit_distance;

/// The name with the smallest edit distance, if it is near enough to be a slip of the pen; case and the kind of
/// dash do not count.
pub(crate) fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let wanted = plain(wanted);
    let limit = (wanted.chars().count() / 3).max(2);
    let scored = names.iter().map(|name| (edit_distance(&wanted, &plain(name)), *name));
    scored
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The error for a column that is not there.
pub(crate) fn unknown_column(file: &Path, wanted: &str, names: &[&str]) -> Error {
    let problem = match names {
        [] => "there is no such column, as there are no columns at all".to_owned(),
        names => format!("there is no such column; the columns are {}", listed(names)),
    };
    let hint = match nearest(wanted, names) {
        Some(name) => format!("did you mean '{name}'?"),
        None => "name one of the columns that are there".to_owned(),
    };
    column_fault(file, wanted, problem, hint)
}

fn listed(names: &[&str]) -> String {
    const MOST: usize = 30;
    let shown = names.iter().take(MOST).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name() {
        assert_eq!(nearest("txet", &["label", "text"]), Some("text"));
        assert_eq!(nearest("lable_x", &["label_x", "text"]), Some("label_x"));
        assert_eq!(nearest("Text", &["label", "text"]), Some("text"));
        assert_eq!(nearest("zebra", &["label", "text"]), None);
        assert_eq!(nearest("learning-rat", &["learning_rate", "seed"]), Some("learning_rate"));
    }

    #[test]
    fn edit_distance_counts_changes() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
    }
}
