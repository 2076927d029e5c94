//! Fine-tuning on labels: one class, several classes, or numbers.

use crate::ahead::ahead;
use crate::error::Result;
use crate::evaluation::metrics::Metric;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::training::{Objective, Sequences, micro_batches};
use burn::Tensor;
use burn::tensor::{Device, TensorData, activation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use steep_encoder::{Model, PackedBatch, Pass, ProblemType};

/// What the rows should come out as.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// A class for each row.
    Classes(Vec<u32>),
    /// For each row, 0 or 1 for each class: [rows, labels].
    Flags(Vec<f32>),
    /// For each row, one number for each output: [rows, labels].
    Numbers(Vec<f32>),
}

impl Targets {
    /// transformers' name of the task.
    pub fn problem_type(&self) -> ProblemType {
        match self {
            Self::Classes(_) => ProblemType::SingleLabelClassification,
            Self::Flags(_) => ProblemType::MultiLabelClassification,
            Self::Numbers(_) => ProblemType::Regression,
        }
    }

    /// The measure by which the best weights are chosen, and whether larger is better.
    pub fn metric_for_best_model(&self) -> (&'static str, bool) {
        match self {
            Self::Classes(_) => ("accuracy", true),
            Self::Flags(_) => ("micro_f1", true),
            Self::Numbers(_) => ("loss", false),
        }
    }
}

/// Details of the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationSettings {
    /// Share of the target spread over all classes (single label only).
    pub label_smoothing_factor: f64,
    /// Weight of each class (single label only); empty for equal weights.
    pub class_weights: Vec<f32>,
}

/// Fine-tuning over some rows.
pub struct Classification<'a> {
    /// All sequences.
    pub sequences: &'a dyn Sequences,
    /// Targets of all sequences.
    pub targets: &'a Targets,
    /// Number of outputs.
    pub num_labels: usize,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// The rows evaluated on.
    pub validation_rows: Vec<u32>,
    /// Details of the loss.
    pub settings: ClassificationSettings,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

/// Rows as the encoder takes them, and which ones they are.
pub struct LabelledBatch {
    pub(super) batch: PackedBatch,
    pub(super) rows: Vec<u32>,
}

impl LabelledBatch {
    fn logits(&self, model: &Model, pass: &Pass) -> Tensor<2> {
        let hidden = model.last_hidden_state(pass, &self.batch);
        model.classification_logits(pass, hidden, &self.batch)
    }
}

/// Validation batches that are gathered while one is computed.
const BATCHES_AHEAD: usize = 2;

