//! One forward pass over a model's parameters: evaluation, or training with a tape.

use crate::lora::Lora;
use crate::ops::block::{BlockMode, Precision, WeightCache};
use crate::ops::{self, Dropout};
use crate::parameters::{MatrixId, Parameters, Value, VectorId};
use burn::Tensor;
use burn::tensor::Device;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The parameters as one forward pass sees them.
///
/// In evaluation nothing is recorded and dropout is off. In training every trainable parameter is
/// a leaf of a new tape, and each dropout site draws from `hash(seed, site)`, so that the same
/// seed gives the same masks in any run.
pub struct Pass {
    values: Vec<Value>,
    precision: Precision,
    recompute: bool,
    /// In evaluation, where blocks keep their weights.
    caches: Vec<WeightCache>,
    seed: Option<u64>,
    dropout_sites: AtomicU64,
    lora: Option<Arc<Lora>>,
    /// Weights with their low-rank matrices added, by number, where those see the same input.
    adapted: BTreeMap<usize, Tensor<2>>,
    lookups: Mutex<Vec<Lookup>>,
}

/// Rows of a table as a leaf of the tape: their gradient is that of the table, in so many rows as there are tokens.
struct Lookup {
    /// Of the table, in the list of parameters.
    table: usize,
    ids: Arc<[u32]>,
    rows: Tensor<2>,
}

impl Pass {
    /// A pass without tape and dropout.
    pub fn evaluate(parameters: &Parameters) -> Self {
        let values = parameters.list.iter().map(|parameter| parameter.value.clone()).collect();
        let caches = parameters.list.iter().map(|parameter| parameter.cache.0.clone()).collect();
        Self { caches, ..Self::of(parameters, values) }.with_adapted_weights()
    }

    fn of(parameters: &Parameters, values: Vec<Value>) -> Self {
        Self {
            values,
            precision: parameters.precision,
            recompute: parameters.recompute,
            caches: Vec::new(),
            seed: None,
            dropout_sites: AtomicU64::new(0),
            lora: parameters.lora.clone(),
            adapted: BTreeMap::new(),
            lookups: Mutex::default(),
        }
    }

    /// A pass with a tape; dropout is drawn from `seed`, which should differ for each micro-batch.
    pub fn train(parameters: &Parameters, seed: u64) -> Self {
        Self { seed: Some(seed), ..Self::on_tape(parameters) }.with_adapted_weights()
    }

    /// A pass with a tape and no dropout, to hold gradients against a reference.
    pub fn train_without_dropout(parameters: &Parameters) -> Self {
        Self::on_tape(parameters).with_adapted_weights()
    }

    fn on_tape(parameters: &Parameters) -> Self {
        let leaf = |value: &Value, trainable: bool| match value {
            Value::Matrix(tensor) => {
                Value::Matrix(Tensor::from_inner(tensor.clone()).set_require_grad(trainable))
            }
            Value::Vector(tensor) => {
                Value::Vector(Tensor::from_inner(tensor.clone()).set_require_grad(trainable))
            }
        };
        let list = parameters.list.iter();
        let values = list.map(|parameter| leaf(&parameter.value, parameter.trainable)).collect();
        Self::of(parameters, values)
    }

    /// Adds low-rank matrices to their weights; not where dropout gives them an input of their own.
    fn with_adapted_weights(mut self) -> Self {
        if let Some(lora) = &self.lora
            && !self.adapts_inputs()
        {
            self.adapted = lora.adapted_weights(&self);
        }
        self
    }

    /// The weights that have low-rank matrices added, by number.
    pub(crate) fn into_adapted_weights(self) -> BTreeMap<usize, Tensor<2>> {
        self.adapted
    }

