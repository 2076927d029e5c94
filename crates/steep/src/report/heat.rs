//! The confusion matrix: as a table of counts for few classes, as a map and the most confused pairs for many.

use super::format::shorten;
use super::markup::Markup;
use super::route::Confusion;
use super::strips::Layout;
use super::svg::{Anchor, Svg, px, text_width};
use std::fmt::Write;

/// Up to this many classes the matrix is a table with counts.
pub(super) const MOST_TABLE_CLASSES: usize = 20;
/// Beyond this many classes no map is drawn: its cells could not be seen.
const MOST_MAP_CLASSES: usize = 100;

/// A matrix that is square, with its classes from the most frequent to the rarest.
pub(super) struct Matrix {
    classes: Vec<String>,
    counts: Vec<Vec<u64>>,
}

/// A cell of the table.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// The class that sets the shade.
    pub(super) class: String,
    /// The count; empty for zero.
    pub(super) text: String,
}

/// Two classes of which the first is taken for the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// The true class.
    pub(super) truth: String,
    /// The predicted class.
    pub(super) prediction: String,
    /// Test rows.
    pub(super) rows: u64,
    /// Of the rows of the true class, in per cent, rounded.
    pub(super) percent: u64,
}

impl Matrix {
    /// The matrix in the order of class frequency; none if it is empty or not square.
    pub(super) fn of(confusion: &Confusion) -> Option<Self> {
        let size = confusion.classes.len();
        if size == 0 || confusion.counts.len() != size || confusion.counts.iter().any(|row| row.len() != size)
        {
            return None;
        }
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by_key(|class| std::cmp::Reverse(total(&confusion.counts[*class])));
        let classes = order.iter().map(|class| confusion.classes[*class].clone()).collect();
        let counts =
            order.iter().map(|row| order.iter().map(|column| confusion.counts[*row][*column]).collect());
        Some(Self { classes, counts: counts.collect() })
    }

    /// The classes, the most frequent first.
    pub(super) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The table's cells, row by row.
    pub(super) fn cells(&self) -> Vec<Vec<Cell>> {
        let cell = |row: usize, column: usize| {
            let count = self.counts[row][column];
            let text = if count == 0 { String::new() } else { super::format::count(count) };
            Cell { class: self.shade(row, column).unwrap_or_default(), text }
        };
        (0..self.classes.len())
            .map(|row| (0..self.classes.len()).map(|column| cell(row, column)).collect())
            .collect()
    }

    /// The share of the row's class that fell into the column.
    fn share(&self, row: usize, column: usize) -> f64 {
        self.counts[row][column] as f64 / total(&self.counts[row]).max(1) as f64
    }

    /// `h1` to `h5` for what was found, `m1` to `m5` for what was mistaken; none for an empty cell.
    fn shade(&self, row: usize, column: usize) -> Option<String> {
        if self.counts[row][column] == 0 {
            return None;
        }
        let share = self.share(row, column);
        let (letter, limits) =
            if row == column { ('h', [0.2, 0.4, 0.6, 0.8]) } else { ('m', [0.02, 0.05, 0.12, 0.25]) };
        let level = 1 + limits.iter().filter(|limit| share >= **limit).count();
        Some(format!("{letter}{level}"))
    }

    /// The pairs with the most mistaken rows.
    pub(super) fn pairs(&self, most: usize) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (row, truth) in self.classes.iter().enumerate() {
            for (column, prediction) in self.classes.iter().enumerate() {
                let rows = self.counts[row][column];
                if row != column && rows > 0 {
                    let percent = (self.share(row, column) * 100.0).round() as u64;
                    pairs.push(Pair { truth: truth.clone(), prediction: prediction.clone(), rows, percent });
                }
            }
        }
        pairs.sort_by_key(|pair| std::cmp::Reverse((pair.rows, pair.percent)));
        pairs.truncate(most);
        pairs
    }

    /// The map, or none where there are too many classes to see anything.
    pub(super) fn map(&self, layout: Layout) -> Option<Markup> {
        let size = self.classes.len();
        if size > MOST_MAP_CLASSES {
            return None;
        }
        let longest =
            self.classes.iter().map(|class| text_width(&shorten(class, 14), 9.5)).fold(0.0, f64::max);
        let (margin, cell) = match layout {
            Layout::Wide => (longest + 8.0, ((800.0 - longest) / size as f64).clamp(7.0, 11.0)),
            Layout::Narrow => (2.0, (layout.width() - 4.0) / size as f64),
        };
        let side = cell * size as f64;
        let extent = margin + side + 2.0;
        let description = "Rows are true classes, columns predicted ones, the most frequent class first. The most \
                           confused pairs are in the table beside.";
        let class = format!("map {}", layout.class());
        let mut svg = Svg::new(&class, extent, extent, "Confusion matrix", description);
        svg.rectangle("frame", (margin, margin), (side, side));
        for shade in ["h1", "h2", "h3", "h4", "h5", "m1", "m2", "m3", "m4", "m5"] {
            let data = self.cells_of(shade, margin, cell);
            if !data.is_empty() {
                svg.path(shade, &data);
            }
        }
        if layout == Layout::Wide {
            self.draw_names(&mut svg, margin, cell);
        }
        Some(svg.finish())
    }

    /// The squares of one shade as one path.
    fn cells_of(&self, shade: &str, margin: f64, cell: f64) -> String {
        let mut data = String::new();
        let side = px(cell - 0.6);
        for row in 0..self.classes.len() {
            for column in 0..self.classes.len() {
                if self.shade(row, column).as_deref() == Some(shade) {
                    let (x, y) =
                        (px(margin + column as f64 * cell + 0.3), px(margin + row as f64 * cell + 0.3));
                    let _ = write!(data, "M{x} {y}h{side}v{side}h-{side}z");
                }
            }
        }
        data
    }

    fn draw_names(&self, svg: &mut Svg, margin: f64, cell: f64) {
        for (index, class) in self.classes.iter().enumerate() {
            let name = shorten(class, 14);
            let along = margin + (index as f64 + 0.5) * cell + 3.2;
            svg.text("tiny", (margin - 5.0, along), Anchor::End, &name);
            svg.rotated_text("tiny", (along, margin - 5.0), &name);
        }
    }
}

fn total(row: &[u64]) -> u64 {
    row.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion() -> Confusion {
        Confusion { classes: vec!["rare".into(), "often".into()], counts: vec![vec![1, 1], vec![10, 90]] }
    }

    #[test]
    fn classes_stand_from_frequent_to_rare() {
        let matrix = Matrix::of(&confusion()).unwrap();
        assert_eq!(matrix.classes(), ["often", "rare"]);
        assert_eq!(matrix.cells()[0][1].text, "10");
        assert_eq!(matrix.cells()[1][0].class, "m5");
    }

    #[test]
    fn pairs_are_ordered_by_rows() {
        let pairs = Matrix::of(&confusion()).unwrap().pairs(5);
        assert_eq!(
            pairs[0],
            Pair { truth: "often".into(), prediction: "rare".into(), rows: 10, percent: 10 }
        );
        assert_eq!(pairs[1].percent, 50);
    }

    #[test]
    fn a_matrix_that_is_not_square_is_refused() {
        let mut broken = confusion();
        broken.counts[1].pop();
        assert!(Matrix::of(&broken).is_none());
        assert!(Matrix::of(&Confusion::default()).is_none());
    }
}
