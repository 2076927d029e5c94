//! A model's parameters: an ordered list of named tensors, apart from the layers that use them.
//!
//! Layers hold identifiers into this list, so that one list serves loading, saving, tying (two
//! layers hold the same identifier), gradients by name and the optimizer.

use crate::layers::{Linear, Norm, RmsNorm};
use crate::lora::Lora;
use crate::ops::block::{Precision, WeightCache};
use burn::tensor::{Device, TensorData};
use burn::{Tensor, backend::Flex};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Names a matrix of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatrixId(pub(crate) usize);

/// Names a vector of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VectorId(pub(crate) usize);

/// A tensor of rank one or two.
#[derive(Debug, Clone)]
pub enum Value {
    /// `[rows, columns]`
    Matrix(Tensor<2>),
    /// `[length]`
    Vector(Tensor<1>),
}

impl Value {
    /// Wraps row-major values without copying; `shape` has one or two entries.
    pub fn new(values: Vec<f32>, shape: &[usize]) -> Self {
        let device = Device::flex();
        match *shape {
            [rows, columns] => {
                Self::Matrix(Tensor::from_data(TensorData::new(values, [rows, columns]), &device))
            }
            [length] => Self::Vector(Tensor::from_data(TensorData::new(values, [length]), &device)),
            _ => unreachable!("parameters have rank one or two"),
        }
    }

    /// A tensor of zeros of the same shape.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        match self {
            Self::Matrix(tensor) => Self::Matrix(tensor.zeros_like()),
            Self::Vector(tensor) => Self::Vector(tensor.zeros_like()),
        }
    }

    /// These values with `rows` (entries, of a vector) as `other` of the same shape has them.
    #[must_use]
    pub(crate) fn with_rows_of(self, other: Self, rows: Range<usize>) -> Self {
        match (self, other) {
            (Self::Matrix(own), Self::Matrix(other)) => {
                let place = [rows, 0..own.dims()[1]];
                Self::Matrix(own.slice_assign(place.clone(), other.slice(place)))
            }
            (Self::Vector(own), Self::Vector(other)) => {
                Self::Vector(own.slice_assign([rows.clone()], other.slice([rows])))
            }
            _ => unreachable!("both are of one parameter"),
        }
    }

    /// One or two sizes.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Matrix(tensor) => tensor.dims().to_vec(),
            Self::Vector(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Calls `body` with the values in row-major order; on the CPU without copying.
    pub fn with_slice<R>(&self, body: impl FnOnce(&[f32]) -> R) -> R {
        let primitive = match self {
            Self::Matrix(tensor) => tensor.clone().try_into_primitive::<Flex>(),
            Self::Vector(tensor) => tensor.clone().try_into_primitive::<Flex>(),
        };
        match primitive {
            Ok(primitive) => body(&crate::ops::values(&primitive)),
            Err(_) => body(&self.download()),
        }
    }

    /// The values in row-major order.
    pub fn to_vec(&self) -> Vec<f32> {
        self.with_slice(<[f32]>::to_vec)
    }

    fn download(&self) -> Cow<'_, [f32]> {
        let data = match self {
            Self::Matrix(tensor) => tensor.to_data(),
            Self::Vector(tensor) => tensor.to_data(),
        };
        Cow::Owned(data.iter::<f32>().collect())
    }
}

/// How a parameter that no file holds begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initializer {
    /// Independent normal values with this standard deviation.
    Normal(f32),
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Independent values spread evenly between the negative of this and this.
    Uniform(f32),
}

/// How the weight of a linear layer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// `[out, in]`
    OutIn,
    /// `[in, out]`, as GPT-2 stores it.
    InOut,
}

/// What is known of a parameter before it has values.
#[derive(Debug, Clone)]
pub struct ParameterSpec {
    /// Full name as a model with a head saves it, such as `bert.embeddings.LayerNorm.weight`.
    pub name: String,
    /// One or two sizes.
    pub shape: Vec<usize>,
    /// How it begins if no file holds it.
    pub initializer: Initializer,
    /// Whether weight decay applies: not to biases nor to LayerNorm.
    pub decays: bool,
    /// 0 for embeddings, 1.. for layers, layers + 1 for what follows.
    pub depth: usize,
    /// Whether it may be missing from a file, which is then reported: it belongs to a head.
    pub optional: bool,
    /// Whether training can change it: not where no gradient reaches it, nor where an adapter learns in its place.
    pub used: bool,
    /// How it lies, if it is the weight of a linear layer.
    pub linear: Option<Orientation>,
}

/// A parameter with its values.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Name, shape and role.
    pub spec: ParameterSpec,
    /// The current values; [`Parameter::set_value`] replaces them.
    pub value: Value,
    /// Whether training changes it.
    pub trainable: bool,
    /// Training changes these rows (entries, of a vector) alone, and leaves all others as they are to the bit; all rows
    /// where absent.
    pub learning_rows: Option<Range<usize>>,
    /// It learns with so many times the learning rate: 1 but for parts that are new beside a pretrained encoder.
    pub learning_rate_scale: f32,
    /// Where evaluation keeps the block whose first weight this is, in the backend's own order.
    pub(crate) cache: FreshCache,
}

