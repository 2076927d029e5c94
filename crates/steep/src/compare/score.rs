//! Predictions to scores with intervals, and routes against each other.

use super::data::LabelledData;
use super::routes::MeasuredRoute;
use super::runner::Prediction;
use super::settings::CompareSettings;
use super::slices::Slice;
use crate::data::{Split, Task};
use crate::error::{Error, Result};
use crate::evaluation::bootstrap::{BootstrapOptions, Direction, Resampled, compare_resampled};
use crate::evaluation::class_counts::{ClassCounts, ClassMetric};
use crate::evaluation::confusion::ConfusionMatrix;
use crate::evaluation::metrics::Metric;
use crate::evaluation::probabilities::{calibration_bins, log_loss, predicted_classes, row_log_losses};
use crate::evaluation::row_metric::{
    Area, AreaRows, CalibrationRows, ClassRows, LabelAverage, LabelRows, MeanRows, RowMetric, VarianceRows,
};
use crate::evaluation::statistics::{McNemar, Verdict, detectable_difference, holm};
use crate::evaluation::temperature::{at_temperature, fit_temperature};
use crate::evaluation::threshold::{classes_at, fit_threshold};
use crate::features::matrix::DenseMatrix;
use crate::objectives::Targets;
use crate::report::{
    Calibration, ClassScore, Comparison, Confusion, Disagreement, LearnerTried, Outcome, RouteResult, Score,
    SliceScore, StageSeconds, Threshold,
};

/// Resamples of a single metric's interval; comparisons use what the settings say.
const INTERVAL_RESAMPLES: usize = 2_000;
/// Resamples of a slice's interval, and of areas under curves, which cost a sorted pass over all rows and classes.
const COARSE_RESAMPLES: usize = 500;
const CONFIDENCE: f64 = 0.95;

