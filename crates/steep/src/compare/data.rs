//! The data of a comparison: read, parted, freed of duplicates, tokenised.

use super::settings::CompareSettings;
use super::table::{TableData, read_table};
use crate::data::{
    self, DuplicateOptions, Duplicates, Labelled, LabelledOptions, Labels, Part, Split, SplitMethod,
    SplitOptions, Task, TextOptions, find_duplicates, label_budget, load_labelled, stream_texts,
};
use crate::error::{Error, Result};
use crate::learners;
use crate::objectives::Targets;
use crate::progress::Context;
use crate::random::Stream;
use crate::report::InputDigest;
use crate::stages::{ModelFolder, stage_key};
use crate::text::{CorpusKey, Encodings, TokenCorpus};
use arrow::array::Array;
use std::collections::BTreeSet;

/// The labelled side.
pub(super) struct LabelledData {
    pub(super) rows: Labelled,
    pub(super) split: Split,
    pub(super) split_words: String,
    pub(super) targets: Targets,
    /// Names of classes, labels or the one output.
    pub(super) names: Vec<String>,
    pub(super) encodings: Encodings,
    /// Names texts, targets and tokens.
    pub(super) key: String,
    pub(super) digests: Vec<InputDigest>,
}

/// The unlabelled side.
pub(super) struct UnlabelledData {
    pub(super) corpus: TokenCorpus,
    pub(super) key: String,
    pub(super) train_rows: Vec<u32>,
    pub(super) held_out_rows: Vec<u32>,
    /// Unlabelled texts kept.
    pub(super) texts: u64,
}

/// Everything the routes need.
pub(super) struct Prepared {
    pub(super) labelled: LabelledData,
    pub(super) unlabelled: Option<UnlabelledData>,
    /// The person's columns of all labelled rows.
    pub(super) table: Option<TableData>,
    pub(super) duplicates: Duplicates,
    pub(super) max_seq_length: usize,
    pub(super) warnings: Vec<String>,
}

/// Texts held out of adaptation at most.
const MAX_HELD_OUT: usize = 2_000;

/// Reads everything; `fold` is the place of the fold that is tested on, where the rows are measured out of fold.
pub(super) fn prepare(
    settings: &CompareSettings,
    model: &ModelFolder,
    fold: usize,
    ctx: &Context,
) -> Result<Prepared> {
    let max_seq_length = model.max_seq_length(settings.max_seq_length)?;
    let rows = load_rows(settings)?;
    let (mut split, split_words) = part(settings, &rows, fold)?;
    let pool = unlabelled_chunks(settings)?;
    let duplicates = find_duplicates(&rows.texts, &split, pool, &DuplicateOptions::default(), ctx)?;
    let leaked: BTreeSet<u32> = duplicates.train_rows_in_test.iter().copied().collect();
    split.train.retain(|row| !leaked.contains(row));
    if split.train.is_empty() || split.test.is_empty() {
        return Err(Error::config(
            "labelled_file",
            format!("{} rows are left to train on and {} to test on", split.train.len(), split.test.len()),
            "give more labelled rows, or another split",
        ));
    }
    let mut warnings = Vec::new();
    let table = read_table(settings, &rows)?;
    let labelled = labelled_data(settings, model, rows, split, split_words, max_seq_length)?;
    let unlabelled = match &settings.unlabelled {
        Some(_) => Some(unlabelled_data(settings, model, &labelled, &duplicates, max_seq_length, ctx)?),
        None => None,
    };
    if settings.allow_test_text_in_unlabelled {
        warnings.push("Test texts were left among the unlabelled texts, as asked: scores of adapted routes may be too high.".into());
    }
    Ok(Prepared { labelled, unlabelled, table, duplicates, max_seq_length, warnings })
}

