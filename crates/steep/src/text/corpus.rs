//! The token ids of a whole corpus on the disk.
//!
//! Files of the artefact: `tokens.bin`, the ids of all rows one after the other, as little-endian `u16` if
//! all ids of the vocabulary fit, else `u32`; `offsets.bin`, `rows + 1` little-endian `u64`: row `i` has the
//! tokens `offsets[i]..offsets[i + 1]`.

use super::encode::{EncodeOptions, Encodings};
use super::mapped::map_readonly;
use super::tokenizer::Tokenizer;
use crate::ahead::ahead;
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::storage::{Artefact, ArtefactWriter, StoredFile};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufWriter, Write};
use std::path::Path;

const TOKENS: &str = "tokens.bin";
const OFFSETS: &str = "offsets.bin";
const KIND: &str = "token corpus";

/// Chunks that are read, and tokenised, before they are wanted.
const CHUNKS_AHEAD: usize = 1;

/// What decides the content of a tokenised corpus.
#[derive(Debug, Clone, Serialize)]
pub struct CorpusKey<'a> {
    /// What names the data's content, such as a digest of its files.
    pub data_fingerprint: &'a str,
    /// The column the texts come from.
    pub column: &'a str,
    /// [`Tokenizer::digest`].
    pub tokenizer_digest: &'a str,
    /// How the texts are encoded.
    pub options: &'a EncodeOptions,
}

impl CorpusKey<'_> {
    /// A name for the corpus: 64 hexadecimal digits, the same for the same key.
    pub fn digest(&self) -> String {
        // Every field is length-prefixed or JSON, so that no two keys give the same bytes.
        let mut hasher = blake3::Hasher::new();
        let options = serde_json::to_string(self.options).unwrap_or_default();
        for field in ["1", self.data_fingerprint, self.column, self.tokenizer_digest, &options] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// How many bytes an id takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Width {
    #[serde(rename = "u16")]
    Two,
    #[serde(rename = "u32")]
    Four,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// Counts of a tokenised corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusStatistics {
    /// The number of texts.
    pub rows: u64,
    /// The number of tokens, special tokens included.
    pub tokens: u64,
    /// The number of texts that were too long.
    pub truncated: u64,
    /// The number of tokens that were cut off, at least.
    pub dropped_tokens: u64,
    /// The number of tokens at the beginning of every row that belong to the prompt.
    pub prompt_tokens: u32,
    /// The number of tokens of the longest row.
    pub longest: u32,
}

/// The manifest's `about`.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    kind: String,
    width: Width,
    statistics: CorpusStatistics,
    key: Value,
}

/// A tokenised corpus, memory-mapped.
pub struct TokenCorpus {
    tokens: Mmap,
    offsets: Mmap,
    width: Width,
    statistics: CorpusStatistics,
    key: Value,
}

impl TokenCorpus {
    /// Tokenises `texts`, given in chunks, into the artefact `folder` and opens it. Reading, tokenising and
    /// writing go on side by side; memory is bounded by a few chunks. `key` is kept beside the corpus, to tell later what it was made of; see [`TokenCorpus::key`].
    pub fn build(
        texts: impl Iterator<Item = Result<Vec<String>>> + Send,
        tokenizer: &Tokenizer,
        options: &EncodeOptions,
        folder: &Path,
        key: &impl Serialize,
        context: &Context,
    ) -> Result<Self> {
        let mut builder = Builder::create(folder, tokenizer)?;
        context.progress.start("tokenising", None, "texts");
        ahead(CHUNKS_AHEAD, texts, |chunks| {
            let encoded = chunks.map(|chunk| tokenizer.encode(&chunk?, options));
            ahead(CHUNKS_AHEAD, encoded, |encoded| {
                for encodings in encoded {
                    context.cancel.check()?;
                    let encodings = encodings?;
                    builder.append(&encodings)?;
                    context.progress.advance(encodings.len() as u64);
                }
                Ok(())
            })
        })?;
        let artefact = builder.finish(key)?;
        context.progress.finish();
        Self::from_artefact(&artefact)
    }

