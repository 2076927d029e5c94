//! Which tokens does a token listen to, and what is one task?

use crate::dropout::{Dropout, Mask};
use std::ops::Range;

/// Multiply-adds per task group below which another task does not pay (some 20 µs).
const GROUP_WORK: usize = 1 << 20;

/// Every task costs as if it had this many more queries and keys.
const TASK_OVERHEAD: usize = 16;

/// Which keys of its sequence a query listens to; queries and keys are both counted within their sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All of them.
    Bidirectional,
    /// Key `j` is seen by query `i` if `j ≤ i`.
    Causal,
    /// Key `j` is seen by query `i` if `|i - j| ≤ reach`.
    SlidingWindow {
        /// The largest distance.
        reach: usize,
    },
}

impl Visibility {
    /// Whether a query sees a key.
    pub fn sees(self, query: usize, key: usize) -> bool {
        match self {
            Self::Bidirectional => true,
            Self::Causal => key <= query,
            Self::SlidingWindow { reach } => query.abs_diff(key) <= reach,
        }
    }

    /// The keys, out of `keys`, that at least one of the queries sees (and perhaps others between them).
    pub(super) fn keys(self, queries: &Range<usize>, keys: usize) -> Range<usize> {
        match self {
            Self::Bidirectional => 0..keys,
            Self::Causal => 0..queries.end.min(keys),
            Self::SlidingWindow { reach } => {
                let end = (queries.end + reach).min(keys);
                queries.start.saturating_sub(reach).min(end)..end
            }
        }
    }
}

/// The sizes of a packed attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape<'a> {
    /// Where each sequence of queries starts, and the end: length `B + 1`, from 0 to `T`, never decreasing.
    pub offsets: &'a [u32],
    /// The same for the keys and values in cross-attention, where the queries of a sequence listen to another one;
    /// `None` if they listen to their own.
    pub key_offsets: Option<&'a [u32]>,
    /// Number of heads.
    pub num_heads: usize,
    /// Features of a head.
    pub head_dim: usize,
    /// Which keys a query listens to.
    pub visibility: Visibility,
}

/// A bias by relative position, as in T5 or MPNet, already looked up per distance.
#[derive(Clone, Copy, Debug)]
pub struct PositionBias<'a> {
    /// `[num_heads, 2 · max_distance + 1]`: the score of (query `i`, key `j`) gets column `j - i + max_distance`.
    pub values: &'a [f32],
    /// The largest distance, at least the longest sequence minus 1.
    pub max_distance: usize,
}

impl PositionBias<'_> {
    pub(super) fn columns(&self) -> usize {
        2 * self.max_distance + 1
    }
}

/// One head of one sequence. Tokens are counted from the first of the sequences worked on.
#[derive(Clone, Copy)]
pub(super) struct Task {
    /// First query, and how many.
    pub(super) query: usize,
    pub(super) queries: usize,
    /// First key, and how many.
    pub(super) key: usize,
    pub(super) keys: usize,
    pub(super) head: usize,
    /// First query, counted in the whole batch.
    batch_query: usize,
}

impl<'a> AttentionShape<'a> {
    pub(super) fn features(&self) -> usize {
        self.num_heads * self.head_dim
    }

    pub(super) fn sequences(&self) -> Range<usize> {
        0..self.offsets.len().saturating_sub(1)
    }

    fn keys(&self) -> &'a [u32] {
        self.key_offsets.unwrap_or(self.offsets)
    }

    /// Queries of some sequences.
    pub(super) fn query_tokens(&self, sequences: &Range<usize>) -> usize {
        (self.offsets[sequences.end] - self.offsets[sequences.start]) as usize
    }

    /// Keys of some sequences.
    pub(super) fn key_tokens(&self, sequences: &Range<usize>) -> usize {
        (self.keys()[sequences.end] - self.keys()[sequences.start]) as usize
    }

    /// The largest numbers of queries and of keys of a sequence among some.
    pub(super) fn longest(&self, sequences: &Range<usize>) -> [usize; 2] {
        [self.offsets, self.keys()].map(|offsets| {
            let offsets = &offsets[sequences.start..=sequences.end];
            offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
        })
    }

    pub(super) fn check(&self, sequences: &Range<usize>, position_bias: Option<PositionBias>) {
        assert!(self.num_heads > 0 && self.head_dim > 0, "attention needs heads with features");
        for offsets in [self.offsets, self.keys()] {
            assert_eq!(offsets.first(), Some(&0), "offsets must start with 0");
            assert!(offsets.is_sorted(), "offsets must not decrease");
            assert_eq!(offsets.len(), self.offsets.len(), "queries and keys must have as many sequences");
        }
        assert!(
            sequences.start <= sequences.end && sequences.end < self.offsets.len(),
            "the sequences must be among those of the offsets"
        );
        let tasks = self.query_tokens(&self.sequences()) * self.num_heads;
        assert!(u32::try_from(tasks).is_ok(), "attention works on fewer than 2^32 token heads at a time");
        let longest = self.longest(sequences).into_iter().max().unwrap_or(0);
        assert!(longest <= 1 << 16, "attention works on sequences of at most 65536 tokens");
        if let Some(bias) = position_bias {
            assert_eq!(
                bias.values.len(),
                self.num_heads * bias.columns(),
                "the position bias must be [num_heads, 2 * max_distance + 1]"
            );
            assert!(
                bias.max_distance + 1 >= longest,
                "max_distance is less than the longest sequence minus 1"
            );
        }
    }

    /// Task `index` of those of some sequences.
    pub(super) fn task(&self, sequences: &Range<usize>, index: usize) -> Task {
        let sequence = sequences.start + index / self.num_heads;
        let at = |offsets: &[u32], index: usize| (offsets[index] - offsets[sequences.start]) as usize;
        let (query, key) = (at(self.offsets, sequence), at(self.keys(), sequence));
        Task {
            query,
            queries: at(self.offsets, sequence + 1) - query,
            key,
            keys: at(self.keys(), sequence + 1) - key,
            head: index % self.num_heads,
            batch_query: self.offsets[sequence] as usize,
        }
    }

    /// Task numbers of some sequences, several small ones together.
    pub(super) fn groups(&self, sequences: &Range<usize>) -> Vec<Range<usize>> {
        let mut groups = Vec::new();
        let (mut first, mut work) = (0, 0);
        let tasks = sequences.len() * self.num_heads;
        for index in 0..tasks {
            let task = self.task(sequences, index);
            work += (task.queries + TASK_OVERHEAD) * (task.keys + TASK_OVERHEAD) * self.head_dim;
            if work >= GROUP_WORK {
                groups.push(first..index + 1);
                (first, work) = (index + 1, 0);
            }
        }
        if first < tasks {
            groups.push(first..tasks);
        }
        groups
    }

    pub(super) fn mask(&self, dropout: Dropout, task: Task) -> Option<Mask> {
        dropout.mask((task.batch_query * self.num_heads + task.head) as u32)
    }
}
