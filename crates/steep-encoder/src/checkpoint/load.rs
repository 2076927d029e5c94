//! Weights of a folder into parameters, strictly and with a report.

use super::file::WeightFiles;
use super::report::{LoadReport, nearest};
use crate::architectures::{self, Architecture};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::heads::HeadKind;
use crate::model::Layout;
use crate::parameters::{Parameter, ParameterSpec, Parameters, Value};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

pub(crate) fn load(
    folder: &Path,
    config: &Config,
    head_kind: HeadKind,
    seed: u64,
) -> Result<(Layout, Parameters, LoadReport)> {
    let files = WeightFiles::open(folder)?;
    let names = Names::of(&files, config);
    let has_pooler = names.by_parameter.keys().any(|name| name.contains(".pooler."));
    let (layout, specs) = Layout::declare(config, head_kind, has_pooler);
    names.check(&specs, folder)?;

    // Most of loading is the first touch of fresh memory, which threads share well.
    let values: Vec<Value> = specs
        .par_iter()
        .map(|spec| value(&files, names.by_parameter.get(&spec.name), spec, seed))
        .collect::<Result<_>>()?;
    let mut report = LoadReport { renamed: names.renamed(), ..LoadReport::default() };
    let mut parameters = Parameters::default();
    for (spec, value) in specs.into_iter().zip(values) {
        if names.by_parameter.contains_key(&spec.name) {
            report.loaded.push(spec.name.clone());
        } else if spec.used {
            report.initialised.push(spec.name.clone());
        }
        parameters.list.push(Parameter::new(spec, value));
    }
    report.unexpected = names.unused(&parameters);
    report.tied = tied(config, &parameters);
    Ok((layout, parameters, report))
}

/// A parameter as the file has it, or as it begins where the file does not.
fn value(files: &WeightFiles, stored: Option<&String>, spec: &ParameterSpec, seed: u64) -> Result<Value> {
    let values = match stored {
        Some(stored) => {
            check_shape(files, stored, spec)?;
            files.read(stored)?
        }
        None => spec.initializer.values(spec.shape.iter().product(), seed, &spec.name),
    };
    Ok(Value::new(values, &spec.shape))
}

/// The file's tensor names, and the parameter that each one is.
struct Names {
    architecture: &'static dyn Architecture,
    /// From the parameter's full name to the file's.
    by_parameter: BTreeMap<String, String>,
}

impl Names {
    fn of(files: &WeightFiles, config: &Config) -> Self {
        let architecture = architectures::of(config.model_type);
        let prefix = architecture.prefix();
        // The prefix is decided once, by looking at all names: a bare encoder has none.
        let bare = !files.names().any(|name| name.starts_with(&format!("{prefix}.")));
        let mut by_parameter = BTreeMap::new();
        for stored in files.names().filter(|name| !is_buffer(name)) {
            let name = modern_name(stored);
            let name =
                if bare && !is_head_name(&name, architecture) { format!("{prefix}.{name}") } else { name };
            by_parameter.insert(name, stored.to_owned());
        }
        let mut names = Self { architecture, by_parameter };
        for (alias, original) in architecture.tied_names() {
            names.untie(alias, original, config.tie_word_embeddings);
        }
        names
    }

    /// A file may hold a tied tensor twice, or only under its alias.
    fn untie(&mut self, alias: &str, original: &str, tie_word_embeddings: bool) {
        if !tie_word_embeddings && alias.ends_with("weight") {
            return;
        }
        if let Some(stored) = self.by_parameter.remove(alias) {
            self.by_parameter.entry(original.to_owned()).or_insert(stored);
        }
    }

    fn renamed(&self) -> Vec<(String, String)> {
        let pairs = self.by_parameter.iter().filter(|(name, stored)| name != stored);
        pairs.map(|(name, stored)| (stored.clone(), name.clone())).collect()
    }

