//! The rows of a source, some thousand at a time.

use crate::data::{Chunk, Chunks, ReadOptions, open};
use crate::error::Result;
use arrow::array::{Array, RecordBatch};

/// A buffer is closed when its rows have this many bytes, so that long rows do not add up.
const BUFFER_BYTES: usize = 32 << 20;

/// Consecutive rows of a source.
#[derive(Debug, Default)]
pub(in crate::stages) struct RowBuffer {
    /// The rows, in order.
    pub(in crate::stages) chunks: Vec<Chunk>,
    /// How many there are.
    pub(in crate::stages) rows: usize,
}

/// Hands out the rows of a source in pieces whose bounds depend on the rows alone, so that a run that
/// skips some makes the same pieces of the others.
pub(super) struct RowFeed {
    chunks: Chunks,
    /// What is left of the chunk that was read last.
    rest: Option<Chunk>,
}

impl RowFeed {
    pub(super) fn open(source: &str, read: &ReadOptions) -> Result<Self> {
        Ok(Self { chunks: open(source, read)?, rest: None })
    }

    /// Whether all rows were handed out.
    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        if self.rest.is_none() {
            self.rest = self.chunks.next().transpose()?;
        }
        Ok(self.rest.is_none())
    }

    /// Passes over rows; the source has them.
    pub(super) fn skip(&mut self, rows: u64) -> Result<()> {
        let mut left = rows;
        while left > 0 {
            let Some(chunk) = self.take(usize::try_from(left).unwrap_or(usize::MAX))? else { break };
            left -= chunk.batch.num_rows() as u64;
        }
        Ok(())
    }

    /// The next rows, `limit` at most, fewer where rows are long; none at the end.
    pub(super) fn buffer(&mut self, limit: usize) -> Result<RowBuffer> {
        let (mut buffer, mut bytes) = (RowBuffer::default(), 0);
        while buffer.rows < limit && bytes < BUFFER_BYTES {
            let Some(chunk) = self.take(limit - buffer.rows)? else { break };
            bytes += slice_bytes(&chunk.batch);
            buffer.rows += chunk.batch.num_rows();
            buffer.chunks.push(chunk);
        }
        Ok(buffer)
    }

    /// At most `limit` rows of one chunk.
    fn take(&mut self, limit: usize) -> Result<Option<Chunk>> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let Some(mut chunk) = self.rest.take() else { return Ok(None) };
        let rows = chunk.batch.num_rows();
        if rows > limit {
            let batch = chunk.batch.slice(limit, rows - limit);
            let first_row = chunk.first_row + limit as u64;
            self.rest = Some(Chunk { file: chunk.file.clone(), first_row, batch });
            chunk.batch = chunk.batch.slice(0, limit);
        }
        Ok(Some(chunk))
    }
}

/// The bytes of these rows, not of the buffers they are a slice of.
fn slice_bytes(batch: &RecordBatch) -> usize {
    let of = |array: &dyn Array| {
        array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
    };
    batch.columns().iter().map(|column| of(column.as_ref())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(folder: &tempfile::TempDir, rows: usize, chunk_rows: usize) -> RowFeed {
        let path = folder.path().join(format!("{rows}.txt"));
        std::fs::write(&path, "text\n".repeat(rows)).unwrap();
        let read = ReadOptions { chunk_rows, ..ReadOptions::default() };
        RowFeed::open(path.to_str().unwrap(), &read).unwrap()
    }

    fn sizes(feed: &mut RowFeed, limit: usize) -> Vec<(usize, u64)> {
        let mut sizes = Vec::new();
        loop {
            let buffer = feed.buffer(limit).unwrap();
            if buffer.rows == 0 {
                return sizes;
            }
            assert_eq!(buffer.rows, buffer.chunks.iter().map(|chunk| chunk.batch.num_rows()).sum::<usize>());
            sizes.push((buffer.rows, buffer.chunks[0].first_row));
        }
    }

    #[test]
    fn buffers_cross_chunks_and_keep_row_numbers() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sizes(&mut feed(&folder, 10, 3), 4), [(4, 1), (4, 5), (2, 9)]);
        assert_eq!(sizes(&mut feed(&folder, 4, 100), 2), [(2, 1), (2, 3)]);
    }

    #[test]
    fn skipping_leaves_the_rest_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut feed = feed(&folder, 10, 3);
        feed.skip(4).unwrap();
        assert_eq!(sizes(&mut feed, 4), [(4, 5), (2, 9)]);
        assert!(feed.is_at_end().unwrap());
    }
}
