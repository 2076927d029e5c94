//! Column scalers fitted on training rows, and unit-length rows.

use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features, SparseMatrix};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows summed by one task; partial sums are added in order, so statistics do not depend on the threads.
const CHUNK_ROWS: usize = 4096;

/// Which scaler to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Columns stay as they are.
    None,
    /// Mean 0 and variance 1; dense features only, because a shift would fill a sparse matrix.
    Standard,
    /// Divided by the largest absolute value, which keeps zeros.
    MaxAbs,
}

/// A scaler with what it learned from the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Scaler {
    /// Columns stay as they are.
    None,
    /// See [`StandardScaler`].
    Standard(StandardScaler),
    /// See [`MaxAbsScaler`].
    MaxAbs(MaxAbsScaler),
}

impl Scaler {
    /// Fits the asked scaler on training rows.
    pub fn fit(scaling: Scaling, training: &Features) -> Result<Self> {
        match (scaling, training) {
            (Scaling::None, _) => Ok(Self::None),
            (Scaling::Standard, Features::Dense(matrix)) => Ok(Self::Standard(StandardScaler::fit(matrix)?)),
            (Scaling::Standard, Features::Sparse(_)) => Err(Error::config(
                "scaling",
                "`standard` would turn sparse features into dense ones",
                "use `max_abs` or `none` for term weights",
            )),
            (Scaling::MaxAbs, features) => Ok(Self::MaxAbs(MaxAbsScaler::fit(features)?)),
        }
    }

    /// Scales features in place; an error if their columns are not those fitted.
    pub fn transform(&self, features: &mut Features) -> Result<()> {
        match (self, features) {
            (Self::None, _) => Ok(()),
            (Self::Standard(scaler), Features::Dense(matrix)) => scaler.transform(matrix),
            (Self::Standard(_), Features::Sparse(_)) => Err(Error::config(
                "scaling",
                "sparse features were given to a scaler that was fitted on dense ones",
                "give features of the kind the scaler was fitted on",
            )),
            (Self::MaxAbs(scaler), features) => scaler.transform(features),
        }
    }

    /// Which scaler this is.
    pub fn scaling(&self) -> Scaling {
        match self {
            Self::None => Scaling::None,
            Self::Standard(_) => Scaling::Standard,
            Self::MaxAbs(_) => Scaling::MaxAbs,
        }
    }
}

/// Shifts each column by its training mean and divides it by its training standard deviation.
///
/// Equals scikit-learn's `StandardScaler`: population variance, and scale 1 for a column that is constant up to
/// rounding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardScaler {
    /// The column means `[columns]`.
    pub mean: Vec<f64>,
    /// The column standard deviations `[columns]`, 1 where the column is constant.
    pub scale: Vec<f64>,
}

impl StandardScaler {
    /// Learns mean and scale from training rows; an error if there are none or a value is not finite.
    pub fn fit(training: &DenseMatrix) -> Result<Self> {
        let rows = training.rows() as f64;
        if training.rows() == 0 {
            return Err(no_rows());
        }
        let columns = training.columns();
        let mean: Vec<f64> = column_sums(training, columns, |sums, row| {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        })
        .iter()
        .map(|sum| sum / rows)
        .collect();
        // The second pass and its correction keep the variance exact for means far from zero:
        // Chan, Golub & LeVeque (1983), as in scikit-learn's `_incremental_mean_and_var`.
        let moments = column_sums(training, 2 * columns, |sums, row| {
            let (linear, squared) = sums.split_at_mut(columns);
            for (column, value) in row.iter().enumerate() {
                let difference = f64::from(*value) - mean[column];
                linear[column] += difference;
                squared[column] += difference * difference;
            }
        });
        if moments.iter().any(|moment| !moment.is_finite()) {
            return Err(not_finite());
        }
        let variance = |column: usize| {
            (moments[columns + column] - moments[column] * moments[column] / rows).max(0.0) / rows
        };
        let scale = (0..columns).map(|column| scale_of(variance(column), mean[column], rows)).collect();
        Ok(Self { mean, scale })
    }

    /// Scales rows in place; an error if their columns are not those fitted.
    pub fn transform(&self, matrix: &mut DenseMatrix) -> Result<()> {
        check_columns(self.mean.len(), matrix.columns())?;
        if self.mean.is_empty() {
            return Ok(());
        }
        matrix.values_mut().par_chunks_mut(self.mean.len()).with_min_len(256).for_each(|row| {
            for ((value, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *value = ((f64::from(*value) - mean) / scale) as f32;
            }
        });
        Ok(())
    }
}

/// The standard deviation, or 1 where, as in scikit-learn's `_is_constant_feature`, the variance is no larger than the rounding error of computing it.
pub(super) fn scale_of(variance: f64, mean: f64, rows: f64) -> f64 {
    let upper_bound = rows * f64::EPSILON * variance + (rows * mean * f64::EPSILON).powi(2);
    if variance <= upper_bound { 1.0 } else { variance.sqrt() }
}

fn column_sums(matrix: &DenseMatrix, sums: usize, add_row: impl Fn(&mut [f64], &[f32]) + Sync) -> Vec<f64> {
    let mut total = vec![0.0; sums];
    if matrix.columns() == 0 {
        return total;
    }
    let partial_sums: Vec<Vec<f64>> = matrix
        .values()
        .par_chunks(CHUNK_ROWS * matrix.columns())
        .map(|block| {
            let mut partial = vec![0.0; sums];
            block.chunks_exact(matrix.columns()).for_each(|row| add_row(&mut partial, row));
            partial
        })
        .collect();
    for partial in partial_sums {
        total.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
    total
}

/// Divides each column by its largest absolute training value; scikit-learn's `MaxAbsScaler`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaxAbsScaler {
    /// The largest absolute values `[columns]`, 1 where the column is zero throughout.
    pub scale: Vec<f64>,
}

impl MaxAbsScaler {
    /// Learns the scale from training rows; an error if there are none or a value is not finite.
    pub fn fit(training: &Features) -> Result<Self> {
        if training.rows() == 0 {
            return Err(no_rows());
        }
        training.check_finite()?;
        let mut largest = vec![0.0f32; training.columns()];
        for_each_value(training, |column, value| largest[column] = largest[column].max(value.abs()));
        let scale = largest.iter().map(|&value| if value == 0.0 { 1.0 } else { f64::from(value) });
        Ok(Self { scale: scale.collect() })
    }