    /// The encoder's tensors must all be there, and no others of it.
    fn check(&self, specs: &[ParameterSpec], folder: &Path) -> Result<()> {
        let is_declared = |name: &str| specs.iter().any(|spec| spec.name == name);
        let encoder = format!("{}.", self.architecture.prefix());
        let is_stranger = |name: &str| {
            name.starts_with(&encoder)
                && !name.contains(".pooler.")
                && !self.architecture.leaves_out(name)
                && !is_declared(name)
        };
        let strangers: Vec<&str> =
            self.by_parameter.keys().map(String::as_str).filter(|name| is_stranger(name)).collect();
        let missing = specs.iter().filter(|spec| !spec.optional);
        let missing: Vec<&str> = missing
            .map(|spec| spec.name.as_str())
            .filter(|name| !self.by_parameter.contains_key(*name))
            .collect();
        if missing.is_empty() && strangers.is_empty() {
            return Ok(());
        }
        let mut problem = String::new();
        for name in missing.iter().take(5) {
            let near = nearest(name, strangers.iter().copied());
            let near = near.map(|near| format!(" (the file has {near})")).unwrap_or_default();
            let _ = write!(problem, "{name} is missing{near}; ");
        }
        for name in strangers.iter().take(5) {
            let _ = write!(problem, "{name} is in the file but not in the architecture; ");
        }
        let count = format!("{} missing and {} unknown tensors: ", missing.len(), strangers.len());
        Err(Error::Weights {
            path: folder.to_path_buf(),
            problem: count + problem.trim_end_matches("; "),
            hint: "config.json and the weights must be of the same model".into(),
        })
    }

    fn unused(&self, parameters: &Parameters) -> Vec<String> {
        let unused = self.by_parameter.iter().filter(|(name, _)| parameters.get(name).is_none());
        unused.map(|(_, stored)| stored.clone()).collect()
    }
}

/// Buffers that older transformers saved beside the weights.
fn is_buffer(name: &str) -> bool {
    const BUFFERS: [&str; 5] = [
        "position_ids",
        "embeddings.token_type_ids",
        ".attn.bias",
        ".attn.masked_bias",
        "rotary_emb.inv_freq",
    ];
    BUFFERS.iter().any(|buffer| name.ends_with(buffer))
}

/// `LayerNorm.gamma` and `.beta`, as the first BERT files have them.
fn modern_name(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("LayerNorm.gamma") {
        return format!("{stem}LayerNorm.weight");
    }
    match name.strip_suffix("LayerNorm.beta") {
        Some(stem) => format!("{stem}LayerNorm.bias"),
        None => name.to_owned(),
    }
}

/// Names that stand beside the encoder.
fn is_head_name(name: &str, architecture: &dyn Architecture) -> bool {
    architecture.head_scopes().iter().any(|head| name.starts_with(head))
}

fn check_shape(files: &WeightFiles, stored: &str, spec: &ParameterSpec) -> Result<()> {
    let found = files.shape(stored);
    if found == spec.shape {
        return Ok(());
    }
    Err(Error::Weights {
        path: files.path(stored).to_path_buf(),
        problem: format!("{stored} has shape {found:?}, the config says {:?}", spec.shape),
        hint: "config.json and the weights must be of the same model".into(),
    })
}

fn tied(config: &Config, parameters: &Parameters) -> Vec<(String, String)> {
    let pairs = architectures::of(config.model_type).tied_names().iter();
    let tied = pairs.filter(|(alias, original)| {
        parameters.get(alias).is_none() && parameters.get(original).is_some() && has_head(alias, parameters)
    });
    tied.map(|(alias, original)| ((*alias).to_owned(), (*original).to_owned())).collect()
}

/// Whether the model has the masked-LM head that the alias belongs to.
fn has_head(alias: &str, parameters: &Parameters) -> bool {
    let scope = alias.split('.').next().unwrap_or(alias);
    parameters.list.iter().any(|parameter| parameter.spec.name.starts_with(scope))
}
