//! One tree, grown leaf by leaf where the gain is largest.

use super::bins::{BinnedColumns, MISSING};
use super::histogram::{Histogram, Lanes, Rules, Split};
use super::tree::{Child, Node};

/// What a tree is grown on.
#[derive(Clone, Copy)]
pub(super) struct Growth<'a> {
    pub(super) columns: &'a BinnedColumns,
    pub(super) rows: &'a [u32],
    pub(super) num_leaves: usize,
    pub(super) min_child_samples: usize,
    pub(super) reg_lambda: f64,
}

/// A leaf that may still be split.
struct Leaf<const L: usize> {
    rows: Vec<u32>,
    histogram: Histogram<L>,
    split: Option<Split>,
    /// The node above and whether this is its left child.
    parent: Option<(usize, bool)>,
}

/// Returns the nodes and the rows of each leaf, in the order of leaves.
pub(super) fn grow<const L: usize>(
    growth: &Growth<'_>,
    lanes: &[Lanes<L>],
    units: [f64; L],
) -> (Vec<Node>, Vec<Vec<u32>>) {
    let rules = Rules { min_child_samples: growth.min_child_samples, reg_lambda: growth.reg_lambda, units };
    let columns = growth.columns;
    let leaf = |rows: Vec<u32>, histogram: Histogram<L>, parent| {
        let split = histogram.best_split(columns, &rules);
        Leaf { rows, histogram, split, parent }
    };
    let histogram = Histogram::of_rows(columns, growth.rows, lanes);
    let mut leaves = vec![leaf(growth.rows.to_vec(), histogram, None)];
    let mut nodes: Vec<Node> = Vec::new();
    while leaves.len() < growth.num_leaves {
        let Some(at) = most_gain(&leaves) else { break };
        let Leaf { rows, histogram, split, parent } = leaves.swap_remove(at);
        let Some(split) = split else { break };
        let number = nodes.len();
        if let Some((above, is_left)) = parent {
            nodes[above].set_child(is_left, Child::Node(number));
        }
        nodes.push(Node {
            column: split.column as u32,
            bin: split.bin,
            // A split between values and missing ones lets every value go left.
            threshold: if usize::from(split.bin) + 1 == columns.bin_count(split.column) {
                f32::INFINITY
            } else {
                columns.upper_bound(split.column, split.bin)
            },
            missing_left: split.missing_left,
            left: Child::Leaf(0),
            right: Child::Leaf(0),
        });
        let (left, right): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|&row| goes_left(&split, columns.bin(row, split.column)));
        let smaller_is_left = left.len() <= right.len();
        let smaller = Histogram::of_rows(columns, if smaller_is_left { &left } else { &right }, lanes);
        let larger = histogram.without(&smaller);
        let (left_histogram, right_histogram) =
            if smaller_is_left { (smaller, larger) } else { (larger, smaller) };
        leaves.push(leaf(left, left_histogram, Some((number, true))));
        leaves.push(leaf(right, right_histogram, Some((number, false))));
    }
    for (number, leaf) in leaves.iter().enumerate() {
        if let Some((above, is_left)) = leaf.parent {
            nodes[above].set_child(is_left, Child::Leaf(number));
        }
    }
    (nodes, leaves.into_iter().map(|leaf| leaf.rows).collect())
}

fn goes_left(split: &Split, bin: u8) -> bool {
    if bin == MISSING { split.missing_left } else { bin <= split.bin }
}

/// The leaf whose split gains most, the first among equals; none if no leaf can be split.
fn most_gain<const L: usize>(leaves: &[Leaf<L>]) -> Option<usize> {
    let gains = leaves.iter().enumerate().filter_map(|(at, leaf)| Some((at, leaf.split?.gain)));
    gains.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(at, _)| at)
}
