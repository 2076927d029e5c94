//! Into which chunks is a batch cut?

use std::ops::Range;

/// Chunks of a batch, at the least; more than threads, so that uneven ones even out.
const CHUNKS: usize = 16;

/// Rows that the tiles of a product take together divide this.
const ROW_UNIT: usize = 12;

/// More rows do not make a product faster, but leave the second-level cache.
const LARGEST: usize = 240;

/// Fewer rows spend their time on streaming the weights.
const SMALLEST: usize = 48;

/// Rows of a chunk of a batch of `tokens`.
fn rows(tokens: usize) -> usize {
    tokens.div_ceil(CHUNKS).next_multiple_of(ROW_UNIT).clamp(SMALLEST, LARGEST)
}

/// The tokens in equal chunks.
pub(super) fn of_tokens(tokens: usize) -> Vec<Range<usize>> {
    let size = rows(tokens);
    (0..tokens).step_by(size).map(|start| start..(start + size).min(tokens)).collect()
}

/// Sequences whose tokens make up about a chunk; longer sequences are chunks of their own.
pub(super) fn of_sequences(offsets: &[u32]) -> Vec<Range<usize>> {
    let tokens = (offsets[offsets.len() - 1] - offsets[0]) as usize;
    let size = rows(tokens) as u32;
    let mut chunks = Vec::new();
    let mut first = 0;
    for sequence in 1..offsets.len() {
        let next = offsets.get(sequence + 1).copied().unwrap_or(u32::MAX);
        if next - offsets[first] > size {
            chunks.push(first..sequence);
            first = sequence;
        }
    }
    chunks
}

/// The tokens of chunks of sequences.
pub(super) fn tokens_of(sequences: &[Range<usize>], offsets: &[u32]) -> Vec<Range<usize>> {
    let start = offsets[0];
    let at = |sequence: usize| (offsets[sequence] - start) as usize;
    sequences.iter().map(|chunk| at(chunk.start)..at(chunk.end)).collect()
}

/// Deals the rows of a buffer out to chunks, one after the other; nothing but empty parts if the buffer is empty.
pub(super) struct Rows<'a, T> {
    rest: &'a mut [T],
    width: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `width` elements make a row.
    pub(super) fn new(buffer: &'a mut [T], width: usize) -> Self {
        let width = if buffer.is_empty() { 0 } else { width };
        Self { rest: buffer, width }
    }

    /// The next `count` rows.
    pub(super) fn take(&mut self, count: usize) -> &'a mut [T] {
        let (part, rest) = std::mem::take(&mut self.rest).split_at_mut(count * self.width);
        self.rest = rest;
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_cover_every_token_once(lengths in proptest::collection::vec(0u32..300, 1..60)) {
            let mut offsets = vec![0];
            for length in lengths {
                offsets.push(offsets[offsets.len() - 1] + length);
            }
            let tokens = offsets[offsets.len() - 1] as usize;
            let sequences = of_sequences(&offsets);
            prop_assert!(sequences.iter().all(|chunk| !chunk.is_empty()));
            let flat: Vec<usize> = sequences.iter().cloned().flatten().collect();
            prop_assert_eq!(flat, (0..offsets.len() - 1).collect::<Vec<_>>());
            for chunks in [of_tokens(tokens), tokens_of(&sequences, &offsets)] {
                let flat: Vec<usize> = chunks.into_iter().flatten().collect();
                prop_assert_eq!(flat, (0..tokens).collect::<Vec<_>>());
            }
        }
    }
}
