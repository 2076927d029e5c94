//! Denoising (Lewis et al. 2020, section 2.2): a text is damaged, and an encoder-decoder writes it again.
//!
//! Sentences change places; tokens are deleted; spans of tokens, their lengths from Poisson's distribution, become one
//! mask token each, those of length 0 an additional one; a text is turned so that it begins elsewhere. Draws are a
//! function of (seed, epoch, row).

use super::held_out::{EVALUATION_EPOCH, HeldOut};
use super::spans::{draw_spans, poisson};
use super::written::{self, TextPairs};
use crate::error::Result;
use crate::progress::Context;
use crate::random::Stream;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use steep_encoder::{Model, PackedBatch, Pass};

/// How texts are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoiseSettings {
    /// Share of the sentences that change places among themselves.
    pub permute_sentence_ratio: f64,
    /// Share of the tokens that are deleted.
    pub deletion_ratio: f64,
    /// Share of the tokens whose spans become a mask token each.
    pub infilling_ratio: f64,
    /// Mean length of these spans.
    pub poisson_lambda: f64,
    /// Share of the texts that begin at another of their tokens.
    pub rotation_ratio: f64,
}

impl NoiseSettings {
    /// What BART was pretrained with: infilling, and all sentences shuffled.
    pub const BART: Self = Self {
        permute_sentence_ratio: 1.0,
        deletion_ratio: 0.0,
        infilling_ratio: 0.3,
        poisson_lambda: 3.0,
        rotation_ratio: 0.0,
    };
}

/// What the noise must know of the vocabulary.
#[derive(Debug, Clone)]
pub struct NoiseTokens {
    /// The mask token.
    pub mask_token_id: u32,
    /// Before the first ordinary token and after the last one they stay where they are.
    pub special_ids: BTreeSet<u32>,
    /// Tokens that end in a full stop.
    pub full_stops: BTreeSet<u32>,
}

/// Denoising over some rows.
pub struct Denoising<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// How texts are damaged.
    pub noise: NoiseSettings,
    /// The vocabulary.
    pub tokens: NoiseTokens,
    /// Seed of the damage.
    pub seed: u64,
    /// Measured before, during and after.
    pub held_out: Vec<HeldOut<'a>>,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

impl Denoising<'_> {
    fn damaged(&self, sequences: &dyn Sequences, rows: &[u32], epoch: u64) -> TextPairs {
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for &row in rows {
            let mut text = Vec::new();
            sequences.append(row as usize, &mut text);
            let mut stream = Stream::new(self.seed, &[epoch, u64::from(row)]);
            let source = self.noise.damage(&text, &self.tokens, &mut stream);
            if !source.is_empty() {
                sources.push(source);
                targets.push(text);
            }
        }
        let pack = |texts: &[Vec<u32>]| PackedBatch::new(texts.iter().map(Vec::as_slice));
        TextPairs { source: pack(&sources), target: pack(&targets) }
    }
}

impl NoiseSettings {
    /// The damaged text; its frame of special tokens is whole.
    fn damage(&self, text: &[u32], tokens: &NoiseTokens, stream: &mut Stream) -> Vec<u32> {
        let is_ordinary = |id: &u32| !tokens.special_ids.contains(id);
        let Some(start) = text.iter().position(is_ordinary) else { return text.to_vec() };
        let end = text.iter().rposition(is_ordinary).unwrap_or(start) + 1;
        let mut inner = self.permuted(&text[start..end], &tokens.full_stops, stream);
        inner.retain(|_| stream.next_f64() >= self.deletion_ratio);
        inner = self.infilled(&inner, tokens.mask_token_id, stream);
        if stream.next_f64() < self.rotation_ratio {
            let first = stream.below(inner.len() as u64) as usize;
            inner.rotate_left(first);
        }
        [&text[..start], &inner, &text[end..]].concat()
    }

    /// Sentences end after full stops; some, or all, of them in a random order.
    fn permuted(&self, text: &[u32], full_stops: &BTreeSet<u32>, stream: &mut Stream) -> Vec<u32> {
        let sentences: Vec<&[u32]> = text.split_inclusive(|id| full_stops.contains(id)).collect();
        let count = (sentences.len() as f64 * self.permute_sentence_ratio).ceil() as usize;
        let mut places = stream.permutation(sentences.len() as u32);
        places.truncate(count);
        let mut sources = places.clone();
        places.sort_unstable();
        stream.shuffle(&mut sources);
        let mut order: Vec<u32> = (0..sentences.len() as u32).collect();
        for (place, source) in places.into_iter().zip(sources) {
            order[place as usize] = source;
        }
        order.into_iter().flat_map(|sentence| sentences[sentence as usize]).copied().collect()
    }

    fn infilled(&self, text: &[u32], mask_token_id: u32, stream: &mut Stream) -> Vec<u32> {
        let length = |stream: &mut Stream| poisson(self.poisson_lambda, stream);
        let (mut filled, mut at) = (Vec::with_capacity(text.len()), 0);
        for span in draw_spans(text.len(), self.infilling_ratio, stream, length) {
            filled.extend_from_slice(&text[at..span.start]);
            filled.push(mask_token_id);
            at = span.start + span.length;
        }
        filled.extend_from_slice(&text[at..]);
        filled
    }
}

