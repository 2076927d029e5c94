//! Feature rows, dense or sparse, and the two products a linear learner is made of.
//!
//! Both products split their work into chunks that depend on the shape only, and add partial results in chunk
//! order, so the result is the same for any number of threads.

use crate::error::{Error, Result};
use rayon::prelude::*;
use std::sync::OnceLock;
use steep_kernels::small_product::{Order, matrix_product};

/// Rows handled by one task of a product.
const CHUNK_ROWS: usize = 2048;
/// At most so many partial sums are held at once by a dense transposed product.
const MAX_PARTIAL_SUMS: usize = 32;

/// A dense matrix of 32-bit floats, row after row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DenseMatrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl DenseMatrix {
    /// Wraps `values`, `[rows, columns]` row-major; an error if their number is not `rows * columns`.
    pub fn new(rows: usize, columns: usize, values: Vec<f32>) -> Result<Self> {
        if rows.checked_mul(columns) != Some(values.len()) {
            let problem = format!("{} values cannot fill {rows} rows of {columns} columns", values.len());
            return Err(features_error(problem, "give one value for each row and column"));
        }
        Ok(Self { rows, columns, values })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, row-major, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// All values, row-major, without copying them.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// A copy of the given rows, in the given order.
    pub(crate) fn select_rows(&self, rows: &[u32]) -> Self {
        let mut values = Vec::with_capacity(rows.len() * self.columns);
        for &row in rows {
            values.extend_from_slice(self.row(row as usize));
        }
        Self { rows: rows.len(), columns: self.columns, values }
    }
}

/// A sparse matrix in compressed rows: row `i` holds `indices[offsets[i]..offsets[i + 1]]`, ascending.
#[derive(Debug, Clone, Default)]
pub struct SparseMatrix {
    rows: usize,
    columns: usize,
    offsets: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
    by_column: OnceLock<CompressedColumns>,
}

/// The same entries by column, made on the first transposed product and kept.
#[derive(Debug, Clone)]
struct CompressedColumns {
    offsets: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f32>,
}

