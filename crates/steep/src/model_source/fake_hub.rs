//! A hub on this machine, for tests: what it offers, what it was asked, and what came of it.

use super::{HubOptions, resolve};
use crate::error::Result;
use crate::progress::{Cancel, Context, Silent};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request: path, and headers with names in lower case.
#[derive(Debug, Clone)]
struct Request {
    path: String,
    headers: BTreeMap<String, String>,
}

/// An answer: status, headers, body. With `broken_after`, the connection ends after so many bytes.
#[derive(Debug, Clone, Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    broken_after: Option<usize>,
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct FakeHub {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeHub {
    fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped, handler): (_, _, Box<Handler>) =
            (requests.clone(), stop.clone(), Box::new(handler));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away early is part of some tests.
                let _ = serve(&stream.unwrap(), &seen, &handler);
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    fn options(&self, cache: &Path) -> HubOptions {
        HubOptions {
            revision: None,
            cache_dir: cache.to_path_buf(),
            endpoint: Some(self.address.clone()),
            token: None,
            offline: false,
        }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Request>>, handler: &Handler) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next().unwrap_or(Ok(String::new()))?.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let request = Request { path, headers };
    seen.lock().unwrap().push(request.clone());
    let reply = handler(&request);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {} Status\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    )?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&reply.body[..reply.broken_after.unwrap_or(reply.body.len())])?;
    stream.flush()
}

fn status(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

fn information(files: &[&str]) -> Reply {
    let siblings: Vec<_> = files.iter().map(|file| serde_json::json!({"rfilename": file})).collect();
    Reply {
        body: serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string().into_bytes(),
        ..status(200)
    }
}

/// A small file as the hub gives it, with the range honoured.
fn content(request: &Request, etag: &str, body: &[u8]) -> Reply {
    let etag = ("ETag", format!("\"{etag}\""));
    let from = request
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match from {
        Some(from) if from < body.len() => Reply {
            headers: vec![etag, ("Content-Range", format!("bytes {from}-{}/{}", body.len() - 1, body.len()))],
            body: body[from..].to_vec(),
            ..status(206)
        },
        Some(_) => status(416),
        None => Reply {
            headers: vec![etag, ("X-Repo-Commit", COMMIT.into())],
            body: body.to_vec(),
            ..status(200)
        },
    }
}

/// A hub with one model `owner/model`, whose files it serves.
fn model(files: &'static [(&'static str, &'static str)]) -> impl Fn(&Request) -> Reply + Send + Sync {
    move |request| {
        if request.path == "/api/models/owner/model/revision/main" {
            let names: Vec<&str> =
                files.iter().map(|(name, _)| *name).chain(["README.md", "evil/../../x"]).collect();
            return information(&names);
        }
        let wanted = request.path.strip_prefix(&format!("/owner/model/resolve/{COMMIT}/"));
        match files.iter().enumerate().find(|(_, (name, _))| Some(*name) == wanted) {
            Some((index, (_, body))) => content(request, &format!("etag{index}"), body.as_bytes()),
            None => status(404),
        }
    }
}

const PLAIN: &[(&str, &str)] = &[
    ("config.json", "{}"),
    ("tokenizer.json", "{\"tokenizer\": 1}"),
    ("1_Pooling/config.json", "{\"pooling\": 1}"),
    ("model.safetensors", "weights weights weights"),
];

fn fetch(options: &HubOptions) -> Result<PathBuf> {
    resolve("owner/model", options, &Context { progress: &Silent, cancel: &Cancel::default() })
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// All files below a folder.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(tree(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn a_model_lands_in_the_layout_of_python() {
    let (hub, cache) = (FakeHub::start(model(PLAIN)), tempfile::tempdir().unwrap());
    let folder = fetch(&hub.options(cache.path())).unwrap();
    let root = cache.path().join("models--owner--model");
    assert_eq!(folder, root.join("snapshots").join(COMMIT));
    for (name, body) in PLAIN {
        assert_eq!(read(&folder, name), *body);
    }
    assert_eq!(read(&root, "refs/main"), COMMIT);
    assert_eq!(read(&root, "blobs/etag0"), "{}");
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(folder.join("1_Pooling/config.json")).unwrap(),
        Path::new("../../../blobs/etag2")
    );
    assert!(!folder.join("README.md").exists(), "only listed files are fetched");
    assert!(hub.requests().iter().all(|request| !request.path.contains("evil")));
}

