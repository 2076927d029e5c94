//! What is trained beside weights that stay as they are? Low-rank adaptation (Hu et al. 2021): two small matrices A and B
//! beside a frozen weight W, of which the layer uses `W + scaling · B A`.
//!
//! The sum is made once a pass, as a tensor on its tape, and every layer takes it as its weight, fused or not; the
//! gradient of the weight leads on to A and B. Dropout on the input of A needs products of their own, and then the
//! layers are computed by steps.

mod peft;

pub use peft::Adapter;

use crate::config::ModelType;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops;
use crate::parameters::{Declaration, Initializer, MatrixId, Orientation, ParameterSpec, Value};
use crate::pass::Pass;
use burn::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which weights are adapted, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraSettings {
    /// Rows of A and columns of B.
    pub rank: usize,
    /// Their product is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// On the input of A, in training.
    pub dropout: f64,
    /// Names of linear layers of the encoder, whole or their ends, such as `query`; `all-linear` for all, none for
    /// [`default_targets`].
    pub targets: Vec<String>,
}

/// PEFT's word for all linear layers of the encoder.
const ALL_LINEAR: &str = "all-linear";

/// PEFT's targets of a family where it names some; the like of them elsewhere.
pub fn default_targets(model_type: ModelType) -> &'static [&'static str] {
    match model_type {
        ModelType::Bert
        | ModelType::Roberta
        | ModelType::XlmRoberta
        | ModelType::Camembert
        | ModelType::Electra
        | ModelType::Albert => &["query", "value"],
        ModelType::DistilBert => &["q_lin", "v_lin"],
        ModelType::Mpnet => &["attn.q", "attn.v"],
        ModelType::ModernBert => &["Wqkv"],
        ModelType::Gpt2 => &["c_attn"],
        ModelType::Qwen3 | ModelType::Llama | ModelType::Bart | ModelType::Mbart => &["q_proj", "v_proj"],
        ModelType::T5 => &["q", "v"],
        ModelType::DebertaV2 => &["query_proj", "value_proj"],
    }
}

/// The low-rank matrices of a model.
#[derive(Debug)]
pub(crate) struct Lora {
    settings: LoraSettings,
    pub(crate) dropout: f32,
    scaling: f32,
    /// By the number of the weight that they are beside.
    layers: BTreeMap<usize, LoraLayer>,
}

#[derive(Debug, Clone, Copy)]
struct LoraLayer {
    /// `[rank, in]`
    a: MatrixId,
    /// `[out, rank]`
    b: MatrixId,
    /// Of the weight.
    orientation: Orientation,
}

impl LoraLayer {
    /// As PEFT begins: A from `kaiming_uniform(a = √5)`, which is ± 1 / √in, and B with zeros.
    fn declare(beside: &ParameterSpec, rank: usize, declare: &mut Declaration) -> Self {
        let orientation = beside.linear.expect("only weights of linear layers are adapted");
        let (out_features, in_features) = match orientation {
            Orientation::OutIn => (beside.shape[0], beside.shape[1]),
            Orientation::InOut => (beside.shape[1], beside.shape[0]),
        };
        declare.set_depth(beside.depth);
        let bound = Initializer::Uniform(1.0 / (in_features as f32).sqrt());
        declare.scope(module_of(&beside.name), |declare| Self {
            a: declare.matrix_from("lora_A.weight", [rank, in_features], bound),
            b: declare.matrix_from("lora_B.weight", [out_features, rank], Initializer::Zeros),
            orientation,
        })
    }
}

impl Lora {
    /// Each weight with its low-rank matrices added, by number.
    pub(crate) fn adapted_weights(&self, pass: &Pass) -> BTreeMap<usize, Tensor<2>> {
        let adapted = self.layers.iter().map(|(&weight, layer)| {
            let product = pass.matrix(layer.b).matmul(pass.matrix(layer.a)) * self.scaling;
            let product = match layer.orientation {
                Orientation::OutIn => product,
                Orientation::InOut => product.transpose(),
            };
            (weight, pass.matrix(MatrixId(weight)) + product)
        });
        adapted.collect()
    }

