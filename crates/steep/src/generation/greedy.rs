//! Greedy search: always the likeliest token.

use super::{GenerationSettings, first_tokens, next_scores};
use crate::error::Result;
use crate::progress::Context;
use steep_encoder::{Model, NextToken, PackedBatch, Pass};

/// Texts with the token that ends them, where they have ended.
pub(super) fn write(
    model: &Model,
    pass: &Pass,
    source: &PackedBatch,
    settings: &GenerationSettings,
    ctx: &Context,
) -> Result<Vec<Vec<u32>>> {
    let mut texts: Vec<Vec<u32>> = vec![Vec::new(); source.len()];
    let mut decoding = model.begin_decoding(pass, source);
    let mut next = first_tokens(source.len(), settings);
    for _ in 0..settings.max_new_tokens {
        if next.is_empty() {
            break;
        }
        ctx.cancel.check()?;
        let (mut scores, vocab_size) = next_scores(model, pass, &mut decoding, &next);
        let under_way = std::mem::take(&mut next);
        for (place, (scores, now)) in scores.chunks_exact_mut(vocab_size).zip(under_way).enumerate() {
            let text = &mut texts[now.source];
            settings.rule(text, scores);
            let token = likeliest(scores);
            text.push(token);
            if Some(token) != settings.tokens.eos {
                next.push(NextToken { parent: place, source: now.source, token });
            }
        }
    }
    Ok(texts)
}

/// The first of the largest.
fn likeliest(scores: &[f32]) -> u32 {
    let best = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (0..scores.len()).fold(0, best) as u32
}
