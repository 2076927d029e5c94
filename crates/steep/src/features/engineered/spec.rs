//! Which columns there are, and how they are learned, saved and computed.

use super::view::TextView;
use super::{emoji, emoticons, language, length, links, readability, scripts, style, tokens};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::storage::{read_json, write_json};
use crate::text::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// Texts of one unit of parallel work.
const TEXTS_PER_TASK: usize = 256;
const FORMAT_VERSION: u32 = 1;

/// A group of columns that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Characters, words, sentences, word length, type-token ratio.
    Length,
    /// Capitals, digits, punctuation, exclamation and question marks, elongated and all-caps words.
    Style,
    /// URLs, e-mail addresses, mentions, hashtags, and the most frequent hashtags.
    Links,
    /// Emoji, different ones, by group, and the most frequent ones.
    Emoji,
    /// Emoticons, glad and sad ones.
    Emoticons,
    /// LIX and RIX.
    Readability,
    /// The shares of scripts.
    Scripts,
    /// The most frequent languages, and the detector's confidence.
    Language,
    /// Tokens, unknown ones, tokens a word; needs a tokenizer.
    Tokens,
}

impl Family {
    /// All families with their names, in the order of their columns.
    pub const ALL: [(&'static str, Self); 9] = [
        ("length", Self::Length),
        ("style", Self::Style),
        ("links", Self::Links),
        ("emoji", Self::Emoji),
        ("emoticons", Self::Emoticons),
        ("readability", Self::Readability),
        ("scripts", Self::Scripts),
        ("language", Self::Language),
        ("tokens", Self::Tokens),
    ];
}

/// Which engineered columns are wanted, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineeredSettings {
    /// The families; `tokens` is left out where there is no tokenizer.
    pub families: Vec<Family>,
    /// So many of the most frequent hashtags, emoji and languages get an indicator each.
    pub top_k: usize,
}

impl Default for EngineeredSettings {
    fn default() -> Self {
        Self { families: Family::ALL.map(|(_, family)| family).to_vec(), top_k: 20 }
    }
}

/// The columns, and what was learned from training texts for them. One JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineeredSpec {
    format_version: u32,
    families: Vec<Family>,
    /// The most frequent hashtags of the training texts, in small letters.
    hashtags: Vec<String>,
    /// The most frequent emoji, skin tones left aside.
    emoji: Vec<String>,
    /// The most frequent languages, as ISO 639-3 codes.
    languages: Vec<String>,
}

/// Counts hashtags, emoji and languages of training texts, batch after batch.
pub struct EngineeredFitter {
    settings: EngineeredSettings,
    counts: Counts,
}

/// In how many texts each value occurs.
#[derive(Default)]
struct Counts {
    hashtags: HashMap<String, u64>,
    emoji: HashMap<String, u64>,
    languages: HashMap<String, u64>,
}

impl EngineeredFitter {
    /// Begins without any text. Without a tokenizer its family is left out.
    pub fn new(settings: &EngineeredSettings, has_tokenizer: bool) -> Self {
        let mut settings = settings.clone();
        settings.families.retain(|family| has_tokenizer || *family != Family::Tokens);
        settings.families.sort();
        settings.families.dedup();
        Self { settings, counts: Counts::default() }
    }

    /// Adds training texts.
    pub fn add<T: AsRef<str> + Sync>(&mut self, texts: &[T]) {
        let families = &self.settings.families;
        let counted = texts.par_chunks(TEXTS_PER_TASK).map(|texts| Counts::of(texts, families));
        for counts in counted.collect::<Vec<_>>() {
            self.counts.add(counts);
        }
    }

    /// The columns.
    pub fn finish(self) -> EngineeredSpec {
        let top_k = self.settings.top_k;
        EngineeredSpec {
            format_version: FORMAT_VERSION,
            families: self.settings.families,
            hashtags: most_frequent(self.counts.hashtags, top_k),
            emoji: most_frequent(self.counts.emoji, top_k),
            languages: most_frequent(self.counts.languages, top_k),
        }
    }
}

