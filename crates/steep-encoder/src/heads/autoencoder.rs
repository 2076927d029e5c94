//! The head of TSDAE (Wang et al. 2021): a small decoder that writes a text again from its vector alone, so that the
//! vector must hold what the text says.

use crate::batch::PackedBatch;
use crate::config::Config;
use crate::heads::{TokenHead, TokenTransform};
use crate::layers::{AttentionHeads, Linear, Norm};
use crate::ops::{self, Activation, Visibility};
use crate::parameters::{Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::TensorData;
use std::sync::Arc;

/// One layer that listens to the words before and to the text's vector, with the encoder's own words at either end.
///
/// Cross-attention has one key, the vector. The softmax over one key is 1, whatever query and key are, so that of the
/// four projections only value and output are left.
#[derive(Debug, Clone)]
pub struct AutoencoderHead {
    word: MatrixId,
    input: Linear,
    input_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    vector_value: Linear,
    vector_output: Linear,
    vector_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
    token_head: TokenHead,
    heads: AttentionHeads,
    dropout: f32,
}

/// Of the decoder's LayerNorms.
const EPSILON: f32 = 1e-5;

/// Dropout of the decoder; the encoder keeps its own.
const DROPOUT: f32 = 0.1;

/// Width of a head of the decoder, where it divides the hidden size.
const HEAD_DIM: usize = 64;

impl AutoencoderHead {
    pub(crate) fn declare(config: &Config, word: MatrixId, declare: &mut Declaration) -> Self {
        let (hidden, width) = (config.hidden_size, config.embedding_size);
        let (square, inner) = ([hidden, hidden], 4 * hidden);
        let head_dim = if hidden.is_multiple_of(HEAD_DIM) { HEAD_DIM } else { hidden };
        declare.scope("autoencoder", |declare| Self {
            word,
            input: declare.linear("input", [width, hidden]),
            input_norm: declare.norm("input_norm", hidden, EPSILON),
            query: declare.linear("self_attention.query", square),
            key: declare.linear("self_attention.key", square),
            value: declare.linear("self_attention.value", square),
            attention_output: declare.linear("self_attention.output", square),
            attention_norm: declare.norm("self_attention.norm", hidden, EPSILON),
            vector_value: declare.linear("cross_attention.value", square),
            vector_output: declare.linear("cross_attention.output", square),
            vector_norm: declare.norm("cross_attention.norm", hidden, EPSILON),
            intermediate: declare.linear("intermediate", [hidden, inner]),
            output: declare.linear("output", [inner, hidden]),
            output_norm: declare.norm("output_norm", hidden, EPSILON),
            token_head: TokenHead {
                transform: Some(TokenTransform {
                    dense: declare.linear("prediction.dense", [hidden, width]),
                    activation: Activation::Gelu,
                    norm: declare.norm("prediction.norm", width, EPSILON),
                }),
                decoder: word,
                bias: Some(declare.bias("prediction.bias", config.vocab_size)),
            },
            heads: AttentionHeads::scaled(hidden / head_dim, head_dim, DROPOUT),
            dropout: DROPOUT,
        })
    }

    /// Cross-entropy of each token after the first of each sequence, given those before it and the sequence's vector.
    ///
    /// # Shapes
    /// - `vectors`: `[B, H]`
    /// - `batch`: B sequences, whole
    /// - output: `[T - B]`, of sequences that are not empty
    pub fn losses(&self, pass: &Pass, vectors: Tensor<2>, batch: &PackedBatch) -> Tensor<1> {
        let (rows, labels) = batch.next_tokens();
        let states = self.states(pass, vectors, batch);
        self.token_head.losses(pass, ops::embedding(states, rows), labels)
    }

    fn states(&self, pass: &Pass, vectors: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let x = self.words(pass, batch);
        let parts = [self.query, self.key, self.value].map(|part| part.forward(pass, x.clone()));
        let context = self.heads.attend(pass, batch, parts, None, Visibility::Causal);
        let heard = self.attention_output.forward(pass, context);
        let x = self.attention_norm.forward_sum(pass, heard, x, pass.dropout(self.dropout));

        let told = self.vector_output.forward(pass, self.vector_value.forward(pass, vectors));
        let told = ops::embedding(told, sequence_of_token(batch));
        let x = self.vector_norm.forward_sum(pass, told, x, pass.dropout(self.dropout));

        let inner = self.intermediate.forward_activation(pass, x.clone(), Activation::Gelu);
        let output = self.output.forward(pass, inner);
        self.output_norm.forward_sum(pass, output, x, pass.dropout(self.dropout))
    }

    /// The words, normalised, and their places as sines and cosines (Vaswani et al. 2017).
    fn words(&self, pass: &Pass, batch: &PackedBatch) -> Tensor<2> {
        let words = pass.lookup(self.word, batch.input_ids.clone());
        let normal = self.input_norm.forward(pass, self.input.forward(pass, words));
        let width = normal.dims()[1];
        let places = batch.position_ids(0);
        let values: Vec<f32> = places.iter().flat_map(|&place| sinusoids(place, width)).collect();
        let places = Tensor::from_data(TensorData::new(values, [places.len(), width]), &pass.device());
        ops::dropout(normal + places, pass.dropout(self.dropout))
    }
}

fn sinusoids(place: u32, width: usize) -> impl Iterator<Item = f32> {
    (0..width).map(move |index| {
        let angle = place as f32 / 10_000_f32.powf((index / 2 * 2) as f32 / width as f32);
        if index.is_multiple_of(2) { angle.sin() } else { angle.cos() }
    })
}

/// The number of the sequence that each token belongs to.
fn sequence_of_token(batch: &PackedBatch) -> Arc<[u32]> {
    let spans = batch.offsets.windows(2).enumerate();
    spans.flat_map(|(sequence, pair)| (pair[0]..pair[1]).map(move |_| sequence as u32)).collect()
}
