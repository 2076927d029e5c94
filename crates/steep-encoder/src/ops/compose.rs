//! The default bodies: the same mathematics composed of Burn's own operations. A backend without
//! kernels of its own runs these; the tests run them on the CPU against the kernels.

#![expect(clippy::needless_pass_by_value, reason = "operations take their tensors, as Burn's own do")]

use super::{Activation, AdamWStep, AttentionGeometry, Dropout, Visibility};
use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{BoolDType, IndexingUpdateOp, Scalar, Shape, Slice, TensorData};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

fn rows<B: Backend>(tensor: &FloatTensor<B>) -> usize {
    tensor.shape()[0]
}

fn columns<B: Backend>(tensor: &FloatTensor<B>) -> usize {
    tensor.shape()[1]
}

fn device<B: Backend>(tensor: &FloatTensor<B>) -> Device<B> {
    tensor.device()
}

fn upload<B: Backend>(values: Vec<f32>, shape: Shape, device: &Device<B>) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape), device)
}

fn indices<B: Backend>(ids: &[u32], device: &Device<B>) -> IntTensor<B> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let length = ids.len();
    B::int_from_data(TensorData::new(ids, [length]), device)
}

fn scale<B: Backend>(x: FloatTensor<B>, factor: f32) -> FloatTensor<B> {
    B::float_mul_scalar(x, Scalar::from(factor))
}

fn shift<B: Backend>(x: FloatTensor<B>, amount: f32) -> FloatTensor<B> {
    B::float_add_scalar(x, Scalar::from(amount))
}

fn column<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let length = x.shape()[0];
    B::float_reshape(x, Shape::from([length, 1]))
}

fn row<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let length = x.shape()[0];
    B::float_reshape(x, Shape::from([1, length]))
}

fn flat<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let length = x.shape().num_elements();
    B::float_reshape(x, Shape::from([length]))
}

/// Σ over rows: `[T, H]` → `[H]`.
pub fn sum_rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    flat::<B>(B::float_sum_dim(x, 0))
}

/// `x Wᵀ + b`.
pub fn linear_forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_add(B::float_matmul(x, B::float_transpose(weight)), row::<B>(bias))
}

fn sigmoid<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_recip(shift::<B>(B::float_exp(B::float_neg(x)), 1.0))
}

/// √(2/π) (x + 0.044715 x³), the argument of the tanh form of GELU.
fn gelu_tanh_argument<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let inner = B::float_mul(x, shift::<B>(scale::<B>(square, 0.044715), 1.0));
    scale::<B>(inner, FRAC_2_SQRT_PI * FRAC_1_SQRT_2)
}

/// `act(x)`.
pub fn activation_forward<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::Gelu => {
            let erf = B::float_erf(scale::<B>(x.clone(), 1.0 / SQRT_2));
            scale::<B>(B::float_mul(x, shift::<B>(erf, 1.0)), 0.5)
        }
        Activation::GeluTanh => {
            let tanh = B::float_tanh(gelu_tanh_argument::<B>(x.clone()));
            scale::<B>(B::float_mul(x, shift::<B>(tanh, 1.0)), 0.5)
        }
        Activation::Relu => B::float_clamp_min(x, Scalar::from(0.0)),
        Activation::Tanh => B::float_tanh(x),
        Activation::Silu => B::float_mul(x.clone(), sigmoid::<B>(x)),
    }
}

