//! How does a model write a text? Token by token, each chosen after the ones before it: always the likeliest
//! (`greedy`), or several beginnings followed at once (`beam`). Results are transformers' `generate`'s.

mod beam;
mod greedy;
mod scores;
mod settings;

pub use settings::{EarlyStopping, GenerationDefaults, GenerationSettings, SpecialIds};

use crate::error::Result;
use crate::progress::Context;
use steep_encoder::{Model, PackedBatch, Pass};

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

#[cfg(test)]
mod tests;
