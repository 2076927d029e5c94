//! `weighted_feature_sum_on_transformer_cat_and_numerical_feats`: `m = x + w_c ⊙ (W_c c) + w_n ⊙ (W_n n)`.

use super::columns::Columns;
use super::{TabularShape, fan_in, product};
use crate::parameters::{Declaration, MatrixId, VectorId};
use crate::pass::Pass;
use burn::Tensor;

#[derive(Debug, Clone)]
pub(super) struct WeightedSum {
    categorical: Option<Part>,
    numerical: Option<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    /// `W_i`
    projection: MatrixId,
    /// `w_i`
    scale: VectorId,
}

impl WeightedSum {
    pub(super) fn declare(shape: &TabularShape, declare: &mut Declaration) -> Self {
        let width = shape.text;
        let mut part = |name: &str, from: usize| {
            (from > 0).then(|| {
                declare.scope(name, |declare| Part {
                    projection: declare.matrix_from("projection.weight", [width, from], fan_in(from)),
                    scale: declare.factors("scale.weight", width),
                })
            })
        };
        Self {
            categorical: part("categorical", shape.categorical()),
            numerical: part("numerical", shape.numerical),
        }
    }

    pub(super) fn forward(&self, pass: &Pass, text: Tensor<2>, columns: Columns) -> Tensor<2> {
        let parts = [(self.categorical, columns.categorical), (self.numerical, columns.numerical)];
        let mut sum = text;
        for (part, x) in parts {
            let (Some(part), Some(x)) = (part, x) else { continue };
            sum = sum + product(pass, part.projection, x) * pass.vector(part.scale).unsqueeze();
        }
        sum
    }
}