impl SparseMatrix {
    /// Builds the matrix from its rows' entries `(column, value)`.
    ///
    /// Columns within a row must ascend and be below `columns`.
    pub fn from_rows(columns: usize, entries: &[Vec<(u32, f32)>]) -> Result<Self> {
        let count = entries.iter().map(Vec::len).sum();
        let mut offsets = Vec::with_capacity(entries.len() + 1);
        let (mut indices, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        offsets.push(0);
        for (row, row_entries) in entries.iter().enumerate() {
            check_row(row, row_entries, columns)?;
            indices.extend(row_entries.iter().map(|entry| entry.0));
            values.extend(row_entries.iter().map(|entry| entry.1));
            offsets.push(indices.len());
        }
        Ok(Self { rows: entries.len(), columns, offsets, indices, values, by_column: OnceLock::new() })
    }

    /// Puts matrices with equally many rows side by side.
    pub fn beside(parts: &[Self]) -> Result<Self> {
        let rows = parts.first().map_or(0, |part| part.rows);
        if parts.iter().any(|part| part.rows != rows) {
            let problem = "blocks with different numbers of rows cannot be put side by side";
            return Err(features_error(problem, "compute all blocks from the same rows"));
        }
        let mut entries = vec![Vec::new(); rows];
        let mut first_column = 0;
        for part in parts {
            for (row, row_entries) in entries.iter_mut().enumerate() {
                let (indices, values) = part.row(row);
                let shifted = indices.iter().map(|&column| column + first_column as u32);
                row_entries.extend(shifted.zip(values.iter().copied()));
            }
            first_column += part.columns;
        }
        Self::from_rows(first_column, &entries)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of stored entries.
    pub fn stored(&self) -> usize {
        self.values.len()
    }

    /// One row's column indices and values.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let span = self.offsets[row]..self.offsets[row + 1];
        (&self.indices[span.clone()], &self.values[span])
    }

    /// Replaces every stored value by `change(column, value)`.
    pub fn map_values(&mut self, change: impl Fn(u32, f32) -> f32) {
        self.by_column = OnceLock::new();
        for (value, &column) in self.values.iter_mut().zip(&self.indices) {
            *value = change(column, *value);
        }
    }

    /// Divides every row by its factor; rows with factor 0 are left as they are.
    pub(crate) fn divide_rows(&mut self, divisors: &[f32]) {
        self.by_column = OnceLock::new();
        for (row, &divisor) in divisors.iter().enumerate().filter(|(_, divisor)| **divisor != 0.0) {
            let span = self.offsets[row]..self.offsets[row + 1];
            self.values[span].iter_mut().for_each(|value| *value /= divisor);
        }
    }

    fn select_rows(&self, rows: &[u32]) -> Self {
        let mut selected =
            Self { rows: rows.len(), columns: self.columns, offsets: vec![0], ..Self::default() };
        for &row in rows {
            let (indices, values) = self.row(row as usize);
            selected.indices.extend_from_slice(indices);
            selected.values.extend_from_slice(values);
            selected.offsets.push(selected.indices.len());
        }
        selected
    }

    fn by_column(&self) -> &CompressedColumns {
        self.by_column.get_or_init(|| {
            let mut offsets = vec![0; self.columns + 1];
            for &column in &self.indices {
                offsets[column as usize + 1] += 1;
            }
            for column in 0..self.columns {
                offsets[column + 1] += offsets[column];
            }
            let mut next = offsets.clone();
            let (mut rows, mut values) = (vec![0; self.stored()], vec![0.0; self.stored()]);
            for row in 0..self.rows {
                let (row_indices, row_values) = self.row(row);
                for (&column, &value) in row_indices.iter().zip(row_values) {
                    let at = next[column as usize];
                    (rows[at], values[at]) = (row as u32, value);
                    next[column as usize] += 1;
                }
            }
            CompressedColumns { offsets, rows, values }
        })
    }
}

fn check_row(row: usize, entries: &[(u32, f32)], columns: usize) -> Result<()> {
    let ascending = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if ascending && entries.last().is_none_or(|last| (last.0 as usize) < columns) {
        return Ok(());
    }
    let problem = format!("the columns of row {} do not ascend below {columns}", row + 1);
    Err(features_error(problem, "sort each row's entries by column and name no column twice"))
}

/// What learners are fitted on.
#[derive(Debug, Clone)]
pub enum Features {
    /// Embeddings and engineered columns.
    Dense(DenseMatrix),
    /// Term weights.
    Sparse(SparseMatrix),
}

impl Features {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.rows,
            Self::Sparse(matrix) => matrix.rows,
        }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.columns,
            Self::Sparse(matrix) => matrix.columns,
        }
    }

    /// A copy of the given rows, in the given order. The caller gives rows that exist.
    #[must_use]
    pub fn select_rows(&self, rows: &[u32]) -> Self {
        match self {
            Self::Dense(matrix) => Self::Dense(matrix.select_rows(rows)),
            Self::Sparse(matrix) => Self::Sparse(matrix.select_rows(rows)),
        }
    }

    /// An error that names the first value that is not a finite number.
    pub fn check_finite(&self) -> Result<()> {
        let (values, place): (&[f32], _) = match self {
            Self::Dense(matrix) => (&matrix.values, None),
            Self::Sparse(matrix) => (&matrix.values, Some(matrix)),
        };
        let Some(at) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let (row, column) = match place {
            None => (at / self.columns(), at % self.columns()),
            Some(matrix) => {
                (matrix.offsets.partition_point(|&offset| offset <= at) - 1, matrix.indices[at] as usize)
            }
        };
        let problem =
            format!("row {}, column {}: {} is not a finite number", row + 1, column + 1, values[at]);
        Err(features_error(problem, "impute missing values before fitting, or leave the row out"))
    }

    /// `product[rows, outputs] = X · weights`, with `weights[columns, outputs]`, all row-major.
    ///
    /// # Panics
    /// If a slice does not have that length, which is a fault of the calling code.
    pub fn multiply(&self, weights: &[f32], outputs: usize, product: &mut [f32]) {
        assert_eq!(weights.len(), self.columns() * outputs, "weights have shape [columns, outputs]");
        assert_eq!(product.len(), self.rows() * outputs, "the product has shape [rows, outputs]");
        if outputs == 0 {
            return;
        }
        product.par_chunks_mut(CHUNK_ROWS * outputs).enumerate().for_each(|(chunk, part)| {
            let first = chunk * CHUNK_ROWS;
            match self {
                Self::Dense(matrix) => multiply_dense(matrix, first, weights, outputs, part),
                Self::Sparse(matrix) => multiply_sparse(matrix, first, weights, outputs, part),
            }
        });
    }

    /// `product[columns, outputs] = Xᵀ · residuals`, with `residuals[rows, outputs]`, all row-major.
    ///
    /// # Panics
    /// If a slice does not have that length, which is a fault of the calling code.
    pub fn multiply_transposed(&self, residuals: &[f32], outputs: usize, product: &mut [f64]) {
        assert_eq!(residuals.len(), self.rows() * outputs, "residuals have shape [rows, outputs]");
        assert_eq!(product.len(), self.columns() * outputs, "the product has shape [columns, outputs]");
        product.fill(0.0);
        if outputs == 0 || self.columns() == 0 {
            return;
        }
        match self {
            Self::Dense(matrix) => multiply_transposed_dense(matrix, residuals, outputs, product),
            Self::Sparse(matrix) => multiply_transposed_sparse(matrix, residuals, outputs, product),
        }
    }
}

