//! The objectives without labels: each learns, repeats, survives a stop, and reaches every parameter it should.

mod common;

use burn::Tensor;
use common::{Golden, StopAfter, Texts, a_stop_changes_no_byte, held_out_loss_falls, train_in};
use std::path::Path;
use steep::encoder::pooling::PoolingMode;
use steep::encoder::{AdamW, AdamWSettings, Config, HeadKind, Model, PackedBatch, Pass, Value};
use steep::objectives::{
    AdaptObjective, Adaptation, CausalLm, ContrastiveTension, Denoising, Electra, HeldOut, MaskingSettings,
    NoiseSettings, NoiseTokens, Seq2Seq, SimCse, TokenRange, Tsdae, contrastive_losses,
};
use steep::progress::{Cancel, Context};
use steep::training::{LrSchedulerType, Objective, Sequences, TrainingSettings};

const OBJECTIVES: [AdaptObjective; 7] = [
    AdaptObjective::Clm,
    AdaptObjective::Simcse { temperature: 0.05 },
    AdaptObjective::ContrastiveTension { pos_neg_ratio: 3 },
    AdaptObjective::Tsdae { deletion_ratio: 0.6 },
    AdaptObjective::Denoising(NoiseSettings::BART),
    AdaptObjective::Seq2seq { label_smoothing: 0.1 },
    AdaptObjective::Electra { generator_size: 0.5, discriminator_weight: 50.0 },
];

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name)
}

fn model(objective: AdaptObjective) -> Model {
    let folder = golden(match objective {
        AdaptObjective::Clm => "families/gpt2/clm",
        AdaptObjective::Denoising(_) | AdaptObjective::Seq2seq { .. } => "families/bart/seq2seq",
        AdaptObjective::Electra { .. } => "electra/discriminator",
        _ => "encoders/bert/base",
    });
    let config = Config::load(&folder).expect("a configuration");
    let (mut model, _) = Model::load(&folder, objective.head_kind(&config), 5).expect("loads");
    if let AdaptObjective::ContrastiveTension { .. } = objective {
        model.attach_twin();
    }
    model
}

