//! Puts the blocks on the autodiff tape: one node each.

use super::{AttentionBlock, AttentionWeights, BlockOps, FeedForwardBlock, FeedForwardWeights};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::graph::NodeRef;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

/// Parents: x, the weights, and for attention the position bias if there is one.
const FEED_FORWARD_PARENTS: usize = 1 + FeedForwardWeights::<()>::COUNT;
const ATTENTION_PARENTS: usize = 1 + AttentionWeights::<()>::COUNT;
const BIASED_ATTENTION_PARENTS: usize = ATTENTION_PARENTS + 1;

#[derive(Debug)]
struct Attention;

impl<B: BlockOps, const N: usize> Backward<B, N> for Attention {
    type State = B::AttentionSaved;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        register::<B, N>(grads, ops.parents, B::attention_block_backward(ops.state, dy));
    }
}

#[derive(Debug)]
struct FeedForward;

impl<B: BlockOps> Backward<B, FEED_FORWARD_PARENTS> for FeedForward {
    type State = B::FeedForwardSaved;

    fn backward(
        self,
        ops: Ops<Self::State, FEED_FORWARD_PARENTS>,
        grads: &mut Gradients,
        _: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        register::<B, FEED_FORWARD_PARENTS>(grads, ops.parents, B::feed_forward_block_backward(ops.state, dy));
    }
}

fn register<B: BlockOps, const N: usize>(
    grads: &mut Gradients,
    parents: [Option<NodeRef>; N],
    gradients: Vec<FloatTensor<B>>,
) {
    for (parent, gradient) in parents.into_iter().zip(gradients) {
        if let Some(node) = parent {
            grads.register::<B>(node.id, gradient);
        }
    }
}

/// Tensors and their nodes.
fn parts<B: BlockOps, C: CheckpointStrategy>(
    tensors: impl IntoIterator<Item = FloatTensor<Autodiff<B, C>>>,
) -> (Vec<FloatTensor<B>>, Vec<NodeRef>) {
    tensors.into_iter().map(FloatTensor::<Autodiff<B, C>>::into_parts).unzip()
}

fn parents<const N: usize>(nodes: Vec<NodeRef>) -> [NodeRef; N] {
    nodes.try_into().expect("a block's weights are complete")
}

pub(in crate::ops) fn attention_block<B: BlockOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: Vec<FloatTensor<Autodiff<B, C>>>,
    position_bias: Option<FloatTensor<Autodiff<B, C>>>,
    block: AttentionBlock,
) -> FloatTensor<Autodiff<B, C>> {
    let biased = position_bias.is_some();
    let (mut tensors, nodes) = parts::<B, C>(std::iter::once(x).chain(weights).chain(position_bias));
    let position_bias = if biased { tensors.pop() } else { None };
    let x = tensors.remove(0);
    let weights = AttentionWeights::from_list(tensors);
    if biased {
        attention_node::<B, C, BIASED_ATTENTION_PARENTS>(x, weights, position_bias, block, nodes)
    } else {
        attention_node::<B, C, ATTENTION_PARENTS>(x, weights, position_bias, block, nodes)
    }
}

fn attention_node<B: BlockOps, C: CheckpointStrategy, const N: usize>(
    x: FloatTensor<B>,
    weights: AttentionWeights<FloatTensor<B>>,
    position_bias: Option<FloatTensor<B>>,
    block: AttentionBlock,
    nodes: Vec<NodeRef>,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, N>::prepare::<C>(Attention, parents(nodes)).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (y, saved) = B::attention_block_forward(x, weights, position_bias, block);
            prepared.finish(saved, y)
        }
        OpsKind::UnTracked(prepared) => {
            prepared.finish(B::attention_block_evaluate(x, weights, position_bias, block))
        }
    }
}

pub(in crate::ops) fn feed_forward_block<B: BlockOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: Vec<FloatTensor<Autodiff<B, C>>>,
    block: FeedForwardBlock,
) -> FloatTensor<Autodiff<B, C>> {
    let (mut tensors, nodes) = parts::<B, C>(std::iter::once(x).chain(weights));
    let x = tensors.remove(0);
    let weights = FeedForwardWeights::from_list(tensors);
    match Backward::<B, FEED_FORWARD_PARENTS>::prepare::<C>(FeedForward, parents(nodes))
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => {
            let (y, saved) = B::feed_forward_block_forward(x, weights, block);
            prepared.finish(saved, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::feed_forward_block_evaluate(x, weights, block)),
    }
}
