//! AdamW (Loshchilov and Hutter 2019) with transformers' groups: no decay for biases and
//! LayerNorm, clipping by the global norm, and a learning rate per layer where asked.

use crate::ops::{self, AdamWStep};
use crate::parameters::{Parameters, Value};
use crate::pass::Gradients;

/// What does not change during training.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub adam_beta1: f32,
    /// Decay of the second moment.
    pub adam_beta2: f32,
    /// Added to the denominator.
    pub adam_epsilon: f32,
    /// Decoupled decay of matrices.
    pub weight_decay: f32,
    /// Gradients are scaled down to this global norm; 0 switches clipping off.
    pub max_grad_norm: f32,
    /// Each layer learns this much slower than the one above it; 1 switches it off.
    pub layerwise_lr_decay: f32,
}

/// Both moments of one parameter, or nothing while it has had no gradient.
#[derive(Debug, Clone)]
pub struct AdamWState {
    /// Running mean of the gradient.
    pub first_moment: Value,
    /// Running mean of its square.
    pub second_moment: Value,
    /// Steps taken by this parameter.
    pub step: u32,
}

/// The optimizer with its state, in the order of the parameters.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// What does not change.
    pub settings: AdamWSettings,
    /// One entry for each parameter.
    pub states: Vec<Option<AdamWState>>,
}

impl AdamW {
    /// An optimizer that has taken no step.
    pub fn new(settings: AdamWSettings, parameters: &Parameters) -> Self {
        Self { settings, states: parameters.list.iter().map(|_| None).collect() }
    }

    /// One step. `gradients` are of a summed loss; `scale` (1 / count) makes them those of the
    /// mean. Returns the norm of the mean's gradient before clipping; when it is not finite,
    /// nothing is changed. Of a parameter of which some rows learn alone, the others have no gradient and no decay.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        mut gradients: Gradients,
        learning_rate: f32,
        scale: f32,
    ) -> f64 {
        gradients.keep_learning_rows(parameters);
        let norm = gradients.norm() * f64::from(scale);
        if !norm.is_finite() {
            return norm;
        }
        parameters.forget_caches();
        let gradient_scale = (f64::from(scale) * self.clip_factor(norm)) as f32;
        let deepest = parameters.list.iter().map(|parameter| parameter.spec.depth).max().unwrap_or(0);
        for (index, gradient) in gradients.list.into_iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let parameter = &mut parameters.list[index];
            let state = self.states[index].take().unwrap_or_else(|| AdamWState {
                first_moment: gradient.zeros_like(),
                second_moment: gradient.zeros_like(),
                step: 0,
            });
            let below = (deepest - parameter.spec.depth) as i32;
            let step = AdamWStep {
                learning_rate: learning_rate
                    * parameter.learning_rate_scale
                    * self.settings.layerwise_lr_decay.powi(below),
                beta1: self.settings.adam_beta1,
                beta2: self.settings.adam_beta2,
                epsilon: self.settings.adam_epsilon,
                weight_decay: if parameter.spec.decays { self.settings.weight_decay } else { 0.0 },
                step: state.step + 1,
                gradient_scale,
            };
            let before = parameter.learning_rows.clone().map(|rows| (parameter.value.clone(), rows));
            self.states[index] = Some(update(&mut parameter.value, gradient, state, step));
            if let Some((before, rows)) = before {
                let learned = std::mem::replace(&mut parameter.value, Value::new(vec![0.0], &[1]));
                parameter.value = before.with_rows_of(learned, rows);
            }
        }
        norm
    }

    /// As `torch.nn.utils.clip_grad_norm_`.
    fn clip_factor(&self, norm: f64) -> f64 {
        let largest = f64::from(self.settings.max_grad_norm);
        if largest == 0.0 { 1.0 } else { (largest / (norm + 1e-6)).min(1.0) }
    }
}

/// Moves value and state through the operation, so that both are changed in place.
fn update(value: &mut Value, gradient: Value, state: AdamWState, step: AdamWStep) -> AdamWState {
    let empty = Value::new(vec![0.0], &[1]);
    let (first_moment, second_moment);
    match (std::mem::replace(value, empty), gradient, state.first_moment, state.second_moment) {
        (Value::Matrix(p), Value::Matrix(g), Value::Matrix(m), Value::Matrix(v)) => {
            let (p, m, v) = ops::adamw(p, g, m, v, step);
            (*value, first_moment, second_moment) = (Value::Matrix(p), Value::Matrix(m), Value::Matrix(v));
        }
        (Value::Vector(p), Value::Vector(g), Value::Vector(m), Value::Vector(v)) => {
            let (p, m, v) = ops::adamw(p, g, m, v, step);
            (*value, first_moment, second_moment) = (Value::Vector(p), Value::Vector(m), Value::Vector(v));
        }
        _ => unreachable!("a gradient has its parameter's rank"),
    }
    AdamWState { first_moment, second_moment, step: step.step }
}
