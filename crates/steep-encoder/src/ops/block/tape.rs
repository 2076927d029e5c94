//! Puts the blocks on the autodiff tape: one node each.

use super::{
    Affine, AttentionBlock, AttentionWeights, BlockOps, FeedForwardBlock, FeedForwardWeights, ScoreBias,
};
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

/// Parents: x, weight and bias of each part, and for attention the score bias if there is one.
const FEED_FORWARD_PARENTS: usize = 7;
const ATTENTION_PARENTS: usize = 11;
const BIASED_ATTENTION_PARENTS: usize = ATTENTION_PARENTS + 1;

#[derive(Debug)]
struct Attention;

impl<B: BlockOps, const N: usize> Backward<B, N> for Attention {
    type State = B::AttentionSaved;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        register::<B>(grads, parents, B::attention_block_backward(ops.state, dy));
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
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        register::<B>(grads, parents, B::feed_forward_block_backward(ops.state, dy));
    }
}

fn register<B: BlockOps>(
    grads: &mut Gradients,
    parents: impl IntoIterator<Item = Option<NodeId>>,
    gradients: Vec<FloatTensor<B>>,
) {
    for (parent, gradient) in parents.into_iter().zip(gradients) {
        if let Some(id) = parent {
            grads.register::<B>(id, gradient);
        }
    }
}

/// Takes tensors off the tape and collects their nodes.
struct Untape(Vec<NodeGuard>);

impl Untape {
    fn tensor<B: BlockOps, C: CheckpointStrategy>(
        &mut self,
        tensor: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<B> {
        let (tensor, node) = tensor.into_parts();
        self.0.push(node);
        tensor
    }

    fn affine<B: BlockOps, C: CheckpointStrategy>(&mut self, part: Affine<Autodiff<B, C>>) -> Affine<B> {
        Affine { weight: self.tensor::<B, C>(part.weight), bias: self.tensor::<B, C>(part.bias) }
    }

    fn nodes<const N: usize>(self) -> [NodeGuard; N] {
        let Ok(nodes) = self.0.try_into() else {
            unreachable!("a block's parents are its parameters and an input")
        };
        nodes
    }
}

pub(in crate::ops) fn attention_block<B: BlockOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: AttentionWeights<Autodiff<B, C>>,
    bias: ScoreBias<Autodiff<B, C>>,
    block: AttentionBlock,
) -> FloatTensor<Autodiff<B, C>> {
    let mut untape = Untape(Vec::new());
    let x = untape.tensor::<B, C>(x);
    let weights = AttentionWeights {
        query: untape.affine::<B, C>(weights.query),
        key: untape.affine::<B, C>(weights.key),
        value: untape.affine::<B, C>(weights.value),
        output: untape.affine::<B, C>(weights.output),
        norm: untape.affine::<B, C>(weights.norm),
    };
    match bias {
        ScoreBias::None => {
            attention_node::<B, C, ATTENTION_PARENTS>(x, weights, ScoreBias::None, block, untape.nodes())
        }
        ScoreBias::ByDistance(bias) => {
            let bias = ScoreBias::ByDistance(untape.tensor::<B, C>(bias));
            attention_node::<B, C, BIASED_ATTENTION_PARENTS>(x, weights, bias, block, untape.nodes())
        }
    }
}

fn attention_node<B: BlockOps, C: CheckpointStrategy, const N: usize>(
    x: FloatTensor<B>,
    weights: AttentionWeights<B>,
    bias: ScoreBias<B>,
    block: AttentionBlock,
    nodes: [NodeGuard; N],
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, N>::prepare::<C>(Attention, nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (y, saved) = B::attention_block_forward(x, weights, bias, block);
            prepared.finish(saved, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::attention_block_evaluate(x, weights, bias, block)),
    }
}

pub(in crate::ops) fn feed_forward_block<B: BlockOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: FeedForwardWeights<Autodiff<B, C>>,
    block: FeedForwardBlock,
) -> FloatTensor<Autodiff<B, C>> {
    let mut untape = Untape(Vec::new());
    let x = untape.tensor::<B, C>(x);
    let weights = FeedForwardWeights {
        intermediate: untape.affine::<B, C>(weights.intermediate),
        output: untape.affine::<B, C>(weights.output),
        norm: untape.affine::<B, C>(weights.norm),
    };
    let nodes: [NodeGuard; FEED_FORWARD_PARENTS] = untape.nodes();
    match Backward::<B, FEED_FORWARD_PARENTS>::prepare::<C>(FeedForward, nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (y, saved) = B::feed_forward_block_forward(x, weights, block);
            prepared.finish(saved, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::feed_forward_block_evaluate(x, weights, block)),
    }
}
