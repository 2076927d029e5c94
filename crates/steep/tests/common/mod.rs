//! A small model, a few texts and what is learned from them.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use steep::encoder::{HeadKind, Model};
use steep::objectives::{HeldOut, MaskedLm, MaskingSettings, TokenRange};
use steep::progress::{Cancel, Progress};
use steep::training::Sequences;

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
