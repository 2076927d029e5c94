//! What names a stage's result: a hash of its inputs and resolved settings.

use crate::error::Result;
use crate::storage::Artefact;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// What a stage's artefact says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageAbout {
    /// The stage's name.
    pub stage: String,
    /// Hash of inputs and settings, see [`stage_key`].
    pub key: String,
    /// The resolved settings.
    pub settings: Value,
    /// What the stage measured.
    pub report: Value,
}

/// The hash of a stage's name, its inputs' hashes and its resolved settings: 64 hexadecimal digits.
pub fn stage_key(stage: &str, inputs: &[&str], settings: &impl Serialize) -> String {
    let settings = serde_json::to_value(settings).expect("resolved settings are plain data");
    let mut hasher = blake3::Hasher::new();
    let text = settings.to_string();
    for part in [stage, env!("CARGO_PKG_VERSION"), &text].iter().chain(inputs) {
        // Lengths keep neighbouring parts apart.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The report of a finished stage at `folder`, if its key is this one and its files are whole.
pub(crate) fn finished<R: for<'de> Deserialize<'de>>(folder: &Path, key: &str) -> Result<Option<R>> {
    let Some(artefact) = Artefact::open(folder)? else { return Ok(None) };
    let Ok(about) = artefact.about::<StageAbout>() else { return Ok(None) };
    if about.key != key {
        return Ok(None);
    }
    artefact.verify()?;
    Ok(serde_json::from_value(about.report).ok())
}
