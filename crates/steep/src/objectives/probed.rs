//! An objective whose evaluations also ask how good the encoder is at something else.

use crate::error::Result;
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use steep_encoder::{Model, Pass};

/// A look at an encoder in training, such as how well a learner on its vectors predicts labels.
pub trait EncoderProbe: Sync {
    /// Names what is measured: equal probes have equal keys.
    fn key(&self) -> String;

    /// Measures by name; the log has them as `eval_<name>`.
    fn measure(&self, model: &Model) -> Result<BTreeMap<String, f64>>;
}

/// The objective, and the probe at each of its evaluations.
pub struct Probed<'a, O> {
    objective: O,
    probe: Option<&'a dyn EncoderProbe>,
    time: Mutex<Duration>,
}

impl<'a, O> Probed<'a, O> {
    /// Without a probe it is the objective alone.
    pub fn new(objective: O, probe: Option<&'a dyn EncoderProbe>) -> Self {
        Self { objective, probe, time: Mutex::new(Duration::ZERO) }
    }

    /// Seconds that the probe took, which are no part of training.
    pub fn probe_seconds(&self) -> f64 {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).as_secs_f64()
    }
}

impl<O: Objective> Objective for Probed<'_, O> {
    type Prepared = O::Prepared;

    fn sequences(&self) -> &dyn Sequences {
        self.objective.sequences()
    }

    fn rows(&self) -> &[u32] {
        self.objective.rows()
    }

    fn micro_batch_tokens(&self, asked: usize) -> usize {
        self.objective.micro_batch_tokens(asked)
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> O::Prepared {
        self.objective.prepare(rows, epoch)
    }

    fn prepare_at(&self, rows: &[u32], epoch: u64, done: f64) -> O::Prepared {
        self.objective.prepare_at(rows, epoch, done)
    }

    fn complete(&self, step: &mut [O::Prepared]) {
        self.objective.complete(step);
    }

    fn loss(&self, model: &Model, pass: &Pass, prepared: O::Prepared) -> Option<(Tensor<1>, f64)> {
        self.objective.loss(model, pass, prepared)
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let mut measures = self.objective.evaluate(model, ctx)?;
        if let Some(probe) = self.probe {
            let started = Instant::now();
            measures.extend(probe.measure(model)?);
            *self.time.lock().unwrap_or_else(PoisonError::into_inner) += started.elapsed();
        }
        Ok(measures)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        self.objective.metric_for_best_model()
    }
}
