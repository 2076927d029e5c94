//! One column a category: `OneHotEncoder(handle_unknown="infrequent_if_exist")`.

use super::categories::Categories;

/// 1 in the column of a row's category, 0 in all others; an unseen category without a place is 0 in all.
pub(super) fn one_hot(categories: &Categories, values: &[Option<String>]) -> Vec<Vec<f64>> {
    let mut columns = vec![vec![0.0; values.len()]; categories.width()];
    for (row, value) in values.iter().enumerate() {
        if let Some(code) = categories.code(value.as_deref()) {
            columns[code][row] = 1.0;
        }
    }
    columns
}
