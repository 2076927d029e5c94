//! Predictions to scores with intervals, and routes against each other.

use super::data::LabelledData;
use super::runner::Prediction;
use super::settings::CompareSettings;
use crate::data::Task;
use crate::error::{Error, Result};
use crate::evaluation::bootstrap::{
    BootstrapOptions, ComparisonOptions, Direction, PairedSeed, bootstrap_interval, paired_bootstrap,
};
use crate::evaluation::class_counts::ClassCounts;
use crate::evaluation::confusion::ConfusionMatrix;
use crate::evaluation::metrics::Metric;
use crate::evaluation::probabilities::{predicted_classes, row_log_losses};
use crate::evaluation::row_metric::{ClassRows, LabelAverage, LabelRows, MeanRows, RowMetric, VarianceRows};
use crate::evaluation::statistics::{Verdict, detectable_difference};
use crate::features::matrix::DenseMatrix;
use crate::objectives::Targets;
use crate::report::{ClassScore, Comparison, Confusion, Outcome, RouteResult, Score, StageSeconds};
use std::collections::BTreeMap;

/// Resamples of a single route's interval; comparisons use what the settings say.
const INTERVAL_RESAMPLES: usize = 2_000;
const CONFIDENCE: f64 = 0.95;

/// The test rows' truth, and how predictions are held against it.
pub(super) struct Scorer<'a> {
    settings: &'a CompareSettings,
    labelled: &'a LabelledData,
    /// The main metric.
    pub(super) metric: Metric,
}

/// The metric's name in `results.json`.
pub(super) fn metric_name(metric: Metric) -> String {
    let value = serde_json::to_value(metric).expect("a metric is a plain name");
    value.as_str().unwrap_or_default().to_owned()
}

impl<'a> Scorer<'a> {
    /// Checks that the main metric fits the task.
    pub(super) fn new(settings: &'a CompareSettings, labelled: &'a LabelledData) -> Result<Self> {
        let known = metrics_of(labelled.task());
        let metric = settings.metric.unwrap_or(known[0]);
        if !known.contains(&metric) {
            let names = known.iter().map(|metric| metric_name(*metric)).collect::<Vec<_>>().join(", ");
            return Err(Error::config(
                "metric",
                format!("{} does not fit these labels", metric_name(metric)),
                format!("choose one of {names}"),
            ));
        }
        Ok(Self { settings, labelled, metric })
    }

    fn test_rows(&self) -> &[u32] {
        &self.labelled.split.test
    }

    /// Truth of the test rows as class ids.
    fn classes(&self) -> Vec<u32> {
        match &self.labelled.targets {
            Targets::Classes(classes) => self.test_rows().iter().map(|&row| classes[row as usize]).collect(),
            _ => Vec::new(),
        }
    }

    fn flags(&self) -> Vec<bool> {
        let width = self.labelled.names.len();
        match &self.labelled.targets {
            Targets::Flags(flags) => {
                let rows = self.test_rows().iter().flat_map(|&row| &flags[row as usize * width..][..width]);
                rows.map(|flag| *flag > 0.5).collect()
            }
            _ => Vec::new(),
        }
    }

    /// One metric of one prediction, row by row, so that rows can be resampled.
    fn by_row(&self, metric: Metric, values: &DenseMatrix) -> Result<Box<dyn RowMetric>> {
        let width = self.labelled.names.len();
        match self.labelled.task() {
            Task::SingleLabel => {
                let truth = self.classes();
                match metric.class_metric() {
                    Some(class) => {
                        Ok(Box::new(ClassRows::new(&truth, &predicted_classes(values), width, class)?))
                    }
                    None => Ok(Box::new(MeanRows { values: row_log_losses(&truth, values)? })),
                }
            }
            Task::MultiLabel => {
                let predicted: Vec<bool> = values.values().iter().map(|value| *value > 0.5).collect();
                let average =
                    if metric == Metric::MacroF1 { LabelAverage::Macro } else { LabelAverage::Micro };
                Ok(Box::new(LabelRows::new(&self.flags(), &predicted, width, average)?))
            }
            Task::Regression => {
                let truth = self.labelled.numbers(self.test_rows());
                let found: Vec<f64> = values.values().iter().map(|value| f64::from(*value)).collect();
                let errors = truth.iter().zip(&found).map(|(truth, found)| truth - found);
                Ok(match metric {
                    Metric::RSquared => Box::new(VarianceRows::new(truth, found)?),
                    Metric::MeanSquaredError => {
                        Box::new(MeanRows { values: errors.map(|e| e * e).collect() })
                    }
                    _ => Box::new(MeanRows { values: errors.map(f64::abs).collect() }),
                })
            }
        }
    }

