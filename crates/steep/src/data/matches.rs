//! The texts of the labelled parts, made ready to be asked for duplicates.

use super::minhash::MinHasher;
use super::shingles::{Scheme, exact_key, jaccard, normal_form, scheme, schemes_near, shingles};
use rayon::prelude::*;
use std::collections::HashMap;

/// The labelled parts in the order of the index: train, validation, test.
pub(super) const PARTS: usize = 3;

/// A labelled row that a text duplicates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Match {
    /// The labelled row, counted from 0.
    pub(super) row: u32,
    /// 1 for equal normal forms, else the Jaccard index.
    pub(super) similarity: f64,
    /// Whether the normal forms are equal.
    pub(super) exact: bool,
}

/// What was found for one text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// The key of the text's normal form; `None` for a blank text, which duplicates nothing.
    pub(super) key: Option<u128>,
    /// The duplicate in each part, an exact one if there is any.
    pub(super) matches: [Option<Match>; PARTS],
}

/// For each part the first row with some normal form.
type FirstRows = [Option<u32>; PARTS];

/// A normal form's pieces.
struct Entry {
    form: u32,
    shingles: Vec<u32>,
}

/// The normal forms of the labelled texts by exact key and by band.
pub(super) struct LabelledIndex {
    forms: Vec<FirstRows>,
    exact: HashMap<u128, u32>,
    entries: Vec<Entry>,
    /// For each band key its range in `members`.
    bands: HashMap<u64, (u32, u32)>,
    members: Vec<u32>,
    near: Option<(f64, MinHasher)>,
}

impl LabelledIndex {
    /// Indexes the rows of the three parts; near duplicates only where a threshold is given.
    pub(super) fn new(texts: &[String], parts: [&[u32]; PARTS], threshold: Option<f64>, seed: u64) -> Self {
        let mut index = Self {
            forms: Vec::new(),
            exact: HashMap::new(),
            entries: Vec::new(),
            bands: HashMap::new(),
            members: Vec::new(),
            near: threshold.map(|threshold| (threshold, MinHasher::new(threshold, seed))),
        };
        let mut unique: Vec<String> = Vec::new();
        for (part, rows) in parts.into_iter().enumerate() {
            for row in rows {
                let form = normal_form(&texts[*row as usize]);
                if !form.is_empty() {
                    index.add_form(form, part, *row, &mut unique);
                }
            }
        }
        index.add_bands(&unique);
        index
    }

    fn add_form(&mut self, form: String, part: usize, row: u32, unique: &mut Vec<String>) {
        let id = *self.exact.entry(exact_key(&form)).or_insert(self.forms.len() as u32) as usize;
        if id == self.forms.len() {
            self.forms.push([None; PARTS]);
            unique.push(form);
        }
        self.forms[id][part].get_or_insert(row);
    }

    fn add_bands(&mut self, unique: &[String]) {
        let Some((threshold, hasher)) = &self.near else { return };
        let of = |(form, text): (usize, &String)| {
            let pieces = |scheme: Scheme| {
                let shingles = shingles(text, scheme);
                let keys = if shingles.is_empty() { Vec::new() } else { hasher.band_keys(&shingles, scheme) };
                (Entry { form: form as u32, shingles }, keys)
            };
            schemes_near(text, *threshold).into_iter().map(pieces).collect::<Vec<_>>()
        };
        let entries: Vec<Vec<(Entry, Vec<u64>)>> = unique.par_iter().enumerate().map(of).collect();
        let mut pairs: Vec<(u64, u32)> = Vec::new();
        for (entry, keys) in entries.into_iter().flatten() {
            pairs.extend(keys.into_iter().map(|key| (key, self.entries.len() as u32)));
            self.entries.push(entry);
        }
        pairs.sort_unstable();
        self.members = pairs.iter().map(|(_, entry)| *entry).collect();
        let mut start = 0;
        for group in pairs.chunk_by(|left, right| left.0 == right.0) {
            self.bands.insert(group[0].0, (start, start + group.len() as u32));
            start += group.len() as u32;
        }
    }

    /// The duplicates of a text in those parts that are asked for.
    pub(super) fn find(&self, text: &str, asked: [bool; PARTS]) -> Found {
        let form = normal_form(text);
        let mut matches = [None; PARTS];
        if form.is_empty() {
            return Found { key: None, matches };
        }
        let key = exact_key(&form);
        if let Some(id) = self.exact.get(&key) {
            self.note(&mut matches, *id, asked, 1.0, true);
        }
        if self.near.is_some() && (0..PARTS).any(|part| asked[part] && matches[part].is_none()) {
            self.find_near(&form, asked, &mut matches);
        }
        Found { key: Some(key), matches }
    }

    fn find_near(&self, form: &str, asked: [bool; PARTS], matches: &mut [Option<Match>; PARTS]) {
        let Some((threshold, hasher)) = &self.near else { return };
        let scheme = scheme(form);
        let pieces = shingles(form, scheme);
        if pieces.is_empty() {
            return;
        }
        for candidate in self.candidates(&hasher.band_keys(&pieces, scheme)) {
            let entry = &self.entries[candidate as usize];
            let first_rows = &self.forms[entry.form as usize];
            if !(0..PARTS).any(|part| asked[part] && matches[part].is_none() && first_rows[part].is_some()) {
                continue;
            }
            // No overlap can make up for sizes that differ by more than the threshold.
            let (less, more) =
                (pieces.len().min(entry.shingles.len()), pieces.len().max(entry.shingles.len()));
            if (less as f64) < threshold * more as f64 {
                continue;
            }
            let similarity = jaccard(&pieces, &entry.shingles);
            if similarity >= *threshold {
                self.note(matches, entry.form, asked, similarity, false);
            }
        }
    }

    /// The entries that share a band, ascending, so that the result does not depend on any table's order.
    fn candidates(&self, keys: &[u64]) -> Vec<u32> {
        let ranges = keys.iter().filter_map(|key| self.bands.get(key));
        let mut entries: Vec<u32> =
            ranges.flat_map(|(start, end)| &self.members[*start as usize..*end as usize]).copied().collect();
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    fn note(
        &self,
        matches: &mut [Option<Match>],
        form: u32,
        asked: [bool; PARTS],
        similarity: f64,
        exact: bool,
    ) {
        for (part, row) in self.forms[form as usize].iter().enumerate() {
            if let (true, None, Some(row)) = (asked[part], matches[part], row) {
                matches[part] = Some(Match { row: *row, similarity, exact });
            }
        }
    }
}
