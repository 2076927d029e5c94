//! Token sequences, wherever they lie, and how they are cut into micro-batches.

use std::sync::Arc;
use steep_encoder::PackedBatch;

/// Read access to token sequences by row.
pub trait Sequences: Sync {
    /// Number of sequences.
    fn len(&self) -> usize;

    /// Number of tokens of one sequence.
    fn length(&self, row: usize) -> usize;

    /// Appends the tokens of one sequence.
    fn append(&self, row: usize, tokens: &mut Vec<u32>);

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequences of these rows, packed.
    fn pack(&self, rows: &[u32]) -> PackedBatch {
        let (mut input_ids, mut offsets) = (Vec::new(), vec![0]);
        for &row in rows {
            self.append(row as usize, &mut input_ids);
            offsets.push(input_ids.len() as u32);
        }
        PackedBatch { input_ids: Arc::from(input_ids), offsets: Arc::from(offsets), token_type_ids: None }
    }
}

impl Sequences for crate::text::TokenCorpus {
    fn len(&self) -> usize {
        self.len()
    }

    fn length(&self, row: usize) -> usize {
        self.length(row) as usize
    }

    fn append(&self, row: usize, tokens: &mut Vec<u32>) {
        self.append_to(row, tokens);
    }
}

impl Sequences for crate::text::Encodings {
    fn len(&self) -> usize {
        self.len()
    }

    fn length(&self, row: usize) -> usize {
        self.sequence(row).len()
    }

    fn append(&self, row: usize, tokens: &mut Vec<u32>) {
        tokens.extend_from_slice(self.sequence(row));
    }
}

/// Cuts rows, in order, into groups of at most `max_tokens` tokens; a longer row stands alone.
pub fn micro_batches(rows: &[u32], max_tokens: usize, length: impl Fn(u32) -> usize) -> Vec<&[u32]> {
    let (mut batches, mut start, mut tokens) = (Vec::new(), 0, 0);
    for (index, &row) in rows.iter().enumerate() {
        let more = length(row);
        if index > start && tokens + more > max_tokens {
            batches.push(&rows[start..index]);
            (start, tokens) = (index, 0);
        }
        tokens += more;
    }
    if start < rows.len() {
        batches.push(&rows[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::micro_batches;

    #[test]
    fn micro_batches_keep_order_and_budget() {
        let lengths = [3, 4, 10, 1, 1, 1, 9];
        let rows: Vec<u32> = (0..7).collect();
        let batches = micro_batches(&rows, 8, |row| lengths[row as usize]);
        assert_eq!(batches, [&[0u32, 1][..], &[2], &[3, 4, 5], &[6]]);
        assert!(micro_batches(&[], 8, |_| 1).is_empty());
    }
}
