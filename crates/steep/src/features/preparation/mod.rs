//! How do raw columns, vectors and engineered columns become the features of a learner?
//!
//! [`Preparation::fit`] learns from training rows only; [`Preparation::transform`] does the same to any others, some
//! rows at a time. One file a transform, each equal to scikit-learn's of that name (`goldens/preparation.py`).
//!
//! The order: engineered columns are computed; missing numbers are filled and flagged; numbers are scaled; categories
//! and tags become numbers; columns are selected; then each block (vectors, columns, engineered) is scaled to the same
//! total variance, so that six columns do not vanish beside 384 dimensions.

mod affine;
mod arrays;
mod blocks;
mod categories;
mod encoding;
mod fitted;
mod hashing;
mod imputation;
mod layout;
mod normal;
mod numbers;
mod one_hot;
mod ordinal;
mod own_columns;
mod pca;
mod quantile;
mod scalers;
mod selection;
mod settings;
mod tags;
mod target;
mod vectors;
mod yeo_johnson;

pub use blocks::Block;
pub use fitted::{PREPARATION_FILE, PREPARATION_TENSORS, Preparation, PreparationInputs, RawRows};
pub use imputation::Imputation;
pub use layout::PreparedLayout;
pub use scalers::ScalerKind;
pub use settings::{CategoricalEncoding, PreparationSettings};
pub use target::{Target, Targets};

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
