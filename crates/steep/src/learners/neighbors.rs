//! The labels or values of the nearest training rows; scikit-learn's `KNeighborsClassifier` and
//! `KNeighborsRegressor` with exact search.
//!
//! Distances to all rows come from blocked matrix products in 32 bits; those of the closest few are then computed
//! again from differences in 64 bits, so that rounding decides no neighbour.

use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::products::product_of_rows;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows asked about at a time, and training rows they are compared with at a time: the distances stay in the cache.
const QUERIES: usize = 128;
const BLOCK: usize = 2048;
/// Neighbours kept beyond those asked for, until distances are exact.
const SPARE: usize = 16;

/// How distances are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// The length of the difference.
    Euclidean,
    /// One minus the cosine of the angle.
    Cosine,
}

/// How much each neighbour counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighborWeights {
    /// All the same.
    Uniform,
    /// By the inverse of its distance; at distance 0 nothing else counts.
    Distance,
}

/// Training rows and what is known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Training rows; of unit length where the distance is that of angles.
    pub(crate) rows: DenseMatrix,
    /// `[rows, outputs]`: 1 for the row's class or labels, or its value.
    pub(crate) targets: NeighborTargets,
    /// How many neighbours are asked.
    pub(crate) count: usize,
    /// How distances are measured.
    pub(crate) metric: Distance,
    /// How much each neighbour counts.
    pub(crate) weights: NeighborWeights,
}

/// What is known of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NeighborTargets {
    /// The class of each row, and their number.
    Classes(Vec<u32>, usize),
    /// Whether each row has each label, `[rows, labels]`, and their number.
    Labels(Vec<bool>, usize),
    /// The value of each row.
    Values(Vec<f32>),
}

impl Neighbors {
    /// Keeps the rows.
    ///
    /// Errors: fewer rows than neighbours, no neighbour.
    pub(crate) fn new(
        mut rows: DenseMatrix,
        targets: NeighborTargets,
        n_neighbors: usize,
        metric: Distance,
        weights: NeighborWeights,
    ) -> Result<Self> {
        if n_neighbors == 0 || n_neighbors > rows.rows() {
            let problem = format!("{n_neighbors} neighbours of {} training rows", rows.rows());
            return Err(Error::config(
                "n_neighbors",
                problem,
                "give 1 or more, and not more than there are rows",
            ));
        }
        if metric == Distance::Cosine {
            to_unit_length(&mut rows);
        }
        Ok(Self { rows, targets, count: n_neighbors, metric, weights })
    }

    /// The number of outputs.
    pub(crate) fn outputs(&self) -> usize {
        match &self.targets {
            NeighborTargets::Classes(_, count) | NeighborTargets::Labels(_, count) => *count,
            NeighborTargets::Values(_) => 1,
        }
    }

    /// The share of each class or label among the neighbours, or their mean value: `[rows, outputs]`.
    pub(crate) fn outputs_of(&self, queries: &DenseMatrix) -> Result<DenseMatrix> {
        let outputs = self.outputs();
        let mut values = vec![0.0f32; queries.rows() * outputs];
        let neighbors = self.search(queries);
        for (of_row, found) in values.chunks_exact_mut(outputs).zip(&neighbors) {
            let total: f64 = found.iter().map(|(_, weight)| weight).sum();
            let mut sums = vec![0.0f64; outputs];
            for &(row, weight) in found {
                let row = row as usize;
                match &self.targets {
                    NeighborTargets::Classes(classes, _) => sums[classes[row] as usize] += weight,
                    NeighborTargets::Labels(members, count) => {
                        let members = &members[row * count..][..*count];
                        sums.iter_mut()
                            .zip(members)
                            .for_each(|(sum, member)| *sum += weight * f64::from(u8::from(*member)));
                    }
                    NeighborTargets::Values(values) => sums[0] += weight * f64::from(values[row]),
                }
            }
            of_row.iter_mut().zip(sums).for_each(|(value, sum)| *value = (sum / total) as f32);
        }
        DenseMatrix::new(queries.rows(), outputs, values)
    }

    /// The neighbours of each row with their weights, the nearest first.
    fn search(&self, queries: &DenseMatrix) -> Vec<Vec<(u32, f64)>> {
        let columns = queries.columns();
        if columns == 0 || queries.rows() == 0 {
            return vec![(0..self.count as u32).map(|row| (row, 1.0)).collect(); queries.rows()];
        }
        let squares: Vec<f32> = (0..self.rows.rows()).map(|row| square(self.rows.row(row))).collect();
        let blocks = queries.values().par_chunks(QUERIES * columns);
        let found: Vec<Vec<Vec<(u32, f64)>>> =
            blocks.map(|block| self.search_block(block, &squares)).collect();
        found.into_iter().flatten().collect()
    }

