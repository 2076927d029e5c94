//! Curves over optimizer steps.

use crate::report::{Curve, CurveKind};
use crate::training::LogEntry;
use std::collections::BTreeMap;

/// Losses and scores of the trainings, each once.
pub(super) fn training_curves(logs: &BTreeMap<(String, u64), Vec<LogEntry>>, metric: &str) -> Vec<Curve> {
    let mut curves = Vec::new();
    for ((stage, seed), log) in logs {
        for (name, kind) in [
            ("loss", CurveKind::TrainLoss),
            ("eval_loss", CurveKind::ValidationLoss),
            ("eval_general_loss", CurveKind::Forgetting),
            (&format!("eval_{metric}"), CurveKind::ValidationScore),
        ] {
            let point = |entry: &LogEntry| Some((entry.step, *entry.values.get(name)?));
            let points: Vec<(u64, f64)> = log.iter().filter_map(point).collect();
            if points.len() > 1 {
                curves.push(Curve { stage: stage.clone(), kind, seed: Some(*seed), points });
            }
        }
    }
    curves
}