    /// Opens the corpus in `folder`; `None` if there is none.
    ///
    /// # Errors
    /// When the files are damaged: sizes, digests and offsets are all checked here.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let Some(artefact) = Artefact::open(folder)? else { return Ok(None) };
        artefact.verify()?;
        Self::from_artefact(&artefact).map(Some)
    }

    fn from_artefact(artefact: &Artefact) -> Result<Self> {
        let about: About = artefact.about()?;
        let corpus = Self {
            tokens: map_readonly(&artefact.file(TOKENS)?)?,
            offsets: map_readonly(&artefact.file(OFFSETS)?)?,
            width: about.width,
            statistics: about.statistics,
            key: about.key,
        };
        if about.kind == KIND && corpus.is_consistent() {
            return Ok(corpus);
        }
        Err(Error::data(
            artefact.path(),
            "is not a tokenised corpus, or its counts do not fit its files",
            "delete the folder and run again to make it anew",
        ))
    }

    fn is_consistent(&self) -> bool {
        let rows = self.statistics.rows;
        let sizes_fit = rows.checked_add(1).and_then(|count| count.checked_mul(8))
            == Some(self.offsets.len() as u64)
            && self.statistics.tokens.checked_mul(self.width.bytes() as u64)
                == Some(self.tokens.len() as u64);
        let mut ends = self.offsets.chunks_exact(8).map(read_u64);
        sizes_fit
            && ends.next() == Some(0)
            && ends
                .try_fold(0, |start, end| (end >= start && u32::try_from(end - start).is_ok()).then_some(end))
                == Some(self.statistics.tokens)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.statistics.rows as usize
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of tokens of all rows, special tokens included.
    pub fn total_tokens(&self) -> u64 {
        self.statistics.tokens
    }

    /// The corpus's counts.
    pub fn statistics(&self) -> CorpusStatistics {
        self.statistics
    }

    /// The key given to [`TokenCorpus::build`].
    pub fn key(&self) -> &Value {
        &self.key
    }

    /// The number of tokens of a row; 0 for a row that does not exist.
    pub fn length(&self, row: usize) -> u32 {
        self.bounds(row).map_or(0, |(start, end)| (end - start) as u32)
    }

    /// The number of tokens of every row. `[rows]`
    pub fn lengths(&self) -> Vec<u32> {
        (0..self.len()).map(|row| self.length(row)).collect()
    }

    /// The ids of a row; none for a row that does not exist.
    pub fn tokens(&self, row: usize) -> impl ExactSizeIterator<Item = u32> + '_ {
        let width = self.width.bytes();
        let bytes = self.bounds(row).and_then(|(start, end)| {
            let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
            self.tokens.get(start.checked_mul(width)?..end.checked_mul(width)?)
        });
        bytes.unwrap_or_default().chunks_exact(width).map(read_id)
    }

    /// Appends the ids of a row to a buffer.
    pub fn append_to(&self, row: usize, buffer: &mut Vec<u32>) {
        buffer.extend(self.tokens(row));
    }

    /// Where a row begins and ends, in tokens.
    fn bounds(&self, row: usize) -> Option<(u64, u64)> {
        let at = row.checked_mul(8)?;
        let bytes = self.offsets.get(at..at.checked_add(16)?)?;
        let (start, end) = (read_u64(&bytes[..8]), read_u64(&bytes[8..]));
        (start <= end).then_some((start, end))
    }
}

fn read_u64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("chunks have eight bytes"))
}