/// The test rows' truth, and how predictions are held against it.
pub(super) struct Scorer<'a> {
    settings: &'a CompareSettings,
    labelled: &'a LabelledData,
    /// The rows that predictions are for.
    split: &'a Split,
    slices: Vec<Slice>,
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
    pub(super) fn new(
        settings: &'a CompareSettings,
        labelled: &'a LabelledData,
        split: &'a Split,
        slices: Vec<Slice>,
    ) -> Result<Self> {
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
        Ok(Self { settings, labelled, split, slices, metric })
    }

    fn test_rows(&self) -> &[u32] {
        &self.split.test
    }

    /// Truth of rows as class ids.
    fn classes(&self, rows: &[u32]) -> Vec<u32> {
        match &self.labelled.targets {
            Targets::Classes(classes) => rows.iter().map(|&row| classes[row as usize]).collect(),
            _ => Vec::new(),
        }
    }

    fn flags(&self, rows: &[u32]) -> Vec<bool> {
        let width = self.labelled.names.len();
        match &self.labelled.targets {
            Targets::Flags(flags) => {
                let rows = rows.iter().flat_map(|&row| &flags[row as usize * width..][..width]);
                rows.map(|flag| *flag > 0.5).collect()
            }
            _ => Vec::new(),
        }
    }

    /// One metric of predictions for rows of the labelled data, row by row, so that rows can be resampled.
    pub(super) fn by_row(
        &self,
        metric: Metric,
        rows: &[u32],
        values: &DenseMatrix,
    ) -> Result<Box<dyn RowMetric>> {
        let width = self.labelled.names.len();
        match self.labelled.task() {
            Task::SingleLabel => {
                let truth = self.classes(rows);
                if let Some(class) = metric.class_metric() {
                    return Ok(Box::new(ClassRows::new(&truth, &predicted_classes(values), width, class)?));
                }
                Ok(match metric {
                    Metric::RocAuc => Box::new(AreaRows::new(&truth, values, Area::Roc)?),
                    Metric::PrAuc => Box::new(AreaRows::new(&truth, values, Area::PrecisionRecall)?),
                    Metric::CalibrationError => Box::new(CalibrationRows::new(&truth, values)?),
                    _ => Box::new(MeanRows { values: row_log_losses(&truth, values)? }),
                })
            }
            Task::MultiLabel => {
                let predicted: Vec<bool> = values.values().iter().map(|value| *value > 0.5).collect();
                let average =
                    if metric == Metric::MacroF1 { LabelAverage::Macro } else { LabelAverage::Micro };
                Ok(Box::new(LabelRows::new(&self.flags(rows), &predicted, width, average)?))
            }
            Task::Regression => {
                let truth = self.labelled.numbers(rows);
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

    /// The main metric of predictions for some rows; none where it is not defined.
    pub(super) fn value(&self, rows: &[u32], values: &DenseMatrix) -> Option<f64> {
        if rows.is_empty() {
            return None;
        }
        self.by_row(self.metric, rows, values).ok()?.plain_value()
    }

    /// A result's mean in the main metric.
    pub(super) fn main_score(&self, route: &RouteResult) -> Option<f64> {
        route.scores.get(&metric_name(self.metric)).map(|score| score.mean)
    }

    /// Fills scores, costs, per-class figures, calibration, slices and the confusion matrix of a measured route.
    pub(super) fn fill(&self, route: &mut RouteResult, predictions: &[Prediction]) -> Result<()> {
        for metric in metrics_of(self.labelled.task()) {
            // An area is not defined where the test rows have one class only; the others always are.
            if let Ok(score) = self.score(metric, predictions) {
                route.scores.insert(metric_name(metric), score);
            } else if metric == self.metric {
                self.score(metric, predictions)?;
            }
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
        fill_learner(route, predictions);
        let validation = &self.split.validation;
        let scores: Option<Vec<f64>> =
            predictions.iter().map(|prediction| self.value(validation, &prediction.validation)).collect();
        route.validation_score = scores.map(|scores| scores.iter().sum::<f64>() / count);
        route.slices = self.slice_scores(predictions);
        if self.labelled.task() == Task::SingleLabel {
            self.fill_classes(route, &predictions[0].test)?;
            route.calibration = Some(self.calibration(&predictions[0])?);
            route.threshold = self.threshold(&predictions[0])?;
        }
        Ok(())
    }

    pub(super) fn score(&self, metric: Metric, predictions: &[Prediction]) -> Result<Score> {
        let resamples = match metric {
            Metric::RocAuc | Metric::PrAuc => COARSE_RESAMPLES,
            _ => INTERVAL_RESAMPLES,
        };
        let found = self.resampled(metric, self.test_rows(), predictions, DenseMatrix::clone, resamples)?;
        let interval = found.interval();
        let seeds = self.settings.seeds.len();
        let per_seed = (0..seeds).map(|seed| found.values()[seed.min(found.values().len() - 1)]).collect();
        Ok(Score { mean: interval.estimate, low: interval.low, high: interval.high, per_seed })
    }

    fn resampled(
        &self,
        metric: Metric,
        rows: &[u32],
        predictions: &[Prediction],
        pick: impl Fn(&DenseMatrix) -> DenseMatrix,
        resamples: usize,
    ) -> Result<Resampled> {
        let runs: Vec<Box<dyn RowMetric>> = predictions
            .iter()
            .map(|prediction| self.by_row(metric, rows, &pick(&prediction.test)))
            .collect::<Result<_>>()?;
        let runs: Vec<&dyn RowMetric> = runs.iter().map(|run| &**run).collect();
        let options = BootstrapOptions { resamples, confidence: CONFIDENCE, seed: self.settings.seeds[0] };
        Resampled::new(&runs, &options)
    }

    fn slice_scores(&self, predictions: &[Prediction]) -> Vec<SliceScore> {
        let mut scores = Vec::new();
        for slice in &self.slices {
            for (value, places) in &slice.parts {
                let rows: Vec<u32> = places.iter().map(|&place| self.test_rows()[place as usize]).collect();
                let pick = |values: &DenseMatrix| values.select_rows(places);
                // A part whose rows define no score, such as a constant one, is told by its number of rows.
                let found = self.resampled(self.metric, &rows, predictions, pick, COARSE_RESAMPLES);
                let (mean, low, high) = found.map_or((f64::NAN, f64::NAN, f64::NAN), |found| {
                    let interval = found.interval();
                    (interval.estimate, interval.low, interval.high)
                });
                let rows = rows.len() as u64;
                scores.push(SliceScore {
                    slice: slice.name.clone(),
                    value: value.clone(),
                    rows,
                    mean,
                    low,
                    high,
                });
            }
        }
        scores
    }

    fn fill_classes(&self, route: &mut RouteResult, values: &DenseMatrix) -> Result<()> {
        let (truth, predicted) = (self.classes(self.test_rows()), predicted_classes(values));
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

    /// How honest the probabilities of the first seed are, and what a temperature fitted on validation rows mends.
    fn calibration(&self, prediction: &Prediction) -> Result<Calibration> {
        let truth = self.classes(self.test_rows());
        let error = |values: &DenseMatrix| Metric::CalibrationError.of_classes(&truth, values);
        let validation = &self.split.validation;
        let temperature = if validation.is_empty() {
            None
        } else {
            Some(fit_temperature(&self.classes(validation), &prediction.validation)?)
        };
        let scaled = temperature.map(|value| at_temperature(&prediction.test, value)).transpose()?;
        let scaled = scaled.as_ref();
        Ok(Calibration {
            error: error(&prediction.test)?,
            bins: calibration_bins(&truth, &prediction.test)?,
            temperature,
            scaled_error: scaled.map(error).transpose()?,
            scaled_bins: scaled.map_or_else(|| Ok(Vec::new()), |values| calibration_bins(&truth, values))?,
            log_loss: log_loss(&truth, &prediction.test)?,
            scaled_log_loss: scaled.map(|values| log_loss(&truth, values)).transpose()?,
        })
    }

    /// The decision threshold of the first seed, where there are two classes and validation rows to fit it on.
    fn threshold(&self, prediction: &Prediction) -> Result<Option<Threshold>> {
        let (validation, test) = (&self.split.validation, self.test_rows());
        if self.labelled.names.len() != 2 || validation.is_empty() {
            return Ok(None);
        }
        // Metrics of probabilities know no threshold.
        let class_metric = self.metric.class_metric();
        let metric = if class_metric.is_some() { self.metric } else { Metric::MacroF1 };
        let class_metric = class_metric.unwrap_or(ClassMetric::MacroF1);
        let (value, _) = fit_threshold(&self.classes(validation), &prediction.validation, class_metric)?;
        let truth = self.classes(test);
        let options = BootstrapOptions {
            resamples: INTERVAL_RESAMPLES,
            confidence: CONFIDENCE,
            seed: self.settings.seeds[0],
        };
        let resampled = |threshold: f64| {
            let rows = ClassRows::new(&truth, &classes_at(&prediction.test, threshold), 2, class_metric)?;
            Resampled::new(&[&rows], &options)
        };
        let (plain, fitted) = (resampled(0.5)?, resampled(value)?);
        let found = compare_resampled(&fitted, &plain, Direction::GreaterIsBetter, 0.0)?.difference;
        Ok(Some(Threshold {
            class: self.labelled.names[1].clone(),
            value,
            metric: metric_name(metric),
            plain_score: plain.values()[0],
            score: fitted.values()[0],
            low: found.low,
            high: found.high,
        }))
    }

    /// Every pair of measured results, the later over the earlier; all on the same resamples of rows and seeds.
    pub(super) fn compare(&self, measured: &[&MeasuredRoute]) -> Result<Vec<Comparison>> {
        let resampled: Vec<Resampled> = measured
            .iter()
            .map(|route| {
                let resamples = self.settings.resamples;
                self.resampled(
                    self.metric,
                    self.test_rows(),
                    &route.predictions,
                    DenseMatrix::clone,
                    resamples,
                )
            })
            .collect::<Result<_>>()?;
        let mut comparisons = Vec::new();
        for first in 0..measured.len() {
            for second in 0..first {
                let (route, over) = (measured[first], measured[second]);
                comparisons.push(self.pair((route, &resampled[first]), (over, &resampled[second]))?);
            }
        }
        correct(&mut comparisons);
        Ok(comparisons)
    }

    fn pair(
        &self,
        (route, candidate): (&MeasuredRoute, &Resampled),
        (over, baseline): (&MeasuredRoute, &Resampled),
    ) -> Result<Comparison> {
        let direction = if self.metric.is_greater_better() {
            Direction::GreaterIsBetter
        } else {
            Direction::LesserIsBetter
        };
        let found = compare_resampled(candidate, baseline, direction, self.settings.rope)?;
        let verdict = match Verdict::of(&found, self.settings.certainty) {
            Verdict::Better => Outcome::Better,
            Verdict::PracticallyEqual => Outcome::PracticallyEqual,
            Verdict::Undecided => Outcome::Undecided,
            Verdict::Worse => Outcome::Worse,
        };
        Ok(Comparison {
            route: route.result.id.clone(),
            over: over.result.id.clone(),
            difference: found.difference.estimate,
            low: found.difference.low,
            high: found.difference.high,
            probability_better: found.probability_better,
            probability_above_margin: found.probability_above_rope,
            verdict,
            extra_seconds: route.result.seconds.total() - over.result.seconds.total(),
            disagreement: self.disagreement(&route.predictions[0], &over.predictions[0])?,
        })
    }

    /// McNemar's test of the first seed's models.
    fn disagreement(&self, route: &Prediction, over: &Prediction) -> Result<Option<Disagreement>> {
        if self.labelled.task() != Task::SingleLabel {
            return Ok(None);
        }
        let truth = self.classes(self.test_rows());
        let hits = |prediction: &Prediction| -> Vec<bool> {
            predicted_classes(&prediction.test)
                .iter()
                .zip(&truth)
                .map(|(found, truth)| found == truth)
                .collect()
        };
        let test = McNemar::from_hits(&hits(route), &hits(over))?;
        Ok(Some(Disagreement {
            only_route_right: test.only_first,
            only_over_right: test.only_second,
            exact_p: test.exact_p,
            mid_p: test.mid_p,
            holm_p: test.mid_p,
        }))
    }

    /// What difference this test set could show between the two best routes: from how often they disagree for the
    /// accuracy, from the spread of their difference for other metrics.
    pub(super) fn detectable(&self, measured: &[&MeasuredRoute], comparisons: &[Comparison]) -> Option<f64> {
        let name = metric_name(self.metric);
        let sign = if self.metric.is_greater_better() { 1.0 } else { -1.0 };
        let mut ranked: Vec<&MeasuredRoute> =
            measured.iter().copied().filter(|route| route.result.scores.contains_key(&name)).collect();
        let mean = |route: &MeasuredRoute| sign * route.result.scores[&name].mean;
        ranked.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        let [first, second] = ranked.get(..2)? else { return None };
        if self.labelled.task() == Task::SingleLabel && self.metric == Metric::Accuracy {
            let classes = |route: &MeasuredRoute| predicted_classes(&route.predictions[0].test);
            let (a, b) = (classes(first), classes(second));
            let differ = a.iter().zip(&b).filter(|(a, b)| a != b).count();
            // Where the two best never differ, nothing can be said of what could have been seen.
            return (differ > 0)
                .then(|| detectable_difference(a.len() as u64, differ as f64 / a.len() as f64))
                .flatten();
        }
        let (one, other) = (&first.result.id, &second.result.id);
        let is_pair = |found: &&Comparison| {
            (&found.route == one && &found.over == other) || (&found.route == other && &found.over == one)
        };
        let width = comparisons.iter().find(is_pair).map(|found| found.high - found.low)?;
        // An interval of 95 % is 2 · 1.96 deviations wide, and 1.96 + 0.84 are needed to be found four times out of five.
        (width > 0.0).then(|| width / (2.0 * 1.96) * 2.80)
    }
}

/// Holm's correction over all pairs.
fn correct(comparisons: &mut [Comparison]) {
    let p_values: Vec<f64> =
        comparisons.iter().filter_map(|found| found.disagreement.as_ref().map(|test| test.mid_p)).collect();
    let tests = comparisons.iter_mut().filter_map(|found| found.disagreement.as_mut());
    for (test, corrected) in tests.zip(holm(&p_values)) {
        test.holm_p = corrected;
    }
}

fn fill_learner(route: &mut RouteResult, predictions: &[Prediction]) {
    let learners: Vec<_> = predictions.iter().filter_map(|prediction| prediction.learner.as_ref()).collect();
    let penalties = learners.iter().filter(|learner| learner.taken().parameter.as_deref() == Some("C"));
    route.chosen_c = penalties.map(|learner| learner.taken().selection.c).collect();
    if let Some(first) = learners.first() {
        route.vector_weight = first.vector_weight;
        route.learner = Some(first.taken().learner.name().to_owned());
        route.learners = first
            .scores
            .iter()
            .map(|score| LearnerTried {
                learner: score.learner.name().to_owned(),
                parameter: score.parameter.clone(),
                chosen: score.parameter.as_ref().map(|_| score.selection.c),
                cross_validation_score: score.mean(),
                seconds: score.seconds,
            })
            .collect();
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
            Metric::RocAuc,
            Metric::PrAuc,
            Metric::CalibrationError,
        ],
        Task::MultiLabel => vec![Metric::MicroF1, Metric::MacroF1],
        Task::Regression => vec![Metric::MeanAbsoluteError, Metric::MeanSquaredError, Metric::RSquared],
    }
}
