//! PEFT's folder of an adapter: `adapter_config.json` and `adapter_model.safetensors`.

use super::{ALL_LINEAR, LoraSettings, is_named, module_of};
use crate::architectures;
use crate::checkpoint::file::WeightFiles;
use crate::checkpoint::save::write;
use crate::error::{Error, Result};
use crate::heads::HeadKind;
use crate::model::Model;
use crate::parameters::{Orientation, Parameter, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of the model that it wraps.
const WRAPPER: &str = "base_model.model.";
const MATRICES: [&str; 2] = [".lora_A.weight", ".lora_B.weight"];
/// Ends of the names of classification heads' last weights, `[labels, in]`.
const OUTPUTS: [&str; 3] = ["classifier.weight", "out_proj.weight", "score.weight"];

/// What is read of `adapter_config.json`.
#[derive(Debug, Deserialize)]
struct AdapterConfig {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(flatten)]
    others: Map<String, Json>,
}

/// An adapter as PEFT saves it.
pub struct Adapter {
    folder: PathBuf,
    config: AdapterConfig,
    files: WeightFiles,
}

impl Adapter {
    /// Reads a folder.
    ///
    /// # Errors
    /// Files that are missing or damaged; an adapter that is no LoRA, or has something that is not supported.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let config: AdapterConfig = serde_json::from_str(&text).map_err(|error| Error::Config {
            path: path.clone(),
            problem: error.to_string(),
            hint: "give a folder that PEFT saved".into(),
        })?;
        config.check(&path)?;
        let files = WeightFiles::open_file(folder.join(WEIGHTS))?;
        Ok(Self { folder: folder.to_path_buf(), config, files })
    }

    /// The model that the adapter belongs to, as it was named where it was trained.
    pub fn base_model(&self) -> Option<&str> {
        self.config.base_model_name_or_path.as_deref()
    }

    /// The head that the adapter brings along.
    pub fn head_kind(&self) -> HeadKind {
        let is_output = |name: &&str| OUTPUTS.iter().any(|end| name.ends_with(end));
        match self.files.names().find(is_output).map(|name| self.files.shape(name)) {
            Some(&[num_labels, _]) => HeadKind::SequenceClassification { num_labels },
            _ => HeadKind::None,
        }
    }

    fn fault(&self, problem: String) -> Error {
        Error::Weights {
            path: self.folder.join(WEIGHTS),
            problem,
            hint: "give the model that the adapter was trained on".into(),
        }
    }

    /// Sets a parameter to the tensor of this name.
    fn put(&self, name: &str, parameter: &mut Parameter) -> Result<()> {
        let (found, expected) = (self.files.shape(name), &parameter.spec.shape);
        if found != expected {
            return Err(self.fault(format!("{name} has shape {found:?}, the model's is {expected:?}")));
        }
        parameter.set_value(Value::new(self.files.read(name)?, expected));
        Ok(())
    }
}

impl AdapterConfig {
    fn check(&self, path: &Path) -> Result<()> {
        let refuse = |field: &str, value: String| {
            Err(Error::Config {
                path: path.to_path_buf(),
                problem: format!("{field} is {value}, which is not supported"),
                hint: "merge the adapter with PEFT: model.merge_and_unload().save_pretrained(folder)".into(),
            })
        };
        if self.peft_type != "LORA" {
            return refuse("peft_type", self.peft_type.clone());
        }
        if self.r == 0 {
            return refuse("r", "0".into());
        }
        let usual = |field: &str| match field {
            "bias" => Some(json!("none")),
            "rank_pattern" | "alpha_pattern" => Some(json!({})),
            // Other forms of adapters are switched on by a field of this beginning.
            field if field == "lora_bias" || field.starts_with("use_") => Some(json!(false)),
            _ => None,
        };
        let unusual = self
            .others
            .iter()
            .find(|(field, value)| !value.is_null() && usual(field).is_some_and(|usual| usual != **value));
        unusual.map_or(Ok(()), |(field, value)| refuse(field, value.to_string()))
    }

    /// Rank-stabilised adapters divide by √rank instead of the rank.
    fn alpha(&self) -> f64 {
        if self.use_rslora { self.lora_alpha * (self.r as f64).sqrt() } else { self.lora_alpha }
    }
}

impl Model {
    /// The beginning of the encoder's names that a bare encoder does not have.
    fn prefix(&self) -> String {
        format!("{}.", architectures::of(self.config.model_type).prefix())
    }