/// The same rows and texts in the tokens of another model.
pub(super) fn retokenised(
    settings: &CompareSettings,
    prepared: &Prepared,
    model: &ModelFolder,
    ctx: &Context,
) -> Result<Prepared> {
    let (from, max_seq_length) = (&prepared.labelled, prepared.max_seq_length);
    let (rows, split) = (from.rows.clone(), from.split.clone());
    let labelled = labelled_data(settings, model, rows, split, from.split_words.clone(), max_seq_length)?;
    let duplicates = prepared.duplicates.clone();
    let unlabelled = match &settings.unlabelled {
        Some(_) => Some(unlabelled_data(settings, model, &labelled, &duplicates, max_seq_length, ctx)?),
        None => None,
    };
    let (table, warnings) = (prepared.table.clone(), prepared.warnings.clone());
    Ok(Prepared { labelled, unlabelled, table, duplicates, max_seq_length, warnings })
}

pub(super) fn load_rows(settings: &CompareSettings) -> Result<Labelled> {
    let source = &settings.labelled;
    let options = LabelledOptions {
        text_columns: source.text_columns.clone(),
        text_column_delimiter: source.text_column_delimiter.clone(),
        label_column: source.label_column.clone(),
        task: source.task,
        group_column: source.group_column.clone(),
        split_column: source.split_column.clone(),
        time_column: source.time_column.clone(),
        limit: None,
    };
    load_labelled(&source.source, &options)
}

/// The split, with the training rows cut to the label budget, and how it was made.
pub(super) fn part(settings: &CompareSettings, rows: &Labelled, fold: usize) -> Result<(Split, String)> {
    let source = &settings.labelled;
    let (method, words) = match source {
        source if source.split_column.is_some() => (SplitMethod::Column, "as the split column says"),
        source if source.time_column.is_some() => (SplitMethod::Time, "by time"),
        source if source.group_column.is_some() => (SplitMethod::Grouped, "by group, stratified"),
        _ => (SplitMethod::Stratified, "at random, stratified"),
    };
    let seed = settings.seeds[0];
    let options = SplitOptions {
        method,
        validation_fraction: source.validation_fraction,
        test_fraction: source.test_fraction,
        seed,
    };
    let mut words = words.to_owned();
    let mut split = match settings.out_of_fold {
        None => data::split(rows, &options)?,
        Some(folds) => {
            words = format!("{folds} folds {words}, every route trained in each");
            data::out_of_fold(rows, &options, folds)?.swap_remove(fold)
        }
    };
    if let Some(budget) = source.label_budget {
        let before = split.train.len();
        split.train = label_budget(&rows.labels, &split.train, budget, seed)?;
        words = format!("{words}; {} of {before} training rows used", split.train.len());
    }
    Ok((split, words))
}

fn unlabelled_chunks(
    settings: &CompareSettings,
) -> Result<Box<dyn Iterator<Item = Result<data::TextChunk>> + Send>> {
    let Some(source) = &settings.unlabelled else { return Ok(Box::new(std::iter::empty())) };
    let options =
        TextOptions { column: source.text_column.clone(), limit: source.limit, ..TextOptions::default() };
    Ok(Box::new(stream_texts(&source.source, &options)?))
}

fn labelled_data(
    settings: &CompareSettings,
    model: &ModelFolder,
    rows: Labelled,
    split: Split,
    split_words: String,
    max_seq_length: usize,
) -> Result<LabelledData> {
    let (targets, names) = targets(&rows.labels);
    let options = model.encode_options(max_seq_length);
    let encodings = model.tokenizer.encode(&rows.texts, &options)?;
    let fingerprint = data::fingerprint(&settings.labelled.source)?;
    let columns = serde_json::to_string(&settings.labelled).expect("settings are plain data");
    let mut hasher = blake3::Hasher::new();
    for part in [&fingerprint, &columns, model.tokenizer.digest(), &max_seq_length.to_string()] {
        hasher.update(part.as_bytes()).update(b"\n");
    }
    let key = hasher.finalize().to_hex().to_string();
    let bytes = source_bytes(&settings.labelled.source);
    let digests = vec![InputDigest { name: settings.labelled.source.clone(), bytes, blake3: fingerprint }];
    Ok(LabelledData { rows, split, split_words, targets, names, encodings, key, digests })
}

/// Size of a source that is one file; 0 for folders and globs.
fn source_bytes(source: &str) -> u64 {
    std::fs::metadata(source).map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 })
}

