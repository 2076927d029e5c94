//! The supported families of models.

use crate::heads::HeadKind;

/// The supported architectures, named as in `config.json: model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelType {
    /// Devlin et al. 2018
    Bert,
    /// Sanh et al. 2019
    DistilBert,
    /// Liu et al. 2019
    Roberta,
    /// Conneau et al. 2019
    XlmRoberta,
    /// Martin et al. 2019
    Camembert,
    /// Song et al. 2020
    Mpnet,
    /// Clark et al. 2020
    Electra,
    /// Warner et al. 2024
    ModernBert,
    /// Radford et al. 2019
    Gpt2,
    /// Yang et al. 2025
    Qwen3,
    /// Touvron et al. 2023
    Llama,
    /// Lan et al. 2020
    Albert,
    /// Lewis et al. 2020
    Bart,
    /// Liu et al. 2020
    Mbart,
    /// Raffel et al. 2020
    T5,
    /// He et al. 2021, 2023
    DebertaV2,
}

impl ModelType {
    /// All of them, with their names in `config.json`.
    pub const ALL: [(&'static str, Self); 16] = [
        ("bert", Self::Bert),
        ("distilbert", Self::DistilBert),
        ("roberta", Self::Roberta),
        ("xlm-roberta", Self::XlmRoberta),
        ("camembert", Self::Camembert),
        ("mpnet", Self::Mpnet),
        ("electra", Self::Electra),
        ("modernbert", Self::ModernBert),
        ("gpt2", Self::Gpt2),
        ("qwen3", Self::Qwen3),
        ("llama", Self::Llama),
        ("albert", Self::Albert),
        ("bart", Self::Bart),
        ("mbart", Self::Mbart),
        ("t5", Self::T5),
        ("deberta-v2", Self::DebertaV2),
    ];

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, model_type)| *model_type == self);
        found.map_or("", |(name, _)| name)
    }

    /// RoBERTa's code with other vocabularies.
    pub fn is_roberta(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta | Self::Camembert)
    }

    /// Name of the transformers class with this head, such as `BertForMaskedLM`.
    pub fn class_name(self, head_kind: HeadKind) -> String {
        match (self, head_kind) {
            (Self::Gpt2, HeadKind::CausalLm) => "GPT2LMHeadModel".to_owned(),
            (Self::T5, HeadKind::None) => "T5EncoderModel".to_owned(),
            _ => self.class_prefix().to_owned() + head_kind.class_suffix(),
        }
    }

    fn class_prefix(self) -> &'static str {
        match self {
            Self::Bert => "Bert",
            Self::DistilBert => "DistilBert",
            Self::Roberta => "Roberta",
            Self::XlmRoberta => "XLMRoberta",
            Self::Camembert => "Camembert",
            Self::Mpnet => "MPNet",
            Self::Electra => "Electra",
            Self::ModernBert => "ModernBert",
            Self::Gpt2 => "GPT2",
            Self::Qwen3 => "Qwen3",
            Self::Llama => "Llama",
            Self::Albert => "Albert",
            Self::Bart => "Bart",
            Self::Mbart => "MBart",
            Self::T5 => "T5",
            Self::DebertaV2 => "DebertaV2",
        }
    }
}
