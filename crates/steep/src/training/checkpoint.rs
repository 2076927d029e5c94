//! Everything needed to go on after a stop: weights, optimizer, schedule position, log.
//!
//! `checkpoint-<step>/` is an artefact folder: written beside, manifest last, renamed. What is
//! drawn at random is a function of seed and position, so no generator's state is saved.

use super::TrainerState;
use crate::error::{Error, Result};
use crate::storage::{Artefact, ArtefactWriter, read_json, write_json};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use steep_encoder::{AdamW, AdamWState, Model, Parameter, Parameters, Value};

/// The checkpoints of one training run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    /// Identifies configuration and data: a checkpoint of another run is not resumed from.
    run_key: String,
    keep: usize,
}

/// What a checkpoint says of itself in its manifest.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    run_key: String,
    global_step: u64,
}

/// Training as a checkpoint left it.
pub(super) struct Loaded {
    pub(super) state: TrainerState,
    pub(super) best: Option<Parameters>,
}

const OPTIMIZER: &str = "optimizer.safetensors";
const BEST: &str = "best.safetensors";
/// What was attached to the model, which its own files do not hold.
const ATTACHED: &str = "attached.safetensors";
const STATE: &str = "trainer_state.json";

impl Checkpoints {
    /// Checkpoints in `folder`, of which the newest `keep` (at least two) are kept.
    pub fn new(folder: impl Into<PathBuf>, run_key: impl Into<String>, keep: usize) -> Self {
        Self { folder: folder.into(), run_key: run_key.into(), keep: keep.max(2) }
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folders `checkpoint-<step>`, oldest first.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        if !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&self.folder).map_err(Error::io("read", &self.folder))?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("read", &self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(step) = name.strip_prefix("checkpoint-").and_then(|step| step.parse().ok()) {
                found.push((step, path));
            }
        }
        found.sort();
        Ok(found)
    }

    pub(super) fn save(
        &self,
        model: &Model,
        optimizer: &AdamW,
        state: &TrainerState,
        best: Option<&Parameters>,
    ) -> Result<()> {
        let target = self.folder.join(format!("checkpoint-{}", state.global_step));
        if self.is_whole(&target) {
            return Ok(());
        }
        if target.exists() {
            // Damaged, or of another run that worked here before: of no use to anyone.
            std::fs::remove_dir_all(&target).map_err(Error::io("remove", &target))?;
        }
        let writer = ArtefactWriter::create(&target)?;
        model.save(writer.path())?;
        write_values(&writer.path().join(OPTIMIZER), &moments(model, optimizer))?;
        if !model.attached_parameters().is_empty() {
            write_values(&writer.path().join(ATTACHED), &named(model.attached_parameters()))?;
        }
        if let Some(best) = best {
            write_values(&writer.path().join(BEST), &named(&best.list))?;
        }
        let steps: BTreeMap<&str, u32> = model
            .parameters
            .list
            .iter()
            .zip(&optimizer.states)
            .filter_map(|(parameter, state)| Some((parameter.spec.name.as_str(), state.as_ref()?.step)))
            .collect();
        write_json(&writer.path().join("optimizer_steps.json"), &steps)?;
        write_json(&writer.path().join(STATE), state)?;
        writer.commit(&About { run_key: self.run_key.clone(), global_step: state.global_step })?;
        self.remove_old()
    }

    fn remove_old(&self) -> Result<()> {
        let list = self.list()?;
        let surplus = list.len().saturating_sub(self.keep);
        for (_, path) in &list[..surplus] {
            std::fs::remove_dir_all(path).map_err(Error::io("remove", path))?;
        }
        Ok(())
    }

    /// Whether a folder is a checkpoint of this run with every byte as it was written.
    fn is_whole(&self, folder: &Path) -> bool {
        let Ok(Some(artefact)) = Artefact::open(folder) else { return false };
        let same_run = artefact.about::<About>().is_ok_and(|about| about.run_key == self.run_key);
        same_run && artefact.verify().is_ok()
    }

    /// Restores the newest checkpoint of this run whose files are whole.
    pub(super) fn load_newest(&self, model: &mut Model, optimizer: &mut AdamW) -> Result<Option<Loaded>> {
        for (_, path) in self.list()?.into_iter().rev() {
            if self.is_whole(&path) {
                return restore(&path, model, optimizer).map(Some);
            }
        }
        Ok(None)
    }
}

fn restore(folder: &Path, model: &mut Model, optimizer: &mut AdamW) -> Result<Loaded> {
    let (loaded, _) = Model::load(folder, model.head_kind(), 0)?;
    for (parameter, loaded) in model.parameters.list.iter_mut().zip(loaded.parameters.list) {
        parameter.set_value(loaded.value);
    }
    if !model.attached_parameters().is_empty() {
        put_values(model.attached_parameters_mut(), read_values(&folder.join(ATTACHED))?);
    }
    let mut values = read_values(&folder.join(OPTIMIZER))?;
    let steps: BTreeMap<String, u32> = read_json(&folder.join("optimizer_steps.json"))?;
    for (parameter, state) in model.parameters.list.iter().zip(&mut optimizer.states) {
        let name = &parameter.spec.name;
        *state = steps.get(name).and_then(|&step| {
            Some(AdamWState {
                first_moment: values.remove(&format!("first_moment.{name}"))?,
                second_moment: values.remove(&format!("second_moment.{name}"))?,
                step,
            })
        });
    }
    let best = folder.join(BEST);
    let best = if best.is_file() { Some(best_parameters(&best, model)?) } else { None };
    Ok(Loaded { state: read_json(&folder.join(STATE))?, best })
}

fn best_parameters(path: &Path, model: &Model) -> Result<Parameters> {
    let mut parameters = model.parameters.clone();
    put_values(&mut parameters.list, read_values(path)?);
    Ok(parameters)
}

fn put_values(parameters: &mut [Parameter], mut values: BTreeMap<String, Value>) {
    for parameter in parameters {
        if let Some(value) = values.remove(&parameter.spec.name) {
            parameter.set_value(value);
        }
    }
}

fn named(parameters: &[Parameter]) -> Vec<(String, &Value)> {
    parameters.iter().map(|parameter| (parameter.spec.name.clone(), &parameter.value)).collect()
}

fn moments<'a>(model: &Model, optimizer: &'a AdamW) -> Vec<(String, &'a Value)> {
    let mut named = Vec::new();
    for (parameter, state) in model.parameters.list.iter().zip(&optimizer.states) {
        if let Some(state) = state {
            let name = &parameter.spec.name;
            named.push((format!("first_moment.{name}"), &state.first_moment));
            named.push((format!("second_moment.{name}"), &state.second_moment));
        }
    }
    named
}

/// Writes named tensors as safetensors, f32.
fn write_values(path: &Path, values: &[(String, &Value)]) -> Result<()> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = values
        .iter()
        .map(|(name, value)| {
            let bytes =
                value.with_slice(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect());
            (name.clone(), value.shape(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes a value");
        (name.clone(), view)
    });
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::io("write", path)(source),
        other => Error::model(path.display().to_string(), other.to_string(), ""),
    })
}

fn read_values(path: &Path) -> Result<BTreeMap<String, Value>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |error: safetensors::SafeTensorError| {
        Error::model(path.display().to_string(), error.to_string(), "remove this checkpoint and start again")
    };
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let value = |view: TensorView| {
        let values = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Value::new(values, view.shape())
    };
    Ok(tensors.tensors().into_iter().map(|(name, view)| (name, value(view))).collect())
}
