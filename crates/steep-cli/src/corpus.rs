//! Unlabelled texts for adaptation: tokenised once, kept, and parted.

use crate::session::Session;
use std::path::Path;
use steep::config::AdaptSources;
use steep::data::{TextChunks, TextOptions, fingerprint, load_texts, stream_texts};
use steep::random::hash;
use steep::stages::ModelFolder;
use steep::text::{CorpusKey, EncodeOptions, Encodings, TokenCorpus};
use steep::training::Sequences;

/// The texts to adapt to and those to watch.
pub(crate) struct AdaptCorpus {
    train: TokenCorpus,
    validation: Option<TokenCorpus>,
    /// Names the content.
    pub(crate) key: String,
    pub(crate) train_rows: Vec<u32>,
    pub(crate) held_out_rows: Vec<u32>,
}

/// Names the random stream that chooses held-out rows.
const HELD_OUT: u64 = 0x6865_6c64;

/// Which column is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column<'a> {
    /// Its name; the default text column without one.
    pub(crate) name: Option<&'a str>,
    /// Rows in which this one has no text are left out too.
    pub(crate) beside: Option<&'a str>,
}

impl<'a> Column<'a> {
    /// The texts, and where texts are written after them, those.
    pub(crate) fn both(sources: &'a AdaptSources) -> (Self, Option<Self>) {
        let text = sources.text_column_name.as_deref();
        let target = sources.target_column_name.as_deref();
        (Self { name: text, beside: target }, target.map(|target| Self { name: Some(target), beside: text }))
    }
}

impl AdaptCorpus {
    /// Tokenises, or opens what an earlier run tokenised.
    pub(crate) fn prepare(
        sources: &AdaptSources,
        column: Column<'_>,
        model: &ModelFolder,
        options: &EncodeOptions,
        seed: u64,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let cache = session.cache(&sources.output_dir).join("tokens");
        let tokenise = |source: &str, limit: Option<u64>| {
            tokenised(source, column, limit, model, options, &cache, session)
        };
        let (train, mut key) = tokenise(&sources.train_file, sources.max_train_samples)?;
        let rows = train.len() as u32;
        let most = sources.max_eval_samples;
        let Some(file) = &sources.validation_file else {
            let (train_rows, held_out_rows) = part(rows, sources.validation_fraction, most, seed);
            return Ok(Self { train, validation: None, key, train_rows, held_out_rows });
        };
        let (validation, validation_key) = tokenise(file, None)?;
        key.push_str(&validation_key);
        let (_, chosen) = part(validation.len() as u32, 1.0, most, seed);
        let held_out_rows = chosen.into_iter().map(|row| row + rows).collect();
        Ok(Self { train, validation: Some(validation), key, train_rows: (0..rows).collect(), held_out_rows })
    }

    /// The corpus and the row in it that a row of all texts is.
    fn locate(&self, row: usize) -> (&TokenCorpus, usize) {
        match &self.validation {
            Some(validation) if row >= self.train.len() => (validation, row - self.train.len()),
            _ => (&self.train, row),
        }
    }
}

impl Sequences for AdaptCorpus {
    fn len(&self) -> usize {
        self.train.len() + self.validation.as_ref().map_or(0, TokenCorpus::len)
    }

    fn length(&self, row: usize) -> usize {
        let (corpus, row) = self.locate(row);
        corpus.length(row) as usize
    }

    fn append(&self, row: usize, tokens: &mut Vec<u32>) {
        let (corpus, row) = self.locate(row);
        corpus.append_to(row, tokens);
    }
}

/// Parts rows into those trained on and those held out; which, depends on the seed and each row's number alone.
fn part(rows: u32, fraction: f64, most: usize, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let wanted = ((f64::from(rows) * fraction).ceil() as usize).min(most);
    let mut order: Vec<u32> = (0..rows).collect();
    order.sort_by_key(|&row| (hash(seed, &[HELD_OUT, u64::from(row)]), row));
    let mut train = order.split_off(wanted.min(order.len()));
    train.sort_unstable();
    order.sort_unstable();
    (train, order)
}

