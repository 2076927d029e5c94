//! How to prepare, with nothing left open.

use super::blocks::Block;
use super::imputation::Imputation;
use super::scalers::ScalerKind;
use serde::{Deserialize, Serialize};

/// How categories become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CategoricalEncoding {
    /// A column a category.
    OneHot,
    /// A column of codes.
    Ordinal,
    /// The mean of the labels, learned for each training row from other rows.
    Target,
    /// A fixed number of columns that categories are hashed into.
    Hashing,
    /// A column of plain codes, of which a network learns embeddings.
    Embedding,
}

impl CategoricalEncoding {
    /// The encodings that any learner can take, with their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("one_hot", Self::OneHot),
        ("ordinal", Self::Ordinal),
        ("target", Self::Target),
        ("hashing", Self::Hashing),
    ];
}

/// How columns are prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreparationSettings {
    /// What fills missing numbers. Missing booleans become the most frequent value.
    pub imputation: Imputation,
    /// Whether columns with missing values get a column of flags.
    pub missing_flags: bool,
    /// The scalers of numbers, one after the other. Without any, vectors stay as they are too; else each of their
    /// columns gets mean 0 and variance 1.
    pub scalers: Vec<ScalerKind>,
    /// How categories become numbers.
    pub categorical_encoding: CategoricalEncoding,
    /// Categories in fewer training rows share one place; not for target encoding and hashing.
    pub min_category_count: u64,
    /// Places of a column's categories at most, that of rare ones included; as above.
    pub max_categories: usize,
    /// Columns that categories are hashed into.
    pub hashing_features: usize,
    /// Tags of a column that get a column each, at most.
    pub max_tags: usize,
    /// Vectors are turned onto so many principal components, in place of being scaled.
    pub pca_components: Option<usize>,
    /// Prepared columns whose variance in the training rows is not greater are dropped.
    pub variance_threshold: Option<f64>,
    /// Only so many prepared columns are kept, those with the greatest F statistic.
    pub select_k_best: Option<usize>,
    /// Whether each block is scaled to the same total variance.
    pub block_scaling: bool,
    /// The weight of each block in that.
    pub block_weights: Vec<(Block, f64)>,
}

impl Default for PreparationSettings {
    fn default() -> Self {
        Self {
            imputation: Imputation::Median,
            missing_flags: true,
            scalers: vec![ScalerKind::Standard],
            categorical_encoding: CategoricalEncoding::OneHot,
            min_category_count: 5,
            max_categories: 100,
            hashing_features: 64,
            max_tags: 50,
            pca_components: None,
            variance_threshold: None,
            select_k_best: None,
            block_scaling: true,
            block_weights: Vec::new(),
        }
    }
}
