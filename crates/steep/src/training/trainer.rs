//! The training loop: one for every objective.

use super::checkpoint::Checkpoints;
use super::{Sequences, TrainingSettings, micro_batches};
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::random::{Stream, hash};
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use steep_encoder::{AdamW, Gradients, Model, Parameters, Pass};

/// What is trained for: a loss over rows, and how well a model does on held-out rows.
pub trait Objective {
    /// The sequences; rows are indices into them.
    fn sequences(&self) -> &dyn Sequences;

    /// The rows that are trained on.
    fn rows(&self) -> &[u32];

    /// The loss of some rows, summed, and the weight that makes it a mean; `None` where the rows
    /// hold nothing to learn from. Draws at random by (seed, epoch, row) only.
    fn loss(&self, model: &Model, pass: &Pass, rows: &[u32], epoch: u64) -> Option<(Tensor<1>, f64)>;

    /// Held-out measures by name.
    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>>;

    /// The measure by which the best weights are chosen, and whether larger is better.
    fn metric_for_best_model(&self) -> (&'static str, bool);
}

/// One line of the log: transformers' keys, and each held-out measure as `eval_<name>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Optimizer steps done.
    pub step: u64,
    /// Passes done.
    pub epoch: f64,
    /// `loss`, `learning_rate`, `grad_norm`, or `eval_*`.
    #[serde(flatten)]
    pub values: BTreeMap<String, f64>,
}

/// Where training is; saved with every checkpoint as `trainer_state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Optimizer steps done.
    pub global_step: u64,
    /// All steps.
    pub max_steps: u64,
    /// Tokens seen.
    pub num_input_tokens_seen: u64,
    /// Steps left out because a gradient was not finite.
    pub skipped_steps: u64,
    /// The best held-out value so far.
    pub best_metric: Option<f64>,
    /// And its step.
    pub best_global_step: Option<u64>,
    /// The log.
    pub log_history: Vec<LogEntry>,
    /// Loss and weight summed since the last log entry.
    pub pending_loss: (f64, f64),
}

/// What training leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingOutcome {
    /// The final state with its log.
    pub state: TrainerState,
    /// Steps done by this call, after any resumption.
    pub steps_now: u64,
}

/// Consecutive steps without a finite gradient after which training gives up.
const MAX_CONSECUTIVE_SKIPS: u32 = 3;

/// Trains the model in place. With `checkpoints`, resumes from the newest valid one and saves new
/// ones; on cancellation a checkpoint is saved and [`Error::Cancelled`] returned.
pub fn train(
    model: &mut Model,
    objective: &dyn Objective,
    settings: &TrainingSettings,
    checkpoints: Option<&Checkpoints>,
    ctx: &Context,
) -> Result<TrainingOutcome> {
    let mut run = Run::begin(model, objective, settings, checkpoints)?;
    let started_at = run.state.global_step;
    ctx.progress.start("training", Some(run.state.max_steps), "steps");
    ctx.progress.advance(started_at);
    if started_at == 0 {
        run.evaluate(model, ctx)?;
    }
    while run.state.global_step < run.state.max_steps {
        if ctx.cancel.is_cancelled() {
            run.save(model)?;
            return Err(Error::Cancelled);
        }
        run.step(model)?;
        run.after_step(model, ctx)?;
        ctx.progress.advance(1);
    }
    run.finish(model);
    ctx.progress.finish();
    Ok(TrainingOutcome { steps_now: run.state.global_step - started_at, state: run.state })
}

/// A training run under way.
struct Run<'a> {
    objective: &'a dyn Objective,
    settings: &'a TrainingSettings,
    checkpoints: Option<&'a Checkpoints>,
    optimizer: AdamW,
    state: TrainerState,
    /// The best evaluated parameters, kept when they may be wanted at the end.
    best: Option<Parameters>,
    /// Rows of the current epoch in their order.
    order: (u64, Vec<u32>),
    consecutive_skips: u32,
}

impl<'a> Run<'a> {
    fn begin(
        model: &mut Model,
        objective: &'a dyn Objective,
        settings: &'a TrainingSettings,
        checkpoints: Option<&'a Checkpoints>,
    ) -> Result<Self> {
        let mut run = Self {
            objective,
            settings,
            checkpoints,
            optimizer: AdamW::new(settings.adamw, &model.parameters),
            state: TrainerState {
                global_step: 0,
                max_steps: settings.total_steps(objective.rows().len()),
                num_input_tokens_seen: 0,
                skipped_steps: 0,
                best_metric: None,
                best_global_step: None,
                log_history: Vec::new(),
                pending_loss: (0.0, 0.0),
            },
            best: None,
            order: (u64::MAX, Vec::new()),
            consecutive_skips: 0,
        };
        if let Some(checkpoints) = checkpoints
            && let Some(loaded) = checkpoints.load_newest(model, &mut run.optimizer)?
        {
            run.state = loaded.state;
            run.best = loaded.best;
        }
        Ok(run)
    }

    /// The rows of one optimizer step: a function of (seed, step) alone.
    fn rows_of_step(&mut self, step: u64) -> (u64, Vec<u32>) {
        let rows = self.objective.rows();
        let steps_per_epoch = self.settings.steps_per_epoch(rows.len());
        let epoch = step / steps_per_epoch;
        if self.order.0 != epoch {
            let mut order = rows.to_vec();
            Stream::new(self.settings.seed, &[ORDER, epoch]).shuffle(&mut order);
            self.order = (epoch, order);
        }
        let size = self.settings.train_batch_size;
        let start = (step % steps_per_epoch) as usize * size;
        let end = (start + size).min(self.order.1.len());
        (epoch, self.order.1[start.min(end)..end].to_vec())
    }

