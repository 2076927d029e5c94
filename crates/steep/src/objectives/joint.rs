//! Fine-tuning of one network over texts and the columns beside them.
//!
//! With modality dropout, some rows of a step are shown without their text, or without their columns, so that the network
//! leans on neither alone (Neverova et al. 2016, "ModDrop"). Which rows, is a function of (seed, epoch, row).

use super::classification::{Classification, LabelledBatch};
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::random::Stream;
use crate::training::{Objective, Sequences};
use burn::Tensor;
use std::collections::BTreeMap;
use steep_encoder::layers::pool_states;
use steep_encoder::pooling::PoolingMode;
use steep_encoder::{Model, Pass, RowColumns};

/// Training over some rows of texts with columns. The model has a head over columns.
pub struct Joint<'a> {
    /// Texts, targets, rows and loss.
    pub classification: Classification<'a>,
    /// The columns of all rows as the head takes them.
    pub columns: &'a DenseMatrix,
    /// How the states of a text become its vector.
    pub pooling: Vec<PoolingMode>,
    /// Share of the rows that are shown without their text or, as often, without their columns.
    pub modality_dropout: f64,
    /// Seed of that.
    pub seed: u64,
}

/// Rows as the network takes them.
pub struct JointBatch {
    texts: LabelledBatch,
    /// `[rows, columns]`
    columns: Vec<f32>,
    keep_text: Vec<f32>,
    keep_columns: Vec<f32>,
}

/// Name of the random stream.
const MODALITY: u64 = 0x6d6f_6461;

impl Joint<'_> {
    fn columns_of(&self, rows: &[u32]) -> Vec<f32> {
        rows.iter().flat_map(|&row| self.columns.row(row as usize)).copied().collect()
    }

    /// For each row, whether its text and whether its columns are shown, as 1 or 0.
    fn shown(&self, rows: &[u32], epoch: u64) -> (Vec<f32>, Vec<f32>) {
        if self.modality_dropout == 0.0 {
            return (Vec::new(), Vec::new());
        }
        let half = self.modality_dropout / 2.0;
        let shown = |&row: &u32| {
            let draw = Stream::new(self.seed, &[MODALITY, epoch, u64::from(row)]).next_f64();
            let (text, columns) = (draw >= half, draw < half || draw >= 2.0 * half);
            (f32::from(u8::from(text)), f32::from(u8::from(columns)))
        };
        rows.iter().map(shown).unzip()
    }

    fn logits(
        &self,
        model: &Model,
        pass: &Pass,
        batch: &LabelledBatch,
        columns: &RowColumns<'_>,
    ) -> Tensor<2> {
        let hidden = model.last_hidden_state(pass, &batch.batch);
        model.tabular_logits(pass, pool_states(&hidden, &batch.batch, &self.pooling), columns)
    }
}

impl Objective for Joint<'_> {
    type Prepared = JointBatch;

    fn sequences(&self) -> &dyn Sequences {
        self.classification.sequences()
    }

    fn rows(&self) -> &[u32] {
        self.classification.rows()
    }

    fn prepare(&self, rows: &[u32], epoch: u64) -> JointBatch {
        let (keep_text, keep_columns) = self.shown(rows, epoch);
        let texts = self.classification.prepare(rows, epoch);
        JointBatch { texts, columns: self.columns_of(rows), keep_text, keep_columns }
    }

    fn loss(&self, model: &Model, pass: &Pass, prepared: JointBatch) -> Option<(Tensor<1>, f64)> {
        let columns = RowColumns {
            values: &prepared.columns,
            keep_text: &prepared.keep_text,
            keep_columns: &prepared.keep_columns,
        };
        let logits = self.logits(model, pass, &prepared.texts, &columns);
        Some(self.classification.loss_of(logits, &prepared.texts.rows))
    }

    fn evaluate(&self, model: &Model, ctx: &Context) -> Result<BTreeMap<String, f64>> {
        self.classification.evaluate_by(model, ctx, |pass, batch| {
            self.logits(model, pass, batch, &RowColumns::whole(&self.columns_of(&batch.rows)))
        })
    }

    fn metric_for_best_model(&self) -> (&'static str, bool) {
        self.classification.metric_for_best_model()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::{ClassificationSettings, Targets};
    use crate::text::Encodings;

    #[test]
    fn text_or_columns_are_withheld_in_their_share_and_never_both() {
        let (sequences, targets) =
            (Encodings { offsets: vec![0], ..Encodings::default() }, Targets::Classes(vec![]));
        let columns = DenseMatrix::new(0, 1, Vec::new()).unwrap();
        let joint = |modality_dropout: f64| Joint {
            classification: Classification {
                sequences: &sequences,
                targets: &targets,
                num_labels: 2,
                rows: Vec::new(),
                validation_rows: Vec::new(),
                settings: ClassificationSettings { label_smoothing_factor: 0.0, class_weights: Vec::new() },
                max_tokens: 1,
            },
            columns: &columns,
            pooling: vec![PoolingMode::Mean],
            modality_dropout,
            seed: 3,
        };
        let rows: Vec<u32> = (0..10_000).collect();
        assert_eq!(joint(0.0).shown(&rows, 0), (vec![], vec![]));
        let (text, columns) = joint(0.3).shown(&rows, 0);
        let share = |kept: &[f32]| kept.iter().filter(|kept| **kept == 0.0).count() as f64 / 1e4;
        assert!((share(&text) - 0.15).abs() < 0.02 && (share(&columns) - 0.15).abs() < 0.02);
        assert!(text.iter().zip(&columns).all(|(text, columns)| text + columns >= 1.0));
        assert_eq!(joint(0.3).shown(&rows[7..9], 0).0, text[7..9]);
        assert_ne!(joint(0.3).shown(&rows, 1).0, text);
    }
}