    /// Scales features in place; an error if their columns are not those fitted.
    pub fn transform(&self, features: &mut Features) -> Result<()> {
        check_columns(self.scale.len(), features.columns())?;
        let scaled = |column: usize, value: f32| (f64::from(value) / self.scale[column]) as f32;
        match features {
            Features::Sparse(matrix) => matrix.map_values(|column, value| scaled(column as usize, value)),
            Features::Dense(matrix) => {
                let columns = matrix.columns();
                for (at, value) in matrix.values_mut().iter_mut().enumerate() {
                    *value = scaled(at % columns, *value);
                }
            }
        }
        Ok(())
    }
}

fn for_each_value(features: &Features, mut visit: impl FnMut(usize, f32)) {
    match features {
        Features::Dense(matrix) => {
            for (at, &value) in matrix.values().iter().enumerate() {
                visit(at % matrix.columns(), value);
            }
        }
        Features::Sparse(matrix) => {
            for row in 0..matrix.rows() {
                let (indices, values) = matrix.row(row);
                indices.iter().zip(values).for_each(|(&column, &value)| visit(column as usize, value));
            }
        }
    }
}

/// Divides every row by its Euclidean length; a zero row stays zero.
pub fn normalize_rows(features: &mut Features) {
    match features {
        Features::Dense(matrix) => normalize_dense(matrix),
        Features::Sparse(matrix) => normalize_sparse(matrix),
    }
}

fn normalize_dense(matrix: &mut DenseMatrix) {
    let columns = matrix.columns();
    if columns == 0 {
        return;
    }
    matrix.values_mut().par_chunks_mut(columns).with_min_len(256).for_each(|row| {
        let length = euclidean_length(row);
        if length != 0.0 {
            for value in row {
                *value /= length;
            }
        }
    });
}

fn normalize_sparse(matrix: &mut SparseMatrix) {
    let lengths: Vec<f32> = (0..matrix.rows()).map(|row| euclidean_length(matrix.row(row).1)).collect();
    matrix.divide_rows(&lengths);
}

fn euclidean_length(row: &[f32]) -> f32 {
    row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt() as f32
}

fn check_columns(expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let problem = format!("the scaler was fitted on {expected} columns, the features have {found}");
    Err(Error::config("features", problem, "give the columns that were used for fitting, in the same order"))
}

fn no_rows() -> Error {
    Error::config("features", "there are no training rows to fit a scaler on", "check filters and splits")
}

fn not_finite() -> Error {
    Error::config(
        "features",
        "a training value is not a finite number",
        "impute missing values before scaling, or leave the row out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_column_keeps_scale_one() {
        let values = (0..100).flat_map(|i| [0.1, i as f32]).collect();
        let mut matrix = DenseMatrix::new(100, 2, values).unwrap();
        let scaler = StandardScaler::fit(&matrix).unwrap();
        assert_eq!(scaler.scale[0], 1.0);
        scaler.transform(&mut matrix).unwrap();
        assert!(matrix.values().iter().step_by(2).all(|value| value.abs() < 1e-6));
        let variance: f32 =
            matrix.values().iter().skip(1).step_by(2).map(|value| value * value).sum::<f32>() / 100.0;
        assert!((variance - 1.0).abs() < 1e-5);
    }

    #[test]
    fn sparse_features_refuse_a_shift_but_take_a_scale() {
        let entries = [vec![(0, -4.0), (2, 1.0)], vec![(0, 2.0)]];
        let mut features = Features::Sparse(SparseMatrix::from_rows(3, &entries).unwrap());
        assert!(Scaler::fit(Scaling::Standard, &features).is_err());
        Scaler::fit(Scaling::MaxAbs, &features).unwrap().transform(&mut features).unwrap();
        let Features::Sparse(matrix) = &features else { unreachable!() };
        assert_eq!(matrix.row(0).1, [-1.0, 1.0]);
        assert_eq!(matrix.row(1).1, [0.5]);
    }

    #[test]
    fn normalized_rows_have_unit_length_and_zero_rows_stay() {
        let mut features = Features::Dense(DenseMatrix::new(2, 2, vec![3.0, 4.0, 0.0, 0.0]).unwrap());
        normalize_rows(&mut features);
        let Features::Dense(matrix) = &features else { unreachable!() };
        assert_eq!(matrix.values(), [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn other_columns_than_fitted_are_refused() {
        let scaler = StandardScaler::fit(&DenseMatrix::new(1, 2, vec![1.0, 2.0]).unwrap()).unwrap();
        assert!(scaler.transform(&mut DenseMatrix::new(1, 3, vec![0.0; 3]).unwrap()).is_err());
        assert!(StandardScaler::fit(&DenseMatrix::new(1, 1, vec![f32::NAN]).unwrap()).is_err());
    }

    #[test]
    fn a_scaler_survives_its_json() {
        let matrix = DenseMatrix::new(3, 1, vec![0.1, 0.7, 0.3]).unwrap();
        let scaler = Scaler::Standard(StandardScaler::fit(&matrix).unwrap());
        let json = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<Scaler>(&json).unwrap(), scaler);
    }
}
