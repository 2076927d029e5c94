//! What stands on top of an encoder?

mod autoencoder;
mod classification;
pub(crate) mod tabular;
mod token;

pub use autoencoder::AutoencoderHead;
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
    /// A small decoder that writes a text again from its vector; of steep's own, and never saved.
    Autoencoder,
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
            Self::Autoencoder => "denoising",
            Self::MaskedLm => "masked language modelling",
            Self::CausalLm => "causal language modelling",
            Self::SequenceClassification { .. } => "sequence classification",
        }
    }

    /// Suffix of the transformers class, as most families have it: `ForMaskedLM` of `BertForMaskedLM`.
    pub fn class_suffix(self) -> &'static str {
        match self {
            Self::None | Self::Autoencoder => "Model",
            Self::MaskedLm => "ForMaskedLM",
            Self::CausalLm => "ForCausalLM",
            Self::SequenceClassification { .. } => "ForSequenceClassification",
        }
    }
}
