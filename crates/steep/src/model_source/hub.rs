//! A model from the hub into the cache.

use super::cache::Cache;
use super::download::{Client, Failure};
use super::files::{CONFIG, OPTIONAL, PICKLED_WEIGHTS, WEIGHTS, WEIGHTS_INDEX, is_commit, shards};
use super::{HubOptions, revision};
use crate::error::{Error, Result};
use crate::progress::Context;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the hub says about a model at a revision.
#[derive(Deserialize)]
struct Information {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// The snapshot folder of a model, with all wanted files in it.
pub(super) fn fetch(name: &str, options: &HubOptions, cache: &Cache, context: &Context) -> Result<PathBuf> {
    let client = Client::new(name, options)?;
    let information: Information = match client.information(context.cancel) {
        Ok(information) => information,
        Err(Failure::Unreachable(reason)) => return from_cache(name, options, cache, context, &reason),
        Err(Failure::Refused(error)) => return Err(error),
    };
    let commit = information.sha;
    if !is_commit(&commit) {
        return Err(Error::model(name, format!("the hub names the commit '{commit}'"), "check HF_ENDPOINT"));
    }
    let offered = information.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    let download =
        Download { name, client: client.at_commit(&commit), cache, commit: &commit, offered, context };
    download.all()?;
    cache.remember(revision(options), &commit)?;
    Ok(cache.snapshot(&commit))
}

fn from_cache(
    name: &str,
    options: &HubOptions,
    cache: &Cache,
    context: &Context,
    reason: &str,
) -> Result<PathBuf> {
    context.cancel.check()?;
    let Some(folder) = cache.complete(revision(options)) else {
        return Err(Error::model(
            name,
            format!("is not a folder, and the hub cannot be reached: {reason}"),
            "check the name, the network and HF_ENDPOINT",
        ));
    };
    context.progress.line(&format!("{name}: the hub cannot be reached ({reason}); using the cached model"));
    Ok(folder)
}

/// The fetching of one commit.
struct Download<'a> {
    name: &'a str,
    client: Client,
    cache: &'a Cache,
    commit: &'a str,
    /// The files the model has, by the hub's word; only compared with, never used as a path.
    offered: BTreeSet<String>,
    context: &'a Context<'a>,
}

impl Download<'_> {
    /// Small files first, so that a mistake shows before the weights are fetched.
    fn all(&self) -> Result<()> {
        let weights = self.weights()?;
        for file in std::iter::once(CONFIG).chain(OPTIONAL) {
            if self.offered.contains(file) {
                self.file(file)?;
            }
        }
        if weights == WEIGHTS {
            return self.file(WEIGHTS);
        }
        self.file(WEIGHTS_INDEX)?;
        for shard in shards(&self.cache.snapshot(self.commit).join(WEIGHTS_INDEX))? {
            self.file(&shard)?;
        }
        Ok(())
    }

    fn weights(&self) -> Result<&'static str> {
        let has = |file: &&str| self.offered.contains(*file);
        let (problem, hint) = if !self.offered.contains(CONFIG) {
            ("has no config.json on the hub", "name a model that transformers can load")
        } else if let Some(weights) = [WEIGHTS, WEIGHTS_INDEX].into_iter().find(has) {
            return Ok(weights);
        } else if PICKLED_WEIGHTS.iter().any(has) {
            (
                "has its weights in pytorch_model.bin only, a format that can run code on loading",
                "load it with transformers and call save_pretrained(folder, safe_serialization=True), then name the folder",
            )
        } else {
            ("has no weights on the hub", "name a model with a model.safetensors")
        };
        Err(Error::model(self.name, problem, hint))
    }

    fn file(&self, file: &str) -> Result<()> {
        self.context.cancel.check()?;
        if self.cache.snapshot(self.commit).join(file).is_file() {
            return Ok(());
        }
        let etag = self.client.download(file, self.cache, self.context)?;
        self.cache.link(&etag, self.commit, file)
    }
}
