//! The files by which sentence-transformers (2 to 6), text-embeddings-inference and fastembed know
//! an embedding model: `modules.json`, `1_Pooling`, `2_Dense`, `2_Normalize`.
//!
//! Both layouts are read; the legacy one is written, since all of them read it.

use crate::error::{Error, Result};
use crate::ops::Activation;
use crate::pooling::PoolingMode;
use serde_json::{Value, json};
use std::path::Path;

/// A dense layer after pooling.
#[derive(Debug, Clone)]
pub struct Dense {
    /// `[out, in]`
    pub weight: Vec<f32>,
    /// `[out]`; zeros where the file has none
    pub bias: Vec<f32>,
    /// Width before.
    pub in_features: usize,
    /// Width after.
    pub out_features: usize,
    /// None for `Identity`.
    pub activation: Option<Activation>,
}

/// What turns token states into an embedding.
#[derive(Debug, Clone)]
pub struct SentenceModules {
    /// Concatenated in this order.
    pub pooling: Vec<PoolingMode>,
    /// Whether a prompt's tokens are pooled too.
    pub include_prompt: bool,
    /// Dense layers in order.
    pub dense: Vec<Dense>,
    /// Whether the result has unit length.
    pub normalize: bool,
    /// Texts are cut to so many tokens.
    pub max_seq_length: Option<usize>,
    /// Prompts by name.
    pub prompts: Vec<(String, String)>,
    /// The prompt used when none is named.
    pub default_prompt_name: Option<String>,
}

impl SentenceModules {
    /// Reads the folder's modules; `None` if it is no sentence-transformers folder.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("modules.json");
        if !path.is_file() {
            return Ok(None);
        }
        let mut modules = Self {
            pooling: vec![PoolingMode::Mean],
            include_prompt: true,
            dense: Vec::new(),
            normalize: false,
            max_seq_length: max_seq_length(folder)?,
            prompts: Vec::new(),
            default_prompt_name: None,
        };
        modules.read_prompts(folder)?;
        let list = read_json(&path)?;
        let entries = list.as_array().ok_or_else(|| wrong(&path, "is not a list of modules"))?;
        for entry in entries {
            let (kind, place) = (text(entry, "type"), text(entry, "path"));
            let kind = kind.rsplit('.').next().unwrap_or_default();
            if !place.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) || place.contains("..")
            {
                return Err(wrong(&path, &format!("module path '{place}' is not a plain name")));
            }
            match kind {
                "Transformer" => {}
                "Pooling" => modules.read_pooling(&folder.join(place).join("config.json"))?,
                "Dense" => modules.dense.push(read_dense(&folder.join(place))?),
                "Normalize" => modules.normalize = true,
                other => return Err(wrong(&path, &format!("module type '{other}' is not supported"))),
            }
        }
        Ok(Some(modules))
    }

    fn read_prompts(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join("config_sentence_transformers.json");
        if !path.is_file() {
            return Ok(());
        }
        let config = read_json(&path)?;
        if let Some(prompts) = config.get("prompts").and_then(Value::as_object) {
            let named =
                prompts.iter().filter_map(|(name, prompt)| Some((name.clone(), prompt.as_str()?.to_owned())));
            self.prompts = named.collect();
        }
        self.default_prompt_name =
            config.get("default_prompt_name").and_then(Value::as_str).map(str::to_owned);
        Ok(())
    }

    fn read_pooling(&mut self, path: &Path) -> Result<()> {
        let config = read_json(path)?;
        self.include_prompt = config.get("include_prompt").and_then(Value::as_bool).unwrap_or(true);
        let named: Vec<&str> = match config.get("pooling_mode") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut modes = Vec::new();
        for name in named {
            let unknown = || wrong(path, &format!("pooling_mode '{name}' is not supported"));
            modes.push(PoolingMode::from_name(name).ok_or_else(unknown)?);
        }
        if modes.is_empty() {
            let is_set = |flag: &str| config.get(flag).and_then(Value::as_bool) == Some(true);
            let chosen = PoolingMode::ALL.iter().filter(|(_, _, flag)| is_set(flag));
            modes = chosen.map(|(mode, _, _)| *mode).collect();
        }
        if modes.is_empty() {
            return Err(wrong(path, "no pooling mode is switched on"));
        }
        // Concatenation has one fixed order, whatever the file's.
        modes.sort();
        self.pooling = modes;
        Ok(())
    }

    /// Writes the legacy layout beside an encoder of this width. Dense layers are not written.
    pub fn save(
        &self,
        folder: &Path,
        hidden_size: usize,
        max_seq_length: usize,
        lower_case: bool,
    ) -> Result<()> {
        let kind = |name: &str| format!("sentence_transformers.models.{name}");
        let mut modules = vec![
            json!({"idx": 0, "name": "0", "path": "", "type": kind("Transformer")}),
            json!({"idx": 1, "name": "1", "path": "1_Pooling", "type": kind("Pooling")}),
        ];
        if self.normalize {
            modules.push(json!({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind("Normalize")}));
            let config = json!({
                "module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"
            });
            write_json(&folder.join("2_Normalize/config.json"), &config)?;
        }
        write_json(&folder.join("modules.json"), &Value::Array(modules))?;
        let length = json!({"max_seq_length": max_seq_length, "do_lower_case": lower_case});
        write_json(&folder.join("sentence_bert_config.json"), &length)?;
        let mut pooling = serde_json::Map::new();
        pooling.insert("word_embedding_dimension".into(), json!(hidden_size));
        for (mode, _, flag) in PoolingMode::ALL {
            pooling.insert(flag.into(), json!(self.pooling.contains(&mode)));
        }
        pooling.insert("include_prompt".into(), json!(self.include_prompt));
        write_json(&folder.join("1_Pooling/config.json"), &Value::Object(pooling))?;
        let mut prompts =
            serde_json::Map::from_iter([("document".into(), json!("")), ("query".into(), json!(""))]);
        prompts.extend(self.prompts.iter().map(|(name, prompt)| (name.clone(), json!(prompt))));
        let about = json!({
            "__version__": {"pytorch": "2.0.0", "sentence_transformers": "2.2.0", "transformers": "4.30.0"},
            "default_prompt_name": self.default_prompt_name,
            "model_type": "SentenceTransformer",
            "prompts": prompts,
            "similarity_fn_name": "cosine",
        });
        write_json(&folder.join("config_sentence_transformers.json"), &about)
    }
}