/// A [`WeightCache`] that a copy of the parameter does not share, since the two may part.
#[derive(Debug)]
pub(crate) struct FreshCache(pub(crate) WeightCache);

impl Default for FreshCache {
    fn default() -> Self {
        Self(WeightCache::place())
    }
}

impl Clone for FreshCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Parameter {
    /// A trainable parameter, if a gradient can reach it.
    pub(crate) fn new(spec: ParameterSpec, value: Value) -> Self {
        Self {
            trainable: spec.used,
            learning_rows: None,
            spec,
            value,
            learning_rate_scale: 1.0,
            cache: FreshCache::default(),
        }
    }

    /// Replaces the values.
    pub fn set_value(&mut self, value: Value) {
        self.value = value;
        self.cache = FreshCache::default();
    }
}

/// All parameters of a model in declaration order.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    /// In declaration order.
    pub list: Vec<Parameter>,
    /// Of products.
    pub(crate) precision: Precision,
    /// Gradient checkpointing.
    pub(crate) recompute: bool,
    /// Low-rank matrices beside some weights.
    pub(crate) lora: Option<Arc<Lora>>,
}

impl Parameters {
    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.list.iter().find(|parameter| parameter.spec.name == name)
    }

    /// Number of values in all.
    pub fn num_values(&self) -> usize {
        self.list.iter().map(|parameter| parameter.spec.shape.iter().product::<usize>()).sum()
    }

    /// Freezes or frees every parameter whose name the predicate chooses; what no gradient can
    /// reach stays frozen.
    pub fn set_trainable(&mut self, choose: impl Fn(&str) -> bool) {
        for parameter in &mut self.list {
            parameter.trainable = parameter.spec.used && choose(&parameter.spec.name);
        }
    }

    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
        self.forget_caches();
    }

    /// To be called when values change.
    pub(crate) fn forget_caches(&mut self) {
        for parameter in &mut self.list {
            parameter.cache = FreshCache::default();
        }
    }

    pub(crate) fn matrix(&self, id: MatrixId) -> &Value {
        &self.list[id.0].value
    }
}

/// Collects the specifications of a model's parameters, in order.
pub(crate) struct Declaration {
    pub(crate) specs: Vec<ParameterSpec>,
    /// The place of the first of them in the model's list.
    first: usize,
    prefix: String,
    initializer_range: f32,
    depth: usize,
    optional: bool,
    used: bool,
}

impl Declaration {
    pub(crate) fn new(initializer_range: f32) -> Self {
        let prefix = String::new();
        Self { specs: Vec::new(), first: 0, prefix, initializer_range, depth: 0, optional: false, used: true }
    }

    /// What is declared comes after `count` parameters that a model has.
    pub(crate) fn after(count: usize, initializer_range: f32) -> Self {
        Self { first: count, ..Self::new(initializer_range) }
    }

    /// Everything declared in `body` has names that begin with `prefix`.
    pub(crate) fn scope<R>(&mut self, prefix: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.prefix.len();
        self.prefix.push_str(prefix);
        self.prefix.push('.');
        let result = body(self);
        self.prefix.truncate(length);
        result
    }

