//! A small network of fully connected layers; scikit-learn's `MLPClassifier` and `MLPRegressor` with Adam.
//!
//! Hidden layers end in a rectifier, the last one in a softmax, a sigmoid for each label, or nothing. Minimised is the
//! mean loss of a batch plus `alpha ‖W‖² / (2 · batch rows)`. Unlike scikit-learn's, the epochs end when the loss (not
//! the accuracy) of held-out training rows no longer falls, and the best epoch's weights are kept; values are
//! standardised.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::products::layer;
use crate::learners::targets::{GroupedTargets, OwnTargets, Targets, holdout};
use crate::progress::Context;
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// Adam's constants.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// A loss must fall by this share to count as falling.
const IMPROVEMENT: f64 = 1e-4;
/// Names of the random streams.
const WEIGHTS: u64 = 1;
const ORDER: u64 = 2;

/// How to train; names and most defaults are scikit-learn's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkOptions {
    /// The widths of the hidden layers, one or more; default 100.
    pub hidden_layer_sizes: Vec<usize>,
    /// The strength of the L2 penalty; default 1e-4.
    pub alpha: f64,
    /// Adam's step; default 1e-3.
    pub learning_rate: f64,
    /// Rows of a step; default 200.
    pub batch_size: usize,
    /// Epochs at most; default 200.
    pub max_epochs: usize,
    /// Epochs without a lower loss that end the training; default 10.
    pub n_iter_no_change: usize,
    /// The share of the rows, whole groups, that is held out to tell; 0 runs all epochs. Default 0.1.
    pub validation_fraction: f64,
    /// Draws weights, held-out rows and the order of rows.
    pub seed: u64,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            hidden_layer_sizes: vec![100],
            alpha: 1e-4,
            learning_rate: 1e-3,
            batch_size: 200,
            max_epochs: 200,
            n_iter_no_change: 10,
            validation_fraction: 0.1,
            seed: 0,
        }
    }
}

/// What the last layer's outputs become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputLink {
    /// Probabilities of three or more classes.
    Softmax,
    /// The probability of the second of two classes.
    Binary,
    /// The probability of each label.
    MultiLabel,
    /// A value.
    Identity,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl Layer {
    fn sizes(&self) -> [usize; 2] {
        [self.weight.len() / self.bias.len(), self.bias.len()]
    }
}

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// From the features on.
    pub layers: Vec<Layer>,
    /// What the last layer's outputs become.
    pub link: OutputLink,
    /// A value is `mean + scale · output`.
    pub value_mean: f64,
    /// See `value_mean`.
    pub value_scale: f64,
}

impl Network {
    /// Trains on rows of features.
    ///
    /// Errors: options out of range, a requested stop.
    pub fn fit<'a>(
        options: &NetworkOptions,
        features: &DenseMatrix,
        rows: impl Into<GroupedTargets<'a>>,
        context: &Context<'_>,
    ) -> Result<Self> {
        check(options)?;
        let rows = rows.into();
        let (training, held_out) = holdout(rows, options.validation_fraction, options.seed)?;
        let mut trainer = Trainer::new(options, features, rows.targets);
        let (mut best, mut idle) = ((f64::INFINITY, trainer.network.clone()), 0);
        for epoch in 0..options.max_epochs {
            context.cancel.check()?;
            let training_loss = trainer.epoch(&training, epoch as u64);
            let loss = if held_out.is_empty() {
                training_loss
            } else {
                trainer.network.loss(features, &trainer.targets, &held_out)
            };
            context.progress.advance(1);
            if held_out.is_empty() {
                best = (loss, trainer.network.clone());
                continue;
            }
            idle = if loss < best.0 * (1.0 - IMPROVEMENT) { 0 } else { idle + 1 };
            if loss < best.0 {
                best = (loss, trainer.network.clone());
            }
            if idle >= options.n_iter_no_change || !loss.is_finite() {
                break;
            }
        }
        Ok(best.1)
    }

    /// Probabilities `[rows, classes]` or `[rows, labels]`, or values `[rows, 1]`.
    pub fn outputs_of(&self, features: &DenseMatrix) -> Result<DenseMatrix> {
        let activations = self.forward(features.values());
        let last = activations.last().expect("a network has a layer");
        let width = self.layers.last().map_or(1, |layer| layer.bias.len());
        let sigmoid = |z: f32| 1.0 / (1.0 + f64::from(-z).exp());
        let (columns, values): (usize, Vec<f32>) = match self.link {
            OutputLink::Softmax => (width, last.chunks_exact(width).flat_map(softmax).collect()),
            OutputLink::Binary => {
                (2, last.iter().flat_map(|z| [sigmoid(-z) as f32, sigmoid(*z) as f32]).collect())
            }
            OutputLink::MultiLabel => (width, last.iter().map(|z| sigmoid(*z) as f32).collect()),
            OutputLink::Identity => {
                let value = |z: &f32| (self.value_mean + self.value_scale * f64::from(*z)) as f32;
                (width, last.iter().map(value).collect())
            }
        };
        DenseMatrix::new(features.rows(), columns, values)
    }

    /// What each layer gives, rectified but for the last.
    fn forward(&self, x: &[f32]) -> Vec<Vec<f32>> {
        let mut activations: Vec<Vec<f32>> = Vec::with_capacity(self.layers.len());
        for (at, each) in self.layers.iter().enumerate() {
            let input = activations.last().map_or(x, Vec::as_slice);
            let mut output = layer::forward(input, &each.weight, &each.bias, each.sizes());
            if at + 1 < self.layers.len() {
                output.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            activations.push(output);
        }
        activations
    }

    /// The mean loss of some rows, without the penalty.
    fn loss(&self, features: &DenseMatrix, targets: &[f32], rows: &[u32]) -> f64 {
        let width = self.layers.last().map_or(1, |layer| layer.bias.len());
        let x = features.select_rows(rows);
        let mut outputs = self.forward(x.values()).pop().expect("a network has a layer");
        let sum = loss_and_residuals(self.link, &mut outputs, &picked(targets, width, rows), width);
        sum / rows.len() as f64
    }
}

