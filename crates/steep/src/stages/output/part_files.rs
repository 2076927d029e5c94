//! Computed rows into part files, while the next rows are computed.

use super::parts::{Parts, RowCounts};
use super::rows::RowBuffer;
use super::run::ShardedOutput;
use super::writer::{RowWriter, row_writer};
use crate::error::{Error, Result};
use crate::storage::atomic_file;
use arrow::array::ArrayRef;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// What happens to a part.
pub(super) struct Message {
    /// Which part; one after the other.
    pub(super) part: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// Some of a buffer's rows, and the columns computed for them. They come in order.
    Rows { buffer: Arc<RowBuffer>, rows: Range<usize>, columns: Vec<ArrayRef> },
    /// There are no more rows in the part.
    End(RowCounts),
}

/// Writes parts as they come, and records each that is whole; the sum of what was done in them.
///
/// # Errors
/// What writing gives; [`Error::Cancelled`] where the messages end within a part, which is then not there.
pub(super) fn write_parts(
    job: &ShardedOutput<'_>,
    parts: &Parts,
    messages: &Receiver<Message>,
) -> Result<RowCounts> {
    let (mut total, mut since) = (RowCounts::default(), Instant::now());
    while let Ok(message) = messages.recv() {
        let part = message.part;
        let mut counts = write_part(job, parts, message, messages)?;
        counts.seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        parts.record(part, counts)?;
        total.add(&counts);
    }
    Ok(total)
}

fn write_part(
    job: &ShardedOutput<'_>,
    parts: &Parts,
    first: Message,
    messages: &Receiver<Message>,
) -> Result<RowCounts> {
    let path = parts.path(first.part);
    let mut counts = RowCounts::default();
    atomic_file(&path, |file| {
        let mut writer = row_writer(job.format, file, job.layout, first.part == 0, &path)?;
        let mut content = first.content;
        loop {
            match content {
                Content::Rows { buffer, rows, columns } => {
                    write_rows(job, writer.as_mut(), &buffer, rows, &columns)?;
                }
                Content::End(found) => {
                    counts = found;
                    return writer.finish();
                }
            }
            content = messages.recv().map_err(|_| Error::Cancelled)?.content;
        }
    })?;
    Ok(counts)
}

/// Puts computed columns beside the rows they belong to.
fn write_rows(
    job: &ShardedOutput<'_>,
    writer: &mut dyn RowWriter,
    buffer: &RowBuffer,
    rows: Range<usize>,
    columns: &[ArrayRef],
) -> Result<()> {
    let mut start = 0;
    for chunk in &buffer.chunks {
        let end = start + chunk.batch.num_rows();
        let (from, to) = (rows.start.max(start), rows.end.min(end));
        if from < to {
            let input = chunk.batch.slice(from - start, to - from);
            let batch = job.layout.batch(&input, columns, from - rows.start..to - rows.start)?;
            writer.write(&batch)?;
        }
        start = end;
    }
    Ok(())
}
