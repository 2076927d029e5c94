//! Do clusters of vectors follow the labels?

use super::vectors::{for_each_row_of_products, of_unit_length};
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::random::Stream;
use std::collections::BTreeMap;

/// Beginnings of k-means, of which the best is kept.
const BEGINNINGS: u64 = 10;
/// Rounds of k-means, if the clusters do not stay as they are before.
const ROUNDS: usize = 100;
/// Name of the random stream.
const CENTRES: u64 = 0x636c_7573;

/// How far clusters and classes agree, whatever their names; values are scikit-learn's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterAgreement {
    /// From 0 to 1, where each cluster has rows of one class only: `1 − H(class | cluster) / H(class)`.
    pub homogeneity: f64,
    /// From 0 to 1, where all rows of a class are in one cluster: `1 − H(cluster | class) / H(cluster)`.
    pub completeness: f64,
    /// The harmonic mean of both (Rosenberg and Hirschberg 2007), which is the mutual information divided by the mean of the
    /// entropies (NMI).
    pub v_measure: f64,
    /// The share of pairs on which both agree, 0 where it is that of chance (adjusted Rand index, Hubert and Arabie 1985).
    pub adjusted_rand: f64,
}

/// Compares the class and the cluster of each row.
///
/// # Errors
/// Different numbers of rows, or none.
pub fn cluster_agreement(classes: &[u32], clusters: &[u32]) -> Result<ClusterAgreement> {
    if classes.len() != clusters.len() || classes.is_empty() {
        let problem = format!("{} labels for {} rows", classes.len(), clusters.len());
        return Err(Error::config("label_column_name", problem, "give a label for each row"));
    }
    let both = counts(classes.iter().zip(clusters).map(|(class, cluster)| (*class, *cluster)));
    let (of_classes, of_clusters) = (counts(classes.iter().copied()), counts(clusters.iter().copied()));
    let joint = entropy(&both);
    let [class, cluster] = [entropy(&of_classes), entropy(&of_clusters)];
    let mutual = (class + cluster - joint).max(0.0);
    let share = |whole: f64| if whole > 0.0 { mutual / whole } else { 1.0 };
    let (homogeneity, completeness) = (share(class), share(cluster));
    let sum = homogeneity + completeness;
    let v_measure = if sum > 0.0 { 2.0 * homogeneity * completeness / sum } else { 0.0 };
    let adjusted_rand = adjusted_rand(&both, &of_classes, &of_clusters);
    Ok(ClusterAgreement { homogeneity, completeness, v_measure, adjusted_rand })
}

/// How many pairs of rows a number of rows has.
fn pairs<K>(counts: &BTreeMap<K, u64>) -> f64 {
    counts.values().map(|&count| count as f64 * (count as f64 - 1.0) / 2.0).sum()
}

fn adjusted_rand(
    both: &BTreeMap<(u32, u32), u64>,
    classes: &BTreeMap<u32, u64>,
    clusters: &BTreeMap<u32, u64>,
) -> f64 {
    let rows = classes.values().sum::<u64>() as f64;
    let (together, of_classes, of_clusters) = (pairs(both), pairs(classes), pairs(clusters));
    let by_chance = of_classes * of_clusters / (rows * (rows - 1.0) / 2.0).max(1.0);
    let most = 0.5 * (of_classes + of_clusters);
    if most == by_chance { 1.0 } else { (together - by_chance) / (most - by_chance) }
}