impl Counts {
    fn of<T: AsRef<str>>(texts: &[T], families: &[Family]) -> Self {
        let mut counts = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for text in texts {
            let text = text.as_ref();
            if families.contains(&Family::Links) {
                links::for_each_hashtag(text, |tag| seen.push(tag.to_lowercase()));
                count_once(&mut seen, &mut counts.hashtags);
            }
            if families.contains(&Family::Emoji) {
                emoji::for_each_emoji(text, |found| {
                    seen.push(emoji::without_skin_tone(found).as_str().to_owned());
                });
                count_once(&mut seen, &mut counts.emoji);
            }
            if families.contains(&Family::Language)
                && let Some((code, _)) = language::detect(text)
            {
                *counts.languages.entry(code.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    fn add(&mut self, other: Self) {
        let pairs = [
            (&mut self.hashtags, other.hashtags),
            (&mut self.emoji, other.emoji),
            (&mut self.languages, other.languages),
        ];
        for (total, counts) in pairs {
            // Sums do not depend on the order of the map.
            #[expect(clippy::iter_over_hash_type, reason = "sums do not depend on the order")]
            for (value, count) in counts {
                *total.entry(value).or_default() += count;
            }
        }
    }
}

fn count_once(seen: &mut Vec<String>, counts: &mut HashMap<String, u64>) {
    seen.sort_unstable();
    seen.dedup();
    for value in seen.drain(..) {
        *counts.entry(value).or_default() += 1;
    }
}

/// The most frequent values, ties in the order of their spelling.
fn most_frequent(counts: HashMap<String, u64>, top_k: usize) -> Vec<String> {
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    counts.into_iter().take(top_k).map(|(value, _)| value).collect()
}

impl EngineeredSpec {
    /// Learns from training texts at once; see [`EngineeredFitter`] for doing it batch by batch.
    pub fn fit<T: AsRef<str> + Sync>(
        settings: &EngineeredSettings,
        texts: &[T],
        tokenizer: Option<&Tokenizer>,
    ) -> Self {
        let mut fitter = EngineeredFitter::new(settings, tokenizer.is_some());
        fitter.add(texts);
        fitter.finish()
    }

    /// Reads a saved one.
    pub fn load(path: &Path) -> Result<Self> {
        let spec: Self = read_json(path)?;
        spec.check().map_err(|problem| {
            Error::data(
                path,
                problem,
                "make the file again with extract, or with this version of the program",
            )
        })?;
        Ok(spec)
    }

    /// Writes the JSON file.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }

    /// What is wrong with a spec that was read, if anything is.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if self.format_version != FORMAT_VERSION {
            return Err(format!("has version {}, not {FORMAT_VERSION}", self.format_version));
        }
        let mut names = self.names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() == count { Ok(()) } else { Err("names a column twice".to_owned()) }
    }

    /// Whether a tokenizer is needed.
    pub fn needs_tokenizer(&self) -> bool {
        self.families.contains(&Family::Tokens)
    }

    /// The names of the columns, all beginning with `text_`.
    pub fn names(&self) -> Vec<String> {
        self.families.iter().flat_map(|family| self.family_names(*family)).collect()
    }

    fn family_names(&self, family: Family) -> Vec<String> {
        let fixed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut names: Vec<String> = match family {
            Family::Length => fixed(&length::NAMES),
            Family::Style => fixed(&style::NAMES),
            Family::Links => fixed(&links::NAMES),
            Family::Emoji => emoji::names(),
            Family::Emoticons => fixed(&emoticons::NAMES),
            Family::Readability => fixed(&readability::NAMES),
            Family::Scripts => scripts::names(),
            Family::Language => fixed(&[language::CONFIDENCE]),
            Family::Tokens => fixed(&tokens::NAMES),
        };
        match family {
            Family::Links => names.extend(self.hashtags.iter().map(|tag| format!("text_has_hashtag_{tag}"))),
            Family::Emoji => names.extend(self.emoji.iter().map(|emoji| emoji::indicator_name(emoji))),
            Family::Language => {
                names.extend(self.languages.iter().map(|code| format!("text_language_{code}")));
            }
            _ => {}
        }
        names
    }

    /// The columns of texts: `[texts, names]`.
    ///
    /// # Errors
    /// No tokenizer where one is needed, or what it says of the texts.
    pub fn compute<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        tokenizer: Option<&Tokenizer>,
    ) -> Result<DenseMatrix> {
        if self.needs_tokenizer() && tokenizer.is_none() {
            let problem = "were made with a tokenizer, and there is none";
            return Err(Error::config("engineered_features", problem, "name the model they were made with"));
        }
        let width = self.names().len();
        let indicators = Indicators::of(self);
        let parts: Vec<Vec<f32>> = texts
            .par_chunks(TEXTS_PER_TASK)
            .map(|texts| self.compute_part(texts, tokenizer, &indicators, width))
            .collect::<Result<_>>()?;
        DenseMatrix::new(texts.len(), width, parts.concat())
    }

    fn compute_part<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        tokenizer: Option<&Tokenizer>,
        indicators: &Indicators<'_>,
        width: usize,
    ) -> Result<Vec<f32>> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let token_values = match tokenizer.filter(|_| self.needs_tokenizer()) {
            Some(tokenizer) => tokens::values(tokenizer, &texts)?,
            None => Vec::new(),
        };
        let mut values = Vec::with_capacity(texts.len() * width);
        for (at, text) in texts.iter().enumerate() {
            let view = TextView::new(text);
            for family in &self.families {
                match family {
                    Family::Length => values.extend(length::values(&view)),
                    Family::Style => values.extend(style::values(&view)),
                    Family::Links => {
                        values.extend(links::values(&view));
                        indicators.hashtags(text, &mut values);
                    }
                    Family::Emoji => {
                        values.extend(emoji::values(&view));
                        indicators.emoji(text, &mut values);
                    }
                    Family::Emoticons => values.extend(emoticons::values(&view)),
                    Family::Readability => values.extend(readability::values(&view)),
                    Family::Scripts => values.extend(scripts::values(&view)),
                    Family::Language => indicators.language(text, &mut values),
                    Family::Tokens => values.extend(token_values[at]),
                }
            }
        }
        Ok(values)
    }
}