fn multiply_dense(matrix: &DenseMatrix, first: usize, weights: &[f32], outputs: usize, part: &mut [f32]) {
    let rows = part.len() / outputs;
    let block = &matrix.values[first * matrix.columns..(first + rows) * matrix.columns];
    matrix_product(block, Order::AsStored, weights, [rows, matrix.columns, outputs], part);
}

fn multiply_sparse(matrix: &SparseMatrix, first: usize, weights: &[f32], outputs: usize, part: &mut [f32]) {
    part.fill(0.0);
    for (row, sums) in part.chunks_exact_mut(outputs).enumerate() {
        let (indices, values) = matrix.row(first + row);
        for (&column, &value) in indices.iter().zip(values) {
            let weights = &weights[column as usize * outputs..][..outputs];
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
    }
}

fn multiply_transposed_dense(matrix: &DenseMatrix, residuals: &[f32], outputs: usize, product: &mut [f64]) {
    let columns = matrix.columns;
    let chunk_rows = CHUNK_ROWS.max(matrix.rows.div_ceil(MAX_PARTIAL_SUMS));
    let partial_sums: Vec<Vec<f32>> = residuals
        .par_chunks(chunk_rows * outputs)
        .zip(matrix.values.par_chunks(chunk_rows * columns))
        .map(|(residuals, block)| {
            let mut partial = vec![0.0; columns * outputs];
            let rows = residuals.len() / outputs;
            matrix_product(block, Order::Transposed, residuals, [columns, rows, outputs], &mut partial);
            partial
        })
        .collect();
    for partial in &partial_sums {
        product.iter_mut().zip(partial).for_each(|(sum, part)| *sum += f64::from(*part));
    }
}

/// Entries of a column added up in 32 bits before their sum meets the others' in 64.
const ENTRIES_PER_SUM: usize = 64;

fn multiply_transposed_sparse(matrix: &SparseMatrix, residuals: &[f32], outputs: usize, product: &mut [f64]) {
    let by_column = matrix.by_column();
    let columns = product.par_chunks_exact_mut(outputs).with_min_len(64).enumerate();
    columns.for_each_init(
        || vec![0.0f32; outputs],
        |partial, (column, sums)| {
            let span = by_column.offsets[column]..by_column.offsets[column + 1];
            let (rows, values) = (&by_column.rows[span.clone()], &by_column.values[span]);
            for (rows, values) in rows.chunks(ENTRIES_PER_SUM).zip(values.chunks(ENTRIES_PER_SUM)) {
                partial.fill(0.0);
                for (&row, &value) in rows.iter().zip(values) {
                    let residuals = &residuals[row as usize * outputs..][..outputs];
                    partial.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += value * residual);
                }
                sums.iter_mut().zip(&*partial).for_each(|(sum, part)| *sum += f64::from(*part));
            }
        },
    );
}

