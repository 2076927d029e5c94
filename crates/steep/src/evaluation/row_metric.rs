//! Metrics of rows that count several times, which is what resampling needs, and fast.

use crate::error::{Error, Result};
use crate::evaluation::class_counts::{ClassCounts, ClassMetric, check_classes};
use crate::evaluation::probabilities::{CALIBRATION_BINS, confidences};
use crate::evaluation::ranking::{
    against_the_rest, descending, weighted_average_precision, weighted_roc_auc,
};
use crate::features::matrix::DenseMatrix;

/// A metric whose rows can be counted any number of times.
pub trait RowMetric: Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// The value when `weights[row]` copies of each row count; `None` where it is not defined.
    fn value(&self, weights: &[u32]) -> Option<f64>;

    /// The value of the rows as they are.
    fn plain_value(&self) -> Option<f64> {
        self.value(&vec![1; self.rows()])
    }
}

/// A [`ClassMetric`] of rows with one class each.
#[derive(Debug, Clone)]
pub struct ClassRows {
    class_count: usize,
    metric: ClassMetric,
    /// The distinct pairs of actual and predicted class, which are far fewer than rows.
    pairs: Vec<(u32, u32)>,
    /// The pair of each row.
    row_pairs: Vec<u32>,
}

impl ClassRows {
    /// Prepares rows; an error if lengths differ or a class is not below `class_count`.
    pub fn new(actual: &[u32], predicted: &[u32], class_count: usize, metric: ClassMetric) -> Result<Self> {
        check_classes(actual, predicted, class_count)?;
        let mut pairs: Vec<(u32, u32)> = actual.iter().copied().zip(predicted.iter().copied()).collect();
        let rows = pairs.clone();
        pairs.sort_unstable();
        pairs.dedup();
        let row_pairs = rows.iter().map(|pair| pairs.partition_point(|other| other < pair) as u32).collect();
        Ok(Self { class_count, metric, pairs, row_pairs })
    }
}

impl RowMetric for ClassRows {
    fn rows(&self) -> usize {
        self.row_pairs.len()
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let mut pair_weights = vec![0u64; self.pairs.len()];
        for (&pair, &weight) in self.row_pairs.iter().zip(weights) {
            pair_weights[pair as usize] += u64::from(weight);
        }
        let mut counts = ClassCounts::zeros(self.class_count);
        for (&(actual, predicted), weight) in self.pairs.iter().zip(pair_weights) {
            counts.actual[actual as usize] += weight;
            counts.predicted[predicted as usize] += weight;
            counts.correct[actual as usize] += if actual == predicted { weight } else { 0 };
        }
        Some(counts.metric(self.metric))
    }
}

/// A metric that is a mean over rows: accuracy from hits, log-loss, squared or absolute error.
#[derive(Debug, Clone)]
pub struct MeanRows {
    /// The value of each row.
    pub values: Vec<f64>,
}

impl RowMetric for MeanRows {
    fn rows(&self) -> usize {
        self.values.len()
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let (sum, count) =
            self.values.iter().zip(weights).fold((0.0, 0u64), |(sum, count), (value, &weight)| {
                (sum + f64::from(weight) * value, count + u64::from(weight))
            });
        (count > 0).then(|| sum / count as f64)
    }
}

/// How the F1 scores of labels are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelAverage {
    /// All memberships together.
    Micro,
    /// The mean over labels.
    Macro,
}

/// F1 of rows that may have several labels.
#[derive(Debug, Clone)]
pub struct LabelRows {
    label_count: usize,
    average: LabelAverage,
    /// The labels that a row has or is given, with what each adds to the counts; row `i` owns
    /// `entries[offsets[i]..offsets[i + 1]]`.
    entries: Vec<(u32, bool, bool)>,
    offsets: Vec<usize>,
}

impl LabelRows {
    /// Prepares memberships `[rows, label_count]`; an error if sizes differ.
    pub fn new(
        actual: &[bool],
        predicted: &[bool],
        label_count: usize,
        average: LabelAverage,
    ) -> Result<Self> {
        ClassCounts::from_memberships(actual, predicted, label_count)?;
        let (mut entries, mut offsets) = (Vec::new(), vec![0]);
        for (actual, predicted) in actual.chunks_exact(label_count).zip(predicted.chunks_exact(label_count)) {
            let labels = (0u32..).zip(actual.iter().copied().zip(predicted.iter().copied()));
            let touched = labels.filter(|(_, (actual, predicted))| *actual || *predicted);
            entries.extend(touched.map(|(label, (actual, predicted))| (label, actual, predicted)));
            offsets.push(entries.len());
        }
        Ok(Self { label_count, average, entries, offsets })
    }
}

