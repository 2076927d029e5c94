//! Supervised contrastive learning (Khosla et al. 2020, arXiv 2004.11362, equation 2): the logarithm outside of the mean
//! over positives is within the sum.

use super::{NOWHERE, constant, cosines};
use burn::Tensor;
use burn::tensor::activation;

/// Mean over rows and partners of `-1/|P| Σ log p`: of vectors `[N, d]` and their classes.
pub(super) fn loss(vectors: Tensor<2>, classes: &[u32], temperature: f64) -> Option<Tensor<1>> {
    let count = classes.len();
    let positives = |at: usize| classes.iter().filter(|class| **class == classes[at]).count() - 1;
    let positives: Vec<usize> = (0..count).map(positives).collect();
    let anchors = positives.iter().filter(|positives| **positives > 0).count();
    if anchors == 0 || classes.iter().all(|class| *class == classes[0]) {
        return None;
    }
    let mut itself = vec![0.0; count * count];
    let mut weights = vec![0.0; count * count];
    for row in 0..count {
        itself[row * count + row] = NOWHERE;
        for other in 0..count {
            if row != other && classes[row] == classes[other] {
                weights[row * count + other] = 1.0 / (positives[row] * anchors) as f32;
            }
        }
    }
    let logits = cosines(vectors.clone(), vectors) / temperature as f32;
    let itself = constant(itself, [count, count], &logits);
    let weights = constant(weights, [count, count], &logits);
    Some((weights * activation::log_softmax(logits + itself, 1)).sum().neg())
}
