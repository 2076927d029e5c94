//! The CPU's blocks: kernels that keep a chunk of tokens in the cache.

use super::{
    Affine, AttentionBlock, AttentionWeights, BlockMode, BlockOps, FeedForwardBlock, FeedForwardWeights,
    Precision, ScoreBias,
};
use crate::ops::flex::{bias_parts, position_bias, rows_columns, tensor, values};
use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use half::bf16;
use std::borrow::Cow;
use std::sync::Arc;
use steep_kernels::attention::AttentionShape;
use steep_kernels::block as kernels;
use steep_kernels::block::{Operand, Operands, PreparedAttention, PreparedFeedForward};
use steep_kernels::gemm;

type Tensor = FloatTensor<Flex>;

/// Something in the precision of training.
#[derive(Debug)]
pub(super) enum InPrecision<F, B> {
    /// f32
    F32(F),
    /// bf16
    Bf16(B),
}

type KeptAttention = InPrecision<kernels::AttentionSaved<f32>, kernels::AttentionSaved<bf16>>;
type KeptFeedForward = InPrecision<kernels::FeedForwardSaved<f32>, kernels::FeedForwardSaved<bf16>>;

/// What the attention block leaves.
#[derive(Debug, Clone)]
pub struct AttentionSaved {
    /// Absent where the kept operand stands for it.
    x: Option<Tensor>,
    weights: AttentionWeights<Flex>,
    bias: ScoreBias<Flex>,
    block: AttentionBlock,
    /// Absent where it is computed again.
    kept: Option<Arc<KeptAttention>>,
}

/// What the feed-forward block leaves.
#[derive(Debug, Clone)]
pub struct FeedForwardSaved {
    x: Option<Tensor>,
    weights: FeedForwardWeights<Flex>,
    block: FeedForwardBlock,
    kept: Option<Arc<KeptFeedForward>>,
}

impl BlockMode {
    fn operands(&self) -> Operands {
        match self.precision {
            Precision::F32 => Operands::Float(gemm::Precision::F32),
            Precision::Bf16 => Operands::Float(gemm::Precision::Bf16),
            Precision::Int8 => Operands::Int8,
        }
    }

    /// There is no training in 8 bits.
    fn training_precision(&self) -> gemm::Precision {
        self.precision.of_products()
    }

    /// f32 keeps the input as it is, bf16 a rounded copy.
    fn keeps_input(&self) -> bool {
        self.recompute || self.training_precision() == gemm::Precision::F32
    }
}

/// The slices of a block's weights.
type Slices<'a> = Vec<Cow<'a, [f32]>>;

fn slices<const N: usize>(parts: [&Affine<Flex>; N]) -> Slices<'_> {
    parts.into_iter().flat_map(|part| [values(&part.weight), values(&part.bias)]).collect()
}

fn attention_weights<'a>(slices: &'a Slices) -> kernels::AttentionWeights<'a> {
    kernels::AttentionWeights {
        projections: [&slices[0], &slices[2], &slices[4]],
        biases: [&slices[1], &slices[3], &slices[5]],
        output: &slices[6],
        output_bias: &slices[7],
        gamma: &slices[8],
        beta: &slices[9],
    }
}

fn feed_forward_weights<'a>(slices: &'a Slices) -> kernels::FeedForwardWeights<'a> {
    kernels::FeedForwardWeights {
        intermediate: &slices[0],
        intermediate_bias: &slices[1],
        output: &slices[2],
        output_bias: &slices[3],
        gamma: &slices[4],
        beta: &slices[5],
    }
}

/// The kernel's view of an attention block.
fn attention_kernel<'a>(
    block: &'a AttentionBlock,
    width: usize,
    bias: Option<&'a (Cow<'a, [f32]>, usize)>,
) -> kernels::AttentionBlock<'a> {
    let geometry = &block.geometry;
    kernels::AttentionBlock {
        shape: AttentionShape {
            offsets: &geometry.offsets,
            key_offsets: geometry.key_offsets.as_deref(),
            num_heads: geometry.num_heads,
            head_dim: width / geometry.num_heads,
            visibility: geometry.visibility,
        },
        position_bias: position_bias(bias),
        scale: geometry.scale,
        attention_dropout: geometry.dropout,
        epsilon: block.epsilon,
        dropout: block.dropout,
    }
}

