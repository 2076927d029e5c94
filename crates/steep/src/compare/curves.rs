//! Curves over optimizer steps, and over the number of labels.

use super::features::{Beside, PartedFeatures};
use super::matrix_store::{MatrixReport, stored_or};
use super::routes::{Measured, MeasuredRoute};
use super::runner::Runner;
use super::score::Scorer;
use super::settings::{FeatureSet, Route};
use crate::data::{LabelBudget, label_budget};
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::progress::{Context, Silent};
use crate::report::{Curve, CurveKind, LabelCurve, LabelPoint};
use crate::stages::stage_key;
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
            (&format!("eval_probe_{metric}"), CurveKind::ProbeScore),
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

/// Shares of the training rows that are looked at, the smallest with this many rows at least.
const SHARES: [f64; 8] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0];
const FEWEST_ROWS: usize = 20;
/// Different draws of each share but the whole.
const DRAWS: u64 = 3;

/// The score with fewer labels: the learner that a route chose, fitted again on nested parts of the training rows. Only
/// for encoders that no label changed, since a fine-tuned one has seen all labels: `frozen`, and the best such variant.
pub(super) fn label_curves(measured: &Measured, runner: &Runner, scorer: &Scorer) -> Result<Vec<LabelCurve>> {
    if !runner.settings.label_curve {
        return Ok(Vec::new());
    }
    let is_label_free = |route: &MeasuredRoute| {
        matches!(route.route, Route::Frozen | Route::Adapted) && route.variant.features.is_some()
    };
    let frozen = measured.of(Route::Frozen, Some(FeatureSet::Text));
    let best = measured.best_on_validation(scorer, is_label_free);
    let mut chosen: Vec<&MeasuredRoute> = frozen.into_iter().collect();
    chosen.extend(best.filter(|best| chosen.iter().all(|other| other.result.id != best.result.id)));
    chosen.into_iter().map(|route| label_curve(route, runner, scorer)).collect()
}

fn label_curve(route: &MeasuredRoute, runner: &Runner, scorer: &Scorer) -> Result<LabelCurve> {
    let (settings, labelled) = (runner.settings, &runner.prepared.labelled);
    let set = route.variant.features.unwrap_or(FeatureSet::Text);
    let encoder = runner.encoder(route.route, settings.seeds[0])?;
    let (vectors, _) = runner.embeddings(&encoder, runner.texts())?;
    let key = stage_key(
        "label curve",
        &[&route.result.id, &labelled.key],
        &(
            &labelled.split.train,
            &labelled.split.test,
            route.predictions[0].learner.as_ref(),
            digest(vectors.values()),
            serde_json::to_value(scorer.metric).expect("a metric is a plain name"),
        ),
    );
    let name = format!("{}{}", set.folder_part(), "label-curve");
    let (values, _) = stored_or(&runner.companion(&encoder, &name), &key, || {
        let features = runner.features(Some(vectors), Beside::Set(set))?;
        let points = measure(route, &features, runner, scorer, set)?;
        let values = points.iter().flat_map(|point| point.map(|value| value as f32)).collect();
        Ok((DenseMatrix::new(points.len(), 3, values)?, MatrixReport::default()))
    })?;
    let mut points: Vec<LabelPoint> = Vec::new();
    for row in values.values().chunks_exact(3) {
        let labels = row[0] as u64;
        match points.last_mut().filter(|point| point.labels == labels) {
            Some(point) => point.scores.push(f64::from(row[1])),
            None => points.push(LabelPoint { labels, scores: vec![f64::from(row[1])] }),
        }
    }
    Ok(LabelCurve { route: route.result.id.clone(), points })
}

/// Rows of labels, score and draw.
fn measure(
    route: &MeasuredRoute,
    features: &PartedFeatures,
    runner: &Runner,
    scorer: &Scorer,
    set: FeatureSet,
) -> Result<Vec<[f64; 3]>> {
    let (settings, labelled) = (runner.settings, &runner.prepared.labelled);
    let known = route.predictions[0].learner.as_ref().map(|learner| learner.taken().clone());
    let Some(known) = known else { return Ok(Vec::new()) };
    let (train, plan) = (&labelled.split.train, runner.plan(set));
    let silent = Context { progress: &Silent, cancel: runner.ctx.cancel };
    runner.ctx.progress.start("label curve", None, "");
    let mut points = Vec::new();
    for share in SHARES {
        let rows = (train.len() as f64 * share).round() as usize;
        let is_whole = share >= 1.0;
        if rows < FEWEST_ROWS && !is_whole {
            continue;
        }
        for draw in 0..if is_whole { 1 } else { DRAWS } {
            runner.ctx.cancel.check()?;
            let seed = settings.seeds[0].wrapping_add(draw);
            let picked = label_budget(&labelled.rows.labels, train, LabelBudget::Rows(rows), seed)?;
            let places: Vec<u32> = picked
                .iter()
                .filter_map(|row| train.binary_search(row).ok().map(|place| place as u32))
                .collect();
            // Too few rows of a class for a learner's calibration, for instance, leave a gap in the curve.
            let fitted = plan.fit_known(
                &known,
                &features.train.select_rows(&places),
                labelled,
                &picked,
                seed,
                &silent,
            );
            let Ok(head) = fitted else { continue };
            let predicted = head.predict(&features.test)?;
            if let Some(score) = scorer.value(&labelled.split.test, &predicted) {
                points.push([picked.len() as f64, score, draw as f64]);
            }
        }
    }
    runner.ctx.progress.finish();
    Ok(points)
}

/// Names a matrix's content.
fn digest(values: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    values.iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    hasher.finalize().to_hex().to_string()
}
