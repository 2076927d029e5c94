//! What is prepared on another thread changes no bit, whenever it is ready, and its faults are told.

mod common;

use common::{Texts, model, objective};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use steep::encoder::{AdamW, Gradients, Model, Pass};
use steep::error::{Error, Result};
use steep::objectives::{MaskedBatch, MaskedLm};
use steep::progress::{Cancel, Context, Silent};
use steep::training::checkpoint::Checkpoints;
use steep::training::{Objective, Sequences, TrainingSettings, train};

/// What happens when rows are prepared.
enum Event {
    Nothing,
    /// Each preparation takes a while.
    Slow,
    /// The preparation of this number panics.
    Panic(u64),
    /// The preparation of this number asks for a stop.
    Stop(u64, Cancel),
}

/// Masked language modelling with events.
struct Watched<'a> {
    inner: MaskedLm<'a>,
    event: Event,
    prepared: AtomicU64,
}

impl Objective for Watched<'_> {
    type Prepared = MaskedBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.inner.sequences()
    }

    fn rows(&self) -> &[u32] {
        self.inner.rows()
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> MaskedBatch {
        let number = self.prepared.fetch_add(1, Ordering::SeqCst) + 1;
        match &self.event {
            Event::Slow => std::thread::sleep(Duration::from_millis(10)),
            Event::Panic(at) => assert!(number != *at, "preparation {number} fails"),
            Event::Stop(at, cancel) if number == *at => cancel.cancel(),
            Event::Stop(..) | Event::Nothing => (),
        }
        self.inner.prepare(rows, epoch)
    }

    fn loss(&self, model: &Model, pass: &Pass, prepared: MaskedBatch) -> Option<(burn::Tensor<1>, f64)> {
        self.inner.loss(model, pass, prepared)
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        self.inner.evaluate(model, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        self.inner.metric_for_best_model()
    }
}

fn settings() -> TrainingSettings {
    TrainingSettings { train_batch_size: 8, save_steps: 100, ..common::settings() }
}

fn watched(texts: &Texts, event: Event) -> Watched<'_> {
    Watched { inner: objective(texts), event, prepared: AtomicU64::new(0) }
}

fn bits(model: &Model) -> Vec<Vec<u32>> {
    let values = model.parameters.list.iter().map(|parameter| parameter.value.to_vec());
    values.map(|values| values.into_iter().map(f32::to_bits).collect()).collect()
}

/// The parameters after training, and the share of the time in which the encoder waited.
fn trained(event: Event) -> (Vec<Vec<u32>>, f64) {
    let (mut model, cancel) = (model(), Cancel::default());
    let ctx = Context { progress: &Silent, cancel: &cancel };
    let outcome = train(&mut model, &watched(&Texts, event), &settings(), None, &ctx).expect("trains");
    (bits(&model), outcome.waiting_share)
}

#[test]
fn slow_preparation_changes_no_bit_and_is_measured_as_waiting() {
    let (expected, _) = trained(Event::Nothing);
    let (found, waiting_share) = trained(Event::Slow);
    assert_eq!(found, expected);
    assert!((0.01..=1.0).contains(&waiting_share), "{waiting_share}");
}

/// One step as a plain loop makes it, from the public parts alone.
#[test]
fn a_step_has_the_bits_of_a_plain_loop() {
    let (texts, cancel) = (Texts, Cancel::default());
    let ctx = Context { progress: &Silent, cancel: &cancel };
    // One micro-batch of all rows in the only order they can have.
    let one = TrainingSettings { max_steps: Some(1), max_tokens_per_micro_batch: 1_000, ..settings() };
    let mut objective = watched(&texts, Event::Nothing);
    objective.inner.rows = vec![9];
    let mut in_background = model();
    train(&mut in_background, &objective, &one, None, &ctx).expect("trains");
    let mut plain = model();
    let mut optimizer = AdamW::new(one.adamw, &plain.parameters);
    let seed = steep::random::hash(one.seed, &[2, 0, 0]);
    let pass = Pass::train(&plain.parameters, seed);
    let (loss, weight) = objective.loss(&plain, &pass, objective.prepare(&[9], 0)).expect("some masks");
    let mut gradients = Gradients::default();
    gradients.add(pass.gradients(loss));
    optimizer.step(&mut plain.parameters, gradients, one.learning_rate as f32, (1.0 / weight) as f32);
    assert_ne!(bits(&plain), bits(&model()), "the step changes something");
    assert_eq!(bits(&in_background), bits(&plain));
}

#[test]
fn a_panic_in_preparation_is_an_error() {
    let (mut model, cancel) = (model(), Cancel::default());
    let ctx = Context { progress: &Silent, cancel: &cancel };
    let objective = watched(&Texts, Event::Panic(5));
    let error = train(&mut model, &objective, &settings(), None, &ctx).expect_err("fails");
    assert_eq!(error.to_string(), "internal error: preparation 5 fails");
}

#[test]
fn a_stop_with_steps_in_the_queue_resumes_to_the_same_bits() {
    let (expected, _) = trained(Event::Nothing);
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoints = Checkpoints::new(folder.path(), "one run", 2);
    for stop in [1, 6, 11] {
        let (mut model, cancel) = (model(), Cancel::default());
        let ctx = Context { progress: &Silent, cancel: &cancel };
        let objective = watched(&Texts, Event::Stop(stop, cancel.clone()));
        let stopped = train(&mut model, &objective, &settings(), Some(&checkpoints), &ctx);
        assert!(matches!(stopped, Err(Error::Cancelled)), "stop at preparation {stop}");
    }
    let (mut model, cancel) = (model(), Cancel::default());
    let ctx = Context { progress: &Silent, cancel: &cancel };
    let outcome = train(&mut model, &watched(&Texts, Event::Nothing), &settings(), Some(&checkpoints), &ctx);
    outcome.expect("resumes");
    assert_eq!(bits(&model), expected);
}