fn features_error(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::config("features", problem, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    fn both_kinds(rows: usize, columns: usize) -> (Features, Features) {
        let values: Vec<f32> = pseudo_random(rows * columns, 3)
            .into_iter()
            .map(|value| if value > 0.2 { value } else { 0.0 })
            .collect();
        let entries: Vec<Vec<(u32, f32)>> = values
            .chunks(columns)
            .map(|row| (0u32..).zip(row.iter().copied()).filter(|entry| entry.1 != 0.0).collect())
            .collect();
        let sparse = SparseMatrix::from_rows(columns, &entries).unwrap();
        (Features::Dense(DenseMatrix::new(rows, columns, values).unwrap()), Features::Sparse(sparse))
    }

    fn naive(left: &[f32], right: &[f32], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let entry = |i: usize, j: usize| {
            (0..k).map(|l| f64::from(left[i * k + l]) * f64::from(right[l * n + j])).sum::<f64>()
        };
        (0..m * n).map(|at| entry(at / n, at % n)).collect()
    }

    #[test]
    fn products_equal_the_plain_sums() {
        let (dense, sparse) = both_kinds(3000, 17);
        let Features::Dense(matrix) = &dense else { unreachable!() };
        for outputs in [1, 5] {
            let weights = pseudo_random(17 * outputs, 9);
            let expected = naive(matrix.values(), &weights, [3000, 17, outputs]);
            for features in [&dense, &sparse] {
                let mut product = vec![0.0; 3000 * outputs];
                features.multiply(&weights, outputs, &mut product);
                assert!(product.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
            }
        }
    }

    #[test]
    fn transposed_products_equal_the_plain_sums() {
        let (dense, sparse) = both_kinds(5000, 7);
        let Features::Dense(matrix) = &dense else { unreachable!() };
        let transposed: Vec<f32> = (0..7 * 5000).map(|at| matrix.row(at % 5000)[at / 5000]).collect();
        for outputs in [1, 3] {
            let residuals = pseudo_random(5000 * outputs, 5);
            let expected = naive(&transposed, &residuals, [7, 5000, outputs]);
            for features in [&dense, &sparse] {
                let mut product = vec![0.0; 7 * outputs];
                features.multiply_transposed(&residuals, outputs, &mut product);
                assert!(product.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3));
            }
        }
    }

    #[test]
    fn products_do_not_depend_on_the_number_of_threads() {
        let (dense, sparse) = both_kinds(9000, 33);
        let residuals = pseudo_random(9000 * 4, 5);
        for features in [&dense, &sparse] {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut product = vec![0.0; 33 * 4];
                pool.install(|| features.multiply_transposed(&residuals, 4, &mut product));
                product
            };
            assert_eq!(run(1), run(3));
        }
    }

    #[test]
    fn selected_rows_are_those_asked_for() {
        let (dense, sparse) = both_kinds(10, 4);
        let (Features::Dense(picked), Features::Dense(all)) = (dense.select_rows(&[7, 2, 7]), &dense) else {
            unreachable!()
        };
        assert_eq!(picked.row(0), all.row(7));
        assert_eq!(picked.row(1), all.row(2));
        let (Features::Sparse(picked), Features::Sparse(all)) = (sparse.select_rows(&[7, 2]), &sparse) else {
            unreachable!()
        };
        assert_eq!(picked.row(1), all.row(2));
    }

    #[test]
    fn an_infinite_value_is_named_by_row_and_column() {
        let dense = Features::Dense(DenseMatrix::new(2, 2, vec![0.0, 1.0, f32::NAN, 0.0]).unwrap());
        assert!(dense.check_finite().unwrap_err().to_string().contains("row 2, column 1"));
        let entries = [vec![], vec![(3, f32::INFINITY)]];
        let sparse = Features::Sparse(SparseMatrix::from_rows(5, &entries).unwrap());
        assert!(sparse.check_finite().unwrap_err().to_string().contains("row 2, column 4"));
    }

    #[test]
    fn malformed_matrices_are_refused() {
        assert!(DenseMatrix::new(2, 3, vec![0.0; 5]).is_err());
        assert!(SparseMatrix::from_rows(3, &[vec![(2, 1.0), (1, 1.0)]]).is_err());
        assert!(SparseMatrix::from_rows(3, &[vec![(3, 1.0)]]).is_err());
    }
}