/// `dy · act'(x)`.
pub fn activation_backward<B: Backend>(
    x: FloatTensor<B>,
    dy: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let derivative = match activation {
        Activation::Gelu => {
            let erf = B::float_erf(scale::<B>(x.clone(), 1.0 / SQRT_2));
            let cumulative = scale::<B>(shift::<B>(erf, 1.0), 0.5);
            let square = B::float_mul(x.clone(), x.clone());
            let density =
                scale::<B>(B::float_exp(scale::<B>(square, -0.5)), FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * 0.5);
            B::float_add(cumulative, B::float_mul(x, density))
        }
        Activation::GeluTanh => {
            let tanh = B::float_tanh(gelu_tanh_argument::<B>(x.clone()));
            let square = B::float_mul(x.clone(), x.clone());
            let inner = scale::<B>(
                shift::<B>(scale::<B>(square, 3.0 * 0.044715), 1.0),
                FRAC_2_SQRT_PI * FRAC_1_SQRT_2,
            );
            let slope = shift::<B>(B::float_neg(B::float_mul(tanh.clone(), tanh.clone())), 1.0);
            let second = B::float_mul(B::float_mul(x, slope), inner);
            scale::<B>(B::float_add(shift::<B>(tanh, 1.0), second), 0.5)
        }
        Activation::Relu => {
            let positive = B::float_greater_elem(x, Scalar::from(0.0), BoolDType::Native);
            B::bool_into_float(positive, dy.dtype().into())
        }
        Activation::Tanh => {
            let tanh = B::float_tanh(x);
            shift::<B>(B::float_neg(B::float_mul(tanh.clone(), tanh)), 1.0)
        }
        Activation::Silu => {
            let gate = sigmoid::<B>(x.clone());
            let rest = shift::<B>(B::float_neg(gate.clone()), 1.0);
            B::float_mul(gate, shift::<B>(B::float_mul(x, rest), 1.0))
        }
    };
    B::float_mul(dy, derivative)
}

/// y, mean `[T]`, 1/deviation `[T]`.
pub fn layer_norm_forward<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let mean = B::float_mean_dim(x.clone(), 1);
    let centred = B::float_sub(x, mean.clone());
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 1);
    let inverse = B::float_recip(B::float_sqrt(shift::<B>(variance, epsilon)));
    let normal = B::float_mul(centred, inverse.clone());
    let y = B::float_add(B::float_mul(normal, row::<B>(gamma)), row::<B>(beta));
    (y, flat::<B>(mean), flat::<B>(inverse))
}

/// dx, dgamma, dbeta.
pub fn layer_norm_backward<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    mean: FloatTensor<B>,
    inverse: FloatTensor<B>,
    dy: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let inverse = column::<B>(inverse);
    let normal = B::float_mul(B::float_sub(x, column::<B>(mean)), inverse.clone());
    let dgamma = sum_rows::<B>(B::float_mul(dy.clone(), normal.clone()));
    let dbeta = sum_rows::<B>(dy.clone());
    let dnormal = B::float_mul(dy, row::<B>(gamma));
    let mean_d = B::float_mean_dim(dnormal.clone(), 1);
    let mean_dn = B::float_mean_dim(B::float_mul(dnormal.clone(), normal.clone()), 1);
    let inner = B::float_sub(B::float_sub(dnormal, mean_d), B::float_mul(normal, mean_dn));
    (B::float_mul(inner, inverse), dgamma, dbeta)
}

/// Inverted dropout; the mask is drawn on the host from the counter and uploaded.
pub fn dropout<B: Backend>(x: FloatTensor<B>, dropout: Dropout) -> FloatTensor<B> {
    if dropout == Dropout::NONE {
        return x;
    }
    let shape = x.shape();
    let mask = (0..shape.num_elements() as u64).map(|index| dropout.keep_scale(index)).collect();
    let mask = upload::<B>(mask, shape, &device::<B>(&x));
    B::float_mul(x, mask)
}

/// Rows `start..end` of a `[T, H]` tensor as `[heads, n, d]`.
fn heads_of<B: Backend>(x: &FloatTensor<B>, [start, end]: [usize; 2], num_heads: usize) -> FloatTensor<B> {
    let head_dim = columns::<B>(x) / num_heads;
    let rows = B::float_slice(x.clone(), &[Slice::from(start..end)]);
    let split = B::float_reshape(rows, Shape::from([end - start, num_heads, head_dim]));
    B::float_swap_dims(split, 0, 1)
}

/// `[heads, n, d]` back to `[n, H]`.
fn merge_heads<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [num_heads, length, head_dim] = x.shape().dims();
    B::float_reshape(B::float_swap_dims(x, 0, 1), Shape::from([length, num_heads * head_dim]))
}

/// One sequence: its queries and the keys that they may listen to.
#[derive(Clone, Copy)]
struct Span {
    /// First query, one past the last.
    query: [usize; 2],
    /// First key, one past the last.
    key: [usize; 2],
}

impl Span {
    fn queries(self) -> usize {
        self.query[1] - self.query[0]
    }

    fn keys(self) -> usize {
        self.key[1] - self.key[0]
    }

    /// All pairs (query, key), counted within the sequence.
    fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.queries()).flat_map(move |i| (0..self.keys()).map(move |j| (i, j)))
    }
}

