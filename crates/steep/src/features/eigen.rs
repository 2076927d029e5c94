//! Eigenvalues and eigenvectors of a symmetric matrix.
//!
//! Householder's reduction to a tridiagonal matrix, then implicit QL steps (Golub & Van Loan, 4th ed., 8.3; the
//! algorithms `tred2` and `tql2` of EISPACK). Vectors are kept as rows, so that rotations run along memory.

use crate::features::sums::dot;
use rayon::prelude::*;

/// Steps for one eigenvalue; two or three are usual.
const MAX_STEPS: usize = 60;

/// `matrix = Σ valueᵢ vectorᵢ vectorᵢᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Eigen {
    /// Ascending.
    pub(crate) values: Vec<f64>,
    /// `[size, size]`: row `i` is the unit vector of value `i`.
    pub(crate) vectors: Vec<f64>,
}

/// Decomposes a symmetric matrix `[size, size]`.
pub(crate) fn symmetric_eigen(mut matrix: Vec<f64>, size: usize) -> Eigen {
    assert_eq!(matrix.len(), size * size, "a symmetric matrix is square");
    if size == 0 {
        return Eigen { values: Vec::new(), vectors: Vec::new() };
    }
    // Rounding of rounding, as columns that depend on others leave it: squares of it would leave the range of numbers.
    let nothing =
        f64::EPSILON.powi(2) * matrix.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let (mut diagonal, mut beside, reflections) = tridiagonal(&mut matrix, size, nothing);
    let mut vectors = accumulated(&reflections, size);
    implicit_ql(&mut diagonal, &mut beside, &mut vectors, size, nothing);
    sorted(&diagonal, &vectors, size)
}

/// A reflection `I − factor · v vᵀ` of the coordinates from `first` on.
struct Reflection {
    first: usize,
    factor: f64,
    vector: Vec<f64>,
}

/// Diagonal, first off-diagonal (`beside[i]` between `i` and `i + 1`), and the reflections that led there.
fn tridiagonal(matrix: &mut [f64], size: usize, nothing: f64) -> (Vec<f64>, Vec<f64>, Vec<Reflection>) {
    let (mut beside, mut reflections) = (vec![0.0; size], Vec::new());
    for column in 0..size.saturating_sub(2) {
        let first = column + 1;
        let mut vector: Vec<f64> = (first..size).map(|row| matrix[row * size + column]).collect();
        let norm = dot(&vector, &vector).sqrt();
        if norm <= nothing {
            continue;
        }
        let head = if vector[0] > 0.0 { -norm } else { norm };
        beside[column] = head;
        vector[0] -= head;
        let factor = 2.0 / dot(&vector, &vector);
        reflect_both_sides(matrix, size, first, &vector, factor);
        reflections.push(Reflection { first, factor, vector });
    }
    if size > 1 {
        beside[size - 2] = matrix[(size - 1) * size + size - 2];
    }
    let diagonal = (0..size).map(|at| matrix[at * size + at]).collect();
    (diagonal, beside, reflections)
}

/// `A ← H A H` of the trailing block, `H = I − factor · v vᵀ`.
fn reflect_both_sides(matrix: &mut [f64], size: usize, first: usize, vector: &[f64], factor: f64) {
    let trailing = &mut matrix[first * size..];
    let mut image: Vec<f64> =
        trailing.par_chunks(size).with_min_len(32).map(|row| factor * dot(&row[first..], vector)).collect();
    let shift = 0.5 * factor * dot(&image, vector);
    image.iter_mut().zip(vector).for_each(|(value, entry)| *value -= shift * entry);
    trailing.par_chunks_mut(size).with_min_len(32).enumerate().for_each(|(at, row)| {
        let (left, right) = (vector[at], image[at]);
        for ((value, entry), image) in row[first..].iter_mut().zip(vector).zip(&image) {
            *value -= left * image + right * entry;
        }
    });
}

/// The transpose of the product of all reflections, `[size, size]`.
fn accumulated(reflections: &[Reflection], size: usize) -> Vec<f64> {
    let mut vectors = vec![0.0; size * size];
    (0..size).for_each(|at| vectors[at * size + at] = 1.0);
    // `Qᵀ = Hₙ … H₁`: each row of `Qᵀ` is reflected on its own from the right if the product is built backwards.
    vectors.par_chunks_mut(size).for_each(|row| {
        for Reflection { first, factor, vector } in reflections.iter().rev() {
            let share = factor * dot(&row[*first..], vector);
            row[*first..].iter_mut().zip(vector).for_each(|(value, entry)| *value -= share * entry);
        }
    });
    vectors
}