    /// Fills scores, costs, per-class figures and the confusion matrix of a measured route.
    pub(super) fn fill(&self, route: &mut RouteResult, predictions: &[Prediction]) -> Result<()> {
        for metric in metrics_of(self.labelled.task()) {
            route.scores.insert(metric_name(metric), self.score(metric, predictions)?);
        }
        // What the route costs with one seed: the mean over seeds.
        let count = predictions.len() as f64;
        let mean = |stage: fn(&StageSeconds) -> f64| {
            predictions.iter().map(|prediction| stage(&prediction.seconds)).sum::<f64>() / count
        };
        route.seconds = StageSeconds {
            adapt: mean(|seconds| seconds.adapt),
            finetune: mean(|seconds| seconds.finetune),
            extract: mean(|seconds| seconds.extract),
            fit: mean(|seconds| seconds.fit),
            predict: mean(|seconds| seconds.predict),
        };
        route.chosen_c = predictions.iter().filter_map(|prediction| prediction.c).collect();
        if self.labelled.task() == Task::SingleLabel {
            self.fill_classes(route, &predictions[0].values)?;
        }
        Ok(())
    }

    fn score(&self, metric: Metric, predictions: &[Prediction]) -> Result<Score> {
        let rows = predictions.iter().map(|prediction| self.by_row(metric, &prediction.values));
        let rows = MeanOfSeeds(rows.collect::<Result<Vec<_>>>()?);
        let options = BootstrapOptions {
            resamples: INTERVAL_RESAMPLES,
            confidence: CONFIDENCE,
            seed: self.settings.seeds[0],
        };
        let interval = bootstrap_interval(&rows, &options)?;
        let per_seed = rows.0.iter().map(|metric| metric.plain_value().unwrap_or(f64::NAN)).collect();
        Ok(Score { mean: interval.estimate, low: interval.low, high: interval.high, per_seed })
    }

    fn fill_classes(&self, route: &mut RouteResult, values: &DenseMatrix) -> Result<()> {
        let (truth, predicted) = (self.classes(), predicted_classes(values));
        let names = &self.labelled.names;
        let counts = ClassCounts::from_predictions(&truth, &predicted, names.len())?;
        let scores = names.iter().zip(counts.per_class());
        route.classes = scores
            .map(|(name, score)| ClassScore {
                name: name.clone(),
                support: score.support,
                precision: score.precision,
                recall: score.recall,
                f1: score.f1,
            })
            .collect();
        let matrix = ConfusionMatrix::from_predictions(&truth, &predicted, names.len())?;
        let row = |actual: usize| (0..names.len()).map(|found| matrix.count(actual, found)).collect();
        route.confusion =
            Some(Confusion { classes: names.clone(), counts: (0..names.len()).map(row).collect() });
        Ok(())
    }

    /// Every measured pair of routes, the more expensive over the cheaper.
    pub(super) fn compare(&self, measured: &[(RouteResult, Vec<Prediction>)]) -> Result<Vec<Comparison>> {
        let rows: Vec<Vec<Box<dyn RowMetric>>> = measured
            .iter()
            .map(|(_, predictions)| {
                predictions.iter().map(|prediction| self.by_row(self.metric, &prediction.values)).collect()
            })
            .collect::<Result<_>>()?;
        let mut comparisons = Vec::new();
        for first in 0..measured.len() {
            for second in 0..first {
                comparisons.push(
                    self.pair((&measured[first].0, &rows[first]), (&measured[second].0, &rows[second]))?,
                );
            }
        }
        Ok(comparisons)
    }