/// The bias of one sequence, `[heads, n, m]`, gathered from the table by distance.
fn bias_of<B: Backend>(bias: &FloatTensor<B>, span: Span) -> FloatTensor<B> {
    let num_heads = rows::<B>(bias);
    let columns = distance_columns(span, columns::<B>(bias));
    let picked = B::float_select(bias.clone(), 1, indices::<B>(&columns, &device::<B>(bias)));
    B::float_reshape(picked, Shape::from([num_heads, span.queries(), span.keys()]))
}

/// Column of each (query, key) pair in a table of `width` distances.
fn distance_columns(span: Span, width: usize) -> Vec<u32> {
    let max_distance = (width - 1) / 2;
    span.pairs().map(|(i, j)| (j + max_distance - i) as u32).collect()
}

/// 0 where a query sees a key, the most negative number where it does not: `[1, n, m]`.
fn visibility_mask<B: Backend>(
    span: Span,
    visibility: Visibility,
    device: &Device<B>,
) -> Option<FloatTensor<B>> {
    if visibility == Visibility::Bidirectional {
        return None;
    }
    let mask = span.pairs().map(|(i, j)| if visibility.sees(i, j) { 0.0 } else { f32::MIN }).collect();
    Some(upload::<B>(mask, Shape::from([1, span.queries(), span.keys()]), device))
}

/// Dropout mask of one sequence's probabilities, `[heads, n, m]`; indices as `steep-kernels`'
/// attention documents them.
fn attention_mask<B: Backend>(
    span: Span,
    geometry: &AttentionGeometry,
    device: &Device<B>,
) -> FloatTensor<B> {
    let keys = span.keys();
    let mut mask = Vec::with_capacity(geometry.num_heads * span.queries() * keys);
    for head in 0..geometry.num_heads {
        let head_index = (span.query[0] * geometry.num_heads + head) as u64;
        let index = |(query, key)| (head_index << 32) + (query * keys + key) as u64;
        mask.extend(span.pairs().map(|pair| geometry.dropout.keep_scale(index(pair))));
    }
    upload::<B>(mask, Shape::from([geometry.num_heads, span.queries(), keys]), device)
}

/// Sequences that have queries.
fn sequences(geometry: &AttentionGeometry) -> impl Iterator<Item = Span> + '_ {
    let keys = geometry.key_offsets.as_ref().unwrap_or(&geometry.offsets);
    let range = |pair: &[u32]| [pair[0] as usize, pair[1] as usize];
    let spans = geometry.offsets.windows(2).zip(keys.windows(2));
    spans
        .map(move |(query, key)| Span { query: range(query), key: range(key) })
        .filter(|span| span.queries() > 0)
}

/// Scores of one sequence before the softmax, `[heads, n, m]`.
fn scores<B: Backend>(
    query: &FloatTensor<B>,
    key: &FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    span: Span,
    geometry: &AttentionGeometry,
) -> FloatTensor<B> {
    let device = device::<B>(query);
    let query = scale::<B>(heads_of::<B>(query, span.query, geometry.num_heads), geometry.scale);
    let key = heads_of::<B>(key, span.key, geometry.num_heads);
    let scores = B::float_matmul(query, B::float_swap_dims(key, 1, 2));
    let scores = match bias {
        None => scores,
        Some(bias) => B::float_add(scores, bias_of::<B>(bias, span)),
    };
    match visibility_mask::<B>(span, geometry.visibility, &device) {
        None => scores,
        Some(mask) => B::float_add(scores, mask),
    }
}

/// Context `[T, H]` and log Σ exp `[T, heads]`. Every query must see a key.
pub fn attention_forward<B: Backend>(
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    geometry: &AttentionGeometry,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let device = device::<B>(&query);
    let (mut contexts, mut sums) = (Vec::new(), Vec::new());
    for span in sequences(geometry) {
        let scores = scores::<B>(&query, &key, bias.as_ref(), span, geometry);
        let largest = B::float_max_dim(scores.clone(), 2);
        let exponentials = B::float_exp(B::float_sub(scores, largest.clone()));
        let total = B::float_sum_dim(exponentials.clone(), 2);
        let probabilities = B::float_div(exponentials, total.clone());
        let kept = match geometry.dropout {
            Dropout::NONE => probabilities,
            _ => B::float_mul(probabilities, attention_mask::<B>(span, geometry, &device)),
        };
        let values = heads_of::<B>(&value, span.key, geometry.num_heads);
        contexts.push(merge_heads::<B>(B::float_matmul(kept, values)));
        let sum = B::float_add(largest, B::float_log(total));
        let sum = B::float_reshape(sum, Shape::from([geometry.num_heads, span.queries()]));
        sums.push(B::float_swap_dims(sum, 0, 1));
    }
    if contexts.is_empty() {
        return (query, upload::<B>(Vec::new(), Shape::from([0, geometry.num_heads]), &device));
    }
    (B::float_cat(contexts, 0), B::float_cat(sums, 0))
}

