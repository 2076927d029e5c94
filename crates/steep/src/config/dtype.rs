//! In which numbers the encoder computes.

use super::check::{fill, one_of};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use steep_encoder::{Model, Precision};

/// The numbers in which the encoder multiplies; the bits of every result depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats, as the weights are stored.
    F32,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
    /// 8-bit integers with a scale; not for training.
    Int8,
}

/// The names in help, and those that other tools have for the same.
const NAMES: [(&str, Option<Dtype>); 8] = [
    ("auto", None),
    ("f32", Some(Dtype::F32)),
    ("bf16", Some(Dtype::Bf16)),
    ("int8", Some(Dtype::Int8)),
    ("float32", Some(Dtype::F32)),
    ("fp32", Some(Dtype::F32)),
    ("bfloat16", Some(Dtype::Bf16)),
    ("i8", Some(Dtype::Int8)),
];

impl Dtype {
    /// The name in flags, files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The way of computing in files that were written before there was a choice.
    pub(crate) fn before_there_was_a_choice() -> Self {
        Self::F32
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What `auto` stands for on this machine: 16-bit floats where the processor multiplies them.
pub fn default_dtype() -> Dtype {
    if multiplies_bf16() { Dtype::Bf16 } else { Dtype::F32 }
}

#[cfg(target_arch = "x86_64")]
fn multiplies_bf16() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn multiplies_bf16() -> bool {
    false
}

/// Makes a model compute so.
pub fn apply(dtype: Dtype, model: &mut Model) {
    model.set_precision(match dtype {
        Dtype::F32 => Precision::F32,
        Dtype::Bf16 => Precision::Bf16,
        Dtype::Int8 => Precision::Int8,
    });
}

/// What the keys `dtype` and `bf16` say together, `None` for `auto`; afterwards `dtype` says all.
pub(super) fn asked(dtype: &mut Option<String>, bf16: &mut Option<bool>) -> Result<Option<Dtype>> {
    let wants_bf16 = bf16.take() == Some(true);
    let name = fill(dtype, || if wants_bf16 { "bf16".to_owned() } else { "auto".to_owned() });
    let asked = one_of("dtype", &name, &NAMES)?;
    if wants_bf16 && asked.is_some_and(|asked| asked != Dtype::Bf16) {
        let problem = format!("dtype is {name}");
        return Err(Error::config("bf16", problem, "give one of the two"));
    }
    let asked = if wants_bf16 { Some(Dtype::Bf16) } else { asked };
    if let Some(asked) = asked {
        *dtype = Some(asked.name().to_owned());
    }
    Ok(asked)
}

/// The same with `auto` resolved.
pub(super) fn resolve(dtype: &mut Option<String>, bf16: &mut Option<bool>) -> Result<Dtype> {
    let resolved = asked(dtype, bf16)?.unwrap_or_else(default_dtype);
    *dtype = Some(resolved.name().to_owned());
    Ok(resolved)
}

/// The same for what trains.
pub(super) fn resolve_for_training(dtype: &mut Option<String>, bf16: &mut Option<bool>) -> Result<Dtype> {
    if dtype.as_deref().is_some_and(|name| matches!(one_of("dtype", name, &NAMES), Ok(Some(Dtype::Int8)))) {
        let problem = "int8 has no gradients to train with";
        return Err(Error::config("dtype", problem, "choose f32, bf16 or auto"));
    }
    resolve(dtype, bf16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(dtype: Option<&str>, bf16: Option<bool>) -> Result<(Dtype, Option<String>)> {
        let (mut dtype, mut bf16) = (dtype.map(str::to_owned), bf16);
        let resolved = resolve(&mut dtype, &mut bf16)?;
        assert_eq!(bf16, None, "the saved request says it once");
        Ok((resolved, dtype))
    }

    #[test]
    fn names_of_other_tools_are_known() {
        for name in ["f32", "float32", "fp32"] {
            assert_eq!(resolved(Some(name), Some(false)).unwrap(), (Dtype::F32, Some("f32".to_owned())));
        }
        let hint = resolved(Some("float64"), None).unwrap_err().hint().unwrap().to_owned();
        assert!(hint.contains("bf16"), "{hint}");
    }

    #[test]
    fn auto_is_the_default_of_this_machine() {
        for asked in [None, Some("auto")] {
            assert_eq!(resolved(asked, None).unwrap().0, default_dtype());
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let error = resolved(Some("f32"), Some(true)).unwrap_err();
        assert!(error.to_string().starts_with("bf16:"), "{error}");
        let error = resolve_for_training(&mut Some("int8".to_owned()), &mut None).unwrap_err();
        assert!(error.to_string().contains("gradients"), "{error}");
    }

    #[test]
    fn every_name_is_its_own() {
        for (name, dtype) in [("f32", Dtype::F32), ("bf16", Dtype::Bf16), ("int8", Dtype::Int8)] {
            assert_eq!(dtype.to_string(), name);
            assert_eq!(resolved(Some(name), None).unwrap().0, dtype);
        }
        assert_eq!(resolved(None, Some(true)).unwrap().0, Dtype::Bf16);
    }
}
