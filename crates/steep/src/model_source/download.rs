//! One file from the hub, whole, under the name of its content.
//!
//! Requests go through hf-hub's client (its TLS, proxy and token), but not through its `download`: that one
//! makes paths of the etag and commit that a server answers, and sends the token on to other hosts.

use super::cache::Cache;
use super::files::is_plain_name;
use super::{HubOptions, revision};
use crate::error::{Error, Result};
use crate::progress::{Cancel, Context};
use crate::storage::sync_directory;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Repo, RepoType};
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the hub may take to connect, to answer, and between two pieces of a file.
const PATIENCE: Duration = Duration::from_secs(30);
/// More redirections than this are a loop.
const MAX_REDIRECTIONS: usize = 10;
/// The description of a model is no larger than this.
const MAX_INFORMATION: u64 = 32 << 20;
/// Bytes read at once.
const PIECE: usize = 1 << 18;

/// Why the hub gave nothing.
pub(super) enum Failure {
    /// No answer at all: the cache may help.
    Unreachable(String),
    /// An answer that is final.
    Refused(Error),
}

/// Asks the hub about one model.
pub(super) struct Client {
    name: String,
    revision: String,
    has_token: bool,
    api: Api,
    repository: ApiRepo,
}

/// The parts of an answer that are used.
struct Answer {
    status: u16,
    location: Option<String>,
    etag: Option<String>,
    linked_etag: Option<String>,
    linked_size: Option<u64>,
    length: Option<u64>,
    range: Option<String>,
    body: Box<dyn Read + Send>,
}

/// What is known of a file before its content is read.
struct Target {
    url: String,
    etag: String,
    size: Option<u64>,
    answer: Answer,
}

impl Client {
    pub(super) fn new(name: &str, options: &HubOptions) -> Result<Self> {
        let mut builder = ApiBuilder::from_cache(hf_hub::Cache::new(options.cache_dir.clone()))
            .with_token(options.token.clone())
            .with_progress(false);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = builder.build().map_err(|error: ApiError| {
            Error::model(name, format!("the hub cannot be asked: {error}"), "check HF_ENDPOINT and HF_TOKEN")
        })?;
        Ok(Self::of(api, name, revision(options), options.token.is_some()))
    }