/// What the forward pass of attention keeps for the backward pass.
pub struct AttentionSaved<B: Backend> {
    /// `[T, H]`
    pub query: FloatTensor<B>,
    /// `[K, H]`
    pub key: FloatTensor<B>,
    /// `[K, H]`
    pub value: FloatTensor<B>,
    /// `[num_heads, 2 D + 1]`
    pub position_bias: Option<FloatTensor<B>>,
    /// `[T, H]`
    pub context: FloatTensor<B>,
    /// `[T, num_heads]`
    pub log_sum_exp: FloatTensor<B>,
}

/// dquery, dkey, dvalue and the gradient of the position bias. In cross-attention every sequence of keys must have
/// queries.
pub fn attention_backward<B: Backend>(
    saved: AttentionSaved<B>,
    dcontext: FloatTensor<B>,
    geometry: &AttentionGeometry,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Option<FloatTensor<B>>) {
    let device = device::<B>(&dcontext);
    let heads = geometry.num_heads;
    let (mut dqueries, mut dkeys, mut dvalues) = (Vec::new(), Vec::new(), Vec::new());
    let mut dbias =
        saved.position_bias.as_ref().map(|bias| B::float_zeros(bias.shape(), &device, bias.dtype().into()));
    for span in sequences(geometry) {
        let bias = saved.position_bias.as_ref();
        let scores = scores::<B>(&saved.query, &saved.key, bias, span, geometry);
        let [start, end] = span.query;
        let sums = B::float_slice(saved.log_sum_exp.clone(), &[Slice::from(start..end)]);
        let sums = B::float_reshape(B::float_swap_dims(sums, 0, 1), Shape::from([heads, end - start, 1]));
        let probabilities = B::float_exp(B::float_sub(scores, sums));

        let (query, key, value) = (
            heads_of::<B>(&saved.query, span.query, heads),
            heads_of::<B>(&saved.key, span.key, heads),
            heads_of::<B>(&saved.value, span.key, heads),
        );
        let context = heads_of::<B>(&saved.context, span.query, heads);
        let dcontext = heads_of::<B>(&dcontext, span.query, heads);
        let mut kept = probabilities.clone();
        let mut dprobabilities = B::float_matmul(dcontext.clone(), B::float_swap_dims(value, 1, 2));
        if geometry.dropout != Dropout::NONE {
            let mask = attention_mask::<B>(span, geometry, &device);
            kept = B::float_mul(kept, mask.clone());
            dprobabilities = B::float_mul(dprobabilities, mask);
        }
        // Σ_j P_ij dP_ij equals context · dcontext, also under dropout.
        let inner = B::float_sum_dim(B::float_mul(context, dcontext.clone()), 2);
        let dscores = B::float_mul(probabilities, B::float_sub(dprobabilities, inner));
        if let Some(total) = dbias.take() {
            dbias = Some(add_bias_gradient::<B>(total, dscores.clone(), span, &device));
        }
        let dscaled = scale::<B>(dscores, geometry.scale);
        dvalues.push(merge_heads::<B>(B::float_matmul(B::float_swap_dims(kept, 1, 2), dcontext)));
        dkeys.push(merge_heads::<B>(B::float_matmul(B::float_swap_dims(dscaled.clone(), 1, 2), query)));
        dqueries.push(merge_heads::<B>(B::float_matmul(dscaled, key)));
    }
    if dqueries.is_empty() {
        return (saved.query, saved.key, saved.value, dbias);
    }
    (B::float_cat(dqueries, 0), B::float_cat(dkeys, 0), B::float_cat(dvalues, 0), dbias)
}

