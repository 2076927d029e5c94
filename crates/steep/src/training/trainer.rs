//! The training loop: one for every objective.

use super::checkpoint::Checkpoints;
use super::steps::{MicroBatch, STEPS_AHEAD, Steps};
use super::{Sequences, TrainingSettings};
use crate::ahead::ahead;
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::random::hash;
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use steep_encoder::{AdamW, Gradients, Model, Parameters, Pass, in_pool};

/// What is trained for: a loss over rows, and how well a model does on held-out rows.
///
/// Shared with the thread that prepares the rows of the steps to come.
pub trait Objective: Sync {
    /// What the loss of some rows needs besides the model: tokens, masks, targets, and no tensors.
    type Prepared: Send;

    /// The sequences; rows are indices into them.
    fn sequences(&self) -> &dyn Sequences;

    /// The rows that are trained on.
    fn rows(&self) -> &[u32];

    /// Tokens computed at once where so many are asked for: more, where the rows of a step are told from each other.
    fn micro_batch_tokens(&self, asked: usize) -> usize {
        asked
    }

    /// Makes some rows ready, on whatever thread and however early. Draws at random by (seed, epoch, row) only.
    fn prepare(&self, rows: &[u32], epoch: u64) -> Self::Prepared;

    /// The same when a share of the steps is done, from 0 to below 1, for what changes as training goes on.
    fn prepare_at(&self, rows: &[u32], epoch: u64, _done: f64) -> Self::Prepared {
        self.prepare(rows, epoch)
    }

    /// Tells all parts of a step, once they are prepared, what each needs to know of the others.
    fn complete(&self, _step: &mut [Self::Prepared]) {}

    /// The loss of prepared rows, summed, and the weight that makes it a mean; `None` where the rows
    /// hold nothing to learn from.
    fn loss(&self, model: &Model, pass: &Pass, prepared: Self::Prepared) -> Option<(Tensor<1>, f64)>;

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
    /// Share of the steps' time in which the encoder waited for the rows of the next one, from 0 to 1.
    pub waiting_share: f64,
}

/// Consecutive steps without a finite gradient after which training gives up.
const MAX_CONSECUTIVE_SKIPS: u32 = 3;

/// Trains the model in place. With `checkpoints`, resumes from the newest valid one and saves new
/// ones; on cancellation a checkpoint is saved and [`Error::Cancelled`] returned.
///
/// The rows of the next steps are prepared on a thread of their own while one is computed.
pub fn train<O: Objective>(
    model: &mut Model,
    objective: &O,
    settings: &TrainingSettings,
    checkpoints: Option<&Checkpoints>,
    ctx: &Context,
) -> Result<TrainingOutcome> {
    let mut run = Run::begin(model, objective, settings, checkpoints)?;
    let started_at = run.state.global_step;
    ctx.progress.start("training", Some(run.state.max_steps), "steps");
    ctx.progress.advance(started_at);
    let steps = Steps::new(objective, settings, started_at..run.state.max_steps);
    let waited = ahead(STEPS_AHEAD, steps, |steps| {
        if started_at == 0 {
            run.evaluate(model, ctx)?;
        }
        while run.state.global_step < run.state.max_steps {
            if ctx.cancel.is_cancelled() {
                run.save(model)?;
                return Err(Error::Cancelled);
            }
            let Some(batches) = steps.next().transpose()? else { break };
            in_pool(|| run.step(model, batches))?;
            run.after_step(model, ctx)?;
            ctx.progress.advance(1);
        }
        Ok(steps.waited())
    })?;
    run.finish(model);
    ctx.progress.finish();
    let waiting_share = waited.as_secs_f64() / (waited + run.computing).as_secs_f64().max(1e-9);
    Ok(TrainingOutcome { steps_now: run.state.global_step - started_at, waiting_share, state: run.state })
}

/// A training run under way.
struct Run<'a, O> {
    objective: &'a O,
    settings: &'a TrainingSettings,
    checkpoints: Option<&'a Checkpoints>,
    optimizer: AdamW,
    state: TrainerState,
    /// The best evaluated parameters, kept when they may be wanted at the end.
    best: Option<Parameters>,
    consecutive_skips: u32,
    /// Time spent in the steps of this call.
    computing: Duration,
}

impl<'a, O: Objective> Run<'a, O> {
    fn begin(
        model: &mut Model,
        objective: &'a O,
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
            consecutive_skips: 0,
            computing: Duration::ZERO,
        };
        if let Some(checkpoints) = checkpoints
            && let Some(loaded) = checkpoints.load_newest(model, &mut run.optimizer)?
        {
            run.state = loaded.state;
            run.best = loaded.best;
        }
        settings.freezing.check(model)?;
        run.choose_learning(model);
        Ok(run)
    }

    /// Freezes and frees parameters as the next step wants them.
    fn choose_learning(&self, model: &mut Model) {
        let position = self.settings.position(self.state.global_step, self.objective.rows().len());
        self.settings.freezing.apply(model, position);
    }

    fn step(&mut self, model: &mut Model, batches: Vec<MicroBatch<O::Prepared>>) -> Result<()> {
        let (step, started) = (self.state.global_step, Instant::now());
        if self.settings.freezing.is_gradual() {
            self.choose_learning(model);
        }
        let (mut gradients, mut loss_sum, mut weight_sum) = (Gradients::default(), 0.0, 0.0);
        for (index, batch) in batches.into_iter().enumerate() {
            let seed = hash(self.settings.seed, &[DROPOUT, step, index as u64]);
            let pass = Pass::train(&model.parameters, seed);
            let Some((loss, weight)) = self.objective.loss(model, &pass, batch.prepared) else { continue };
            loss_sum += f64::from(loss.clone().inner().into_scalar::<f32>());
            weight_sum += weight;
            gradients.add(pass.gradients(loss));
            self.state.num_input_tokens_seen += batch.tokens;
        }
        self.state.global_step += 1;
        if weight_sum > 0.0 {
            self.update(model, gradients, step, loss_sum, weight_sum)?;
        }
        self.computing += started.elapsed();
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

/// Name of the random stream; that of the rows' order is 1.
const DROPOUT: u64 = 2;
