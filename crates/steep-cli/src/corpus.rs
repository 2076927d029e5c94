//! Unlabelled texts for adaptation: tokenised once, kept, and parted.

use crate::session::Session;
use std::path::Path;
use steep::config::AdaptSources;
use steep::data::{TextOptions, fingerprint, load_texts, stream_texts};
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

impl AdaptCorpus {
    /// Tokenises, or opens what an earlier run tokenised.
    pub(crate) fn prepare(
        sources: &AdaptSources,
        model: &ModelFolder,
        options: &EncodeOptions,
        seed: u64,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let cache = session.cache(&sources.output_dir).join("tokens");
        let tokenise = |source: &str, limit: Option<u64>| {
            let texts =
                TextOptions { column: sources.text_column_name.clone(), limit, ..TextOptions::default() };
            tokenised(source, &texts, model, options, &cache, session)
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
    texts: &TextOptions,
    model: &ModelFolder,
    options: &EncodeOptions,
    cache: &Path,
    session: &Session,
) -> anyhow::Result<(TokenCorpus, String)> {
    let chunks = stream_texts(source, texts)?;
    let column = chunks.column().to_owned();
    let limit = texts.limit.map_or_else(String::new, |limit| format!(" first {limit}"));
    let key = CorpusKey {
        data_fingerprint: &format!("{}{limit} without blank texts", fingerprint(source)?),
        column: &column,
        tokenizer_digest: model.tokenizer.digest(),
        options,
    };
    let digest = key.digest();
    let folder = cache.join(&digest[..32]);
    let corpus = if let Some(corpus) = TokenCorpus::open(&folder)? {
        session.note(&format!("{source}: tokens of an earlier run are used"));
        corpus
    } else {
        let rows = chunks.map(|chunk| {
            let chunk = chunk?;
            let texts = chunk.texts.iter().flatten().filter(|text| !text.trim().is_empty());
            Ok(texts.map(str::to_owned).collect())
        });
        TokenCorpus::build(rows, &model.tokenizer, options, &folder, &key, &session.context())?
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

/// The first texts of a source, tokenised, and how many there are in all.
pub(crate) fn sample(
    source: &str,
    texts: &TextOptions,
    model: &ModelFolder,
    options: &EncodeOptions,
    session: &Session,
) -> anyhow::Result<(Encodings, u64)> {
    const SAMPLE: usize = 1_000;
    let (mut first, mut rows) = (Vec::new(), 0);
    for chunk in stream_texts(source, texts)? {
        session.cancel.check()?;
        for text in chunk?.texts.iter().flatten().filter(|text| !text.trim().is_empty()) {
            rows += 1;
            if first.len() < SAMPLE {
                first.push(text.to_owned());
            }
        }
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
