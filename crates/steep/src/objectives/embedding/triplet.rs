//! Triplet losses with triplets found in the step (Hermans et al. 2017), as sentence-transformers' `BatchHardTripletLoss` and
//! `BatchAllTripletLoss`.
//!
//! Which triplets count is decided from the distances' values. Their loss is then a sum of distances, each times a whole
//! number, so that no tensor over triplets is made.

use super::constant;
use burn::Tensor;
use serde::{Deserialize, Serialize};

/// Which triplets of a step count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TripletMining {
    /// Each text with the farthest of its class and the nearest of another.
    #[default]
    Hard,
    /// All whose loss is above zero.
    All,
}

/// How often each distance counts, `[N, N]`, and how many triplets do.
struct Mined {
    times: Vec<f32>,
    triplets: usize,
    /// Divides the sum.
    among: usize,
}

/// The mean loss of vectors `[N, d]` and their classes.
pub(super) fn loss(
    vectors: Tensor<2>,
    classes: &[u32],
    mining: TripletMining,
    margin: f64,
) -> Option<Tensor<1>> {
    let (count, margin) = (classes.len(), margin as f32);
    let distances = distances(vectors);
    let values: Vec<f32> = distances.clone().into_data().iter::<f32>().collect();
    let mined = match mining {
        TripletMining::Hard => hardest(&values, classes, margin),
        TripletMining::All => all(&values, classes, margin),
    };
    if mined.triplets == 0 {
        return None;
    }
    let times = constant(mined.times, [count, count], &distances);
    let sum = (times * distances).sum() + mined.triplets as f32 * margin;
    Some(sum / mined.among as f32)
}

/// Euclidean distances of all with all, `[N, N]`; one that is zero but for rounding is a constant, for the root of zero
/// has no slope.
fn distances(vectors: Tensor<2>) -> Tensor<2> {
    let count = vectors.dims()[0];
    let squares = (vectors.clone() * vectors.clone()).sum_dim(1);
    let lengths: Vec<f32> = squares.clone().into_data().iter::<f32>().collect();
    let products = vectors.clone().matmul(vectors.transpose());
    let squared = squares.clone() + squares.transpose() - products * 2.0;
    let values: Vec<f32> = squared.clone().into_data().iter::<f32>().collect();
    let differ = |at: usize| {
        let (one, other) = (at / count, at % count);
        one != other && values[at] > ROUNDING * (lengths[one] + lengths[other])
    };
    let apart: Vec<f32> = (0..count * count).map(|at| f32::from(u8::from(differ(at)))).collect();
    let same = constant(apart.iter().map(|apart| 1.0 - apart).collect(), [count, count], &squared);
    let apart = constant(apart, [count, count], &squared);
    (squared * apart.clone() + same).sqrt() * apart
}

/// Squared distances below this share of the squared lengths are rounding.
const ROUNDING: f32 = 1e-6;

fn hardest(distances: &[f32], classes: &[u32], margin: f32) -> Mined {
    let count = classes.len();
    let mut mined = Mined { times: vec![0.0; count * count], triplets: 0, among: count };
    for anchor in 0..count {
        let distance = |other: &usize| distances[anchor * count + other];
        let is_like = |other: usize| other != anchor && classes[other] == classes[anchor];
        let is_unlike = |other: usize| classes[other] != classes[anchor];
        let by_distance = |one: &usize, other: &usize| distance(one).total_cmp(&distance(other));
        let positive = (0..count).filter(|&other| is_like(other)).max_by(by_distance);
        let Some(negative) = (0..count).filter(|&other| is_unlike(other)).min_by(by_distance) else {
            continue;
        };
        let farthest = positive.map_or(0.0, |positive| distance(&positive));
        if farthest - distance(&negative) + margin <= 0.0 {
            continue;
        }
        mined.triplets += 1;
        mined.times[anchor * count + negative] -= 1.0;
        if let Some(positive) = positive {
            mined.times[anchor * count + positive] += 1.0;
        }
    }
    mined
}

fn all(distances: &[f32], classes: &[u32], margin: f32) -> Mined {
    let count = classes.len();
    let mut mined = Mined { times: vec![0.0; count * count], triplets: 0, among: 0 };
    for anchor in 0..count {
        let row = anchor * count..(anchor + 1) * count;
        let (distances, times) = (&distances[row.clone()], &mut mined.times[row]);
        for positive in (0..count).filter(|&other| other != anchor && classes[other] == classes[anchor]) {
            for negative in (0..count).filter(|&other| classes[other] != classes[anchor]) {
                if distances[positive] - distances[negative] + margin > 0.0 {
                    times[positive] += 1.0;
                    times[negative] -= 1.0;
                    mined.triplets += 1;
                }
            }
        }
    }
    mined.among = mined.triplets;
    mined
}
