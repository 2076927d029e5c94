//! How do families name what all of them have, and what is it where the file is silent?

use super::ModelType;

/// Field names in `config.json`, each with its default.
pub(super) struct Names {
    pub(super) hidden_size: (&'static str, usize),
    pub(super) num_hidden_layers: (&'static str, usize),
    pub(super) num_attention_heads: (&'static str, usize),
    /// 0: four times the hidden size.
    pub(super) intermediate_size: (&'static str, usize),
    pub(super) hidden_act: (&'static str, &'static str),
    pub(super) hidden_dropout: (&'static str, f32),
    pub(super) attention_dropout: (&'static str, f32),
    /// `None`: as the hidden dropout.
    pub(super) classifier_dropout: (&'static str, Option<f32>),
    pub(super) max_position_embeddings: (&'static str, usize),
    pub(super) layer_norm_eps: (&'static str, f32),
    pub(super) tie_word_embeddings: (&'static str, bool),
}

const BERT: Names = Names {
    hidden_size: ("hidden_size", 768),
    num_hidden_layers: ("num_hidden_layers", 12),
    num_attention_heads: ("num_attention_heads", 12),
    intermediate_size: ("intermediate_size", 3072),
    hidden_act: ("hidden_act", "gelu"),
    hidden_dropout: ("hidden_dropout_prob", 0.1),
    attention_dropout: ("attention_probs_dropout_prob", 0.1),
    classifier_dropout: ("classifier_dropout", None),
    max_position_embeddings: ("max_position_embeddings", 512),
    layer_norm_eps: ("layer_norm_eps", 1e-12),
    tie_word_embeddings: ("tie_word_embeddings", true),
};

/// A name that no file has, for what is the same in the whole family.
const FIXED: &str = "";

const DISTILBERT: Names = Names {
    hidden_size: ("dim", 768),
    num_hidden_layers: ("n_layers", 6),
    num_attention_heads: ("n_heads", 12),
    intermediate_size: ("hidden_dim", 3072),
    hidden_act: ("activation", "gelu"),
    hidden_dropout: ("dropout", 0.1),
    attention_dropout: ("attention_dropout", 0.1),
    classifier_dropout: ("seq_classif_dropout", Some(0.2)),
    layer_norm_eps: (FIXED, 1e-12),
    ..BERT
};

const MODERNBERT: Names = Names {
    num_hidden_layers: ("num_hidden_layers", 22),
    intermediate_size: ("intermediate_size", 1152),
    hidden_act: ("hidden_activation", "gelu"),
    hidden_dropout: ("mlp_dropout", 0.0),
    attention_dropout: ("attention_dropout", 0.0),
    classifier_dropout: ("classifier_dropout", Some(0.0)),
    max_position_embeddings: ("max_position_embeddings", 8192),
    layer_norm_eps: ("norm_eps", 1e-5),
    ..BERT
};

const GPT2: Names = Names {
    hidden_size: ("n_embd", 768),
    num_hidden_layers: ("n_layer", 12),
    num_attention_heads: ("n_head", 12),
    intermediate_size: ("n_inner", 0),
    hidden_act: ("activation_function", "gelu_new"),
    hidden_dropout: ("resid_pdrop", 0.1),
    attention_dropout: ("attn_pdrop", 0.1),
    classifier_dropout: (FIXED, Some(0.0)),
    max_position_embeddings: ("n_positions", 1024),
    layer_norm_eps: ("layer_norm_epsilon", 1e-5),
    tie_word_embeddings: ("tie_word_embeddings", true),
};

const QWEN3: Names = Names {
    hidden_size: ("hidden_size", 4096),
    num_hidden_layers: ("num_hidden_layers", 32),
    num_attention_heads: ("num_attention_heads", 32),
    intermediate_size: ("intermediate_size", 22_016),
    hidden_act: ("hidden_act", "silu"),
    hidden_dropout: (FIXED, 0.0),
    attention_dropout: ("attention_dropout", 0.0),
    classifier_dropout: (FIXED, Some(0.0)),
    max_position_embeddings: ("max_position_embeddings", 32_768),
    layer_norm_eps: ("rms_norm_eps", 1e-6),
    tie_word_embeddings: ("tie_word_embeddings", false),
};

const LLAMA: Names = Names {
    intermediate_size: ("intermediate_size", 11_008),
    max_position_embeddings: ("max_position_embeddings", 2048),
    ..QWEN3
};

const ALBERT: Names = Names {
    hidden_size: ("hidden_size", 4096),
    num_attention_heads: ("num_attention_heads", 64),
    intermediate_size: ("intermediate_size", 16_384),
    hidden_act: ("hidden_act", "gelu_new"),
    hidden_dropout: ("hidden_dropout_prob", 0.0),
    attention_dropout: ("attention_probs_dropout_prob", 0.0),
    classifier_dropout: ("classifier_dropout_prob", Some(0.1)),
    ..BERT
};

const BART: Names = Names {
    hidden_size: ("d_model", 1024),
    num_hidden_layers: ("encoder_layers", 12),
    num_attention_heads: ("encoder_attention_heads", 16),
    intermediate_size: ("encoder_ffn_dim", 4096),
    hidden_act: ("activation_function", "gelu"),
    hidden_dropout: ("dropout", 0.1),
    attention_dropout: ("attention_dropout", 0.0),
    classifier_dropout: ("classifier_dropout", Some(0.0)),
    max_position_embeddings: ("max_position_embeddings", 1024),
    layer_norm_eps: (FIXED, 1e-5),
    ..BERT
};

const T5: Names = Names {
    hidden_size: ("d_model", 512),
    num_hidden_layers: ("num_layers", 6),
    num_attention_heads: ("num_heads", 8),
    intermediate_size: ("d_ff", 2048),
    // T5 names it in feed_forward_proj, with what else the part has.
    hidden_act: (FIXED, "relu"),
    hidden_dropout: ("dropout_rate", 0.1),
    attention_dropout: ("dropout_rate", 0.1),
    classifier_dropout: ("classifier_dropout", Some(0.0)),
    max_position_embeddings: ("n_positions", 512),
    layer_norm_eps: ("layer_norm_epsilon", 1e-6),
    // The file's field speaks of the language-modelling head.
    tie_word_embeddings: (FIXED, true),
};

const DEBERTA_V2: Names = Names {
    hidden_size: ("hidden_size", 1536),
    num_hidden_layers: ("num_hidden_layers", 24),
    num_attention_heads: ("num_attention_heads", 24),
    intermediate_size: ("intermediate_size", 6144),
    classifier_dropout: ("cls_dropout", None),
    layer_norm_eps: ("layer_norm_eps", 1e-7),
    ..BERT
};

impl Names {
    pub(super) fn of(model_type: ModelType) -> &'static Self {
        match model_type {
            ModelType::Bert
            | ModelType::Roberta
            | ModelType::XlmRoberta
            | ModelType::Camembert
            | ModelType::Mpnet
            | ModelType::Electra => &BERT,
            ModelType::DistilBert => &DISTILBERT,
            ModelType::ModernBert => &MODERNBERT,
            ModelType::Gpt2 => &GPT2,
            ModelType::Qwen3 => &QWEN3,
            ModelType::Llama => &LLAMA,
            ModelType::Albert => &ALBERT,
            ModelType::Bart | ModelType::Mbart => &BART,
            ModelType::T5 => &T5,
            ModelType::DebertaV2 => &DEBERTA_V2,
        }
    }
}