impl Classification<'_> {
    /// The weight that makes the summed loss of some rows a mean.
    pub(super) fn weight_of(&self, rows: &[u32]) -> f64 {
        let Targets::Classes(classes) = self.targets else { return (rows.len() * self.num_labels) as f64 };
        rows.iter().map(|&row| f64::from(self.class_weight(classes[row as usize] as usize))).sum()
    }

    fn class_weight(&self, class: usize) -> f32 {
        self.settings.class_weights.get(class).copied().unwrap_or(1.0)
    }

    /// Summed loss of logits [n, labels] and the weight that makes it torch's mean.
    pub(super) fn loss_of(&self, logits: Tensor<2>, rows: &[u32]) -> (Tensor<1>, f64) {
        let count = (rows.len() * self.num_labels) as f64;
        match self.targets {
            Targets::Classes(classes) => self.cross_entropy(logits, rows, classes),
            Targets::Flags(flags) => {
                (binary_cross_entropy(logits.clone(), self.rows_of(flags, rows, &logits)), count)
            }
            Targets::Numbers(numbers) => {
                let difference = logits.clone() - self.rows_of(numbers, rows, &logits);
                ((difference.clone() * difference).sum(), count)
            }
        }
    }

    /// As `torch.nn.CrossEntropyLoss(weight, label_smoothing)`: with both, each class has its own
    /// weight in the smoothing term, and the mean divides by the labels' weights.
    fn cross_entropy(&self, logits: Tensor<2>, rows: &[u32], classes: &[u32]) -> (Tensor<1>, f64) {
        let smoothing = self.settings.label_smoothing_factor as f32;
        let weight = |class: usize| self.class_weight(class);
        let spread = smoothing / self.num_labels as f32;
        let mut target = Vec::with_capacity(rows.len() * self.num_labels);
        for &row in rows {
            let label = classes[row as usize] as usize;
            let hard = |class: usize| if class == label { 1.0 - smoothing } else { 0.0 };
            target.extend((0..self.num_labels).map(|class| weight(class) * (hard(class) + spread)));
        }
        let target = matrix(target, rows.len(), &logits);
        let log_probabilities = activation::log_softmax(logits, 1);
        ((target * log_probabilities).sum().neg(), self.weight_of(rows))
    }

    fn rows_of(&self, values: &[f32], rows: &[u32], like: &Tensor<2>) -> Tensor<2> {
        let width = self.num_labels;
        let span = |row: u32| row as usize * width..(row as usize + 1) * width;
        let picked = rows.iter().flat_map(|&row| values[span(row)].iter().copied()).collect();
        matrix(picked, rows.len(), like)
    }

    /// The measures of the validation rows, by whatever makes logits [n, labels] of a batch.
    pub(super) fn evaluate_by(
        &self,
        model: &Model,
        ctx: &Context,
        logits: impl Fn(&Pass, &LabelledBatch) -> Tensor<2>,
    ) -> Result<BTreeMap<String, f64>> {
        if self.validation_rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let pass = Pass::evaluate(&model.parameters);
        let (mut loss_sum, mut weight_sum, mut all) = (0.0, 0.0, Vec::new());
        let length = |row: u32| self.sequences.length(row as usize);
        let batches = micro_batches(&self.validation_rows, self.max_tokens, length).into_iter();
        ahead(BATCHES_AHEAD, batches.map(|rows| Ok(self.prepare(rows, 0))), |batches| {
            for batch in batches {
                ctx.cancel.check()?;
                let batch = batch?;
                let logits = logits(&pass, &batch);
                let (loss, weight) = self.loss_of(logits.clone(), &batch.rows);
                loss_sum += f64::from(loss.into_scalar::<f32>());
                weight_sum += weight;
                all.extend(logits.into_data().iter::<f32>());
            }
            Ok(())
        })?;
        let mut measures = self.measures(all)?;
        measures.insert("loss".into(), loss_sum / weight_sum);
        Ok(measures)
    }

    /// The metrics of all validation logits, [rows, labels] row-major.
    fn measures(&self, logits: Vec<f32>) -> Result<BTreeMap<String, f64>> {
        let rows = self.validation_rows.iter().map(|&row| row as usize);
        let width = self.num_labels;
        let count = self.validation_rows.len();
        let pick = |values: &[f32]| -> Vec<f32> {
            rows.clone().flat_map(|row| values[row * width..(row + 1) * width].to_vec()).collect()
        };
        Ok(BTreeMap::from(match self.targets {
            Targets::Classes(classes) => {
                let truth: Vec<u32> = rows.map(|row| classes[row]).collect();
                // The largest logit is the largest probability.
                let logits = DenseMatrix::new(count, width, logits)?;
                [
                    ("accuracy".to_owned(), Metric::Accuracy.of_classes(&truth, &logits)?),
                    ("macro_f1".to_owned(), Metric::MacroF1.of_classes(&truth, &logits)?),
                ]
            }
            Targets::Flags(flags) => {
                let truth: Vec<bool> = pick(flags).iter().map(|flag| *flag > 0.5).collect();
                let sigmoid = |logit: &f32| 1.0 / (1.0 + (-logit).exp());
                let probabilities = DenseMatrix::new(count, width, logits.iter().map(sigmoid).collect())?;
                [
                    ("micro_f1".to_owned(), Metric::MicroF1.of_labels(&truth, &probabilities)?),
                    ("macro_f1".to_owned(), Metric::MacroF1.of_labels(&truth, &probabilities)?),
                ]
            }
            Targets::Numbers(numbers) => {
                let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
                let (truth, found) = (wide(&pick(numbers)), wide(&logits));
                [
                    ("mean_squared_error".to_owned(), Metric::MeanSquaredError.of_values(&truth, &found)?),
                    ("mean_absolute_error".to_owned(), Metric::MeanAbsoluteError.of_values(&truth, &found)?),
                ]
            }
        }))
    }
}

