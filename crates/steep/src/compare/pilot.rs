//! Is adapting worth the rest of the time? Tried on a part of the texts, and judged by a probe.

use super::matrix_store::report_or;
use super::probe::Probe;
use super::runner::Runner;
use super::score::Scorer;
use crate::error::Result;
use crate::evaluation::bootstrap::{BootstrapOptions, Direction, Resampled, compare_resampled};
use crate::report::{Pilot, PilotOutcome, pilot_sentence};
use crate::stages::{ModelFolder, stage_key};

/// Labelled rows that judge a pilot at most.
const MOST_ROWS: usize = 5_000;
const CONFIDENCE: f64 = 0.95;
/// Standard errors on each side of an interval of 95 %.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Adapts to `fraction` of the unlabelled texts and compares the vectors before and after on training and validation rows,
/// out of fold and paired. It goes on where the gain exceeds one standard error.
pub(super) fn pilot(runner: &Runner, scorer: &Scorer, fraction: f64) -> Result<Pilot> {
    let made = runner.adapted_to(fraction)?;
    let folder = ModelFolder::open(&made.encoder.folder)?;
    let probe = Probe::new(*runner, scorer, MOST_ROWS)?;
    let digests = [runner.model.digest.as_str(), &folder.digest, &probe.key()].map(str::to_owned);
    let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
    let decision = (runner.settings.rope, runner.settings.resamples, fraction);
    let key = stage_key("pilot", &digests, &decision);
    let pilot = report_or(&runner.stage_folder("pilot"), &key, || {
        runner.ctx.progress.start("judging the pilot", None, "");
        let resampled = |folder: &ModelFolder| -> Result<Resampled> {
            let vectors = probe.embed_folder(folder)?;
            let known = probe.choose(&vectors)?;
            let predicted = probe.predict(vectors, &known)?;
            let metric = scorer.by_row(scorer.metric, &probe.rows, &predicted)?;
            let (resamples, seed) = (runner.settings.resamples, runner.settings.seeds[0]);
            Resampled::new(&[&*metric], &BootstrapOptions { resamples, confidence: CONFIDENCE, seed })
        };
        let (frozen, adapted) = (resampled(runner.model)?, resampled(&folder)?);
        runner.ctx.progress.finish();
        let direction = if scorer.metric.is_greater_better() {
            Direction::GreaterIsBetter
        } else {
            Direction::LesserIsBetter
        };
        let found = compare_resampled(&adapted, &frozen, direction, runner.settings.rope)?.difference;
        let standard_error = (found.high - found.low) / (2.0 * NORMAL);
        let mut pilot = Pilot {
            fraction,
            texts: made.texts,
            steps: made.steps,
            seconds: made.encoder.seconds.adapt,
            rows: probe.rows.len() as u64,
            frozen: frozen.values()[0],
            adapted: adapted.values()[0],
            difference: found.estimate,
            low: found.low,
            high: found.high,
            standard_error,
            outcome: outcome(found.estimate, standard_error, direction),
            sentence: String::new(),
        };
        pilot.sentence = pilot_sentence(&pilot, &super::score::metric_name(scorer.metric));
        Ok(pilot)
    })?;
    runner.ctx.progress.line(&pilot.sentence.replace('`', ""));
    Ok(pilot)
}

/// A gain of more than one standard error is worth going on for.
fn outcome(difference: f64, standard_error: f64, direction: Direction) -> PilotOutcome {
    let gain = if direction == Direction::GreaterIsBetter { difference } else { -difference };
    if gain > standard_error { PilotOutcome::GoOn } else { PilotOutcome::Stop }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_within_its_error_stops_whichever_way_is_better() {
        let of = |difference, direction| outcome(difference, 0.01, direction);
        assert_eq!(of(0.02, Direction::GreaterIsBetter), PilotOutcome::GoOn);
        assert_eq!(of(0.01, Direction::GreaterIsBetter), PilotOutcome::Stop);
        assert_eq!(of(-0.02, Direction::GreaterIsBetter), PilotOutcome::Stop);
        assert_eq!(of(-0.02, Direction::LesserIsBetter), PilotOutcome::GoOn);
        assert_eq!(of(f64::NAN, Direction::GreaterIsBetter), PilotOutcome::Stop);
    }
}
