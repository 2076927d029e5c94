//! What `steep merge` can be asked.

use super::check::required;
use crate::error::Result;
use std::path::PathBuf;

request! {
    /// An adapter of PEFT's added to the weights that it belongs to.
    "merge" MergeRequest {
        /// The folder that PEFT, or steep, saved the adapter into; needed
        adapter_name_or_path: PathBuf, also ["adapter"];
        /// The model that the adapter was trained on: a folder, or a name on the hub; default: the one that the adapter names
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The folder to write the merged model into; needed
        output_dir: PathBuf, also ["output"];
    }
}

/// What is read and where the result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeSources {
    /// The folder of the adapter.
    pub adapter: PathBuf,
    /// The model, if it is not the one that the adapter names.
    pub model_name_or_path: Option<String>,
    /// Its revision on the hub.
    pub model_revision: Option<String>,
    /// Where the result goes.
    pub output_dir: PathBuf,
}

impl MergeRequest {
    /// What is read and written.
    pub fn sources(&self) -> Result<MergeSources> {
        Ok(MergeSources {
            adapter: required("adapter_name_or_path", self.adapter_name_or_path.as_ref(), "FOLDER")?,
            model_name_or_path: self.model_name_or_path.clone(),
            model_revision: self.model_revision.clone(),
            output_dir: required("output_dir", self.output_dir.as_ref(), "FOLDER")?,
        })
    }
}
