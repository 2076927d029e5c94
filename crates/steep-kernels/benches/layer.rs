//! Which share of the processor's rate does a whole encoder layer reach, forward and backward, packing its weights as
//! every training step does? `cargo bench -p steep-kernels --bench layer -- [word…]` prints a table.

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints a table")]

mod share;

use half::bf16;
use share::{Kind, Table};
use steep_kernels::activation::Activation;
use steep_kernels::attention::{AttentionShape, Visibility};
use steep_kernels::block::{
    AttentionBlock, AttentionWeights, FeedForwardBlock, FeedForwardWeights, Operand, Operands,
    PreparedAttention, PreparedFeedForward, attention_block_backward, attention_block_forward,
    feed_forward_block_backward, feed_forward_block_forward,
};
use steep_kernels::dropout::Dropout;

/// Sequences and their length: 2,048 tokens in two ways, and a number that no chunk divides.
const BATCHES: [(usize, usize); 3] = [(16, 128), (128, 16), (110, 17)];
const EPSILON: f32 = 1e-12;

/// Small numbers around zero.
fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * 7919) % 2003) as f32 / 20_030.0 - 0.05).collect()
}

/// The parameters of a layer; vectors are as long as the widest needs.
struct Layer {
    square: Vec<f32>,
    wide: Vec<f32>,
    vector: Vec<f32>,
    hidden: usize,
}

impl Layer {
    fn new(hidden: usize) -> Self {
        let (square, wide) = (numbers(hidden * hidden), numbers(4 * hidden * hidden));
        Self { square, wide, vector: numbers(4 * hidden), hidden }
    }

    fn attention(&self) -> AttentionWeights<'_> {
        let vector = &self.vector[..self.hidden];
        AttentionWeights {
            projections: [&self.square; 3],
            biases: [vector; 3],
            output: &self.square,
            output_bias: vector,
            gamma: vector,
            beta: vector,
        }
    }

    fn feed_forward(&self) -> FeedForwardWeights<'_> {
        let vector = &self.vector[..self.hidden];
        FeedForwardWeights {
            intermediate: &self.wide,
            intermediate_bias: &self.vector,
            output: &self.wide,
            output_bias: vector,
            gamma: vector,
            beta: vector,
        }
    }

    /// Forward and backward, with the dropout of training.
    fn train<E: Operand>(&self, x: &[f32], dy: &[f32], offsets: &[u32], heads: usize) {
        let dropout = |seed| Dropout { probability: 0.1, seed };
        let operands = Operands::Float(E::PRECISION);
        let block = AttentionBlock {
            shape: AttentionShape {
                offsets,
                key_offsets: None,
                num_heads: heads,
                head_dim: self.hidden / heads,
                visibility: Visibility::Bidirectional,
            },
            position_bias: None,
            scale: 0.125,
            attention_dropout: dropout(1),
            epsilon: EPSILON,
            dropout: dropout(2),
        };
        let weights = self.attention();
        let prepared = PreparedAttention::new(weights, operands);
        let (middle, attended) = attention_block_forward::<E>(x, weights, &prepared, block, true);
        let wide = self.feed_forward();
        let feed = FeedForwardBlock { activation: Activation::Gelu, epsilon: EPSILON, dropout: dropout(3) };
        let prepared = PreparedFeedForward::new(wide, operands);
        let (_, fed) = feed_forward_block_forward::<E>(&middle, wide, &prepared, feed, true);
        let (attended, fed) = (attended.expect("kept"), fed.expect("kept"));
        let above = feed_forward_block_backward(&middle, wide, feed, &fed, dy);
        attention_block_backward(x, weights, block, &attended, &above.x);
    }
}

fn measure<E: Operand>(table: &Table, kind: Kind, hidden: usize, (sequences, length): (usize, usize)) {
    let layer = Layer::new(hidden);
    let tokens = sequences * length;
    let offsets: Vec<u32> = (0..=sequences).map(|sequence| (sequence * length) as u32).collect();
    let (x, dy) = (numbers(tokens * hidden), numbers(tokens * hidden));
    let name = format!("layer {:?} hidden {hidden}, {sequences} x {length}", E::PRECISION);
    let operations = 3 * tokens * (24 * hidden * hidden + 4 * hidden * length);
    table.line(&name, kind, operations, || layer.train::<E>(&x, &dy, &offsets, 12));
}

fn main() {
    share::tables("encoder layer, forward and backward", |table| {
        for hidden in [384, 768] {
            for batch in BATCHES {
                measure::<bf16>(table, Kind::Bf16, hidden, batch);
                measure::<f32>(table, Kind::F32, hidden, batch);
            }
        }
    });
}
