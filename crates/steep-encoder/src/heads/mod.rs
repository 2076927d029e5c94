//! What stands on top of an encoder?

mod classification;
pub(crate) mod tabular;
mod token;

pub use classification::{ClassificationDense, ClassificationHead, ClassifiedState};
pub use tabular::{CombineMethod, RowColumns, TabularHead, TabularSettings, TabularShape, embedding_size};
pub use token::{TokenHead, TokenTransform};

/// Which head a model is loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// None: a bare encoder, saved as transformers' `AutoModel` would.
    None,
    /// `…ForMaskedLM`
    MaskedLm,
    /// `…ForCausalLM`: every state predicts the next token.
    CausalLm,
    /// `…ForSequenceClassification`
    SequenceClassification {
        /// Number of outputs.
        num_labels: usize,
    },
}

impl HeadKind {
    /// What the head is for, in the words of messages.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "features",
            Self::MaskedLm => "masked language modelling",
            Self::CausalLm => "causal language modelling",
            Self::SequenceClassification { .. } => "sequence classification",
        }
    }

    /// Suffix of the transformers class, as most families have it: `ForMaskedLM` of `BertForMaskedLM`.
    pub fn class_suffix(self) -> &'static str {
        match self {
            Self::None => "Model",
            Self::MaskedLm => "ForMaskedLM",
            Self::CausalLm => "ForCausalLM",
            Self::SequenceClassification { .. } => "ForSequenceClassification",
        }
    }
}
