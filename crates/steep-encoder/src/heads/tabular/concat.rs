//! The methods that put the parts side by side: `concat` and those with an MLP before it.

use super::columns::Columns;
use super::mlp::Mlp;
use super::{CombineMethod, TabularSettings, TabularShape};
use crate::parameters::Declaration;
use crate::pass::Pass;
use burn::Tensor;

/// `x ∥ c ∥ n`, with MLPs over `c`, over `n`, or over `c ∥ n`. A part that is absent is left out.
#[derive(Debug, Clone)]
pub(super) struct Concat {
    categorical: Option<Mlp>,
    numerical: Option<Mlp>,
    both: Option<Mlp>,
}

impl Concat {
    /// The layers, and the width of what they give.
    pub(super) fn declare(
        shape: &TabularShape,
        settings: &TabularSettings,
        declare: &mut Declaration,
    ) -> (Self, usize) {
        use CombineMethod as By;
        let (categorical, numerical) = (shape.categorical(), shape.numerical);
        let mut mlp = |name: &str, width: usize, wanted: bool| {
            let make = || Mlp::declare(name, width, settings.mlp_hidden_size, settings.dropout, declare);
            (wanted && width > 0).then(make)
        };
        let method = settings.combine_feat_method;
        let individual = method == By::IndividualMlpsOnCatAndNumericalFeatsThenConcat;
        let on_categorical = individual || method == By::MlpOnCategoricalThenConcat;
        let together = method == By::MlpOnConcatenatedCatAndNumericalFeatsThenConcat;
        let layers = Self {
            categorical: mlp("categorical_mlp", categorical, on_categorical),
            numerical: mlp("numerical_mlp", numerical, individual),
            both: mlp("mlp", categorical + numerical, together),
        };
        let width = |mlp: &Option<Mlp>, plain: usize| mlp.map_or(plain, |_| settings.mlp_hidden_size);
        let columns = match &layers.both {
            Some(_) => settings.mlp_hidden_size,
            None => width(&layers.categorical, categorical) + width(&layers.numerical, numerical),
        };
        (layers, shape.text + columns)
    }

    pub(super) fn forward(&self, pass: &Pass, text: Tensor<2>, columns: Columns) -> Tensor<2> {
        let through = |mlp: &Option<Mlp>, x: Tensor<2>| match mlp {
            Some(mlp) => mlp.forward(pass, x),
            None => x,
        };
        let mut parts = vec![text];
        match &self.both {
            Some(mlp) => {
                let both: Vec<Tensor<2>> = columns.categorical.into_iter().chain(columns.numerical).collect();
                parts.push(mlp.forward(pass, Tensor::cat(both, 1)));
            }
            None => {
                parts.extend(columns.categorical.map(|c| through(&self.categorical, c)));
                parts.extend(columns.numerical.map(|n| through(&self.numerical, n)));
            }
        }
        Tensor::cat(parts, 1)
    }
}
