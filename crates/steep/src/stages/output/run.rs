//! The loop over shards.

use super::format::OutputFormat;
use super::join::join;
use super::layout::Layout;
use super::parts::{Parts, RowCounts};
use super::rows::{RowBuffer, RowFeed};
use super::writer::{RowWriter, row_writer};
use crate::data::ReadOptions;
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::storage::atomic_file;
use arrow::array::ArrayRef;
use parquet::file::metadata::ParquetMetaDataReader;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rows computed at once at most; fewer where they are long.
const BUFFER_ROWS: usize = 16_384;

/// Takes computed columns of some of a buffer's rows, which must come in order.
pub(in crate::stages) type Emit<'a> = dyn FnMut(Range<usize>, &[ArrayRef]) -> Result<()> + 'a;

/// What is computed for rows.
pub(in crate::stages) trait RowWork {
    /// Computes the layout's columns of all rows of a buffer and hands them out in order. The counts need no
    /// rows and no seconds.
    fn compute(&self, rows: &RowBuffer, emit: &mut Emit<'_>) -> Result<RowCounts>;
}

/// What to write where.
pub(in crate::stages) struct ShardedOutput<'a> {
    /// Where the rows come from.
    pub(in crate::stages) source: &'a str,
    /// The columns that the work or the output needs, and the limit.
    pub(in crate::stages) read: ReadOptions,
    /// Hash of inputs and settings.
    pub(in crate::stages) key: &'a str,
    /// The file.
    pub(in crate::stages) output: &'a Path,
    /// Its format.
    pub(in crate::stages) format: OutputFormat,
    /// Rows of a shard.
    pub(in crate::stages) shard_rows: usize,
    /// Its columns.
    pub(in crate::stages) layout: &'a Layout,
    /// The width of its vectors; 0 where it has none.
    pub(in crate::stages) width: usize,
}

/// Writes the output; shards that an earlier run finished are not computed again.
///
/// # Errors
/// What reading and computing give; a stop on request, after which the finished shards stay.
pub(in crate::stages) fn write_sharded(
    job: &ShardedOutput<'_>,
    work: &dyn RowWork,
    ctx: &Context,
) -> Result<RowCounts> {
    if job.shard_rows == 0 {
        return Err(Error::config(
            "shard_rows",
            "a shard of no rows is not possible",
            "give 16384, for example",
        ));
    }
    check_output(job)?;
    let parts = Parts::open(job.output, job.format, job.key)?;
    let mut feed = RowFeed::open(job.source, &job.read)?;
    let (mut total, mut paths) = (RowCounts::default(), Vec::new());
    // An output without rows still has one part, for its columns.
    while paths.is_empty() || !feed.is_at_end()? {
        let index = paths.len();
        ctx.cancel.check()?;
        let counts = match parts.finished(index)? {
            Some(counts) => {
                feed.skip(counts.rows)?;
                ctx.progress.advance(counts.rows);
                counts
            }
            None => write_part(job, &parts, index, &mut feed, work)?,
        };
        total.add(&counts);
        paths.push(parts.path(index));
    }
    let started = Instant::now();
    join(job.format, &paths, (total.rows, job.width), job.output, ctx)?;
    total.seconds += started.elapsed().as_secs_f64();
    parts.remove()?;
    Ok(total)
}

/// The output must not take the place of what it is made from.
fn check_output(job: &ShardedOutput<'_>) -> Result<()> {
    let same = |left: std::io::Result<PathBuf>, right: std::io::Result<PathBuf>| matches!((left, right), (Ok(left), Ok(right)) if left == right);
    if same(Path::new(job.source).canonicalize(), job.output.canonicalize()) {
        let problem = format!("{} is the file that is read", job.output.display());
        return Err(Error::config("output", problem, "name another file"));
    }
    Ok(())
}

fn write_part(
    job: &ShardedOutput<'_>,
    parts: &Parts,
    index: usize,
    feed: &mut RowFeed,
    work: &dyn RowWork,
) -> Result<RowCounts> {
    let started = Instant::now();
    let path = parts.path(index);
    let mut counts = RowCounts::default();
    atomic_file(&path, |file| {
        let mut writer = row_writer(job.format, file, job.layout, index == 0, &path)?;
        while (counts.rows as usize) < job.shard_rows {
            let buffer = feed.buffer((job.shard_rows - counts.rows as usize).min(BUFFER_ROWS))?;
            if buffer.rows == 0 {
                break;
            }
            let mut sink =
                BufferSink { buffer: &buffer, layout: job.layout, writer: writer.as_mut(), next: 0 };
            counts.add(&work.compute(&buffer, &mut |range, columns| sink.write(range, columns))?);
            counts.rows += buffer.rows as u64;
        }
        writer.finish()
    })?;
    counts.seconds = started.elapsed().as_secs_f64();
    parts.record(index, counts)?;
    Ok(counts)
}

/// Puts computed columns beside the rows they belong to.
struct BufferSink<'a, 'w> {
    buffer: &'a RowBuffer,
    layout: &'a Layout,
    writer: &'a mut (dyn RowWriter + 'w),
    /// The first row that was not written yet.
    next: usize,
}

impl BufferSink<'_, '_> {
    /// Writes rows of the buffer; `columns` hold those rows only.
    fn write(&mut self, rows: Range<usize>, columns: &[ArrayRef]) -> Result<()> {
        assert_eq!(rows.start, self.next, "rows are written in order");
        self.next = rows.end;
        let mut start = 0;
        for chunk in &self.buffer.chunks {
            let end = start + chunk.batch.num_rows();
            let (from, to) = (rows.start.max(start), rows.end.min(end));
            if from < to {
                let input = chunk.batch.slice(from - start, to - from);
                let batch = self.layout.batch(&input, columns, from - rows.start..to - rows.start)?;
                self.writer.write(&batch)?;
            }
            start = end;
        }
        Ok(())
    }
}

/// How many rows a source has, where that is known without reading it.
pub(in crate::stages) fn known_rows(source: &str, limit: Option<u64>) -> Option<u64> {
    let path = Path::new(source);
    if !(path.is_file()
        && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")))
    {
        return None;
    }
    let file = File::open(path).ok()?;
    // A damaged file may make the parser panic; its fault is told when the rows are read.
    let metadata = catch_unwind(AssertUnwindSafe(|| ParquetMetaDataReader::new().parse_and_finish(&file)));
    let rows = u64::try_from(metadata.ok()?.ok()?.file_metadata().num_rows()).ok()?;
    Some(limit.map_or(rows, |limit| rows.min(limit)))
}
