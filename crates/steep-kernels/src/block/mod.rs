//! How is one half of an encoder layer computed without leaving the cache?
//!
//! Both halves of a post-LayerNorm layer, `LayerNorm(x + dropout(f(x)))` with self-attention or feed-forward as `f`,
//! are one operation each. A task takes a chunk of tokens (whole sequences for attention) through all steps, so that
//! what one step leaves is still in the second-level cache when the next one reads it; bias, activation, dropout and
//! residual happen in the epilogue of the products. Only the gradients of the weights, which need all tokens, are
//! products over the whole batch.
//!
//! With [`Precision::Bf16`](crate::gemm::Precision) the operands of products, and what is kept of them for the backward
//! pass, are bf16; sums, residual path, softmax, LayerNorm and parameter gradients are f32.
//!
//! Chunks depend on the batch alone, never on the number of threads, and parameter gradients are added up chunk after
//! chunk: results have the same bits for any number of threads.

mod attention;
mod chunks;
mod epilogues;
mod feed_forward;
mod residual_norm;

pub use attention::{
    AttentionBlock, AttentionGradients, AttentionSaved, AttentionWeights, PreparedAttention,
    attention_block_backward, attention_block_forward,
};
pub use feed_forward::{
    FeedForwardBlock, FeedForwardGradients, FeedForwardSaved, FeedForwardWeights, PreparedFeedForward,
    feed_forward_block_backward, feed_forward_block_forward,
};

pub use residual_norm::Operand;

use crate::gemm::{
    Element, Epilogue, Packed, Precision, QuantizedRows, QuantizedWeight, product_rows, product_rows_int8,
    quantize_rows,
};

/// A weight in the order in which its product reads it.
pub enum Prepared {
    /// For operands in f32 or bf16.
    Packed(Packed),
    /// For operands quantised to 8 bits, a row at a time.
    Quantized(QuantizedWeight),
}

/// The precision of the operands of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// f32 or bf16 on both sides.
    Float(Precision),
    /// 8-bit weights (a scale per output) and inputs (a scale per row); everything between products is bf16.
    Int8,
}

impl Operands {
    /// What is kept between products.
    pub fn precision(self) -> Precision {
        match self {
            Self::Float(precision) => precision,
            Self::Int8 => Precision::Bf16,
        }
    }
}

impl Prepared {
    /// Weights `[out, in]` of several layers with one input, side by side.
    fn forward(weights: &[&[f32]], in_features: usize, operands: Operands) -> Self {
        let out_features: Vec<usize> = weights.iter().map(|weight| weight.len() / in_features).collect();
        match operands {
            Operands::Float(precision) => {
                let mut packed = Packed::default();
                packed.pack_transposed_stacked(weights, &out_features, in_features, precision);
                Self::Packed(packed)
            }
            Operands::Int8 => {
                let stacked = weights.concat();
                Self::Quantized(QuantizedWeight::new(&stacked, out_features.iter().sum(), in_features))
            }
        }
    }

    /// `epilogue(rows · Wᵀ)` on the calling thread.
    fn rows<E: Element>(
        &self,
        input: &[E],
        rows: usize,
        quantized: &mut QuantizedRows,
        epilogue: &mut impl Epilogue,
    ) {
        match self {
            Self::Packed(packed) => product_rows(input, packed.inner(), rows, packed, epilogue),
            Self::Quantized(weight) => {
                quantize_rows(input, rows, weight.inner(), quantized);
                product_rows_int8(quantized, 0..rows, weight, epilogue);
            }
        }
    }
}

#[cfg(test)]
mod tests;
