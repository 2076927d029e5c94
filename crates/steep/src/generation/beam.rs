//! Beam search, as transformers has it: of each text several beginnings are followed, twice as many candidates are looked
//! at in a step, and those among the best half that end go to the finished ones, scored by their length.

use super::scores::log_softmax;
use super::{EarlyStopping, GenerationSettings, first_tokens, next_scores};
use crate::error::Result;
use crate::progress::Context;
use std::cmp::Ordering;
use steep_encoder::{Model, NextToken, PackedBatch, Pass};

/// A beginning with the sum of its log-probabilities, or a finished text with its score.
#[derive(Debug, Clone)]
struct Beam {
    tokens: Vec<u32>,
    score: f32,
}

/// What is followed for one text.
#[derive(Debug, Default)]
struct Search {
    /// Best first.
    running: Vec<Beam>,
    /// Best first; as many as beams at most.
    finished: Vec<Beam>,
}

/// One token more for one of the beams.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    score: f32,
    beam: usize,
    token: u32,
}

impl Candidate {
    /// Best first; of equal ones the first.
    fn order(&self, other: &Self) -> Ordering {
        let places = (self.beam, self.token).cmp(&(other.beam, other.token));
        other.score.total_cmp(&self.score).then(places)
    }
}

/// Texts with the token that ends them, where they have ended.
pub(super) fn write(
    model: &Model,
    pass: &Pass,
    source: &PackedBatch,
    settings: &GenerationSettings,
    ctx: &Context,
) -> Result<Vec<Vec<u32>>> {
    let begin = || Search { running: vec![Beam { tokens: Vec::new(), score: 0.0 }], finished: Vec::new() };
    let mut searches: Vec<Search> = (0..source.len()).map(|_| begin()).collect();
    let mut decoding = model.begin_decoding(pass, source);
    let mut next = first_tokens(source.len(), settings);
    for _ in 0..settings.max_new_tokens {
        if next.is_empty() {
            break;
        }
        ctx.cancel.check()?;
        let (mut scores, vocab_size) = next_scores(model, pass, &mut decoding, &next);
        let mut following = Vec::new();
        let mut first = 0;
        for group in next.chunk_by(|one, other| one.source == other.source) {
            let text = group[0].source;
            let rows = &mut scores[first * vocab_size..(first + group.len()) * vocab_size];
            let goes_on = searches[text].step(rows, settings);
            for (beam, token) in goes_on {
                following.push(NextToken { parent: first + beam, source: text, token });
            }
            first += group.len();
        }
        next = following;
    }
    Ok(searches.into_iter().map(Search::best).collect())
}

impl Search {
    /// Takes the logits after each beam `[beams, V]`. Gives for each beam that is followed the one that it continues and
    /// its new token; none where the search is over.
    fn step(&mut self, scores: &mut [f32], settings: &GenerationSettings) -> Vec<(usize, u32)> {
        let candidates = self.candidates(scores, settings);
        let length = self.running[0].tokens.len() + 1;
        let is_last = length == settings.max_new_tokens;
        let ends = |candidate: &Candidate| is_last || Some(candidate.token) == settings.tokens.eos;
        let with = |candidate: &Candidate, score: f32| {
            let mut tokens = self.running[candidate.beam].tokens.clone();
            tokens.push(candidate.token);
            Beam { tokens, score }
        };
        let penalty = |length: usize| (length as f64).powf(settings.length_penalty) as f32;
        let best_half = &candidates[..settings.num_beams.min(candidates.len())];
        let ended = best_half.iter().filter(|candidate| ends(candidate));
        let ended: Vec<Beam> =
            ended.map(|candidate| with(candidate, candidate.score / penalty(length))).collect();
        let going_on = candidates.iter().filter(|candidate| !ends(candidate));
        let going_on: Vec<Candidate> = going_on.take(settings.num_beams).copied().collect();
        let running = going_on.iter().map(|candidate| with(candidate, candidate.score)).collect();
        self.running = running;
        self.finished.extend(ended);
        self.finished.sort_by(|one, other| other.score.total_cmp(&one.score));
        self.finished.truncate(settings.num_beams);
        if self.is_over(length, &penalty, settings) {
            return Vec::new();
        }
        going_on.into_iter().map(|candidate| (candidate.beam, candidate.token)).collect()
    }

    /// The best continuations of all beams, twice as many as beams.
    fn candidates(&self, scores: &mut [f32], settings: &GenerationSettings) -> Vec<Candidate> {
        let (vocab_size, kept) = (scores.len() / self.running.len(), 2 * settings.num_beams);
        let mut best: Vec<Candidate> = Vec::new();
        for (beam, (scores, running)) in scores.chunks_exact_mut(vocab_size).zip(&self.running).enumerate() {
            log_softmax(scores);
            settings.rule(&running.tokens, scores);
            let of_beam = scores.iter().zip(0u32..);
            best.extend(of_beam.map(|(score, token)| Candidate {
                score: score + running.score,
                beam,
                token,
            }));
            if best.len() > kept {
                best.select_nth_unstable_by(kept - 1, Candidate::order);
                best.truncate(kept);
            }
        }
        best.sort_by(Candidate::order);
        best
    }

    /// Whether nothing under way can displace what is finished.
    fn is_over(&self, length: usize, penalty: &impl Fn(usize) -> f32, settings: &GenerationSettings) -> bool {
        let Some(best) = self.running.first() else { return true };
        let (true, Some(worst)) = (self.finished.len() == settings.num_beams, self.finished.last()) else {
            return false;
        };
        let reached = match settings.early_stopping {
            EarlyStopping::Always => return true,
            // A positive penalty favours long texts.
            EarlyStopping::Never if settings.length_penalty > 0.0 => settings.max_new_tokens,
            EarlyStopping::Never | EarlyStopping::Heuristic => length,
        };
        best.score / penalty(reached) <= worst.score
    }

    fn best(self) -> Vec<u32> {
        let best = self.finished.into_iter().chain(self.running).next();
        best.map(|beam| beam.tokens).unwrap_or_default()
    }
}