impl Objective for Denoising<'_> {
    type Prepared = TextPairs;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Half, since each text is read and written.
    fn micro_batch_tokens(&self, asked: usize) -> usize {
        (asked / 2).max(1)
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> TextPairs {
        self.damaged(self.sequences, rows, epoch)
    }

    /// Summed loss at the tokens that are written, and their number.
    fn loss(&self, model: &Model, pass: &Pass, pairs: TextPairs) -> Option<(Tensor<1>, f64)> {
        pairs.loss(model, pass, 0.0)
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let length = |sequences: &dyn Sequences, row: u32| 2 * sequences.length(row as usize);
        let pairs = |sequences: &dyn Sequences, rows: &[u32]| self.damaged(sequences, rows, EVALUATION_EPOCH);
        written::evaluate(model, &self.held_out, self.max_tokens, length, pairs, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: u32 = 4;
    const STOP: u32 = 9;
    const NONE: NoiseSettings = NoiseSettings {
        permute_sentence_ratio: 0.0,
        deletion_ratio: 0.0,
        infilling_ratio: 0.0,
        poisson_lambda: 3.0,
        rotation_ratio: 0.0,
    };

    fn tokens() -> NoiseTokens {
        NoiseTokens { mask_token_id: MASK, special_ids: (0..5).collect(), full_stops: [STOP].into() }
    }

    /// `<s>`, so many different ordinary tokens, `</s>`.
    fn text(length: u32) -> Vec<u32> {
        std::iter::once(0).chain(10..10 + length).chain([2]).collect()
    }

    fn damage(noise: &NoiseSettings, text: &[u32], draw: u64) -> Vec<u32> {
        noise.damage(text, &tokens(), &mut Stream::new(5, &[draw]))
    }

    #[test]
    fn thirty_per_cent_are_infilled_in_spans_of_three_on_average() {
        let noise = NoiseSettings { infilling_ratio: 0.3, ..NONE };
        let (mut masks, mut hidden, mut insertions) = (0, 0, 0);
        for draw in 0..2_000 {
            let source = damage(&noise, &text(200), draw);
            assert_eq!((source[0], source[source.len() - 1]), (0, 2), "the frame stays");
            let here = source.iter().filter(|id| **id == MASK).count();
            let left: Vec<u32> = source.iter().copied().filter(|id| *id >= 10).collect();
            assert!(left.is_sorted(), "what is left keeps its order");
            assert_eq!(left.len(), 140, "30 per cent are hidden");
            (masks, hidden) = (masks + here, hidden + 60);
            // Between two neighbours of the text nothing was hidden.
            insertions +=
                source.windows(3).filter(|w| w[1] == MASK && w[0] >= 10 && w[2] == w[0] + 1).count();
        }
        // The last span of a text is cut to fit, so that the mean lies somewhat below 3.
        let mean = hidden as f64 / masks as f64;
        assert!((2.7..3.0).contains(&mean), "{mean} tokens a span");
        // e^-3 of the spans are insertions, fewer of them alone between two tokens.
        let share = insertions as f64 / masks as f64;
        assert!((0.02..0.06).contains(&share), "{share}");
    }

    #[test]
    fn sentences_change_places_and_stay_whole() {
        let noise = NoiseSettings { permute_sentence_ratio: 1.0, ..NONE };
        let whole: Vec<u32> = [0, 11, 12, STOP, 21, 22, 23, STOP, 31, STOP, 41, 42, 2].to_vec();
        let mut firsts: BTreeMap<u32, u32> = BTreeMap::new();
        for draw in 0..4_000 {
            let source = damage(&noise, &whole, draw);
            let inner = &source[1..source.len() - 1];
            *firsts.entry(inner[0]).or_default() += 1;
            for sentence in [&[11, 12, STOP][..], &[21, 22, 23, STOP], &[31, STOP], &[41, 42]] {
                assert!(inner.windows(sentence.len()).any(|window| window == sentence), "{source:?}");
            }
            assert_eq!(source.len(), whole.len());
        }
        for first in [11, 21, 31, 41] {
            let share = f64::from(firsts[&first]) / 4_000.0;
            assert!((share - 0.25).abs() < 0.03, "{first}: {share}");
        }
        let half = NoiseSettings { permute_sentence_ratio: 0.5, ..NONE };
        let moved = |draw| damage(&half, &whole, draw) != whole;
        let share = (0..4_000).filter(|&draw| moved(draw)).count() as f64 / 4_000.0;
        assert!((share - 0.5).abs() < 0.03, "two of four sentences change places every other time: {share}");
    }

    #[test]
    fn tokens_are_deleted_and_texts_turned_at_their_rates() {
        let noise = NoiseSettings { deletion_ratio: 0.2, ..NONE };
        let kept: usize = (0..500).map(|draw| damage(&noise, &text(100), draw).len() - 2).sum();
        assert!((kept as f64 / 50_000.0 - 0.8).abs() < 0.01);
        let noise = NoiseSettings { rotation_ratio: 0.4, ..NONE };
        let mut turned = 0;
        for draw in 0..4_000 {
            let source = damage(&noise, &text(50), draw);
            let inner = &source[1..source.len() - 1];
            let first = inner.iter().position(|id| *id == 10).expect("nothing is lost");
            assert_eq!([&inner[first..], &inner[..first]].concat(), (10..60).collect::<Vec<u32>>());
            turned += u32::from(first > 0);
        }
        // One turn in fifty is a whole one.
        assert!((f64::from(turned) / 4_000.0 - 0.4 * 0.98).abs() < 0.02, "{turned}");
    }

    #[test]
    fn texts_without_ordinary_tokens_stay_and_empty_ones_stay_empty() {
        for text in [&[0, 2][..], &[]] {
            assert_eq!(damage(&NoiseSettings::BART, text, 1), text);
        }
        let all = NoiseSettings { deletion_ratio: 1.0, rotation_ratio: 1.0, ..NoiseSettings::BART };
        assert_eq!(damage(&all, &text(5), 1), [0, 2]);
    }
}
