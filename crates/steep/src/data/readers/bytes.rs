//! The bytes of a file, decompressed and without a byte order mark.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

const BUFFER: usize = 128 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// A stream of decompressed bytes.
pub(super) type Bytes = Box<dyn BufRead + Send>;

/// Opens a file. Compression is told by the first bytes, whatever the name says: valid UTF-8 cannot begin with
/// them, and downloads are often decompressed under way.
pub(super) fn open_bytes(path: &Path) -> Result<Bytes> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut file = BufReader::with_capacity(BUFFER, file);
    let start = first_bytes::<4>(&mut file).map_err(Error::io("read", path))?;
    let compressed = |reader| -> Bytes { Box::new(BufReader::with_capacity(BUFFER, reader)) };
    let mut bytes: Bytes = if start.starts_with(GZIP) {
        compressed(Box::new(flate2::bufread::MultiGzDecoder::new(Cursor::new(start).chain(file)))
            as Box<dyn Read + Send>)
    } else if start.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(Cursor::new(start).chain(file));
        compressed(Box::new(decoder.map_err(|error| read_fault(path, error))?))
    } else {
        Box::new(Cursor::new(start).chain(file))
    };
    let start = first_bytes::<3>(&mut bytes).map_err(|error| read_fault(path, error))?;
    if start == UTF8_MARK { Ok(bytes) } else { Ok(Box::new(Cursor::new(start).chain(bytes))) }
}

/// The first bytes of a stream, fewer where it is shorter.
fn first_bytes<const N: usize>(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(N);
    reader.by_ref().take(N as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// A read error as a fault of the data where the decompressor found it, of the system otherwise.
pub(super) fn read_fault(path: &Path, error: io::Error) -> Error {
    let damaged =
        matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput);
    if damaged || error.raw_os_error().is_none() {
        let problem = format!("the compressed data is damaged or ends early: {error}");
        return Error::data(path, problem, "compress or download the file again");
    }
    Error::io("read", path)(error)
}

/// A whole file in memory, if it is not larger than `most` bytes.
pub(super) fn read_whole(path: &Path, most: usize, hint: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = open_bytes(path)?;
    reader.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| read_fault(path, error))?;
    if bytes.len() > most {
        return Err(Error::data(path, format!("the file is larger than {} MiB", most >> 20), hint));
    }
    Ok(bytes)
}
