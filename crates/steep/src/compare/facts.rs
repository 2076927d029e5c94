//! What the report says about data, model and machine.

use super::data::{Prepared, duplicate_facts};
use super::settings::{CompareSettings, Route};
use crate::data::{self, Split};
use crate::error::Result;
use crate::objectives::Targets;
use crate::report::{ClassCount, DataFacts, Machine, Manifest, ModelFacts, RowCounts, Task, Truncation};
use crate::stages::ModelFolder;
use std::collections::BTreeMap;
use steep_encoder::{HeadKind, Model};

pub(super) fn task(task: data::Task) -> Task {
    match task {
        data::Task::SingleLabel => Task::SingleLabel,
        data::Task::MultiLabel => Task::MultiLabel,
        data::Task::Regression => Task::Regression,
    }
}

/// `measured` holds the rows that predictions are for: of the split, or of all folds.
pub(super) fn data(settings: &CompareSettings, prepared: &Prepared, measured: &Split) -> DataFacts {
    let (labelled, split) = (&prepared.labelled, &prepared.labelled.split);
    let encodings = &labelled.encodings;
    let texts = encodings.len() as u64;
    let tokens = encodings.input_ids.len() as u64 + encodings.dropped_tokens;
    DataFacts {
        labelled: vec![settings.labelled.source.clone()],
        unlabelled: settings.unlabelled.iter().map(|source| source.source.clone()).collect(),
        rows: RowCounts {
            train: split.train.len() as u64,
            validation: split.validation.len() as u64,
            test: measured.test.len() as u64,
            unlabelled: prepared.unlabelled.as_ref().map_or(0, |unlabelled| unlabelled.texts),
        },
        classes: class_counts(prepared, &measured.test),
        split: labelled.split_words.clone(),
        columns: prepared
            .table
            .as_ref()
            .map_or_else(|| vec![without_columns(settings)], |data| data.notes.clone()),
        duplicates: duplicate_facts(&prepared.duplicates),
        truncation: Truncation {
            texts: encodings.truncated,
            of: texts,
            max_length: prepared.max_seq_length as u64,
        },
        mean_tokens: tokens as f64 / texts.max(1) as f64,
    }
}

/// That routes which need columns were left out.
fn without_columns(settings: &CompareSettings) -> String {
    let needs = |route: &Route| route.needs_columns() || route.is_joint();
    let left_out = Route::ALL.iter().map(|(_, route, _)| route);
    let left_out = left_out.filter(|route| needs(route) && !settings.routes.contains(route));
    let names: Vec<&str> = left_out.map(|route| route.name()).collect();
    format!("none is named in feature_columns, so that {} were left out", in_words(&names))
}

/// Names as a list in a sentence.
pub(super) fn in_words<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        names => names.concat(),
    }
}

fn class_counts(prepared: &Prepared, test: &[u32]) -> Vec<ClassCount> {
    let labelled = &prepared.labelled;
    let width = labelled.names.len();
    let count = |rows: &[u32]| -> Vec<u64> {
        let mut counts = vec![0; width];
        for &row in rows {
            match &labelled.targets {
                Targets::Classes(classes) => counts[classes[row as usize] as usize] += 1,
                Targets::Flags(flags) => {
                    let flags = &flags[row as usize * width..][..width];
                    counts.iter_mut().zip(flags).for_each(|(count, flag)| *count += u64::from(*flag > 0.5));
                }
                Targets::Numbers(_) => {}
            }
        }
        counts
    };
    if labelled.task() == data::Task::Regression {
        return Vec::new();
    }
    let split = &labelled.split;
    let (train, validation, test) = (count(&split.train), count(&split.validation), count(test));
    let names = labelled.names.iter().enumerate();
    names
        .map(|(at, name)| ClassCount {
            name: name.clone(),
            train: train[at],
            validation: validation[at],
            test: test[at],
        })
        .collect()
}

pub(super) fn model(settings: &CompareSettings, model: &ModelFolder) -> Result<ModelFacts> {
    let (weights, _) = Model::load(&model.path, HeadKind::None, 0)?;
    Ok(ModelFacts {
        name: settings.model_name.clone(),
        model_type: model.config.model_type.name().to_owned(),
        parameters: weights.parameters.num_values() as u64,
        hidden_size: model.config.hidden_size as u64,
        layers: model.config.num_hidden_layers as u64,
    })
}

pub(super) fn machine() -> Machine {
    Machine {
        cpu: cpu_name().unwrap_or_else(|| "unknown".to_owned()),
        threads: rayon::current_num_threads() as u64,
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}

pub(super) fn manifest(settings: &CompareSettings, prepared: &Prepared) -> Manifest {
    let versions = BTreeMap::from([
        ("steep".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("burn".to_owned(), "0.22.1".to_owned()),
    ]);
    let configuration = toml::to_string_pretty(settings).unwrap_or_else(|error| error.to_string());
    Manifest { versions, configuration, inputs: prepared.labelled.digests.clone() }
}
