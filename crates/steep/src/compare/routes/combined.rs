//! Routes that put predictions of others together: their mean, and a learner on top of them.

use super::{Measured, MeasuredRoute};
use crate::compare::features::{Beside, PartedFeatures, no_columns};
use crate::compare::learning::LearnerPlan;
use crate::compare::matrix_store::{MatrixReport, stored_or};
use crate::compare::runner::{Prediction, Runner};
use crate::compare::score::Scorer;
use crate::compare::settings::{FeatureSet, Route};
use crate::data::Task;
use crate::error::{Error, Result};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::Scaling;
use crate::learners::stacking::{logits_beside, mean_of};
use crate::report::{ScoredBy, StageSeconds};
use std::path::PathBuf;
use std::time::Instant;

/// One of the models that are stacked: predictions of the training rows by models that have not seen them, then those
/// of the model of all training rows.
struct Member {
    training: DenseMatrix,
    prediction: Prediction,
}

impl Measured {
    /// The columns' learner, and the route over the text that did best on validation rows.
    pub(in crate::compare) fn averaged(&self, scorer: &Scorer) -> Result<(&MeasuredRoute, &MeasuredRoute)> {
        let is_text_only = |measured: &MeasuredRoute| {
            measured.route.has_encoder()
                && (measured.variant.features == Some(FeatureSet::Text)
                    || measured.variant.way == ScoredBy::OwnHead)
        };
        let table = self.of(Route::TableOnly, None);
        table.zip(self.best_on_validation(scorer, is_text_only)).ok_or_else(|| missing(Route::LateAverage))
    }

    /// The mean of the outputs of both.
    pub(super) fn late_average(&self, scorer: &Scorer) -> Result<Vec<Prediction>> {
        let (table, text) = self.averaged(scorer)?;
        text.predictions.iter().map(|text| mean(text, &table.predictions[0])).collect()
    }

    /// The columns' learner, the best encoder that no label changed, and, if it was measured, that encoder with columns.
    pub(in crate::compare) fn stacked_members(
        &self,
        scorer: &Scorer,
    ) -> Result<(&MeasuredRoute, Vec<&MeasuredRoute>)> {
        let table = self.of(Route::TableOnly, None).ok_or_else(|| missing(Route::Stacked))?;
        let is_label_free = |measured: &MeasuredRoute| {
            matches!(measured.route, Route::Frozen | Route::Adapted)
                && measured.variant.features == Some(FeatureSet::Text)
        };
        let text = self.best_on_validation(scorer, is_label_free).ok_or_else(|| missing(Route::Stacked))?;
        let with_columns = self.of(text.route, Some(FeatureSet::TextColumns));
        Ok((table, [Some(text), with_columns].into_iter().flatten().collect()))
    }

    /// A learner on the outputs of these, which it sees for training rows by models fitted without them.
    pub(super) fn stacked(&self, runner: &Runner, scorer: &Scorer) -> Result<Prediction> {
        let (table, encoders) = self.stacked_members(scorer)?;
        runner.stack(table, &encoders)
    }
}

fn missing(route: Route) -> Error {
    let problem = format!("{} needs table_only and a route over the text, measured before", route.name());
    Error::config("routes", problem, "add table_only and frozen to the routes")
}

/// The mean of two routes' outputs, at the cost of both.
fn mean(one: &Prediction, other: &Prediction) -> Result<Prediction> {
    Ok(Prediction {
        validation: mean_of(&one.validation, &other.validation)?,
        test: mean_of(&one.test, &other.test)?,
        learner: None,
        seconds: one.seconds.plus(&other.seconds),
    })
}

impl Runner<'_> {
    fn stack(&self, table: &MeasuredRoute, encoders: &[&MeasuredRoute]) -> Result<Prediction> {
        let task = self.prepared.labelled.task();
        let plan = LearnerPlan::dense(self.settings, task, Scaling::Standard).with_usual_learner(task);
        let members = || [table].into_iter().chain(encoders.iter().copied());
        let digests: Vec<String> = members().map(|member| digest(&member.predictions[0])).collect();
        let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
        let key = self.fit_key("stacked with its head", &digests, &plan);
        let (values, report) = stored_or(&self.stage_folder("stacked.classifier"), &key, || {
            let started = Instant::now();
            let mut members = vec![self.stacked_table(table)?];
            for measured in encoders {
                members.push(self.stacked_encoder(measured)?);
            }
            let head = self.stacked_head();
            let (values, report) =
                self.learn(&stacked_features(&members, task)?, &plan, Some((&head, &key)))?;
            // The models without each fold are part of what it takes.
            Ok((values, MatrixReport { seconds: started.elapsed().as_secs_f64(), ..report }))
        })?;
        let own =
            StageSeconds { fit: report.seconds, predict: report.predict_seconds, ..StageSeconds::default() };
        // The members share their encoder, which is counted once.
        let seconds = members().enumerate().fold(own, |seconds, (at, member)| {
            let of = member.result.seconds;
            let alone = StageSeconds { fit: of.fit, predict: of.predict, ..StageSeconds::default() };
            seconds.plus(if at < 2 { &of } else { &alone })
        });
        Ok(self.prediction(&values, report.learner, seconds))
    }

    /// Where the head of [`Self::stack`] is.
    pub(in crate::compare) fn stacked_head(&self) -> PathBuf {
        self.stage_folder("stacked.head")
    }

    fn stacked_table(&self, measured: &MeasuredRoute) -> Result<Member> {
        let features = self.features(None, Beside::ColumnsAlone)?;
        let plan = LearnerPlan::dense(self.settings, self.prepared.labelled.task(), Scaling::None);
        self.member(measured, &features.train, &plan)
    }

    fn stacked_encoder(&self, measured: &MeasuredRoute) -> Result<Member> {
        let set = measured.variant.features.unwrap_or(FeatureSet::Text);
        let encoder = self.encoder(measured.route, self.settings.seeds[0])?;
        let (vectors, _) = self.embeddings(&encoder, self.texts())?;
        let features = self.features(Some(vectors), Beside::Set(set))?;
        self.member(measured, &features.train, &self.plan(set))
    }

    fn member(&self, measured: &MeasuredRoute, train: &Features, plan: &LearnerPlan) -> Result<Member> {
        let prediction = measured.predictions[0].clone();
        let known = prediction.learner.as_ref().ok_or_else(no_columns)?.taken().clone();
        let labelled = &self.prepared.labelled;
        let rows = &labelled.split.train;
        let training = plan.out_of_fold(&known, train, labelled, rows, self.settings.seeds[0], self.ctx)?;
        Ok(Member { training, prediction })
    }
}

/// What the learner on top is given: the members' outputs side by side.
fn stacked_features(members: &[Member], task: Task) -> Result<PartedFeatures> {
    let beside = |part: fn(&Member) -> &DenseMatrix| -> Result<Features> {
        let parts: Vec<&DenseMatrix> = members.iter().map(part).collect();
        logits_beside(&parts, task).map(Features::Dense)
    };
    Ok(PartedFeatures {
        train: beside(|member| &member.training)?,
        validation: beside(|member| &member.prediction.validation)?,
        test: beside(|member| &member.prediction.test)?,
        preparation: None,
        names: Vec::new(),
    })
}

/// Names a member's content: its predictions.
fn digest(prediction: &Prediction) -> String {
    let mut hasher = blake3::Hasher::new();
    for value in prediction.validation.values().iter().chain(prediction.test.values()) {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
