//! `gating_on_cat_and_num_feats_then_sum`: `m = x + α h`, where `h = g_c ⊙ (W_c c) + g_n ⊙ (W_n n) + b_h`,
//! `g_i = relu(W_gi [i ∥ x] + b_i)` and `α = min(β ‖x‖ / ‖h‖, 1)`: the columns shift the text vector, by no more than a
//! share of its length (Rahman et al. 2020, "Integrating Multimodal Information in Large Pretrained Transformers").

use super::columns::Columns;
use super::{Dense, TabularShape, fan_in, product};
use crate::parameters::{Declaration, MatrixId, VectorId};
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::activation::relu;

/// Added to squared lengths, so that the gradient of a length of zero is zero and not undefined.
const SMALLEST_SQUARE: f64 = 1e-12;

#[derive(Debug, Clone)]
pub(super) struct Gating {
    categorical: Option<Gate>,
    numerical: Option<Gate>,
    /// `b_h`
    bias: VectorId,
    /// `β`
    beta: f32,
}

#[derive(Debug, Clone, Copy)]
struct Gate {
    /// `W_i`
    value: MatrixId,
    /// `W_gi` and `b_i`
    gate: Dense,
}

impl Gating {
    pub(super) fn declare(shape: &TabularShape, beta: f32, declare: &mut Declaration) -> Self {
        let width = shape.text;
        let mut gate = |name: &str, from: usize| {
            (from > 0).then(|| {
                declare.scope(name, |declare| Gate {
                    value: declare.matrix_from("value.weight", [width, from], fan_in(from)),
                    gate: Dense::declare("gate", [from + width, width], declare),
                })
            })
        };
        Self {
            categorical: gate("categorical", shape.categorical()),
            numerical: gate("numerical", shape.numerical),
            bias: declare.bias("shift.bias", width),
            beta,
        }
    }

    pub(super) fn forward(&self, pass: &Pass, text: Tensor<2>, columns: Columns) -> Tensor<2> {
        let parts = [(self.categorical, columns.categorical), (self.numerical, columns.numerical)];
        let mut shift = Tensor::zeros_like(&text) + pass.vector(self.bias).unsqueeze();
        for (gate, x) in parts {
            let (Some(gate), Some(x)) = (gate, x) else { continue };
            let open = relu(gate.gate.forward(pass, Tensor::cat(vec![x.clone(), text.clone()], 1)));
            shift = shift + open * product(pass, gate.value, x);
        }
        let share = (length(text.clone()) / length(shift.clone()) * self.beta).clamp_max(1.0);
        text + shift * share
    }
}

/// The Euclidean length of each row, `[B, 1]`.
fn length(rows: Tensor<2>) -> Tensor<2> {
    ((rows.clone() * rows).sum_dim(1) + SMALLEST_SQUARE).sqrt()
}
