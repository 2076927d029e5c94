//! Which rows are computed together, and each different one once.

use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::training::{Sequences, micro_batches};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows in batches of like length, rows of the same tokens taken together.
///
/// A text gives the same bits alone or in any batch, so neither the order nor leaving repetitions out changes a bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinctRows {
    /// One row for each different sequence, longest first.
    distinct: Vec<u32>,
    /// Batch `i` is `distinct[bounds[i]..bounds[i + 1]]`.
    bounds: Vec<usize>,
    /// For each of the rows asked for, the place of its sequence in `distinct`.
    places: Vec<u32>,
}

impl DistinctRows {
    /// Plans batches of at most `max_tokens` tokens; a longer sequence stands alone.
    pub fn new(sequences: &dyn Sequences, rows: &[u32], max_tokens: usize) -> Self {
        let (mut distinct, mut groups) = group(sequences, rows);
        let length = |row: u32| sequences.length(row as usize);
        let mut order: Vec<u32> = (0..distinct.len() as u32).collect();
        order.sort_by_key(|&group| Reverse(length(distinct[group as usize])));
        distinct = order.iter().map(|&group| distinct[group as usize]).collect();
        let mut place_of = vec![0; order.len()];
        for (place, &group) in (0..).zip(&order) {
            place_of[group as usize] = place;
        }
        for group in &mut groups {
            *group = place_of[*group as usize];
        }
        let mut bounds = vec![0];
        for batch in micro_batches(&distinct, max_tokens, length) {
            bounds.push(bounds[bounds.len() - 1] + batch.len());
        }
        Self { distinct, bounds, places: groups }
    }

    /// The batches, the longest sequences first.
    pub fn batches(&self) -> impl Iterator<Item = &[u32]> {
        self.bounds.windows(2).map(|bounds| &self.distinct[bounds[0]..bounds[1]])
    }

    /// The values that `work` gives for the rows of each batch, one batch after the other. As many batches at a time as there
    /// are threads, and a thread that is done helps the others: nobody waits for the slowest part of every kernel.
    ///
    /// # Errors
    /// A stop on request.
    pub fn compute<T: Send>(&self, work: impl Fn(&[u32]) -> Vec<T> + Sync, ctx: &Context) -> Result<Vec<T>> {
        let batches: Vec<&[u32]> = self.batches().collect();
        let mut values = Vec::new();
        for group in batches.chunks(rayon::current_num_threads()) {
            ctx.cancel.check()?;
            let parts: Vec<Vec<T>> = group.par_iter().with_max_len(1).map(|batch| work(batch)).collect();
            values.extend(parts.into_iter().flatten());
            ctx.progress.advance(group.iter().map(|batch| batch.len() as u64).sum());
        }
        ctx.progress.advance(self.repeated() as u64);
        Ok(values)
    }

    /// How many rows are computed.
    pub fn computed(&self) -> usize {
        self.distinct.len()
    }

    /// How many rows repeat another one.
    pub fn repeated(&self) -> usize {
        self.places.len() - self.computed()
    }

    /// From one item a row of the batches to one of each row asked for.
    pub fn spread_items<T: Clone>(&self, items: &[T]) -> Vec<T> {
        self.places.iter().map(|&place| items[place as usize].clone()).collect()
    }

    /// From the values of the batches' rows, `width` a row, to those of the rows asked for: [rows, width].
    pub fn spread(&self, values: &[f32], width: usize) -> Result<DenseMatrix> {
        let mut spread = Vec::with_capacity(self.places.len() * width);
        for &place in &self.places {
            spread.extend_from_slice(&values[place as usize * width..(place as usize + 1) * width]);
        }
        DenseMatrix::new(self.places.len(), width, spread)
    }
}

/// The first row of each different sequence, and for each row the number of its sequence.
fn group(sequences: &dyn Sequences, rows: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (mut distinct, mut groups) = (Vec::new(), Vec::with_capacity(rows.len()));
    let mut known: HashMap<u64, u32> = HashMap::with_capacity(rows.len());
    let (mut tokens, mut other) = (Vec::new(), Vec::new());
    for &row in rows {
        tokens.clear();
        sequences.append(row as usize, &mut tokens);
        let mut seed = 0;
        groups.push(loop {
            match known.entry(hash(&tokens, seed)) {
                Entry::Vacant(entry) => {
                    distinct.push(row);
                    break *entry.insert(distinct.len() as u32 - 1);
                }
                Entry::Occupied(entry) => {
                    other.clear();
                    sequences.append(distinct[*entry.get() as usize] as usize, &mut other);
                    if other == tokens {
                        break *entry.get();
                    }
                    // Another sequence of the same hash: the next hash of this one.
                    seed += 1;
                }
            }
        });
    }
    (distinct, groups)
}

fn hash(tokens: &[u32], seed: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, tokens).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancel, Silent};
    use crate::text::Encodings;
    use proptest::prelude::*;

    fn encodings(sequences: &[Vec<u32>]) -> Encodings {
        let mut encodings = Encodings { offsets: vec![0], ..Encodings::default() };
        for sequence in sequences {
            encodings.input_ids.extend_from_slice(sequence);
            encodings.offsets.push(encodings.input_ids.len() as u32);
        }
        encodings
    }

    proptest! {
        #[test]
        fn every_row_gets_the_values_of_its_own_tokens(
            sequences in proptest::collection::vec(proptest::collection::vec(0u32..3, 1..5), 1..60),
            max_tokens in 1usize..40,
        ) {
            let encodings = encodings(&sequences);
            let rows: Vec<u32> = (0..sequences.len() as u32).rev().collect();
            let plan = DistinctRows::new(&encodings, &rows, max_tokens);
            // The value of a row is the row that was computed for it.
            let cancel = Cancel::default();
            let context = Context { progress: &Silent, cancel: &cancel };
            let computed = plan.compute(<[u32]>::to_vec, &context).unwrap();
            prop_assert_eq!(&computed, &plan.batches().flatten().copied().collect::<Vec<_>>());
            let values: Vec<f32> = computed.iter().map(|&row| row as f32).collect();
            let spread = plan.spread(&values, 1).unwrap();
            for (&row, value) in rows.iter().zip(spread.values()) {
                prop_assert_eq!(&sequences[*value as usize], &sequences[row as usize]);
            }
            let different: std::collections::BTreeSet<&Vec<u32>> = sequences.iter().collect();
            prop_assert_eq!(computed.len(), different.len());
            prop_assert_eq!(plan.repeated(), sequences.len() - different.len());
            prop_assert!(computed.is_sorted_by_key(|&row| Reverse(sequences[row as usize].len())));
            for batch in plan.batches() {
                let tokens: usize = batch.iter().map(|&row| sequences[row as usize].len()).sum();
                prop_assert!(batch.len() == 1 || tokens <= max_tokens);
            }
        }
    }

    #[test]
    fn short_texts_fill_a_batch_by_their_tokens() {
        let sequences: Vec<Vec<u32>> = (0..1000).map(|row| vec![row; 16]).collect();
        let rows: Vec<u32> = (0..1000).collect();
        let plan = DistinctRows::new(&encodings(&sequences), &rows, 4096);
        assert_eq!(plan.batches().map(<[u32]>::len).collect::<Vec<_>>(), [256, 256, 256, 232]);
    }

    #[test]
    fn no_rows_are_no_batches() {
        let plan = DistinctRows::new(&encodings(&[]), &[], 8);
        assert_eq!((plan.batches().count(), plan.repeated()), (0, 0));
    }
}
