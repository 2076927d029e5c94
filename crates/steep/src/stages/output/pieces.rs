//! The rows of a source made ready for the encoder, before it is free for them.

use super::parts::{Parts, RowCounts};
use super::rows::{RowBuffer, RowFeed};
use crate::error::Result;

/// Rows in a buffer at most; fewer where they are long.
const BUFFER_ROWS: usize = 16_384;

/// What comes next on the way through a source.
pub(super) enum Piece<P> {
    /// A part that an earlier run finished.
    Finished(RowCounts),
    /// Rows of the part under way.
    Rows {
        buffer: RowBuffer,
        /// What was made of them; nothing of no rows.
        prepared: Option<P>,
        ends_part: bool,
    },
}

/// The pieces of an output, part after part.
pub(super) struct Pieces<'a, F> {
    feed: RowFeed,
    parts: &'a Parts,
    shard_rows: usize,
    prepare: F,
    /// The part under way, and how many of its rows were handed out.
    part: usize,
    rows: usize,
}

impl<'a, F> Pieces<'a, F> {
    pub(super) fn new(feed: RowFeed, parts: &'a Parts, shard_rows: usize, prepare: F) -> Self {
        Self { feed, parts, shard_rows, prepare, part: 0, rows: 0 }
    }

    fn piece<P>(&mut self) -> Result<Option<Piece<P>>>
    where
        F: Fn(&RowBuffer) -> Result<P>,
    {
        if self.rows == 0 {
            // An output without rows still has one part, for its columns.
            if self.part > 0 && self.feed.is_at_end()? {
                return Ok(None);
            }
            if let Some(counts) = self.parts.finished(self.part)? {
                self.feed.skip(counts.rows)?;
                self.part += 1;
                return Ok(Some(Piece::Finished(counts)));
            }
        }
        let buffer = self.feed.buffer((self.shard_rows - self.rows).min(BUFFER_ROWS))?;
        let prepared = if buffer.rows > 0 { Some((self.prepare)(&buffer)?) } else { None };
        self.rows += buffer.rows;
        let ends_part = self.rows >= self.shard_rows || self.feed.is_at_end()?;
        if ends_part {
            self.part += 1;
            self.rows = 0;
        }
        Ok(Some(Piece::Rows { buffer, prepared, ends_part }))
    }
}

impl<P, F: Fn(&RowBuffer) -> Result<P>> Iterator for Pieces<'_, F> {
    type Item = Result<Piece<P>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.piece().transpose()
    }
}