fn feed_forward_kernel(block: &FeedForwardBlock) -> kernels::FeedForwardBlock {
    kernels::FeedForwardBlock { activation: block.activation, epsilon: block.epsilon, dropout: block.dropout }
}

/// Output and what is kept of it; one pass of the attention block.
fn attention<E: Operand>(
    x: &Tensor,
    weights: &AttentionWeights<Flex>,
    bias: Option<&Tensor>,
    block: &AttentionBlock,
    operands: Operands,
    keep: bool,
) -> (Tensor, Option<kernels::AttentionSaved<E>>) {
    let slices = slices(weights.parts());
    let weights = attention_weights(&slices);
    let bias = bias_parts(bias);
    let kernel = attention_kernel(block, weights.biases[0].len(), bias.as_ref());
    let prepared = block.mode.cache.get_or_make(|| PreparedAttention::new(weights, operands));
    let (y, saved) = kernels::attention_block_forward(&values(x), weights, &prepared, kernel, keep);
    (tensor(y, rows_columns(x)), saved)
}

/// Output and what is kept of it; one pass of the feed-forward block.
fn feed_forward<E: Operand>(
    x: &Tensor,
    weights: &FeedForwardWeights<Flex>,
    block: &FeedForwardBlock,
    operands: Operands,
    keep: bool,
) -> (Tensor, Option<kernels::FeedForwardSaved<E>>) {
    let slices = slices(weights.parts());
    let weights = feed_forward_weights(&slices);
    let prepared = block.mode.cache.get_or_make(|| PreparedFeedForward::new(weights, operands));
    let kernel = feed_forward_kernel(block);
    let (y, saved) = kernels::feed_forward_block_forward(&values(x), weights, &prepared, kernel, keep);
    (tensor(y, rows_columns(x)), saved)
}

fn train_attention(
    x: &Tensor,
    weights: &AttentionWeights<Flex>,
    bias: Option<&Tensor>,
    block: &AttentionBlock,
    keep: bool,
) -> (Tensor, Option<KeptAttention>) {
    let precision = block.mode.training_precision();
    let operands = Operands::Float(precision);
    match precision {
        gemm::Precision::F32 => {
            let (y, kept) = attention(x, weights, bias, block, operands, keep);
            (y, kept.map(InPrecision::F32))
        }
        gemm::Precision::Bf16 => {
            let (y, kept) = attention(x, weights, bias, block, operands, keep);
            (y, kept.map(InPrecision::Bf16))
        }
    }
}

fn train_feed_forward(
    x: &Tensor,
    weights: &FeedForwardWeights<Flex>,
    block: &FeedForwardBlock,
    keep: bool,
) -> (Tensor, Option<KeptFeedForward>) {
    let precision = block.mode.training_precision();
    let operands = Operands::Float(precision);
    match precision {
        gemm::Precision::F32 => {
            let (y, kept) = feed_forward(x, weights, block, operands, keep);
            (y, kept.map(InPrecision::F32))
        }
        gemm::Precision::Bf16 => {
            let (y, kept) = feed_forward(x, weights, block, operands, keep);
            (y, kept.map(InPrecision::Bf16))
        }
    }
}

impl BlockOps for Flex {
    type AttentionSaved = AttentionSaved;
    type FeedForwardSaved = FeedForwardSaved;

    fn attention_block_evaluate(
        x: Tensor,
        weights: AttentionWeights<Flex>,
        bias: ScoreBias<Flex>,
        block: AttentionBlock,
    ) -> Tensor {
        let operands = block.mode.operands();
        match operands.precision() {
            gemm::Precision::F32 => {
                attention::<f32>(&x, &weights, bias.by_distance(), &block, operands, false).0
            }
            gemm::Precision::Bf16 => {
                attention::<bf16>(&x, &weights, bias.by_distance(), &block, operands, false).0
            }
        }
    }

    fn attention_block_forward(
        x: Tensor,
        weights: AttentionWeights<Flex>,
        bias: ScoreBias<Flex>,
        block: AttentionBlock,
    ) -> (Tensor, AttentionSaved) {
        let (y, kept) = train_attention(&x, &weights, bias.by_distance(), &block, !block.mode.recompute);
        let x = block.mode.keeps_input().then_some(x);
        (y, AttentionSaved { x, weights, bias, block, kept: kept.map(Arc::new) })
    }