/// Targets as the fine-tuning loss wants them, and the outputs' names.
pub(crate) fn targets(labels: &Labels) -> (Targets, Vec<String>) {
    match labels {
        Labels::Single { names, ids } => (Targets::Classes(ids.clone()), names.clone()),
        Labels::Multi { names, sets } => {
            let mut flags = vec![0.0; sets.len() * names.len()];
            for (row, set) in sets.iter().enumerate() {
                set.iter().for_each(|&label| flags[row * names.len() + label as usize] = 1.0);
            }
            (Targets::Flags(flags), names.clone())
        }
        Labels::Numbers(values) => (Targets::Numbers(values.clone()), vec!["value".to_owned()]),
    }
}

impl LabelledData {
    /// What is to be predicted.
    pub(super) fn task(&self) -> Task {
        self.rows.labels.task()
    }

    /// The labels of some rows as classifiers take them; `None` for numbers.
    pub(super) fn classes(&self, rows: &[u32]) -> Result<Option<learners::labels::Labels>> {
        let width = self.names.len();
        match &self.targets {
            Targets::Classes(classes) => {
                let picked = rows.iter().map(|&row| classes[row as usize]).collect();
                learners::labels::Labels::single_label(picked, width).map(Some)
            }
            Targets::Flags(flags) => {
                let picked = rows.iter().flat_map(|&row| &flags[row as usize * width..][..width]);
                let members = picked.map(|flag| *flag > 0.5).collect();
                learners::labels::Labels::multi_label(members, width).map(Some)
            }
            Targets::Numbers(_) => Ok(None),
        }
    }

    /// The numbers of some rows; empty for classes.
    pub(super) fn numbers(&self, rows: &[u32]) -> Vec<f64> {
        match &self.targets {
            Targets::Numbers(values) => rows.iter().map(|&row| f64::from(values[row as usize])).collect(),
            _ => Vec::new(),
        }
    }
}

/// The unlabelled texts that adaptation may see, then the training rows' own texts, as one corpus.
fn unlabelled_data(
    settings: &CompareSettings,
    model: &ModelFolder,
    labelled: &LabelledData,
    duplicates: &Duplicates,
    max_seq_length: usize,
    ctx: &Context,
) -> Result<UnlabelledData> {
    let source = settings.unlabelled.as_ref().expect("the caller checked");
    let mut left_out: BTreeSet<u64> = duplicates.pool_repeats.iter().copied().collect();
    if !settings.allow_test_text_in_unlabelled {
        left_out.extend(&duplicates.pool_rows_in_validation_or_test);
    }
    let fingerprint = data::fingerprint(&source.source)?;
    let options = model.encode_options(max_seq_length);
    // What is left out depends on the labelled rows and their parts, so they are part of the name.
    let split = &labelled.split;
    let name = stage_key(
        "corpus",
        &[&fingerprint, &labelled.key],
        &(
            (&split.train, &split.validation, &split.test),
            source.limit,
            settings.allow_test_text_in_unlabelled,
            settings.adapt_on_training_texts,
        ),
    );
    let key = CorpusKey {
        data_fingerprint: &name,
        column: source.text_column.as_deref().unwrap_or_default(),
        tokenizer_digest: model.tokenizer.digest(),
        options: &options,
    };
    let digest = key.digest();
    let folder = settings.output_dir.join("cache").join(&digest[..16]);
    let texts = duplicates.pool_rows - left_out.len() as u64;
    let corpus = match TokenCorpus::open(&folder)? {
        Some(corpus) => corpus,
        None => {
            let pool = kept_texts(settings, left_out)?;
            let chunks = pool.chain(training_texts(settings, labelled));
            let about = serde_json::to_value(&key).expect("a key is plain data");
            TokenCorpus::build(chunks, &model.tokenizer, &options, &folder, &about, ctx)?
        }
    };
    let (train_rows, held_out_rows) = hold_out(settings, texts as u32, corpus.len() as u32);
    Ok(UnlabelledData { corpus, key: digest, train_rows, held_out_rows, texts })
}

