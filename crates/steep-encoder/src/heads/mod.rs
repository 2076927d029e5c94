//! What stands on top of an encoder?

mod classification;
mod masked_lm;
pub(crate) mod tabular;

pub use classification::ClassificationHead;
pub use masked_lm::MaskedLmHead;
pub use tabular::{CombineMethod, RowColumns, TabularHead, TabularSettings, TabularShape, embedding_size};

/// Which head a model is loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// None: a bare encoder, saved as transformers' `AutoModel` would.
    None,
    /// `…ForMaskedLM`
    MaskedLm,
    /// `…ForSequenceClassification`
    SequenceClassification {
        /// Number of outputs.
        num_labels: usize,
    },
}

impl HeadKind {
    /// Suffix of the transformers class: `ForMaskedLM` of `BertForMaskedLM`.
    pub fn class_suffix(self) -> &'static str {
        match self {
            Self::None => "Model",
            Self::MaskedLm => "ForMaskedLM",
            Self::SequenceClassification { .. } => "ForSequenceClassification",
        }
    }
}
