//! The dense matrix products of learners; the only place here that calls the kernels.

use steep_kernels::linear::{LinearShape, forward};
use steep_kernels::small_product::{Order, matrix_product};

/// Rows of a product in 64 bits that are multiplied at a time.
const BLOCK_ROWS: usize = 1024;

/// `left[m, k] · right[n, k]ᵀ`, into `out[m, n]`; each row of the result depends on that row of `left` and on `right`
/// only.
pub(crate) fn product_of_rows(left: &[f32], right: &[f32], [m, k, n]: [usize; 3], out: &mut [f32]) {
    forward(left, right, None, out, LinearShape { tokens: m, in_features: k, out_features: n });
}

/// `left[m, k] · right[k, n]` in 64 bits.
pub(crate) fn product_f64(left: &[f64], right: &[f64], shape: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0.0; shape[0] * shape[2]];
    matrix_product(left, Order::AsStored, right, shape, &mut out);
    out
}

/// Adds `left[m, n]ᵀ · right[m, k]` to `sum[n, k]` in 64 bits.
pub(crate) fn add_transposed_product(left: &[f64], right: &[f64], [m, n, k]: [usize; 3], sum: &mut [f64]) {
    let mut part = vec![0.0; n * k];
    let blocks = left.chunks(BLOCK_ROWS * n.max(1)).zip(right.chunks(BLOCK_ROWS * k.max(1)));
    for (left, right) in blocks {
        let rows = left.len() / n;
        matrix_product(left, Order::Transposed, right, [n, rows, k], &mut part);
        sum.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
    }
    debug_assert_eq!(left.len(), m * n);
}

/// One layer of a network, `y = x · weightᵀ + bias`, and its gradients.
pub(crate) mod layer {
    use steep_kernels::linear::{LinearShape, backward_bias, backward_input, backward_weight};

    fn shape(rows: usize, [inputs, outputs]: [usize; 2]) -> LinearShape {
        LinearShape { tokens: rows, in_features: inputs, out_features: outputs }
    }

    /// `[rows, outputs]` of `[rows, inputs]`, `weight` being `[outputs, inputs]`.
    pub(crate) fn forward(x: &[f32], weight: &[f32], bias: &[f32], sizes: [usize; 2]) -> Vec<f32> {
        let rows = x.len() / sizes[0].max(1);
        let mut y = vec![0.0; rows * sizes[1]];
        steep_kernels::linear::forward(x, weight, Some(bias), &mut y, shape(rows, sizes));
        y
    }

    /// The derivatives by weight and bias.
    pub(crate) fn gradients(dy: &[f32], x: &[f32], sizes: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
        let shape = shape(dy.len() / sizes[1], sizes);
        let (mut weight, mut bias) = (vec![0.0; sizes[0] * sizes[1]], vec![0.0; sizes[1]]);
        backward_weight(dy, x, &mut weight, shape);
        backward_bias(dy, &mut bias, shape);
        (weight, bias)
    }

    /// The derivative by the input.
    pub(crate) fn input_gradient(dy: &[f32], weight: &[f32], sizes: [usize; 2]) -> Vec<f32> {
        let rows = dy.len() / sizes[1];
        let mut dx = vec![0.0; rows * sizes[0]];
        backward_input(dy, weight, &mut dx, shape(rows, sizes));
        dx
    }
}