/// The places of the learned values among their indicators.
struct Indicators<'a> {
    hashtags: HashMap<&'a str, usize>,
    emoji: HashMap<&'a str, usize>,
    languages: HashMap<&'a str, usize>,
}

impl<'a> Indicators<'a> {
    fn of(spec: &'a EngineeredSpec) -> Self {
        let places = |values: &'a [String]| {
            values.iter().enumerate().map(|(place, value)| (value.as_str(), place)).collect()
        };
        Self {
            hashtags: places(&spec.hashtags),
            emoji: places(&spec.emoji),
            languages: places(&spec.languages),
        }
    }

    fn hashtags(&self, text: &str, values: &mut Vec<f32>) {
        let first = room(values, self.hashtags.len());
        if !self.hashtags.is_empty() {
            links::for_each_hashtag(text, |tag| {
                mark(values, first, self.hashtags.get(tag.to_lowercase().as_str()));
            });
        }
    }

    fn emoji(&self, text: &str, values: &mut Vec<f32>) {
        let first = room(values, self.emoji.len());
        if !self.emoji.is_empty() {
            emoji::for_each_emoji(text, |found| {
                mark(values, first, self.emoji.get(emoji::without_skin_tone(found).as_str()));
            });
        }
    }

    fn language(&self, text: &str, values: &mut Vec<f32>) {
        let detected = language::detect(text);
        values.push(detected.map_or(0.0, |(_, confidence)| confidence));
        let first = room(values, self.languages.len());
        if let Some((code, _)) = detected {
            mark(values, first, self.languages.get(code));
        }
    }
}

/// Appends zeros and tells where they begin.
fn room(values: &mut Vec<f32>, width: usize) -> usize {
    let first = values.len();
    values.resize(first + width, 0.0);
    first
}

fn mark(values: &mut [f32], first: usize, place: Option<&usize>) {
    if let Some(place) = place {
        values[first + place] = 1.0;
    }
}