    /// `scaling · B A dropout(x)`, `[T, in]` → `[T, out]`, if there is something beside this weight.
    pub(crate) fn output(&self, pass: &Pass, weight: MatrixId, x: &Tensor<2>) -> Option<Tensor<2>> {
        let layer = self.layers.get(&weight.0)?;
        let product = |x: Tensor<2>, matrix: MatrixId| {
            let matrix = pass.matrix(matrix);
            let zeros = Tensor::zeros([matrix.dims()[0]], &pass.device());
            ops::linear(x, matrix, zeros, pass.precision())
        };
        let x = ops::dropout(x.clone(), pass.dropout(self.dropout));
        Some(product(product(x, layer.a), layer.b) * self.scaling)
    }
}

/// A linear layer's name, from its weight's.
fn module_of(weight: &str) -> &str {
    weight.strip_suffix(".weight").unwrap_or(weight)
}

/// Whether a target names a module, as PEFT decides: the whole name, or its end from a dot on.
fn is_named(module: &str, target: &str) -> bool {
    module.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl LoraSettings {
    fn chooses(&self, spec: &ParameterSpec) -> bool {
        let module = module_of(&spec.name);
        let named = |target: &String| target == ALL_LINEAR || is_named(module, target);
        spec.linear.is_some() && !spec.optional && self.targets.iter().any(named)
    }
}

impl Model {
    /// Puts low-rank matrices beside the weights that the settings name, behind all other parameters under PEFT's
    /// names and begun from `seed`. From then on the encoder's own parameters stay as they are; a head learns as
    /// before.
    ///
    /// To be done before a head over columns is attached, and undone by [`Self::merge_lora`] before the model is saved.
    ///
    /// # Errors
    /// A target that names no linear layer of the encoder.
    pub fn attach_lora(&mut self, settings: &LoraSettings, seed: u64) -> Result<()> {
        let mut settings = settings.clone();
        if settings.targets.is_empty() {
            let usual = default_targets(self.config.model_type);
            settings.targets = usual.iter().map(|target| (*target).to_owned()).collect();
        }
        for target in &settings.targets {
            let alone = LoraSettings { targets: vec![target.clone()], ..settings.clone() };
            if !self.own_parameters().iter().any(|parameter| alone.chooses(&parameter.spec)) {
                return Err(self.unknown_target(target));
            }
        }
        let mut declare = Declaration::after(self.parameters.list.len(), 0.0);
        let own = self.own_parameters().iter().enumerate();
        let chosen = own.filter(|(_, parameter)| settings.chooses(&parameter.spec));
        let layers = chosen.map(|(index, parameter)| {
            (index, LoraLayer::declare(&parameter.spec, settings.rank, &mut declare))
        });
        let layers = layers.collect();
        self.attach(declare.specs, seed);
        for parameter in self.own_parameters_mut() {
            parameter.spec.used &= parameter.spec.optional;
            parameter.trainable &= parameter.spec.optional;
        }
        let scaling = (settings.alpha / settings.rank as f64) as f32;
        let dropout = settings.dropout as f32;
        self.parameters.lora = Some(Arc::new(Lora { settings, dropout, scaling, layers }));
        self.parameters.forget_caches();
        Ok(())
    }

    fn unknown_target(&self, target: &str) -> Error {
        let all = LoraSettings { rank: 1, alpha: 1.0, dropout: 0.0, targets: vec![ALL_LINEAR.to_owned()] };
        let linear = self.own_parameters().iter().filter(|parameter| all.chooses(&parameter.spec));
        let ends = linear.filter_map(|parameter| module_of(&parameter.spec.name).rsplit('.').next());
        let mut known: Vec<&str> = ends.collect();
        known.sort_unstable();
        known.dedup();
        Error::Targets {
            problem: format!("no linear layer of the encoder is called '{target}'"),
            hint: format!("choose among {}, or {ALL_LINEAR}", known.join(", ")),
        }
    }

    /// The settings of the low-rank matrices, while there are some.
    pub fn lora(&self) -> Option<&LoraSettings> {
        self.parameters.lora.as_ref().map(|lora| &lora.settings)
    }

    /// Adds the low-rank matrices to their weights for good. To be saved or evaluated, not to be trained on.
    pub fn merge_lora(&mut self) {
        let adapted = Pass::evaluate(&self.parameters).into_adapted_weights();
        self.parameters.lora = None;
        for (index, value) in adapted {
            self.parameters.list[index].set_value(Value::Matrix(value));
        }
        self.parameters.forget_caches();
    }
}
