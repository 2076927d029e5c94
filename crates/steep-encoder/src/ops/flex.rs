//! The CPU's bodies: borrow the tensors' storage, call `steep-kernels`, wrap the result.

use super::block::{
    AttentionBlock, AttentionWeights, BlockOps, FeedForwardBlock, FeedForwardWeights, Precision, ScoreBias,
};
use super::{Activation, AdamWStep, AttentionGeometry, Dropout, EncoderOps};
use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape, TensorData};
use half::bf16;
use std::borrow::Cow;
use std::sync::Arc;
use steep_kernels::attention::{self, AttentionShape, PositionBias, View, ViewMut};
use steep_kernels::gemm;
use steep_kernels::linear::{self, LinearShape};
use steep_kernels::linear_loss::{self, LinearLossShape};
use steep_kernels::norm::{self, NormShape};
use steep_kernels::{activation, dropout, embedding, loss, optimizer};

type FlexTensor = FloatTensor<Flex>;

/// The elements in row-major order; borrowed when they already lie so as f32.
pub(crate) fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.dtype() {
        DType::F32 => match tensor.as_slice::<f32>() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(contiguous::<f32>(tensor)),
        },
        DType::BF16 => Cow::Owned(contiguous::<bf16>(tensor).iter().map(|value| value.to_f32()).collect()),
        other => unreachable!("encoder tensors are f32 or bf16, not {other:?}"),
    }
}

fn contiguous<E: burn::tensor::Element + bytemuck::Pod>(tensor: &FlexTensor) -> Vec<E> {
    let tensor = tensor.to_contiguous();
    tensor.as_slice::<E>().expect("a contiguous tensor is one slice").to_vec()
}

/// Wraps a vector as a tensor without copying it.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

fn like(values: Vec<f32>, model: &FlexTensor) -> FlexTensor {
    tensor(values, model.layout().shape().clone())
}

pub(super) fn rows_columns(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

fn linear_shape(x: &FlexTensor, weight: &FlexTensor) -> LinearShape {
    let [tokens, in_features] = rows_columns(x);
    LinearShape { tokens, in_features, out_features: rows_columns(weight)[0] }
}

fn loss_shape(x: &FlexTensor, weight: &FlexTensor) -> LinearLossShape {
    let [rows, hidden_size] = rows_columns(x);
    LinearLossShape { rows, hidden_size, vocab_size: rows_columns(weight)[0] }
}

impl Precision {
    /// Of products outside of evaluated blocks, where there are no 8-bit operands.
    pub(super) fn of_products(self) -> gemm::Precision {
        match self {
            Self::F32 => gemm::Precision::F32,
            Self::Bf16 | Self::Int8 => gemm::Precision::Bf16,
        }
    }
}

fn norm_shape(x: &FlexTensor) -> NormShape {
    let [tokens, features] = rows_columns(x);
    NormShape { tokens, features }
}

/// The position bias as a slice and its largest distance.
pub(super) fn bias_parts(bias: Option<&FlexTensor>) -> Option<(Cow<'_, [f32]>, usize)> {
    bias.map(|bias| (values(bias), (rows_columns(bias)[1] - 1) / 2))
}

pub(super) fn position_bias<'a>(parts: Option<&'a (Cow<'a, [f32]>, usize)>) -> Option<PositionBias<'a>> {
    parts.map(|(values, max_distance)| PositionBias { values, max_distance: *max_distance })
}

fn attention_shape<'a>(query: &FlexTensor, geometry: &'a AttentionGeometry) -> AttentionShape<'a> {
    let [_, hidden_size] = rows_columns(query);
    AttentionShape {
        offsets: &geometry.offsets,
        key_offsets: geometry.key_offsets.as_deref(),
        num_heads: geometry.num_heads,
        head_dim: hidden_size / geometry.num_heads,
        visibility: geometry.visibility,
    }
}

fn view<'a>(values: &'a [f32], like: &FlexTensor) -> View<'a, f32> {
    View { values, stride: rows_columns(like)[1] }
}

