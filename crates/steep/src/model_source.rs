//! Where does a model lie that the user names?
//!
//! A folder is used as it is. Anything else is a name on the hub, `owner/name` or `name`: its files are
//! fetched into the cache that the Python libraries use too (`models--owner--name/snapshots/<commit>/`).
//! Only a fixed list of files is asked for, and no name, digest or commit that the hub answers becomes part
//! of a path before its form is checked. Nothing is asked for if `offline` is set.

mod cache;
mod download;
#[cfg(test)]
mod fake_hub;
mod files;
mod hub;
mod suggestions;

use crate::error::{Error, Result};
use crate::progress::Context;
use cache::Cache;
use std::fmt;
use std::path::{Path, PathBuf};

/// How the hub is used.
#[derive(Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// A branch, tag or commit; `None` for `main`.
    pub revision: Option<String>,
    /// The folder with one `models--…` folder per model.
    pub cache_dir: PathBuf,
    /// The hub's address, `https://…`; `None` for the public one.
    pub endpoint: Option<String>,
    /// The user's token, for private and gated models. Sent to the endpoint only.
    pub token: Option<String>,
    /// Use what the cache has and ask nobody.
    pub offline: bool,
}

/// Leaves the token out, so that it never gets into a log.
impl fmt::Debug for HubOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HubOptions")
            .field("revision", &self.revision)
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish()
    }
}

impl HubOptions {
    /// Reads the variables that the Python libraries read: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`,
    /// `HF_HOME`, `HF_HUB_CACHE`, `XDG_CACHE_HOME`, `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE`.
    ///
    /// # Errors
    /// When there is neither a home folder nor a variable that names the cache.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let truthy = |name: &str| {
            set(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()))
        };
        let hub_home = set("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache =
                set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".cache")));
            cache.map(|cache| cache.join("huggingface"))
        });
        let cache_dir = set("HF_HUB_CACHE")
            .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
            .map(PathBuf::from)
            .or_else(|| hub_home.as_ref().map(|hub_home| hub_home.join("hub")));
        let Some(cache_dir) = cache_dir else {
            return Err(Error::config(
                "HF_HOME",
                "is not set and there is no home folder",
                "set HF_HOME to a folder",
            ));
        };
        let token_path = set("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(hub_home?.join("token")));
        let token =
            set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(|| read_token(&token_path?));
        Ok(Self {
            revision: None,
            cache_dir,
            endpoint: set("HF_ENDPOINT"),
            token,
            offline: truthy("HF_HUB_OFFLINE") || truthy("TRANSFORMERS_OFFLINE"),
        })
    }
}

/// The token that a login left in a file; without one, work goes on without a token.
fn read_token(path: &Path) -> Option<String> {
    let token = std::fs::read_to_string(path).ok()?.trim().to_owned();
    (!token.is_empty()).then_some(token)
}

/// The local folder of a model, fetched from the hub first if need be.
///
/// If the hub cannot be reached and the cache has the model whole, the cached one is used and a line says so.
///
/// # Errors
/// When there is no such folder or model, the hub refuses, or the model has no safetensors weights.
pub fn resolve(name_or_path: &str, options: &HubOptions, context: &Context) -> Result<PathBuf> {
    let path = Path::new(name_or_path);
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    if path.exists() {
        return Err(Error::model(
            name_or_path,
            "is a file and not a model folder",
            "name the folder it lies in",
        ));
    }
    if !is_hub_name(name_or_path) {
        return Err(Error::model(name_or_path, "no such folder", suggestions::hint_for_folder(path)));
    }
    check_options(options)?;
    let cache = Cache::new(&options.cache_dir, name_or_path);
    let found = if options.offline {
        cache.complete(revision(options)).ok_or_else(|| not_cached(name_or_path))
    } else {
        hub::fetch(name_or_path, options, &cache, context)
    };
    found.map_err(|error| with_similar_folders(error, path))
}

fn revision(options: &HubOptions) -> &str {
    options.revision.as_deref().unwrap_or("main")
}

fn not_cached(name: &str) -> Error {
    Error::model(
        name,
        "is not a folder, and the cache does not have it whole",
        "offline work was asked for (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE); fetch the model once while online, \
         or name a folder",
    )
}

/// What is no hub name may have been meant as a folder; say which ones are like it.
fn with_similar_folders(error: Error, path: &Path) -> Error {
    match error {
        Error::Model { model, problem, hint } => {
            let hint = match suggestions::similar_folders(path) {
                similar if similar.is_empty() => hint,
                similar => format!("{hint}; or did you mean the folder {}?", similar.join(" or ")),
            };
            Error::Model { model, problem, hint }
        }
        other => other,
    }
}

