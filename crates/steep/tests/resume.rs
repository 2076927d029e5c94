//! A training that is stopped and started again ends in the same bytes as one that never stopped.

mod common;

use common::{StopAfter, Texts, bits, model, objective, train_in};
use proptest::prelude::*;
use std::path::Path;
use steep::config::Dtype;
use steep::encoder::AdamWSettings;
use steep::error::Error;
use steep::progress::{Cancel, Context};
use steep::training::checkpoint::Checkpoints;
use steep::training::{LrSchedulerType, TrainerState, TrainingSettings, train};

fn settings(batch: usize, save_steps: u64) -> TrainingSettings {
    let common = common::settings();
    TrainingSettings {
        train_batch_size: batch,
        lr_scheduler_type: LrSchedulerType::Linear,
        warmup_ratio: 0.1,
        adamw: AdamWSettings { layerwise_lr_decay: 0.9, ..common.adamw },
        save_steps,
        load_best_model_at_end: true,
        ..common
    }
}

/// Trains until done or stopped; the bits of all parameters and the log.
fn run(settings: &TrainingSettings, folder: &Path, stop_after: u64) -> Result<(Bits, TrainerState), Error> {
    let (mut model, texts) = (model(), Texts);
    let state = train_in(folder, stop_after, &mut model, &objective(&texts), settings)?;
    Ok((bits(&model), state))
}

/// Of all parameters, by name.
type Bits = Vec<(String, Vec<u32>)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stopped_and_resumed_equals_uninterrupted(stop in 1u64..12, batch in 3usize..9, save in 1u64..6) {
        let settings = settings(batch, save);
        let whole = tempfile::tempdir().expect("a folder");
        let (expected, expected_state) = run(&settings, whole.path(), u64::MAX).expect("trains");
        let parts = tempfile::tempdir().expect("a folder");
        let steps = expected_state.max_steps;
        match run(&settings, parts.path(), stop) {
            Err(Error::Cancelled) => prop_assert!(stop < steps),
            Err(other) => prop_assert!(false, "{other}"),
            Ok(_) => prop_assert!(stop >= steps),
        }
        // A second stop, and a checkpoint that was damaged meanwhile.
        let _ = run(&settings, parts.path(), 2);
        let newest = std::fs::read_dir(parts.path()).expect("checkpoints").flatten().max_by_key(|entry| {
            entry.file_name().to_string_lossy().trim_start_matches("checkpoint-").parse::<u64>().unwrap_or(0)
        });
        if let Some(newest) = newest.filter(|_| save.is_multiple_of(2)) {
            std::fs::write(newest.path().join("model.safetensors"), b"damaged").expect("writes");
        }
        let (found, state) = run(&settings, parts.path(), u64::MAX).expect("resumes");
        prop_assert_eq!(found, expected);
        prop_assert_eq!(state, expected_state);
    }
}

#[test]
fn a_checkpoint_of_another_run_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(5, 2);
    let (mut model, texts, cancel) = (model(), Texts, Cancel::default());
    let progress = StopAfter::new(4, &cancel);
    let ctx = Context { progress: &progress, cancel: &cancel };
    let other = Checkpoints::new(folder.path(), "another run", 2);
    let stopped = train(&mut model, &objective(&texts), &settings, Some(&other), &ctx);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let fresh = tempfile::tempdir().expect("a folder");
    let (expected, _) = run(&settings, fresh.path(), u64::MAX).expect("trains");
    let (found, _) = run(&settings, folder.path(), u64::MAX).expect("trains");
    assert_eq!(found, expected);
}

#[test]
fn computing_again_instead_of_keeping_changes_no_byte() {
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let trained = |gradient_checkpointing: bool| {
            let settings = TrainingSettings { gradient_checkpointing, dtype, ..settings(6, 100) };
            let (mut model, texts, cancel) = (model(), Texts, Cancel::default());
            settings.apply_to(&mut model).expect("applies");
            let progress = StopAfter::new(u64::MAX, &cancel);
            let ctx = Context { progress: &progress, cancel: &cancel };
            train(&mut model, &objective(&texts), &settings, None, &ctx).expect("trains");
            let values = model.parameters.list.iter().flat_map(|parameter| parameter.value.to_vec());
            values.map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert_eq!(trained(true), trained(false), "{dtype}");
    }
}