    fn step(&mut self, model: &mut Model) -> Result<()> {
        let step = self.state.global_step;
        let (epoch, rows) = self.rows_of_step(step);
        let sequences = self.objective.sequences();
        let length = |row: u32| sequences.length(row as usize);
        let (mut gradients, mut loss_sum, mut weight_sum) = (Gradients::default(), 0.0, 0.0);
        let budget = self.settings.max_tokens_per_micro_batch;
        for (index, rows) in micro_batches(&rows, budget, length).into_iter().enumerate() {
            let seed = hash(self.settings.seed, &[DROPOUT, step, index as u64]);
            let pass = Pass::train(&model.parameters, seed);
            let Some((loss, weight)) = self.objective.loss(model, &pass, rows, epoch) else { continue };
            loss_sum += f64::from(loss.clone().inner().into_scalar::<f32>());
            weight_sum += weight;
            gradients.add(pass.gradients(loss));
            self.state.num_input_tokens_seen += rows.iter().map(|&row| length(row) as u64).sum::<u64>();
        }
        self.state.global_step += 1;
        if weight_sum > 0.0 {
            self.update(model, gradients, step, loss_sum, weight_sum)?;
        }
        Ok(())
    }

    fn update(
        &mut self,
        model: &mut Model,
        gradients: Gradients,
        step: u64,
        loss_sum: f64,
        weight_sum: f64,
    ) -> Result<()> {
        let schedule = self.settings.schedule(self.objective.rows().len());
        let rate = schedule.learning_rate(step);
        let scale = (1.0 / weight_sum) as f32;
        let norm = self.optimizer.step(&mut model.parameters, gradients, rate as f32, scale);
        if !norm.is_finite() || !loss_sum.is_finite() {
            return self.skip(step);
        }
        self.consecutive_skips = 0;
        self.state.pending_loss.0 += loss_sum;
        self.state.pending_loss.1 += weight_sum;
        let done = self.state.global_step;
        if done.is_multiple_of(self.settings.logging_steps) || done == self.state.max_steps {
            let (loss, weight) = std::mem::take(&mut self.state.pending_loss);
            let values = [("loss", loss / weight), ("learning_rate", rate), ("grad_norm", norm)];
            self.log(values.map(|(name, value)| (name.to_owned(), value)).into());
        }
        Ok(())
    }

    /// A step whose gradient is not finite changed nothing; several in a row end the training.
    fn skip(&mut self, step: u64) -> Result<()> {
        self.state.skipped_steps += 1;
        self.consecutive_skips += 1;
        if self.consecutive_skips < MAX_CONSECUTIVE_SKIPS {
            return Ok(());
        }
        Err(Error::config(
            "learning_rate",
            format!(
                "the gradients are not finite since step {}",
                step + 2 - u64::from(self.consecutive_skips)
            ),
            "choose a smaller learning_rate or a longer warm-up",
        ))
    }

    fn log(&mut self, values: BTreeMap<String, f64>) {
        let steps_per_epoch = self.settings.steps_per_epoch(self.objective.rows().len());
        let step = self.state.global_step;
        let epoch = step as f64 / steps_per_epoch as f64;
        self.state.log_history.push(LogEntry { step, epoch, values });
    }

    fn after_step(&mut self, model: &Model, ctx: &Context) -> Result<()> {
        let step = self.state.global_step;
        let eval_steps = self.settings.eval_steps(self.objective.rows().len());
        if step.is_multiple_of(eval_steps) || step == self.state.max_steps {
            self.evaluate(model, ctx)?;
        }
        if let Some(loss) = self.state.log_history.iter().rev().find_map(|entry| entry.values.get("loss")) {
            ctx.progress.note(&format!("loss {loss:.3}"));
        }
        if step.is_multiple_of(self.settings.save_steps) && step < self.state.max_steps {
            self.save(model)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, model: &Model, ctx: &Context) -> Result<()> {
        let measures = self.objective.evaluate(model, ctx)?;
        let (name, larger_is_better) = self.objective.metric_for_best_model();
        if let Some(&value) = measures.get(name) {
            let better = |best: f64| if larger_is_better { value > best } else { value < best };
            if value.is_finite() && self.state.best_metric.is_none_or(better) {
                self.state.best_metric = Some(value);
                self.state.best_global_step = Some(self.state.global_step);
                self.best = self.settings.load_best_model_at_end.then(|| model.parameters.clone());
            }
        }
        let named = measures.into_iter().map(|(name, value)| (format!("eval_{name}"), value));
        self.log(named.collect());
        Ok(())
    }

    fn save(&self, model: &Model) -> Result<()> {
        match self.checkpoints {
            Some(checkpoints) => checkpoints.save(model, &self.optimizer, &self.state, self.best.as_ref()),
            None => Ok(()),
        }
    }

    /// Puts the best weights into the model, where they were kept.
    fn finish(&mut self, model: &mut Model) {
        if let Some(best) = self.best.take() {
            model.parameters = best;
        }
    }
}

/// Names of the random streams.
const ORDER: u64 = 1;
const DROPOUT: u64 = 2;
