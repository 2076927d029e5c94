//! A small model, a few texts and what is learned from them.

#![allow(dead_code, reason = "each test program uses some of it")]

use safetensors::SafeTensors;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use steep::config::Dtype;
use steep::encoder::{AdamWSettings, HeadKind, Model, PackedBatch, Value};
use steep::error::Error;
use steep::objectives::{HeldOut, MaskedLm, MaskingSettings, TokenRange};
use steep::progress::{Cancel, Context, Progress};
use steep::training::checkpoint::Checkpoints;
use steep::training::{
    Freezing, LrSchedulerType, Objective, Sequences, TrainerState, TrainingSettings, train,
};

/// Numbers that the scripts in `goldens/` made.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    /// `path` is seen from `goldens/`.
    pub(crate) fn load(path: &str) -> Self {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens");
        Self(std::fs::read(goldens.join(path)).unwrap_or_else(|_| panic!("{path}")))
    }

    pub(crate) fn words(&self, name: &str) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.0).expect("tensors");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}"));
        view.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_bits).collect()
    }
}

/// The four texts of `encoders/bert` without padding, and where their tokens lie in the padded rows.
pub(crate) fn texts_of_bert() -> (PackedBatch, Vec<usize>) {
    let texts = Golden::load("encoders/bert/reference.safetensors");
    let [ids, mask, types] = ["input_ids", "attention_mask", "token_type_ids"].map(|name| texts.words(name));
    let width = mask.len() / 4;
    let real = |row: usize| (row * width..(row + 1) * width).filter(|&at| mask[at] == 1);
    let rows: Vec<Vec<u32>> = (0..4).map(|row| real(row).map(|at| ids[at]).collect()).collect();
    let places: Vec<usize> = (0..4).flat_map(real).collect();
    let mut batch = PackedBatch::new(rows.iter().map(Vec::as_slice));
    batch.token_type_ids = Some(places.iter().map(|&at| types[at]).collect());
    (batch, places)
}

/// Short sequences over the small models' vocabulary of 48.
pub(crate) struct Texts;

impl Sequences for Texts {
    fn len(&self) -> usize {
        23
    }

    fn length(&self, row: usize) -> usize {
        4 + row % 7
    }

    fn append(&self, row: usize, tokens: &mut Vec<u32>) {
        tokens.extend((0..self.length(row)).map(|at| 5 + ((row * 13 + at * 7) % 43) as u32));
    }
}

/// A BERT of two layers.
pub(crate) fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/encoders/bert/mlm");
    Model::load(&folder, HeadKind::MaskedLm, 0).expect("loads").0
}

/// Masked language modelling over the first 20 texts; the others are held out.
pub(crate) fn objective(texts: &Texts) -> MaskedLm<'_> {
    MaskedLm {
        sequences: texts,
        rows: (0..20).collect(),
        masking: MaskingSettings {
            mlm_probability: 0.3,
            mask_share: 0.8,
            random_share: 0.1,
            ..MaskingSettings::EVALUATION
        },
        tokens: TokenRange { vocab_size: 48, mask_token_id: 4, special_ids: (0..5).collect(), words: None },
        seed: 7,
        held_out: vec![HeldOut { name: "", sequences: texts, rows: vec![20, 21, 22] }],
        max_tokens: 64,
    }
}

/// Three passes at a constant rate, as `f32`.
pub(crate) fn settings() -> TrainingSettings {
    TrainingSettings {
        num_train_epochs: 3.0,
        max_steps: None,
        train_batch_size: 6,
        max_tokens_per_micro_batch: 24,
        learning_rate: 5e-3,
        lr_scheduler_type: LrSchedulerType::Constant,
        warmup_ratio: 0.0,
        adamw: AdamWSettings {
            adam_beta1: 0.9,
            adam_beta2: 0.98,
            adam_epsilon: 1e-6,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            layerwise_lr_decay: 1.0,
        },
        seed: 7,
        logging_steps: 2,
        evaluations_per_epoch: 1,
        save_steps: 3,
        gradient_checkpointing: false,
        freezing: Freezing::default(),
        lora: None,
        dtype: Dtype::F32,
        save_total_limit: 2,
        load_best_model_at_end: false,
    }
}

/// Trains until done or stopped after so many steps, with checkpoints in `folder`.
pub(crate) fn train_in(
    folder: &Path,
    stop_after: u64,
    model: &mut Model,
    objective: &impl Objective,
    settings: &TrainingSettings,
) -> Result<TrainerState, Error> {
    let cancel = Cancel::default();
    let progress = StopAfter::new(stop_after, &cancel);
    let ctx = Context { progress: &progress, cancel: &cancel };
    let checkpoints = Checkpoints::new(folder, "one run", 2);
    Ok(train(model, objective, settings, Some(&checkpoints), &ctx)?.state)
}

/// The bits of all parameters, by name.
pub(crate) fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let bits = |value: &Value| value.to_vec().into_iter().map(f32::to_bits).collect();
    let list = model.parameters.list.iter();
    list.map(|parameter| (parameter.spec.name.clone(), bits(&parameter.value))).collect()
}

/// `run` trains in a folder until a step: a stop in between leaves the same bytes and the same log. The log.
pub(crate) fn a_stop_changes_no_byte(
    name: &str,
    run: impl Fn(&Path, u64) -> Result<(Model, TrainerState), Error>,
) -> TrainerState {
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (expected, state) = run(whole.path(), u64::MAX).expect("trains");
    assert!(matches!(run(parts.path(), 5), Err(Error::Cancelled)), "{name}");
    let (found, resumed) = run(parts.path(), u64::MAX).expect("resumes");
    assert!(bits(&found) == bits(&expected), "{name}: the same bytes");
    assert_eq!(resumed, state, "{name}");
    state
}

/// The held-out loss at the end is below the one at the beginning.
pub(crate) fn held_out_loss_falls(name: &str, state: &TrainerState) {
    let losses = state.log_history.iter().filter_map(|entry| entry.values.get("eval_loss").copied());
    let losses: Vec<f64> = losses.collect();
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < first, "{name}: the held-out loss falls from {first} to {last}");
}

/// Cancels when so many steps were reported.
pub(crate) struct StopAfter {
    left: AtomicU64,
    cancel: Cancel,
}

impl StopAfter {
    pub(crate) fn new(steps: u64, cancel: &Cancel) -> Self {
        Self { left: AtomicU64::new(steps), cancel: cancel.clone() }
    }
}

impl Progress for StopAfter {
    fn start(&self, _: &str, _: Option<u64>, _: &'static str) {}
    fn advance(&self, amount: u64) {
        if amount == 1 && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cancel.cancel();
        }
    }
    fn note(&self, _: &str) {}
    fn finish(&self) {}
    fn line(&self, _: &str) {}
}
