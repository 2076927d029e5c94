//! How do text and the columns beside it come together in one network?
//!
//! The text is a vector `x` for each row, the columns are numbers `n` and categories `c`: learned embeddings and
//! indicators, one beside the other. A [`CombineMethod`] makes one vector of the three, and a linear layer over it gives
//! the outputs. The methods are those of Gu and Budhkar 2021 ("A Package for Learning on Tabular and Text Data with
//! Transformers"), under their names; each has its formula in the file that computes it. Everything here is f32,
//! whatever the precision of the encoder: the columns are few, and rounding them would cost more than it gains.

mod attention;
mod columns;
mod concat;
mod gating;
mod mlp;
mod weighted_sum;

pub use columns::{RowColumns, embedding_size};

use crate::ops;
use crate::ops::block::Precision;
use crate::parameters::{Declaration, Initializer, MatrixId, VectorId};
use crate::pass::Pass;
use attention::Attention;
use burn::Tensor;
use columns::Columns;
use concat::Concat;
use gating::Gating;
use serde::{Deserialize, Serialize};
use weighted_sum::WeightedSum;

/// Names of all parameters of the head begin with this and a point.
pub(crate) const SCOPE: &str = "tabular";

/// How text, categories and numbers become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombineMethod {
    /// `x`; the columns are not used.
    TextOnly,
    /// `x ∥ c ∥ n`
    Concat,
    /// `x ∥ MLP(c) ∥ n`
    MlpOnCategoricalThenConcat,
    /// `x ∥ MLP(c) ∥ MLP(n)`
    IndividualMlpsOnCatAndNumericalFeatsThenConcat,
    /// `x ∥ MLP(c ∥ n)`
    MlpOnConcatenatedCatAndNumericalFeatsThenConcat,
    /// Attention of the text over the three.
    AttentionOnCatAndNumericalFeats,
    /// The columns shift the text vector, as far as gates let them.
    GatingOnCatAndNumFeatsThenSum,
    /// A weight for each dimension of the projected columns, added to the text.
    WeightedFeatureSumOnTransformerCatAndNumericalFeats,
}

impl CombineMethod {
    /// All methods with their names.
    pub const ALL: [(&'static str, Self); 8] = [
        ("text_only", Self::TextOnly),
        ("concat", Self::Concat),
        ("mlp_on_categorical_then_concat", Self::MlpOnCategoricalThenConcat),
        (
            "individual_mlps_on_cat_and_numerical_feats_then_concat",
            Self::IndividualMlpsOnCatAndNumericalFeatsThenConcat,
        ),
        (
            "mlp_on_concatenated_cat_and_numerical_feats_then_concat",
            Self::MlpOnConcatenatedCatAndNumericalFeatsThenConcat,
        ),
        ("attention_on_cat_and_numerical_feats", Self::AttentionOnCatAndNumericalFeats),
        ("gating_on_cat_and_num_feats_then_sum", Self::GatingOnCatAndNumFeatsThenSum),
        (
            "weighted_feature_sum_on_transformer_cat_and_numerical_feats",
            Self::WeightedFeatureSumOnTransformerCatAndNumericalFeats,
        ),
    ];
}

/// What can be chosen of the head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TabularSettings {
    /// How the parts come together.
    pub combine_feat_method: CombineMethod,
    /// Width of the hidden and of the output layer of each MLP.
    pub mlp_hidden_size: usize,
    /// Dropout within the MLPs and before the outputs.
    pub dropout: f32,
    /// The columns may shift the text by this share of its length at most; of the gating method only.
    pub gating_beta: f32,
}

/// How wide the parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabularShape {
    /// Dimensions of the text vector.
    pub text: usize,
    /// Columns of numbers.
    pub numerical: usize,
    /// Columns that say 0 or 1 for a category or tag.
    pub indicators: usize,
    /// For each column of codes, how many categories it has; the code of an unseen one is this number.
    pub categories: Vec<usize>,
    /// Outputs.
    pub outputs: usize,
}

impl TabularShape {
    /// Values of one row: numbers, indicators, codes.
    pub fn row_width(&self) -> usize {
        self.numerical + self.indicators + self.categories.len()
    }

    /// Dimensions of all categorical parts together.
    fn categorical(&self) -> usize {
        self.indicators + self.categories.iter().map(|&count| embedding_size(count)).sum::<usize>()
    }
}

/// The head over text and columns; its parameters are in the model's list under `tabular.`.
#[derive(Debug, Clone)]
pub struct TabularHead {
    shape: TabularShape,
    dropout: f32,
    /// A table for each column of codes; its last row is that of unseen categories.
    embeddings: Vec<MatrixId>,
    combination: Combination,
    classifier: Dense,
}