fn counts<K: Ord>(of: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    of.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

/// In nats.
fn entropy<K>(counts: &BTreeMap<K, u64>) -> f64 {
    let total = counts.values().sum::<u64>() as f64;
    let part = |&count: &u64| {
        let share = count as f64 / total;
        -share * share.ln()
    };
    counts.values().map(part).sum()
}

/// The cluster of each row by k-means on vectors of length one: the best of ten beginnings by k-means++ (Arthur and
/// Vassilvitskii 2007), each moved by Lloyd's rounds. The same vectors and seed give the same clusters.
///
/// # Errors
/// Fewer rows than clusters, or none; a stop on request.
pub fn k_means(vectors: &DenseMatrix, clusters: usize, seed: u64, ctx: &Context) -> Result<Vec<u32>> {
    if clusters == 0 || clusters > vectors.rows() {
        let problem = format!("{clusters} clusters of {} rows", vectors.rows());
        return Err(Error::config("n_clusters", problem, "give a number from 1 to that of the rows"));
    }
    let unit = of_unit_length(vectors);
    let mut best: Option<Clusters> = None;
    for beginning in 0..BEGINNINGS {
        let mut random = Stream::new(seed, &[CENTRES, beginning]);
        let found = moved(&unit, first_centres(&unit, clusters, &mut random)?, ctx)?;
        if best.as_ref().is_none_or(|best| found.inertia < best.inertia) {
            best = Some(found);
        }
    }
    Ok(best.map(|best| best.of_rows).unwrap_or_default())
}

struct Clusters {
    of_rows: Vec<u32>,
    /// The sum of squared distances to the centres.
    inertia: f64,
}

/// Rows drawn with a probability that grows with the squared distance from those drawn before.
fn first_centres(unit: &DenseMatrix, clusters: usize, random: &mut Stream) -> Result<DenseMatrix> {
    let mut centres = unit.row(random.below(unit.rows() as u64) as usize).to_vec();
    let mut distances = vec![f64::INFINITY; unit.rows()];
    for last in 0..clusters - 1 {
        let centre = centres[last * unit.columns()..].to_vec();
        for (row, distance) in distances.iter_mut().enumerate() {
            let square = unit.row(row).iter().zip(&centre).map(|(a, b)| f64::from(a - b).powi(2));
            *distance = distance.min(square.sum());
        }
        let mut left = random.next_f64() * distances.iter().sum::<f64>();
        let passed = |distance: &f64| {
            left -= distance;
            left < 0.0
        };
        let next = distances.iter().position(passed).unwrap_or(unit.rows() - 1);
        centres.extend_from_slice(unit.row(next));
    }
    DenseMatrix::new(clusters, unit.columns(), centres)
}

fn moved(unit: &DenseMatrix, mut centres: DenseMatrix, ctx: &Context) -> Result<Clusters> {
    let mut found = assigned(unit, &centres);
    for _ in 0..ROUNDS {
        ctx.cancel.check()?;
        centres = means(unit, &found.of_rows, centres);
        let next = assigned(unit, &centres);
        let stays = next.of_rows == found.of_rows;
        found = next;
        if stays {
            break;
        }
    }
    Ok(found)
}

/// The nearest centre of each row, of equally near ones the first.
fn assigned(unit: &DenseMatrix, centres: &DenseMatrix) -> Clusters {
    let square = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let squares: Vec<f64> = (0..centres.rows()).map(|centre| square(centres.row(centre))).collect();
    let mut clusters = Clusters { of_rows: Vec::with_capacity(unit.rows()), inertia: 0.0 };
    for_each_row_of_products(unit, centres, |row, products| {
        let distance = |centre: usize| squares[centre] - 2.0 * f64::from(products[centre]);
        let nearer = |best, centre| if distance(centre) < distance(best) { centre } else { best };
        let nearest = (1..products.len()).fold(0, nearer);
        clusters.of_rows.push(nearest as u32);
        clusters.inertia += square(unit.row(row)) + distance(nearest);
    });
    clusters
}

/// The mean of each cluster's rows; a centre without rows stays where it is.
fn means(unit: &DenseMatrix, of_rows: &[u32], mut centres: DenseMatrix) -> DenseMatrix {
    let width = unit.columns();
    let mut sums = vec![0.0_f64; centres.values().len()];
    let mut sizes = vec![0.0_f64; centres.rows()];
    for (row, &cluster) in of_rows.iter().enumerate() {
        let cluster = cluster as usize;
        sizes[cluster] += 1.0;
        let sum = &mut sums[cluster * width..][..width];
        sum.iter_mut().zip(unit.row(row)).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let parts = centres.values_mut().chunks_exact_mut(width.max(1)).zip(sums.chunks_exact(width.max(1)));
    for ((centre, sum), size) in parts.zip(sizes).filter(|(_, size)| *size > 0.0) {
        centre.iter_mut().zip(sum).for_each(|(x, sum)| *x = (sum / size) as f32);
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::quietly;

    /// Rows around four directions.
    fn around(rows: usize, width: usize) -> (DenseMatrix, Vec<u32>) {
        let mut random = Stream::new(3, &[1]);
        let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 4).collect();
        let row = |&class: &u32| -> Vec<f32> {
            (0..width)
                .map(|at| 0.2 * random.normal() as f32 + f32::from(u8::from(at == class as usize)))
                .collect()
        };
        let values = classes.iter().flat_map(row).collect();
        (DenseMatrix::new(rows, width, values).unwrap(), classes)
    }

    #[test]
    fn clusters_that_are_apart_are_found_for_any_seed() {
        let (vectors, classes) = around(203, 12);
        for seed in 0..3 {
            let clusters = quietly(|ctx| k_means(&vectors, 4, seed, ctx)).unwrap();
            assert_eq!(clusters, quietly(|ctx| k_means(&vectors, 4, seed, ctx)).unwrap());
            let agreement = cluster_agreement(&classes, &clusters).unwrap();
            assert!(agreement.v_measure > 0.99 && agreement.adjusted_rand > 0.99, "{agreement:?}");
        }
        assert!(quietly(|ctx| k_means(&vectors, 204, 0, ctx)).is_err());
        let alone = quietly(|ctx| k_means(&vectors, 203, 0, ctx)).unwrap();
        assert!(cluster_agreement(&classes, &alone).unwrap().homogeneity > 1.0 - 1e-12);
    }

    #[test]
    fn equal_rows_are_one_cluster_and_no_fault() {
        let same = DenseMatrix::new(5, 2, [1.0, 0.5].repeat(5)).unwrap();
        assert_eq!(quietly(|ctx| k_means(&same, 3, 1, ctx)).unwrap(), [0; 5]);
        assert!(cluster_agreement(&[], &[]).is_err());
        assert!(cluster_agreement(&[1], &[1, 2]).is_err());
        assert_eq!(cluster_agreement(&[1], &[4]).unwrap().adjusted_rand, 1.0);
    }
}
