//! Where the classification head begins: at random, or from a linear probe of the network as it is.
//!
//! Linear probe, then fine-tune (Kumar et al. 2022, arXiv 2202.10054): a head begun at random sends gradients through the
//! encoder that say nothing of the task yet, and bends features that were good. The probe is a logistic regression, for
//! numbers a ridge regression, on what the head's output takes; its penalty is chosen on the validation rows.

use super::{FinetuneInput, FinetuneSettings};
use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use crate::features::distinct::DistinctRows;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{Scaler, Scaling, StandardScaler};
use crate::learners::fitted::FittedModel;
use crate::learners::labels::{ClassWeight, Labels};
use crate::learners::learner::{LearnerName, LearnerOptions};
use crate::learners::linear_model::{LinearModel, Link};
use crate::learners::targets::Targets as LearnerTargets;
use crate::objectives::Targets;
use crate::progress::Context;
use serde::{Deserialize, Serialize};
use steep_encoder::{Model, Pass, Value};

/// Where the head begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadInit {
    /// As transformers draws it.
    #[default]
    Random,
    /// From a linear probe.
    LinearProbe,
}

impl HeadInit {
    /// All with their names.
    pub const ALL: [(&'static str, Self); 2] =
        [("random", Self::Random), ("linear_probe", Self::LinearProbe)];
}

/// The penalty where there is no validation row to choose it by: scikit-learn's.
const USUAL_C: f64 = 1.0;

/// Puts a probe of the training rows into the place of the head's output.
///
/// # Errors
/// An architecture whose output has no bias; several numbers a row; a stop on request.
pub(super) fn begin(
    model: &mut Model,
    input: &FinetuneInput,
    settings: &FinetuneSettings,
    ctx: &Context,
) -> Result<()> {
    let tokens = settings.training.max_tokens_per_micro_batch;
    ctx.progress.start("linear probe", Some(input.train_rows.len() as u64), "texts");
    let training = features(model, input, &input.train_rows, tokens, ctx)?;
    let validation = features(model, input, &input.validation_rows, tokens, ctx)?;
    ctx.progress.finish();
    let probe = Probe::fit(training, validation, input, &settings.classification.class_weights, ctx)?;
    let (weight, bias) = probe.output();
    if model.set_classification_output(weight, bias) {
        return Ok(());
    }
    let problem = "linear_probe needs a head with a bias, which this architecture has not";
    Err(Error::config("head_init", problem, "leave it out"))
}

/// What the head's output takes of rows: `[rows, features]`.
fn features(
    model: &Model,
    input: &FinetuneInput,
    rows: &[u32],
    max_tokens: usize,
    ctx: &Context,
) -> Result<DenseMatrix> {
    let plan = DistinctRows::new(input.sequences, rows, max_tokens);
    let pass = Pass::evaluate(&model.parameters);
    let of_batch = |rows: &[u32]| {
        let batch = input.sequences.pack(rows);
        let hidden = model.last_hidden_state(&pass, &batch);
        Value::Matrix(model.classification_features(&pass, hidden, &batch)).to_vec()
    };
    let values = plan.compute(of_batch, ctx)?;
    plan.spread(&values, values.len() / plan.computed().max(1))
}

/// A linear model of scaled features.
struct Probe {
    scaler: StandardScaler,
    model: LinearModel,
}

impl Probe {
    fn fit(
        training: DenseMatrix,
        validation: DenseMatrix,
        input: &FinetuneInput,
        class_weights: &[f32],
        ctx: &Context,
    ) -> Result<Self> {
        let mut training = Features::Dense(training);
        let scaler = Scaler::fit(Scaling::Standard, &training)?;
        scaler.transform(&mut training)?;
        let own = Own::of(input, &input.train_rows)?;
        let mut options = LearnerOptions::default();
        if !class_weights.is_empty() {
            options.class_weight =
                ClassWeight::Given(class_weights.iter().map(|weight| f64::from(*weight)).collect());
        }
        let learner = match own {
            Own::Classes(_) => LearnerName::LogisticRegression,
            Own::Values(_) => LearnerName::Ridge,
        };
        let held_out = if input.validation_rows.is_empty() {
            options.c_grid = vec![USUAL_C];
            None
        } else {
            let mut validation = Features::Dense(validation);
            scaler.transform(&mut validation)?;
            Some((validation, Own::of(input, &input.validation_rows)?))
        };
        let candidates = options.candidates(learner)?;
        let mut best: Option<(f64, LinearModel)> = None;
        options.fit_each(learner, &candidates, &training, own.targets(), ctx, |fitted| {
            let loss = match &held_out {
                Some((features, truth)) => truth.loss(&fitted.model.outputs(features)?)?,
                None => 0.0,
            };
            if let FittedModel::Linear(model) = fitted.model
                && best.as_ref().is_none_or(|(least, _)| loss < *least)
            {
                best = Some((loss, model));
            }
            Ok(())
        })?;
        let (_, model) = best.expect("there is a candidate, and these learners are linear");
        let Scaler::Standard(scaler) = scaler else { unreachable!("standard scaling was asked for") };
        Ok(Self { scaler, model })
    }

    /// Weight `[outputs, features]` and bias `[outputs]` over unscaled features. Two classes get half of the one decision
    /// each, with opposite signs, so that their difference is it.
    fn output(&self) -> (Vec<f32>, Vec<f32>) {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        let rows = self.model.coefficients.chunks_exact(self.model.columns.max(1));
        for (row, intercept) in rows.zip(&self.model.intercepts) {
            let scaled = row.iter().zip(&self.scaler.scale).map(|(value, scale)| f64::from(*value) / scale);
            let scaled: Vec<f64> = scaled.collect();
            let shift: f64 = scaled.iter().zip(&self.scaler.mean).map(|(value, mean)| value * mean).sum();
            let factors = if self.model.link == Link::Binary { &[-0.5, 0.5][..] } else { &[1.0] };
            for factor in factors {
                weight.extend(scaled.iter().map(|value| (factor * value) as f32));
                bias.push((factor * (f64::from(*intercept) - shift)) as f32);
            }
        }
        (weight, bias)
    }
}

/// What the learner is to predict of some rows.
enum Own {
    Classes(Labels),
    Values(Vec<f64>),
}

impl Own {
    fn of(input: &FinetuneInput, rows: &[u32]) -> Result<Self> {
        let width = input.labels.len();
        let picked = |values: &[f32]| -> Vec<f32> {
            rows.iter().flat_map(|&row| &values[row as usize * width..][..width]).copied().collect()
        };
        match input.targets {
            Targets::Classes(classes) => {
                let picked = rows.iter().map(|&row| classes[row as usize]).collect();
                Labels::single_label(picked, width).map(Self::Classes)
            }
            Targets::Flags(flags) => {
                let members = picked(flags).iter().map(|flag| *flag > 0.5).collect();
                Labels::multi_label(members, width).map(Self::Classes)
            }
            Targets::Numbers(_) if width > 1 => {
                let problem = "linear_probe is for one number a row";
                Err(Error::config("head_init", problem, "leave it out"))
            }
            Targets::Numbers(numbers) => {
                Ok(Self::Values(picked(numbers).iter().map(|value| f64::from(*value)).collect()))
            }
        }
    }

    fn targets(&self) -> LearnerTargets<'_> {
        match self {
            Self::Classes(labels) => LearnerTargets::Classes(labels),
            Self::Values(values) => LearnerTargets::Values(values),
        }
    }

    /// Log-loss, or the mean squared error.
    fn loss(&self, outputs: &DenseMatrix) -> Result<f64> {
        match self {
            Self::Classes(Labels::SingleLabel { indices, .. }) => {
                Metric::LogLoss.of_classes(indices, outputs)
            }
            Self::Classes(Labels::MultiLabel { members, .. }) => Metric::LogLoss.of_labels(members, outputs),
            Self::Values(values) => {
                let found: Vec<f64> = outputs.values().iter().map(|value| f64::from(*value)).collect();
                Metric::MeanSquaredError.of_values(values, &found)
            }
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
