//! `attention_on_cat_and_numerical_feats`: `m = α_x W_x x + α_c W_c c + α_n W_n n`, where
//! `α_i ∝ exp(LeakyReLU(aᵀ [W_x x ∥ W_i i]))` over the parts that are there, as in graph attention (Veličković et al.
//! 2018). The slope below zero is 0.2, theirs.

use super::columns::Columns;
use super::{TabularShape, fan_in, product};
use crate::parameters::{Declaration, MatrixId};
use crate::pass::Pass;
use burn::Tensor;
use burn::tensor::activation::{leaky_relu, softmax};

const SLOPE: f64 = 0.2;

#[derive(Debug, Clone)]
pub(super) struct Attention {
    /// `W_x`
    text: MatrixId,
    /// `W_c`
    categorical: Option<MatrixId>,
    /// `W_n`
    numerical: Option<MatrixId>,
    /// `aᵀ`, `[1, 2 · text]`
    scores: MatrixId,
}

impl Attention {
    pub(super) fn declare(shape: &TabularShape, declare: &mut Declaration) -> Self {
        let width = shape.text;
        let mut projection = |name: &str, from: usize| {
            (from > 0).then(|| declare.matrix_from(&format!("{name}.weight"), [width, from], fan_in(from)))
        };
        Self {
            text: projection("text", width).expect("the text has dimensions"),
            categorical: projection("categorical", shape.categorical()),
            numerical: projection("numerical", shape.numerical),
            scores: declare.matrix_from("attention.weight", [1, 2 * width], fan_in(2 * width)),
        }
    }

    pub(super) fn forward(&self, pass: &Pass, text: Tensor<2>, columns: Columns) -> Tensor<2> {
        let text = product(pass, self.text, text);
        let others = [(self.categorical, columns.categorical), (self.numerical, columns.numerical)];
        let projected = others.into_iter().filter_map(|(weight, x)| Some(product(pass, weight?, x?)));
        let parts: Vec<Tensor<2>> = std::iter::once(text.clone()).chain(projected).collect();
        let score = |part: &Tensor<2>| {
            leaky_relu(product(pass, self.scores, Tensor::cat(vec![text.clone(), part.clone()], 1)), SLOPE)
        };
        let shares = softmax(Tensor::cat(parts.iter().map(score).collect(), 1), 1);
        let weighted = parts.into_iter().enumerate().map(|(at, part)| part * shares.clone().narrow(1, at, 1));
        weighted.reduce(|sum, part| sum + part).expect("the text is one of the parts")
    }
}
