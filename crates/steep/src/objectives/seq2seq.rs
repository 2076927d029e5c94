//! Sequence to sequence: write one text after reading another, as in translation and summarisation (Sutskever et al.
//! 2014). The decoder reads what it should have written so far (teacher forcing).

use super::held_out::HeldOut;
use super::written::{self, TextPairs};
use crate::error::Result;
use crate::progress::Context;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::BTreeMap;
use steep_encoder::{Model, Pass};

/// Sequence to sequence over some rows.
pub struct Seq2Seq<'a> {
    /// What is read.
    pub sources: &'a dyn Sequences,
    /// What is written; row by row after the sources.
    pub targets: &'a dyn Sequences,
    /// The rows trained on.
    pub rows: Vec<u32>,
    /// Share of the targets' probability that all words have in equal parts.
    pub label_smoothing: f64,
    /// Measured before, during and after: rows of the same texts.
    pub held_out: Vec<HeldOut<'a>>,
    /// Tokens computed at once in evaluation.
    pub max_tokens: usize,
}

/// Each row with both of its texts.
impl Sequences for Seq2Seq<'_> {
    fn len(&self) -> usize {
        self.sources.len()
    }

    fn length(&self, row: usize) -> usize {
        self.sources.length(row) + self.targets.length(row)
    }

    fn append(&self, row: usize, tokens: &mut Vec<u32>) {
        self.sources.append(row, tokens);
        self.targets.append(row, tokens);
    }
}

impl Seq2Seq<'_> {
    fn pairs(&self, rows: &[u32]) -> TextPairs {
        let is_whole = |row: &u32| {
            let row = *row as usize;
            self.sources.length(row) > 0 && self.targets.length(row) > 0
        };
        let rows: Vec<u32> = rows.iter().copied().filter(is_whole).collect();
        TextPairs { source: self.sources.pack(&rows), target: self.targets.pack(&rows) }
    }
}

impl Objective for Seq2Seq<'_> {
    type Prepared = TextPairs;

    fn sequences(&self) -> &dyn Sequences {
        self
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn prepare(&self, rows: &[u32], _: u64) -> TextPairs {
        self.pairs(rows)
    }

    /// Summed loss at the tokens that are written, and their number.
    fn loss(&self, model: &Model, pass: &Pass, pairs: TextPairs) -> Option<(Tensor<1>, f64)> {
        pairs.loss(model, pass, self.label_smoothing)
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        let length = |_: &dyn Sequences, row: u32| self.length(row as usize);
        let pairs = |_: &dyn Sequences, rows: &[u32]| self.pairs(rows);
        written::evaluate(model, &self.held_out, self.max_tokens, length, pairs, ctx)
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        ("loss", false)
    }
}
