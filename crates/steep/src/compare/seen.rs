//! Columns beside vectors that have seen the labels of the training rows.
//!
//! A fine-tuned encoder knows the training labels nearly by heart, so that a learner on the training rows takes its
//! vectors for far surer than they are on other rows, and hardly looks at the columns. So here learner, parameter and the
//! weight of the vectors' block are chosen by the loss on validation rows, which no vector has seen the label of, and
//! not on folds of the training rows. Small weights make it dear to lean on the vectors.

use super::features::Beside;
use super::learning::LearnerChosen;
use super::matrix_store::MatrixReport;
use super::runner::Runner;
use super::settings::FeatureSet;
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::features::preparation::{Block, PreparationSettings};
use std::path::Path;
use std::time::Instant;

/// Weights that are tried, as factors of the given one: as many as there are folds by default, so that choosing costs
/// what it costs other routes.
const WEIGHTS: [f64; 5] = [1.0, 0.3, 0.1, 0.03, 0.01];
/// Fewer validation rows would choose at random.
pub(super) const FEWEST_ROWS: usize = 50;

impl Runner<'_> {
    /// Whether there are enough validation rows to choose by.
    pub(super) fn can_choose_on_validation_rows(&self) -> bool {
        self.prepared.labelled.split.validation.len() >= FEWEST_ROWS
    }

    /// As [`Self::learn`] for vectors of all rows in use and the columns of a set, everything chosen on validation rows.
    pub(super) fn learn_beside_seen(
        &self,
        vectors: &DenseMatrix,
        set: FeatureSet,
        (folder, key): (&Path, &str),
    ) -> Result<(DenseMatrix, MatrixReport)> {
        let (started, labelled) = (Instant::now(), &self.prepared.labelled);
        let (plan, seed) = (self.plan(set), self.settings.seeds[0]);
        self.ctx.progress.start("weights of vectors", Some(WEIGHTS.len() as u64), "weights");
        let mut best: Option<LearnerChosen> = None;
        for weight in WEIGHTS {
            let features = self.weighted(vectors.clone(), set, weight)?;
            let scores = plan.choose_on_validation(&features, labelled, seed, self.ctx)?;
            self.ctx.progress.advance(1);
            let least = (0..scores.len())
                .fold(0, |best, next| if scores[next].mean() < scores[best].mean() { next } else { best });
            let chosen = LearnerChosen { scores, best: least, vector_weight: Some(weight) };
            if best.as_ref().is_none_or(|best| chosen.taken().mean() < best.taken().mean()) {
                best = Some(chosen);
            }
        }
        self.ctx.progress.finish();
        let chosen = best.expect("there is a weight");
        let weight = chosen.vector_weight.unwrap_or(1.0);
        let features = self.weighted(vectors.clone(), set, weight)?;
        let train = &labelled.split.train;
        let head = plan.fit_known(chosen.taken(), &features.train, labelled, train, seed, self.ctx)?;
        let seconds = started.elapsed().as_secs_f64();
        self.keep(&head, &features, folder, key)?;
        self.outputs(
            &head,
            &features,
            MatrixReport { seconds, learner: Some(chosen), ..MatrixReport::default() },
        )
    }

    fn weighted(
        &self,
        vectors: DenseMatrix,
        set: FeatureSet,
        weight: f64,
    ) -> Result<super::features::PartedFeatures> {
        let usual = &self.settings.preparation;
        let given = usual.block_weights.iter().find(|(block, _)| *block == Block::Vectors);
        let mut block_weights = usual.block_weights.clone();
        block_weights.retain(|(block, _)| *block != Block::Vectors);
        block_weights.push((Block::Vectors, weight * given.map_or(1.0, |(_, weight)| *weight)));
        let preparation = PreparationSettings { block_weights, ..usual.clone() };
        self.prepared_features(Some(vectors), Beside::Set(set), &preparation)
    }
}

#[cfg(test)]
#[path = "seen_tests.rs"]
mod tests;