    fn search_block(&self, queries: &[f32], squares: &[f32]) -> Vec<Vec<(u32, f64)>> {
        let columns = self.rows.columns();
        let mut queries = DenseMatrix::new(queries.len() / columns, columns, queries.to_vec())
            .expect("whole rows were cut off");
        if self.metric == Distance::Cosine {
            to_unit_length(&mut queries);
        }
        let keep = (self.count + SPARE).min(self.rows.rows());
        let mut closest = vec![Closest::new(keep); queries.rows()];
        let mut products = vec![0.0; queries.rows() * BLOCK];
        for (block, rows) in self.rows.values().chunks(BLOCK * columns).enumerate() {
            let count = rows.len() / columns;
            let products = &mut products[..queries.rows() * count];
            product_of_rows(queries.values(), rows, [queries.rows(), columns, count], products);
            let squares = &squares[block * BLOCK..][..count];
            for (closest, products) in closest.iter_mut().zip(products.chunks_exact(count)) {
                closest.meet(block * BLOCK, products, squares);
            }
        }
        let queries = (0..queries.rows()).map(|row| queries.row(row));
        queries.zip(closest).map(|(query, closest)| self.weighted(query, closest)).collect()
    }

    /// The nearest among the candidates by exact distances, with their weights.
    fn weighted(&self, query: &[f32], closest: Closest) -> Vec<(u32, f64)> {
        let exact = |row: u32| {
            let entries = query.iter().zip(self.rows.row(row as usize));
            entries.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
        };
        let mut found: Vec<(f64, u32)> = closest.rows().map(|row| (exact(row), row)).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(self.count);
        let at_zero = found.first().is_some_and(|(square, _)| *square == 0.0);
        let weight = |square: f64| match (self.weights, self.metric) {
            (NeighborWeights::Uniform, _) => 1.0,
            (NeighborWeights::Distance, _) if at_zero => f64::from(u8::from(square == 0.0)),
            (NeighborWeights::Distance, Distance::Euclidean) => square.sqrt().recip(),
            // Of unit vectors, half the squared distance is one minus the cosine.
            (NeighborWeights::Distance, Distance::Cosine) => 2.0 / square,
        };
        found.into_iter().map(|(square, row)| (row, weight(square))).collect()
    }
}

/// The closest rows so far, by squared distance without the query's own square.
#[derive(Debug, Clone)]
struct Closest {
    keep: usize,
    limit: f32,
    found: Vec<(f32, u32)>,
}

impl Closest {
    fn new(keep: usize) -> Self {
        Self { keep, limit: f32::INFINITY, found: Vec::with_capacity(2 * keep) }
    }

    /// Looks at the rows from `first` on.
    fn meet(&mut self, first: usize, products: &[f32], squares: &[f32]) {
        for (at, (product, square)) in products.iter().zip(squares).enumerate() {
            let distance = square - 2.0 * product;
            if distance < self.limit {
                self.found.push((distance, (first + at) as u32));
                if self.found.len() == 2 * self.keep {
                    self.shrink();
                }
            }
        }
    }

    fn shrink(&mut self) {
        if self.found.len() > self.keep {
            let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            self.found.select_nth_unstable_by(self.keep - 1, order);
            self.found.truncate(self.keep);
            self.limit = self.found[self.keep - 1].0;
        }
    }

    fn rows(mut self) -> impl Iterator<Item = u32> {
        self.shrink();
        self.found.into_iter().map(|(_, row)| row)
    }
}

fn square(values: &[f32]) -> f32 {
    values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>() as f32
}

/// Divides each row by its length; a row of zeros stays.
fn to_unit_length(matrix: &mut DenseMatrix) {
    let columns = matrix.columns().max(1);
    for row in matrix.values_mut().chunks_exact_mut(columns) {
        let length = row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn random(rows: usize, columns: usize, seed: u64) -> DenseMatrix {
        let mut stream = Stream::new(seed, &[]);
        DenseMatrix::new(rows, columns, (0..rows * columns).map(|_| stream.normal() as f32).collect())
            .unwrap()
    }

    #[test]
    fn the_search_is_exact() {
        let (training, queries) = (random(BLOCK + 500, 7, 1), random(QUERIES + 9, 7, 2));
        let values: Vec<f32> = (0..training.rows()).map(|row| row as f32).collect();
        let neighbors = Neighbors::new(
            training.clone(),
            NeighborTargets::Values(values),
            5,
            Distance::Euclidean,
            NeighborWeights::Uniform,
        )
        .unwrap();
        for (row, found) in neighbors.search(&queries).iter().enumerate() {
            let distance = |other: usize| -> f64 {
                let pairs = queries.row(row).iter().zip(training.row(other));
                pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            let mut order: Vec<usize> = (0..training.rows()).collect();
            order.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            let found: Vec<usize> = found.iter().map(|(row, _)| *row as usize).collect();
            assert_eq!(found, order[..5]);
        }
    }

    #[test]
    fn a_row_that_was_trained_on_is_its_own_neighbour() {
        let training = random(50, 3, 1);
        for metric in [Distance::Euclidean, Distance::Cosine] {
            let targets = NeighborTargets::Classes((0..50).map(|row| row % 5).collect(), 5);
            let neighbors =
                Neighbors::new(training.clone(), targets, 10, metric, NeighborWeights::Distance).unwrap();
            let shares = neighbors.outputs_of(&training).unwrap();
            assert!((0..50).all(|row| shares.row(row)[row % 5] == 1.0));
        }
    }

    #[test]
    fn more_neighbours_than_rows_are_refused() {
        let targets = NeighborTargets::Values(vec![0.0; 3]);
        let refused = |count| {
            Neighbors::new(
                random(3, 2, 1),
                targets.clone(),
                count,
                Distance::Euclidean,
                NeighborWeights::Uniform,
            )
            .is_err()
        };
        assert!(refused(4) && refused(0) && !refused(3));
    }
}
