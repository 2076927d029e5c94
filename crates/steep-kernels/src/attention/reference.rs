//! Attention and its gradients by their definition, in f64, for the tests.

use super::{AttentionShape, Visibility};
use crate::dropout::Dropout;

/// Query, key, value and position bias, or their gradients.
pub(super) type Inputs<T> = [Vec<T>; 4];

/// An attention over contiguous matrices.
pub(super) struct Reference<'a> {
    pub(super) shape: AttentionShape<'a>,
    pub(super) scale: f64,
    pub(super) dropout: Dropout,
    pub(super) max_distance: Option<usize>,
}

pub(super) struct Results {
    pub(super) context: Vec<f64>,
    pub(super) log_sum_exp: Vec<f64>,
    pub(super) gradients: Inputs<f64>,
}

/// One query in one head.
struct Row {
    head: usize,
    /// Position within its sequence, and in the batch.
    query: usize,
    token: usize,
    /// First key of its sequence, and how many.
    key: usize,
    keys: usize,
    /// First query of its sequence.
    start: usize,
}

impl Reference<'_> {
    pub(super) fn results(&self, inputs: &Inputs<f64>, dcontext: &[f64]) -> Results {
        let heads = inputs[0].len() / self.shape.head_dim;
        let mut results = Results {
            context: vec![0.0; inputs[0].len()],
            log_sum_exp: vec![f64::NEG_INFINITY; heads],
            gradients: inputs.clone().map(|values| vec![0.0; values.len()]),
        };
        let keys = self.shape.key_offsets.unwrap_or(self.shape.offsets);
        for (queries, keys) in self.shape.offsets.windows(2).zip(keys.windows(2)) {
            for token in queries[0]..queries[1] {
                for head in 0..self.shape.num_heads {
                    let row = Row {
                        head,
                        query: (token - queries[0]) as usize,
                        token: token as usize,
                        key: keys[0] as usize,
                        keys: (keys[1] - keys[0]) as usize,
                        start: queries[0] as usize,
                    };
                    self.row(inputs, dcontext, &row, &mut results);
                }
            }
        }
        results
    }

    fn row(
        &self,
        [query, key, value, bias]: &Inputs<f64>,
        dcontext: &[f64],
        row: &Row,
        results: &mut Results,
    ) {
        let AttentionShape { num_heads, head_dim, .. } = self.shape;
        let at = |token: usize| (token * num_heads + row.head) * head_dim;
        let column = |j: usize| self.max_distance.map(|m| row.head * (2 * m + 1) + m + j - row.query);
        let product = |a: &[f64], i: usize, b: &[f64], j: usize| -> f64 {
            (0..head_dim).map(|f| a[at(i) + f] * b[at(j) + f]).sum()
        };
        let visible: Vec<usize> =
            (0..row.keys).filter(|j| sees(self.shape.visibility, row.query, *j)).collect();
        let scores: Vec<f64> = visible
            .iter()
            .map(|j| {
                self.scale * product(query, row.token, key, row.key + j) + column(*j).map_or(0.0, |c| bias[c])
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        results.log_sum_exp[row.token * num_heads + row.head] = largest + total.ln();
        let probabilities: Vec<f64> = scores.iter().map(|score| (score - largest).exp() / total).collect();
        let high = (row.start * num_heads + row.head) as u64;
        let keep =
            |j: usize| f64::from(self.dropout.keep_scale((high << 32) + (row.query * row.keys + j) as u64));
        let dprobabilities: Vec<f64> =
            visible.iter().map(|j| keep(*j) * product(dcontext, row.token, value, row.key + j)).collect();
        let dot: f64 = probabilities.iter().zip(&dprobabilities).map(|(p, dp)| p * dp).sum();
        for ((j, p), dp) in visible.iter().zip(&probabilities).zip(&dprobabilities) {
            let (own, other) = (at(row.token), at(row.key + j));
            let dscore = p * (dp - dot);
            for f in 0..head_dim {
                results.context[own + f] += p * keep(*j) * value[other + f];
                results.gradients[0][own + f] += self.scale * dscore * key[other + f];
                results.gradients[1][other + f] += self.scale * dscore * query[own + f];
                results.gradients[2][other + f] += p * keep(*j) * dcontext[own + f];
            }
            if let Some(column) = column(*j) {
                results.gradients[3][column] += dscore;
            }
        }
    }
}

fn sees(visibility: Visibility, query: usize, key: usize) -> bool {
    match visibility {
        Visibility::Bidirectional => true,
        Visibility::Causal => key <= query,
        Visibility::SlidingWindow { reach } => key <= query + reach && query <= key + reach,
    }
}
