//! `steep inspect`: what is in a model folder.

mod trained;

use crate::arguments::Inspect;
use crate::figures::{count, megabytes};
use crate::session::Session;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use steep::config::{InspectFormat, default_dtype};
use steep::encoder::{HeadKind, LoadReport, Model};
use steep::stages::{ModelFolder, TrainedAbout, about_trained};
use steep::text::{LengthSource, TokenizerFacts};

pub(crate) fn run(mut arguments: Inspect, session: &Session) -> anyhow::Result<()> {
    let named = arguments.model.take();
    let mut request = session.request(arguments.asked)?;
    request.model_name_or_path = named.or(request.model_name_or_path);
    let (name, revision, format) = request.resolve()?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[]);
    }
    let path = session.model_path(&name, revision.as_ref())?;
    let trained = about_trained(&path)?;
    if let (Some(trained), false) = (&trained, path.join("config.json").is_file()) {
        return match format {
            InspectFormat::Text => session.say(&[path.display().to_string(), trained::text(trained)]),
            InspectFormat::Json => session.say(&[serde_json::to_string_pretty(
                &serde_json::json!({"path": path, "trained": trained}),
            )?]),
        };
    }
    let folder = ModelFolder::open(&path)?;
    let facts = Facts::gather(&folder, trained)?;
    match format {
        InspectFormat::Text => session.say(&[facts.text()]),
        InspectFormat::Json => session.say(&[serde_json::to_string_pretty(&facts)?]),
    }
}

/// What there is to tell.
#[derive(Serialize)]
struct Facts<'a> {
    path: &'a Path,
    model_type: &'static str,
    config: &'a serde_json::Map<String, serde_json::Value>,
    parameters: Vec<Part>,
    weights_bytes: u64,
    /// Loading the encoder alone.
    encoder: LoadReport,
    /// The head with which the family predicts tokens, and loading it, or why that is not possible.
    token_head: Option<TokenHead>,
    tokenizer: &'a TokenizerFacts,
    pooling: Vec<&'static str>,
    normalize: bool,
    dense: Vec<usize>,
    is_sentence_transformer: bool,
    prompts: Vec<(String, String)>,
    max_seq_length: usize,
    max_seq_length_source: &'static str,
    /// What the folder predicts, where anything was trained to.
    trained: Option<TrainedAbout>,
    digest: &'a str,
}

/// The head that predicts tokens.
#[derive(Serialize)]
struct TokenHead {
    objective: &'static str,
    loading: Result<LoadReport, String>,
}

impl TokenHead {
    fn gather(folder: &ModelFolder) -> Option<Self> {
        let kind = folder.config.token_head();
        if kind == HeadKind::None {
            return None;
        }
        let loaded = Model::load(&folder.path, kind, 0);
        let loading = loaded.map(|(_, report)| report).map_err(|error| error.to_string());
        Some(Self { objective: kind.words(), loading })
    }
}

/// Some of the parameters.
#[derive(Serialize)]
struct Part {
    name: &'static str,
    parameters: u64,
}

