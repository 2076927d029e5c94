//! What needs no encoder: the most frequent class, n-grams, the person's columns alone.

use crate::compare::features::Beside;
use crate::compare::learning::LearnerPlan;
use crate::compare::matrix_store::{MatrixReport, stored_or};
use crate::compare::runner::{Prediction, Runner};
use crate::error::Result;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::Scaling;
use crate::features::tfidf::{TfidfFeatures, TfidfOptions};
use crate::learners::majority::{MajorityClassifier, MeanRegression};
use crate::report::StageSeconds;
use std::path::PathBuf;
use std::time::Instant;

impl Runner<'_> {
    /// What knows nothing of the texts.
    pub(super) fn majority(&self) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let rows = labelled.split.validation.len() + labelled.split.test.len();
        let values = match labelled.classes(&labelled.split.train)? {
            Some(labels) => MajorityClassifier::fit(&labels)?.predict_proba(rows)?,
            None => {
                let mean = MeanRegression::fit(&labelled.numbers(&labelled.split.train))?.mean;
                DenseMatrix::new(rows, 1, vec![mean as f32; rows])?
            }
        };
        Ok(self.prediction(&values, None, StageSeconds::default()))
    }

    /// Predictions from word and character n-grams.
    pub(super) fn tfidf(&self) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let plan = LearnerPlan::sparse(self.settings, labelled.task());
        let key = self.fit_key("tfidf with its head", &[], &plan);
        let (values, report) = stored_or(&self.stage_folder("tfidf.classifier"), &key, || {
            let started = Instant::now();
            let pick = |rows: &[u32]| -> Vec<&str> {
                rows.iter().map(|&row| labelled.rows.texts[row as usize].as_str()).collect()
            };
            let vectorizer = self.terms()?;
            let matrix = vectorizer.transform(&pick(&self.all_rows()), self.ctx)?;
            let features = self.part(&Features::Sparse(matrix));
            let vectorising = started.elapsed().as_secs_f64();
            let (values, mut report) = self.learn(&features, &plan, Some((&self.tfidf_head(), &key)))?;
            report.seconds += vectorising;
            Ok((values, report))
        })?;
        Ok(self.fitted(&values, report))
    }

    /// The n-grams of the training texts.
    pub(in crate::compare) fn terms(&self) -> Result<TfidfFeatures> {
        let labelled = &self.prepared.labelled;
        let rows = labelled.split.train.iter();
        let train: Vec<&str> = rows.map(|&row| labelled.rows.texts[row as usize].as_str()).collect();
        TfidfFeatures::fit(&train, &[TfidfOptions::words(), TfidfOptions::characters()], self.ctx)
    }

    /// Where the head of [`Self::tfidf`] is.
    pub(in crate::compare) fn tfidf_head(&self) -> PathBuf {
        self.stage_folder("tfidf.head")
    }

    /// Predictions from the person's columns alone.
    pub(super) fn table_only(&self) -> Result<Prediction> {
        let plan = LearnerPlan::dense(self.settings, self.prepared.labelled.task(), Scaling::None);
        let key = self.fit_key("table_only", &[], &plan);
        let (values, report) = stored_or(&self.stage_folder("table_only.classifier"), &key, || {
            let features = self.features(None, Beside::ColumnsAlone)?;
            self.learn(&features, &plan, Some((&self.table_only_head(), &key)))
        })?;
        Ok(self.fitted(&values, report))
    }

    /// Where the head of [`Self::table_only`] is.
    pub(in crate::compare) fn table_only_head(&self) -> PathBuf {
        self.stage_folder("table_only.head")
    }

    fn fitted(&self, values: &DenseMatrix, report: MatrixReport) -> Prediction {
        let seconds =
            StageSeconds { fit: report.seconds, predict: report.predict_seconds, ..StageSeconds::default() };
        self.prediction(values, report.learner, seconds)
    }
}
