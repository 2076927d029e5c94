//! What stands on top of an encoder?

mod autoencoder;
mod classification;
mod replaced_token;
pub(crate) mod tabular;
mod token;

pub use autoencoder::AutoencoderHead;
pub use classification::{ClassificationDense, ClassificationHead, ClassifiedState};
pub(crate) use replaced_token::Generator;
pub use replaced_token::{GeneratorShape, ReplacedTokenHead};
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
    /// `…ForConditionalGeneration`: a decoder writes one text after the encoder has read another.
    Seq2Seq,
    /// None, as [`HeadKind::None`], but an encoder-decoder's states are those of its decoder.
    DecoderFeatures,
    /// `…ForPreTraining` of ELECTRA: which tokens of a text were replaced. With a generator beside it that replaces them,
    /// which is of steep's own names and never saved.
    ReplacedTokens {
        /// The generator; none for the discriminator alone.
        generator: Option<GeneratorShape>,
    },
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
            Self::Seq2Seq => "writing texts",
            Self::DecoderFeatures => "features of the decoder",
            Self::ReplacedTokens { .. } => "finding replaced tokens",
            Self::Autoencoder => "denoising",
            Self::MaskedLm => "masked language modelling",
            Self::CausalLm => "causal language modelling",
            Self::SequenceClassification { .. } => "sequence classification",
        }
    }

    /// Whether an encoder-decoder's states are those of its decoder, which reads the text again.
    pub(crate) fn reads_twice(self) -> bool {
        matches!(self, Self::DecoderFeatures | Self::SequenceClassification { .. })
    }

    /// Whether a model with this head is saved without any, as transformers' `AutoModel` would.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::None | Self::DecoderFeatures)
    }

    /// Suffix of the transformers class, as most families have it: `ForMaskedLM` of `BertForMaskedLM`.
    pub fn class_suffix(self) -> &'static str {
        match self {
            Self::None | Self::DecoderFeatures | Self::Autoencoder => "Model",
            Self::Seq2Seq => "ForConditionalGeneration",
            Self::ReplacedTokens { .. } => "ForPreTraining",
            Self::MaskedLm => "ForMaskedLM",
            Self::CausalLm => "ForCausalLM",
            Self::SequenceClassification { .. } => "ForSequenceClassification",
        }
    }
}