fn check(options: &NetworkOptions) -> Result<()> {
    let sizes = &options.hidden_layer_sizes;
    if sizes.is_empty() || sizes.contains(&0) {
        let hint = "give one or two positive widths, such as 100 or 128,64";
        return Err(Error::config("hidden_layer_sizes", format!("{sizes:?} are no widths"), hint));
    }
    if options.batch_size == 0 || !(0.0..1.0).contains(&options.validation_fraction) {
        let hint = "give a batch of 1 or more and a fraction from 0 to below 1";
        return Err(Error::config("batch_size", "the batch or the held-out fraction is not possible", hint));
    }
    Ok(())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|z| f64::from(z - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|value| (value / sum) as f32).collect()
}

/// The summed loss of a batch; `outputs` become its derivatives.
fn loss_and_residuals(link: OutputLink, outputs: &mut [f32], targets: &[f32], width: usize) -> f64 {
    let mut sum = 0.0;
    for (outputs, targets) in outputs.chunks_exact_mut(width).zip(targets.chunks_exact(width)) {
        match link {
            OutputLink::Softmax => {
                let probabilities = softmax(outputs);
                for ((output, probability), target) in outputs.iter_mut().zip(probabilities).zip(targets) {
                    if *target > 0.0 {
                        sum -= f64::from(probability.max(f32::MIN_POSITIVE)).ln();
                    }
                    *output = probability - target;
                }
            }
            OutputLink::Binary | OutputLink::MultiLabel => {
                for (output, target) in outputs.iter_mut().zip(targets) {
                    let (z, t) = (f64::from(*output), f64::from(*target));
                    sum += z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z;
                    *output = (1.0 / (1.0 + (-z).exp()) - t) as f32;
                }
            }
            OutputLink::Identity => {
                for (output, target) in outputs.iter_mut().zip(targets) {
                    *output -= target;
                    sum += 0.5 * f64::from(*output) * f64::from(*output);
                }
            }
        }
    }
    sum
}

fn picked(values: &[f32], width: usize, rows: &[u32]) -> Vec<f32> {
    rows.iter().flat_map(|&row| &values[row as usize * width..][..width]).copied().collect()
}

/// A network on its way.
struct Trainer<'a> {
    options: &'a NetworkOptions,
    features: &'a DenseMatrix,
    /// `[rows, outputs]`.
    targets: Vec<f32>,
    network: Network,
    /// First and second moments of each layer's weight and bias.
    moments: Vec<[Vec<f32>; 4]>,
    steps: i32,
}

