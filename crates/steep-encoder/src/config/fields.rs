//! Reading fields of `config.json`.

use super::{ModelType, ProblemType};
use crate::error::{Error, Result};
use crate::ops::Activation;
use serde_json::{Map, Value};
use std::path::Path;

pub(super) const DAMAGED: &str = "the file may be damaged; download the model again";

/// Reads fields of one file, with errors that name the field.
pub(crate) struct Fields<'a> {
    pub(super) raw: &'a Map<String, Value>,
    pub(super) path: &'a Path,
}

impl Fields<'_> {
    pub(crate) fn error(&self, problem: String, hint: &str) -> Error {
        Error::Config { path: self.path.to_path_buf(), problem, hint: hint.into() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.raw.get(name).filter(|value| !value.is_null())
    }

    /// An integer of `1..=largest` (or `0..=`, if `default` is 0).
    pub(crate) fn size(&self, name: &str, default: usize, largest: usize) -> Result<usize> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let smallest = usize::from(default != 0);
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (smallest..=largest).contains(size)).ok_or_else(|| {
            self.error(
                format!("{name} is {value}, expected an integer from {smallest} to {largest}"),
                DAMAGED,
            )
        })
    }

    pub(crate) fn number(
        &self,
        name: &str,
        default: f32,
        range: std::ops::RangeInclusive<f32>,
    ) -> Result<f32> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.as_f64().map(|number| number as f32);
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.error(format!("{name} is {value}, expected a number from {low} to {high}"), DAMAGED)
        })
    }

    pub(crate) fn activation(&self, name: &str, default: &str) -> Result<Activation> {
        let value = self.get(name).and_then(Value::as_str).unwrap_or(default);
        Ok(match value {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "tanh" => Activation::Tanh,
            "silu" | "swish" => Activation::Silu,
            other => {
                return Err(self.error(
                    format!("{name} '{other}' is not supported"),
                    "supported: gelu, gelu_new, gelu_pytorch_tanh, relu, tanh, silu",
                ));
            }
        })
    }

    /// Refuses a field whose value means a computation that is not implemented.
    pub(crate) fn refuse(&self, name: &str, supported: &Value) -> Result<()> {
        match self.get(name) {
            Some(value) if value != supported => Err(self.error(
                format!("{name} = {value} is not supported (only {supported})"),
                "choose a checkpoint without it",
            )),
            _ => Ok(()),
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let problem = || self.error(format!("{name} is {value}, expected true or false"), DAMAGED);
        value.as_bool().ok_or_else(problem)
    }

    /// A word.
    pub(crate) fn word(&self, name: &str, default: &'static str) -> Result<&str> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let problem = || self.error(format!("{name} is {value}, expected a string"), DAMAGED);
        value.as_str().ok_or_else(problem)
    }

    /// A token's id, where the file has one.
    pub(crate) fn token_id(&self, name: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let problem = || self.error(format!("{name} is {value}, expected a token's id"), DAMAGED);
        value.as_u64().and_then(|id| u32::try_from(id).ok()).map(Some).ok_or_else(problem)
    }

    /// An object within the file, read like the file itself.
    pub(crate) fn object(&self, name: &str) -> Option<Fields<'_>> {
        let raw = self.get(name)?.as_object()?;
        Some(Fields { raw, path: self.path })
    }

    pub(super) fn labels(&self) -> Result<Vec<String>> {
        let Some(map) = self.get("id2label").and_then(Value::as_object) else { return Ok(Vec::new()) };
        let label = |id: usize| map.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned);
        let labels: Option<Vec<String>> = (0..map.len()).map(label).collect();
        labels.ok_or_else(|| {
            self.error(
                "id2label does not name the labels 0, 1, 2 …".into(),
                "write id2label as {\"0\": \"first\", \"1\": \"second\"}",
            )
        })
    }

    pub(super) fn problem_type(&self) -> Result<Option<ProblemType>> {
        let Some(value) = self.get("problem_type") else { return Ok(None) };
        serde_json::from_value(value.clone()).map(Some).map_err(|_| {
            self.error(
                format!("problem_type is {value}"),
                "use single_label_classification, multi_label_classification or regression",
            )
        })
    }

    pub(super) fn model_type(&self) -> Result<ModelType> {
        let names = ModelType::ALL.map(|(name, _)| name).join(", ");
        let Some(value) = self.get("model_type").and_then(Value::as_str) else {
            return Err(
                self.error("model_type is missing".into(), &format!("add \"model_type\", one of {names}"))
            );
        };
        let found = ModelType::ALL.iter().find(|(name, _)| *name == value);
        found.map(|(_, model_type)| *model_type).ok_or_else(|| {
            self.error(format!("model_type '{value}' is not supported"), &format!("supported: {names}"))
        })
    }
}
