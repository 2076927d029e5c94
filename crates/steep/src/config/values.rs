//! How the values of keys are written, as flags and in TOML.

use serde::de::{Deserializer, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// A file or folder.
    Path,
    /// A number.
    Number,
    /// true or false; a flag without a value means true.
    Switch,
    /// Several values, parted by commas on the command line, an array in TOML.
    List,
}

/// A type that a key can have.
pub trait KeyValue: Sized {
    /// How it is written.
    const FORM: Form;

    /// Reads the text of a flag; the error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;
}

impl KeyValue for String {
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl KeyValue for PathBuf {
    const FORM: Form = Form::Path;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

impl KeyValue for f64 {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().parse().ok().filter(|number: &Self| number.is_finite());
        number.ok_or_else(|| "expected a number such as 0.1 or 2e-5".to_owned())
    }
}

impl KeyValue for u64 {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "expected a whole number of 0 or more".to_owned())
    }
}

impl KeyValue for i64 {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "expected a whole number".to_owned())
    }
}

impl KeyValue for bool {
    const FORM: Form = Form::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

/// Several values. A single one need not be put into brackets in TOML.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct List<T>(pub Vec<T>);

impl<T: KeyValue> KeyValue for List<T> {
    const FORM: Form = Form::List;

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(|part| T::parse(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData)).map(Self)
    }
}

struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or an array of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(values)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(value.into_deserializer())?])
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(value.into_deserializer())?])
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(value.into_deserializer())?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Wire {
        names: List<String>,
        rates: List<f64>,
    }

    #[test]
    fn one_value_is_a_list_of_one() {
        let wire: Wire = toml::from_str("names = 'title'\nrates = [1, 2.5]").unwrap();
        assert_eq!((wire.names.0, wire.rates.0), (vec!["title".to_owned()], vec![1.0, 2.5]));
        let wire: Wire = toml::from_str("names = ['a', 'b,c']\nrates = 3").unwrap();
        assert_eq!((wire.names.0.len(), wire.rates.0), (2, vec![3.0]));
        assert!(toml::from_str::<Wire>("names = [1]\nrates = 3").is_err());
    }

    #[test]
    fn flags_that_are_no_numbers_say_what_was_expected() {
        assert_eq!(f64::parse("2e-5"), Ok(2e-5));
        assert!(f64::parse("nan").is_err() && u64::parse("-1").is_err() && bool::parse("maybe").is_err());
        assert_eq!(bool::parse("True"), Ok(true));
        assert_eq!(List::<u64>::parse("1,x").unwrap_err(), "expected a whole number of 0 or more");
    }
}