/// The length that the folder's files state, in the order in which readers look.
fn max_seq_length(folder: &Path) -> Result<Option<usize>> {
    const OLDER: [&str; 7] = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"];
    for name in OLDER {
        let path = folder.join(format!("sentence_{name}_config.json"));
        if path.is_file() {
            let length = read_json(&path)?.get("max_seq_length").and_then(Value::as_u64);
            return Ok(length.map(|length| length as usize));
        }
    }
    Ok(None)
}

fn read_dense(folder: &Path) -> Result<Dense> {
    let path = folder.join("config.json");
    let config = read_json(&path)?;
    let size = |name: &str| {
        let size = config.get(name).and_then(Value::as_u64).filter(|size| (1..=65_536).contains(size));
        size.map(|size| size as usize).ok_or_else(|| wrong(&path, &format!("{name} is not a size")))
    };
    let (in_features, out_features) = (size("in_features")?, size("out_features")?);
    if config.get("use_residual").and_then(Value::as_bool) == Some(true) {
        return Err(wrong(&path, "use_residual is not supported"));
    }
    let activation = match text(&config, "activation_function").rsplit('.').next().unwrap_or_default() {
        "Tanh" | "" => Some(Activation::Tanh),
        "Identity" => None,
        "ReLU" => Some(Activation::Relu),
        "GELU" => Some(Activation::Gelu),
        other => return Err(wrong(&path, &format!("activation_function '{other}' is not supported"))),
    };
    let file = folder.join("model.safetensors");
    let bytes = std::fs::read(&file).map_err(Error::io("read", &file))?;
    let damaged = |problem: String| Error::Weights {
        path: file.clone(),
        problem,
        hint: "the file is damaged or incomplete; download it again".into(),
    };
    let tensors =
        safetensors::SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let read = |name: &str, count: usize| -> Result<Vec<f32>> {
        let view = tensors.tensor(name).map_err(|error| damaged(error.to_string()))?;
        if view.dtype() != safetensors::Dtype::F32 || view.data().len() != count * 4 {
            return Err(damaged(format!("{name} is not {count} values of type F32")));
        }
        Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let has_bias = config.get("bias").and_then(Value::as_bool).unwrap_or(true);
    let bias = if has_bias { read("linear.bias", out_features)? } else { vec![0.0; out_features] };
    let weight = read("linear.weight", in_features * out_features)?;
    Ok(Dense { weight, bias, in_features, out_features, activation })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::Config {
        path: path.to_path_buf(),
        problem: problem.to_owned(),
        hint: "the folder must be one that sentence-transformers writes".into(),
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| wrong(path, &error.to_string()))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    let text = serde_json::to_string_pretty(value).expect("a JSON value prints");
    std::fs::write(path, text + "\n").map_err(Error::io("write", path))
}