#[derive(Debug, Clone)]
enum Combination {
    TextOnly,
    Concat(Concat),
    Attention(Attention),
    Gating(Gating),
    WeightedSum(WeightedSum),
}

impl TabularHead {
    /// Declares the parameters, of those only that the method uses.
    pub(crate) fn declare(
        shape: &TabularShape,
        settings: &TabularSettings,
        declare: &mut Declaration,
    ) -> Self {
        use CombineMethod as By;
        let method = settings.combine_feat_method;
        declare.scope(SCOPE, |declare| {
            let tables = if method == By::TextOnly { &[][..] } else { &shape.categories };
            let table = |(at, &count): (usize, &usize)| {
                let begin = Initializer::Normal(1.0 / (embedding_size(count) as f32).sqrt());
                declare.matrix_from(
                    &format!("embeddings.{at}.weight"),
                    [count + 1, embedding_size(count)],
                    begin,
                )
            };
            let embeddings = tables.iter().enumerate().map(table).collect();
            let (combination, width) = match method {
                By::TextOnly => (Combination::TextOnly, shape.text),
                By::AttentionOnCatAndNumericalFeats => {
                    (Combination::Attention(Attention::declare(shape, declare)), shape.text)
                }
                By::GatingOnCatAndNumFeatsThenSum => {
                    (Combination::Gating(Gating::declare(shape, settings.gating_beta, declare)), shape.text)
                }
                By::WeightedFeatureSumOnTransformerCatAndNumericalFeats => {
                    (Combination::WeightedSum(WeightedSum::declare(shape, declare)), shape.text)
                }
                _ => {
                    let (concat, width) = Concat::declare(shape, settings, declare);
                    (Combination::Concat(concat), width)
                }
            };
            let classifier = Dense::declare("classifier", [width, shape.outputs], declare);
            Self { shape: shape.clone(), dropout: settings.dropout, embeddings, combination, classifier }
        })
    }

    /// How wide the parts are.
    pub fn shape(&self) -> &TabularShape {
        &self.shape
    }

    /// The tables of categories, whose last row begins as zero: an unseen category then says nothing.
    pub(crate) fn embeddings(&self) -> &[MatrixId] {
        &self.embeddings
    }

    /// # Shapes
    /// - `text`: `[B, text]`
    /// - output: `[B, outputs]`
    pub fn forward(&self, pass: &Pass, text: Tensor<2>, rows: &RowColumns<'_>) -> Tensor<2> {
        let combined = ops::dropout(self.combine(pass, text, rows), pass.dropout(self.dropout));
        self.classifier.forward(pass, combined)
    }

    fn combine(&self, pass: &Pass, text: Tensor<2>, rows: &RowColumns<'_>) -> Tensor<2> {
        let text = rows.keep_text(text);
        if matches!(self.combination, Combination::TextOnly) {
            return text;
        }
        let columns = Columns::of(pass, &self.shape, &self.embeddings, rows, &text.device());
        match &self.combination {
            Combination::TextOnly => text,
            Combination::Concat(concat) => concat.forward(pass, text, columns),
            Combination::Attention(attention) => attention.forward(pass, text, columns),
            Combination::Gating(gating) => gating.forward(pass, text, columns),
            Combination::WeightedSum(sum) => sum.forward(pass, text, columns),
        }
    }
}

/// `x Wᵀ + b` in f32.
#[derive(Debug, Clone, Copy)]
struct Dense {
    weight: MatrixId,
    bias: VectorId,
}

impl Dense {
    /// `name.weight` and `name.bias`.
    fn declare(name: &str, [from, to]: [usize; 2], declare: &mut Declaration) -> Self {
        Self {
            weight: declare.matrix_from(&format!("{name}.weight"), [to, from], fan_in(from)),
            bias: declare.bias(&format!("{name}.bias"), to),
        }
    }

    fn forward(self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, pass.matrix(self.weight), pass.vector(self.bias), Precision::F32)
    }
}

/// `x Wᵀ` in f32.
fn product(pass: &Pass, weight: MatrixId, x: Tensor<2>) -> Tensor<2> {
    let weight = pass.matrix(weight);
    let zeros = Tensor::<1>::zeros([weight.dims()[0]], &x.device());
    ops::linear(x, weight, zeros, Precision::F32)
}

/// The start of a matrix whose input has `fan_in` values, such that its output has the input's scale.
fn fan_in(fan_in: usize) -> Initializer {
    Initializer::Normal(1.0 / (fan_in.max(1) as f32).sqrt())
}