/// Σ max(x, 0) − x·y + log(1 + exp(−|x|)), which no logit overflows.
pub(super) fn binary_cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let positive = logits.clone().clamp_min(0.0);
    let tail = logits.clone().abs().neg().exp().log1p();
    (positive - logits * targets + tail).sum()
}

fn matrix(values: Vec<f32>, rows: usize, like: &Tensor<2>) -> Tensor<2> {
    let columns = like.dims()[1];
    let device: Device = like.device();
    Tensor::from_data(TensorData::new(values, [rows, columns]), &device)
}

impl Objective for Classification<'_> {
    type Prepared = LabelledBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.sequences
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn prepare(&self, rows: &[u32], _: u64) -> LabelledBatch {
        LabelledBatch { batch: self.sequences.pack(rows), rows: rows.to_vec() }
    }

    fn loss(&self, model: &Model, pass: &Pass, prepared: LabelledBatch) -> Option<(Tensor<1>, f64)> {
        Some(self.loss_of(prepared.logits(model, pass), &prepared.rows))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        self.evaluate_by(model, ctx, |pass, batch| batch.logits(model, pass))
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        self.targets.metric_for_best_model()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;
    use steep_encoder::Value;

    struct NoSequences;

    impl Sequences for NoSequences {
        fn len(&self) -> usize {
            0
        }

        fn length(&self, _: usize) -> usize {
            0
        }

        fn append(&self, _: usize, _: &mut Vec<u32>) {}
    }

    fn words(name: &str) -> Vec<u32> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/losses/reference.safetensors");
        let bytes = std::fs::read(path).expect("reference");
        let tensors = SafeTensors::deserialize(&bytes).expect("reference");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}"));
        view.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }

    fn floats(name: &str) -> Vec<f32> {
        words(name).into_iter().map(f32::from_bits).collect()
    }

    /// Loss and gradient of logits of up to ±50 against torch's.
    fn check(case: &str, targets: &Targets, smoothing: f64, class_weights: Vec<f32>) {
        let objective = Classification {
            sequences: &NoSequences,
            targets,
            num_labels: 5,
            rows: Vec::new(),
            validation_rows: Vec::new(),
            settings: ClassificationSettings { label_smoothing_factor: smoothing, class_weights },
            max_tokens: 1,
        };
        let Value::Matrix(logits) = Value::new(floats("logits"), &[8, 5]) else { unreachable!() };
        let logits = Tensor::from_inner(logits).require_grad();
        let (loss, weight) = objective.loss_of(logits.clone(), &(0..8).collect::<Vec<_>>());
        let mean = f64::from(loss.clone().inner().into_scalar::<f32>()) / weight;
        let expected = f64::from(floats(&format!("{case}.loss"))[0]);
        assert!((mean - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{case}: {mean}, {expected}");
        let gradient = logits.grad_remove(&mut loss.backward()).expect("a gradient");
        let gradient: Vec<f32> = gradient.into_data().iter::<f32>().collect();
        for (found, expected) in gradient.iter().zip(floats(&format!("{case}.gradient"))) {
            let found = f64::from(*found) / weight;
            assert!((found - f64::from(expected)).abs() < 1e-6, "{case}: {found}, {expected}");
        }
    }

    #[test]
    fn losses_and_gradients_equal_torch() {
        let classes = Targets::Classes(words("labels"));
        let weights = vec![0.2, 1.0, 3.0, 0.5, 2.0];
        check("cross_entropy.labels.plain", &classes, 0.0, vec![]);
        check("cross_entropy.labels.label_smoothing_0.1", &classes, 0.1, vec![]);
        check("cross_entropy.labels.class_weights", &classes, 0.0, weights.clone());
        check("cross_entropy.labels.class_weights_and_label_smoothing_0.1", &classes, 0.1, weights);
        let flags = Targets::Flags(floats("multi_hot"));
        check("binary_cross_entropy.multi_hot.plain", &flags, 0.0, vec![]);
        let numbers = Targets::Numbers(floats("regression_targets"));
        check("mean_squared_error", &numbers, 0.0, vec![]);
    }
}