fn tokenised(
    source: &str,
    column: Column<'_>,
    limit: Option<u64>,
    model: &ModelFolder,
    options: &EncodeOptions,
    cache: &Path,
    session: &Session,
) -> anyhow::Result<(TokenCorpus, String)> {
    let texts = Texts::open(source, column, limit)?;
    let name = texts.column().to_owned();
    let first = limit.map_or_else(String::new, |limit| format!(" first {limit}"));
    let beside = column.beside.map_or_else(String::new, |beside| format!(" beside {beside}"));
    let key = CorpusKey {
        data_fingerprint: &format!("{}{first} without blank texts{beside}", fingerprint(source)?),
        column: &name,
        tokenizer_digest: model.tokenizer.digest(),
        options,
    };
    let digest = key.digest();
    let folder = cache.join(&digest[..32]);
    let corpus = if let Some(corpus) = TokenCorpus::open(&folder)? {
        session.note(&format!("{source}: tokens of an earlier run are used"));
        corpus
    } else {
        TokenCorpus::build(texts, &model.tokenizer, options, &folder, &key, &session.context())?
    };
    let statistics = corpus.statistics();
    if statistics.truncated > 0 {
        let (cut, rows) = (statistics.truncated, statistics.rows);
        let length = options.max_seq_length;
        session
            .note(&format!("{source}: {cut} of {rows} texts are longer than {length} tokens and were cut"));
    }
    Ok((corpus, digest))
}

/// General text, on which forgetting is measured.
pub(crate) fn general_text(
    sources: &AdaptSources,
    model: &ModelFolder,
    options: &EncodeOptions,
) -> steep::Result<Encodings> {
    match &sources.general_file {
        None => steep::compare::general_text(model, options.max_seq_length),
        Some(file) => model.tokenizer.encode(&load_texts(file, &TextOptions::default())?, options),
    }
}

/// The texts of a column that are not blank, chunk by chunk.
struct Texts {
    texts: TextChunks,
    beside: Option<TextChunks>,
}

impl Texts {
    fn open(source: &str, column: Column<'_>, limit: Option<u64>) -> steep::Result<Self> {
        let stream = |name: Option<&str>| {
            let options = TextOptions { column: name.map(str::to_owned), limit, ..TextOptions::default() };
            stream_texts(source, &options)
        };
        Ok(Self {
            texts: stream(column.name)?,
            beside: column.beside.map(|name| stream(Some(name))).transpose()?,
        })
    }

    fn column(&self) -> &str {
        self.texts.column()
    }
}

impl Iterator for Texts {
    type Item = steep::Result<Vec<String>>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_text = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
        let chunk = self.texts.next()?;
        // The same source is read in the same chunks.
        let beside = self.beside.as_mut().and_then(Iterator::next);
        Some(chunk.and_then(|chunk| {
            let beside = beside.transpose()?;
            let others = beside.as_ref().map(|beside| beside.texts.iter().map(is_text));
            let mut others = others.into_iter().flatten();
            let mut is_whole = |text: Option<&str>| others.next() != Some(false) && is_text(text);
            let texts = chunk.texts.iter().filter(|text| is_whole(*text));
            Ok(texts.flatten().map(str::to_owned).collect())
        }))
    }
}

/// The first texts of a source, tokenised, and how many there are in all.
pub(crate) fn sample(
    source: &str,
    column: Column<'_>,
    limit: Option<u64>,
    model: &ModelFolder,
    options: &EncodeOptions,
    session: &Session,
) -> anyhow::Result<(Encodings, u64)> {
    const SAMPLE: usize = 1_000;
    let (mut first, mut rows) = (Vec::new(), 0);
    for texts in Texts::open(source, column, limit)? {
        session.cancel.check()?;
        let texts = texts?;
        rows += texts.len() as u64;
        let room = SAMPLE - first.len();
        first.extend(texts.into_iter().take(room));
    }
    Ok((model.tokenizer.encode(&first, options)?, rows))
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn held_out_rows_are_a_share_of_all_and_stay_when_rows_are_added() {
        let (train, held_out) = part(1000, 0.05, 2000, 42);
        assert_eq!((train.len(), held_out.len()), (950, 50));
        let mut all = [train, held_out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert_eq!(part(1000, 0.05, 20, 42).1.len(), 20);
        assert_ne!(part(1000, 0.05, 2000, 43).1, held_out);
        assert_eq!(part(0, 0.05, 20, 42), (vec![], vec![]));
    }
}
