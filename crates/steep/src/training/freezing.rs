//! Which parameters learn, and from which step on.

use super::VocabularyWarmup;
use crate::error::{Error, Result};
use glob::Pattern;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use steep_encoder::{Model, Parameter, ParameterSpec};

/// What of a model is trained; all of it by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Freezing {
    /// These stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<ParameterPattern>,
    /// These alone learn; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train_only: Vec<ParameterPattern>,
    /// When each layer begins.
    #[serde(default, skip_serializing_if = "GradualUnfreezing::is_none")]
    pub gradual_unfreezing: GradualUnfreezing,
    /// The steps in which rows of new tokens learn alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary_warmup: Option<VocabularyWarmup>,
}

/// From the top down, one more layer at a time (Howard and Ruder 2018): the head first, the embeddings last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradualUnfreezing {
    /// Everything learns from the first step.
    #[default]
    None,
    /// One more layer with each epoch.
    EachEpoch,
    /// In equal intervals, the last one after this share of the steps.
    Share(f64),
}

impl GradualUnfreezing {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Names parameters of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ParameterPattern {
    /// What lies below the first layer.
    Embeddings,
    /// Layers, counted from 0; the last one named is among them. What follows the last layer of an encoder, such as
    /// its final norm, belongs to that.
    Layers {
        /// The first one.
        first: usize,
        /// The last one; absent for all above the first.
        last: Option<usize>,
    },
    /// What stands on the encoder.
    Head,
    /// Parameters whose whole name is like this, `*` standing for anything.
    Names(String),
}

impl FromStr for ParameterPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embeddings" => return Ok(Self::Embeddings),
            "head" => return Ok(Self::Head),
            _ => {}
        }
        let Some(range) = text.strip_prefix("layers:") else {
            Pattern::new(text).map_err(|error| error.to_string())?;
            return Ok(Self::Names(text.to_owned()));
        };
        let number = |digits: &str| digits.parse().map_err(|_| format!("'{digits}' is no number of a layer"));
        let (first, last) = match range.split_once('-') {
            None => (number(range)?, Some(number(range)?)),
            Some((first, "")) => (number(first)?, None),
            Some((first, last)) => (number(first)?, Some(number(last)?)),
        };
        if last.is_some_and(|last: usize| last < first) {
            return Err(format!("'{range}' ends before it begins"));
        }
        Ok(Self::Layers { first, last })
    }
}

impl fmt::Display for ParameterPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embeddings => formatter.write_str("embeddings"),
            Self::Head => formatter.write_str("head"),
            Self::Layers { first, last: None } => write!(formatter, "layers:{first}-"),
            Self::Layers { first, last: Some(last) } if first == last => write!(formatter, "layers:{first}"),
            Self::Layers { first, last: Some(last) } => write!(formatter, "layers:{first}-{last}"),
            Self::Names(names) => formatter.write_str(names),
        }
    }
}

impl TryFrom<String> for ParameterPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ParameterPattern> for String {
    fn from(pattern: ParameterPattern) -> Self {
        pattern.to_string()
    }
}

impl ParameterPattern {
    /// Whether it names this parameter of a model with so many layers.
    fn matches(&self, spec: &ParameterSpec, num_layers: usize) -> bool {
        match self {
            Self::Head => spec.optional,
            Self::Embeddings => !spec.optional && spec.depth == 0,
            Self::Layers { first, last } => {
                let layer = spec.depth.min(num_layers).saturating_sub(1);
                let named = (*first..=last.unwrap_or(usize::MAX)).contains(&layer);
                !spec.optional && spec.depth > 0 && named
            }
            Self::Names(names) => Pattern::new(names).is_ok_and(|pattern| pattern.matches(&spec.name)),
        }
    }
}

/// Where training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The optimizer step, counted from 0.
    pub step: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Steps in all.
    pub total_steps: u64,
}

impl Position {
    /// Where everything has begun that will.
    pub const END: Self = Self { step: u64::MAX, steps_per_epoch: 1, total_steps: 1 };
}

impl Freezing {
    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what learns changes during training.
    pub fn is_gradual(&self) -> bool {
        !self.gradual_unfreezing.is_none() || self.vocabulary_warmup.is_some()
    }

