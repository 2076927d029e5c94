//! What `steep inspect` can be asked.

use super::check::{fill, one_of, required};
use crate::error::Result;

request! {
    /// What is in a model folder.
    "inspect" InspectRequest {
        /// The model: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// How it is told: text or json; default text
        format: String;
    }
}

/// How the facts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InspectFormat {
    /// For reading.
    Text,
    /// One JSON object.
    Json,
}

impl InspectRequest {
    /// The model as the user named it, its revision, and how the facts are told.
    pub fn resolve(&mut self) -> Result<(String, Option<String>, InspectFormat)> {
        let model = required("model_name_or_path", self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")?;
        let format = fill(&mut self.format, || "text".to_owned());
        let known = [("text", InspectFormat::Text), ("json", InspectFormat::Json)];
        Ok((model, self.model_revision.clone(), one_of("format", &format, &known)?))
    }
}
