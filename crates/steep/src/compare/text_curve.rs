//! The score over the number of unlabelled texts that were adapted to.

use super::routes::{Measured, MeasuredRoute};
use super::runner::Runner;
use super::score::Scorer;
use super::settings::{FeatureSet, Route};
use crate::error::Result;
use crate::report::{Score, TextPoint};
use crate::training::LogEntry;

/// The encoder as it is, adapted to parts of the texts, and adapted to all of them, each with its forgetting; empty where
/// no parts were asked for.
pub(super) fn text_curve(measured: &Measured, runner: &Runner, scorer: &Scorer) -> Result<Vec<TextPoint>> {
    let plain = Some(FeatureSet::Text);
    let of = |route: Route| measured.of(route, plain);
    let (Some(adapted), Some(unlabelled)) = (of(Route::Adapted), &runner.prepared.unlabelled) else {
        return Ok(Vec::new());
    };
    let parts = &runner.settings.text_curve;
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let whole = measured.logs.get(&("adapted".to_owned(), runner.settings.seeds[0]));
    let whole = whole.map_or(&[][..], Vec::as_slice);
    let score = |route: &MeasuredRoute| scorer.score(scorer.metric, &route.predictions);
    let mut points = Vec::new();
    if let Some(frozen) = of(Route::Frozen) {
        points.push(point(0, 0, &score(frozen)?, whole.first()));
    }
    for &part in parts {
        runner.ctx.cancel.check()?;
        let made = runner.adapted_to(part)?;
        let prediction = runner.classifier(&made.encoder, runner.texts(), FeatureSet::Text)?;
        let score = scorer.score(scorer.metric, &[prediction])?;
        let log = made.encoder.logs.last().map_or(&[][..], |of| of.log.as_slice());
        points.push(point(made.texts, made.steps, &score, evaluations(log).last()));
    }
    let steps = whole.last().map_or(0, |entry| entry.step);
    let texts = unlabelled.train_rows.len() as u64;
    points.push(point(texts, steps, &score(adapted)?, evaluations(whole).last()));
    Ok(points)
}

fn evaluations(log: &[LogEntry]) -> impl DoubleEndedIterator<Item = &LogEntry> {
    log.iter().filter(|entry| entry.values.contains_key("eval_loss"))
}

fn point(texts: u64, steps: u64, score: &Score, log: Option<&LogEntry>) -> TextPoint {
    let value = |name: &str| log.and_then(|entry| entry.values.get(name).copied());
    TextPoint {
        texts,
        steps,
        score: score.mean,
        low: score.low,
        high: score.high,
        held_out_loss: value("eval_loss"),
        general_loss: value("eval_general_loss"),
    }
}
