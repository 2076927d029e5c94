//! Which rows make up which batch?
//!
//! A plan is a function of the rows' lengths, the batch size and the order. It has no state: to resume, make
//! it again and go on at the batch's index. Every row is in exactly one batch, the last smaller ones included.

use crate::error::{Error, Result};
use crate::random::{Stream, hash};
use serde::{Deserialize, Serialize};

/// How large a batch may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchSize {
    /// At most so many tokens, since nothing is padded. A row longer than that is a batch of its own.
    Tokens(u64),
    /// So many rows; the last batch may have fewer.
    Sequences(usize),
}

/// In which order the rows are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they come.
    Sequential,
    /// Shuffled, anew in every epoch.
    Random {
        /// The run's seed.
        seed: u64,
        /// Counted from zero.
        epoch: u64,
    },
    /// Shuffled, then sorted by length within each group of about 50 batches, as transformers'
    /// `group_by_length`, so that a batch has rows of like length. The batch with the longest row comes
    /// first: what does not fit into memory fails at once. Unlike in transformers, the other batches are
    /// shuffled, so that the length does not fall from batch to batch within a group.
    LengthGrouped {
        /// The run's seed.
        seed: u64,
        /// Counted from zero.
        epoch: u64,
    },
    /// From the longest to the shortest, rows of one length as they come: for extraction.
    LengthSorted,
}

/// Names the random streams of this file, so that no other use of the seed draws the same numbers.
const ROWS: u64 = 0x524f_5753;
const BATCHES: u64 = 0x4241_5443;

/// transformers sorts within groups of so many batches.
const BATCHES_PER_GROUP: usize = 50;

/// The batches of one pass over the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    rows: Vec<u32>,
    /// Batch `i` has the rows `rows[offsets[i]..offsets[i + 1]]`.
    offsets: Vec<u32>,
}

impl BatchPlan {
    /// Plans the batches for rows of the given lengths in tokens.
    ///
    /// # Errors
    /// When the batch size is zero or there are more than 2³² − 1 rows.
    pub fn new(lengths: &[u32], size: BatchSize, order: Order) -> Result<Self> {
        check(lengths, size)?;
        Ok(match order {
            Order::Sequential => Self::deal((0..lengths.len() as u32).collect(), lengths, size),
            Order::Random { seed, epoch } => Self::deal(shuffled(lengths.len(), seed, epoch), lengths, size),
            Order::LengthGrouped { seed, epoch } => Self::grouped(lengths, size, seed, epoch),
            Order::LengthSorted => {
                let mut rows: Vec<u32> = (0..lengths.len() as u32).collect();
                sort_by_length(&mut rows, lengths);
                Self::deal(rows, lengths, size)
            }
        })
    }

