//! From the rows of a source to the output, with reading, computing and writing side by side.

use super::format::OutputFormat;
use super::join::join;
use super::layout::Layout;
use super::part_files::{Content, Message, write_parts};
use super::parts::{Parts, RowCounts};
use super::pieces::{Piece, Pieces};
use super::rows::{RowBuffer, RowFeed};
use crate::ahead::{Ahead, Behind, ahead, behind};
use crate::data::ReadOptions;
use crate::error::{Error, Result};
use crate::progress::Context;
use arrow::array::ArrayRef;
use parquet::file::metadata::ParquetMetaDataReader;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Buffers that are read and tokenised while one is computed. One is enough where reading is the faster, as it is with any
/// encoder; more would only take memory.
const BUFFERS_AHEAD: usize = 1;

/// Pieces of computed rows that wait to be written.
const PIECES_BEHIND: usize = 2;

/// Takes computed columns of some of a buffer's rows, which must come in order.
pub(in crate::stages) type Emit<'a> = dyn FnMut(Range<usize>, &[ArrayRef]) -> Result<()> + 'a;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::stages) struct Written {
    pub(in crate::stages) counts: RowCounts,
    /// Share of this run's time in which nothing was computed because rows were not read or not written yet.
    pub(in crate::stages) waiting_share: f64,
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
/// Three threads work at once: one reads rows and calls `prepare`; the caller's calls `load` once, and then `compute`, which
/// hands the layout's columns out in order; one writes. The counts need no rows and no seconds. A few buffers are held at a
/// time.
///
/// # Errors
/// What reading and computing give; a stop on request, after which the finished shards stay.
pub(in crate::stages) fn write_sharded<P: Send, M>(
    job: &ShardedOutput<'_>,
    prepare: impl Fn(&RowBuffer) -> Result<P> + Send,
    load: impl FnOnce() -> Result<M>,
    mut compute: impl FnMut(&M, P, &mut Emit<'_>) -> Result<RowCounts>,
    ctx: &Context,
) -> Result<Written> {
    if job.shard_rows == 0 {
        return Err(Error::config(
            "shard_rows",
            "a shard of no rows is not possible",
            "give 16384, for example",
        ));
    }
    check_output(job)?;
    let started = Instant::now();
    let parts = Parts::open(job.output, job.format, job.key)?;
    let feed = RowFeed::open(job.source, &job.read)?;
    let pieces = Pieces::new(feed, &parts, job.shard_rows, prepare);
    let (computed, written) = ahead(BUFFERS_AHEAD, pieces, |pieces| {
        behind(
            PIECES_BEHIND,
            |messages| write_parts(job, &parts, messages),
            |writer| {
                let model = load()?;
                compute_all(pieces, |prepared, emit| compute(&model, prepared, emit), writer, ctx)
            },
        )
    })?;
    let waiting_share = computed.waited.as_secs_f64() / started.elapsed().as_secs_f64().max(1e-9);
    let mut counts = computed.earlier;
    counts.add(&written);
    let started = Instant::now();
    let paths: Vec<PathBuf> = (0..computed.parts).map(|part| parts.path(part)).collect();
    join(job.format, &paths, (counts.rows, job.width), job.output, ctx)?;
    counts.seconds += started.elapsed().as_secs_f64();
    parts.remove()?;
    Ok(Written { counts, waiting_share })
}

/// What the caller's thread did.
struct Computed {
    /// What earlier runs did.
    earlier: RowCounts,
    parts: usize,
    waited: Duration,
}

fn compute_all<P>(
    pieces: &mut Ahead<Piece<P>>,
    mut compute: impl FnMut(P, &mut Emit<'_>) -> Result<RowCounts>,
    writer: &mut Behind<Message>,
    ctx: &Context,
) -> Result<Computed> {
    let (mut earlier, mut part, mut counts) = (RowCounts::default(), 0, RowCounts::default());
    for piece in pieces.by_ref() {
        ctx.cancel.check()?;
        match piece? {
            Piece::Finished(finished) => {
                ctx.progress.advance(finished.rows);
                earlier.add(&finished);
                part += 1;
            }
            Piece::Rows { buffer, prepared, ends_part } => {
                counts.add(&compute_buffer(part, buffer, prepared, &mut compute, writer)?);
                if ends_part {
                    writer.send(Message { part, content: Content::End(std::mem::take(&mut counts)) })?;
                    part += 1;
                }
            }
        }
    }
    Ok(Computed { earlier, parts: part, waited: pieces.waited() + writer.waited() })
}

fn compute_buffer<P>(
    part: usize,
    buffer: RowBuffer,
    prepared: Option<P>,
    compute: &mut impl FnMut(P, &mut Emit<'_>) -> Result<RowCounts>,
    writer: &mut Behind<Message>,
) -> Result<RowCounts> {
    let (buffer, mut next) = (Arc::new(buffer), 0);
    let mut counts = match prepared {
        Some(prepared) => compute(prepared, &mut |rows, columns| {
            assert_eq!(rows.start, next, "rows are written in order");
            next = rows.end;
            let content = Content::Rows { buffer: buffer.clone(), rows, columns: columns.to_vec() };
            writer.send(Message { part, content })
        })?,
        None => RowCounts::default(),
    };
    counts.rows = buffer.rows as u64;
    Ok(counts)
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
