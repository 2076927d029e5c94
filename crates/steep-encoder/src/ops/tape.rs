//! Puts every operation on the autodiff tape: forward by the backend's `_forward`, one node, and
//! in the backward pass the backend's `_backward` for the parents that ask for a gradient.

use super::block::{
    self, AttentionBlock, AttentionWeights, BlockOps, FeedForwardBlock, FeedForwardWeights, Precision,
    ScoreBias,
};
use super::{Activation, AttentionGeometry, Dropout, EncoderOps};
use burn::backend::Autodiff;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use std::sync::Arc;

/// Registers the gradients of the parents that ask for one.
macro_rules! register {
    ($grads:expr, $parents:expr, $values:expr) => {
        for (parent, value) in $parents.into_iter().zip($values) {
            if let Some(node) = parent {
                $grads.register::<B>(node.id, value);
            }
        }
    };
}

/// Finishes a prepared node: with state when a parent is tracked, without otherwise.
macro_rules! finish {
    ($step:expr, $nodes:expr, $state:expr, $output:expr) => {
        match $step.prepare::<C>($nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish($state, $output),
            OpsKind::UnTracked(prepared) => prepared.finish($output),
        }
    };
}

#[derive(Debug)]
struct Linear(Precision);

impl<B: EncoderOps> Backward<B, 3> for Linear {
    /// x, weight
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        linear_gradients::<B>(grads, parents, x, weight, dy, self.0);
    }
}

/// Registers the three gradients of a linear layer, computing only those asked for.
fn linear_gradients<B: EncoderOps>(
    grads: &mut Gradients,
    parents: [Option<NodeId>; 3],
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
    precision: Precision,
) {
    let [node_x, node_weight, node_bias] = parents;
    if let Some(id) = node_x {
        grads.register::<B>(id, B::linear_backward_input(dy.clone(), weight, precision));
    }
    if let Some(id) = node_weight {
        grads.register::<B>(id, B::linear_backward_weight(dy.clone(), x, precision));
    }
    if let Some(id) = node_bias {
        grads.register::<B>(id, B::linear_backward_bias(dy));
    }
}

#[derive(Debug)]
struct LinearActivation(Activation, Precision);

impl<B: EncoderOps> Backward<B, 3> for LinearActivation {
    /// x, weight, what the activation was given
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight, before) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let dbefore = B::activation_backward(before, dy, self.0);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        linear_gradients::<B>(grads, parents, x, weight, dbefore, self.1);
    }
}

#[derive(Debug)]
struct ActivationStep(Activation);

impl<B: EncoderOps> Backward<B, 1> for ActivationStep {
    /// x
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        register!(grads, ops.parents, [B::activation_backward(ops.state, dy, self.0)]);
    }
}

#[derive(Debug)]
struct AddNorm(Dropout);

impl<B: EncoderOps> Backward<B, 4> for AddNorm {
    /// x, residual, gamma, mean, inverse deviation
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, residual, gamma, mean, inverse) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let (dx, dresidual, dgamma, dbeta) =
            B::add_norm_backward(x, residual, gamma, mean, inverse, dy, self.0);
        register!(grads, ops.parents, [dx, dresidual, dgamma, dbeta]);
    }
}

#[derive(Debug)]
struct LayerNorm;

impl<B: EncoderOps> Backward<B, 3> for LayerNorm {
    /// x, gamma, mean, inverse deviation
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, gamma, mean, inverse) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let (dx, dgamma, dbeta) = B::layer_norm_backward(x, gamma, mean, inverse, dy);
        register!(grads, ops.parents, [dx, dgamma, dbeta]);
    }
}

#[derive(Debug)]
struct DropoutStep(Dropout);

impl<B: EncoderOps> Backward<B, 1> for DropoutStep {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        register!(grads, ops.parents, [B::dropout_forward(dy, self.0)]);
    }
}

#[derive(Debug)]
struct Attention(AttentionGeometry);

impl<B: EncoderOps> Backward<B, 3> for Attention {
    /// query, key, value, context, log Σ exp
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (query, key, value, context, lse) = ops.state;
        let dcontext = grads.consume::<B>(&ops.node);
        let (dquery, dkey, dvalue) = B::attention_backward(query, key, value, context, lse, dcontext, self.0);
        register!(grads, ops.parents, [dquery, dkey, dvalue]);
    }
}

#[derive(Debug)]
struct BiasedAttention(AttentionGeometry);

impl<B: EncoderOps> Backward<B, 4> for BiasedAttention {
    /// query, key, value, position bias, context, log Σ exp
    type State =
        (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (query, key, value, bias, context, lse) = ops.state;
        let dcontext = grads.consume::<B>(&ops.node);
        let (dquery, dkey, dvalue, dbias) =
            B::biased_attention_backward(query, key, value, bias, context, lse, dcontext, self.0);
        register!(grads, ops.parents, [dquery, dkey, dvalue, dbias]);
    }
}

/// Rows of the table and the ids that were looked up.
#[derive(Debug)]
struct Embedding {
    ids: Arc<[u32]>,
    rows: usize,
}

impl<B: EncoderOps> Backward<B, 1> for Embedding {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let shape = Shape::from([self.rows, dy.shape()[1]]);
        let zeros = B::float_zeros(shape, &dy.device(), dy.dtype().into());
        register!(grads, ops.parents, [B::embed_backward(zeros, dy, self.ids)]);
    }
}

#[derive(Debug)]
struct CrossEntropy {
    labels: Arc<[u32]>,
    label_smoothing: f32,
}