    /// The number of batches.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of a batch; none past the last batch.
    pub fn batch(&self, index: usize) -> &[u32] {
        match self.offsets.get(index..).unwrap_or_default() {
            [start, end, ..] => &self.rows[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// The batches from the one with the given index on.
    pub fn iter_from(&self, index: usize) -> impl ExactSizeIterator<Item = &[u32]> {
        (index.min(self.len())..self.len()).map(|index| self.batch(index))
    }

    /// Deals rows out in their order.
    fn deal(rows: Vec<u32>, lengths: &[u32], size: BatchSize) -> Self {
        let mut offsets = vec![0];
        let mut tokens = 0;
        for (index, &row) in rows.iter().enumerate() {
            let start = offsets[offsets.len() - 1] as usize;
            let length = u64::from(lengths[row as usize]);
            let full = match size {
                BatchSize::Tokens(limit) => tokens + length > limit,
                BatchSize::Sequences(limit) => index - start >= limit,
            };
            if full && index > start {
                offsets.push(index as u32);
                tokens = 0;
            }
            tokens += length;
        }
        if !rows.is_empty() {
            offsets.push(rows.len() as u32);
        }
        Self { rows, offsets }
    }

    fn grouped(lengths: &[u32], size: BatchSize, seed: u64, epoch: u64) -> Self {
        let mut rows = shuffled(lengths.len(), seed, epoch);
        for group in rows.chunks_mut(rows_per_group(lengths, size)) {
            sort_by_length(group, lengths);
        }
        let plan = Self::deal(rows, lengths, size);
        let longest = |index: u32| plan.batch(index as usize).iter().map(|&row| lengths[row as usize]).max();
        let mut order = Stream::new(hash(seed, &[BATCHES]), &[epoch]).permutation(plan.len() as u32);
        // The first of the longest in the shuffled order, so that ties are broken by the seed.
        if let Some(at) = (0..order.len()).rev().max_by_key(|&at| longest(order[at])) {
            order[..=at].rotate_right(1);
        }
        plan.reordered(&order)
    }

    fn reordered(&self, order: &[u32]) -> Self {
        let mut result = Self { rows: Vec::with_capacity(self.rows.len()), offsets: vec![0] };
        for &index in order {
            result.rows.extend_from_slice(self.batch(index as usize));
            result.offsets.push(result.rows.len() as u32);
        }
        result
    }
}

fn check(lengths: &[u32], size: BatchSize) -> Result<()> {
    if matches!(size, BatchSize::Tokens(0) | BatchSize::Sequences(0)) {
        return Err(Error::config(
            "batch_size",
            "a batch of nothing cannot be worked on",
            "set it to 1 or more",
        ));
    }
    if u32::try_from(lengths.len()).is_err() {
        return Err(Error::config(
            "rows",
            format!("{} rows are more than one pass can have", lengths.len()),
            "split the data",
        ));
    }
    Ok(())
}

fn shuffled(rows: usize, seed: u64, epoch: u64) -> Vec<u32> {
    Stream::new(hash(seed, &[ROWS]), &[epoch]).permutation(rows as u32)
}

/// The longest first; rows of one length keep their order.
fn sort_by_length(rows: &mut [u32], lengths: &[u32]) {
    rows.sort_by_key(|&row| std::cmp::Reverse(lengths[row as usize]));
}

/// As in transformers: 50 batches, or fewer if the data would then have fewer than four groups.
fn rows_per_group(lengths: &[u32], size: BatchSize) -> usize {
    let rows_per_batch = match size {
        BatchSize::Sequences(rows) => rows,
        BatchSize::Tokens(tokens) => {
            let total: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
            (tokens.saturating_mul(lengths.len() as u64) / total.max(1)) as usize
        }
    };
    let rows_per_batch = rows_per_batch.clamp(1, lengths.len().max(1));
    let batches = (lengths.len() / (rows_per_batch * 4)).clamp(1, BATCHES_PER_GROUP);
    rows_per_batch * batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn orders(seed: u64, epoch: u64) -> [Order; 4] {
        [
            Order::Sequential,
            Order::Random { seed, epoch },
            Order::LengthGrouped { seed, epoch },
            Order::LengthSorted,
        ]
    }

    fn plan(lengths: &[u32], size: BatchSize, order: Order) -> Vec<Vec<u32>> {
        BatchPlan::new(lengths, size, order).unwrap().iter_from(0).map(<[u32]>::to_vec).collect()
    }

    fn lengths(rows: u64) -> Vec<u32> {
        (0..rows).map(|row| 2 + Stream::new(1, &[row]).below(60) as u32).collect()
    }

    proptest! {
        #[test]
        fn every_row_is_in_exactly_one_batch(
            lengths in proptest::collection::vec(0u32..70, 0..300),
            limit in 1u64..200,
            seed in any::<u64>(),
        ) {
            for size in [BatchSize::Tokens(limit), BatchSize::Sequences(limit as usize)] {
                for order in orders(seed, 3) {
                    let batches = plan(&lengths, size, order);
                    let mut rows: Vec<u32> = batches.concat();
                    rows.sort_unstable();
                    prop_assert_eq!(rows, (0..lengths.len() as u32).collect::<Vec<_>>());
                    for batch in &batches {
                        let tokens: u64 = batch.iter().map(|&row| u64::from(lengths[row as usize])).sum();
                        prop_assert!(!batch.is_empty());
                        let fits = match size {
                            BatchSize::Tokens(limit) => tokens <= limit || batch.len() == 1,
                            BatchSize::Sequences(limit) => batch.len() <= limit,
                        };
                        prop_assert!(fits);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_longer_than_the_budget_is_alone() {
        let batches = plan(&[3, 50, 3, 4], BatchSize::Tokens(10), Order::Sequential);
        assert_eq!(batches, [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn the_same_seed_and_epoch_give_the_same_plan_and_others_another() {
        let lengths = lengths(1000);
        let size = BatchSize::Tokens(256);
        for order in
            [|seed, epoch| Order::Random { seed, epoch }, |seed, epoch| Order::LengthGrouped { seed, epoch }]
        {
            let first = plan(&lengths, size, order(1, 0));
            assert_eq!(plan(&lengths, size, order(1, 0)), first);
            assert_ne!(plan(&lengths, size, order(1, 1)), first);
            assert_ne!(plan(&lengths, size, order(2, 0)), first);
        }
    }

    #[test]
    fn a_plan_can_be_resumed_by_index() {
        let plan =
            BatchPlan::new(&lengths(300), BatchSize::Sequences(8), Order::Random { seed: 4, epoch: 2 })
                .unwrap();
        let all: Vec<&[u32]> = plan.iter_from(0).collect();
        assert_eq!(plan.iter_from(17).collect::<Vec<_>>(), all[17..]);
        assert_eq!(plan.iter_from(1000).len(), 0);
        assert!(plan.batch(plan.len()).is_empty() && plan.batch(usize::MAX).is_empty());
    }

    #[test]
    fn sorting_puts_the_longest_first() {
        let lengths = lengths(500);
        let rows = plan(&lengths, BatchSize::Sequences(16), Order::LengthSorted).concat();
        assert!(rows.is_sorted_by_key(|&row| (std::cmp::Reverse(lengths[row as usize]), row)));
    }

    #[test]
    fn grouping_gives_batches_of_like_length_with_the_longest_first() {
        let lengths = lengths(20_000);
        let spread = |order| {
            let batches = plan(&lengths, BatchSize::Sequences(32), order);
            let of = |row: &u32| lengths[*row as usize];
            let spreads: u32 = batches
                .iter()
                .map(|batch| batch.iter().map(of).max().unwrap() - batch.iter().map(of).min().unwrap())
                .sum();
            (f64::from(spreads) / batches.len() as f64, batches[0].iter().map(of).max().unwrap())
        };
        let (grouped, first) = spread(Order::LengthGrouped { seed: 1, epoch: 0 });
        let (random, _) = spread(Order::Random { seed: 1, epoch: 0 });
        assert!(grouped < 3.0 && random > 50.0, "{grouped} {random}");
        assert_eq!(first, *lengths.iter().max().unwrap());
    }

    #[test]
    fn an_empty_corpus_has_no_batches_and_a_zero_size_is_refused() {
        for order in orders(1, 1) {
            assert!(BatchPlan::new(&[], BatchSize::Tokens(10), order).unwrap().is_empty());
            assert!(BatchPlan::new(&[1], BatchSize::Tokens(0), order).is_err());
            assert!(BatchPlan::new(&[1], BatchSize::Sequences(0), order).is_err());
        }
    }
}
