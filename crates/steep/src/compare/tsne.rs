//! t-SNE (van der Maaten & Hinton 2008), exact, for some hundred points: a map on which neighbours stay neighbours.
//!
//! As scikit-learn does it: joint probabilities by a perplexity, principal components to begin with, early exaggeration,
//! momentum and gains. All sums run in a fixed order, so that the map does not depend on the number of threads.

use crate::features::eigen::symmetric_eigen;
use rayon::prelude::*;

/// How many neighbours a point has, in effect.
const PERPLEXITY: f64 = 30.0;
const EXAGGERATION: f64 = 12.0;
const EXAGGERATED_STEPS: usize = 250;
const STEPS: usize = 750;
/// Keeps probabilities from 0.
const EPSILON: f64 = f64::EPSILON;

/// Places of rows `[rows, width]` in the plane.
pub(super) fn tsne(values: &[f32], width: usize) -> Vec<[f64; 2]> {
    let rows = values.len() / width.max(1);
    if rows < 4 {
        return vec![[0.0, 0.0]; rows];
    }
    // Three times the perplexity must fit among the neighbours.
    let perplexity = PERPLEXITY.min((rows - 1) as f64 / 3.0);
    let joint = joint_probabilities(&squared_distances(values, width, rows), rows, perplexity);
    let mut places = principal_plane(values, width, rows);
    let mut moves = vec![[0.0; 2]; rows];
    let mut gains = vec![[1.0; 2]; rows];
    let rate = (rows as f64 / EXAGGERATION / 4.0).max(50.0);
    for step in 0..STEPS {
        let (exaggeration, momentum) =
            if step < EXAGGERATED_STEPS { (EXAGGERATION, 0.5) } else { (1.0, 0.8) };
        let slopes = gradient(&joint, &places, exaggeration);
        for (((place, step), gain), slope) in places.iter_mut().zip(&mut moves).zip(&mut gains).zip(slopes) {
            for axis in 0..2 {
                let turns = step[axis] * slope[axis] < 0.0;
                gain[axis] = if turns { gain[axis] + 0.2 } else { (gain[axis] * 0.8_f64).max(0.01) };
                step[axis] = momentum * step[axis] - rate * gain[axis] * slope[axis];
                place[axis] += step[axis];
            }
        }
    }
    places
}

fn squared_distances(values: &[f32], width: usize, rows: usize) -> Vec<f64> {
    let row = |at: usize| &values[at * width..][..width];
    let mut distances = vec![0.0; rows * rows];
    distances.par_chunks_mut(rows).enumerate().for_each(|(from, out)| {
        for (to, out) in out.iter_mut().enumerate() {
            let pairs = row(from).iter().zip(row(to));
            *out = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        }
    });
    distances
}

/// Symmetric probabilities `[rows, rows]` that add up to 1: for each row a Gaussian over the others whose entropy is the
/// logarithm of the perplexity.
fn joint_probabilities(distances: &[f64], rows: usize, perplexity: f64) -> Vec<f64> {
    let mut conditional = vec![0.0; rows * rows];
    conditional.par_chunks_mut(rows).enumerate().for_each(|(row, out)| {
        neighbour_probabilities(&distances[row * rows..][..rows], row, perplexity, out);
    });
    let total: f64 = 2.0 * conditional.iter().sum::<f64>();
    let both = |from: usize, to: usize| conditional[from * rows + to] + conditional[to * rows + from];
    let mut joint = vec![0.0; rows * rows];
    for from in 0..rows {
        for to in (0..rows).filter(|&to| to != from) {
            joint[from * rows + to] = (both(from, to) / total.max(EPSILON)).max(EPSILON);
        }
    }
    joint
}

fn neighbour_probabilities(distances: &[f64], row: usize, perplexity: f64, out: &mut [f64]) {
    let (mut precision, mut low, mut high) = (1.0f64, f64::NEG_INFINITY, f64::INFINITY);
    let wanted = perplexity.ln();
    // Distances are taken from the nearest neighbour on, which changes no probability and keeps them in range.
    let nearest =
        (0..distances.len()).filter(|at| *at != row).map(|at| distances[at]).fold(f64::INFINITY, f64::min);
    for _ in 0..100 {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (at, out) in out.iter_mut().enumerate() {
            let distance = distances[at] - nearest;
            *out = if at == row { 0.0 } else { (-precision * distance).exp() };
            sum += *out;
            weighted += distance * *out;
        }
        let sum = sum.max(EPSILON);
        out.iter_mut().for_each(|value| *value /= sum);
        let excess = sum.ln() + precision * weighted / sum - wanted;
        if excess.abs() <= 1e-7 {
            break;
        }
        if excess > 0.0 {
            low = precision;
            precision = if high.is_infinite() { precision * 2.0 } else { f64::midpoint(precision, high) };
        } else {
            high = precision;
            precision = if low.is_infinite() { precision / 2.0 } else { f64::midpoint(precision, low) };
        }
    }
}