impl RowMetric for LabelRows {
    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let mut counts = ClassCounts::zeros(self.label_count);
        for (span, &weight) in self.offsets.windows(2).zip(weights) {
            let weight = u64::from(weight);
            for &(label, actual, predicted) in &self.entries[span[0]..span[1]] {
                counts.actual[label as usize] += weight * u64::from(actual);
                counts.predicted[label as usize] += weight * u64::from(predicted);
                counts.correct[label as usize] += weight * u64::from(actual && predicted);
            }
        }
        Some(match self.average {
            LabelAverage::Micro => counts.metric(ClassMetric::MicroF1),
            LabelAverage::Macro => counts.macro_f1_of_all_labels(),
        })
    }
}

/// Which area under a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Under the ROC curve.
    Roc,
    /// Under the precision-recall curve: the average precision.
    PrecisionRecall,
}

/// The area under a curve: of the second of two classes, or the mean over classes of each against the rest. Classes
/// for which the drawn rows define none are left out.
#[derive(Debug, Clone)]
pub struct AreaRows {
    area: Area,
    rows: usize,
    classes: Vec<RankedClass>,
}

#[derive(Debug, Clone)]
struct RankedClass {
    positives: Vec<bool>,
    scores: Vec<f32>,
    order: Vec<u32>,
}

impl AreaRows {
    /// Prepares rows of one class each with their probabilities `[rows, classes]`; an error if lengths differ.
    pub fn new(actual: &[u32], probabilities: &DenseMatrix, area: Area) -> Result<Self> {
        check_lengths(actual.len(), probabilities.rows())?;
        let first = usize::from(probabilities.columns() == 2);
        let ranked = |class: usize| {
            let (positives, scores) = against_the_rest(actual, probabilities, class);
            let order = descending(&scores);
            RankedClass { positives, scores, order }
        };
        let classes = (first..probabilities.columns()).map(ranked).collect();
        Ok(Self { area, rows: actual.len(), classes })
    }
}