impl EncoderOps for Flex {
    fn linear_forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        precision: Precision,
    ) -> FlexTensor {
        let shape = linear_shape(&x, &weight);
        let output = [shape.tokens, shape.out_features];
        let mut y = vec![0.0; output[0] * output[1]];
        let bias = values(&bias);
        linear::forward_with(
            precision.of_products(),
            &values(&x),
            &values(&weight),
            Some(&bias),
            &mut y,
            shape,
        );
        tensor(y, output)
    }

    fn linear_backward_input(dy: FlexTensor, weight: FlexTensor, precision: Precision) -> FlexTensor {
        let [tokens, out_features] = rows_columns(&dy);
        let in_features = rows_columns(&weight)[1];
        let mut dx = vec![0.0; tokens * in_features];
        let shape = LinearShape { tokens, in_features, out_features };
        linear::backward_input_with(precision.of_products(), &values(&dy), &values(&weight), &mut dx, shape);
        tensor(dx, [tokens, in_features])
    }

    fn linear_backward_weight(dy: FlexTensor, x: FlexTensor, precision: Precision) -> FlexTensor {
        let [tokens, out_features] = rows_columns(&dy);
        let in_features = rows_columns(&x)[1];
        let mut dweight = vec![0.0; out_features * in_features];
        let shape = LinearShape { tokens, in_features, out_features };
        linear::backward_weight_with(precision.of_products(), &values(&dy), &values(&x), &mut dweight, shape);
        tensor(dweight, [out_features, in_features])
    }

    fn linear_backward_bias(dy: FlexTensor) -> FlexTensor {
        let [tokens, out_features] = rows_columns(&dy);
        let mut dbias = vec![0.0; out_features];
        let shape = LinearShape { tokens, in_features: 0, out_features };
        linear::backward_bias(&values(&dy), &mut dbias, shape);
        tensor(dbias, [out_features])
    }

    fn activation_forward(x: FlexTensor, activation: Activation) -> FlexTensor {
        let input = values(&x);
        let mut y = vec![0.0; input.len()];
        activation::forward(activation, &input, &mut y);
        like(y, &x)
    }

    fn activation_backward(x: FlexTensor, dy: FlexTensor, activation: Activation) -> FlexTensor {
        let input = values(&x);
        let mut dx = vec![0.0; input.len()];
        activation::backward(activation, &input, &values(&dy), &mut dx);
        like(dx, &x)
    }

    fn add_norm_forward(
        x: FlexTensor,
        residual: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
        dropout: Dropout,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        norm_forward(&x, Some(&residual), &gamma, &beta, epsilon, dropout)
    }

    fn add_norm_backward(
        x: FlexTensor,
        residual: FlexTensor,
        gamma: FlexTensor,
        mean: FlexTensor,
        inverse_deviation: FlexTensor,
        dy: FlexTensor,
        dropout: Dropout,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let shape = norm_shape(&x);
        let size = shape.tokens * shape.features;
        let (mut dx, mut dresidual) = (vec![0.0; size], vec![0.0; size]);
        let (mut dgamma, mut dbeta) = (vec![0.0; shape.features], vec![0.0; shape.features]);
        norm::add_norm_backward(
            &values(&x),
            Some(&values(&residual)),
            &values(&gamma),
            &values(&mean),
            &values(&inverse_deviation),
            dropout,
            &values(&dy),
            &mut dx,
            Some(&mut dresidual),
            &mut dgamma,
            &mut dbeta,
            shape,
        );
        (like(dx, &x), like(dresidual, &x), like(dgamma, &gamma), like(dbeta, &gamma))
    }

    fn layer_norm_forward(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        norm_forward(&x, None, &gamma, &beta, epsilon, Dropout::NONE)
    }

    fn layer_norm_backward(
        x: FlexTensor,
        gamma: FlexTensor,
        mean: FlexTensor,
        inverse_deviation: FlexTensor,
        dy: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = norm_shape(&x);
        let mut dx = vec![0.0; shape.tokens * shape.features];
        let (mut dgamma, mut dbeta) = (vec![0.0; shape.features], vec![0.0; shape.features]);
        norm::add_norm_backward(
            &values(&x),
            None,
            &values(&gamma),
            &values(&mean),
            &values(&inverse_deviation),
            Dropout::NONE,
            &values(&dy),
            &mut dx,
            None,
            &mut dgamma,
            &mut dbeta,
            shape,
        );
        (like(dx, &x), like(dgamma, &gamma), like(dbeta, &gamma))
    }

    fn dropout_forward(x: FlexTensor, dropout: Dropout) -> FlexTensor {
        let input = values(&x);
        let mut y = vec![0.0; input.len()];
        dropout::apply(dropout, &input, &mut y);
        like(y, &x)
    }

    fn attention_forward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        geometry: AttentionGeometry,
    ) -> (FlexTensor, FlexTensor) {
        attend(&query, &key, &value, None, &geometry)
    }

    fn attention_backward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        context: FlexTensor,
        log_sum_exp: FlexTensor,
        dcontext: FlexTensor,
        geometry: AttentionGeometry,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let saved = Attended { query, key, value, bias: None, context, log_sum_exp };
        let (dquery, dkey, dvalue, _) = saved.gradients(&dcontext, &geometry);
        (dquery, dkey, dvalue)
    }

    fn biased_attention_forward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        geometry: AttentionGeometry,
    ) -> (FlexTensor, FlexTensor) {
        attend(&query, &key, &value, Some(&bias), &geometry)
    }

    fn biased_attention_backward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        context: FlexTensor,
        log_sum_exp: FlexTensor,
        dcontext: FlexTensor,
        geometry: AttentionGeometry,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let saved = Attended { query, key, value, bias: Some(bias), context, log_sum_exp };
        let (dquery, dkey, dvalue, dbias) = saved.gradients(&dcontext, &geometry);
        (dquery, dkey, dvalue, dbias.expect("a bias was given, so its gradient is returned"))
    }

    fn embed_forward(weight: FlexTensor, ids: Arc<[u32]>) -> FlexTensor {
        let features = rows_columns(&weight)[1];
        let mut out = vec![0.0; ids.len() * features];
        embedding::gather(&values(&weight), &ids, &mut out, features);
        tensor(out, [ids.len(), features])
    }

    fn embed_backward(mut total: FlexTensor, dy: FlexTensor, ids: Arc<[u32]>) -> FlexTensor {
        let features = rows_columns(&dy)[1];
        embedding::scatter_add(&values(&dy), &ids, total.storage_mut::<f32>(), features);
        total
    }

    fn cross_entropy_forward(
        logits: FlexTensor,
        labels: Arc<[u32]>,
        label_smoothing: f32,
    ) -> (FlexTensor, FlexTensor) {
        let rows = labels.len();
        let (mut losses, mut log_sum_exp) = (vec![0.0; rows], vec![0.0; rows]);
        loss::cross_entropy_forward(
            &values(&logits),
            &labels,
            label_smoothing,
            &mut losses,
            &mut log_sum_exp,
        );
        (tensor(losses, [rows]), tensor(log_sum_exp, [rows]))
    }

    fn cross_entropy_backward(
        logits: FlexTensor,
        log_sum_exp: FlexTensor,
        dlosses: FlexTensor,
        labels: Arc<[u32]>,
        label_smoothing: f32,
    ) -> FlexTensor {
        let logit_values = values(&logits);
        let mut dlogits = vec![0.0; logit_values.len()];
        loss::cross_entropy_backward(
            &logit_values,
            &labels,
            label_smoothing,
            &values(&log_sum_exp),
            &values(&dlosses),
            &mut dlogits,
        );
        like(dlogits, &logits)
    }

    /// In place when the caller holds the only reference, which the optimizer does.
    fn adamw(
        mut parameter: FlexTensor,
        gradient: FlexTensor,
        mut first_moment: FlexTensor,
        mut second_moment: FlexTensor,
        step: AdamWStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        optimizer::adamw(
            parameter.storage_mut::<f32>(),
            &values(&gradient),
            first_moment.storage_mut::<f32>(),
            second_moment.storage_mut::<f32>(),
            &step,
        );
        (parameter, first_moment, second_moment)
    }

    fn linear_cross_entropy_forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> (FlexTensor, FlexTensor) {
        let shape = loss_shape(&x, &weight);
        let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
        let (losses, log_sum_exp) = match precision.of_products() {
            gemm::Precision::F32 => linear_loss::forward::<f32>(&x, &weight, &bias, &labels, shape),
            gemm::Precision::Bf16 => linear_loss::forward::<bf16>(&x, &weight, &bias, &labels, shape),
        };
        (tensor(losses, [shape.rows]), tensor(log_sum_exp, [shape.rows]))
    }

    fn linear_cross_entropy_backward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        log_sum_exp: FlexTensor,
        dlosses: FlexTensor,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = loss_shape(&x, &weight);
        let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
        let (sums, dlosses) = (values(&log_sum_exp), values(&dlosses));
        let gradients = match precision.of_products() {
            gemm::Precision::F32 => {
                linear_loss::backward::<f32>(&x, &weight, &bias, &labels, &sums, &dlosses, shape)
            }
            gemm::Precision::Bf16 => {
                linear_loss::backward::<bf16>(&x, &weight, &bias, &labels, &sums, &dlosses, shape)
            }
        };
        (
            tensor(gradients.x, [shape.rows, shape.hidden_size]),
            tensor(gradients.weight, [shape.vocab_size, shape.hidden_size]),
            tensor(gradients.bias, [shape.vocab_size]),
        )
    }

    fn attention_block(
        x: FlexTensor,
        weights: AttentionWeights<Self>,
        bias: ScoreBias<Self>,
        block: AttentionBlock,
    ) -> FlexTensor {
        Self::attention_block_evaluate(x, weights, bias, block)
    }

    fn feed_forward_block(
        x: FlexTensor,
        weights: FeedForwardWeights<Self>,
        block: FeedForwardBlock,
    ) -> FlexTensor {
        Self::feed_forward_block_evaluate(x, weights, block)
    }

    fn sum_of_squares(x: FlexTensor) -> FlexTensor {
        tensor(vec![optimizer::sum_of_squares(&values(&x)) as f32], [1])
    }
}