#[test]
fn what_is_cached_is_not_fetched_again_and_serves_offline() {
    let (hub, cache) = (FakeHub::start(model(PLAIN)), tempfile::tempdir().unwrap());
    let options = hub.options(cache.path());
    let folder = fetch(&options).unwrap();
    let before = hub.requests().len();
    assert_eq!(fetch(&options).unwrap(), folder);
    assert_eq!(hub.requests().len(), before + 1, "one question about the model, no file");
    let offline = HubOptions { offline: true, ..options.clone() };
    assert_eq!(fetch(&offline).unwrap(), folder);
    let commit = HubOptions { revision: Some(COMMIT.into()), ..offline.clone() };
    assert_eq!(fetch(&commit).unwrap(), folder);
    assert_eq!(hub.requests().len(), before + 1, "offline, nothing is asked");
    drop(hub);
    assert_eq!(fetch(&options).unwrap(), folder, "an unreachable hub is no obstacle");
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    assert!(fetch(&offline).is_err(), "a model without weights is not complete");
    assert!(fetch(&options).unwrap_err().to_string().contains("cannot be reached"));
}

#[test]
fn a_token_is_needed_sent_and_not_passed_on() {
    let storage = FakeHub::start(|request| content(request, "elsewhere", b"large weights"));
    let address = storage.address.clone();
    let hub = FakeHub::start(move |request| {
        if request.headers.get("authorization").map(String::as_str) != Some("Bearer secret") {
            return status(401);
        }
        if request.path.ends_with("model.safetensors") {
            let headers = vec![
                ("Location", format!("{address}/signed?x=1")),
                ("X-Linked-Etag", "\"cafe\"".into()),
                ("X-Linked-Size", "13".into()),
            ];
            return Reply { headers, ..status(302) };
        }
        if request.path.ends_with("/config.json") && request.path.contains("/resolve/") {
            return Reply { headers: vec![("Location", "/moved".into())], ..status(307) };
        }
        if request.path == "/moved" {
            content(request, "abc", b"{}")
        } else {
            information(&["config.json", "model.safetensors"])
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let options = hub.options(cache.path());
    let error = fetch(&options).unwrap_err();
    assert!(error.hint().unwrap().contains("HF_TOKEN"), "{error}");
    let folder = fetch(&HubOptions { token: Some("secret".into()), ..options }).unwrap();
    assert_eq!(read(&folder, "model.safetensors"), "large weights");
    assert!(cache.path().join("models--owner--model/blobs/cafe").is_file());
    assert_eq!(storage.requests().len(), 1);
    assert!(!storage.requests()[0].headers.contains_key("authorization"), "the token left the hub");
}

#[test]
fn an_index_brings_its_shards() {
    const SHARDED: &[(&str, &str)] = &[
        ("config.json", "{}"),
        (
            "model.safetensors.index.json",
            r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#,
        ),
        ("model-1.safetensors", "one"),
        ("model-2.safetensors", "two"),
    ];
    let (hub, cache) = (FakeHub::start(model(SHARDED)), tempfile::tempdir().unwrap());
    let folder = fetch(&hub.options(cache.path())).unwrap();
    assert_eq!(read(&folder, "model-2.safetensors"), "two");
}

#[test]
fn a_hostile_shard_name_reaches_nothing() {
    for shard in ["../../../escaped.safetensors", "/tmp/escaped.safetensors", "sub/../../escaped.safetensors"]
    {
        let hub = FakeHub::start(move |request| {
            if request.path.starts_with("/api/") {
                return information(&["config.json", "model.safetensors.index.json", shard]);
            }
            let index = serde_json::json!({"weight_map": {"a": shard}}).to_string();
            content(request, "abc", if request.path.contains("index") { index.as_bytes() } else { b"{}" })
        });
        let outer = tempfile::tempdir().unwrap();
        let cache = outer.path().join("a/b/cache");
        assert!(fetch(&hub.options(&cache)).unwrap_err().to_string().contains("weight file"));
        assert!(tree(outer.path()).iter().all(|path| path.starts_with(&cache)));
        assert!(hub.requests().iter().all(|request| !request.path.contains("escaped")));
    }
}

#[test]
fn a_hostile_etag_or_commit_reaches_nothing() {
    for etag in ["../../../escaped", "/tmp/escaped", "", "..", "a/b"] {
        let hub = FakeHub::start(move |request| {
            if request.path.starts_with("/api/") {
                information(&["config.json", "model.safetensors"])
            } else {
                content(request, etag, b"{}")
            }
        });
        let outer = tempfile::tempdir().unwrap();
        assert!(
            fetch(&hub.options(&outer.path().join("a/b/cache"))).unwrap_err().to_string().contains("etag")
        );
        assert!(tree(outer.path()).is_empty(), "{etag}");
    }
    let hub = FakeHub::start(|_| Reply {
        body: br#"{"sha": "../../../../escaped", "siblings": []}"#.to_vec(),
        ..status(200)
    });
    let cache = tempfile::tempdir().unwrap();
    assert!(fetch(&hub.options(cache.path())).unwrap_err().to_string().contains("commit"));
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let first = Arc::new(AtomicBool::new(true));
    let hub = FakeHub::start(move |request| {
        if request.path.starts_with("/api/") {
            return information(&["config.json", "model.safetensors"]);
        }
        if !request.path.ends_with("model.safetensors") {
            return content(request, "abc", b"{}");
        }
        let reply = content(request, "weights", b"0123456789");
        Reply { broken_after: first.swap(false, Ordering::SeqCst).then_some(4), ..reply }
    });
    let cache = tempfile::tempdir().unwrap();
    let options = hub.options(cache.path());
    let error = fetch(&options).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    assert!(
        HubOptions { offline: true, ..options.clone() }.offline
            && fetch(&HubOptions { offline: true, ..options.clone() }).is_err()
    );
    let folder = fetch(&options).unwrap();
    assert_eq!(read(&folder, "model.safetensors"), "0123456789");
    assert!(
        hub.requests()
            .iter()
            .any(|request| request.headers.get("range").is_some_and(|range| range == "bytes=4-"))
    );
    assert!(
        tree(cache.path())
            .iter()
            .all(|path| path.extension().is_none_or(|extension| extension != "incomplete"))
    );
}

#[test]
fn pickled_weights_are_refused_with_the_cure() {
    const PICKLED: &[(&str, &str)] = &[("config.json", "{}"), ("pytorch_model.bin", "pickle")];
    let (hub, cache) = (FakeHub::start(model(PICKLED)), tempfile::tempdir().unwrap());
    let error = fetch(&hub.options(cache.path())).unwrap_err();
    assert!(error.hint().unwrap().contains("safe_serialization=True"), "{error}");
    assert_eq!(hub.requests().len(), 1);
}

#[test]
fn refusals_are_explained() {
    for (code, word) in
        [(401, "token"), (403, "account"), (404, "no such model"), (429, "requests"), (500, "500")]
    {
        let (hub, cache) = (FakeHub::start(move |_| status(code)), tempfile::tempdir().unwrap());
        let error = fetch(&hub.options(cache.path())).unwrap_err();
        assert!(error.to_string().contains(word) && error.hint().is_some(), "{code}: {error}");
    }
}

#[test]
fn a_hub_that_redirects_for_ever_or_talks_nonsense_is_an_error() {
    for reply in [
        Reply { headers: vec![("Location", "/again".into())], ..status(302) },
        Reply { headers: vec![("Location", "file:///etc/passwd".into())], ..status(302) },
        status(302),
        Reply { body: b"<html>".to_vec(), ..status(200) },
    ] {
        let (hub, cache) = (FakeHub::start(move |_| reply.clone()), tempfile::tempdir().unwrap());
        assert!(fetch(&hub.options(cache.path())).is_err());
    }
}

#[test]
fn a_stop_is_obeyed() {
    let (hub, cache) = (FakeHub::start(model(PLAIN)), tempfile::tempdir().unwrap());
    let cancel = Cancel::default();
    cancel.cancel();
    let result =
        resolve("owner/model", &hub.options(cache.path()), &Context { progress: &Silent, cancel: &cancel });
    assert!(matches!(result, Err(crate::error::Error::Cancelled)));
}
