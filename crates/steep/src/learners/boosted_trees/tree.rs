//! Grown trees and what they say about rows.

use super::bins::{BinnedColumns, MISSING};
use super::linked;
use crate::error::{Error, Result};
use crate::features::matrix::DenseMatrix;
use crate::learners::network::OutputLink;
use rayon::prelude::*;

/// Rows that pass a tree together.
const ROWS: usize = 256;

/// What lies below a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// Another node of the tree.
    Node(usize),
    /// A leaf of the tree.
    Leaf(usize),
}

/// A question about a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    /// The column.
    pub(super) column: u32,
    /// The same question about bins; used while growing only.
    pub(super) bin: u8,
    /// Values up to this one go left.
    pub(super) threshold: f32,
    /// Rows without a value go left.
    pub(super) missing_left: bool,
    /// Where rows that go left come to.
    pub(super) left: Child,
    /// Where the others come to.
    pub(super) right: Child,
}

impl Node {
    pub(super) fn set_child(&mut self, is_left: bool, child: Child) {
        *(if is_left { &mut self.left } else { &mut self.right }) = child;
    }

    fn below(&self, is_left: bool) -> Child {
        if is_left { self.left } else { self.right }
    }
}

/// One tree. Its first node is the root.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// `[leaves, outputs]`.
    pub(super) leaves: Vec<f32>,
}

impl Tree {
    fn leaf_of(&self, goes_left: impl Fn(&Node) -> bool) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            match node.below(goes_left(node)) {
                Child::Node(next) => at = next,
                Child::Leaf(leaf) => return leaf,
            }
        }
    }

    pub(super) fn leaf_of_row(&self, row: &[f32]) -> usize {
        self.leaf_of(|node| {
            let value = row[node.column as usize];
            if value.is_nan() { node.missing_left } else { value <= node.threshold }
        })
    }

    pub(super) fn leaf_of_bins(&self, columns: &BinnedColumns, row: u32) -> usize {
        self.leaf_of(|node| {
            let bin = columns.bin(row, node.column as usize);
            if bin == MISSING { node.missing_left } else { bin <= node.bin }
        })
    }
}

/// Trees whose leaves add up.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostedTrees {
    columns: usize,
    /// What the sums begin with, `[outputs]`.
    base: Vec<f32>,
    link: OutputLink,
    /// A value is `mean + scale · sum`.
    value: [f64; 2],
    trees: Vec<Tree>,
}

impl BoostedTrees {
    pub(super) fn new(columns: usize, base: Vec<f32>, link: OutputLink, value: [f64; 2]) -> Self {
        Self { columns, base, link, value, trees: Vec::new() }
    }

    pub(super) fn push(&mut self, tree: Tree) {
        self.trees.push(tree);
    }

    pub(super) fn truncate(&mut self, count: usize) {
        self.trees.truncate(count);
    }

    /// The number of trees.
    pub fn tree_count(&self) -> usize {
        self.trees.len()
    }

    /// How the sums become predictions.
    pub(crate) fn link(&self) -> OutputLink {
        self.link
    }

    /// The number of sums.
    pub(crate) fn width(&self) -> usize {
        self.base.len()
    }

    #[cfg(test)]
    pub(super) fn trees(&self) -> Vec<Tree> {
        self.trees.clone()
    }

    /// The number of feature columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Probabilities `[rows, classes]` or `[rows, labels]`, or values `[rows, 1]`.
    pub fn outputs_of(&self, features: &DenseMatrix) -> Result<DenseMatrix> {
        if features.columns() != self.columns {
            let problem =
                format!("the trees were grown on {} columns, not {}", self.columns, features.columns());
            return Err(Error::config("features", problem, "give the columns that were used for fitting"));
        }
        let rows: Vec<u32> = (0..features.rows() as u32).collect();
        let parts: Vec<Vec<f32>> = rows
            .par_chunks(ROWS)
            .map(|rows| {
                let mut scores = self.base.repeat(rows.len());
                for tree in &self.trees {
                    for (&row, scores) in rows.iter().zip(scores.chunks_exact_mut(self.base.len())) {
                        add_leaf(scores, tree, tree.leaf_of_row(features.row(row as usize)));
                    }
                }
                let mut values = Vec::with_capacity(scores.len() * 2);
                scores
                    .chunks_exact(self.base.len())
                    .for_each(|row| linked(self.link, row, self.value, &mut values));
                values
            })
            .collect();
        let columns = if self.link == OutputLink::Binary { 2 } else { self.base.len() };
        DenseMatrix::new(features.rows(), columns, parts.concat())
    }

