//! Which share of the processor's rate does a whole step of masked-language-model training reach: forward, backward,
//! clipping and AdamW?
//!
//! `cargo bench -p steep-encoder --bench masked_lm_step -- FOLDER… [hidden=768 …]`: arguments that are folders are the
//! models, Hugging Face folders of any encoder with a feed-forward network of four times its width; the others select
//! lines, as in the benchmarks of steep-kernels.

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints a table")]

#[path = "../../steep-kernels/benches/share/mod.rs"]
mod share;

use share::{Kind, Table};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steep_encoder::{AdamW, AdamWSettings, HeadKind, Model, PackedBatch, Pass, Precision};

const TOKENS: usize = 2048;
const ADAMW: AdamWSettings = AdamWSettings {
    adam_beta1: 0.9,
    adam_beta2: 0.999,
    adam_epsilon: 1e-8,
    weight_decay: 0.01,
    max_grad_norm: 1.0,
    layerwise_lr_decay: 1.0,
};

/// 15 % of the tokens, evenly spread.
fn masked() -> Vec<u32> {
    (0..TOKENS as u32).filter(|token| token % 20 < 3).collect()
}

/// Operations of a step: a forward pass, and a backward pass of twice as many.
fn operations(model: &Model, length: usize) -> usize {
    let (hidden, layers) = (model.config.hidden_size, model.config.num_hidden_layers);
    let encoder = TOKENS * layers * (24 * hidden * hidden + 4 * hidden * length);
    let head = masked().len() * 2 * (hidden * hidden + hidden * model.config.vocab_size);
    3 * (encoder + head)
}

fn measure(table: &Table, folder: &Path, precision: Precision, length: usize) {
    let (mut model, _) = Model::load(folder, HeadKind::MaskedLm, 42).expect("a model folder");
    model.set_precision(precision);
    let ids: Vec<u32> = (0..TOKENS as u32).map(|token| 1000 + token * 7 % 20_000).collect();
    let batch = PackedBatch::new(ids.chunks(length));
    let rows: Arc<[u32]> = masked().into();
    let labels: Arc<[u32]> = rows.iter().map(|&row| ids[row as usize]).collect();
    let mut optimizer = AdamW::new(ADAMW, &model.parameters);
    let kind = if precision == Precision::Bf16 { Kind::Bf16 } else { Kind::F32 };
    let shape = format!("hidden={} layers={}", model.config.hidden_size, model.config.num_hidden_layers);
    let name = format!("{precision:?} {shape}, {} x {length}", TOKENS / length);
    let operations = operations(&model, length);
    let mut seed = 0;
    table.line(&name, kind, operations, || {
        seed += 1;
        let pass = Pass::train(&model.parameters, seed);
        let hidden = model.last_hidden_state(&pass, &batch);
        let loss = model.masked_lm_losses(&pass, hidden, rows.clone(), labels.clone()).sum();
        let gradients = pass.gradients(loss);
        optimizer.step(&mut model.parameters, gradients, 1e-5, 1.0 / rows.len() as f32);
    });
}

fn main() {
    let folders: Vec<PathBuf> =
        std::env::args().skip(1).map(PathBuf::from).filter(|path| path.is_dir()).collect();
    if folders.is_empty() {
        println!("masked_lm_step: name model folders after `--`");
        return;
    }
    share::tables("step of masked-language-model training", |table| {
        for folder in &folders {
            for precision in [Precision::Bf16, Precision::F32] {
                for length in [128, 16] {
                    measure(table, folder, precision, length);
                }
            }
        }
    });
}