    fn of(api: Api, name: &str, revision: &str, has_token: bool) -> Self {
        let repository = api.repo(Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned()));
        Self { name: name.to_owned(), revision: revision.to_owned(), has_token, api, repository }
    }

    /// The same model at a commit, which cannot change while its files are fetched.
    pub(super) fn at_commit(&self, commit: &str) -> Self {
        Self::of(self.api.clone(), &self.name, commit, self.has_token)
    }

    /// What the hub says about the model at its revision.
    pub(super) fn information<T: DeserializeOwned>(&self, cancel: &Cancel) -> Result<T, Failure> {
        let unclear = |reason: String| {
            Failure::Refused(Error::model(
                &self.name,
                format!("the hub's answer is unclear: {reason}"),
                "check HF_ENDPOINT",
            ))
        };
        let url = self.repository.info_request().uri_ref().map(ToString::to_string).unwrap_or_default();
        let target = self.follow(&url, cancel)?;
        let mut bytes = Vec::new();
        target
            .1
            .body
            .take(MAX_INFORMATION)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| unclear(error.to_string()))
    }

    /// Fetches a file of the model into the cache and returns the name of its content.
    pub(super) fn download(&self, file: &str, cache: &Cache, context: &Context) -> Result<String> {
        let target = self.target(file, context.cancel).map_err(|failure| self.final_error(file, failure))?;
        let blob = cache.blob(&target.etag);
        let present = fs::metadata(&blob).is_ok_and(|blob| target.size.is_none_or(|size| size == blob.len()));
        let etag = target.etag.clone();
        if !present {
            context.progress.start(&format!("downloading {file}"), target.size, "bytes");
            let result = self.content(file, target, &blob, context);
            context.progress.finish();
            result?;
        }
        Ok(etag)
    }

    fn target(&self, file: &str, cancel: &Cancel) -> Result<Target, Failure> {
        let (url, mut answer) = self.follow(&self.repository.url(file), cancel)?;
        let etag = answer.linked_etag.take().or_else(|| answer.etag.take()).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        if !is_plain_name(&etag) {
            let problem = format!("the hub gives {file} the etag '{etag}', which is no digest");
            return Err(Failure::Refused(Error::model(&self.name, problem, "check HF_ENDPOINT")));
        }
        Ok(Target { url, etag, size: answer.linked_size.or(answer.length), answer })
    }

    /// Reads the content into `<blob>.incomplete`, going on where a former try stopped, and renames it.
    fn content(&self, file: &str, target: Target, blob: &Path, context: &Context) -> Result<()> {
        let folder = blob.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = PathBuf::from(format!("{}.incomplete", blob.display()));
        let mut partial = open_alone(&path, context.cancel)?;
        let size = target.size;
        let written = self.fill(file, target, &mut partial, &path, context)?;
        if size.is_some_and(|size| size != written) {
            drop(partial);
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            return Err(self
                .broken(file, &format!("{written} bytes came where {} were announced", size.unwrap_or(0))));
        }
        partial.sync_all().map_err(Error::io("write", &path))?;
        fs::rename(&path, blob).map_err(Error::io("rename", blob))?;
        sync_directory(folder)
    }

    /// Appends what is missing and returns the number of bytes that the file has then.
    fn fill(
        &self,
        file: &str,
        target: Target,
        partial: &mut File,
        path: &Path,
        context: &Context,
    ) -> Result<u64> {
        let present = partial.metadata().map_err(Error::io("read", path))?.len();
        let (mut start, mut answer) = (present, target.answer);
        if target.size == Some(present) {
            return Ok(present);
        }
        if present > 0 {
            let rest = self.ask(&target.url, Some(present));
            answer = rest.map_err(|reason| self.final_error(file, Failure::Unreachable(reason)))?;
            let goes_on =
                answer.range.as_ref().is_some_and(|range| range.starts_with(&format!("bytes {present}-")));
            if answer.status != 206 || !goes_on {
                start = 0;
                partial.set_len(0).map_err(Error::io("write", path))?;
                answer = self
                    .ask(&target.url, None)
                    .map_err(|reason| self.final_error(file, Failure::Unreachable(reason)))?;
            }
        }
        if !matches!(answer.status, 200 | 206) {
            return Err(self.broken(file, &format!("the hub answers with status {}", answer.status)));
        }
        context.progress.advance(start);
        let limit = target.size.map_or(u64::MAX, |size| size.saturating_sub(start).saturating_add(1));
        let read = self.copy(file, answer.body.take(limit), partial, path, context)?;
        Ok(start + read)
    }

    fn copy(
        &self,
        file: &str,
        mut body: impl Read,
        partial: &mut File,
        path: &Path,
        context: &Context,
    ) -> Result<u64> {
        let mut piece = vec![0; PIECE];
        let mut total = 0;
        loop {
            context.cancel.check()?;
            let count = match body.read(&mut piece) {
                Ok(0) => return Ok(total),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(file, &error.to_string())),
            };
            partial.write_all(&piece[..count]).map_err(Error::io("write", path))?;
            context.progress.advance(count as u64);
            total += count as u64;
        }
    }

    /// Asks for an address and follows redirections; returns where the content lies, and the answer there
    /// with the digest and size that the hub itself gave.
    fn follow(&self, url: &str, cancel: &Cancel) -> Result<(String, Answer), Failure> {
        let mut url = url.to_owned();
        let (mut etag, mut linked_etag, mut linked_size) = (None, None, None);
        for _ in 0..=MAX_REDIRECTIONS {
            cancel.check().map_err(Failure::Refused)?;
            let mut answer = self.ask(&url, None).map_err(Failure::Unreachable)?;
            if self.is_hub(&url) {
                etag = answer.etag.take().or(etag);
                linked_etag = linked_etag.or(answer.linked_etag.take());
                linked_size = linked_size.or(answer.linked_size.take());
            }
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                self.check_status(answer.status).map_err(Failure::Refused)?;
                return Ok((url, Answer { etag, linked_etag, linked_size, ..answer }));
            }
            let location = answer.location.unwrap_or_default();
            url = redirected(&url, &location).ok_or_else(|| {
                Failure::Refused(Error::model(
                    &self.name,
                    format!("the hub redirects to '{location}'"),
                    "check HF_ENDPOINT",
                ))
            })?;
        }
        Err(Failure::Refused(Error::model(&self.name, "the hub redirects without end", "check HF_ENDPOINT")))
    }

    /// One request, from a byte on or from the beginning. The token goes to the hub only.
    fn ask(&self, url: &str, from: Option<u64>) -> Result<Answer, String> {
        let mut request = self.repository.info_request().uri(url);
        if let Some(from) = from {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if !self.is_hub(url) {
            request.headers_mut().and_then(|headers| headers.remove("authorization"));
        }
        let response = request
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Compressed content would not have the announced size.
            .accept_encoding("identity")
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build()
            .call()
            .map_err(|error| error.to_string())?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let number = |name: &str| header(name).and_then(|value| value.parse().ok());
        Ok(Answer {
            status: response.status().as_u16(),
            location: header("location"),
            etag: header("etag"),
            linked_etag: header("x-linked-etag"),
            linked_size: number("x-linked-size"),
            length: number("content-length"),
            range: header("content-range"),
            body: Box::new(response.into_body().into_reader()),
        })
    }

    fn is_hub(&self, url: &str) -> bool {
        origin(url) == origin(&self.repository.url(""))
    }

    fn check_status(&self, status: u16) -> Result<()> {
        let (problem, hint) = match status {
            200..=299 => return Ok(()),
            401 if self.has_token => ("the hub does not accept the token".to_owned(), "renew HF_TOKEN"),
            401 => (
                "there is no such model on the hub, or it needs a token".to_owned(),
                "check the name; for a private or gated model set HF_TOKEN to a token that may read it",
            ),
            403 => (
                "the hub does not let this account read the model".to_owned(),
                "accept the model's conditions on its page, and set HF_TOKEN to a token that may read it",
            ),
            404 => (
                format!("there is no such model on the hub, or it has no revision '{}'", self.revision),
                "check the name, and that it is not a folder's",
            ),
            429 => {
                ("the hub takes no more requests for now".to_owned(), "wait some minutes, or set HF_TOKEN")
            }
            _ => (format!("the hub answers with status {status}"), "try again later, and check HF_ENDPOINT"),
        };
        Err(Error::model(&self.name, problem, hint))
    }

    fn final_error(&self, file: &str, failure: Failure) -> Error {
        match failure {
            Failure::Unreachable(reason) => self.broken(file, &reason),
            Failure::Refused(error) => error,
        }
    }

    fn broken(&self, file: &str, reason: &str) -> Error {
        Error::model(
            &self.name,
            format!("{file} could not be fetched: {reason}"),
            "run again; the download goes on where it stopped",
        )
    }
}

