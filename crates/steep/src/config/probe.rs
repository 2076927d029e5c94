//! How long will it take, and how much memory? Measured on a few micro-batches of the real tokens.

use crate::error::Result;
use crate::features::embed::Embedder;
use crate::progress::{Cancel, Context, Silent};
use crate::training::{Objective, Position, Sequences, TrainingSettings, micro_batches};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};
use steep_encoder::{AdamW, Gradients, Model, Pass};

/// A probe ends after the micro-batch during which this much time has passed.
const PROBE_TIME: Duration = Duration::from_secs(2);

/// Forward passes take about a third of forward and backward together.
const FORWARD_SHARE: f64 = 1.0 / 3.0;

/// What a probe says of the whole work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tokens to compute, evaluation included.
    pub tokens: u64,
    /// Measured on the probe's tokens.
    pub tokens_per_second: f64,
    /// Optimizer steps; 0 where nothing is trained.
    pub steps: u64,
    /// Seconds of the whole work.
    pub seconds: f64,
    /// The process's peak memory in bytes; measured where the system tells it, computed otherwise.
    pub peak_bytes: u64,
}

impl fmt::Display for Estimate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.seconds / 60.0;
        let time = match self.seconds {
            ..100.0 => format!("{:.0} s", self.seconds),
            ..6_000.0 => format!("{minutes:.0} min"),
            _ => format!("{:.1} h", minutes / 60.0),
        };
        let memory = self.peak_bytes as f64 / f64::from(1 << 20);
        if self.steps > 0 {
            write!(formatter, "{} optimizer steps, ", self.steps)?;
        }
        write!(
            formatter,
            "{} tokens at {:.0} a second: about {time}, ",
            self.tokens, self.tokens_per_second
        )?;
        write!(formatter, "about {memory:.0} MB of memory at the most")
    }
}

/// How much of what was probed there is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingAmount {
    /// Rows trained on.
    pub rows: u64,
    /// Held-out rows, of all kinds together.
    pub evaluation_rows: u64,
}

/// Trains on a few micro-batches of the objective's rows without keeping anything, and extrapolates to `amount`.
///
/// The objective's rows may be a sample of the whole. The model is changed.
pub fn estimate_training<O: Objective>(
    model: &mut Model,
    objective: &O,
    settings: &TrainingSettings,
    amount: TrainingAmount,
    cancel: &Cancel,
) -> Result<Estimate> {
    settings.freezing.apply(model, Position::END);
    let speed = training_speed(model, objective, settings, cancel)?;
    let rows = objective.rows();
    let sampled: u64 = rows.iter().map(|&row| objective.sequences().length(row as usize) as u64).sum();
    let mean_length = sampled as f64 / rows.len().max(1) as f64;
    let steps = settings.total_steps(amount.rows as usize);
    let evaluations = match settings.eval_steps(amount.rows as usize) {
        u64::MAX => 2,
        every => steps / every.max(1) + 2,
    };
    let step_tokens = settings.train_batch_size.min(amount.rows as usize) as f64 * mean_length;
    let trained = steps as f64 * step_tokens;
    let evaluated = evaluations as f64 * amount.evaluation_rows as f64 * mean_length;
    let computing = (trained + FORWARD_SHARE * evaluated) / speed.tokens_per_second;
    Ok(Estimate {
        tokens: (trained + evaluated) as u64,
        tokens_per_second: speed.tokens_per_second,
        steps,
        seconds: computing + steps as f64 * speed.optimizer_seconds,
        peak_bytes: training_bytes(model, settings, step_tokens),
    })
}

struct TrainingSpeed {
    tokens_per_second: f64,
    optimizer_seconds: f64,
}