/// The slope of the divergence between `exaggeration · joint` and the map's own probabilities.
fn gradient(joint: &[f64], places: &[[f64; 2]], exaggeration: f64) -> Vec<[f64; 2]> {
    let rows = places.len();
    let near = |from: usize, to: usize| {
        let (dx, dy) = (places[from][0] - places[to][0], places[from][1] - places[to][1]);
        1.0 / (1.0 + dx * dx + dy * dy)
    };
    let sums: Vec<f64> = (0..rows)
        .into_par_iter()
        .map(|from| (0..rows).filter(|&to| to != from).map(|to| near(from, to)).sum())
        .collect();
    let total: f64 = sums.iter().sum::<f64>().max(EPSILON);
    (0..rows)
        .into_par_iter()
        .map(|from| {
            let mut slope = [0.0; 2];
            for to in (0..rows).filter(|&to| to != from) {
                let closeness = near(from, to);
                let own = (closeness / total).max(EPSILON);
                let pull = (exaggeration * joint[from * rows + to] - own) * closeness;
                for axis in 0..2 {
                    slope[axis] += 4.0 * pull * (places[from][axis] - places[to][axis]);
                }
            }
            slope
        })
        .collect()
}

/// The first two principal components, tiny: the first has a standard deviation of 1e-4.
fn principal_plane(values: &[f32], width: usize, rows: usize) -> Vec<[f64; 2]> {
    let mut means = vec![0.0; width];
    for row in values.chunks_exact(width) {
        means.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / rows as f64);
    }
    let centred: Vec<f64> = values
        .chunks_exact(width)
        .flat_map(|row| row.iter().zip(&means).map(|(value, mean)| f64::from(*value) - mean))
        .collect();
    let mut covariance = vec![0.0; width * width];
    covariance.par_chunks_mut(width).enumerate().for_each(|(left, out)| {
        for row in centred.chunks_exact(width) {
            out.iter_mut().zip(row).for_each(|(sum, value)| *sum += row[left] * value);
        }
    });
    let eigen = symmetric_eigen(covariance, width);
    // Values ascend; the sign is that of scikit-learn's: the largest entry is positive.
    let axes: Vec<Vec<f64>> = eigen.vectors.rchunks_exact(width).take(2).map(turned).collect();
    let along = |row: &[f64], axis: usize| -> f64 {
        axes.get(axis).map_or(0.0, |axis| row.iter().zip(axis).map(|(a, b)| a * b).sum())
    };
    let mut plane: Vec<[f64; 2]> =
        centred.chunks_exact(width).map(|row| [along(row, 0), along(row, 1)]).collect();
    let deviation = (plane.iter().map(|place| place[0].powi(2)).sum::<f64>() / rows as f64).sqrt();
    let scale = 1e-4 / deviation.max(EPSILON);
    plane.iter_mut().for_each(|place| place.iter_mut().for_each(|value| *value *= scale));
    plane
}

fn turned(axis: &[f64]) -> Vec<f64> {
    let largest =
        axis.iter().copied().fold(0.0f64, |most, value| if value.abs() > most.abs() { value } else { most });
    axis.iter().map(|value| value * largest.signum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use serde_json::Value;

    fn golden() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/significance/tsne.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn list(value: &Value) -> Vec<f64> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// scikit-learn searches the precision in 32 bits and to 1e-5 of the entropy; the measured maximum difference of a
    /// probability is 4e-8 of probabilities around 1e-3.
    #[test]
    fn probabilities_and_slopes_are_those_of_scikit_learn() {
        let golden = golden();
        let values: Vec<f32> = list(&golden["values"]).into_iter().map(|value| value as f32).collect();
        let width = golden["width"].as_u64().unwrap() as usize;
        let rows = values.len() / width;
        let perplexity = golden["perplexity"].as_f64().unwrap();
        let joint = joint_probabilities(&squared_distances(&values, width, rows), rows, perplexity);
        let expected = list(&golden["joint"]);
        let largest = joint.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest < 1e-6, "{largest}");
        let places: Vec<[f64; 2]> =
            list(&golden["places"]).chunks(2).map(|place| [place[0], place[1]]).collect();
        let slopes = gradient(&expected, &places, 1.0);
        let expected = list(&golden["gradient"]);
        let largest = slopes.iter().flatten().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest < 1e-7, "{largest}");
    }

    #[test]
    fn clusters_stay_apart_and_threads_change_nothing() {
        let mut stream = Stream::new(3, &[1]);
        let values: Vec<f32> = (0..90)
            .flat_map(|row| (0..5).map(move |column| if column == row % 3 { 6.0 } else { 0.0 }))
            .map(|centre| centre + stream.normal() as f32 * 0.3)
            .collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tsne(&values, 5))
        };
        let places = run(1);
        assert_eq!(places, run(3));
        let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for (at, place) in places.iter().enumerate() {
            let others = (0..90).filter(|other| *other != at);
            let nearest =
                others.min_by(|a, b| distance(places[*a], *place).total_cmp(&distance(places[*b], *place)));
            assert_eq!(nearest.unwrap() % 3, at % 3);
        }
        assert_eq!(tsne(&[1.0, 2.0], 1), [[0.0, 0.0]; 2]);
    }
}
