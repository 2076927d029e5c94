//! One column of codes: `OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)`.

use super::categories::Categories;

/// The code of each row's category, −1 for an unseen one where there is no place for rare ones.
pub(super) fn ordinal(categories: &Categories, values: &[Option<String>]) -> Vec<f64> {
    let code = |value: &Option<String>| categories.code(value.as_deref()).map_or(-1.0, |code| code as f64);
    values.iter().map(code).collect()
}
