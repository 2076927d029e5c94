//! The temperature that makes a folder's probabilities honest, kept beside its model.

use crate::error::{Error, Result};
use crate::storage::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in a trained folder that holds it.
const CALIBRATION_FILE: &str = "calibration.json";

/// A temperature fitted on rows that the model was not fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedTemperature {
    /// Probabilities become `softmax(ln(p) / temperature)`.
    pub temperature: f64,
    /// How many rows it was fitted on.
    pub rows: u64,
}

impl SavedTemperature {
    /// Writes it into an existing folder, where [`super::predict()`] finds it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(CALIBRATION_FILE), self)
    }

    /// What a folder says; none where it says nothing.
    ///
    /// # Errors
    /// A file that cannot be read, or a temperature that is not a number above 0.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(CALIBRATION_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let saved: Self = read_json(&path)?;
        if saved.temperature.is_finite() && saved.temperature > 0.0 {
            return Ok(Some(saved));
        }
        let problem = format!("{CALIBRATION_FILE} has the temperature {}", saved.temperature);
        let hint = "remove the file, or predict with calibrated set to false";
        Err(Error::model(folder.display().to_string(), problem, hint))
    }
}
