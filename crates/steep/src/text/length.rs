//! How many tokens may a sequence have?

use serde::Serialize;

/// What a model folder says about the length of sequences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LengthFacts {
    /// `max_seq_length` of `sentence_bert_config.json` or one of its older names.
    pub sentence_bert: Option<u64>,
    /// `model_max_length` of `tokenizer_config.json`; the field writes 1e30 there for "unknown".
    pub model_max_length: Option<f64>,
    /// `max_position_embeddings` of `config.json`.
    pub max_position_embeddings: Option<u64>,
    /// `model_type` of `config.json`.
    pub model_type: Option<String>,
}

/// Where the greatest length comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthSource {
    /// `sentence_bert_config.json`.
    SentenceBertConfig,
    /// `model_max_length` of `tokenizer_config.json`.
    ModelMaxLength,
    /// The number of position embeddings in `config.json`, which nothing may exceed.
    MaxPositionEmbeddings,
    /// No file says anything.
    Default,
}

/// The greatest number of tokens of a sequence, special tokens included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MaxSeqLength {
    /// In tokens.
    pub length: usize,
    /// Where the figure comes from.
    pub source: LengthSource,
}

/// Used where no file says anything: the length of BERT and most of its successors.
const DEFAULT_LENGTH: u64 = 512;

/// A larger `model_max_length` than this means "unknown".
const UNKNOWN_FROM: f64 = 1e9;

/// Models whose position ids start after the padding id 1, so that two position embeddings are never used.
const OFFSET_BY_TWO: [&str; 9] = [
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec-text",
    "ibert",
];

/// The rule of sentence-transformers: `sentence_bert_config.json`, else `model_max_length`, else the
/// position embeddings; never more than the position embeddings allow.
pub fn resolve_max_seq_length(facts: &LengthFacts) -> MaxSeqLength {
    let positions = usable_positions(facts);
    let model_max_length = facts
        .model_max_length
        .filter(|length| (1.0..UNKNOWN_FROM).contains(length))
        .map(|length| length as u64);
    let (length, source) =
        match (facts.sentence_bert.filter(|&length| length > 0), model_max_length, positions) {
            (Some(length), _, _) => (length, LengthSource::SentenceBertConfig),
            (None, Some(length), _) => (length, LengthSource::ModelMaxLength),
            (None, None, Some(length)) => (length, LengthSource::MaxPositionEmbeddings),
            (None, None, None) => (DEFAULT_LENGTH, LengthSource::Default),
        };
    match positions {
        Some(limit) if limit < length => {
            MaxSeqLength { length: limit as usize, source: LengthSource::MaxPositionEmbeddings }
        }
        _ => MaxSeqLength { length: length as usize, source },
    }
}

fn usable_positions(facts: &LengthFacts) -> Option<u64> {
    let offset = match &facts.model_type {
        Some(model_type) if OFFSET_BY_TWO.contains(&model_type.as_str()) => 2,
        _ => 0,
    };
    facts
        .max_position_embeddings
        .map(|positions| positions.saturating_sub(offset))
        .filter(|&positions| positions > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(
        sentence_bert: Option<u64>,
        model_max_length: Option<f64>,
        positions: Option<u64>,
        model_type: &str,
    ) -> (usize, LengthSource) {
        let facts = LengthFacts {
            sentence_bert,
            model_max_length,
            max_position_embeddings: positions,
            model_type: Some(model_type.to_owned()),
        };
        let resolved = resolve_max_seq_length(&facts);
        (resolved.length, resolved.source)
    }

    #[test]
    fn the_sources_are_asked_in_order() {
        use LengthSource::{Default, MaxPositionEmbeddings, ModelMaxLength, SentenceBertConfig};
        assert_eq!(resolved(Some(256), Some(512.0), Some(512), "bert"), (256, SentenceBertConfig));
        assert_eq!(resolved(None, Some(384.0), Some(512), "bert"), (384, ModelMaxLength));
        assert_eq!(resolved(None, None, Some(512), "bert"), (512, MaxPositionEmbeddings));
        assert_eq!(resolved(None, None, None, "bert"), (512, Default));
    }

    #[test]
    fn the_sentinel_means_unknown() {
        assert_eq!(resolved(None, Some(1e30), Some(130), "bert").0, 130);
        assert_eq!(resolved(None, Some(f64::NAN), None, "bert").0, 512);
    }

    #[test]
    fn two_positions_of_roberta_are_never_used() {
        assert_eq!(resolved(None, Some(1e30), Some(514), "roberta").0, 512);
        assert_eq!(resolved(None, None, Some(514), "mpnet").0, 512);
        assert_eq!(resolved(None, None, Some(514), "bert").0, 514);
    }

    #[test]
    fn nothing_exceeds_the_position_embeddings() {
        assert_eq!(
            resolved(Some(4096), Some(4096.0), Some(512), "bert"),
            (512, LengthSource::MaxPositionEmbeddings)
        );
        assert_eq!(resolved(None, None, Some(1), "roberta"), (512, LengthSource::Default));
    }
}
