//! Which new tokens save most?

use super::super::tokenizer::Tokenizer;
use super::extension::Extension;
use super::fragmentation::segment;
use super::words::WordCounts;
use crate::error::Result;
use crate::progress::Context;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// How many tokens are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChooseSettings {
    /// New tokens at most.
    pub num_new_tokens: usize,
    /// A new token occurs at least so often in the corpus.
    pub min_frequency: u64,
}

/// The budget is spent in so many rounds; after each, the words are cut anew with what was added by then.
const ROUNDS: usize = 4;

/// A new token joins so many tokens at most.
const LONGEST: usize = 8;

/// Tokens that follow each other in some word.
struct Run {
    /// How often, over all words.
    count: u64,
    /// The word and the place where it was seen first.
    word: usize,
    start: usize,
    length: usize,
}

impl Run {
    /// The tokens that the corpus loses; a word that was unknown counts as one.
    fn savings(&self) -> u64 {
        self.count * (self.length as u64 - 1).max(1)
    }
}

/// Extends a tokenizer by the runs of tokens, whole words or pieces of words, that occur most.
///
/// A run saves its length less one, each time it occurs. The runs that save most are taken, but within a round none that
/// overlaps one taken already, since each would count the other's savings too.
pub fn choose(
    tokenizer: &Tokenizer,
    counts: &WordCounts,
    settings: &ChooseSettings,
    ctx: &Context,
) -> Result<Extension> {
    let mut extension = Extension::of(tokenizer)?;
    let words: Vec<(&String, u64)> = counts.words.iter().map(|(word, &count)| (word, count)).collect();
    for round in 0..ROUNDS {
        ctx.cancel.check()?;
        let left = settings.num_new_tokens - extension.tokens().len();
        let budget = left.div_ceil(ROUNDS - round);
        let tokenizer = extension.tokenizer()?;
        let cut = segment(&tokenizer, &words)?;
        let mut runs = runs(&cut, &words, extension.unknown_id());
        runs.retain(|run| run.count >= settings.min_frequency.max(1));
        let ids = |run: &Run| &cut[run.word][run.start..run.start + run.length];
        runs.sort_by_key(|run| (Reverse(run.savings()), run.word, run.start, run.length));
        let (mut taken, mut added) = (HashSet::new(), 0);
        for run in &runs {
            let (ids, rest) = (ids(run), budget - added);
            if rest == 0 {
                break;
            }
            let spelling = match ids {
                [_] => words[run.word].0.clone(),
                _ => extension.spelling_of(&tokenizer, ids),
            };
            // With BPE, the steps to a long token are tokens as well.
            if ids.len() > rest + 1 || overlaps(&taken, ids) || !is_word(&spelling, &extension) {
                continue;
            }
            added += match ids {
                &[unknown] => extension.add_unknown_word(&spelling, unknown),
                _ => extension.join(&tokenizer, ids),
            };
            taken.extend(parts(ids));
        }
        if added == 0 {
            break;
        }
    }
    Ok(extension)
}

/// All runs of two known tokens and more inside words, and the words of which nothing is known, counted.
fn runs(cut: &[Vec<u32>], words: &[(&String, u64)], unknown: Option<u32>) -> Vec<Run> {
    let mut runs: HashMap<u64, Run> = HashMap::new();
    let mut unknown_words = Vec::new();
    for (word, (ids, &(_, count))) in cut.iter().zip(words).enumerate() {
        if let &[id] = ids.as_slice() {
            if Some(id) == unknown {
                unknown_words.push(Run { count, word, start: 0, length: 1 });
            }
            continue;
        }
        for start in 0..ids.len() {
            let known = ids[start..].iter().take(LONGEST).take_while(|&&id| Some(id) != unknown).count();
            for length in 2..=known {
                let key = xxh3_64(bytemuck::cast_slice(&ids[start..start + length]));
                runs.entry(key).or_insert(Run { count: 0, word, start, length }).count += count;
            }
        }
    }
    runs.into_values().chain(unknown_words).collect()
}

/// All pairs of neighbours of a run: runs that overlap in two tokens or more have one in common.
fn parts(ids: &[u32]) -> impl Iterator<Item = [u32; 2]> {
    ids.windows(2).map(|pair| [pair[0], pair[1]])
}

fn overlaps(taken: &HashSet<[u32; 2]>, ids: &[u32]) -> bool {
    parts(ids).any(|pair| taken.contains(&pair))
}

/// Whether a token is worth an embedding: not a number, not a row of marks, not the whole of a web address.
fn is_word(token: &str, extension: &Extension) -> bool {
    const LONGEST_TOKEN: usize = 32;
    let text = token.strip_prefix(extension.prefix()).unwrap_or(token);
    let text = text.trim_start_matches(['Ġ', '▁']);
    let length = text.chars().count();
    let has_digits_only =
        text.chars().all(|character| character.is_numeric() || character.is_ascii_punctuation());
    (2..=LONGEST_TOKEN).contains(&length) && !has_digits_only
}