fn norm_forward(
    x: &FlexTensor,
    residual: Option<&FlexTensor>,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f32,
    dropout: Dropout,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let shape = norm_shape(x);
    let mut y = vec![0.0; shape.tokens * shape.features];
    let (mut mean, mut inverse_deviation) = (vec![0.0; shape.tokens], vec![0.0; shape.tokens]);
    let residual = residual.map(values);
    norm::add_norm_forward(
        &values(x),
        residual.as_deref(),
        &values(gamma),
        &values(beta),
        epsilon,
        dropout,
        &mut y,
        &mut mean,
        &mut inverse_deviation,
        shape,
    );
    let tokens = shape.tokens;
    (like(y, x), tensor(mean, [tokens]), tensor(inverse_deviation, [tokens]))
}

fn attend(
    query: &FlexTensor,
    key: &FlexTensor,
    value: &FlexTensor,
    bias: Option<&FlexTensor>,
    geometry: &AttentionGeometry,
) -> (FlexTensor, FlexTensor) {
    let [tokens, hidden_size] = rows_columns(query);
    let mut context = vec![0.0; tokens * hidden_size];
    let mut log_sum_exp = vec![0.0; tokens * geometry.num_heads];
    attention::attention_forward(
        view(&values(query), query),
        view(&values(key), query),
        view(&values(value), query),
        position_bias(bias_parts(bias).as_ref()),
        geometry.scale,
        geometry.dropout,
        ViewMut::new(&mut context, hidden_size),
        &mut log_sum_exp,
        attention_shape(query, geometry),
    );
    (like(context, query), tensor(log_sum_exp, [tokens, geometry.num_heads]))
}