    /// Whether low-rank matrices see another input than the weights that they are beside, because of their dropout.
    pub(crate) fn adapts_inputs(&self) -> bool {
        self.seed.is_some() && self.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0)
    }

    /// What the low-rank matrices beside a weight make of an input of their own: `x` `[T, in]` → `[T, out]`.
    pub(crate) fn beside(&self, weight: MatrixId, x: &Tensor<2>) -> Option<Tensor<2>> {
        let lora = self.lora.as_ref().filter(|_| self.adapts_inputs())?;
        lora.output(self, weight, x)
    }

    /// Of products.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// How the block with this first weight is computed.
    pub(crate) fn block_mode(&self, first: MatrixId) -> BlockMode {
        let cache = self.caches.get(first.0).cloned().unwrap_or_default();
        BlockMode { precision: self.precision, recompute: self.recompute, cache }
    }

    /// Where new constants of the pass belong.
    pub(crate) fn device(&self) -> Device {
        match &self.values[0] {
            Value::Matrix(tensor) => tensor.device(),
            Value::Vector(tensor) => tensor.device(),
        }
    }

    pub(crate) fn matrix(&self, id: MatrixId) -> Tensor<2> {
        if let Some(adapted) = self.adapted.get(&id.0) {
            return adapted.clone();
        }
        match &self.values[id.0] {
            Value::Matrix(tensor) => tensor.clone(),
            Value::Vector(_) => unreachable!("a MatrixId names a matrix"),
        }
    }

    /// Rows of a table: `[V, H]` at `ids` of length T → `[T, H]`.
    ///
    /// On the tape, each lookup of a large table would make a gradient of the table's size, mostly zeros, and the tape
    /// would add it to the one of a tied decoder. As leaves, the rows are added once and in place.
    pub(crate) fn lookup(&self, table: MatrixId, ids: Arc<[u32]>) -> Tensor<2> {
        let weight = self.matrix(table);
        if !weight.is_require_grad() {
            return ops::embedding(weight, ids);
        }
        let rows = Tensor::from_inner(ops::embedding(weight.inner(), ids.clone())).set_require_grad(true);
        let lookup = Lookup { table: table.0, ids, rows: rows.clone() };
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner).push(lookup);
        rows
    }

    /// A vector; some files have it as a matrix of one row.
    pub(crate) fn vector(&self, id: VectorId) -> Tensor<1> {
        match &self.values[id.0] {
            Value::Vector(tensor) => tensor.clone(),
            Value::Matrix(tensor) => tensor.clone().squeeze_dim(0),
        }
    }

    /// The next dropout site: none in evaluation.
    pub(crate) fn dropout(&self, probability: f32) -> Dropout {
        let Some(seed) = self.seed else { return Dropout::NONE };
        let site = self.dropout_sites.fetch_add(1, Ordering::Relaxed);
        if probability == 0.0 {
            return Dropout::NONE;
        }
        // An odd multiplier keeps the sites' seeds distinct; the counter hash does the mixing.
        let seed = seed ^ (site + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Dropout { probability, seed }
    }

    /// Runs the tape backwards from a loss of one element and collects the gradients; the tape and
    /// everything it kept are freed.
    pub fn gradients(self, loss: Tensor<1>) -> Gradients {
        let mut gradients = loss.backward();
        drop(loss);
        let list = self.values.iter().map(|value| match value {
            Value::Matrix(tensor) => tensor.grad_remove(&mut gradients).map(Value::Matrix),
            Value::Vector(tensor) => tensor.grad_remove(&mut gradients).map(Value::Vector),
        });
        let mut list: Vec<Option<Value>> = list.collect();
        for lookup in self.lookups.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let Some(rows) = lookup.rows.grad_remove(&mut gradients) else { continue };
            let entry = &mut list[lookup.table];
            let total = match (entry.take(), &self.values[lookup.table]) {
                (Some(Value::Matrix(total)), _) => total,
                (_, Value::Matrix(table)) => table.clone().inner().zeros_like(),
                (_, Value::Vector(_)) => unreachable!("a table is a matrix"),
            };
            *entry = Some(Value::Matrix(ops::add_rows(total, rows, lookup.ids)));
        }
        Gradients { list }
    }
}

/// Gradients in the order of the parameters; `None` where none arrived.
#[derive(Debug, Default)]
pub struct Gradients {
    /// In the order of [`Parameters::list`].
    pub list: Vec<Option<Value>>,
}

impl Gradients {
    /// Adds the gradients of another micro-batch.
    pub fn add(&mut self, other: Self) {
        if self.list.is_empty() {
            *self = other;
            return;
        }
        for (mine, theirs) in self.list.iter_mut().zip(other.list) {
            *mine = match (mine.take(), theirs) {
                (Some(Value::Matrix(a)), Some(Value::Matrix(b))) => Some(Value::Matrix(a + b)),
                (Some(Value::Vector(a)), Some(Value::Vector(b))) => Some(Value::Vector(a + b)),
                (a, b) => a.or(b),
            };
        }
    }

    /// Sets the gradients of rows that do not learn to zero.
    pub(crate) fn keep_learning_rows(&mut self, parameters: &Parameters) {
        for (gradient, parameter) in self.list.iter_mut().zip(&parameters.list) {
            let Some(rows) = &parameter.learning_rows else { continue };
            *gradient = gradient.take().map(|all| all.zeros_like().with_rows_of(all, rows.clone()));
        }
    }

    /// Euclidean norm of all gradients together.
    pub fn norm(&self) -> f64 {
        let squares = self.list.iter().flatten().map(|value| match value {
            Value::Matrix(tensor) => f64::from(crate::ops::sum_of_squares(tensor.clone())),
            Value::Vector(tensor) => f64::from(crate::ops::sum_of_squares(tensor.clone())),
        });
        squares.sum::<f64>().sqrt()
    }
}