    /// A parameter's name in the transformers model that PEFT wraps: one for classification, else the bare encoder.
    fn wrapped_name<'a>(&self, name: &'a str) -> &'a str {
        match self.head_kind() {
            HeadKind::SequenceClassification { .. } => name,
            _ => name.strip_prefix(&self.prefix()).unwrap_or(name),
        }
    }

    /// What an adapter's folder holds of the head: it has no other place.
    fn head_parameters(&self) -> impl Iterator<Item = &Parameter> {
        let classifies = matches!(self.head_kind(), HeadKind::SequenceClassification { .. });
        let own = self.own_parameters().iter();
        own.filter(move |parameter| classifies && parameter.spec.optional && parameter.spec.used)
    }

    /// Writes the low-rank matrices, and the classification head, as PEFT does: `PeftModel.from_pretrained` reads them
    /// beside the model named, loaded for classification where this one has a head for that, and bare otherwise.
    ///
    /// # Panics
    /// If the model has no low-rank matrices.
    pub fn save_adapter(&self, folder: &Path, base_model_name_or_path: &str) -> Result<()> {
        let path = folder.join(CONFIG);
        let config = self.adapter_config(base_model_name_or_path);
        let config = serde_json::to_string_pretty(&config).expect("a config is plain JSON");
        std::fs::write(&path, config + "\n").map_err(Error::io("write", &path))?;
        let matrices = self.attached_parameters().iter().filter(|parameter| is_matrix(&parameter.spec.name));
        let tensors = matrices
            .chain(self.head_parameters())
            .map(|parameter| (format!("{WRAPPER}{}", self.wrapped_name(&parameter.spec.name)), parameter));
        write(&folder.join(WEIGHTS), tensors)
    }

    fn adapter_config(&self, base_model_name_or_path: &str) -> Json {
        let lora = self.parameters.lora.as_ref().expect("low-rank matrices are attached");
        let prefix = self.prefix();
        let head = self.head_parameters().map(|parameter| {
            let name = parameter.spec.name.strip_prefix(&prefix).unwrap_or(&parameter.spec.name);
            name.split('.').next().unwrap_or(name)
        });
        let head: BTreeSet<&str> = head.collect();
        let classifies = !head.is_empty();
        let turned = lora.layers.values().any(|layer| layer.orientation == Orientation::InOut);
        json!({
            "peft_type": "LORA",
            "task_type": if classifies { "SEQ_CLS" } else { "FEATURE_EXTRACTION" },
            "base_model_name_or_path": base_model_name_or_path,
            "r": lora.settings.rank,
            "lora_alpha": lora.settings.alpha,
            "lora_dropout": lora.settings.dropout,
            "target_modules": self.target_modules(),
            "modules_to_save": if classifies { json!(head) } else { Json::Null },
            "fan_in_fan_out": turned,
            "bias": "none",
            "inference_mode": true,
            "init_lora_weights": true,
            "use_rslora": false,
            "use_dora": false,
        })
    }

    /// The targets as they were asked for, or whole names where PEFT would take those for the head's layers too.
    fn target_modules(&self) -> Vec<&str> {
        let lora = self.parameters.lora.as_ref().expect("low-rank matrices are attached");
        let targets = &lora.settings.targets;
        let heads = self.own_parameters().iter().filter(|parameter| parameter.spec.optional);
        let reaches_heads = heads
            .into_iter()
            .any(|parameter| targets.iter().any(|target| is_named(module_of(&parameter.spec.name), target)));
        if !reaches_heads && !targets.iter().any(|target| target == ALL_LINEAR) {
            return targets.iter().map(String::as_str).collect();
        }
        let weights = lora.layers.keys().map(|&index| self.parameters.list[index].spec.name.as_str());
        weights.map(|name| self.wrapped_name(module_of(name))).collect()
    }

    /// Attaches the low-rank matrices of a PEFT folder, and takes its head.
    ///
    /// # Errors
    /// Tensors that this model has no place for.
    pub fn attach_adapter(&mut self, adapter: &Adapter) -> Result<()> {
        let names: Vec<&str> = adapter.files.names().collect();
        let mut targets = BTreeSet::new();
        for name in names.iter().filter(|name| is_matrix(name)) {
            let module = MATRICES.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let weight = self.full_name(&format!("{module}.weight"));
            let weight = weight.ok_or_else(|| adapter.fault(format!("{name} belongs to no layer")))?;
            targets.insert(module_of(&weight).to_owned());
        }
        let config = &adapter.config;
        let settings = LoraSettings {
            rank: config.r,
            alpha: config.alpha(),
            dropout: config.lora_dropout,
            targets: targets.into_iter().collect(),
        };
        self.attach_lora(&settings, 0)?;
        for name in names {
            let full = self.full_name(name).ok_or_else(|| adapter.fault(format!("{name} has no place")))?;
            let list = &mut self.parameters.list;
            let parameter = list.iter_mut().find(|parameter| parameter.spec.name == full);
            adapter.put(name, parameter.expect("the name was found in this list"))?;
        }
        Ok(())
    }

    /// The name here of a tensor of an adapter, whichever model PEFT wrapped.
    fn full_name(&self, name: &str) -> Option<String> {
        let name = name.strip_prefix(WRAPPER).unwrap_or(name);
        let name = name.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".");
        let prefixed = self.prefix() + &name;
        [name, prefixed].into_iter().find(|name| self.parameters.get(name).is_some())
    }
}

fn is_matrix(name: &str) -> bool {
    MATRICES.iter().any(|end| name.ends_with(end))
}