/// What the forward pass of attention left.
struct Attended {
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    bias: Option<FlexTensor>,
    context: FlexTensor,
    log_sum_exp: FlexTensor,
}

impl Attended {
    fn gradients(
        &self,
        dcontext: &FlexTensor,
        geometry: &AttentionGeometry,
    ) -> (FlexTensor, FlexTensor, FlexTensor, Option<FlexTensor>) {
        let hidden_size = rows_columns(&self.query)[1];
        let zeros = |like: &FlexTensor| vec![0.0; rows_columns(like)[0] * hidden_size];
        let (mut dquery, mut dkey, mut dvalue) = (zeros(&self.query), zeros(&self.key), zeros(&self.value));
        let mut dbias = self.bias.as_ref().map(|bias| vec![0.0; values(bias).len()]);
        attention::attention_backward(
            view(&values(&self.query), &self.query),
            view(&values(&self.key), &self.query),
            view(&values(&self.value), &self.query),
            position_bias(bias_parts(self.bias.as_ref()).as_ref()),
            geometry.scale,
            geometry.dropout,
            view(&values(&self.context), &self.query),
            &values(&self.log_sum_exp),
            view(&values(dcontext), &self.query),
            ViewMut::new(&mut dquery, hidden_size),
            ViewMut::new(&mut dkey, hidden_size),
            ViewMut::new(&mut dvalue, hidden_size),
            dbias.as_deref_mut(),
            attention_shape(&self.query, geometry),
        );
        let dbias = dbias.zip(self.bias.as_ref()).map(|(dbias, bias)| like(dbias, bias));
        (like(dquery, &self.query), like(dkey, &self.key), like(dvalue, &self.value), dbias)
    }
}
