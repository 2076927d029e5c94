//! Several texts' tokens without padding.

use std::sync::Arc;

/// Token ids of several sequences, one after the other.
#[derive(Debug, Clone)]
pub struct PackedBatch {
    /// All tokens, length T.
    pub input_ids: Arc<[u32]>,
    /// Sequence `b` holds the tokens `offsets[b]..offsets[b + 1]`; length B + 1.
    pub offsets: Arc<[u32]>,
    /// Segment of each token, length T; all zero when absent.
    pub token_type_ids: Option<Arc<[u32]>>,
}

impl PackedBatch {
    /// Packs sequences; token types are all zero.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let (mut input_ids, mut offsets) = (Vec::new(), vec![0]);
        for sequence in sequences {
            input_ids.extend_from_slice(sequence);
            offsets.push(input_ids.len() as u32);
        }
        Self { input_ids: input_ids.into(), offsets: offsets.into(), token_type_ids: None }
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no sequences.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens.
    pub fn num_tokens(&self) -> usize {
        self.input_ids.len()
    }

    /// The first token's position of each sequence, length B.
    pub fn first_tokens(&self) -> Arc<[u32]> {
        self.offsets[..self.len()].into()
    }

    /// Length of the longest sequence.
    pub fn longest(&self) -> usize {
        self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
    }

    /// Every token but the last of each sequence, by its position in the batch, and the token after it.
    pub fn next_tokens(&self) -> (Arc<[u32]>, Arc<[u32]>) {
        let spans = self.offsets.windows(2).filter(|pair| pair[0] < pair[1]);
        let rows: Vec<u32> = spans.flat_map(|pair| pair[0]..pair[1] - 1).collect();
        let labels = rows.iter().map(|&row| self.input_ids[row as usize + 1]).collect();
        (rows.into(), labels)
    }

    /// What a decoder reads to predict these tokens: each sequence without its last token, after what `start` makes of
    /// the sequence.
    #[must_use]
    pub fn shifted_right(&self, start: impl Fn(&[u32]) -> u32) -> Self {
        let mut input_ids = Vec::with_capacity(self.num_tokens());
        for pair in self.offsets.windows(2).filter(|pair| pair[0] < pair[1]) {
            let sequence = &self.input_ids[pair[0] as usize..pair[1] as usize];
            input_ids.push(start(sequence));
            input_ids.extend_from_slice(&sequence[..sequence.len() - 1]);
        }
        Self { input_ids: input_ids.into(), offsets: self.offsets.clone(), token_type_ids: None }
    }

    /// Position of each token within its sequence, plus `first`.
    pub fn position_ids(&self, first: u32) -> Arc<[u32]> {
        let spans = self.offsets.windows(2);
        spans.flat_map(|pair| (0..pair[1] - pair[0]).map(move |position| position + first)).collect()
    }
}