/// Over the first 20 texts; the others are held out.
fn adaptation(objective: AdaptObjective, texts: &Texts) -> Adaptation<'_> {
    let rows: Vec<u32> = (0..20).collect();
    let held_out = vec![HeldOut { name: "", sequences: texts, rows: vec![20, 21, 22] }];
    let (pooling, seed, max_tokens) = (PoolingMode::Mean, 7, 64);
    match objective {
        AdaptObjective::Clm => {
            Adaptation::CausalLm(CausalLm { sequences: texts, rows, held_out, max_tokens })
        }
        AdaptObjective::Simcse { temperature } => {
            Adaptation::SimCse(SimCse { sequences: texts, rows, pooling, temperature, seed, held_out })
        }
        AdaptObjective::ContrastiveTension { pos_neg_ratio } => {
            let tension = ContrastiveTension { sequences: texts, rows, pooling, pos_neg_ratio, held_out };
            Adaptation::ContrastiveTension(tension)
        }
        AdaptObjective::Tsdae { deletion_ratio } => Adaptation::Tsdae(Tsdae {
            sequences: texts,
            rows,
            pooling,
            deletion_ratio,
            special_ids: (0..5).collect(),
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Denoising(noise) => Adaptation::Denoising(Denoising {
            sequences: texts,
            rows,
            noise,
            tokens: NoiseTokens {
                mask_token_id: 4,
                special_ids: (0..5).collect(),
                full_stops: [20, 30].into(),
            },
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Seq2seq { label_smoothing } => Adaptation::Seq2Seq(Seq2Seq {
            sources: texts,
            targets: texts,
            rows,
            label_smoothing,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Electra { discriminator_weight, .. } => Adaptation::Electra(Electra {
            sequences: texts,
            rows,
            masking: MaskingSettings {
                mlm_probability: 0.3,
                mask_share: 1.0,
                random_share: 0.0,
                ..MaskingSettings::EVALUATION
            },
            tokens: TokenRange {
                vocab_size: 48,
                mask_token_id: 4,
                special_ids: (0..5).collect(),
                words: None,
            },
            discriminator_weight,
            seed,
            held_out,
            max_tokens,
        }),
        AdaptObjective::Mlm => unreachable!("resume.rs tests it"),
    }
}

fn settings() -> TrainingSettings {
    let (lr_scheduler_type, warmup_ratio) = (LrSchedulerType::Linear, 0.1);
    TrainingSettings { num_train_epochs: 4.0, lr_scheduler_type, warmup_ratio, ..common::settings() }
}

#[test]
fn every_objective_learns_and_a_stop_in_between_changes_no_byte() {
    for objective in OBJECTIVES {
        let (name, texts) = (format!("{objective:?}"), Texts);
        let state = a_stop_changes_no_byte(&name, |folder, stop_after| {
            let mut model = model(objective);
            let state =
                train_in(folder, stop_after, &mut model, &adaptation(objective, &texts), &settings())?;
            Ok((model, state))
        });
        held_out_loss_falls(&name, &state);
    }
}

#[test]
fn every_trainable_parameter_gets_a_gradient() {
    for objective in OBJECTIVES {
        let (model, texts) = (model(objective), Texts);
        let adaptation = adaptation(objective, &texts);
        let pass = Pass::train(&model.parameters, 1);
        let prepared = adaptation.prepare(&[0, 1, 2, 3], 0);
        let (loss, weight) = adaptation.loss(&model, &pass, prepared).expect("something to learn");
        assert!(weight > 0.0);
        let gradients = pass.gradients(loss);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            let name = &parameter.spec.name;
            assert_eq!(gradient.is_some(), parameter.trainable, "{objective:?} {name}");
            let moves = gradient.as_ref().is_none_or(|gradient| gradient.to_vec().iter().any(|g| *g != 0.0));
            assert!(moves, "{objective:?} {name} learns");
        }
    }
}

#[test]
fn perplexity_is_the_exponential_of_the_mean_loss_of_a_token() {
    let (model, texts, cancel) = (model(AdaptObjective::Clm), Texts, Cancel::default());
    let progress = StopAfter::new(u64::MAX, &cancel);
    let ctx = Context { progress: &progress, cancel: &cancel };
    let measures = adaptation(AdaptObjective::Clm, &texts).evaluate(&model, &ctx).expect("evaluates");
    // One text after the other, by logits.
    let (mut sum, mut count) = (0.0, 0.0);
    for row in [20u32, 21, 22] {
        let pass = Pass::evaluate(&model.parameters);
        let batch = texts.pack(&[row]);
        let hidden = model.last_hidden_state(&pass, &batch);
        let (rows, labels) = batch.next_tokens();
        let logits = Value::Matrix(model.masked_lm_logits(&pass, hidden, rows)).to_vec();
        for (logits, &label) in logits.chunks_exact(48).zip(&*labels) {
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum += total.ln() - f64::from(logits[label as usize]);
            count += 1.0;
        }
    }
    assert!((measures["loss"] - sum / count).abs() < 1e-5, "{measures:?} against {}", sum / count);
    assert!((measures["perplexity"] - (sum / count).exp()).abs() < 1e-3, "{measures:?}");
}

#[test]
fn a_head_of_steeps_own_is_not_left_in_the_model() {
    let objective = AdaptObjective::Tsdae { deletion_ratio: 0.6 };
    let bare = model(objective).without_head();
    assert_eq!(bare.head_kind(), HeadKind::None);
    assert!(bare.parameters.list.iter().all(|parameter| parameter.spec.name.starts_with("bert.")));
}

/// Measured at most 2e-7, of gradients and losses of up to 2.
#[test]
fn the_contrastive_loss_and_its_gradients_equal_those_of_sentence_transformers() {
    let golden = Golden::load("objectives/reference.safetensors");
    for temperature in [0.05, 0.2] {
        let leaf = |name: &str| {
            let Value::Matrix(tensor) = Value::new(golden.floats(name), &[6, 8]) else { unreachable!() };
            Tensor::from_inner(tensor).require_grad()
        };
        let (vectors, others) = (leaf("vectors"), leaf("others"));
        let loss = contrastive_losses(vectors.clone(), others.clone(), temperature).sum() / 6.0;
        let found = loss.clone().inner().into_scalar::<f32>();
        let expected = golden.floats(&format!("contrastive_{temperature}.loss"))[0];
        assert!((found - expected).abs() < 1e-6, "{found} against {expected}");
        let mut gradients = loss.backward();
        for (tensor, side) in [(vectors, "vectors"), (others, "others")] {
            let found = Value::Matrix(tensor.grad_remove(&mut gradients).expect("a gradient")).to_vec();
            let expected = golden.floats(&format!("contrastive_{temperature}.{side}_gradient"));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "{side}: {found} against {expected}");
            }
        }
    }
}

/// The texts of `encoders/bert`.
struct TextsOfBert(Vec<Vec<u32>>, Vec<Vec<u32>>);

impl TextsOfBert {
    fn load() -> Self {
        let texts = Golden::load("encoders/bert/reference.safetensors");
        let [ids, mask, types] =
            ["input_ids", "attention_mask", "token_type_ids"].map(|name| texts.words(name));
        let width = mask.len() / 4;
        let real = |of: &[u32], row: usize| {
            (row * width..(row + 1) * width)
                .filter(|&at| mask[at] == 1)
                .map(|at| of[at])
                .collect::<Vec<u32>>()
        };
        Self((0..4).map(|row| real(&ids, row)).collect(), (0..4).map(|row| real(&types, row)).collect())
    }
}

impl Sequences for TextsOfBert {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn length(&self, row: usize) -> usize {
        self.0[row].len()
    }

    fn append(&self, row: usize, tokens: &mut Vec<u32>) {
        tokens.extend(&self.0[row]);
    }

    fn pack(&self, rows: &[u32]) -> PackedBatch {
        let mut batch = PackedBatch::new(rows.iter().map(|&row| self.0[row as usize].as_slice()));
        batch.token_type_ids =
            Some(rows.iter().flat_map(|&row| self.1[row as usize].iter().copied()).collect());
        batch
    }
}

/// As `goldens/objectives.py`: both encoders after five steps of sentence-transformers' `ContrastiveTensionLoss` agree to
/// 2e-4.
#[test]
fn five_steps_of_contrastive_tension_equal_sentence_transformers() {
    let golden = Golden::load("objectives/reference.safetensors");
    let (mut model, texts) =
        (model(AdaptObjective::ContrastiveTension { pos_neg_ratio: 4 }), TextsOfBert::load());
    let objective = ContrastiveTension {
        sequences: &texts,
        rows: (0..4).collect(),
        pooling: PoolingMode::Mean,
        pos_neg_ratio: 4,
        held_out: Vec::new(),
    };
    let settings = AdamWSettings {
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        weight_decay: 0.1,
        max_grad_norm: 1.0,
        layerwise_lr_decay: 1.0,
    };
    let mut optimizer = AdamW::new(settings, &model.parameters);
    let (losses, norms) = (golden.floats("tension.losses"), golden.floats("tension.gradient_norms"));
    for (step, (expected_loss, expected_norm)) in losses.iter().zip(norms).enumerate() {
        let pass = Pass::train_without_dropout(&model.parameters);
        let prepared = objective.prepare(&[0, 1, 2, 3, 3, 1, 0, 2], 0);
        let (loss, count) = objective.loss(&model, &pass, prepared).expect("pairs");
        let mean = f64::from(loss.clone().inner().into_scalar::<f32>()) / count;
        assert!((mean - f64::from(*expected_loss)).abs() < 1e-4 * mean, "step {step}: {mean}");
        let norm = optimizer.step(&mut model.parameters, pass.gradients(loss), 1e-3, (1.0 / count) as f32);
        assert!((norm - f64::from(expected_norm)).abs() < 1e-3 * norm, "step {step}: norm {norm}");
    }
    for parameter in model.parameters.list.iter().filter(|parameter| parameter.spec.used) {
        let name = parameter.spec.name.replacen("bert.", "", 1);
        // Softmax cancels the biases of keys, and AdamW amplifies the rounding that is left.
        let tolerance = if name.ends_with("key.bias") { 1e-2 } else { 2e-4 };
        let expected = golden.floats(&format!("tension.after.{name}"));
        for (found, expected) in parameter.value.to_vec().iter().zip(expected) {
            assert!((found - expected).abs() < tolerance, "{name}: {found} against {expected}");
        }
    }
}

#[test]
fn the_second_encoder_is_not_left_in_the_model() {
    let model = model(AdaptObjective::ContrastiveTension { pos_neg_ratio: 3 });
    let of_encoder = model.own_parameters().iter().filter(|parameter| !parameter.spec.optional);
    assert_eq!(model.attached_parameters().len(), of_encoder.count());
    let is_own = |name: &str| name.starts_with("bert.");
    assert!(model.own_parameters().iter().all(|parameter| is_own(&parameter.spec.name)));
    assert!(model.without_head().parameters.list.iter().all(|parameter| is_own(&parameter.spec.name)));
}