/// Diagonalises, turning the rows of `vectors` along.
fn implicit_ql(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64], size: usize, nothing: f64) {
    for low in 0..size {
        for _ in 0..MAX_STEPS {
            let high =
                (low..size - 1).find(|&at| is_negligible(diagonal, beside, at, nothing)).unwrap_or(size - 1);
            if high == low {
                break;
            }
            ql_step(diagonal, beside, vectors, size, low, high);
        }
    }
}

fn is_negligible(diagonal: &[f64], beside: &[f64], at: usize, nothing: f64) -> bool {
    beside[at].abs() <= (f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs())).max(nothing)
}

/// One implicit QL step with Wilkinson's shift on the block from `low` to `high`.
fn ql_step(
    diagonal: &mut [f64],
    beside: &mut [f64],
    vectors: &mut [f64],
    size: usize,
    low: usize,
    high: usize,
) {
    let half = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
    let root = half.hypot(1.0).copysign(half);
    let mut bulge = diagonal[high] - diagonal[low] + beside[low] / (half + root);
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    let mut rotations = Vec::with_capacity(high - low);
    for at in (low..high).rev() {
        let (far, near) = (sine * beside[at], cosine * beside[at]);
        let length = far.hypot(bulge);
        beside[at + 1] = length;
        if length == 0.0 {
            diagonal[at + 1] -= shift;
            beside[high] = 0.0;
            turn(vectors, size, &rotations);
            return;
        }
        (sine, cosine) = (far / length, bulge / length);
        let base = diagonal[at + 1] - shift;
        let mixed = (diagonal[at] - base) * sine + 2.0 * cosine * near;
        shift = sine * mixed;
        diagonal[at + 1] = base + shift;
        bulge = cosine * mixed - near;
        rotations.push((at, sine, cosine));
    }
    diagonal[low] -= shift;
    beside[low] = bulge;
    beside[high] = 0.0;
    turn(vectors, size, &rotations);
}

/// Turns neighbouring rows, in the given order; columns are independent, so that cores share them out.
fn turn(vectors: &mut [f64], size: usize, rotations: &[(usize, f64, f64)]) {
    for &(at, sine, cosine) in rotations {
        let (upper, lower) = vectors[at * size..(at + 2) * size].split_at_mut(size);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let (first, second) = (*upper, *lower);
            *lower = sine * first + cosine * second;
            *upper = cosine * first - sine * second;
        }
    }
}

fn sorted(diagonal: &[f64], vectors: &[f64], size: usize) -> Eigen {
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| diagonal[a].total_cmp(&diagonal[b]));
    let values = order.iter().map(|&at| diagonal[at]).collect();
    let vectors = order.iter().flat_map(|&at| &vectors[at * size..][..size]).copied().collect();
    Eigen { values, vectors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn check(matrix: &[f64], size: usize) {
        let Eigen { values, vectors } = symmetric_eigen(matrix.to_vec(), size);
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        let largest = values.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
        for row in 0..size {
            for column in 0..size {
                let entry = |i: usize| values[i] * vectors[i * size + row] * vectors[i * size + column];
                let sum: f64 = (0..size).map(entry).sum();
                let difference = (sum - matrix[row * size + column]).abs();
                assert!(difference < 1e-12 * largest * size as f64, "{size}: {difference:e}");
                let product = dot(&vectors[row * size..][..size], &vectors[column * size..][..size]);
                assert!((product - f64::from(u8::from(row == column))).abs() < 1e-12 * size as f64);
            }
        }
    }

    #[test]
    fn values_and_vectors_give_the_matrix_back() {
        let mut stream = Stream::new(1, &[]);
        for size in [1, 2, 3, 10, 57] {
            let mut matrix = vec![0.0; size * size];
            for row in 0..size {
                for column in 0..=row {
                    let value = stream.normal() * 10f64.powi((row % 4) as i32);
                    matrix[row * size + column] = value;
                    matrix[column * size + row] = value;
                }
            }
            check(&matrix, size);
        }
        check(&[0.0; 16], 4);
        check(&[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0], 3);
        // Columns that repeat others, and columns of zeros.
        let entry = |at: usize| ((at % 3 + 1) as f64).sqrt() * f64::from(u8::from(!at.is_multiple_of(7)));
        let repeated: Vec<f64> = (0..80 * 80)
            .map(|at| (at / 80, at % 80))
            .map(|(row, column)| entry(row) * entry(column) + entry(row * row) * entry(column * column) * 0.1)
            .collect();
        check(&repeated, 80);
        let rank_one: Vec<f64> = (0..25).map(|at| f64::from((at / 5 + 1) * (at % 5 + 1))).collect();
        check(&rank_one, 5);
    }
}
