//! The learning rate at each optimizer step, as transformers' `get_scheduler`.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// transformers' scheduler names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedulerType {
    /// Down to zero in a straight line.
    Linear,
    /// Down to zero along half a cosine.
    Cosine,
    /// The same at all steps.
    Constant,
    /// The same at all steps after the warm-up.
    ConstantWithWarmup,
    /// 1 / √step.
    InverseSqrt,
}

impl LrSchedulerType {
    /// All of them with transformers' names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("linear", Self::Linear),
        ("cosine", Self::Cosine),
        ("constant", Self::Constant),
        ("constant_with_warmup", Self::ConstantWithWarmup),
        ("inverse_sqrt", Self::InverseSqrt),
    ];
}

/// A schedule over a known number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The shape after the warm-up.
    pub lr_scheduler_type: LrSchedulerType,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Steps from zero up to it.
    pub warmup_steps: u64,
    /// All steps.
    pub total_steps: u64,
}

impl Schedule {
    /// The rate of a step, counted from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        self.learning_rate * self.factor(step as f64)
    }

    fn factor(&self, step: f64) -> f64 {
        let (warmup, total) = (self.warmup_steps as f64, self.total_steps as f64);
        if self.lr_scheduler_type == LrSchedulerType::Constant {
            return 1.0;
        }
        if step < warmup {
            return step / warmup.max(1.0);
        }
        let progress = (step - warmup) / (total - warmup).max(1.0);
        match self.lr_scheduler_type {
            LrSchedulerType::Linear => (1.0 - progress).max(0.0),
            LrSchedulerType::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
            LrSchedulerType::Constant | LrSchedulerType::ConstantWithWarmup => 1.0,
            LrSchedulerType::InverseSqrt => {
                // transformers takes the warm-up as the time scale, or 10,000 without one.
                let timescale = if self.warmup_steps == 0 { 10_000.0 } else { warmup };
                (1.0 / ((step + timescale - warmup) / timescale)).sqrt()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_equal_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/schedules/reference.json");
        let text = std::fs::read_to_string(path).expect("reference");
        let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let mut compared = 0;
        for case in reference["cases"].as_array().expect("cases") {
            let name = case["lr_scheduler_type"].as_str().expect("a name");
            let known = LrSchedulerType::ALL.iter().find(|(known, _)| *known == name);
            // Other shapes are not offered, and the offered ones only as they are by default.
            let plain = case["lr_scheduler_kwargs"].as_object().is_some_and(serde_json::Map::is_empty);
            let Some((_, lr_scheduler_type)) = known.filter(|_| plain) else { continue };
            let schedule = Schedule {
                lr_scheduler_type: *lr_scheduler_type,
                learning_rate: reference["learning_rate"].as_f64().expect("a rate"),
                warmup_steps: case["num_warmup_steps"].as_u64().expect("steps"),
                total_steps: reference["num_training_steps"].as_u64().expect("steps"),
            };
            for (step, rate) in case["learning_rates"].as_array().expect("rates").iter().enumerate() {
                let expected = rate.as_f64().expect("a rate");
                let found = schedule.learning_rate(step as u64);
                assert!((found - expected).abs() < 1e-15, "{name} step {step}: {found}, {expected}");
                compared += 1;
            }
        }
        assert!(compared >= 100, "compared {compared} rates");
    }
}