    /// From here on, parameters belong to this depth (see [`ParameterSpec::depth`]).
    pub(crate) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }

    /// The present depth.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// From here on, parameters may be missing from a file.
    pub(crate) fn set_optional(&mut self) {
        self.optional = true;
    }

    /// Everything declared in `body` is kept but reached by no gradient.
    pub(crate) fn unused<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.used, false);
        let result = body(self);
        self.used = before;
        result
    }

    fn declare(&mut self, name: &str, shape: Vec<usize>, initializer: Initializer, decays: bool) -> usize {
        self.specs.push(ParameterSpec {
            name: format!("{}{name}", self.prefix),
            shape,
            initializer,
            decays,
            depth: self.depth,
            optional: self.optional,
            used: self.used,
            linear: None,
        });
        self.first + self.specs.len() - 1
    }

    /// A matrix that was declared before, by its full name, to be used in another place too.
    pub(crate) fn declared(&self, name: &str) -> Option<MatrixId> {
        let place = self.specs.iter().position(|spec| spec.name == name)?;
        Some(MatrixId(self.first + place))
    }

    pub(crate) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> MatrixId {
        let initializer = Initializer::Normal(self.initializer_range);
        MatrixId(self.declare(name, shape.to_vec(), initializer, true))
    }

    /// A matrix that weight decay spares: transformers goes by the name, and this one says `bias`.
    pub(crate) fn bias_matrix(&mut self, name: &str, shape: [usize; 2]) -> MatrixId {
        let initializer = Initializer::Normal(self.initializer_range);
        MatrixId(self.declare(name, shape.to_vec(), initializer, false))
    }

    /// A matrix that begins in its own way.
    pub(crate) fn matrix_from(&mut self, name: &str, shape: [usize; 2], begin: Initializer) -> MatrixId {
        MatrixId(self.declare(name, shape.to_vec(), begin, true))
    }

    /// A vector of factors, all 1 at first, that weight decay spares.
    pub(crate) fn factors(&mut self, name: &str, length: usize) -> VectorId {
        VectorId(self.declare(name, vec![length], Initializer::Ones, false))
    }

    pub(crate) fn bias(&mut self, name: &str, length: usize) -> VectorId {
        VectorId(self.declare(name, vec![length], Initializer::Zeros, false))
    }

    /// A vector that is never trained, all 0 at first, and in files a matrix of one row.
    pub(crate) fn constant_row(&mut self, name: &str, length: usize) -> VectorId {
        VectorId(self.unused(|declare| declare.declare(name, vec![1, length], Initializer::Zeros, false)))
    }

    /// `name.weight` `[out, in]` and `name.bias` `[out]`.
    pub(crate) fn linear(&mut self, name: &str, sizes: [usize; 2]) -> Linear {
        self.linear_with(Bias::Learned, name, sizes)
    }

    /// `name.weight` `[out, in]`, and `name.bias` `[out]` where there is one.
    pub(crate) fn linear_with(
        &mut self,
        bias: Bias,
        name: &str,
        [in_features, out_features]: [usize; 2],
    ) -> Linear {
        Linear {
            weight: self.linear_weight(Orientation::OutIn, name, [out_features, in_features]),
            bias: self.bias_where(bias, name, out_features),
        }
    }

    /// `name.weight` of a linear layer.
    pub(crate) fn linear_weight(
        &mut self,
        orientation: Orientation,
        name: &str,
        shape: [usize; 2],
    ) -> MatrixId {
        let weight = self.matrix(&format!("{name}.weight"), shape);
        self.specs[weight.0 - self.first].linear = Some(orientation);
        weight
    }

    /// `name.weight` and `name.bias`, both `[features]`.
    pub(crate) fn norm(&mut self, name: &str, features: usize, epsilon: f32) -> Norm {
        self.norm_with(Bias::Learned, name, features, epsilon)
    }

    /// `name.weight`, and `name.bias` where there is one, both `[features]`.
    pub(crate) fn norm_with(&mut self, bias: Bias, name: &str, features: usize, epsilon: f32) -> Norm {
        let weight = self.ones(name, features);
        Norm { weight, bias: self.bias_where(bias, name, features), epsilon }
    }

    /// `name.weight` `[features]`.
    pub(crate) fn rms_norm(&mut self, name: &str, features: usize, epsilon: f32) -> RmsNorm {
        RmsNorm { weight: self.ones(name, features), epsilon }
    }

    fn ones(&mut self, name: &str, features: usize) -> VectorId {
        VectorId(self.declare(&format!("{name}.weight"), vec![features], Initializer::Ones, false))
    }

    fn bias_where(&mut self, bias: Bias, name: &str, features: usize) -> Option<VectorId> {
        (bias == Bias::Learned).then(|| self.bias(&format!("{name}.bias"), features))
    }
}

/// Whether a layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bias {
    Learned,
    None,
}

impl From<bool> for Bias {
    fn from(is_there: bool) -> Self {
        if is_there { Self::Learned } else { Self::None }
    }
}

impl Initializer {
    /// Values for `count` elements; a pure function of the seed and the parameter's name.
    pub(crate) fn values(self, count: usize, seed: u64, name: &str) -> Vec<f32> {
        match self {
            Self::Zeros => vec![0.0; count],
            Self::Ones => vec![1.0; count],
            Self::Normal(deviation) => {
                let stream = stream(seed, name);
                (0..count as u64).map(|index| deviation * normal(stream, index)).collect()
            }
            Self::Uniform(bound) => {
                let stream = stream(seed, name);
                let value = |index| (2.0 * unit(mix(stream ^ mix(index))) - 1.0) as f32;
                (0..count as u64).map(|index| bound * value(index)).collect()
            }
        }
    }
}

/// Names the values of one parameter.
fn stream(seed: u64, name: &str) -> u64 {
    name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)))
}

/// Between 0 and 1, neither included.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// splitmix64's finaliser (Steele, Lea and Flood 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The `index`-th standard normal value of a stream (Box and Muller 1958).
fn normal(stream: u64, index: u64) -> f32 {
    let first = mix(stream ^ mix(2 * index));
    let second = mix(stream ^ mix(2 * index + 1));
    let radius = (-2.0 * unit(first).ln()).sqrt();
    (radius * (std::f64::consts::TAU * unit(second)).cos()) as f32
}