    fn pair(
        &self,
        (route, candidate): (&RouteResult, &[Box<dyn RowMetric>]),
        (over, baseline): (&RouteResult, &[Box<dyn RowMetric>]),
    ) -> Result<Comparison> {
        let seeds: Vec<PairedSeed> = candidate
            .iter()
            .zip(baseline)
            .map(|(candidate, baseline)| PairedSeed { baseline: &**baseline, candidate: &**candidate })
            .collect();
        let direction = if self.metric.is_greater_better() {
            Direction::GreaterIsBetter
        } else {
            Direction::LesserIsBetter
        };
        let options = ComparisonOptions {
            bootstrap: BootstrapOptions {
                resamples: self.settings.resamples,
                confidence: CONFIDENCE,
                seed: self.settings.seeds[0],
            },
            direction,
            rope: self.settings.rope,
        };
        let found = paired_bootstrap(&seeds, &options)?;
        let verdict = match Verdict::of(&found, self.settings.certainty) {
            Verdict::Better => Outcome::Better,
            Verdict::PracticallyEqual => Outcome::PracticallyEqual,
            Verdict::Undecided => Outcome::Undecided,
            Verdict::Worse => Outcome::Worse,
        };
        Ok(Comparison {
            route: route.id.clone(),
            over: over.id.clone(),
            difference: found.difference.estimate,
            low: found.difference.low,
            high: found.difference.high,
            probability_better: found.probability_better,
            verdict,
            extra_seconds: route.seconds.total() - over.seconds.total(),
        })
    }

    /// What difference this test set could show between the two best routes' kind of disagreement.
    pub(super) fn detectable(&self, measured: &[(RouteResult, Vec<Prediction>)]) -> Option<f64> {
        if self.labelled.task() != Task::SingleLabel || self.metric != Metric::Accuracy {
            return None;
        }
        let name = metric_name(self.metric);
        let mut ranked: Vec<_> = measured.iter().collect();
        ranked.sort_by(|a, b| b.0.scores[&name].mean.total_cmp(&a.0.scores[&name].mean));
        let [first, second] = ranked.get(..2)? else { return None };
        let classes = |entry: &(RouteResult, Vec<Prediction>)| predicted_classes(&entry.1[0].values);
        let (a, b) = (classes(first), classes(second));
        let differ = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        // Where the two best never differ, nothing can be said of what could have been seen.
        (differ > 0).then(|| detectable_difference(a.len() as u64, differ as f64 / a.len() as f64)).flatten()
    }
}

/// The metrics reported for a task, the usual main one first.
fn metrics_of(task: Task) -> Vec<Metric> {
    match task {
        Task::SingleLabel => vec![
            Metric::Accuracy,
            Metric::MacroF1,
            Metric::WeightedF1,
            Metric::BalancedAccuracy,
            Metric::Mcc,
            Metric::LogLoss,
        ],
        Task::MultiLabel => vec![Metric::MicroF1, Metric::MacroF1],
        Task::Regression => vec![Metric::MeanAbsoluteError, Metric::MeanSquaredError, Metric::RSquared],
    }
}

/// The mean over seeds of one metric on the same resampled rows.
struct MeanOfSeeds(Vec<Box<dyn RowMetric>>);

impl RowMetric for MeanOfSeeds {
    fn rows(&self) -> usize {
        self.0.first().map_or(0, |metric| metric.rows())
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let values: Option<Vec<f64>> = self.0.iter().map(|metric| metric.value(weights)).collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Learning curves of the trainings, each once.
pub(super) fn curves(
    logs: &BTreeMap<(String, u64), Vec<crate::training::LogEntry>>,
    metric: &str,
) -> Vec<crate::report::Curve> {
    use crate::report::{Curve, CurveKind};
    let mut curves = Vec::new();
    for ((stage, seed), log) in logs {
        for (name, kind) in [
            ("loss", CurveKind::TrainLoss),
            ("eval_loss", CurveKind::ValidationLoss),
            ("eval_general_loss", CurveKind::Forgetting),
            (&format!("eval_{metric}"), CurveKind::ValidationScore),
        ] {
            let point = |entry: &crate::training::LogEntry| Some((entry.step, *entry.values.get(name)?));
            let points: Vec<(u64, f64)> = log.iter().filter_map(point).collect();
            if points.len() > 1 {
                curves.push(Curve { stage: stage.clone(), kind, seed: Some(*seed), points });
            }
        }
    }
    curves
}
