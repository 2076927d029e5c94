//! The keys of engineered columns, which several commands have.

use super::check::{fill, one_of, within};
use super::values::List;
use crate::error::{Error, Result};
use crate::features::engineered::{EngineeredSettings, Family};

/// The settings of engineered columns; fills the keys in.
pub(super) fn engineered(
    families: &mut Option<List<String>>,
    top_k: &mut Option<u64>,
) -> Result<EngineeredSettings> {
    let all = || List(Family::ALL.iter().map(|(name, _)| (*name).to_owned()).collect());
    let names = fill(families, all).0;
    let families: Vec<Family> =
        names.iter().map(|name| one_of("engineered_families", name, &Family::ALL)).collect::<Result<_>>()?;
    if families.is_empty() {
        return Err(Error::config("engineered_families", "is empty", "name a family, or leave the key out"));
    }
    let top_k = within("engineered_top_k", fill(top_k, || 20), 0..=10_000)? as usize;
    Ok(EngineeredSettings { families, top_k })
}