/// The texts that new tokens are chosen on: those that adaptation sees, but never texts of validation and test rows.
pub(super) fn vocabulary_texts(
    settings: &CompareSettings,
    prepared: &Prepared,
) -> Result<impl Iterator<Item = Result<Vec<String>>>> {
    let duplicates = &prepared.duplicates;
    let repeats = duplicates.pool_repeats.iter().chain(&duplicates.pool_rows_in_validation_or_test);
    let pool = kept_texts(settings, repeats.copied().collect())?;
    Ok(pool.chain(training_texts(settings, &prepared.labelled)))
}

fn kept_texts(
    settings: &CompareSettings,
    left_out: BTreeSet<u64>,
) -> Result<impl Iterator<Item = Result<Vec<String>>>> {
    let mut next = 0u64;
    Ok(unlabelled_chunks(settings)?.map(move |chunk| {
        let chunk = chunk?;
        let mut kept = Vec::with_capacity(chunk.texts.len());
        for at in 0..chunk.texts.len() {
            if !left_out.contains(&next) {
                let text = if chunk.texts.is_valid(at) { chunk.texts.value(at) } else { "" };
                kept.push(text.to_owned());
            }
            next += 1;
        }
        Ok(kept)
    }))
}

fn training_texts(
    settings: &CompareSettings,
    labelled: &LabelledData,
) -> std::vec::IntoIter<Result<Vec<String>>> {
    if !settings.adapt_on_training_texts {
        return Vec::new().into_iter();
    }
    let text = |row: &u32| labelled.rows.texts[*row as usize].clone();
    vec![Ok(labelled.split.train.iter().map(text).collect())].into_iter()
}

/// A few unlabelled rows to follow the loss on; training texts are never held out.
fn hold_out(settings: &CompareSettings, pool: u32, all: u32) -> (Vec<u32>, Vec<u32>) {
    let wanted = (f64::from(pool) * settings.held_out_fraction).round() as usize;
    let mut order = Stream::new(settings.seeds[0], &[HELD_OUT]).permutation(pool);
    let held_out_count = wanted.min(MAX_HELD_OUT);
    let mut held_out = order.split_off(order.len() - held_out_count);
    held_out.sort_unstable();
    let mut train: Vec<u32> = order.into_iter().chain(pool..all).collect();
    train.sort_unstable();
    (train, held_out)
}

/// Name of the random stream.
const HELD_OUT: u64 = 0x4845_4c44;

/// How each kind of duplicate is told in the report.
pub(super) fn duplicate_facts(duplicates: &Duplicates) -> Vec<crate::report::Duplicates> {
    use crate::report::{DuplicateKind, DuplicatePair};
    let name = |part: Part| match part {
        Part::Train => "train",
        Part::Validation => "validation",
        Part::Test => "test",
        Part::Pool => "unlabelled",
    };
    let mut facts = Vec::new();
    for count in &duplicates.counts {
        // Only these rows are taken out: unlabelled ones and training rows that repeat test rows.
        let removed = match (count.from, count.to) {
            (Part::Pool, Part::Train) => false,
            (Part::Pool, _) | (Part::Train, Part::Test) => true,
            _ => false,
        };
        if !removed {
            continue;
        }
        for (kind, of, rows) in [
            (DuplicateKind::Exact, data::DuplicateKind::Exact, count.exact_rows),
            (DuplicateKind::Near, data::DuplicateKind::Near, count.near_rows),
        ] {
            if rows == 0 {
                continue;
            }
            let examples = duplicates.examples.iter();
            let examples =
                examples.filter(|pair| pair.kind == of && pair.from == count.from && pair.to == count.to);
            let pairs = examples
                .take(3)
                .map(|pair| DuplicatePair { kept: pair.to_text.clone(), removed: pair.from_text.clone() });
            facts.push(crate::report::Duplicates {
                kind,
                kept_in: name(count.to).into(),
                removed_from: name(count.from).into(),
                removed: rows,
                examples: pairs.collect(),
            });
        }
    }
    facts
}