fn read_id(bytes: &[u8]) -> u32 {
    match *bytes {
        [low, high] => u32::from(u16::from_le_bytes([low, high])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => unreachable!("ids have two or four bytes"),
    }
}

/// A corpus being written.
struct Builder {
    writer: ArtefactWriter,
    tokens: BufWriter<StoredFile>,
    offsets: BufWriter<StoredFile>,
    width: Width,
    statistics: CorpusStatistics,
}

impl Builder {
    fn create(folder: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let writer = ArtefactWriter::create(folder)?;
        let mut builder = Self {
            tokens: writer.create_file(TOKENS)?,
            offsets: writer.create_file(OFFSETS)?,
            width: if u16::try_from(tokenizer.largest_id()).is_ok() { Width::Two } else { Width::Four },
            statistics: CorpusStatistics::default(),
            writer,
        };
        put(&mut builder.offsets, &0u64.to_le_bytes())?;
        Ok(builder)
    }

    fn append(&mut self, encodings: &Encodings) -> Result<()> {
        let ids = &encodings.input_ids;
        let bytes: Vec<u8> = match self.width {
            Width::Two => ids.iter().flat_map(|&id| (id as u16).to_le_bytes()).collect(),
            Width::Four => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
        };
        put(&mut self.tokens, &bytes)?;
        for bounds in encodings.offsets.windows(2) {
            let end = self.statistics.tokens + u64::from(bounds[1]);
            put(&mut self.offsets, &end.to_le_bytes())?;
            self.statistics.longest = self.statistics.longest.max(bounds[1] - bounds[0]);
        }
        self.statistics.rows += encodings.len() as u64;
        self.statistics.tokens += encodings.input_ids.len() as u64;
        self.statistics.truncated += encodings.truncated;
        self.statistics.dropped_tokens += encodings.dropped_tokens;
        self.statistics.prompt_tokens = encodings.prompt_tokens;
        Ok(())
    }

    fn finish(mut self, key: &impl Serialize) -> Result<Artefact> {
        for file in [&mut self.tokens, &mut self.offsets] {
            file.flush().map_err(Error::io("write", file.get_ref().path()))?;
        }
        let key = serde_json::to_value(key)
            .map_err(|error| Error::io("write", self.writer.path())(std::io::Error::from(error)))?;
        self.writer.commit(&About { kind: KIND.into(), width: self.width, statistics: self.statistics, key })
    }
}

fn put(file: &mut BufWriter<StoredFile>, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|source| Error::io("write", file.get_ref().path())(source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancel, Silent};
    use crate::text::Truncation;
    use crate::text::tokenizer::tests::golden;
    use std::fs;

    fn options() -> EncodeOptions {
        EncodeOptions { max_seq_length: 8, prompt: None, truncation: Truncation::Head }
    }

    fn texts() -> Vec<String> {
        let mut texts: Vec<String> = (0..500).map(|row| "tea leaves ".repeat(row % 7)).collect();
        texts[0] = "Café 🍵".into();
        texts
    }

    fn build(folder: &Path, chunk: usize) -> TokenCorpus {
        let (tokenizer, texts) = (golden("byte_level"), texts());
        let chunks = texts.chunks(chunk).map(|chunk| Ok(chunk.to_vec()));
        let context = Context { progress: &Silent, cancel: &Cancel::default() };
        TokenCorpus::build(chunks, &tokenizer, &options(), folder, &"key", &context).unwrap()
    }

    #[test]
    fn rows_come_back_as_they_were_encoded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus");
        let encodings = golden("byte_level").encode(&texts(), &options()).unwrap();
        build(&path, 64);
        let corpus = TokenCorpus::open(&path).unwrap().unwrap();
        assert_eq!(corpus.len(), 500);
        assert_eq!(corpus.total_tokens(), encodings.input_ids.len() as u64);
        assert_eq!(corpus.statistics().truncated, encodings.truncated);
        assert_eq!(corpus.statistics().dropped_tokens, encodings.dropped_tokens);
        assert_eq!(corpus.statistics().longest, 8);
        assert_eq!(corpus.key(), "key");
        for row in 0..500 {
            assert_eq!(corpus.tokens(row).collect::<Vec<_>>(), encodings.sequence(row));
            assert_eq!(corpus.length(row) as usize, encodings.sequence(row).len());
        }
        assert_eq!((corpus.tokens(500).len(), corpus.length(usize::MAX)), (0, 0));
    }

    #[test]
    fn the_chunks_do_not_change_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        build(&folder.path().join("a"), 7);
        build(&folder.path().join("b"), 500);
        for name in [TOKENS, OFFSETS, crate::storage::MANIFEST] {
            let read = |corpus: &str| fs::read(folder.path().join(corpus).join(name)).unwrap();
            assert!(read("a") == read("b"), "{name}");
        }
    }

    #[test]
    fn an_empty_corpus_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        let context = Context { progress: &Silent, cancel: &Cancel::default() };
        TokenCorpus::build(std::iter::empty(), &golden("wordpiece"), &options(), &path, &(), &context)
            .unwrap();
        assert!(TokenCorpus::open(&path).unwrap().unwrap().is_empty());
        assert!(TokenCorpus::open(&folder.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn every_damage_is_found_on_opening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus");
        build(&path, 500);
        for name in [TOKENS, OFFSETS] {
            let file = path.join(name);
            let good = fs::read(&file).unwrap();
            let mut flipped = good.clone();
            flipped[good.len() / 2] ^= 1;
            for bad in [&flipped[..], &good[..good.len() - 1], &[]] {
                fs::write(&file, bad).unwrap();
                let error = TokenCorpus::open(&path).err().expect("refused");
                assert!(error.hint().is_some_and(|hint| hint.contains("delete")), "{error}");
            }
            fs::write(&file, &good).unwrap();
        }
        assert!(TokenCorpus::open(&path).is_ok());
    }

    /// A manifest made to fit: sizes and digests are right, the content is not.
    #[test]
    fn offsets_that_do_not_fit_are_refused() {
        let about = |rows, tokens| About {
            kind: KIND.into(),
            width: Width::Two,
            statistics: CorpusStatistics { rows, tokens, ..CorpusStatistics::default() },
            key: Value::Null,
        };
        let offsets =
            |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let cases = [
            (offsets(&[0, 9]), 4, about(1, 2)),
            (offsets(&[1, 2]), 4, about(1, 2)),
            (offsets(&[0, 2, 1, 2]), 4, about(3, 2)),
            (offsets(&[0, u64::MAX, 2]), 4, about(2, 2)),
            (offsets(&[0, 2]), 4, about(u64::MAX, 2)),
            (offsets(&[0, 2]), 4, about(1, u64::MAX)),
            (Vec::new(), 0, about(0, 0)),
        ];
        for (index, (offsets, bytes, about)) in cases.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("corpus");
            let writer = ArtefactWriter::create(&path).unwrap();
            fs::write(writer.path().join(OFFSETS), offsets).unwrap();
            fs::write(writer.path().join(TOKENS), vec![0; bytes]).unwrap();
            writer.commit(&about).unwrap();
            assert!(TokenCorpus::open(&path).is_err(), "case {index}");
        }
    }

    #[test]
    fn a_stop_or_a_fault_of_the_data_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus");
        let cancel = Cancel::default();
        let context = Context { progress: &Silent, cancel: &cancel };
        let chunks = || [Ok(texts()), Err(Error::data("file.csv", "is broken", ""))].into_iter();
        assert!(
            TokenCorpus::build(chunks(), &golden("wordpiece"), &options(), &path, &(), &context).is_err()
        );
        cancel.cancel();
        let stopped = TokenCorpus::build(chunks(), &golden("wordpiece"), &options(), &path, &(), &context);
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_key_depends_on_every_part() {
        let (short, long) = (options(), EncodeOptions { max_seq_length: 9, ..options() });
        let key = |data, column, tokenizer, options| {
            CorpusKey { data_fingerprint: data, column, tokenizer_digest: tokenizer, options }.digest()
        };
        let keys = std::collections::BTreeSet::from([
            key("a", "b", "c", &short),
            key("ab", "", "c", &short),
            key("a", "b", "d", &short),
            key("a", "b", "c", &long),
        ]);
        assert_eq!(keys.len(), 4);
        assert_eq!(key("a", "b", "c", &short), key("a", "b", "c", &options()));
    }
}
