//! Which prepared columns are numbers, which say 0 or 1 for a category, and which are codes.

use crate::features::matrix::DenseMatrix;
use std::ops::Range;

/// How many columns the parts have that stand before and behind the categories.
pub(super) struct PartWidths {
    /// Numbers, booleans and parts of dates, which come first.
    pub(super) numbers: usize,
    /// Tags, behind the categories.
    pub(super) tags: usize,
    /// Engineered columns, the last.
    pub(super) engineered: usize,
}

/// What the columns of a preparation are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedLayout {
    /// Of numbers, in two runs.
    numerical: [Range<usize>; 2],
    /// Of categories and tags that have a column each.
    indicators: Range<usize>,
    /// Of codes.
    codes: Range<usize>,
    /// How many categories each column of codes has.
    categories: Vec<usize>,
}

impl PreparedLayout {
    pub(super) fn new(widths: &PartWidths, categories: usize, counts: Option<Vec<usize>>) -> Self {
        let (first, end) = (widths.numbers, widths.numbers + categories);
        let behind = end + widths.tags;
        let codes = if counts.is_some() { first..end } else { first..first };
        Self {
            numerical: [0..first, behind..behind + widths.engineered],
            indicators: codes.end..behind,
            codes,
            categories: counts.unwrap_or_default(),
        }
    }

    /// Columns of numbers.
    pub fn numerical(&self) -> usize {
        self.numerical.iter().map(Range::len).sum()
    }

    /// Columns that say 0 or 1.
    pub fn indicators(&self) -> usize {
        self.indicators.len()
    }

    /// How many categories each column of codes has; the code of an unseen one is this number.
    pub fn categories(&self) -> &[usize] {
        &self.categories
    }

    /// Prepared rows in the order numbers, indicators, codes.
    pub fn arranged(&self, prepared: &DenseMatrix) -> DenseMatrix {
        let runs = [&self.numerical[0], &self.numerical[1], &self.indicators, &self.codes];
        let mut values = Vec::with_capacity(prepared.values().len());
        for row in 0..prepared.rows() {
            let row = prepared.row(row);
            runs.iter().for_each(|run| values.extend_from_slice(&row[(*run).clone()]));
        }
        DenseMatrix::new(prepared.rows(), prepared.columns(), values).expect("each column is in one run")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_put_in_the_order_of_a_network() {
        let widths = PartWidths { numbers: 2, tags: 1, engineered: 1 };
        let rows = DenseMatrix::new(1, 6, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let coded = PreparedLayout::new(&widths, 2, Some(vec![7, 8]));
        assert_eq!(coded.arranged(&rows).values(), [0.0, 1.0, 5.0, 4.0, 2.0, 3.0]);
        assert_eq!((coded.numerical(), coded.indicators(), coded.categories()), (3, 1, &[7, 8][..]));
        let one_hot = PreparedLayout::new(&widths, 2, None);
        assert_eq!(one_hot.arranged(&rows).values(), [0.0, 1.0, 5.0, 2.0, 3.0, 4.0]);
        assert_eq!((one_hot.numerical(), one_hot.indicators(), one_hot.categories().len()), (3, 3, 0));
    }
}
