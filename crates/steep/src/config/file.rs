//! Requests as TOML files.

use super::ignored::ignored;
use super::request::Request;
use crate::data::nearest::nearest;
use crate::error::{Error, Result};
use crate::storage::atomic_file;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, Deserializer};

/// The name of the completed request in a run's folder.
pub const RESOLVED: &str = "resolved.toml";

/// Reads a request from a TOML file; the second result tells of keys that were ignored.
///
/// # Errors
/// A file that cannot be read or is no TOML; an unknown key or a value of the wrong type, with its line.
pub fn read_request<R: Request>(path: &Path) -> Result<(R, Vec<String>)> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let source = Source { path, text: &text };
    let mut table =
        DeTable::parse(&text).map_err(|error| source.fault(&error, "the file must be TOML: key = value"))?;
    let mut notes = Vec::new();
    for name in table.get_ref().keys() {
        match ignored(name.get_ref()) {
            Some(ignored) => notes.push(ignored.note()),
            None if R::key(name.get_ref()).is_none() => {
                return Err(source.unknown::<R>(name.get_ref(), name.span()));
            }
            None => {}
        }
    }
    let keys = std::mem::take(table.get_mut()).into_iter();
    *table.get_mut() = keys.filter(|(name, _)| ignored(name.get_ref()).is_none()).collect();
    let request = R::deserialize(Deserializer::from(table));
    let request =
        request.map_err(|error| source.fault(&error, "see the command's --help for what the key takes"))?;
    Ok((request, notes))
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// `file.toml, line 3`, and the key that begins there, if one does.
    fn place(&self, span: Option<Range<usize>>) -> String {
        let Some(before) = span.and_then(|span| self.text.get(..span.start)) else {
            return self.path.display().to_string();
        };
        format!("{}, line {}", self.path.display(), before.matches('\n').count() + 1)
    }

    fn fault(&self, error: &toml::de::Error, hint: &str) -> Error {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        Error::config(self.place(error.span()), message, hint)
    }

    fn unknown<R: Request>(&self, name: &str, span: Range<usize>) -> Error {
        let names: Vec<&str> = R::KEYS.iter().flat_map(super::Key::names).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("`steep {} --help` lists the keys", R::COMMAND),
        };
        let problem = format!("'{name}' is not a key of `steep {}`", R::COMMAND);
        Error::config(self.place(Some(span)), problem, hint)
    }
}

/// A request as TOML, its keys in the order of the reference.
pub fn to_toml<R: Request>(request: &R) -> String {
    toml::to_string(request).expect("a request is a table of plain values")
}

/// Writes a completed request into a run's folder, from where it can be given as the file again.
pub fn write_resolved<R: Request>(request: &R, path: &Path) -> Result<()> {
    let mut text = String::new();
    let _ = writeln!(text, "# What `steep {}` did; `--config` with this file does it again.", R::COMMAND);
    text.push_str(&to_toml(request));
    atomic_file(path, |writer| writer.write_all(text.as_bytes()).map_err(Error::io("write", path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FinetuneRequest;

    fn read(text: &str) -> Result<(FinetuneRequest, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        read_request(&path)
    }

    #[test]
    fn an_unknown_key_names_line_and_nearest_key() {
        let error = read("seed = 1\n\nlearning_rat = 2e-5\n").unwrap_err();
        let message = error.to_string();
        assert!(
            message.ends_with("run.toml, line 3: 'learning_rat' is not a key of `steep finetune`"),
            "{message}"
        );
        assert_eq!(error.hint(), Some("did you mean learning_rate?"));
    }

    #[test]
    fn a_wrong_type_names_its_line() {
        let error = read("seed = 1\nlearning_rate = 'fast'\n").unwrap_err();
        assert!(error.to_string().contains("run.toml, line 2"), "{error}");
        let error = read("seed = = 1\n").unwrap_err();
        assert!(error.to_string().contains("run.toml, line 1"), "{error}");
    }

    #[test]
    fn old_names_are_keys_and_ignored_ones_are_told() {
        let (request, notes) = read("evaluation_strategy = 'epoch'\ndo_train = true\nlr = 1e-4").unwrap();
        assert_eq!((request.eval_strategy.as_deref(), request.learning_rate), (Some("epoch"), Some(1e-4)));
        assert_eq!(notes, ["do_train is ignored: the command says what is done"]);
    }

    #[test]
    fn a_saved_request_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RESOLVED);
        let request =
            FinetuneRequest { seed: Some(3), learning_rate: Some(1e-4), ..FinetuneRequest::default() };
        write_resolved(&request, &path).unwrap();
        assert_eq!(read_request::<FinetuneRequest>(&path).unwrap(), (request, Vec::new()));
    }
}