impl RowMetric for AreaRows {
    fn rows(&self) -> usize {
        self.rows
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let of = match self.area {
            Area::Roc => weighted_roc_auc,
            Area::PrecisionRecall => weighted_average_precision,
        };
        let areas = self
            .classes
            .iter()
            .filter_map(|class| of(&class.positives, &class.order, &class.scores, weights));
        let (sum, count) = areas.fold((0.0, 0u32), |(sum, count), area| (sum + area, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// The expected calibration error.
#[derive(Debug, Clone)]
pub struct CalibrationRows {
    /// The bin, the confidence and whether the prediction is right, of each row.
    rows: Vec<(u32, f64, bool)>,
}

impl CalibrationRows {
    /// Prepares rows of one class each with their probabilities `[rows, classes]`; an error if sizes do not fit.
    pub fn new(actual: &[u32], probabilities: &DenseMatrix) -> Result<Self> {
        Ok(Self { rows: confidences(actual, probabilities)? })
    }
}

impl RowMetric for CalibrationRows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let mut gaps = [0.0; CALIBRATION_BINS];
        let mut total = 0.0;
        for (&(bin, confidence, is_right), &weight) in self.rows.iter().zip(weights) {
            let weight = f64::from(weight);
            gaps[bin as usize] += weight * (confidence - f64::from(u8::from(is_right)));
            total += weight;
        }
        (total > 0.0).then(|| gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / total)
    }
}

/// R² of predicted numbers.
#[derive(Debug, Clone)]
pub struct VarianceRows {
    actual: Vec<f64>,
    predicted: Vec<f64>,
}

impl VarianceRows {
    /// Prepares rows; an error if lengths differ.
    pub fn new(actual: Vec<f64>, predicted: Vec<f64>) -> Result<Self> {
        check_lengths(actual.len(), predicted.len())?;
        Ok(Self { actual, predicted })
    }
}

impl RowMetric for VarianceRows {
    fn rows(&self) -> usize {
        self.actual.len()
    }

    fn value(&self, weights: &[u32]) -> Option<f64> {
        let weighted = |of_row: &dyn Fn(usize) -> f64| -> f64 {
            weights.iter().enumerate().map(|(row, &weight)| f64::from(weight) * of_row(row)).sum()
        };
        let mean = weighted(&|row| self.actual[row]) / weighted(&|_| 1.0);
        let residual = weighted(&|row| (self.actual[row] - self.predicted[row]).powi(2));
        let total = weighted(&|row| (self.actual[row] - mean).powi(2));
        (total > 0.0).then(|| 1.0 - residual / total)
    }
}

fn check_lengths(rows: usize, predictions: usize) -> Result<()> {
    if rows == predictions {
        return Ok(());
    }
    let problem = format!("{rows} rows but {predictions} predictions");
    Err(Error::config("predictions", problem, "give one prediction for each row"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::metrics::Metric;
    use crate::evaluation::regression::r_squared;
    use proptest::prelude::*;

    const METRICS: [ClassMetric; 3] = [ClassMetric::Accuracy, ClassMetric::MacroF1, ClassMetric::Mcc];

    proptest! {
        #[test]
        fn a_weight_is_a_number_of_copies(rows in proptest::collection::vec((0..4u32, 0..4u32, 0..4u32), 1..40)) {
            let weights: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let copies = |column: fn(&(u32, u32, u32)) -> u32| -> Vec<u32> {
                rows.iter().flat_map(|row| vec![column(row); row.2 as usize]).collect()
            };
            let (actual, predicted): (Vec<u32>, Vec<u32>) = rows.iter().map(|row| (row.0, row.1)).unzip();
            for metric in METRICS {
                let counts = ClassCounts::from_predictions(&copies(|row| row.0), &copies(|row| row.1), 4).unwrap();
                let weighted = ClassRows::new(&actual, &predicted, 4, metric).unwrap().value(&weights).unwrap();
                prop_assert!((weighted - counts.metric(metric)).abs() < 1e-12);
            }
        }
    }

    proptest! {
        #[test]
        fn plain_areas_and_calibration_are_the_metrics(
            rows in proptest::collection::vec((0..3u32, 0..9u8, 0..9u8), 4..40)
        ) {
            let actual: Vec<u32> = rows.iter().map(|row| row.0).chain(0..3).collect();
            let values = rows.iter().flat_map(|row| [f32::from(row.1) / 20.0, f32::from(row.2) / 20.0]);
            let values: Vec<f32> = values.chain([0.1, 0.2, 0.3, 0.3, 0.2, 0.2]).collect();
            let values = values.chunks(2).flat_map(|pair| [pair[0], pair[1], 1.0 - pair[0] - pair[1]]).collect();
            let probabilities = DenseMatrix::new(actual.len(), 3, values).unwrap();
            let found: [Box<dyn RowMetric>; 3] = [
                Box::new(AreaRows::new(&actual, &probabilities, Area::Roc).unwrap()),
                Box::new(AreaRows::new(&actual, &probabilities, Area::PrecisionRecall).unwrap()),
                Box::new(CalibrationRows::new(&actual, &probabilities).unwrap()),
            ];
            for (metric, rows) in [Metric::RocAuc, Metric::PrAuc, Metric::CalibrationError].iter().zip(found) {
                let expected = metric.of_classes(&actual, &probabilities).unwrap();
                prop_assert!((rows.plain_value().unwrap() - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn plain_values_are_the_metrics() {
        let (actual, predicted) = (vec![1.0, 2.0, 4.0], vec![1.5, 2.0, 3.0]);
        let expected = r_squared(&actual, &predicted).unwrap();
        let rows = VarianceRows::new(actual, predicted).unwrap();
        assert!((rows.plain_value().unwrap() - expected).abs() < 1e-15);
        assert_eq!(MeanRows { values: vec![0.0, 1.0] }.value(&[1, 3]), Some(0.75));
        let labels =
            LabelRows::new(&[true, false, true, true], &[true, true, false, true], 2, LabelAverage::Micro);
        assert_eq!(labels.unwrap().plain_value(), Some(4.0 / 6.0));
        let probabilities = DenseMatrix::new(2, 2, vec![0.1, 0.9, 0.9, 0.1]).unwrap();
        let area = AreaRows::new(&[1, 0], &probabilities, Area::Roc).unwrap();
        assert_eq!((area.plain_value(), area.value(&[1, 0])), (Some(1.0), None));
    }
}
