//! Eigenvalues and eigenvectors of a symmetric matrix.
//!
//! Householder reflections to tridiagonal form, then QR steps with Wilkinson's shift: Golub & Van Loan, "Matrix
//! Computations", sections 8.3.1 and 8.3.3.

/// Eigenvalues in descending order, and the eigenvectors as the rows of a matrix `[size, size]`, row-major.
pub(super) fn symmetric_eigen(mut matrix: Vec<f64>, size: usize) -> (Vec<f64>, Vec<f64>) {
    let reflections = tridiagonalise(&mut matrix, size);
    let mut diagonal: Vec<f64> = (0..size).map(|at| matrix[at * size + at]).collect();
    let mut beside: Vec<f64> = (1..size).map(|at| matrix[at * size + at - 1]).collect();
    let mut vectors = accumulated(&reflections, size);
    diagonalise(&mut diagonal, &mut beside, &mut vectors, size);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&left, &right| diagonal[right].total_cmp(&diagonal[left]));
    let rows = order.iter().flat_map(|&at| vectors[at * size..(at + 1) * size].iter().copied()).collect();
    (order.iter().map(|&at| diagonal[at]).collect(), rows)
}

/// Brings the matrix to tridiagonal form; the result holds the unit vector of each reflection.
fn tridiagonalise(matrix: &mut [f64], size: usize) -> Vec<Vec<f64>> {
    let mut reflections = Vec::new();
    for column in 0..size.saturating_sub(2) {
        let first = column + 1;
        let mut v: Vec<f64> = (first..size).map(|row| matrix[row * size + column]).collect();
        let length = v.iter().map(|value| value * value).sum::<f64>().sqrt();
        v[0] += length.copysign(v[0]);
        let norm = v.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm == 0.0 {
            reflections.push(vec![0.0; size - first]);
            continue;
        }
        v.iter_mut().for_each(|value| *value /= norm);
        let alpha = -length.copysign(matrix[first * size + column]);
        reflect_block(matrix, size, first, &v);
        for row in first..size {
            let value = if row == first { alpha } else { 0.0 };
            matrix[row * size + column] = value;
            matrix[column * size + row] = value;
        }
        reflections.push(v);
    }
    reflections
}

/// `H A H` of the block that begins at `first`, with `H = I − 2vvᵀ`: `A − vqᵀ − qvᵀ` with `q = 2(Av − (vᵀAv)v)`.
fn reflect_block(matrix: &mut [f64], size: usize, first: usize, v: &[f64]) {
    let row = |at: usize| at * size + first..(at + 1) * size;
    let product: Vec<f64> =
        (first..size).map(|at| matrix[row(at)].iter().zip(v).map(|(value, v)| value * v).sum()).collect();
    let along: f64 = product.iter().zip(v).map(|(product, v)| product * v).sum();
    let q: Vec<f64> = product.iter().zip(v).map(|(product, v)| 2.0 * (product - along * v)).collect();
    for at in 0..v.len() {
        let (v_at, q_at) = (v[at], q[at]);
        for ((value, v), q) in matrix[row(first + at)].iter_mut().zip(v).zip(&q) {
            *value -= v_at * q + q_at * v;
        }
    }
}

/// The transposed product of the reflections, whose rows become the eigenvectors.
fn accumulated(reflections: &[Vec<f64>], size: usize) -> Vec<f64> {
    let mut rows = vec![0.0; size * size];
    (0..size).for_each(|at| rows[at * size + at] = 1.0);
    // (H₀H₁…)ᵀ = …H₁H₀: the last reflection is applied to the identity first, each from the right.
    for (column, v) in reflections.iter().enumerate().rev() {
        let first = column + 1;
        for row in rows.chunks_exact_mut(size) {
            let along: f64 = row[first..].iter().zip(v).map(|(value, v)| value * v).sum();
            row[first..].iter_mut().zip(v).for_each(|(value, v)| *value -= 2.0 * along * v);
        }
    }
    rows
}

/// QR steps until nothing is left beside the diagonal; `vectors` holds the eigenvectors as rows.
fn diagonalise(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64], size: usize) {
    // Two or three steps an eigenvalue are usual; the bound only makes sure of an end.
    for _ in 0..60 * size {
        for at in 0..beside.len() {
            if beside[at].abs() <= f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs()) {
                beside[at] = 0.0;
            }
        }
        let Some(last) = (0..beside.len()).rev().find(|&at| beside[at] != 0.0).map(|at| at + 1) else {
            return;
        };
        let first = (0..last).rev().find(|&at| at == 0 || beside[at - 1] == 0.0).unwrap_or(0);
        qr_step(diagonal, beside, vectors, size, first, last);
    }
}

fn qr_step(
    diagonal: &mut [f64],
    beside: &mut [f64],
    vectors: &mut [f64],
    size: usize,
    first: usize,
    last: usize,
) {
    let (half, off) = ((diagonal[last - 1] - diagonal[last]) / 2.0, beside[last - 1]);
    let shift = diagonal[last] - off * off / (half + half.hypot(off).copysign(half));
    let (mut x, mut z) = (diagonal[first] - shift, beside[first]);
    for at in first..last {
        let length = x.hypot(z);
        let (c, s) = if length == 0.0 { (1.0, 0.0) } else { (x / length, z / length) };
        if at > first {
            beside[at - 1] = length;
        }
        let (a, b, f) = (diagonal[at], diagonal[at + 1], beside[at]);
        diagonal[at] = c * c * a + 2.0 * c * s * f + s * s * b;
        diagonal[at + 1] = s * s * a - 2.0 * c * s * f + c * c * b;
        beside[at] = (c * c - s * s) * f + c * s * (b - a);
        x = beside[at];
        if at + 1 < last {
            z = s * beside[at + 1];
            beside[at + 1] *= c;
        }
        let (upper, lower) = vectors[at * size..(at + 2) * size].split_at_mut(size);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            (*upper, *lower) = (c * *upper + s * *lower, c * *lower - s * *upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eigenvectors_are_orthonormal_and_rebuild_the_matrix(
            (size, seed) in (1_usize..12, prop::collection::vec(-5.0_f64..5.0, 144))
        ) {
            let entry = |row: usize, column: usize| seed[row.min(column) * 12 + row.max(column)];
            let matrix: Vec<f64> = (0..size * size).map(|at| entry(at / size, at % size)).collect();
            let (values, vectors) = symmetric_eigen(matrix.clone(), size);
            prop_assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            for row in 0..size {
                for column in 0..size {
                    let dot: f64 = (0..size).map(|at| vectors[row * size + at] * vectors[column * size + at]).sum();
                    prop_assert!((dot - f64::from(u8::from(row == column))).abs() < 1e-12, "{dot}");
                    let rebuilt: f64 =
                        (0..size).map(|at| values[at] * vectors[at * size + row] * vectors[at * size + column]).sum();
                    prop_assert!((rebuilt - matrix[row * size + column]).abs() < 1e-11);
                }
            }
        }
    }

    #[test]
    fn repeated_and_zero_eigenvalues_are_found() {
        let (values, _) = symmetric_eigen(vec![1.0; 16], 4);
        assert!((values[0] - 4.0).abs() < 1e-14 && values[1..].iter().all(|value| value.abs() < 1e-14));
        assert_eq!(symmetric_eigen(vec![0.0; 9], 3).0, [0.0; 3]);
    }
}