/// Whether a text can be a model's name on the hub: `name` or `owner/name` of letters, digits, `-`, `_`, `.`.
fn is_hub_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|part| files::is_plain_name(part) && !part.contains("--"))
}

fn check_options(options: &HubOptions) -> Result<()> {
    if !revision(options).split('/').all(files::is_plain_name) {
        return Err(Error::config(
            "revision",
            format!("'{}' is no name of a branch, tag or commit", revision(options)),
            "give a name as the hub shows it, such as main or v1.0",
        ));
    }
    match &options.endpoint {
        Some(endpoint) if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") => {
            Err(Error::config(
                "HF_ENDPOINT",
                format!("'{endpoint}' is no address"),
                "give an address that begins with https://",
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancel, Silent};
    use std::collections::BTreeMap;

    fn options(variables: &[(&str, &str)]) -> Result<HubOptions> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        HubOptions::from_variables(
            |name| variables.get(name).map(ToString::to_string),
            Some("/home/a".into()),
        )
    }

    fn offline(cache_dir: &Path) -> HubOptions {
        HubOptions { revision: None, cache_dir: cache_dir.into(), endpoint: None, token: None, offline: true }
    }

    fn find(name: &str, options: &HubOptions) -> Result<PathBuf> {
        resolve(name, options, &Context { progress: &Silent, cancel: &Cancel::default() })
    }

    #[test]
    fn the_environment_is_read_as_python_reads_it() {
        let plain = options(&[]).unwrap();
        assert_eq!(plain.cache_dir, Path::new("/home/a/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.is_none() && plain.endpoint.is_none());
        let cache = |variables: &[(&str, &str)]| options(variables).unwrap().cache_dir;
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/h/hub"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]), Path::new("/c"));
        for value in ["1", "ON", "yes", "True"] {
            assert!(options(&[("HF_HUB_OFFLINE", value)]).unwrap().offline);
            assert!(options(&[("TRANSFORMERS_OFFLINE", value)]).unwrap().offline);
        }
        assert!(!options(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);
        assert!(HubOptions::from_variables(|_| None, None).is_err());
    }

    #[test]
    fn the_token_comes_from_the_variable_or_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "from-file\n").unwrap();
        let file = ("HF_TOKEN_PATH", path.to_str().unwrap());
        assert_eq!(options(&[file]).unwrap().token.as_deref(), Some("from-file"));
        let both = options(&[file, ("HF_TOKEN", " secret ")]).unwrap();
        assert_eq!(both.token.as_deref(), Some("secret"));
        assert!(!format!("{both:?}").contains("secret"));
        let home = ("HF_HOME", folder.path().to_str().unwrap());
        assert_eq!(options(&[home]).unwrap().token.as_deref(), Some("from-file"));
    }

    #[test]
    fn a_folder_is_used_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap();
        assert_eq!(find(name, &offline(folder.path())).unwrap(), folder.path());
        std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
        let file = format!("{name}/model.safetensors");
        assert!(find(&file, &offline(folder.path())).unwrap_err().to_string().contains("is a file"));
    }

    #[test]
    fn a_missing_folder_gets_the_nearest_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bert-tiny")).unwrap();
        let name = folder.path().join("bert-tinny");
        let error = find(name.to_str().unwrap(), &offline(folder.path())).unwrap_err();
        assert!(error.to_string().contains("no such folder"), "{error}");
        assert!(error.hint().unwrap().contains("bert-tiny"), "{:?}", error.hint());
        for name in [
            "./models/x",
            "models/x/y",
            "../no-such-model",
            "a\\b",
            "",
            "a//b",
            "-a",
            "a--b",
            "a b",
            "a/..",
            "é",
        ] {
            let error = find(name, &offline(folder.path()));
            assert!(error.is_err_and(|error| error.to_string().contains("folder")), "{name}");
        }
    }

    #[test]
    fn names_of_the_hub_are_recognised() {
        for name in ["bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2", "a/b.c_d"] {
            assert!(is_hub_name(name), "{name}");
        }
    }

    #[test]
    fn a_bad_revision_or_address_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["../main", "a b", "", "/x", "refs//pr"] {
            let options = HubOptions { revision: Some(bad.into()), ..offline(folder.path()) };
            assert!(matches!(find("a/b", &options), Err(Error::Config { .. })), "{bad}");
        }
        let options = HubOptions { endpoint: Some("ftp://x".into()), ..offline(folder.path()) };
        assert!(matches!(find("a/b", &options), Err(Error::Config { .. })));
    }

    #[test]
    fn offline_work_without_a_cached_model_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = find("owner/model", &offline(folder.path())).unwrap_err();
        assert!(error.hint().unwrap().contains("HF_HUB_OFFLINE"), "{error}");
    }
}
