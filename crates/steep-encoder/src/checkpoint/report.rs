//! What loading did with each tensor.

use std::fmt;

/// The outcome of loading a model, by tensor name.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct LoadReport {
    /// Parameters read from the file.
    pub loaded: Vec<String>,
    /// Parameters the file lacks; they were initialised from the config. Constants that it lacks are not counted.
    pub initialised: Vec<String>,
    /// Tensors of the file that the model does not use.
    pub unexpected: Vec<String>,
    /// Pairs (alias, original) that are one tensor in the model.
    pub tied: Vec<(String, String)>,
    /// Names of the file that were read under another name.
    pub renamed: Vec<(String, String)>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "loaded       {:>5} tensors", self.loaded.len())?;
        if !self.renamed.is_empty() {
            writeln!(formatter, "renamed      {:>5} (historic or prefixed names)", self.renamed.len())?;
        }
        for (alias, original) in &self.tied {
            writeln!(formatter, "tied         {alias} = {original}")?;
        }
        for name in &self.initialised {
            writeln!(formatter, "initialised  {name} (not in the file)")?;
        }
        for name in &self.unexpected {
            writeln!(formatter, "unused       {name}")?;
        }
        Ok(())
    }
}

/// The candidate most like `name`, if any is close: for "did you mean".
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.map(|candidate| (edit_distance(name, candidate), candidate));
    let (distance, candidate) = scored.min()?;
    (distance * 3 <= name.len()).then_some(candidate)
}

/// Levenshtein's distance between two strings, in characters.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_stranger_none() {
        let names = ["bert.pooler.dense.weight", "bert.embeddings.LayerNorm.weight"];
        let found = nearest("bert.embedings.LayerNorm.weight", names.into_iter());
        assert_eq!(found, Some("bert.embeddings.LayerNorm.weight"));
        assert_eq!(nearest("x", names.into_iter()), None);
    }

    #[test]
    fn distances_are_counted() {
        for (left, right, distance) in
            [("", "", 0), ("tea", "", 3), ("tea", "teas", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(edit_distance(left, right), distance);
            assert_eq!(edit_distance(right, left), distance);
        }
    }
}
