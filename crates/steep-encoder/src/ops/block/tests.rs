//! The composed blocks against the kernels: what a GPU would run is tested on the CPU.

use super::{
    Affine, AttentionBlock, AttentionWeights, BlockMode, BlockOps, FeedForwardBlock, FeedForwardWeights,
    Precision, ScoreBias, WeightCache, compose,
};
use crate::ops::tests::{near, tensor};
use crate::ops::{Activation, AttentionGeometry, Dropout, Visibility};
use burn::backend::Flex;
use std::sync::Arc;

fn affine<const D: usize>(seed: u32, shape: [usize; D]) -> Affine<Flex> {
    Affine { weight: tensor(seed, shape), bias: tensor(seed + 1, [shape[0]]) }
}

/// Each precision of training, kept and computed again, with how near it comes.
fn modes() -> impl Iterator<Item = (BlockMode, f32)> {
    [(Precision::F32, 1e-5), (Precision::Bf16, 0.05), (Precision::Int8, 0.05)].into_iter().flat_map(
        |(precision, tolerance)| {
            [false, true].map(|recompute| {
                (BlockMode { precision, recompute, cache: WeightCache::default() }, tolerance)
            })
        },
    )
}

#[test]
fn attention_blocks() {
    let weights = AttentionWeights {
        query: affine(1, [12, 8]),
        key: affine(3, [12, 8]),
        value: affine(5, [12, 8]),
        output: affine(7, [8, 12]),
        norm: affine(9, [8]),
    };
    let (x, dy) = (tensor(11, [9, 8]), tensor(12, [9, 8]));
    for bias in [ScoreBias::None, ScoreBias::ByDistance(tensor(13, [3, 9]))] {
        for dropout in [Dropout::NONE, Dropout { probability: 0.3, seed: 4 }] {
            for (mode, tolerance) in modes() {
                let geometry = AttentionGeometry {
                    offsets: Arc::from([0, 4, 4, 9]),
                    key_offsets: None,
                    visibility: Visibility::Bidirectional,
                    num_heads: 3,
                    scale: 0.5,
                    dropout: Dropout { seed: 5, ..dropout },
                };
                let block = AttentionBlock { geometry, epsilon: 1e-5, dropout, mode };
                let (y, saved) =
                    Flex::attention_block_forward(x.clone(), weights.clone(), bias.clone(), block.clone());
                let composed = compose::attention_block_forward::<Flex>(
                    x.clone(),
                    weights.clone(),
                    bias.clone(),
                    block.clone(),
                );
                near(&y, &composed.0, tolerance, "attention block");
                let plain = Flex::attention_block_evaluate(x.clone(), weights.clone(), bias.clone(), block);
                near(&plain, &y, tolerance, "its evaluation");
                let gradients = Flex::attention_block_backward(saved, dy.clone());
                let expected = compose::attention_block_backward::<Flex>(composed.1, dy.clone());
                assert_eq!(gradients.len(), expected.len());
                for (gradient, expected) in gradients.iter().zip(&expected) {
                    near(gradient, expected, tolerance, "gradient of an attention block");
                }
            }
        }
    }
}

#[test]
fn feed_forward_blocks() {
    let weights = FeedForwardWeights {
        intermediate: affine(1, [20, 8]),
        output: affine(3, [8, 20]),
        norm: affine(5, [8]),
    };
    let (x, dy) = (tensor(7, [9, 8]), tensor(8, [9, 8]));
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu] {
        for dropout in [Dropout::NONE, Dropout { probability: 0.3, seed: 4 }] {
            for (mode, tolerance) in modes() {
                let block = FeedForwardBlock { activation, epsilon: 1e-5, dropout, mode };
                let (y, saved) = Flex::feed_forward_block_forward(x.clone(), weights.clone(), block.clone());
                let composed =
                    compose::feed_forward_block_forward::<Flex>(x.clone(), weights.clone(), block.clone());
                near(&y, &composed.0, tolerance, "feed-forward block");
                let plain = Flex::feed_forward_block_evaluate(x.clone(), weights.clone(), block);
                near(&plain, &y, tolerance, "its evaluation");
                let gradients = Flex::feed_forward_block_backward(saved, dy.clone());
                let expected = compose::feed_forward_block_backward::<Flex>(composed.1, dy.clone());
                assert_eq!(gradients.len(), expected.len());
                for (gradient, expected) in gradients.iter().zip(&expected) {
                    near(gradient, expected, tolerance, "gradient of a feed-forward block");
                }
            }
        }
    }
}