impl<B: EncoderOps> Backward<B, 1> for CrossEntropy {
    /// logits, log Σ exp
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (logits, lse) = ops.state;
        let dlosses = grads.consume::<B>(&ops.node);
        let dlogits = B::cross_entropy_backward(logits, lse, dlosses, self.labels, self.label_smoothing);
        register!(grads, ops.parents, [dlogits]);
    }
}

#[derive(Debug)]
struct LinearCrossEntropy {
    labels: Arc<[u32]>,
    precision: Precision,
}

impl<B: EncoderOps> Backward<B, 3> for LinearCrossEntropy {
    /// x, weight, bias, log Σ exp
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight, bias, lse) = ops.state;
        let dlosses = grads.consume::<B>(&ops.node);
        let (dx, dweight, dbias) =
            B::linear_cross_entropy_backward(x, weight, bias, lse, dlosses, self.labels, self.precision);
        register!(grads, ops.parents, [dx, dweight, dbias]);
    }
}

impl<B: BlockOps, C: CheckpointStrategy> EncoderOps for Autodiff<B, C> {
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let ((x, node_x), (weight, node_weight), (bias, node_bias)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let y = B::linear_forward(x.clone(), weight.clone(), bias, precision);
        finish!(Linear(precision), [node_x, node_weight, node_bias], (x, weight), y)
    }

    fn linear_activation(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let ((x, node_x), (weight, node_weight), (bias, node_bias)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let before = B::linear_forward(x.clone(), weight.clone(), bias, precision);
        let y = B::activation_forward(before.clone(), activation);
        let nodes = [node_x, node_weight, node_bias];
        finish!(LinearActivation(activation, precision), nodes, (x, weight, before), y)
    }

    fn activation(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::activation_forward(x.clone(), activation);
        finish!(ActivationStep(activation), [node], x, y)
    }

    fn add_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        dropout: Dropout,
    ) -> FloatTensor<Self> {
        let ((x, node_x), (residual, node_residual)) = (x.into_parts(), residual.into_parts());
        let ((gamma, node_gamma), (beta, node_beta)) = (gamma.into_parts(), beta.into_parts());
        let (y, mean, inverse) =
            B::add_norm_forward(x.clone(), residual.clone(), gamma.clone(), beta, epsilon, dropout);
        let nodes = [node_x, node_residual, node_gamma, node_beta];
        finish!(AddNorm(dropout), nodes, (x, residual, gamma, mean, inverse), y)
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let ((x, node_x), (gamma, node_gamma), (beta, node_beta)) =
            (x.into_parts(), gamma.into_parts(), beta.into_parts());
        let (y, mean, inverse) = B::layer_norm_forward(x.clone(), gamma.clone(), beta, epsilon);
        finish!(LayerNorm, [node_x, node_gamma, node_beta], (x, gamma, mean, inverse), y)
    }

    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        finish!(DropoutStep(dropout), [node], (), B::dropout_forward(x, dropout))
    }

    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> FloatTensor<Self> {
        let ((query, node_query), (key, node_key), (value, node_value)) =
            (query.into_parts(), key.into_parts(), value.into_parts());
        let (context, lse) =
            B::attention_forward(query.clone(), key.clone(), value.clone(), geometry.clone());
        let state = (query, key, value, context.clone(), lse);
        finish!(Attention(geometry), [node_query, node_key, node_value], state, context)
    }

    fn biased_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        position_bias: FloatTensor<Self>,
        geometry: AttentionGeometry,
    ) -> FloatTensor<Self> {
        let ((query, node_query), (key, node_key)) = (query.into_parts(), key.into_parts());
        let ((value, node_value), (bias, node_bias)) = (value.into_parts(), position_bias.into_parts());
        let (context, lse) = B::biased_attention_forward(
            query.clone(),
            key.clone(),
            value.clone(),
            bias.clone(),
            geometry.clone(),
        );
        let state = (query, key, value, bias, context.clone(), lse);
        let nodes = [node_query, node_key, node_value, node_bias];
        finish!(BiasedAttention(geometry), nodes, state, context)
    }

    fn embedding(weight: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        let (weight, node) = weight.into_parts();
        let rows = weight.shape()[0];
        let y = B::embed_forward(weight, ids.clone());
        finish!(Embedding { ids, rows }, [node], (), y)
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        labels: Arc<[u32]>,
        label_smoothing: f32,
    ) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let (losses, lse) = B::cross_entropy_forward(logits.clone(), labels.clone(), label_smoothing);
        finish!(CrossEntropy { labels, label_smoothing }, [node], (logits, lse), losses)
    }

    fn attention_block(
        x: FloatTensor<Self>,
        weights: AttentionWeights<Self>,
        bias: ScoreBias<Self>,
        block: AttentionBlock,
    ) -> FloatTensor<Self> {
        block::tape::attention_block::<B, C>(x, weights, bias, block)
    }

    fn feed_forward_block(
        x: FloatTensor<Self>,
        weights: FeedForwardWeights<Self>,
        block: FeedForwardBlock,
    ) -> FloatTensor<Self> {
        block::tape::feed_forward_block::<B, C>(x, weights, block)
    }

    fn linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let ((x, node_x), (weight, node_weight), (bias, node_bias)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (losses, lse) = B::linear_cross_entropy_forward(
            x.clone(),
            weight.clone(),
            bias.clone(),
            labels.clone(),
            precision,
        );
        let nodes = [node_x, node_weight, node_bias];
        finish!(LinearCrossEntropy { labels, precision }, nodes, (x, weight, bias, lse), losses)
    }
}
