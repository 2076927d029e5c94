//! The default bodies against the kernels: what a GPU would run is tested on the CPU.

use super::block::Precision;
use super::{Activation, AttentionGeometry, Dropout, EncoderOps, Visibility, compose};
use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;
use std::sync::Arc;

type T = FloatTensor<Flex>;

/// Lively values, the same in every run.
pub(super) fn tensor<const D: usize>(seed: u32, shape: [usize; D]) -> T {
    let count = shape.iter().product::<usize>() as u32;
    let value = |index: u32| ((index * 37 + seed * 101) % 89) as f32 / 40.0 - 1.1;
    FloatTensor::<Flex>::from_data(TensorData::new((0..count).map(value).collect::<Vec<f32>>(), shape))
}

#[track_caller]
fn close(found: &T, expected: &T, what: &str) {
    // Measured at most 1.2e-6 relative to the largest value.
    near(found, expected, 1e-5, what);
}

/// Panics where two tensors differ by more than a share of the largest value.
#[track_caller]
pub(super) fn near(found: &T, expected: &T, tolerance: f32, what: &str) {
    let (found, expected) = (super::values(found), super::values(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (a, b) in found.iter().zip(expected.iter()) {
        assert!((a - b).abs() <= tolerance * largest, "{what}: {a} against {b}");
    }
}

#[test]
fn linear_and_activations() {
    let (x, weight, bias, dy) = (tensor(1, [5, 7]), tensor(2, [9, 7]), tensor(3, [9]), tensor(4, [5, 9]));
    let kernel = Flex::linear_forward(x.clone(), weight.clone(), bias.clone(), Precision::F32);
    close(&compose::linear_forward::<Flex>(x, weight, bias), &kernel, "linear");
    close(&compose::sum_rows::<Flex>(dy.clone()), &Flex::linear_backward_bias(dy.clone()), "bias");
    for activation in
        [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Tanh, Activation::Silu]
    {
        let kernel = Flex::activation_forward(kernel.clone(), activation);
        let composed = compose::activation_forward::<Flex>(kernel.clone(), activation);
        close(&composed, &Flex::activation_forward(kernel.clone(), activation), "activation");
        let composed = compose::activation_backward::<Flex>(kernel.clone(), dy.clone(), activation);
        close(&composed, &Flex::activation_backward(kernel, dy.clone(), activation), "its gradient");
    }
}

#[test]
fn norms_with_and_without_dropout() {
    let (x, residual) = (tensor(1, [6, 8]), tensor(2, [6, 8]));
    let (gamma, beta, dy) = (tensor(3, [8]), tensor(4, [8]), tensor(5, [6, 8]));
    for dropout in [Dropout::NONE, Dropout { probability: 0.3, seed: 9 }] {
        let (y, mean, inverse) =
            Flex::add_norm_forward(x.clone(), residual.clone(), gamma.clone(), beta.clone(), 1e-5, dropout);
        let sum = <Flex as burn::backend::ops::FloatTensorOps<Flex>>::float_add(
            compose::dropout::<Flex>(x.clone(), dropout),
            residual.clone(),
        );
        let composed = compose::layer_norm_forward::<Flex>(sum.clone(), gamma.clone(), beta.clone(), 1e-5);
        close(&composed.0, &y, "norm");
        close(&composed.1, &mean, "mean");
        close(&composed.2, &inverse, "inverse deviation");
        let kernel = Flex::add_norm_backward(
            x.clone(),
            residual.clone(),
            gamma.clone(),
            mean.clone(),
            inverse.clone(),
            dy.clone(),
            dropout,
        );
        let (dsum, dgamma, dbeta) =
            compose::layer_norm_backward::<Flex>(sum, gamma.clone(), mean, inverse, dy.clone());
        close(&compose::dropout::<Flex>(dsum.clone(), dropout), &kernel.0, "dx");
        close(&dsum, &kernel.1, "dresidual");
        close(&dgamma, &kernel.2, "dgamma");
        close(&dbeta, &kernel.3, "dbeta");
    }
}

/// Kernel and composition, forward and backward, with a position bias.
fn attention_agrees(geometry: &AttentionGeometry, queries: usize, keys: usize) {
    let (query, key, value) = (tensor(1, [queries, 8]), tensor(2, [keys, 8]), tensor(3, [keys, 8]));
    let (bias, dcontext) = (tensor(4, [2, 15]), tensor(5, [queries, 8]));
    let (context, lse) = Flex::biased_attention_forward(
        query.clone(),
        key.clone(),
        value.clone(),
        bias.clone(),
        geometry.clone(),
    );
    let composed = compose::attention_forward::<Flex>(
        query.clone(),
        key.clone(),
        value.clone(),
        Some(bias.clone()),
        geometry,
    );
    close(&composed.0, &context, "context");
    close(&composed.1, &lse, "log-sum-exp");
    let kernel = Flex::biased_attention_backward(
        query.clone(),
        key.clone(),
        value.clone(),
        bias.clone(),
        context.clone(),
        lse.clone(),
        dcontext.clone(),
        geometry.clone(),
    );
    let position_bias = Some(bias);
    let saved =
        compose::AttentionSaved::<Flex> { query, key, value, position_bias, context, log_sum_exp: lse };
    let composed = compose::attention_backward::<Flex>(saved, dcontext, geometry);
    close(&composed.0, &kernel.0, "dquery");
    close(&composed.1, &kernel.1, "dkey");
    close(&composed.2, &kernel.2, "dvalue");
    close(&composed.3.expect("a bias"), &kernel.3, "dbias");
}

#[test]
fn attention_with_bias_dropout_and_odd_lengths() {
    for dropout in [Dropout::NONE, Dropout { probability: 0.2, seed: 3 }] {
        for visibility in
            [Visibility::Bidirectional, Visibility::Causal, Visibility::SlidingWindow { reach: 2 }]
        {
            let geometry = AttentionGeometry {
                offsets: Arc::from([0, 5, 5, 6, 13]),
                key_offsets: None,
                visibility,
                num_heads: 2,
                scale: 0.5,
                dropout,
            };
            attention_agrees(&geometry, 13, 13);
        }
        let geometry = AttentionGeometry {
            offsets: Arc::from([0, 5, 6, 13]),
            key_offsets: Some(Arc::from([0, 2, 9, 10])),
            visibility: Visibility::Bidirectional,
            num_heads: 2,
            scale: 0.5,
            dropout,
        };
        attention_agrees(&geometry, 13, 10);
    }
}

#[test]
fn tables_losses_and_the_optimizer() {
    let (weight, dy) = (tensor(1, [11, 4]), tensor(2, [5, 4]));
    let ids: Arc<[u32]> = vec![3, 0, 3, 10, 3].into();
    close(
        &compose::embedding_forward::<Flex>(weight.clone(), &ids),
        &Flex::embed_forward(weight.clone(), ids.clone()),
        "rows",
    );
    close(
        &compose::embedding_backward::<Flex>(weight.clone(), dy.clone(), &ids),
        &Flex::embed_backward(weight.clone(), dy, ids.clone()),
        "table",
    );

    let (logits, labels): (T, Arc<[u32]>) = (tensor(3, [4, 9]), vec![8, 0, 4, 4].into());
    for smoothing in [0.0, 0.1] {
        let (losses, lse) = Flex::cross_entropy_forward(logits.clone(), labels.clone(), smoothing);
        let composed = compose::cross_entropy_forward::<Flex>(logits.clone(), &labels, smoothing);
        close(&composed.0, &losses, "losses");
        let dlosses = tensor(4, [4]);
        let kernel = Flex::cross_entropy_backward(
            logits.clone(),
            lse.clone(),
            dlosses.clone(),
            labels.clone(),
            smoothing,
        );
        let composed =
            compose::cross_entropy_backward::<Flex>(logits.clone(), lse, dlosses, &labels, smoothing);
        close(&composed, &kernel, "dlogits");
    }

    let step = super::AdamWStep {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-6,
        weight_decay: 0.1,
        step: 3,
        gradient_scale: 0.7,
    };
    let (parameter, gradient, first) = (tensor(1, [6]), tensor(2, [6]), tensor(3, [6]));
    let second = Flex::activation_forward(tensor(4, [6]), Activation::Relu);
    let kernel = Flex::adamw(parameter.clone(), gradient.clone(), first.clone(), second.clone(), step);
    let composed = compose::adamw::<Flex>(parameter, gradient, first, second, &step);
    close(&composed.0, &kernel.0, "parameter");
    close(&composed.1, &kernel.1, "first moment");
    close(&composed.2, &kernel.2, "second moment");
}