/// Opens a file for appending that no other process writes, waiting for another one to end.
fn open_alone(path: &Path, cancel: &Cancel) -> Result<File> {
    loop {
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(Error::io("create", path))?;
        match file.try_lock() {
            // The one that was waited for has renamed it: what is locked is not what lies there.
            Ok(()) if !path.exists() => {}
            // Where the file system has no locks, there is no way to know of others.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(200)),
        }
        cancel.check()?;
    }
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    &url[..url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at)]
}

/// Where a redirection leads; `None` if it is malformed or would give up encryption.
fn redirected(from: &str, location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{}{location}", origin(from)));
    }
    let keeps_encryption =
        location.starts_with("https://") || (location.starts_with("http://") && from.starts_with("http://"));
    keeps_encryption.then(|| location.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_keep_encryption() {
        let from = "https://hub.example/a/b?c";
        assert_eq!(redirected(from, "/x").as_deref(), Some("https://hub.example/x"));
        assert_eq!(redirected(from, "https://cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        for bad in ["http://hub.example/x", "//cdn.example/x", "file:///etc/passwd", "x", ""] {
            assert_eq!(redirected(from, bad), None, "{bad}");
        }
        assert_eq!(origin("https://hub.example:8080/a"), "https://hub.example:8080");
        assert_ne!(origin("https://hub.example.evil/a"), origin("https://hub.example/a"));
    }
}
