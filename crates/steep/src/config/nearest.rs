//! Which known name did the user probably mean?

/// The name with the smallest edit distance, if it is near enough to be a slip of the pen.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(2);
    let wanted = wanted.to_lowercase().replace('-', "_");
    let scored = names.map(|name| (edit_distance(&wanted, name), name));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Levenshtein's distance between two strings, in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let changed = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name() {
        let names = ["learning_rate", "seed"];
        assert_eq!(nearest("learning-rat", names.into_iter()), Some("learning_rate"));
        assert_eq!(nearest("Seed", names.into_iter()), Some("seed"));
        assert_eq!(nearest("zebra", names.into_iter()), None);
    }
}