    /// # Errors
    /// A pattern that names no parameter; nothing that learns, in the steps of new tokens or afterwards.
    pub fn check(&self, model: &Model) -> Result<()> {
        for (key, patterns) in [("freeze", &self.freeze), ("train_only", &self.train_only)] {
            for pattern in patterns {
                let named = |parameter: &Parameter| pattern.matches(&parameter.spec, model.num_layers());
                if !model.parameters.list.iter().any(named) {
                    return Err(unknown(key, pattern, model));
                }
            }
        }
        let learns = |parameter: &Parameter| self.learns(&parameter.spec, model.num_layers());
        if !model.parameters.list.iter().any(learns) {
            let key = if self.train_only.is_empty() { "freeze" } else { "train_only" };
            return Err(Error::config(key, "leaves nothing to train", "freeze less"));
        }
        self.vocabulary_warmup.as_ref().map_or(Ok(()), |warmup| warmup.check(model, learns))
    }

    fn learns(&self, spec: &ParameterSpec, num_layers: usize) -> bool {
        let among =
            |patterns: &[ParameterPattern]| patterns.iter().any(|pattern| pattern.matches(spec, num_layers));
        spec.used && (self.train_only.is_empty() || among(&self.train_only)) && !among(&self.freeze)
    }

    /// Frees what learns at a position, and freezes the rest.
    pub fn apply(&self, model: &mut Model, at: Position) {
        let num_layers = model.num_layers();
        let learning = model.parameters.list.iter().filter(|one| self.learns(&one.spec, num_layers));
        let depths: BTreeSet<usize> = learning.map(|parameter| parameter.spec.depth).collect();
        let begun = self.begun(depths.len(), at).clamp(1, depths.len().max(1));
        let lowest = depths.into_iter().rev().nth(begun - 1).unwrap_or(0);
        for parameter in &mut model.parameters.list {
            let spec = &parameter.spec;
            parameter.trainable = spec.depth >= lowest && self.learns(spec, num_layers);
            parameter.learning_rows = None;
        }
        if let Some(warmup) = self.vocabulary_warmup.filter(|warmup| at.step < warmup.steps) {
            warmup.apply(model, |parameter| self.learns(&parameter.spec, num_layers));
        }
    }

    /// How many of the depths, from the top, learn.
    fn begun(&self, depths: usize, at: Position) -> usize {
        match self.gradual_unfreezing {
            GradualUnfreezing::None => depths,
            GradualUnfreezing::EachEpoch => {
                (at.step / at.steps_per_epoch.max(1)).saturating_add(1).min(depths as u64) as usize
            }
            GradualUnfreezing::Share(share) => {
                let done = at.step as f64 / (share * at.total_steps as f64);
                1_usize.saturating_add((done * depths.saturating_sub(1) as f64) as usize)
            }
        }
    }
}

fn unknown(key: &str, pattern: &ParameterPattern, model: &Model) -> Error {
    let name = model.parameters.list.last().map_or("", |parameter| parameter.spec.name.as_str());
    let last = model.num_layers().saturating_sub(1);
    Error::config(
        key,
        format!("'{pattern}' names no parameter of this model"),
        format!(
            "give embeddings, layers:0-{last}, head, or names as in the model's file, such as {name}, with * for any part"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_written_alike() {
        for text in ["embeddings", "head", "layers:3", "layers:0-3", "layers:2-", "bert.*.bias"] {
            let pattern: ParameterPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
            let json = serde_json::to_string(&pattern).unwrap();
            assert_eq!(serde_json::from_str::<ParameterPattern>(&json).unwrap(), pattern);
        }
        for text in ["layers:", "layers:x", "layers:3-1", "layers:-1", "a[b"] {
            assert!(text.parse::<ParameterPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn layers_begin_one_after_the_other() {
        let begun = |gradual_unfreezing, step| {
            let freezing = Freezing { gradual_unfreezing, ..Freezing::default() };
            freezing.begun(4, Position { step, steps_per_epoch: 10, total_steps: 60 })
        };
        let of = |gradual| [0, 9, 10, 19, 20, 29, 30, 59].map(|step| begun(gradual, step));
        assert_eq!(of(GradualUnfreezing::None), [4; 8]);
        assert_eq!(of(GradualUnfreezing::EachEpoch), [1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(of(GradualUnfreezing::Share(0.5)), [1, 1, 2, 2, 3, 3, 4, 6]);
    }
}
