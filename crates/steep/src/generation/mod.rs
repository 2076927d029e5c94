//! How does a model write a text? Token by token, each chosen after the ones before it: always the likeliest
//! (`greedy`), or several beginnings followed at once (`beam`). Results are transformers' `generate`'s.

mod beam;
mod greedy;
mod scores;
mod settings;

pub use settings::{EarlyStopping, GenerationDefaults, GenerationSettings, SpecialIds};

use crate::error::Result;
use crate::progress::Context;
use steep_encoder::{Decoding, Model, NextToken, PackedBatch, Pass, Value};

/// Writes a text for each of the batch: its tokens, up to the one that ends it or to `max_new_tokens`, without the one
/// that begins every text and without the one that ends it.
///
/// # Errors
/// A stop on request.
///
/// # Panics
/// If the model was loaded without a head that writes texts; on a sequence without tokens.
pub fn generate(
    model: &Model,
    pass: &Pass,
    source: &PackedBatch,
    settings: &GenerationSettings,
    ctx: &Context,
) -> Result<Vec<Vec<u32>>> {
    let mut texts = if settings.num_beams == 1 {
        greedy::write(model, pass, source, settings, ctx)?
    } else {
        beam::write(model, pass, source, settings, ctx)?
    };
    for text in &mut texts {
        // The token that ends the text is the last one, if there is one.
        text.pop_if(|last| Some(*last) == settings.tokens.eos);
    }
    Ok(texts)
}

/// The token that begins every text of a batch.
fn first_tokens(texts: usize, settings: &GenerationSettings) -> Vec<NextToken> {
    let token = settings.tokens.decoder_start;
    (0..texts).map(|text| NextToken { parent: text, source: text, token }).collect()
}

/// Writes some tokens. What speaks for each token of the vocabulary to come after them, `[N, V]`, and V.
fn next_scores(model: &Model, pass: &Pass, decoding: &mut Decoding, next: &[NextToken]) -> (Vec<f32>, usize) {
    let scores = Value::Matrix(model.next_token_logits(pass, decoding, next)).to_vec();
    let vocab_size = scores.len() / next.len();
    (scores, vocab_size)
}

#[cfg(test)]
mod tests;
