//! The table of keys behind a request, and the macro that writes it beside the structure.

use super::values::Form;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One key of a request: a line of the TOML file, a flag of the command.
pub struct Key<R> {
    /// The name, transformers' where it has one.
    pub name: &'static str,
    /// Shorter names that are shown.
    pub aliases: &'static [&'static str],
    /// Names of older versions and other tools that are accepted and not shown.
    pub old_names: &'static [&'static str],
    /// What it does, with default and range. One line of the source a line; paragraphs are parted by an empty one.
    pub help: &'static str,
    /// How a value is written.
    pub form: Form,
    /// Sets it from the text of a flag; the error says what was expected.
    pub set: fn(&mut R, &str) -> Result<(), String>,
}

impl<R> Key<R> {
    /// All names by which the key is known.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied()).chain(self.old_names.iter().copied())
    }

    /// The help as one flowing paragraph.
    pub fn help_text(&self) -> String {
        self.help.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What a person asked of one command.
pub trait Request: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The command's name.
    const COMMAND: &'static str;

    /// All keys, in the order in which they are shown.
    const KEYS: &'static [Key<Self>];

    /// This request where it says something, the other elsewhere.
    #[must_use]
    fn or(self, other: Self) -> Self;

    /// The key of this name, old names included.
    fn key(name: &str) -> Option<&'static Key<Self>> {
        Self::KEYS.iter().find(|key| key.names().any(|known| known == name))
    }
}

/// Declares a request: a structure of optional fields, its [`Key`]s, and how two of them are merged.
///
/// `also [...]` are short names that are shown, `old [...]` names that are merely accepted.
macro_rules! request {
    (
        $(#[doc = $about:literal])+
        $command:literal $request:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty $(, also [$($alias:literal),+])? $(, old [$($old:literal),+])?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $request {
            $(
                $(#[doc = $doc])+
                $($(#[serde(alias = $alias)])+)?
                $($(#[serde(alias = $old)])+)?
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }

        impl $crate::config::Request for $request {
            const COMMAND: &'static str = $command;

            const KEYS: &'static [$crate::config::Key<Self>] = &[$($crate::config::Key {
                name: stringify!($field),
                aliases: &[$($($alias),+)?],
                old_names: &[$($($old),+)?],
                help: concat!($($doc, "\n"),+),
                form: <$type as $crate::config::KeyValue>::FORM,
                set: |request, text| {
                    request.$field = Some(<$type as $crate::config::KeyValue>::parse(text)?);
                    Ok(())
                },
            }),+];

            fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field)),+ }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::config::{
        AdaptRequest, ClassifyRequest, CompareRequest, ExtractRequest, FinetuneRequest, GenerateRequest,
        InspectRequest, List, PredictRequest, Request, SearchRequest, VocabExtendRequest, VocabReportRequest,
        VocabUndoRequest, ZeroshotRequest,
    };
    use std::collections::BTreeSet;

    fn check<R: Request>() {
        let mut seen = BTreeSet::new();
        for key in R::KEYS {
            for name in key.names() {
                assert!(seen.insert(name), "{}: '{name}' names two keys", R::COMMAND);
                assert!(!name.contains('-'), "{name}: the command line derives the spelling with dashes");
                assert!(super::super::ignored(name).is_none(), "{name} is a key and ignored at once");
            }
            let help = key.help_text();
            assert!(help.len() > 10 && !help.ends_with('.'), "{}.{}: {help}", R::COMMAND, key.name);
        }
    }

    #[test]
    fn no_name_stands_for_two_keys_and_every_key_has_its_sentence() {
        check::<AdaptRequest>();
        check::<ClassifyRequest>();
        check::<CompareRequest>();
        check::<crate::config::EvaluateRequest>();
        check::<ExtractRequest>();
        check::<FinetuneRequest>();
        check::<GenerateRequest>();
        check::<InspectRequest>();
        check::<crate::config::MergeRequest>();
        check::<PredictRequest>();
        check::<VocabExtendRequest>();
        check::<VocabReportRequest>();
        check::<VocabUndoRequest>();
        check::<SearchRequest>();
        check::<ZeroshotRequest>();
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = AdaptRequest { learning_rate: Some(1e-4), ..AdaptRequest::default() };
        let file = AdaptRequest { learning_rate: Some(1e-5), seed: Some(7), ..AdaptRequest::default() };
        let merged = flags.or(file);
        assert_eq!((merged.learning_rate, merged.seed, merged.max_steps), (Some(1e-4), Some(7), None));
    }

    #[test]
    fn flags_are_read_as_the_type_of_their_key() {
        let mut request = CompareRequest::default();
        (CompareRequest::key("seeds").unwrap().set)(&mut request, "1, 2,3").unwrap();
        assert_eq!(request.seeds, Some(List(vec![1, 2, 3])));
        let error = (CompareRequest::key("test_fraction").unwrap().set)(&mut request, "a fifth").unwrap_err();
        assert!(error.contains("number"), "{error}");
    }
}