fn add_bias_gradient<B: Backend>(
    total: FloatTensor<B>,
    dscores: FloatTensor<B>,
    span: Span,
    device: &Device<B>,
) -> FloatTensor<B> {
    let columns = distance_columns(span, columns::<B>(&total));
    let flat = B::float_reshape(dscores, Shape::from([rows::<B>(&total), span.queries() * span.keys()]));
    B::float_select_assign(total, 1, indices::<B>(&columns, device), flat, IndexingUpdateOp::Add)
}

/// Rows of a table.
pub fn embedding_forward<B: Backend>(weight: FloatTensor<B>, ids: &[u32]) -> FloatTensor<B> {
    let ids = indices::<B>(ids, &device::<B>(&weight));
    B::float_select(weight, 0, ids)
}

/// The gradient of the table, added to `total`.
pub fn embedding_backward<B: Backend>(
    total: FloatTensor<B>,
    dy: FloatTensor<B>,
    ids: &[u32],
) -> FloatTensor<B> {
    let device = device::<B>(&dy);
    B::float_select_assign(total, 0, indices::<B>(ids, &device), dy, IndexingUpdateOp::Add)
}

/// One-hot rows softened by label smoothing, [N, V]: what the probabilities are compared with.
fn target<B: Backend>(
    labels: &[u32],
    classes: usize,
    label_smoothing: f32,
    device: &Device<B>,
) -> FloatTensor<B> {
    let mut target = vec![label_smoothing / classes as f32; labels.len() * classes];
    for (row, &label) in labels.iter().enumerate() {
        target[row * classes + label as usize] += 1.0 - label_smoothing;
    }
    upload::<B>(target, Shape::from([labels.len(), classes]), device)
}

/// Losses `[N]` and log Σ exp `[N]`.
pub fn cross_entropy_forward<B: Backend>(
    logits: FloatTensor<B>,
    labels: &[u32],
    label_smoothing: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let device = device::<B>(&logits);
    let target = target::<B>(labels, columns::<B>(&logits), label_smoothing, &device);
    let largest = B::float_max_dim(logits.clone(), 1);
    let exponentials = B::float_exp(B::float_sub(logits.clone(), largest.clone()));
    let sum = B::float_add(B::float_log(B::float_sum_dim(exponentials, 1)), largest);
    let chosen = B::float_sum_dim(B::float_mul(target, logits), 1);
    (flat::<B>(B::float_sub(sum.clone(), chosen)), flat::<B>(sum))
}

/// The gradient with respect to the logits.
pub fn cross_entropy_backward<B: Backend>(
    logits: FloatTensor<B>,
    log_sum_exp: FloatTensor<B>,
    dlosses: FloatTensor<B>,
    labels: &[u32],
    label_smoothing: f32,
) -> FloatTensor<B> {
    let device = device::<B>(&logits);
    let target = target::<B>(labels, columns::<B>(&logits), label_smoothing, &device);
    let probabilities = B::float_exp(B::float_sub(logits, column::<B>(log_sum_exp)));
    B::float_mul(B::float_sub(probabilities, target), column::<B>(dlosses))
}

/// One AdamW step; see [`AdamWStep`].
pub fn adamw<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    first_moment: FloatTensor<B>,
    second_moment: FloatTensor<B>,
    step: &AdamWStep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let gradient = scale::<B>(gradient, step.gradient_scale);
    let first =
        B::float_add(scale::<B>(first_moment, step.beta1), scale::<B>(gradient.clone(), 1.0 - step.beta1));
    let square = B::float_mul(gradient.clone(), gradient);
    let second = B::float_add(scale::<B>(second_moment, step.beta2), scale::<B>(square, 1.0 - step.beta2));
    let correction1 = 1.0 - f64::from(step.beta1).powi(step.step as i32);
    let correction2 = 1.0 - f64::from(step.beta2).powi(step.step as i32);
    let deviation = scale::<B>(B::float_sqrt(second.clone()), (1.0 / correction2.sqrt()) as f32);
    let ratio = B::float_div(first.clone(), shift::<B>(deviation, step.epsilon));
    let decayed = scale::<B>(parameter, 1.0 - step.learning_rate * step.weight_decay);
    let rate = (f64::from(step.learning_rate) / correction1) as f32;
    (B::float_sub(decayed, scale::<B>(ratio, rate)), first, second)
}