impl<'a> Trainer<'a> {
    fn new(options: &'a NetworkOptions, features: &'a DenseMatrix, targets: Targets<'_>) -> Self {
        let OwnTargets { values, width, link, mean, scale } = targets.own();
        let mut sizes = vec![features.columns()];
        sizes.extend(&options.hidden_layer_sizes);
        sizes.push(width);
        let layers: Vec<Layer> = sizes
            .windows(2)
            .zip(0..)
            .map(|(sizes, at)| first_layer(sizes[0], sizes[1], options.seed, at))
            .collect();
        let network = Network { layers, link, value_mean: mean, value_scale: scale };
        let zeros = |layer: &Layer| [&layer.weight, &layer.bias].map(|values| vec![0.0; values.len()]);
        let moments = network.layers.iter().map(|layer| {
            let [weight, bias] = zeros(layer);
            [weight.clone(), weight, bias.clone(), bias]
        });
        let moments = moments.collect();
        Self { options, features, targets: values, network, moments, steps: 0 }
    }

    /// One pass over the rows in random order; their mean loss on the way.
    fn epoch(&mut self, rows: &[u32], epoch: u64) -> f64 {
        let mut order = rows.to_vec();
        Stream::new(self.options.seed, &[ORDER, epoch]).shuffle(&mut order);
        let sum: f64 = order.chunks(self.options.batch_size).map(|batch| self.step(batch)).sum();
        sum / rows.len() as f64
    }

    /// One step of Adam; the summed loss of the batch before it.
    fn step(&mut self, batch: &[u32]) -> f64 {
        let width = self.network.layers.last().map_or(1, |layer| layer.bias.len());
        let x = self.features.select_rows(batch);
        let mut activations = self.network.forward(x.values());
        let mut residuals = activations.pop().expect("a network has a layer");
        let targets = picked(&self.targets, width, batch);
        let loss = loss_and_residuals(self.network.link, &mut residuals, &targets, width);
        let rows = batch.len() as f32;
        residuals.iter_mut().for_each(|value| *value /= rows);
        self.steps += 1;
        for at in (0..self.network.layers.len()).rev() {
            let sizes = self.network.layers[at].sizes();
            let input = if at == 0 { x.values() } else { &activations[at - 1] };
            let (mut weight, bias) = layer::gradients(&residuals, input, sizes);
            if at > 0 {
                let mut next = layer::input_gradient(&residuals, &self.network.layers[at].weight, sizes);
                let rectified = next.iter_mut().zip(&activations[at - 1]);
                rectified.for_each(|(slope, value)| {
                    if *value <= 0.0 {
                        *slope = 0.0;
                    }
                });
                residuals = next;
            }
            let penalty = self.options.alpha as f32 / rows;
            let layer = &mut self.network.layers[at];
            weight.iter_mut().zip(&layer.weight).for_each(|(slope, value)| *slope += penalty * value);
            let rate = self.options.learning_rate;
            let [weight_first, weight_second, bias_first, bias_second] = &mut self.moments[at];
            adam(&mut layer.weight, &weight, [weight_first, weight_second], rate, self.steps);
            adam(&mut layer.bias, &bias, [bias_first, bias_second], rate, self.steps);
        }
        loss
    }
}

/// Glorot's uniform weights, as scikit-learn draws them for rectifiers.
fn first_layer(inputs: usize, outputs: usize, seed: u64, at: u64) -> Layer {
    let mut stream = Stream::new(seed, &[WEIGHTS, at]);
    let bound = (6.0 / (inputs + outputs) as f64).sqrt();
    let mut draw =
        |count: usize| (0..count).map(|_| ((2.0 * stream.next_f64() - 1.0) * bound) as f32).collect();
    Layer { weight: draw(inputs * outputs), bias: draw(outputs) }
}

/// Kingma & Ba (2014) with the bias correction folded into the rate, as in their section 2.
fn adam(values: &mut [f32], gradient: &[f32], [first, second]: [&mut Vec<f32>; 2], rate: f64, step: i32) {
    let rate = rate * (1.0 - BETAS[1].powi(step)).sqrt() / (1.0 - BETAS[0].powi(step));
    let [one, two] = BETAS.map(|beta| beta as f32);
    for (((value, slope), first), second) in values.iter_mut().zip(gradient).zip(first).zip(second) {
        *first = one * *first + (1.0 - one) * slope;
        *second = two * *second + (1.0 - two) * slope * slope;
        *value -= rate as f32 * *first / (second.sqrt() + EPSILON as f32);
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
