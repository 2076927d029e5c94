//! Products of all vectors with all, some rows at a time.

use crate::features::matrix::DenseMatrix;
use crate::learners::products::product_of_rows;
use steep_encoder::pooling::normalize;

/// Rows compared with all others at a time.
const BLOCK: usize = 256;

/// The same vectors, of length one; a vector of zeros stays as it is.
pub(super) fn of_unit_length(vectors: &DenseMatrix) -> DenseMatrix {
    let mut unit = vectors.clone();
    unit.values_mut().chunks_exact_mut(vectors.columns().max(1)).for_each(normalize);
    unit
}

/// Visits each row with its products with all rows of `others`.
pub(super) fn for_each_row_of_products(
    vectors: &DenseMatrix,
    others: &DenseMatrix,
    mut visit: impl FnMut(usize, &[f32]),
) {
    let (width, count) = (vectors.columns(), others.rows());
    if width == 0 || count == 0 {
        return;
    }
    for (block, rows) in vectors.values().chunks(BLOCK * width).enumerate() {
        let mut products = vec![0.0; rows.len() / width * count];
        product_of_rows(rows, others.values(), [rows.len() / width, width, count], &mut products);
        for (row, products) in products.chunks_exact(count).enumerate() {
            visit(block * BLOCK + row, products);
        }
    }
}

/// The same in 64 bits.
pub(super) fn wide(vectors: &DenseMatrix) -> Vec<f64> {
    vectors.values().iter().map(|&value| f64::from(value)).collect()
}