/// Repeats training's steps at a rate of zero: forward and backward pass by micro-batches, then the optimizer.
fn training_speed<O: Objective>(
    model: &mut Model,
    objective: &O,
    settings: &TrainingSettings,
    cancel: &Cancel,
) -> Result<TrainingSpeed> {
    let length = |row: u32| objective.sequences().length(row as usize);
    let budget = objective.micro_batch_tokens(settings.max_tokens_per_micro_batch);
    let steps: Vec<&[u32]> = objective.rows().chunks(settings.train_batch_size).collect();
    let mut optimizer = AdamW::new(settings.adamw, &model.parameters);
    let mut speed = TrainingSpeed { tokens_per_second: 0.0, optimizer_seconds: 0.0 };
    let (mut tokens, mut time, started) = (0_u64, Duration::ZERO, Instant::now());
    for (index, rows) in steps.iter().cycle().take(steps.len().max(MIN_STEPS)).enumerate() {
        // The first one warms caches and allocator up and makes the optimizer's state; it does not count.
        if index == 1 {
            (tokens, time) = (0, Duration::ZERO);
        }
        let (before, mut gradients) = (Instant::now(), Gradients::default());
        for (at, rows) in micro_batches(rows, budget, length).into_iter().enumerate() {
            cancel.check()?;
            let pass = Pass::train(&model.parameters, (index + at) as u64);
            if let Some((loss, _)) = objective.loss(model, &pass, objective.prepare(rows, 0)) {
                gradients.add(pass.gradients(loss));
            }
        }
        time += before.elapsed();
        tokens += rows.iter().map(|&row| length(row) as u64).sum::<u64>();
        let before = Instant::now();
        optimizer.step(&mut model.parameters, gradients, 0.0, 1.0);
        speed.optimizer_seconds = before.elapsed().as_secs_f64();
        if started.elapsed() > PROBE_TIME && index > 0 {
            break;
        }
    }
    speed.tokens_per_second = tokens.max(1) as f64 / time.as_secs_f64().max(1e-9);
    Ok(speed)
}

/// Steps of a probe where the time allows it, though the rows be fewer.
const MIN_STEPS: usize = 3;

/// The best weights are kept beside what the probe had in memory.
fn training_bytes(model: &Model, settings: &TrainingSettings, step_tokens: f64) -> u64 {
    let weights = 4 * model.parameters.num_values() as u64;
    let best = if settings.load_best_model_at_end { weights } else { 0 };
    let measured = peak_bytes();
    if measured > 0 {
        return measured + best;
    }
    // Weights, gradients, both moments; and what the tape keeps of a token: about fourteen vectors of the width and three
    // of the inner width a layer.
    let config = &model.config;
    let a_token = config.num_hidden_layers * (14 * config.hidden_size + 3 * config.intermediate_size) * 4;
    let tokens = step_tokens.min(settings.max_tokens_per_micro_batch as f64);
    4 * weights + best + (a_token as f64 * tokens) as u64
}

/// Embeds some rows and extrapolates to `rows` of the same lengths.
pub fn estimate_embedding(
    embedder: &Embedder,
    sample: &dyn Sequences,
    rows: u64,
    cancel: &Cancel,
) -> Result<Estimate> {
    let ctx = Context { progress: &Silent, cancel };
    let (mut tokens, mut done, started) = (0_u64, 0_u64, Instant::now());
    for first in (0..sample.len() as u32).step_by(ROWS_AT_ONCE) {
        let chunk: Vec<u32> = (first..sample.len().min(first as usize + ROWS_AT_ONCE) as u32).collect();
        embedder.embed(sample, &chunk, 0, &ctx)?;
        tokens += chunk.iter().map(|&row| sample.length(row as usize) as u64).sum::<u64>();
        done += chunk.len() as u64;
        if started.elapsed() > PROBE_TIME {
            break;
        }
    }
    let tokens_per_second = tokens as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let all = (tokens as f64 * rows as f64 / done.max(1) as f64) as u64;
    let seconds = all as f64 / tokens_per_second.max(1e-9);
    Ok(Estimate { tokens: all, tokens_per_second, steps: 0, seconds, peak_bytes: peak_bytes() })
}

/// Rows between two looks at the clock.
const ROWS_AT_ONCE: usize = 64;

/// The greatest resident memory of this process so far, where the system tells it; else 0.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_reads_as_a_sentence() {
        let estimate = Estimate {
            tokens: 1_000_000,
            tokens_per_second: 5_000.4,
            steps: 300,
            seconds: 240.0,
            peak_bytes: 512 << 20,
        };
        let words = "300 optimizer steps, 1000000 tokens at 5000 a second: about 4 min, about 512 MB of memory at the most";
        assert_eq!(estimate.to_string(), words);
    }
}