    /// Everything as flat lists, for files.
    pub(crate) fn flat(&self) -> FlatTrees {
        let mut flat = FlatTrees { base: self.base.clone(), value: self.value, ..FlatTrees::default() };
        for tree in &self.trees {
            flat.node_counts.push(tree.nodes.len() as u32);
            flat.leaf_counts.push((tree.leaves.len() / self.base.len()) as u32);
            flat.leaves.extend(&tree.leaves);
            for node in &tree.nodes {
                flat.columns.push(node.column);
                flat.thresholds.push(node.threshold);
                flat.missing_left.push(u32::from(node.missing_left));
                flat.children.extend([number(node.left), number(node.right)]);
            }
        }
        flat
    }

    /// The inverse of [`Self::flat`]; the error says what does not fit.
    pub(crate) fn from_flat(columns: usize, link: OutputLink, flat: &FlatTrees) -> Result<Self, String> {
        let mut model = Self::new(columns, flat.base.clone(), link, flat.value);
        let (mut node, mut leaf) = (0, 0);
        for (&nodes, &leaves) in flat.node_counts.iter().zip(&flat.leaf_counts) {
            let (nodes, leaves) = (nodes as usize, leaves as usize);
            if nodes + 1 != leaves || node + nodes > flat.columns.len() {
                return Err(format!("tree {}: {nodes} nodes and {leaves} leaves", model.trees.len() + 1));
            }
            let tree_nodes: Result<Vec<Node>, String> =
                (0..nodes).map(|at| flat.node(node + at, at, [nodes, leaves], columns)).collect();
            let values = flat.leaves.get(leaf * flat.base.len()..(leaf + leaves) * flat.base.len());
            let values = values.ok_or("there are fewer leaves than the trees have")?.to_vec();
            model.push(Tree { nodes: tree_nodes?, leaves: values });
            node += nodes;
            leaf += leaves;
        }
        let finite = flat.leaves.iter().chain(&flat.base).all(|value| value.is_finite());
        if node != flat.columns.len() || leaf * flat.base.len() != flat.leaves.len() || !finite {
            return Err("the lists of nodes and leaves do not fit, or are not finite".to_owned());
        }
        Ok(model)
    }
}

/// Adds a leaf's vector.
pub(super) fn add_leaf(scores: &mut [f32], tree: &Tree, leaf: usize) {
    let values = &tree.leaves[leaf * scores.len()..][..scores.len()];
    scores.iter_mut().zip(values).for_each(|(score, value)| *score += value);
}

/// Leaves count from −1 down.
fn number(child: Child) -> i32 {
    match child {
        Child::Node(node) => node as i32,
        Child::Leaf(leaf) => -1 - leaf as i32,
    }
}

/// Trees as flat lists, one tree after the other.
#[derive(Debug, Default)]
pub(crate) struct FlatTrees {
    pub(crate) base: Vec<f32>,
    pub(crate) value: [f64; 2],
    pub(crate) node_counts: Vec<u32>,
    pub(crate) leaf_counts: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    pub(crate) thresholds: Vec<f32>,
    pub(crate) missing_left: Vec<u32>,
    /// `[nodes, 2]`.
    pub(crate) children: Vec<i32>,
    pub(crate) leaves: Vec<f32>,
}

impl FlatTrees {
    /// Node `place` of the lists, which is node `at` of its tree. Children come after their node, so that no path can
    /// be endless.
    fn node(
        &self,
        place: usize,
        at: usize,
        [nodes, leaves]: [usize; 2],
        columns: usize,
    ) -> Result<Node, String> {
        let child = |number: i32| match usize::try_from(number) {
            Ok(node) if node > at && node < nodes => Some(Child::Node(node)),
            Err(_) if ((-1 - number) as usize) < leaves => Some(Child::Leaf((-1 - number) as usize)),
            _ => None,
        };
        let fault = || format!("node {place} of the trees is damaged");
        let [left, right] =
            [2 * place, 2 * place + 1].map(|at| self.children.get(at).copied().and_then(child));
        let column = self.columns[place];
        let (Some(left), Some(right)) = (left, right) else { return Err(fault()) };
        let threshold = *self.thresholds.get(place).ok_or_else(fault)?;
        if column as usize >= columns || threshold.is_nan() {
            return Err(fault());
        }
        let missing_left = *self.missing_left.get(place).ok_or_else(fault)? == 1;
        Ok(Node { column, bin: 0, threshold, missing_left, left, right })
    }
}