    fn attention_block_backward(saved: AttentionSaved, dy: Tensor) -> Vec<Tensor> {
        let AttentionSaved { x, weights, bias, block, kept } = saved;
        let kept = kept.or_else(|| {
            let x = x.as_ref().expect("what is computed again keeps its input");
            train_attention(x, &weights, bias.by_distance(), &block, true).1.map(Arc::new)
        });
        let kept = kept.expect("a pass that keeps leaves something");
        let slices = slices(weights.parts());
        let kernel_weights = attention_weights(&slices);
        let width = kernel_weights.biases[0].len();
        let bias_values = bias_parts(bias.by_distance());
        let kernel = attention_kernel(&block, width, bias_values.as_ref());
        let x = x.as_ref().map(values).unwrap_or_default();
        let dy_values = values(&dy);
        let gradients = match &*kept {
            InPrecision::F32(kept) => {
                kernels::attention_block_backward(&x, kernel_weights, kernel, kept, &dy_values)
            }
            InPrecision::Bf16(kept) => {
                kernels::attention_block_backward(&x, kernel_weights, kernel, kept, &dy_values)
            }
        };
        let hidden = rows_columns(&dy)[1];
        let mut list = vec![tensor(gradients.x, rows_columns(&dy))];
        for (dweight, dbias) in gradients.projections.into_iter().zip(gradients.biases) {
            list.extend([tensor(dweight, [width, hidden]), tensor(dbias, [width])]);
        }
        list.extend([tensor(gradients.output, [hidden, width]), tensor(gradients.output_bias, [hidden])]);
        list.extend([tensor(gradients.gamma, [hidden]), tensor(gradients.beta, [hidden])]);
        if let (Some(values), Some(model)) = (gradients.position_bias, bias.by_distance()) {
            list.push(tensor(values, rows_columns(model)));
        }
        list
    }

    fn feed_forward_block_evaluate(
        x: Tensor,
        weights: FeedForwardWeights<Flex>,
        block: FeedForwardBlock,
    ) -> Tensor {
        let operands = block.mode.operands();
        match operands.precision() {
            gemm::Precision::F32 => feed_forward::<f32>(&x, &weights, &block, operands, false).0,
            gemm::Precision::Bf16 => feed_forward::<bf16>(&x, &weights, &block, operands, false).0,
        }
    }

    fn feed_forward_block_forward(
        x: Tensor,
        weights: FeedForwardWeights<Flex>,
        block: FeedForwardBlock,
    ) -> (Tensor, FeedForwardSaved) {
        let (y, kept) = train_feed_forward(&x, &weights, &block, !block.mode.recompute);
        let x = block.mode.keeps_input().then_some(x);
        (y, FeedForwardSaved { x, weights, block, kept: kept.map(Arc::new) })
    }

    fn feed_forward_block_backward(saved: FeedForwardSaved, dy: Tensor) -> Vec<Tensor> {
        let FeedForwardSaved { x, weights, block, kept } = saved;
        let kept = kept.or_else(|| {
            let x = x.as_ref().expect("what is computed again keeps its input");
            train_feed_forward(x, &weights, &block, true).1.map(Arc::new)
        });
        let kept = kept.expect("a pass that keeps leaves something");
        let slices = slices(weights.parts());
        let kernel_weights = feed_forward_weights(&slices);
        let kernel = feed_forward_kernel(&block);
        let x = x.as_ref().map(values).unwrap_or_default();
        let dy_values = values(&dy);
        let gradients = match &*kept {
            InPrecision::F32(kept) => {
                kernels::feed_forward_block_backward(&x, kernel_weights, kernel, kept, &dy_values)
            }
            InPrecision::Bf16(kept) => {
                kernels::feed_forward_block_backward(&x, kernel_weights, kernel, kept, &dy_values)
            }
        };
        let [hidden, inner] = [rows_columns(&dy)[1], kernel_weights.intermediate_bias.len()];
        vec![
            tensor(gradients.x, rows_columns(&dy)),
            tensor(gradients.intermediate, [inner, hidden]),
            tensor(gradients.intermediate_bias, [inner]),
            tensor(gradients.output, [hidden, inner]),
            tensor(gradients.output_bias, [hidden]),
            tensor(gradients.gamma, [hidden]),
            tensor(gradients.beta, [hidden]),
        ]
    }
}
