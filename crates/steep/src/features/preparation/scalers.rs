//! The scalers of numbers, one after the other.

use super::affine::Affine;
use super::arrays::Visit;
use super::quantile::QuantileNormal;
use super::yeo_johnson::YeoJohnson;
use serde::{Deserialize, Serialize};

/// How numbers are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalerKind {
    /// Mean 0 and variance 1.
    Standard,
    /// Median 0 and interquartile range 1.
    Robust,
    /// Training values from 0 to 1.
    MinMax,
    /// A normal distribution, by quantiles.
    QuantileNormal,
    /// The power that makes the distribution most normal, then mean 0 and variance 1.
    YeoJohnson,
    /// The logarithm of 1 plus the value; of a negative value that of its absolute value, negated.
    Log1p,
}

impl ScalerKind {
    /// All scalers with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("standard", Self::Standard),
        ("robust", Self::Robust),
        ("min_max", Self::MinMax),
        ("quantile_normal", Self::QuantileNormal),
        ("yeo_johnson", Self::YeoJohnson),
        ("log1p", Self::Log1p),
    ];
}

/// A scaler with what it learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum ColumnScaler {
    Standard(Affine),
    Robust(Affine),
    MinMax(Affine),
    QuantileNormal(QuantileNormal),
    YeoJohnson(YeoJohnson),
    Log1p,
}

impl ColumnScaler {
    /// Learns from training columns without missing values.
    pub(super) fn fit(kind: ScalerKind, training: &[Vec<f64>]) -> Self {
        match kind {
            ScalerKind::Standard => Self::Standard(Affine::standard(training)),
            ScalerKind::Robust => Self::Robust(Affine::robust(training)),
            ScalerKind::MinMax => Self::MinMax(Affine::min_max(training)),
            ScalerKind::QuantileNormal => Self::QuantileNormal(QuantileNormal::fit(training)),
            ScalerKind::YeoJohnson => Self::YeoJohnson(YeoJohnson::fit(training)),
            ScalerKind::Log1p => Self::Log1p,
        }
    }

    /// Scales values of one column in place.
    pub(super) fn apply(&self, column: usize, values: &mut [f64]) {
        match self {
            Self::Standard(scaler) | Self::Robust(scaler) | Self::MinMax(scaler) => {
                scaler.apply(column, values);
            }
            Self::QuantileNormal(scaler) => scaler.apply(column, values),
            Self::YeoJohnson(scaler) => scaler.apply(column, values),
            Self::Log1p => {
                values.iter_mut().for_each(|value| *value = value.abs().ln_1p().copysign(*value));
            }
        }
    }

    /// Whether what was read is of so many columns.
    pub(super) fn is_whole(&self, columns: usize) -> bool {
        match self {
            Self::Standard(scaler) | Self::Robust(scaler) | Self::MinMax(scaler) => scaler.is_whole(columns),
            Self::QuantileNormal(scaler) => scaler.is_whole(columns),
            Self::YeoJohnson(scaler) => scaler.is_whole(columns),
            Self::Log1p => true,
        }
    }

    pub(super) fn visit(&mut self, name: &str, visit: &mut Visit<'_>) {
        if let Self::QuantileNormal(scaler) = self {
            visit(&format!("{name}.quantiles"), &mut scaler.quantiles);
        }
    }
}