impl<'a> Facts<'a> {
    fn gather(folder: &'a ModelFolder, trained: Option<TrainedAbout>) -> anyhow::Result<Self> {
        let (model, encoder) = Model::load(&folder.path, HeadKind::None, 0)?;
        let parameters = parts(&model);
        drop(model);
        let embed = folder.embed_settings(default_dtype());
        let modules = folder.modules.as_ref();
        let max_seq_length = folder.max_seq_length(None)?;
        let stated = folder.tokenizer.max_seq_length();
        let source =
            if stated.length > max_seq_length { LengthSource::MaxPositionEmbeddings } else { stated.source };
        Ok(Self {
            path: &folder.path,
            model_type: folder.config.model_type.name(),
            config: &folder.config.raw,
            parameters,
            weights_bytes: weights_bytes(&folder.path),
            encoder,
            token_head: TokenHead::gather(folder),
            tokenizer: folder.tokenizer.facts(),
            pooling: embed.pooling.iter().map(|mode| mode.name()).collect(),
            normalize: embed.normalize,
            dense: modules.map_or_else(Vec::new, |modules| {
                modules.dense.iter().map(|dense| dense.out_features).collect()
            }),
            is_sentence_transformer: modules.is_some(),
            prompts: modules.map_or_else(Vec::new, |modules| modules.prompts.clone()),
            max_seq_length,
            max_seq_length_source: words(source),
            trained,
            digest: &folder.digest,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a string does not fail");
        text.trim_end().to_owned()
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{}", self.path.display())?;
        self.write_config(text)?;
        let total: u64 = self.parameters.iter().map(|part| part.parameters).sum();
        writeln!(text, "\nparameters   {} ({} on disk)", count(total), megabytes(self.weights_bytes))?;
        for part in &self.parameters {
            writeln!(text, "  {:11}{:>12}", part.name, count(part.parameters))?;
        }
        writeln!(text, "\nloading the encoder\n{}", indented(&self.encoder.to_string()))?;
        if let Some(head) = &self.token_head {
            writeln!(text, "\nloading encoder and head for {}", head.objective)?;
            match &head.loading {
                Ok(report) => writeln!(text, "{}", indented(&report.to_string()))?,
                Err(reason) => writeln!(text, "  not possible: {reason}")?,
            }
        }
        self.write_tokenizer(text)?;
        self.write_embeddings(text)?;
        match &self.trained {
            Some(trained) => write!(text, "\n{}", trained::text(trained)),
            None => Ok(()),
        }
    }

    fn write_config(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "model_type   {}", self.model_type)?;
        for (name, value) in self.config {
            let is_plain = value.is_number() || value.is_string() || value.is_boolean();
            if is_plain && name != "model_type" {
                writeln!(text, "  {name} = {value}")?;
            }
        }
        if let Some(labels) = self.config.get("id2label").and_then(serde_json::Value::as_object) {
            let names: Vec<&str> = labels.values().filter_map(serde_json::Value::as_str).take(20).collect();
            writeln!(text, "  {} labels: {}", labels.len(), names.join(", "))?;
        }
        Ok(())
    }

    fn write_tokenizer(&self, text: &mut String) -> std::fmt::Result {
        let tokenizer = self.tokenizer;
        let case = if tokenizer.lower_cases { "lower case only" } else { "both cases" };
        let files = tokenizer.files.join(", ");
        writeln!(
            text,
            "\ntokenizer    {:?}, {} tokens, {case}, from {files}",
            tokenizer.kind,
            count(tokenizer.vocab_size as u64)
        )?;
        for (role, (token, id)) in &tokenizer.special_tokens {
            writeln!(text, "  {role} = {token} ({id})")?;
        }
        Ok(())
    }

    fn write_embeddings(&self, text: &mut String) -> std::fmt::Result {
        let (length, source) = (self.max_seq_length, self.max_seq_length_source);
        writeln!(text, "\nmax_seq_length {length}, from {source}")?;
        let origin = if self.is_sentence_transformer {
            "modules.json"
        } else {
            "the default, as there is no modules.json"
        };
        writeln!(text, "pooling      {}, from {origin}", self.pooling.join(" + "))?;
        for width in &self.dense {
            writeln!(text, "  then a dense layer of {width} outputs")?;
        }
        if self.normalize {
            writeln!(text, "  then normalised to length one")?;
        }
        for (name, prompt) in &self.prompts {
            writeln!(text, "prompt       {name}: {prompt:?}")?;
        }
        Ok(())
    }
}

fn parts(model: &Model) -> Vec<Part> {
    let layers = model.config.num_hidden_layers;
    let mut sums = [0_u64; 3];
    for parameter in &model.parameters.list {
        let part = match parameter.spec.depth {
            0 => 0,
            depth if depth <= layers => 1,
            _ => 2,
        };
        sums[part] += parameter.spec.shape.iter().product::<usize>() as u64;
    }
    let names = ["embeddings", "layers", "beyond"];
    let parts = names.into_iter().zip(sums).map(|(name, parameters)| Part { name, parameters });
    parts.filter(|part| part.parameters > 0).collect()
}

/// The size of all weight files; those that cannot be read were told of when loading.
fn weights_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let weights =
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "safetensors"));
    weights.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn words(source: LengthSource) -> &'static str {
    match source {
        LengthSource::SentenceBertConfig => "sentence_bert_config.json",
        LengthSource::ModelMaxLength => "model_max_length in tokenizer_config.json",
        LengthSource::MaxPositionEmbeddings => "the position embeddings in config.json",
        LengthSource::Default => "the usual default, as no file says anything",
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
